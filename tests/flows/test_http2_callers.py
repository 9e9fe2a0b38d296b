"""HTTP/2 on the callers' side, through real sockets, real clients and the real gateway: the same rules as HTTP/1.1."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import FUNCTIONS
from support.authority import Authority
from support.certificates import self_signed
from support.gate import Gate, settings, until
from support.h2frames import (
    CALM,
    CANCEL,
    CLOSED,
    DATA,
    END_HEADERS,
    GOAWAY,
    HEADERS,
    INTERNAL,
    NO_ERROR,
    OPENING,
    PREFACE,
    PROTOCOL,
    REFUSED,
    RST_STREAM,
    SETTINGS,
    Fields,
    data,
    frame,
    goaway,
    headers,
    rst,
    update,
)
from support.h2frames import settings as set_to
from support.h2raw import H2Caller
from support.raw import connect, exchange, read_answer, statuses
from support.target import Received, Target, answer, chunked

ORDER = b'{"amount": 5}'


@pytest.fixture(scope="module")
def wide(authority: Authority, shared_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Large answers, a host's name, cookies that cross; in `held`, calls wait for a person. Nothing is masked."""
    policies = [
        {"name": "agents", "effect": "allow", "functions": ["shop.*"], "principals": ["group:agents"]},
        {
            "name": "ask", "effect": "require_approval", "functions": ["held.*"], "principals": ["group:agents"],
            "approval": {"approvers": ["group:finance"]},
        },
    ]  # fmt: skip
    made = settings(
        authority, shared_target.url, FUNCTIONS, policies=policies, journal={"record": "512MiB"},
        target={
            "limits": {"max_request": "12MiB", "max_response": "512MiB"}, "hosts": ["shop.example"],
            "forward_headers": ["cookie"],
        },
    )  # fmt: skip
    made["targets"].append({"name": "held", "protocol": "http", "url": shared_target.url, "functions": FUNCTIONS})
    running = Gate(tmp_path_factory.mktemp("wide"), made).start()
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def secure(
    authority: Authority, shared_target: Target, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gate, str]]:
    """A gateway over TLS, and the file that says whom to trust."""
    folder = tmp_path_factory.mktemp("secure")
    listen, ca = over_tls(folder)
    running = Gate(folder, settings(authority, shared_target.url, FUNCTIONS, listen=listen)).start()
    yield running, ca
    assert running.stop() == 0


def get(token: str, *fields: tuple[bytes, bytes], path: bytes = b"/shop/read", method: bytes = b"GET") -> Fields:
    return [
        (b":method", method),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"gate"),
        (b"authorization", b"Bearer " + token.encode()),
        *fields,
    ]


def post(token: str, *fields: tuple[bytes, bytes], path: bytes = b"/shop/orders") -> Fields:
    return get(token, (b"content-type", b"application/json"), *fields, path=path, method=b"POST")


