"""HTTP/1.1 on the callers' side, through real sockets and the real gateway: framing, limits, timeouts, closing."""

import socket

import httpx
import pytest

from support.authority import Authority
from support.gate import Gate, until
from support.raw import connect, exchange, read_all, read_answer, statuses
from support.target import Received, Target, answer


def post(token: str, body: bytes, *fields: str) -> bytes:
    head = [
        "POST /shop/orders HTTP/1.1",
        "Host: gate",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
    ]
    return "\r\n".join([*head, *fields, "", ""]).encode() + body


def get(token: str, *fields: str, path: str = "/shop/read") -> bytes:
    return "\r\n".join(
        [f"GET {path} HTTP/1.1", "Host: gate", f"Authorization: Bearer {token}", *fields, "", ""]
    ).encode()


ORDER = b'{"amount": 5}'


def test_a_call_goes_through_and_comes_back(gate: Gate, target: Target, token: str) -> None:
    reply = httpx.post(f"{gate.url}/shop/orders", json={"amount": 5}, headers={"Authorization": f"Bearer {token}"})
    assert (reply.status_code, reply.json()) == (200, {"ok": True})
    assert len(reply.headers["funcgate-call-id"]) == 26
    assert reply.headers["server-timing"].startswith("funcgate;dur=")
    (received,) = target.ledger
    assert received.body == b'{"amount":5}'
    assert received.header("funcgate-call-id") == reply.headers["funcgate-call-id"]


def test_connections_are_kept_alive_on_both_sides(gate: Gate, target: Target, token: str) -> None:
    before = target.connections
    with connect(gate.calls) as sock:
        for _ in range(5):
            sock.sendall(get(token))
            assert read_answer(sock).startswith(b"HTTP/1.1 200 ")
    assert target.connections - before <= 1


def test_pipelined_requests_are_answered_in_order(gate: Gate, target: Target, token: str) -> None:
    for number in range(6):
        target.answers[f"/items/{number}"] = answer(b'{"n":%d}' % number)
    data = b"".join(get(token, path=f"/shop/items/{number}") for number in range(6))
    received = exchange(gate.calls, data, finals=6)
    assert statuses(received) == [200] * 6
    assert [received.index(b'{"n":%d}' % number) for number in range(6)] == sorted(
        received.index(b'{"n":%d}' % number) for number in range(6)
    )


def test_more_pipelined_requests_than_the_queue_holds_are_all_answered(gate: Gate, target: Target, token: str) -> None:
    received = exchange(gate.calls, get(token) * 60, timeout_s=20, finals=60)
    assert statuses(received) == [200] * 60


def test_a_body_that_comes_with_the_begin_of_the_next_request_is_not_waited_for(
    gate: Gate, target: Target, token: str
) -> None:
    first = post(token, b"", f"Content-Length: {len(ORDER)}")
    with connect(gate.calls) as sock:
        sock.sendall(first + ORDER[:5])
        until(lambda: "funcgate_open_calls 1.0" in gate.get_console("/metrics")[1])
        sock.sendall(ORDER[5:] + first)  # whose own body comes once the first one is answered
        assert read_answer(sock).startswith(b"HTTP/1.1 200 ")
        sock.sendall(ORDER)
        assert read_answer(sock).startswith(b"HTTP/1.1 200 ")
    assert [received.body for received in target.ledger] == [ORDER, ORDER]


def test_a_chunked_request_reaches_the_target_with_a_length(gate: Gate, target: Target, token: str) -> None:
    data = post(
        token,
        b"5\r\n" + ORDER[:5] + b"\r\n8\r\n" + ORDER[5:] + b"\r\n0\r\nX-Trailer: a\r\n\r\n",
        "Transfer-Encoding: chunked",
    )
    assert statuses(exchange(gate.calls, data)) == [200]
    assert target.ledger[0].body == ORDER
    assert target.ledger[0].header("content-length") == str(len(ORDER))
    assert target.ledger[0].header("transfer-encoding") is None


def test_expect_100_continue(gate: Gate, target: Target, token: str) -> None:
    with connect(gate.calls) as sock:
        sock.sendall(post(token, b"", f"Content-Length: {len(ORDER)}", "Expect: 100-continue"))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(ORDER)
        assert read_answer(sock).startswith(b"HTTP/1.1 200 ")
    assert target.ledger[0].header("expect") is None


