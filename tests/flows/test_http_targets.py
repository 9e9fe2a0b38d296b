"""HTTP/1.1 on the targets' side: what a target may answer, what is refused, timeouts, pools, back-pressure."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from support.gate import Gate, free_port, until
from support.raw import connect, read_all, statuses
from support.target import Received, Target, answer, chunked
from support.workers import WORKERS, one_process


def call(gate: Gate, token: str, path: str = "/shop/read", method: str = "GET", **arguments: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} | arguments.pop("headers", {})
    return httpx.request(method, gate.url + path, headers=headers, timeout=60, **arguments)


def code(reply: httpx.Response) -> str:
    return str(reply.json()["code"])


@pytest.mark.parametrize("status", [200, 201, 204, 205, 301, 304, 400, 404, 409, 418, 500, 503])
def test_every_status_comes_back(gate: Gate, target: Target, token: str, status: int) -> None:
    bodiless = status in (204, 304)
    target.answers["/read"] = b"HTTP/1.1 %d X\r\n\r\n" % status if bodiless else answer(status=status)
    reply = call(gate, token)
    assert reply.status_code == status
    assert reply.content == (b"" if bodiless else b'{"ok":true}')


def test_interim_answers_are_not_the_answer(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" + answer()
    assert call(gate, token).json() == {"ok": True}


def test_a_chunked_answer(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = chunked([b'{"a":', b"1", b"}"])
    assert call(gate, token).json() == {"a": 1}


def test_redirects_are_never_followed(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = answer(status=302, extra=b"Location: /items/7\r\n")
    reply = call(gate, token)
    assert (reply.status_code, reply.headers["location"]) == (302, "/items/7")
    assert [received.path for received in target.ledger] == ["/read"]


def test_a_redirect_to_the_target_itself_leads_back_to_the_gateway(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = answer(status=302, extra=f"Location: {target.url}/items/7\r\n".encode())
    assert call(gate, token).headers["location"] == "/shop/items/7"


UNREADABLE = {
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "no HTTP": b"220 mail.example ESMTP\r\n",
    "switching protocols": b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "part of an answer": b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nab",
    "a huge head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "larger than it may be": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\nContent-Type: text/plain\r\n\r\nabc",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_answer_that_cannot_be_read_is_refused(gate: Gate, target: Target, token: str, name: str) -> None:
    target.answers["/read"] = UNREADABLE[name]
    reply = call(gate, token)
    assert (reply.status_code, code(reply)) == (502, "masking.refused")


def closing(data: bytes) -> Callable[[Received, asyncio.StreamWriter], Any]:
    async def close(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return close


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Ty",
    ],
)
def test_a_length_that_lies_is_refused(gate: Gate, target: Target, token: str, data: bytes) -> None:
    target.answers["/read"] = closing(data)
    reply = call(gate, token)
    assert (reply.status_code, code(reply)) == (502, "masking.refused")
    assert gate.ended(reply.headers["funcgate-call-id"])["code"] == "masking.refused"


@pytest.mark.parametrize("beyond", [0, 1])
def test_an_answer_in_one_piece_without_a_length_has_a_limit_too(
    make_gate: Callable[..., Gate], target: Target, token: str, beyond: int
) -> None:
    body = b'"' + b"x" * (1022 + beyond) + b'"'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    target.answers["/read"] = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    reply = call(make_gate(target={"limits": {"max_response": "1KiB"}}).start(), token)
    if beyond:
        assert (reply.status_code, code(reply)) == (502, "masking.refused")
    else:
        assert (reply.status_code, reply.content) == (200, body)


def test_an_answer_that_ends_with_the_connection(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = closing(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"a":1}')
    assert call(gate, token).json() == {"a": 1}


def test_more_bytes_than_declared_never_reach_a_caller(gate: Gate, target: Target, token: str) -> None:
    """Response desync: what a target sends ahead must not be the answer to the next call."""
    target.answers["/items/1"] = answer(b'{"n":1}') + answer(b'{"n":"smuggled"}')
    target.answers["/items/2"] = answer(b'{"n":2}')
    seen = [call(gate, token, f"/shop/items/{n}") for n in (1, 2, 1, 2)]
    assert all(b"smuggled" not in reply.content for reply in seen)
    assert [reply.json() for reply in seen if reply.status_code == 200 and reply.request.url.path.endswith("2")] == [
        {"n": 2}
    ] * 2


def test_a_closed_connection_is_an_unreachable_target(gate: Gate, target: Target, token: str) -> None:
    target.answers["/orders"] = closing(b"")
    reply = call(gate, token, "/shop/orders", "POST", json={"amount": 1})
    assert (reply.status_code, code(reply)) == (502, "target.unreachable")
    assert len(target.seen("/orders")) == 1, "a POST must never be sent twice"


@one_process("a kept connection is one worker's")
def test_a_read_is_sent_again_when_a_kept_connection_died(gate: Gate, target: Target, token: str) -> None:
    def dying(first: list[int]) -> Callable[[Received, asyncio.StreamWriter], Any]:
        async def behave(received: Received, writer: asyncio.StreamWriter) -> None:
            if not first:
                first.append(1)
                writer.close()
            else:
                writer.write(answer())

        return behave

    assert call(gate, token).status_code == 200  # leaves a kept connection
    target.answers["/read"] = dying([])
    assert call(gate, token).status_code == 200


HASTY = {"limits": {"timeout": "3s", "first_byte_timeout": "1s"}}


def test_no_first_byte(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    async def silent(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    target.answers["/read"] = silent
    reply = call(make_gate(target=HASTY).start(), token)
    assert (reply.status_code, code(reply)) == (504, "target.timeout")
    assert until(lambda: target.seen("/read"))[0].cancelled or until(lambda: target.seen("/read")[0].cancelled)


def test_an_answer_that_drips_is_cut_at_the_total_timeout(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    async def dripping(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"a")
            await asyncio.sleep(0.05)

    target.answers["/read"] = dripping
    reply = call(make_gate(target=HASTY).start(), token)
    assert (reply.status_code, code(reply)) == (504, "target.timeout")


def test_a_target_that_is_not_there(make_gate: Callable[..., Gate], token: str) -> None:
    gate = make_gate(target={"url": f"http://127.0.0.1:{free_port()}"}).start()
    for _ in range(5):
        reply = call(gate, token)
        assert (reply.status_code, code(reply)) == (502, "target.unreachable")
        assert "127.0.0.1" not in reply.text


def test_connections_to_a_target_are_bounded(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    running = peak = 0

    async def counted(received: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.05)
        running -= 1
        writer.write(answer())

    target.answers["/read"] = counted
    gate = make_gate(target={"limits": {"max_connections": 3}}).start()
    replies: list[int] = []
    threads = [threading.Thread(target=lambda: replies.append(call(gate, token).status_code)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [200] * 12
    assert peak <= 3 * WORKERS


def test_a_slow_reader_holds_back_the_target_and_nothing_else(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    """Back-pressure: a stream to a caller that does not read must not fill the gateway's memory."""
    sent = 0
    total = 64 << 20

    async def flood(received: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % total)
        piece = b"x" * 65536
        while sent < total:
            writer.write(piece)
            await writer.drain()
            sent += len(piece)

    target.answers["/read"] = flood
    gate = make_gate(
        journal={"record": "128MiB"}, target={"limits": {"max_response": "128MiB", "timeout": "60s"}}
    ).start()
    with connect(gate.calls) as sock:
        sock.sendall(f"GET /shop/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        until(lambda: sent > 0)
        stalled = until(lambda: _steady(lambda: sent))
        assert stalled < total // 2, "the gateway took in what the caller did not read"
        assert call(gate, token, "/shop/items/1").status_code == 200
        received = 0
        while received < total:
            piece = sock.recv(1 << 20)
            assert piece
            received += len(piece)


def _steady(read: Callable[[], int]) -> int:
    """The value, once it has not changed for a while; 0 while it changes."""
    import time

    before = read()
    for _ in range(30):
        time.sleep(0.01)
        if read() != before:
            return 0
    return before


def test_a_stream_that_breaks_is_cut_for_the_caller_too(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    target.answers["/read"] = closing(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    )
    gate = make_gate().start()
    with connect(gate.calls) as sock:
        sock.sendall(f"GET /shop/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        received = read_all(sock)
    assert statuses(received) in ([200], [502])
    assert not received.endswith(b"0\r\n\r\n"), "a cut answer must not look whole"
    entry = until(lambda: next((e for e in gate.entries() if e["kind"] == "ended"), None))
    assert entry["outcome"] in ("cut", "refused", "failed")


def test_an_answer_refused_before_its_stream_is_read_gives_its_connection_back(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    """Else a target that answers in a coding nobody knows uses up its pool, and nobody can call it any more."""
    target.answers["/read"] = answer(b"x" * 400_000, media="text/plain", extra=b"Content-Encoding: br\r\n")
    gate = make_gate(target={"limits": {"max_connections": 2, "connect_timeout": "1s"}}).start()
    for _ in range(5):
        reply = call(gate, token)
        assert (reply.status_code, code(reply)) == (502, "masking.refused")
    assert call(gate, token, "/shop/items/1").status_code == 200


def test_a_caller_that_hangs_up_in_the_middle_ends_the_answer(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    """Attack: ask for much and hang up, again and again, while the target goes on answering until its time is over."""

    over: list[bool] = []
    sent = 0

    async def flood(received: Received, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                await writer.drain()
                sent += 1
        finally:
            over.append(True)

    target.answers["/read"] = flood
    limits = {"max_response": "1GiB", "timeout": "600s", "idle_timeout": "600s"}
    gate = make_gate(target={"limits": limits}).start()
    with connect(gate.calls) as sock:
        sock.sendall(f"GET /shop/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        assert sock.recv(65536)
        until(lambda: _steady(lambda: sent))
    assert until(lambda: over)


def test_trailers_come_through(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    target.answers["/read"] = chunked([b"abc"], media="application/octet-stream", trailers=b"X-Sum: 900150983cd2\r\n")
    gate = make_gate().start()
    with connect(gate.calls) as sock:
        sock.sendall(f"GET /shop/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        received = read_all(sock, last=b"x-sum: ")
    assert b"x-sum: 900150983cd2\r\n" in received


def test_the_callers_credentials_and_hop_fields_stay_behind(gate: Gate, target: Target, token: str) -> None:
    private = {
        "Cookie": "session=1",
        "X-Forwarded-For": "1.2.3.4",
        "Forwarded": "for=1.2.3.4",
        "X-Original-URL": "/admin",
        "X-HTTP-Method-Override": "DELETE",
        "Proxy-Authorization": "Basic YTpi",
        "Funcgate-Session": "run-1",
        "Range": "bytes=0-3",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "TE": "trailers",
    }
    assert call(gate, token, headers=private | {"X-Kept": "yes", "Accept-Encoding": "gzip, br"}).status_code == 200
    (received,) = target.ledger
    names = {name.lower() for name, _ in received.headers}
    assert names.isdisjoint({name.lower() for name in private} - {"connection"})
    assert received.header("x-kept") == "yes"
    assert received.header("accept-encoding") == "identity"
    assert token not in json.dumps(received.headers)


def test_traceparent_is_passed_on(gate: Gate, target: Target, token: str) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    reply = call(gate, token, headers={"traceparent": parent})
    assert target.ledger[0].header("traceparent") == parent
    arrived = until(lambda: gate.call_entries(reply.headers["funcgate-call-id"]))[0]
    assert arrived["trace"] == parent[3:35]


@pytest.mark.parametrize("parent", ["00-0", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "zz"])
def test_a_bad_traceparent_is_dropped(gate: Gate, target: Target, token: str, parent: str) -> None:
    assert call(gate, token, headers={"traceparent": parent}).status_code == 200
    assert target.ledger[0].header("traceparent") is None


def test_set_cookie_of_the_target_stays_behind(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = answer(extra=b"Set-Cookie: session=1\r\nX-Kept: yes\r\n")
    reply = call(gate, token)
    assert "set-cookie" not in reply.headers
    assert reply.headers["x-kept"] == "yes"
