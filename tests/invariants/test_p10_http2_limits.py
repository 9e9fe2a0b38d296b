"""P10 over HTTP/2: what one caller's connection does costs that connection, never memory, the record or other callers.

Each attack runs against a real gateway while others call it; each ends as docs/http2.md says.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from funcgate.wire.http2.limits import Http2Limits
from support.authority import Authority
from support.gate import Gate, settings, until
from support.h2frames import (
    ACK,
    CALM,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    OPENING,
    PING,
    PREFACE,
    PRIORITY,
    REFUSED,
    RST_STREAM,
    SETTINGS,
    Fields,
    block,
    data,
    frame,
    headers,
    rst,
    update,
)
from support.h2frames import settings as set_to
from support.h2raw import H2Caller
from support.target import Received, Target, answer
from support.workers import one_process

SHOWN_BY = {
    "head": "test_a_giant_list_of_fields_is_refused_or_ends_the_connection",
    "max_streams": "test_streams_beyond_the_limit_are_refused",
    "stream_window": "test_more_than_the_windows_is_not_taken",
    "connection_window": "test_more_than_the_windows_is_not_taken",
    "max_frame": "test_a_broken_connection_ends_with_its_code",
    "max_continuations": "test_a_flood_ends_its_connection_and_nothing_else",
    "max_unread": "test_a_caller_that_makes_us_answer_and_reads_nothing_is_cut_off",
    "max_interim": "test_more_interim_answers_than_the_limit_are_refused",
    "per_s": "test_a_budget_is_what_the_limit_says_and_comes_back",
    "resets": "test_a_flood_ends_its_connection_and_nothing_else",
    "settings": "test_a_flood_ends_its_connection_and_nothing_else",
    "pings": "test_a_flood_ends_its_connection_and_nothing_else",
    "empty": "test_a_flood_ends_its_connection_and_nothing_else",
    "priorities": "test_a_flood_ends_its_connection_and_nothing_else",
    "updates": "test_a_flood_ends_its_connection_and_nothing_else",
    "unknown": "test_a_flood_ends_its_connection_and_nothing_else",
}


def test_every_http2_limit_has_a_test() -> None:
    assert set(Http2Limits.__struct_fields__) == set(SHOWN_BY)
    source = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert all(f"def {name}(" in source for name in SHOWN_BY.values())


MOST_GROWTH = 64 << 20  # bytes of memory, whatever one connection sends
WIDE = PREFACE + set_to(_4=(1 << 31) - 1) + update(0, (1 << 31) - 1 - 65535)  # windows without end
ODD = range(1, 1 << 31, 2)


def fields_of(token: str, *more: tuple[bytes, bytes], path: bytes = b"/shop/items/1", method: bytes = b"GET") -> Fields:
    head = [(b":method", method), (b":scheme", b"http"), (b":path", path), (b":authority", b"gate")]
    return [*head, (b"authorization", b"Bearer " + token.encode()), *more]


def post(token: str, *more: tuple[bytes, bytes]) -> Fields:
    return fields_of(token, (b"content-type", b"application/json"), *more, path=b"/shop/orders", method=b"POST")


@pytest.fixture(scope="module")
def gate(authority: Authority, shared_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """The gateway of this file. At the end, whatever was done to it: P2 holds."""
    functions: list[dict[str, Any]] = [
        {"name": "item", "http": "GET /items/{id}"},
        {"name": "order", "http": "POST /orders", "args": {"amount": "integer", "note": "string"}},
    ]
    limits = {"header_timeout": "1s", "body_timeout": "1s", "write_timeout": "1s"}
    listen = {"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "limits": limits}
    running = Gate(
        tmp_path_factory.mktemp("gate"),
        settings(
            authority,
            shared_target.url,
            functions,
            listen=listen,
            target={"limits": {"max_response": "64MiB"}},
            journal={"record": "64MiB"},
        ),
    ).start()
    yield running
    assert running.stop() == 0
    check_record(running.entries())


def check_record(entries: list[dict[str, Any]]) -> None:
    """P2: every "arrived" has exactly one "ended"; and P1: nothing ended well without an "allowed"."""
    kinds: dict[str, list[str]] = {}
    for entry in entries:
        kinds.setdefault(entry["call"], []).append(entry["kind"])
    arrived = [calls for calls in kinds.values() if "arrived" in calls]
    assert arrived
    assert [calls for calls in arrived if calls.count("arrived") != 1 or calls.count("ended") != 1] == []


def memory(gate: Gate) -> int:
    """Bytes of memory that the process holds."""
    assert gate.process is not None
    status = Path(f"/proc/{gate.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


class Others:
    """Callers that do nothing wrong, and the highest memory while they called."""

    def __init__(self, gate: Gate, token: str) -> None:
        self._gate = gate
        self._fields = {"Authorization": f"Bearer {token}"}
        self._stop = threading.Event()
        self.served = 0
        self.wrong: list[str] = []
        self.peak = 0

    def run(self) -> None:
        url = f"{self._gate.url}/shop/items/7"
        with (
            httpx.Client(http1=False, http2=True, timeout=20, headers=self._fields) as new,
            httpx.Client(timeout=20, headers=self._fields) as old,
        ):
            while not self._stop.wait(0.01):
                for caller in (new, old):
                    try:
                        reply = caller.get(url)
                        if reply.status_code != 200:
                            self.wrong.append(reply.text)
                    except httpx.HTTPError as error:
                        self.wrong.append(repr(error))
                self.served += 1
                self.peak = max(self.peak, memory(self._gate))

    def stop(self) -> None:
        self._stop.set()


@contextmanager
def others_are_served(gate: Gate, token: str) -> Iterator[Others]:
    """Within, others call all the time; at the end: all of them were served, and memory stayed where it was."""
    others = Others(gate, token)
    thread = threading.Thread(target=others.run)
    thread.start()
    try:
        until(lambda: others.served > 5 or others.wrong)
        before = memory(gate)
        yield others
        served = others.served
        until(lambda: others.served > served + 1 or others.wrong)
    finally:
        others.stop()
        thread.join(60)
    assert others.wrong == []
    assert max(others.peak, memory(gate)) - before < MOST_GROWTH


# Floods: frames that cost the gateway more than who sends them.


def rapid_reset(token: str) -> Iterator[bytes]:
    head = block(fields_of(token))
    for stream in ODD:
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, head) + rst(stream, CANCEL)


def rapid_reset_of_judged_calls(token: str) -> Iterator[bytes]:
    """The reset comes later than the head, so that calls are under way."""
    head = block(fields_of(token))
    yield b"".join(frame(HEADERS, END_HEADERS | END_STREAM, stream, head) for stream in range(1, 101, 2))
    for stream in ODD:
        yield rst(stream, CANCEL) + frame(HEADERS, END_HEADERS | END_STREAM, stream + 100, head)


def resets_that_the_gateway_is_made_to_send(token: str) -> Iterator[bytes]:
    head = block(fields_of(token))
    for stream in ODD:
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, head) + update(stream, 0)


def malformed_requests(token: str) -> Iterator[bytes]:
    head = block(fields_of(token, (b"connection", b"close")))
    for stream in ODD:
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, head)


def heads_that_never_end(token: str) -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1, block(fields_of(token)))
    for _ in count():
        yield frame(CONTINUATION, 0, 1, block([(b"a", b"b")]))


def heads_that_never_end_and_say_nothing(token: str) -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1)
    for _ in count():
        yield frame(CONTINUATION, 0, 1)


def large_heads_that_never_end(token: str) -> Iterator[bytes]:
    yield frame(HEADERS, END_STREAM, 1)
    for _ in count():
        yield frame(CONTINUATION, 0, 1, block([(b"a", b"b" * 16000)]))


def many_settings(token: str) -> Iterator[bytes]:
    for size in count():
        yield set_to(_4=65535 + size % 100, _1=size % 4096)


def acknowledgements(token: str) -> Iterator[bytes]:
    for _ in count():
        yield frame(SETTINGS, ACK)


def pings(token: str) -> Iterator[bytes]:
    for _ in count():
        yield frame(PING, 0, 0, bytes(8))


def empty_data(token: str) -> Iterator[bytes]:
    yield headers(1, post(token), END_HEADERS)
    for _ in count():
        yield data(1, b"", end=False)


def nothing_but_padding(token: str) -> Iterator[bytes]:
    yield headers(1, post(token), END_HEADERS)
    for _ in count():
        yield frame(DATA, 8, 1, b"\x03\0\0\0")


def priorities(token: str) -> Iterator[bytes]:
    for stream in ODD:
        yield frame(PRIORITY, 0, stream, bytes(4) + b"\1")


def window_in_crumbs(token: str) -> Iterator[bytes]:
    yield set_to(_4=0) + headers(1, fields_of(token))
    for _ in count():
        yield update(1, 1)


def windows_that_were_never_used(token: str) -> Iterator[bytes]:
    for _ in count():
        yield update(0, 1024)


def unknown_frames(token: str) -> Iterator[bytes]:
    for _ in count():
        yield frame(0x42, 0, 0, b"x")


def bombs(token: str) -> Iterator[bytes]:
    """A field of 4000 bytes in the table, then one byte for each time it is said: 64 MB in 16 KB (CVE-2016-6581)."""
    head = block(fields_of(token))
    yield frame(HEADERS, END_HEADERS | END_STREAM, 1, head + b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000)
    for stream in range(3, 1 << 31, 2):
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\xbe" * 16000)


FLOODS = [
    rapid_reset, rapid_reset_of_judged_calls, resets_that_the_gateway_is_made_to_send, malformed_requests,
    heads_that_never_end, heads_that_never_end_and_say_nothing, large_heads_that_never_end, many_settings, acknowledgements,
    pings, empty_data, nothing_but_padding, priorities, window_in_crumbs, windows_that_were_never_used, unknown_frames, bombs,
]  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: str(flood.__name__))
def test_a_flood_ends_its_connection_and_nothing_else(
    gate: Gate, target: Target, token: str, flood: Callable[[str], Iterator[bytes]]
) -> None:
    with others_are_served(gate, token), H2Caller(gate.calls) as caller:
        pieces = flood(token)
        until(lambda: not poured(caller, b"".join(next(pieces) for _ in range(50))))
        away = [one.number for one in caller.read_all() if one.kind == GOAWAY]
    assert away == [CALM]
    until(lambda: all_ended(gate))


def poured(caller: H2Caller, sent: bytes) -> bool:
    """Send, and take in what is there. False once the gateway has said GOAWAY or has hung up."""
    caller.sock.settimeout(20)
    try:
        caller.send(sent)
    except OSError:
        caller.read(0.1)
        return False
    while caller.read(0.001):
        pass
    return not caller.closed and not any(one.kind == GOAWAY for one in caller.seen)


def sent(caller: H2Caller, frames: bytes) -> bool:
    """Send, and read nothing. False once the gateway has hung up."""
    try:
        caller.send(frames)
    except OSError:
        return False
    return True


def all_ended(gate: Gate) -> bool:
    """Nothing is under way any more."""
    return "funcgate_open_calls 0" in gate.get_console("/metrics")[1]


# Callers that take, or give, nothing.


def test_a_caller_that_gives_no_room_is_timed_out(gate: Gate, target: Target, token: str) -> None:
    """A hundred answers wait for a window that never comes (slow read): each is reset, and recorded as cancelled."""
    target.default = answer(b'{"a":"' + b"x" * 60_000 + b'"}')
    before = len(gate.entries())
    with others_are_served(gate, token), H2Caller(gate.calls, opening=PREFACE + set_to(_4=0)) as caller:
        caller.send(b"".join(headers(stream, fields_of(token, path=b"/shop/items/9")) for stream in range(1, 201, 2)))
        for stream in range(1, 201, 2):
            assert caller.until(RST_STREAM, stream, timeout_s=30).number == CANCEL
        assert caller.bodies == {}
        caller.settle()  # the connection is none the worse
    mine = {entry["call"] for entry in gate.entries()[before:] if entry.get("args") == {"id": "9"}}
    assert len(mine) == 100
    until(lambda: outcomes(gate, mine) == ["cancelled"] * 100)


def test_a_caller_that_reads_nothing_is_cut_off(gate: Gate, target: Target, token: str) -> None:
    target.default = answer(b'{"a":"' + b"x" * 500_000 + b'"}')
    before = len(gate.entries())
    with others_are_served(gate, token), H2Caller(gate.calls, opening=WIDE, buffer_bytes=4096) as caller:
        caller.send(b"".join(headers(stream, fields_of(token, path=b"/shop/items/8")) for stream in range(1, 201, 2)))
        until(lambda: len(calls_of(gate, before, "8")) == 100)
        mine = calls_of(gate, before, "8")
        until(lambda: len(outcomes(gate, mine)) == 100)
        assert "cancelled" in outcomes(gate, mine)
        until(lambda: not sent(caller, frame(PING, 0, 0, bytes(8))))


def test_heads_that_nobody_reads_do_not_pile_up(gate: Gate, target: Target, token: str) -> None:
    """Answers without a body need no window: only the transport bounds them."""
    target.default = answer(extra=b"".join(b"X-Long-%d: %b\r\n" % (n, b"x" * 7000) for n in range(4)))
    head = block(fields_of(token, method=b"HEAD"))
    with others_are_served(gate, token), H2Caller(gate.calls, opening=WIDE, buffer_bytes=4096) as caller:
        stream = iter(ODD)
        until(lambda: not sent(caller, frame(HEADERS, END_HEADERS | END_STREAM, next(stream), head)), 60)
    until(lambda: all_ended(gate))


def test_a_caller_that_makes_us_answer_and_reads_nothing_is_cut_off(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    """At `unread`, long before `write_timeout`. Then one that is gone without a word, while a call of its is open; one that
    gives a sign of life is waited for."""
    http2 = {"unread": "512KiB", "pings": 1 << 30, "ping_after": "300ms", "ping_timeout": "1s"}
    listen = {"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "limits": {"write_timeout": "10m", "http2": http2}}
    gate = make_gate(listen=listen).start()
    with H2Caller(gate.calls, opening=WIDE, buffer_bytes=4096) as caller:
        caller.ask(1, fields_of(token))
        until(lambda: not sent(caller, frame(PING, 0, 0, bytes(8)) * 1000), 60)
    target.forget()

    async def held(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(20)

    target.default = held
    with H2Caller(gate.calls) as dead, H2Caller(gate.calls) as slow:
        for caller in (dead, slow):
            caller.ask(1, fields_of(token))
        until(lambda: len(target.ledger) == 2)
        ping = slow.until(PING)
        slow.send(frame(PING, ACK, 0, ping.payload))
        assert PING in [one.kind for one in dead.read_all()]
        slow.settle()
    assert gate.stop() == 0
    check_record(gate.entries())
    assert [entry["outcome"] for entry in gate.entries() if entry["kind"] == "ended"][-2:] == ["cancelled"] * 2


def test_a_body_that_comes_too_slowly_is_refused_and_recorded(gate: Gate, target: Target, token: str) -> None:
    before = len(gate.entries())
    with others_are_served(gate, token), H2Caller(gate.calls) as caller:
        for stream in range(1, 101, 2):
            caller.send(headers(stream, post(token), END_HEADERS) + data(stream, b'{"amount":', end=False))
        ids = set()
        for stream in range(1, 101, 2):
            status, head, _ = caller.answer(stream)
            assert status == 408
            ids.add(dict(head)[b"funcgate-call-id"].decode())
    recorded = {entry["call"] for entry in gate.entries()[before:] if entry.get("code") == "request.timeout"}
    assert len(ids) == 50
    assert ids <= recorded
    assert target.seen("/orders") == []


@pytest.mark.parametrize(
    "sent",
    [
        OPENING[:10],
        PREFACE,
        OPENING + frame(HEADERS, 0, 1, b"\x82"),
        OPENING + frame(HEADERS, END_HEADERS, 1, block([(b"a", b"b")]))[:-1],
        OPENING + b"\0",
    ],
    ids=["half a preface", "no SETTINGS", "a head without an end", "a frame without an end", "a frame that began"],
)
def test_what_is_begun_and_not_ended_is_closed(gate: Gate, target: Target, token: str, sent: bytes) -> None:
    with others_are_served(gate, token), H2Caller(gate.calls, opening=sent) as caller:
        caller.read_all(20)
    assert target.seen("/orders") == []


def test_a_head_byte_by_byte_is_closed_all_the_same(gate: Gate, target: Target, token: str) -> None:
    """Attack: slowloris. Each byte is a sign of life, and none of them ends the head."""
    with others_are_served(gate, token), H2Caller(gate.calls) as caller:
        caller.send(frame(HEADERS, 0, 1))
        drip = iter(frame(CONTINUATION, 0, 1, block([(b"a", b"b" * 10_000)])))

        def dripped() -> bool:
            try:
                caller.send(bytes([next(drip)]))
            except OSError:
                return True
            caller.read(0.01)
            return caller.closed

        until(dripped)


# More than is offered.


def test_streams_beyond_the_limit_are_refused(gate: Gate, target: Target, token: str) -> None:
    with others_are_served(gate, token), H2Caller(gate.calls) as caller:
        fields = post(token)
        caller.send(b"".join(headers(stream, fields, END_HEADERS) for stream in range(1, 301, 2)))
        caller.settle()
        refused = [one for one in caller.seen if one.kind == RST_STREAM]
        assert [one.stream for one in refused] == list(range(201, 301, 2))
        assert {one.number for one in refused} == {REFUSED}
        caller.send(b"".join(data(stream, b'{"amount":1}') for stream in range(1, 201, 2)))
        assert {caller.answer(stream)[0] for stream in range(1, 201, 2)} == {200}
    assert len(target.seen("/orders")) == 100


@one_process("the two connections would go to two workers, each with its part")
def test_streams_of_all_connections_are_bounded(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    limits = {"http2": {"streams": 20, "all_streams": 30}}
    gate = make_gate(listen={"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "limits": limits}).start()
    fields, more = post(token), range(1, 41, 2)
    with H2Caller(gate.calls) as first, H2Caller(gate.calls) as second:
        first.send(b"".join(headers(stream, fields, END_HEADERS) for stream in more))
        first.settle()
        second.send(b"".join(headers(stream, fields, END_HEADERS) for stream in more))
        second.settle()
        assert [one.stream for one in second.seen if one.kind == RST_STREAM] == list(range(21, 41, 2))
        assert 'code="gateway.overloaded"' in gate.get_console("/metrics")[1]
        reply = httpx.get(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"})
        assert reply.status_code == 200  # HTTP/1.1 has its own limit
        first.send(b"".join(data(stream, b'{"amount":1}') for stream in more))
        assert {first.answer(stream)[0] for stream in more} == {200}
        for stream in range(41, 61, 2):  # there is room again
            second.ask(stream, fields, b'{"amount":1}')
            assert second.answer(stream)[0] == 200


def test_a_giant_list_of_fields_is_refused_or_ends_the_connection(gate: Gate, target: Target, token: str) -> None:
    before = len(gate.entries())
    with others_are_served(gate, token), H2Caller(gate.calls) as caller:
        for stream, more in ((1, [(b"a%d" % n, b"") for n in range(100)]), (3, [(b"a", b"b" * 15_000)] * 3)):
            packed = block(fields_of(token, *more))
            pieces = [packed[at : at + 16384] for at in range(0, len(packed), 16384)]
            caller.send(frame(HEADERS, END_STREAM | (END_HEADERS if len(pieces) == 1 else 0), stream, pieces[0]))
            for piece in pieces[1:]:
                caller.send(frame(CONTINUATION, END_HEADERS if piece is pieces[-1] else 0, stream, piece))
            assert caller.answer(stream)[0] == 431
            assert caller.until(RST_STREAM, stream).number == NO_ERROR
        caller.send(frame(HEADERS, END_STREAM, 5, bytes(16384)))
        until(lambda: not poured(caller, frame(CONTINUATION, 0, 5, bytes(16384))))
        assert [one.number for one in caller.read_all() if one.kind == GOAWAY] == [CALM]
    until(lambda: sum(entry.get("code") == "request.too_large" for entry in gate.entries()[before:]) == 2)


def test_more_than_the_windows_is_not_taken(gate: Gate, target: Target, token: str) -> None:
    """In one piece, so that the gateway hardly reads any of it in between: the stream is reset, and goes on at most for what
    may have been under way."""
    window = 128 << 10
    with others_are_served(gate, token), H2Caller(gate.calls) as caller:
        piece = data(1, bytes(16384), end=False)
        caller.send(headers(1, post(token), END_HEADERS) + piece * (window // 16384 + 1))
        assert caller.until(RST_STREAM, 1).number in (FLOW, NO_ERROR)  # NO_ERROR: refused, when it was read in between
        until(lambda: not poured(caller, piece))
        assert [one.number for one in caller.read_all() if one.kind == GOAWAY] == [FLOW]
    assert target.seen("/orders") == []


# What is large, and right.


def test_large_answers_are_held_back_by_their_reader(gate: Gate, target: Target, token: str) -> None:
    """32 MiB in pieces, to a caller that takes 64 KiB at a time: they wait at the target, not here."""

    async def large(received: Any, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (32 << 20))
        for _ in range(512):
            writer.write(b"word " * 13107 + b"\n")
            await writer.drain()

    target.answers["/items/5"] = large
    with others_are_served(gate, token), H2Caller(gate.calls) as caller:
        caller.ask(1, fields_of(token, path=b"/shop/items/5"))
        taken = 0
        while not any(one.kind == DATA and one.flags & END_STREAM for one in caller.seen):
            assert caller.read(), caller.closed
            fresh = sum(len(one.payload) for one in caller.seen if one.kind == DATA)
            caller.seen = [one for one in caller.seen if one.kind != DATA or one.flags & END_STREAM]
            caller.bodies.clear()
            taken += fresh
            if fresh:
                caller.send(update(0, fresh) + update(1, fresh))
        assert taken == 32 << 20


@pytest.mark.slow
def test_an_answer_that_nobody_takes_stays_with_the_target(gate: Gate, target: Target, token: str) -> None:
    """The caller takes a window full and no more: the target can send what buffers hold, not what it has."""
    written, piece = [0], b"word " * 13107 + b"\n"

    async def large(received: Any, writer: Any) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (60 << 20))
        while written[0] < 60 << 20:
            writer.write(piece)
            await writer.drain()
            written[0] += len(piece)

    target.answers["/items/6"] = large
    with others_are_served(gate, token), H2Caller(gate.calls) as caller:
        before = len(gate.entries())
        caller.ask(1, fields_of(token, path=b"/shop/items/6"))
        assert caller.until(RST_STREAM, 1, timeout_s=30).number == CANCEL  # `write_timeout`
        assert len(caller.bodies[1]) == 65535
        mine = calls_of(gate, before, "6")
        until(lambda: outcomes(gate, mine) == ["cancelled"])
    assert 65535 < written[0] < 20 << 20


def calls_of(gate: Gate, since: int, item: str) -> set[str]:
    return {entry["call"] for entry in gate.entries()[since:] if entry.get("args") == {"id": item}}


def outcomes(gate: Gate, calls: set[str]) -> list[str]:
    return [entry["outcome"] for entry in gate.entries() if entry["kind"] == "ended" and entry["call"] in calls]