def test_expect_100_continue_is_refused_before_the_body_is_asked_for(gate: Gate, target: Target) -> None:
    with connect(gate.calls) as sock:
        sock.sendall(post("not.a.token", b"", "Content-Length: 13", "Expect: 100-continue"))
        assert read_answer(sock).startswith(b"HTTP/1.1 401 ")
    assert target.ledger == []


def test_another_expectation_is_refused(gate: Gate, token: str) -> None:
    assert statuses(exchange(gate.calls, post(token, ORDER, "Expect: magic", f"Content-Length: {len(ORDER)}"))) == [417]


def test_head_has_no_body(gate: Gate, target: Target, token: str) -> None:
    received = exchange(gate.calls, get(token).replace(b"GET", b"HEAD", 1) + get(token), finals=2)
    assert statuses(received) == [200, 200]
    assert received.count(b'{"ok":true}') == 1
    assert target.ledger[0].method == "HEAD"


def test_http_1_0_is_closed_after_the_answer(gate: Gate, token: str) -> None:
    data = f"GET /shop/read HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    received = exchange(gate.calls, data)
    assert statuses(received) == [200]
    assert b"connection: close" in received.lower()


def test_connection_close_is_honoured(gate: Gate, token: str) -> None:
    with connect(gate.calls) as sock:
        sock.sendall(get(token, "Connection: close"))
        received = read_all(sock, quiet_s=5)
    assert statuses(received) == [200]


def test_a_caller_that_closes_its_side_still_gets_the_answer(gate: Gate, target: Target, token: str) -> None:
    async def slow(received: Received, writer: object) -> None:
        import asyncio

        await asyncio.sleep(0.3)
        writer.write(answer())  # type: ignore[attr-defined]

    target.answers["/read"] = slow
    received = exchange(gate.calls, get(token), half_close=True, timeout_s=5)
    assert statuses(received)[-1] == 200
    assert set(statuses(received)[:-1]) <= {100}


def test_a_caller_that_goes_away_cancels_the_call_and_is_recorded(gate: Gate, target: Target, token: str) -> None:
    import asyncio

    async def never(received: Received, writer: object) -> None:
        await asyncio.sleep(60)

    target.answers["/read"] = never
    sock = connect(gate.calls)
    sock.sendall(get(token))
    (received,) = until(lambda: target.seen("/read"))
    sock.close()
    until(lambda: received.cancelled)
    call_id = received.header("funcgate-call-id")
    assert call_id is not None
    assert gate.ended(call_id)["outcome"] == "cancelled"


def test_a_reset_cancels_the_call(gate: Gate, target: Target, token: str) -> None:
    import asyncio

    async def never(received: Received, writer: object) -> None:
        await asyncio.sleep(60)

    target.answers["/read"] = never
    sock = connect(gate.calls)
    sock.sendall(get(token))
    (received,) = until(lambda: target.seen("/read"))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    sock.close()
    until(lambda: received.cancelled)


SMUGGLED = b"GET /shop/items/smuggled HTTP/1.1\r\nHost: gate\r\n\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 3\r\nContent-Length: 5\r\n",
        b"Content-Length: 3\r\nContent-Length: 3\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Content-Length : 3\r\n",
        b"X: a\r\n folded\r\n",
        b"X: a\nY: b\r\n",
        b"X: a\rb\r\n",
        b"X: a\x00\r\n",
        b"X: a\x1f\r\n",
        b"X-User: a\r\nX_User: b\r\n",
        b"Content_Length: 3\r\n",
        b"Host: other\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
    ],
)
def test_what_is_no_clean_request_is_refused_and_the_connection_closed(
    gate: Gate, target: Target, token: str, fields: bytes
) -> None:
    data = get(token)[:-2] + fields + b"\r\n" + b"abc"
    with connect(gate.calls) as sock:
        sock.sendall(data + SMUGGLED)
        received = read_all(sock, quiet_s=4)
    (status,) = statuses(received)
    assert status in (400, 501)
    assert b'"code":"request.invalid"' in received
    assert target.ledger == []


