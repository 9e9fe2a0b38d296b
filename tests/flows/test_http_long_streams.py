"""How long an answer of events or lines may go on over HTTP: limits of its own, and never longer than its caller may call."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from conftest import FUNCTIONS
from support.authority import ISSUER, Authority
from support.gate import Gate, settings, until
from support.h2target import H2Request, H2Target
from support.raw import connect
from support.target import Received, Target, answer
from support.workers import one_process

EVENTS, LINES, JSON = "text/event-stream", "application/x-ndjson", "application/json"
PLACES = ["shop", pytest.param("mall", marks=pytest.mark.slow)]  # over HTTP/1.1, over HTTP/2
SHORT = {"timeout": "1s", "first_byte_timeout": "1s", "idle_timeout": "500ms"}
TICK = b'data: {"n":1}\n\n'
Script = Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]]


class Places:
    """The gateway and its two targets, which do the same."""

    def __init__(self, gate: Gate, target: Target, mall: H2Target, authority: Authority) -> None:
        self.gate = gate
        self.target = target
        self.mall = mall
        self.authority = authority
        self.over: list[str] = []

    def script(self, script: Script, media: str, extra: bytes = b"") -> None:
        """What both answer, piece by piece, and that the gateway hung up."""
        over: list[str] = []
        self.over = over  # of this test alone

        async def over_http1(_: Received, writer: asyncio.StreamWriter) -> None:
            async def put(data: bytes) -> None:
                writer.write(data if extra else b"%x\r\n%b\r\n" % (len(data), data))
                await writer.drain()

            framing = extra or b"Transfer-Encoding: chunked\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b\r\n" % (media.encode(), framing))
            try:
                await script(put)
                if not extra:
                    writer.write(b"0\r\n\r\n")
            except asyncio.CancelledError:
                over.append("shop")
                raise

        async def over_http2(request: H2Request) -> None:
            length = [("content-length", extra.split()[1].decode())] if extra else []
            request.head([(":status", "200"), ("content-type", media), *length])
            try:
                await script(request.write)
                request.connection.state.end_stream(request.stream)
                request.connection.flush()
            except asyncio.CancelledError:
                over.append("mall")
                raise

        self.target.answers["/read"] = over_http1
        self.mall.answers["/read"] = over_http2

    def listen(self, place: str, gate: Gate | None = None, **token: Any) -> Any:
        headers = {"authorization": f"Bearer {self.authority.token(**token)}"}
        return httpx.stream("GET", f"{(gate or self.gate).url}/{place}/read", headers=headers, timeout=20)

    def last(self, call_id: str) -> dict[str, Any]:
        return self.gate.ended(call_id)


def make(
    folder: Any, authority: Authority, target: Target, mall: H2Target, limits: dict[str, Any], **more: Any
) -> Gate:
    changes = settings(authority, target.url, FUNCTIONS, target={"limits": SHORT | limits}, **more)
    other = changes["targets"][0] | {"name": "mall", "url": mall.url, "http2": True}
    changes["targets"] = [changes["targets"][0], other]
    policy = {"name": "agents", "effect": "allow", "functions": ["*"], "principals": ["group:agents"]}
    issuer = {"name": "corp", "issuer": ISSUER, "audience": "funcgate", "leeway": "0s"}
    changes |= {"policies": [policy], "roles": {"admin": ["group:finance"]}}
    changes["issuers"] = [issuer | {"jwks_file": str(authority.jwks_file)}]
    return Gate(folder, changes).start()


@pytest.fixture(scope="module")
def places(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    target, mall = Target().start(), H2Target().start()
    limits = {"stream_timeout": "1h", "stream_idle_timeout": "3s"}
    gate = make(tmp_path_factory.mktemp("gate"), authority, target, mall, limits)
    yield Places(gate, target, mall, authority)
    assert gate.stop() == 0
    target.stop()
    mall.stop()


async def ticks(put: Callable[[bytes], Awaitable[None]]) -> None:
    while True:
        await put(TICK)
        await asyncio.sleep(0.1)


async def one_and_silence(put: Callable[[bytes], Awaitable[None]]) -> None:
    await put(TICK)
    await asyncio.sleep(30)


async def one_and_another(put: Callable[[bytes], Awaitable[None]]) -> None:
    await put(b'{"n":1}\n')
    await asyncio.sleep(1.3)  # longer than `idle_timeout`, and than `timeout`
    await put(b'{"n":2}\n')


@pytest.mark.parametrize("place", PLACES)
def test_events_outlive_the_limits_of_a_call(places: Places, place: str) -> None:
    places.script(ticks, EVENTS + "; charset=utf-8")
    began, got = time.monotonic(), b""
    with places.listen(place) as reply:
        for piece in reply.iter_raw():
            got += piece
            if time.monotonic() > began + 1.8 and len(got) >= 5 * len(
                TICK
            ):  # longer than `timeout` and what a sweep may add
                break
    assert got.startswith(TICK * 5)
    assert places.last(reply.headers["funcgate-call-id"])["outcome"] == "cancelled"
    until(lambda: places.over == [place])


@pytest.mark.parametrize("place", PLACES)
def test_lines_may_be_silent_for_longer_than_within_a_call(places: Places, place: str) -> None:
    places.script(one_and_another, LINES)
    with places.listen(place) as reply:
        assert reply.read() == b'{"n":1}\n{"n":2}\n'
    assert places.last(reply.headers["funcgate-call-id"])["outcome"] == "complete"


@pytest.mark.parametrize("place", PLACES)
def test_silence_ends_a_stream(places: Places, place: str) -> None:
    places.script(one_and_silence, EVENTS)
    began = time.monotonic()
    got: list[bytes] = []
    with places.listen(place) as reply, pytest.raises(httpx.RemoteProtocolError):
        got.extend(reply.iter_raw())
    assert b"".join(got) == TICK
    assert time.monotonic() > began + 1.9
    ended = places.last(reply.headers["funcgate-call-id"])
    assert (ended["code"], ended["outcome"]) == ("target.timeout", "cut")
    until(lambda: places.over == [place])


ORDINARY = {
    "JSON": (JSON, b""),
    "text": ("text/plain", b""),
    "events of a declared length": (EVENTS, b"Content-Length: 1000000\r\n"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ORDINARY)
def test_any_other_answer_keeps_the_limits_of_a_call(places: Places, place: str, kind: str) -> None:
    """Attack: an answer that never ends, until all connections are taken."""
    media, extra = ORDINARY[kind]
    places.script(ticks, media, extra)
    began = time.monotonic()
    with places.listen(place) as reply, pytest.raises(httpx.RemoteProtocolError):
        for _ in reply.iter_raw():
            pass
    assert time.monotonic() < began + 10
    assert places.last(reply.headers["funcgate-call-id"])["code"] == "target.timeout"


@pytest.mark.parametrize("place", PLACES)
def test_a_stream_ends_with_the_token_of_its_caller(places: Places, place: str) -> None:
    """Attack: a token of a few seconds, and a stream of days."""
    places.script(ticks, EVENTS)
    expires_at = int(time.time()) + 4  # by which it has begun, on a busy machine too
    with places.listen(place, exp=expires_at) as reply, pytest.raises(httpx.RemoteProtocolError):
        for _ in reply.iter_raw():
            pass
    assert time.time() >= expires_at
    call_id = reply.headers["funcgate-call-id"]
    assert (places.last(call_id)["code"], places.last(call_id)["outcome"]) == ("identity.expired", "cut")
    kinds = [entry["kind"] for entry in places.gate.call_entries(call_id)]
    assert (kinds[:2], kinds[-2:]) == (["arrived", "allowed"], ["denied", "ended"])
    until(lambda: places.over == [place])


@pytest.mark.parametrize("place", PLACES)
def test_a_revocation_ends_a_stream(places: Places, place: str) -> None:
    places.script(ticks, EVENTS)
    gate, subject = places.gate, f"mallory-{place}"
    with places.listen(place, subject=subject) as reply:
        pieces = reply.iter_raw()
        assert next(pieces)
        headers = {"authorization": f"Bearer {places.authority.token('bob', ('finance',))}"}
        what = {"subject": subject, "issuer": "corp", "reason": "left"}
        made = httpx.post(f"http://127.0.0.1:{gate.console}/api/v1/revocations", headers=headers, json=what)
        assert made.status_code == 201, made.text
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in pieces:
                pass
    assert places.last(reply.headers["funcgate-call-id"])["code"] == "identity.revoked"


@pytest.fixture(scope="module")
def strict(places: Places, authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """Answers are masked; a stream has four seconds, and may outlive its token."""
    limits = {"stream_timeout": "4s", "end_with_token": False}
    masking = [{"functions": ["*"], "detect": "all"}]
    gate = make(tmp_path_factory.mktemp("gate"), authority, places.target, places.mall, limits, masking=masking)
    yield gate
    assert gate.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_revocation_ends_a_stream_that_outlived_its_token(
    places: Places, authority: Authority, tmp_path: Any, place: str
) -> None:
    """Attack: be revoked after one's token expired, and listen on for as long as a stream may."""
    places.script(ticks, EVENTS)
    limits = {"stream_timeout": "1h", "end_with_token": False}
    gate = make(tmp_path, authority, places.target, places.mall, limits)
    expires_at = int(time.time()) + 2
    with places.listen(place, gate, subject="mallory", exp=expires_at) as reply:
        pieces = reply.iter_raw()
        while time.time() < expires_at + 1.5:
            assert next(pieces)
        headers = {"authorization": f"Bearer {authority.token('bob', ('finance',))}"}
        what = {"subject": "mallory", "issuer": "corp", "reason": "left"}
        made = httpx.post(f"http://127.0.0.1:{gate.console}/api/v1/revocations", headers=headers, json=what)
        assert made.status_code == 201, made.text
        end = time.monotonic() + 15
        with pytest.raises(httpx.RemoteProtocolError):
            all(time.monotonic() < end for _ in pieces)
    assert gate.ended(reply.headers["funcgate-call-id"])["code"] == "identity.revoked"
    assert gate.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_stream_that_is_never_silent_ends_when_its_time_is_over(places: Places, strict: Gate, place: str) -> None:
    """Attack: streams for ever, until all that there may be are taken. Each line is masked, the token's end ends nothing."""

    async def lines(put: Callable[[bytes], Awaitable[None]]) -> None:
        while True:
            await put(b'{"mail":"a.b@mail.example.com"}\n')
            await asyncio.sleep(0.1)

    places.script(lines, LINES)
    began = time.monotonic()
    got: list[bytes] = []
    listening = places.listen(place, strict, exp=int(time.time()) + 2)
    with listening as reply, pytest.raises(httpx.RemoteProtocolError):
        got.extend(reply.iter_raw())
    assert time.monotonic() > began + 3.9
    assert set(b"".join(got).splitlines()) == {b'{"mail":"[REDACTED:email]"}'}
    assert strict.ended(reply.headers["funcgate-call-id"])["code"] == "target.timeout"