def client(**settings: Any) -> httpx.Client:
    return httpx.Client(http1=False, http2=True, timeout=20, **settings)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def never(received: Received, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def value(head: Fields, name: bytes) -> bytes | None:
    return dict(head).get(name)


# Calls that go well.


def test_a_call_goes_through_and_comes_back(gate: Gate, target: Target, token: str) -> None:
    with client(headers=bearer(token)) as caller:
        reply = caller.post(f"{gate.url}/shop/orders", json={"amount": 5})
        assert (reply.http_version, reply.status_code, reply.json()) == ("HTTP/2", 200, {"ok": True})
        assert len(reply.headers["funcgate-call-id"]) == 26
        assert reply.headers["server-timing"].startswith("funcgate;dur=")
        assert reply.headers["content-length"] == str(len(reply.content))
    (received,) = target.ledger
    assert received.body == b'{"amount":5}'
    assert received.header("funcgate-call-id") == reply.headers["funcgate-call-id"]
    assert received.header("authorization") == "Bearer canary-7f3a9c51e2b84d06"


def test_the_record_is_that_of_http_1(gate: Gate, target: Target, token: str) -> None:
    """Function, arguments, digest and entries do not depend on the version."""
    told = []
    for version in (True, False):
        with httpx.Client(http1=not version, http2=version, headers=bearer(token)) as caller:
            reply = caller.post(
                f"{gate.url}/shop/orders", json={"amount": 5, "note": "n"}, headers={"Funcgate-Session": "run"}
            )
        assert (reply.http_version, reply.status_code) == ("HTTP/2" if version else "HTTP/1.1", 200)
        gate.ended(reply.headers["funcgate-call-id"])
        entries = gate.call_entries(reply.headers["funcgate-call-id"])
        told.append(
            [
                {
                    name: entry.get(name)
                    for name in ("kind", "function", "args", "digest", "session", "policy", "outcome")
                }
                for entry in entries
            ]
        )
    assert told[0] == told[1]
    assert [entry["kind"] for entry in told[0]] == ["arrived", "allowed", "chunk", "ended"]
    first, second = target.ledger
    own = {"funcgate-call-id", "traceparent"}
    assert [field for field in first.headers if field[0].lower() not in own] == [
        field for field in second.headers if field[0].lower() not in own
    ]


def test_one_connection_carries_many_calls(gate: Gate, target: Target, token: str) -> None:
    with H2Caller(gate.calls) as caller:
        for stream in range(1, 41, 2):
            caller.ask(stream, get(token))
            assert caller.answer(stream)[0] == 200


def test_a_hundred_calls_at_once_on_one_connection(gate: Gate, target: Target, token: str) -> None:
    async def each(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(answer(b'{"path":"%b"}' % received.path.encode()))

    target.default = each
    with H2Caller(gate.calls) as caller:
        asked = range(1, 201, 2)
        caller.send(b"".join(headers(n, get(token, path=b"/shop/items/%d" % n)) for n in asked))
        for stream in reversed(asked):
            status, _, body = caller.answer(stream)
            assert (status, json.loads(body)) == (200, {"path": f"/items/{stream}"})


def test_a_hundred_calls_at_once_of_a_real_client(gate: Gate, target: Target, token: str) -> None:
    async def run() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(
            http1=False, http2=True, limits=limits, timeout=30, headers=bearer(token)
        ) as caller:
            return await asyncio.gather(*(caller.get(f"{gate.url}/shop/items/{n}") for n in range(100)))

    replies = asyncio.run(run())
    assert {(reply.http_version, reply.status_code) for reply in replies} == {("HTTP/2", 200)}
    assert len({reply.headers["funcgate-call-id"] for reply in replies}) == 100


def test_large_bodies_both_ways(wide: Gate, target: Target, token: str) -> None:
    sent = {"data": {"a": "x" * (8 << 20)}}
    back = json.dumps({"b": "y" * (8 << 20)}).encode()
    target.answers["/upload"] = answer(back)
    with client(headers=bearer(token)) as caller:
        reply = caller.put(f"{wide.url}/shop/upload", json=sent)
        assert (reply.http_version, reply.status_code) == ("HTTP/2", 200)
        assert reply.content == back
        assert caller.get(f"{wide.url}/shop/read").status_code == 200
    assert json.loads(target.ledger[0].body) == sent


def test_head_has_a_head_and_no_body(gate: Gate, target: Target, token: str) -> None:
    with H2Caller(gate.calls) as caller:
        caller.ask(1, get(token, method=b"HEAD"))
        assert caller.until(HEADERS, 1).flags & 1
        assert caller.answer(1)[::2] == (200, b"")
    assert target.ledger[0].method == "HEAD"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body(gate: Gate, target: Target, token: str, status: int) -> None:
    target.answers["/read"] = f"HTTP/1.1 {status} X\r\nETag: a\r\n\r\n".encode()
    with H2Caller(gate.calls) as caller:
        caller.ask(1, get(token))
        found, head, body = caller.answer(1)
        assert (found, value(head, b"etag"), value(head, b"content-length"), body) == (status, b"a", None, b"")


def test_an_answer_in_pieces_and_its_trailers(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = chunked([b'{"a":', b"1}"], trailers=b"X-Sum: 3\r\n")
    with H2Caller(gate.calls) as caller:
        caller.ask(1, get(token))
        status, head, body = caller.answer(1)
        assert (status, body) == (200, b'{"a":1}')
        assert value(head, b"transfer-encoding") is None
        assert caller.heads[1][-1] == [(b"x-sum", b"3")]


def test_answers_are_masked(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = chunked([b'{"card":"4242 4242 ', b'4242 4242"}'])
    with client(headers=bearer(token)) as caller:
        assert "4242" not in caller.get(f"{gate.url}/shop/read").text


def test_fields_of_the_target_that_are_for_its_connection_stay_there(gate: Gate, target: Target, token: str) -> None:
    extra = b"Keep-Alive: timeout=5\r\nConnection: keep-alive\r\nX-Back: B\r\nSet-Cookie: a=b\r\n"
    target.answers["/read"] = answer(extra=extra)
    with H2Caller(gate.calls) as caller:
        caller.ask(1, get(token))
        _, head, _ = caller.answer(1)
    assert value(head, b"x-back") == b"B"
    assert not {b"connection", b"keep-alive", b"set-cookie", b"transfer-encoding"} & set(dict(head))


def test_expect_100_continue(gate: Gate, target: Target, token: str) -> None:
    with H2Caller(gate.calls) as caller:
        caller.ask(1, post(token, (b"expect", b"100-continue"), (b"content-length", b"13")), end=False)
        caller.until(HEADERS, 1)
        assert caller.heads[1] == [[(b":status", b"100")]]
        caller.send(data(1, ORDER))
        assert caller.answer(1)[0] == 200


def test_a_host_name_names_the_target(wide: Gate, target: Target, token: str) -> None:
    with H2Caller(wide.calls) as caller:
        for stream, name in ((1, b":authority"), (3, b"host")):
            fields = [field for field in get(token, path=b"/read") if field[0] != b":authority"]
            at = 3 if name == b":authority" else len(fields)
            caller.ask(stream, [*fields[:at], (name, b"shop.example:8080"), *fields[at:]])
            assert caller.answer(stream)[0] == 200
    assert [received.path for received in target.ledger] == ["/read", "/read"]


def test_cookies_in_crumbs_are_one_field_again(wide: Gate, target: Target, token: str) -> None:
    with H2Caller(wide.calls) as caller:
        caller.ask(1, get(token, (b"cookie", b"a=b"), (b"cookie", b"c=d")))
        assert caller.answer(1)[0] == 200
    assert target.ledger[0].header("cookie") == "a=b; c=d"


# Which protocol is spoken.


def test_both_versions_share_the_port(gate: Gate, target: Target, token: str) -> None:
    first = get(token)
    with H2Caller(gate.calls) as new, connect(gate.calls) as old:
        old.sendall(b"GET /shop/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %b\r\n\r\n" % token.encode())
        new.ask(1, first)
        assert read_answer(old).startswith(b"HTTP/1.1 200 ")
        assert new.answer(1)[0] == 200


@pytest.mark.parametrize("size", [1, 2, 3, 5, 12, 23])
def test_the_preface_may_come_in_pieces(gate: Gate, target: Target, token: str, size: int) -> None:
    with H2Caller(gate.calls, opening=b"") as caller:
        caller.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(OPENING), size):
            caller.send(OPENING[at : at + size])
            time.sleep(0.002)  # or the pieces come together, and nothing is shown
        caller.ask(1, get(token))
        assert caller.answer(1)[0] == 200


@pytest.mark.parametrize(
    "noise", [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI /shop/read HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n"]
)
def test_what_only_looks_like_the_preface_is_refused(gate: Gate, target: Target, noise: bytes) -> None:
    answered = exchange(gate.calls, noise, half_close=True, timeout_s=5)
    assert set(statuses(answered)) <= {400}
    assert target.ledger == []


def test_the_preface_behind_a_request_is_no_preface(gate: Gate, target: Target, token: str) -> None:
    first = b"GET /shop/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer %b\r\n\r\n" % token.encode()
    received = exchange(gate.calls, first + OPENING)
    assert statuses(received) == [200]
    assert b"connection: close" in received.lower()


def over_tls(tmp_path: Path) -> tuple[dict[str, Any], str]:
    cert, key = self_signed(tmp_path)[:2]
    listen = {"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "tls": {"cert": str(cert), "key": str(key)}}
    return listen, str(cert)


def test_tls_agrees_on_the_version(secure: tuple[Gate, str], target: Target, token: str) -> None:
    gate, ca = secure
    for versions, expected in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), ([], None)):
        context = ssl.create_default_context(cafile=ca)
        if versions:
            context.set_alpn_protocols(versions)
        with connect(gate.calls, context=context) as sock:
            assert sock.selected_alpn_protocol() == expected  # type: ignore[attr-defined]
    with client(verify=ssl.create_default_context(cafile=ca), headers=bearer(token)) as caller:
        for _ in range(3):
            reply = caller.get(f"https://localhost:{gate.calls}/shop/read")
            assert (reply.http_version, reply.status_code) == ("HTTP/2", 200)
    old = httpx.get(
        f"https://localhost:{gate.calls}/shop/read", headers=bearer(token), verify=ssl.create_default_context(cafile=ca)
    )
    assert (old.http_version, old.status_code) == ("HTTP/1.1", 200)


def test_the_preface_over_tls_without_agreement_is_refused(secure: tuple[Gate, str]) -> None:
    """RFC 9113, 3.3: prior knowledge is for clear text."""
    gate, ca = secure
    with connect(gate.calls, context=ssl.create_default_context(cafile=ca)) as sock:
        sock.sendall(OPENING)
        assert read_answer(sock).startswith(b"HTTP/1.1 400 ")


CURL = shutil.which("curl")


def curl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(CURL), "-sS", "--max-time", "30", *arguments], capture_output=True, check=True)


@pytest.mark.skipif(CURL is None, reason="there is no curl")
def test_curl_with_prior_knowledge(gate: Gate, target: Target, token: str) -> None:
    fields = ["-H", f"Authorization: Bearer {token}", "-w", "%{http_version} %{http_code} %{num_connects}\n"]
    found = curl("--http2-prior-knowledge", *fields, f"{gate.url}/shop/read")
    assert found.stdout == b'{"ok":true}2 200 1\n'
    found = curl("--http2-prior-knowledge", *fields, "--json", '{"amount": 7}', f"{gate.url}/shop/orders")
    assert found.stdout == b'{"ok":true}2 200 1\n'
    assert target.ledger[-1].body == b'{"amount": 7}'


@pytest.mark.skipif(CURL is None, reason="there is no curl")
def test_curl_over_tls_and_by_upgrade(secure: tuple[Gate, str], gate: Gate, target: Target, token: str) -> None:
    over, ca = secure
    fields = ["-H", f"Authorization: Bearer {token}", "-w", " %{http_version} %{num_connects} "]
    found = curl(*fields, "--cacert", ca, *[f"https://localhost:{over.calls}/shop/read"] * 3)
    assert found.stdout == b'{"ok":true} 2 1 {"ok":true} 2 0 {"ok":true} 2 0 '  # one connection, kept alive
    found = curl(*fields, "--http2", f"{gate.url}/shop/read")  # asks for an upgrade, which may be ignored
    assert found.stdout == b'{"ok":true} 1.1 1 '


# Refusals.


def test_every_refusal_has_the_same_shape(gate: Gate, authority: Authority, token: str) -> None:
    wrong = {
        "identity.missing": {},
        "identity.invalid": {"Authorization": "Bearer a.b.c"},
        "identity.expired": {"Authorization": f"Bearer {authority.token(exp=1, iat=0)}"},
        "policy.denied": {"Authorization": f"Bearer {authority.token(groups=('others',))}"},
    }
    with client() as caller:
        for code, fields in wrong.items():
            reply = caller.get(f"{gate.url}/shop/read", headers=fields)
            old = httpx.get(f"{gate.url}/shop/read", headers=fields)
            assert reply.headers["content-type"] == "application/problem+json"
            problem, expected = reply.json(), old.json()
            assert problem["call_id"] == reply.headers["funcgate-call-id"]
            assert problem | {"call_id": ""} == expected | {"call_id": ""}
            assert (problem["code"], reply.status_code) == (code, old.status_code)
            own = {"funcgate-call-id", "server-timing"}
            assert {n: v for n, v in reply.headers.items() if n not in own} == {
                n: v for n, v in old.headers.items() if n not in own
            }
        reply = caller.get(f"{gate.url}/shop/nothing", headers=bearer(token))
        assert (reply.status_code, reply.json()["code"]) == (403, "function.unknown")


REFUSED_REQUESTS: dict[str, tuple[Callable[[str], Fields], bytes | None, int, str]] = {
    "too large a body, announced": (
        lambda t: post(t, (b"content-length", b"100000")), b"", 413, "request.too_large",
    ),
    "too large a body": (post, b'{"amount":1,"note":"' + b"a" * 70_000, 413, "request.too_large"),
    "an encoded body": (lambda t: post(t, (b"content-encoding", b"gzip")), ORDER, 415, "request.invalid"),
    "another expectation": (lambda t: post(t, (b"expect", b"magic")), ORDER, 417, "request.invalid"),
    "too many fields": (lambda t: get(t, *[(b"x%d" % n, b"") for n in range(200)]), None, 431, "request.too_large"),
    "a field twice": (lambda t: get(t, (b"authorization", b"Bearer x")), None, 400, "request.invalid"),
    "fields that may be read as one": (lambda t: get(t, (b"x-user", b"a"), (b"x_user", b"b")), None, 400, "request.invalid"),
    "malformed": (lambda t: get(t, (b"Upper", b"a")), None, 400, "request.invalid"),
    "CONNECT": (lambda t: [(b":method", b"CONNECT"), (b":authority", b"gate")], None, 501, "request.invalid"),
    "wrong arguments": (post, b'{"amount":"five"}', 400, "request.invalid"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED_REQUESTS)
def test_what_cannot_be_served_is_refused_and_recorded(gate: Gate, target: Target, token: str, name: str) -> None:
    make, body, status, code = REFUSED_REQUESTS[name]
    with H2Caller(gate.calls) as caller:
        caller.send(headers(1, make(token), END_HEADERS | (body is None)))
        for at in range(0, len(body or b""), 16384):
            caller.send(data(1, (body or b"")[at : at + 16384], end=at + 16384 >= len(body or b"")))
        found, head, problem = caller.answer(1)
        assert (found, json.loads(problem)["code"]) == (status, code)
        call_id = value(head, b"funcgate-call-id")
        if name == "malformed":
            assert caller.until(RST_STREAM, 1).number == PROTOCOL
        caller.ask(3, get(token))  # the connection is none the worse
        assert caller.answer(3)[0] == 200
    assert target.seen("/orders") == []
    assert call_id is not None
    until(lambda: [entry for entry in gate.entries() if entry["call"] == call_id.decode() or entry.get("code") == code])


def test_a_refusal_before_the_whole_body_is_read_ends_the_stream_and_no_more(gate: Gate, target: Target) -> None:
    with H2Caller(gate.calls) as caller:
        caller.ask(1, post("not.a.token"), b"x" * 1000, end=False)
        assert caller.answer(1)[0] == 401
        assert caller.until(RST_STREAM, 1).number == NO_ERROR  # RFC 9113, 8.1: the rest is not wanted
        caller.send(data(1, bytes(10_000)))
        caller.settle()
        assert not caller.closed


def test_a_body_that_is_not_as_long_as_announced_is_refused_and_recorded(
    gate: Gate, target: Target, token: str
) -> None:
    until(lambda: gate.get_console("/readyz")[0] == 200)
    before = len(gate.entries())
    with H2Caller(gate.calls) as caller:
        caller.ask(1, post(token, (b"content-length", b"14")), ORDER[:5], end=False)
        caller.settle()
        caller.send(data(1, ORDER[5:]))
        assert caller.until(RST_STREAM, 1).number == PROTOCOL
    until(lambda: [entry for entry in gate.entries()[before:] if entry.get("code") == "request.invalid"])
    assert target.ledger == []


def test_a_held_call_is_told_so(wide: Gate, target: Target, token: str) -> None:
    with client(headers=bearer(token)) as caller:
        reply = caller.post(f"{wide.url}/held/orders", json={"amount": 5}, headers={"Prefer": "wait=0"})
        assert (reply.status_code, reply.json()["code"]) == (403, "approval.pending")
        assert int(reply.headers["retry-after"]) > 0
        reply = caller.post(f"{wide.url}/held/orders", json={"amount": 5}, headers={"Prefer": "respond-async"})
        assert (reply.status_code, reply.headers["preference-applied"]) == (202, "respond-async")
    assert target.ledger == []


# Ends before their time.


def test_a_reset_cancels_the_call_and_no_other(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = never
    with H2Caller(gate.calls) as caller:
        caller.ask(1, get(token))
        (received,) = until(lambda: target.seen("/read"))
        caller.ask(3, get(token, path=b"/shop/items/3"))
        caller.send(rst(1, CANCEL))
        until(lambda: received.cancelled)
        assert caller.answer(3)[0] == 200
    call_id = received.header("funcgate-call-id")
    assert call_id is not None
    assert gate.ended(call_id)["outcome"] == "cancelled"


def test_a_reset_in_the_middle_of_an_answer_cancels_the_call(wide: Gate, target: Target, token: str) -> None:
    async def endless(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"2710\r\n%b\r\n" % (b"word " * 2000))
                await writer.drain()
        finally:
            received.cancelled = True

    target.answers["/read"] = endless
    with H2Caller(wide.calls) as caller:
        caller.ask(1, get(token))
        until(lambda: caller.read() and len(caller.bodies.get(1, b"")) > 50_000)
        caller.send(rst(1, CANCEL))
        (received,) = target.seen("/read")
        until(lambda: received.cancelled)
        assert wide.ended(received.header("funcgate-call-id") or "")["outcome"] == "cancelled"
        caller.send(update(0, 1 << 20))
        caller.ask(3, get(token, path=b"/shop/items/3"))
        assert caller.answer(3)[0] == 200


def test_streams_that_were_reset_at_once_leave_room_for_others(gate: Gate, target: Target, token: str) -> None:
    """Attack: a head and its reset in one packet, as often as streams may be open; their tasks end before they begin."""
    with H2Caller(gate.calls) as caller:
        for first in (1, 101):
            caller.send(b"".join(headers(n, get(token)) + rst(n, CANCEL) for n in range(first, first + 100, 2)))
        caller.settle()
        caller.send(b"".join(headers(n, get(token)) for n in range(301, 501, 2)))
        for stream in range(301, 501, 2):
            assert caller.answer(stream)[0] == 200


def test_a_connection_that_is_lost_cancels_all_its_calls(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = never
    with H2Caller(gate.calls) as caller:
        caller.send(b"".join(headers(stream, get(token)) for stream in (1, 3, 5)))
        until(lambda: len(target.seen("/read")) == 3)
    found = target.seen("/read")
    until(lambda: all(received.cancelled for received in found))
    for received in found:
        assert gate.ended(received.header("funcgate-call-id") or "")["outcome"] == "cancelled"


def test_an_answer_that_breaks_off_is_reset_and_never_ended(wide: Gate, target: Target, token: str) -> None:
    async def half(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            writer.write(b"2710\r\n%b\r\n" % (b"word " * 2000))
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.close()

    target.answers["/read"] = half
    with H2Caller(wide.calls, opening=PREFACE + set_to(_4=1 << 20) + update(0, 1 << 20)) as caller:
        caller.ask(1, get(token))
        assert caller.until(RST_STREAM, 1).number == INTERNAL
        assert not [one for one in caller.seen if one.stream == 1 and one.kind in (HEADERS, DATA) and one.flags & 1]
        caller.ask(3, get(token, path=b"/shop/items/3"))
        assert caller.answer(3)[0] == 200
    (received,) = target.seen("/read")
    assert wide.ended(received.header("funcgate-call-id") or "")["outcome"] == "cut"


def test_a_body_that_never_ends_is_timed_out(gate: Gate, target: Target, token: str) -> None:
    with H2Caller(gate.calls) as caller:
        caller.ask(1, post(token), b"{", end=False)
        status, _, body = caller.answer(1)
        assert (status, json.loads(body)["code"]) == (408, "request.timeout")
        caller.ask(3, get(token))
        assert caller.answer(3)[0] == 200
    assert target.seen("/orders") == []


def test_the_end_of_the_gateway_lets_open_streams_end(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    release: list[asyncio.StreamWriter] = []

    async def slow(received: Received, writer: asyncio.StreamWriter) -> None:
        release.append(writer)
        await asyncio.sleep(20)

    async def go(received: Received, writer: asyncio.StreamWriter) -> None:
        release[0].write(answer(b'{"late":true}'))
        writer.write(answer())

    target.answers |= {"/read": slow, "/go": go}
    gate = make_gate().start()
    with H2Caller(gate.calls) as caller, H2Caller(gate.calls) as idle:
        caller.ask(1, get(token))
        idle.ask(1, get(token, path=b"/shop/items/1"))
        assert idle.answer(1)[0] == 200
        until(lambda: release)
        assert gate.process is not None
        gate.process.terminate()
        away = caller.until(GOAWAY)
        assert (away.payload[:4], away.number) == (b"\0\0\0\1", NO_ERROR)
        assert idle.read_all()[-1].kind == GOAWAY
        caller.ask(3, get(token))
        assert caller.until(RST_STREAM, 3).number == REFUSED
        httpx.get(f"{target.url}/go")
        assert caller.answer(1)[::2] == (200, b'{"late":true}')
        caller.read_all()
    assert gate.stop() == 0
    assert len(target.seen("/read")) == 1


@pytest.mark.skipif(CURL is None, reason="there is no curl")
def test_the_end_of_the_gateway_lets_a_real_client_finish(
    make_gate: Callable[..., Gate], target: Target, token: str, tmp_path: Path
) -> None:
    """Answers are half there when SIGTERM comes, and come whole. Over TLS, where curl has all of them on one connection."""
    release = threading.Event()

    async def two_halves(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nContent-Length: 600000\r\n\r\n" + b"a" * 300_000)
        await asyncio.to_thread(release.wait, 20)
        writer.write(b"b" * 300_000)

    target.default = two_halves
    listen, ca = over_tls(tmp_path)
    gate = make_gate(listen=listen).start()
    urls = [f"https://localhost:{gate.calls}/shop/items/{n}" for n in range(5)]
    written = "%{stderr}%{http_version} %{num_connects}\\n"
    command = [str(CURL), "-sS", "--max-time", "30", "-Z", "-w", written, "--cacert", ca]
    command += ["-H", f"Authorization: Bearer {token}"]
    with subprocess.Popen([*command, *urls], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as curl:
        until(lambda: len(target.ledger) == 5)
        assert gate.process is not None
        gate.process.terminate()
        until(lambda: refuses(gate.calls))
        release.set()
        found, told = curl.communicate(timeout=30)
    assert curl.returncode == 0
    assert told.count(b"2 0\n") + told.count(b"2 1\n") == 5
    assert b"2 0\n" in told  # several on one connection
    assert (found.count(b"a"), found.count(b"b")) == (1_500_000, 1_500_000)
    assert gate.stop() == 0


def refuses(port: int) -> bool:
    """Whether nobody listens there any more."""
    try:
        connect(port).close()
    except OSError:
        return True
    return False


def test_a_caller_that_says_goaway_gets_its_answers(gate: Gate, target: Target, token: str) -> None:
    with H2Caller(gate.calls) as caller:
        caller.send(headers(1, get(token)) + goaway())
        assert caller.answer(1)[0] == 200
        caller.read_all()


# The frames that matter most, through a real socket (tests/wire has all of them).


SENT: dict[str, tuple[bytes, int]] = {
    "no preface": (b"INVALID CONNECTION PREFACE\r\n\r\n", -1),
    "no SETTINGS": (PREFACE + frame(6, 0, 0, bytes(8)), PROTOCOL),
    "DATA of an idle stream": (OPENING + data(1, b"x"), PROTOCOL),
    "a stream that is the server's": (OPENING + headers(2), PROTOCOL),
    "too large a frame": (OPENING + frame(0x20, 0, 0, bytes(16385)), 6),
    "a block that is none": (OPENING + frame(HEADERS, 5, 1, b"\x80"), 9),
    "a cut integer in a block": (OPENING + frame(HEADERS, 5, 1, b"\xff"), 9),
    "another frame within a block": (OPENING + frame(HEADERS, 1, 1, b"\x82") + frame(6, 0, 0, bytes(8)), PROTOCOL),
    "too large a window": (OPENING + update(0, (1 << 31) - 1), 3),
    "a flood of SETTINGS": (OPENING + set_to() * 60, CALM),
    "a flood of PING": (OPENING + frame(6, 0, 0, bytes(8)) * 210, CALM),
}


@pytest.mark.parametrize("name", SENT)
def test_a_broken_connection_ends_with_its_code(gate: Gate, target: Target, name: str) -> None:
    sent, code = SENT[name]
    if code < 0:
        assert statuses(exchange(gate.calls, sent)) == [400]  # it is taken for HTTP/1.1, and is not that either
        return
    with H2Caller(gate.calls, opening=sent) as caller:
        seen = caller.read_all()
    assert [one.number for one in seen if one.kind == GOAWAY] == [code]
    assert target.ledger == []


def test_frames_behind_the_end_of_a_stream_end_the_connection(gate: Gate, target: Target, token: str) -> None:
    with H2Caller(gate.calls) as caller:
        caller.ask(1, get(token))
        caller.answer(1)
        caller.send(data(1, b"x"))
        assert caller.read_all()[-1].number == CLOSED


def test_what_the_gateway_offers(gate: Gate) -> None:
    with H2Caller(gate.calls) as caller:
        offered = caller.until(SETTINGS).payload
    told = {
        int.from_bytes(offered[at : at + 2], "big"): int.from_bytes(offered[at + 2 : at + 6], "big")
        for at in range(0, len(offered), 6)
    }
    assert told == {3: 100, 4: 128 << 10, 6: (4 << 10) + 32 * 100}  # 4 KiB of header bytes are this gateway's setting