@pytest.mark.parametrize(
    "chunks", [b"3 \r\nabc\r\n0\r\n\r\n", b"0x3\r\nabc\r\n", b"-1\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"3\nabc\n0\n\n"]
)
def test_bad_chunks_are_refused(gate: Gate, target: Target, token: str, chunks: bytes) -> None:
    received = exchange(gate.calls, post(token, chunks, "Transfer-Encoding: chunked") + SMUGGLED)
    assert statuses(received) == [400]
    assert target.ledger == []


def test_bytes_that_are_no_http_are_refused_and_recorded(gate: Gate) -> None:
    received = exchange(gate.calls, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 5)
    assert statuses(received) == [400]
    until(lambda: [entry for entry in gate.entries() if entry.get("code") == "request.invalid"])


def test_too_many_header_bytes(gate: Gate, token: str) -> None:
    received = exchange(gate.calls, get(token, "X: " + "a" * 20_000))
    assert statuses(received) == [431]
    assert b'"code":"request.too_large"' in received


def test_too_many_header_fields(gate: Gate, token: str) -> None:
    assert statuses(exchange(gate.calls, get(token, *(f"X{n}: a" for n in range(200))))) == [431]


def test_too_long_a_target(gate: Gate, token: str) -> None:
    assert statuses(exchange(gate.calls, get(token, path="/shop/" + "a" * 9000))) == [414]


@pytest.mark.parametrize("field", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_too_large_a_body(gate: Gate, target: Target, token: str, field: str) -> None:
    body = b'{"amount":1,"note":"' + b"a" * 99_978 + b'"}'
    data = body if "Length" in field else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    received = exchange(gate.calls, post(token, data, field))
    assert statuses(received) == [413]
    assert b'"code":"request.too_large"' in received
    assert target.ledger == []


def test_a_head_that_never_ends_is_timed_out(gate: Gate, token: str) -> None:
    with connect(gate.calls) as sock:
        sock.sendall(get(token)[:-2])
        received = read_all(sock, quiet_s=5)
    assert statuses(received) == [408]
    assert b'"code":"request.timeout"' in received


def test_a_body_that_never_ends_is_timed_out(gate: Gate, target: Target, token: str) -> None:
    with connect(gate.calls) as sock:
        sock.sendall(post(token, b"{", "Content-Length: 10"))
        received = read_all(sock, quiet_s=5)
    assert statuses(received) == [408]
    assert target.ledger == []


def test_an_idle_connection_is_closed_without_a_word(gate: Gate, token: str) -> None:
    with connect(gate.calls) as sock:
        sock.sendall(get(token))
        assert read_answer(sock).startswith(b"HTTP/1.1 200 ")
        assert sock.recv(100) == b""


def test_a_body_cut_short_is_refused(gate: Gate, target: Target, token: str) -> None:
    received = exchange(gate.calls, post(token, b'{"amo', "Content-Length: 13"), half_close=True)
    assert statuses(received) == [400]
    assert target.ledger == []


def test_the_refusal_arrives_although_the_body_is_still_being_sent(gate: Gate) -> None:
    """A reset must not overtake the answer (RFC 9112, 9.6)."""
    with connect(gate.calls) as sock:
        sock.sendall(post("not.a.token", b"", "Content-Length: 10000000"))
        received = b""
        try:
            for _ in range(200):
                sock.sendall(b"a" * 10_000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        received = read_all(sock)
    assert statuses(received) == [401]


def test_every_refusal_has_the_same_shape(gate: Gate, authority: Authority, token: str) -> None:
    wrong = {
        "identity.missing": {},
        "identity.invalid": {"Authorization": "Bearer a.b.c"},
        "identity.expired": {"Authorization": f"Bearer {authority.token(exp=1, iat=0)}"},
        "policy.denied": {"Authorization": f"Bearer {authority.token(groups=('others',))}"},
    }
    for code, headers in wrong.items():
        reply = httpx.get(f"{gate.url}/shop/read", headers=headers)
        assert reply.headers["content-type"] == "application/problem+json"
        problem = reply.json()
        assert set(problem) == {"type", "title", "status", "detail", "code", "call_id"}
        assert (problem["code"], problem["status"]) == (code, reply.status_code)
        assert problem["call_id"] == reply.headers["funcgate-call-id"]
        assert ("www-authenticate" in reply.headers) == (reply.status_code == 401)
    reply = httpx.get(f"{gate.url}/shop/nothing", headers={"Authorization": f"Bearer {token}"})
    assert (reply.status_code, reply.json()["code"]) == (403, "function.unknown")