@pytest.mark.parametrize("place", PLACES)
def test_events_that_are_collected_keep_the_limits_of_a_call(places: Places, strict: Gate, place: str) -> None:
    """Nobody sees anything of them before their end."""
    places.script(ticks, EVENTS)
    began = time.monotonic()
    with places.listen(place, strict) as reply:
        reply.read()
    assert time.monotonic() < began + 3.9
    assert (reply.status_code, reply.json()["code"]) == (504, "target.timeout")


@one_process("a kept connection is one worker's")
def test_a_connection_that_carried_a_stream_has_the_limits_of_a_call_again(places: Places) -> None:
    places.script(one_and_another, LINES)
    with places.listen("shop") as reply:
        reply.read()
    before = places.target.connections

    async def slow(_: Received, writer: asyncio.StreamWriter) -> None:
        whole = answer()
        writer.write(whole[:-2])
        await asyncio.sleep(20)

    places.target.answers["/read"] = slow
    began = time.monotonic()
    with places.listen("shop") as reply:
        reply.read()
    assert reply.json()["code"] == "target.timeout"
    assert time.monotonic() < began + 10
    assert places.target.connections == before


@pytest.mark.parametrize("place", PLACES)
def test_a_caller_that_closes_its_side_gets_nothing_but_the_answer(places: Places, place: str) -> None:
    """A half-close in the middle of an answer: an interim answer would stand in the middle of its body (RFC 9110, 15.2)."""
    closed = threading.Event()

    async def two(put: Callable[[bytes], Awaitable[None]]) -> None:
        await put(TICK)
        assert await asyncio.to_thread(closed.wait, 10.0)
        for _ in range(8):
            await put(TICK)
            await asyncio.sleep(0.1)

    places.script(two, EVENTS)
    with connect(places.gate.calls) as sock:
        token = places.authority.token()
        sock.sendall(f"GET /{place}/read HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        got = b""
        while TICK not in got:
            got += sock.recv(1 << 16)
        sock.shutdown(socket.SHUT_WR)
        closed.set()
        while more := sock.recv(1 << 16):
            got += more
    assert got.count(b"HTTP/1.1 ") == 1
    assert got.count(TICK) == 9
    assert got.endswith(b"\r\n0\r\n\r\n")
