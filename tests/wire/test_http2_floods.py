"""Floods: frames that cost their sender nothing. Each ends the connection, before it has cost us much."""

import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest

from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http2.codes import ErrorCode
from funcgate.wire.http2.events import Data, Event
from funcgate.wire.http2.limits import Http2Limits
from funcgate.wire.http2.link import Broken, Link
from support.h2frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    GET,
    GOAWAY,
    HEADERS,
    OPENING,
    PADDED,
    PING,
    POST,
    PRIORITY,
    SETTINGS,
    WINDOW_UPDATE,
    Fields,
    block,
    data,
    frame,
    frames,
    goaway,
    headers,
    rst,
    settings,
    update,
)

LIMITS = Http2Limits()
UNENDED = END_HEADERS
ODD = range(1, 1 << 30, 2)


def opened(limits: Http2Limits = LIMITS, first: bytes = b"") -> Link:
    link = Link(False, limits)
    link.begin()
    link.feed(OPENING + first, 0.0)
    link.take()
    return link


def rapid_reset() -> Iterator[bytes]:
    for stream in ODD:
        yield headers(stream) + rst(stream)


def resets_that_we_are_made_to_send() -> Iterator[bytes]:
    for stream in ODD:
        yield headers(stream) + update(stream, 0)


def malformed_requests() -> Iterator[bytes]:
    for stream in ODD:
        yield headers(stream, GET[1:])


def empty_heads() -> Iterator[bytes]:
    for stream in ODD:
        yield headers(stream, [])


def streams_beyond_the_limit() -> Iterator[bytes]:
    for stream in ODD:
        yield headers(stream, POST, UNENDED)


def resets_of_nothing() -> Iterator[bytes]:
    yield headers(1) + rst(1)
    while True:
        yield rst(1)


def empty_data() -> Iterator[bytes]:
    yield headers(1, POST, UNENDED)
    while True:
        yield data(1, end=False)


def padding_only() -> Iterator[bytes]:
    yield headers(1, POST, UNENDED)
    while True:
        yield frame(DATA, PADDED, 1, b"\x01\0")


def continuations() -> Iterator[bytes]:
    yield frame(HEADERS, 0, 1, block(GET))
    while True:
        yield frame(CONTINUATION, 0, 1, block([(b"a", b"b")]))


def empty_continuations() -> Iterator[bytes]:
    yield frame(HEADERS, 0, 1, block(GET))
    while True:
        yield frame(CONTINUATION, 0, 1)


def large_continuations() -> Iterator[bytes]:
    yield frame(HEADERS, 0, 1, block(GET))
    while True:
        yield frame(CONTINUATION, 0, 1, bytes(16384))


def pings() -> Iterator[bytes]:
    while True:
        yield frame(PING, 0, 0, bytes(8))


def pongs() -> Iterator[bytes]:
    while True:
        yield frame(PING, ACK, 0, bytes(8))


def many_settings() -> Iterator[bytes]:
    while True:
        yield settings(_4=1000)


def acknowledgements() -> Iterator[bytes]:
    while True:
        yield frame(SETTINGS, ACK)


def table_sizes() -> Iterator[bytes]:
    for size in range(1 << 30):
        yield settings(_1=size % 4096)


def priorities() -> Iterator[bytes]:
    for stream in ODD:
        yield frame(PRIORITY, 0, stream, bytes(4) + b"\1")


def tiny_updates() -> Iterator[bytes]:
    while True:
        yield update(0, 1)


def tiny_updates_of_a_stream() -> Iterator[bytes]:
    yield headers(1)
    while True:
        yield update(1, 1)


def updates_of_ended_streams() -> Iterator[bytes]:
    yield headers(1) + rst(1)
    while True:
        yield update(1, 1)


def many_goaways() -> Iterator[bytes]:
    while True:
        yield goaway()


def unknown_frames() -> Iterator[bytes]:
    while True:
        yield frame(0x42, 0, 0, b"x")


def heads_on_a_stream_that_we_reset() -> Iterator[bytes]:
    """They cost the reading of their fields, and nobody would see them."""
    yield headers(1, POST, UNENDED) + update(1, 0)
    while True:
        yield headers(1, POST, UNENDED)


FLOODS = [
    rapid_reset, resets_that_we_are_made_to_send, malformed_requests, empty_heads, streams_beyond_the_limit,
    resets_of_nothing, empty_data, padding_only, continuations, empty_continuations, large_continuations, pings, pongs,
    many_settings, acknowledgements, table_sizes, priorities, tiny_updates, tiny_updates_of_a_stream,
    updates_of_ended_streams, many_goaways, unknown_frames, heads_on_a_stream_that_we_reset,
]  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: str(flood.__name__))
def test_a_flood_ends_the_connection(flood: "type[Iterator[bytes]]") -> None:
    link = opened()
    tracemalloc.start()
    try:
        for count, piece in enumerate(flood()):
            try:
                link.feed(piece, 1.0)
            except Broken as broken:
                code = broken.code
                break
            link.take()
            assert count < 2 * LIMITS.updates, "it goes on and on"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert code == ErrorCode.ENHANCE_YOUR_CALM
    assert [(one.kind, one.number) for one in frames(link.take())][-1] == (GOAWAY, ErrorCode.ENHANCE_YOUR_CALM)
    assert peak < 1 << 20


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: str(flood.__name__))
def test_a_flood_all_at_once_ends_the_connection(flood: "type[Iterator[bytes]]") -> None:
    whole = b"".join(piece for piece, _ in zip(flood(), range(2 * LIMITS.updates), strict=False))
    with pytest.raises(Broken) as broken:
        opened().feed(whole, 1.0)
    assert broken.value.code == ErrorCode.ENHANCE_YOUR_CALM


BUDGETS = {
    "resets": rapid_reset, "settings": many_settings, "pings": pings, "empty": empty_data, "priorities": priorities,
    "updates": tiny_updates, "unknown": unknown_frames,
}  # fmt: skip


@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_is_what_the_limit_says_and_comes_back(name: str) -> None:
    limits = msgspec.structs.replace(LIMITS, **{name: 7})
    link = opened(limits, first=b"" if name != "empty" else headers(1, POST, UNENDED))
    pieces = (piece for piece in BUDGETS[name]() if name != "empty" or piece[3] != HEADERS)
    for at in (100.0, 100.0 + limits.per_s):  # a new stretch of time, a new budget
        for _ in range(7):
            link.feed(next(pieces), at)
    with pytest.raises(Broken):
        link.feed(next(pieces), 100.0 + 1.9 * limits.per_s)


def serve(link: Link, fields: Fields, body: bytes) -> None:
    """Answer what is open."""
    for stream in list(link._streams):
        link.head(stream, fields, False)
        link.data(stream, body[: link.room(stream)], True)


def test_honest_peers_stay_within_the_budgets() -> None:
    """Each call with its updates, and a PING for each answer, as some gRPC clients send them: ten thousand in no time."""
    link = opened()
    for stream in range(1, 20_001, 2):
        link.feed(headers(stream), 1.0)
        serve(link, [(b":status", b"200")], bytes(500))
        link.take()
        link.feed(update(0, 500) + frame(PING, 0, 0, bytes(8)), 1.0)
        link.take()


@pytest.mark.parametrize("step", [2 << 10, 4 << 10, 16 << 10, 32 << 10])
def test_a_long_answer_to_a_peer_that_gives_room_in_small_steps(step: int) -> None:
    """Go's client gives both windows back from 4 KiB on; its frames come many at a time, and are answered with one write."""
    link = opened(first=headers(1))
    link.head(1, [(b":status", b"200")], False)
    sent = given = 0
    while sent < 100 << 20:
        size = link.room(1)
        link.data(1, bytes(size), False)
        link.take()
        sent += size
        steps = (sent - given) // step
        given += steps * step
        link.feed((update(0, step) + update(1, step)) * steps, 1.0)


def test_an_honest_peer_may_cancel_some_of_its_calls() -> None:
    link = opened()
    for stream in range(1, 4001, 4):
        link.feed(headers(stream), 1.0)
        serve(link, [(b":status", b"200")], b"")
        link.feed(headers(stream + 2) + rst(stream + 2), 1.0)
        link.take()


def test_dribbled_windows_earn_nothing() -> None:
    """A byte of window, a byte of DATA, and so on (CVE-2019-9511): answers in crumbs give no credit for updates."""
    link = opened(first=settings(_4=0) + headers(1))
    link.head(1, [(b":status", b"200")], False)
    code = 0
    for _ in range(2 * LIMITS.updates):
        try:
            link.feed(update(1, 1), 1.0)
        except Broken as broken:
            code = broken.code
            break
        link.data(1, b"x", False)
        link.take()
    assert code == ErrorCode.ENHANCE_YOUR_CALM


def test_a_bomb_of_fields_is_refused_without_being_built() -> None:
    link = opened(first=headers(1, [*GET, (b"x", b"")], UNENDED | 1))
    inserted = b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000
    link.feed(frame(HEADERS, 5, 3, block(GET) + inserted), 1.0)
    link.take()
    tracemalloc.start()
    for stream in range(5, 25, 2):  # each would be 64 MB
        link.feed(frame(HEADERS, 5, stream, block(GET) + b"\xbe" * 16000), 1.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("stream_first", [True, False])
def test_more_than_the_windows_ends_it(stream_first: bool) -> None:
    limits = msgspec.structs.replace(LIMITS, connection_window=LIMITS.stream_window * (4 if stream_first else 1))
    link = opened(limits, headers(1, POST, UNENDED) + headers(3, POST, UNENDED))
    seen: list[Event] = []
    written = b""
    code = 0
    for number in range(64):
        stream = 1 if stream_first else (1, 3)[number % 2]
        try:
            seen += link.feed(data(stream, bytes(16384), end=False), 1.0)
        except Broken as broken:
            code = broken.code
        written = link.take()
        if written:
            break
    assert sum(event.counted for event in seen if isinstance(event, Data)) == LIMITS.stream_window
    if stream_first:
        assert written[3:] == rst(1, ErrorCode.FLOW_CONTROL_ERROR)[3:]
    else:
        assert code == ErrorCode.FLOW_CONTROL_ERROR


@pytest.mark.parametrize("how", ["by a frame", "by the server", "refused", "malformed"])
def test_a_stream_that_we_reset_takes_no_more_than_its_window(how: str) -> None:
    """Attack: DATA without end for a stream that nobody has any more; the connection's window comes back all the time."""
    limits = msgspec.structs.replace(LIMITS, max_streams=1)
    link = opened(limits, headers(1, POST if how != "malformed" else POST[1:], UNENDED))
    stream = 1
    if how == "by a frame":
        link.feed(update(1, 0), 1.0)
    elif how == "by the server":
        link.reset(1, ErrorCode.CANCEL)
    elif how == "malformed":
        link.head(1, [(b":status", b"400")], True)
    else:
        stream = 3
        link.feed(headers(3, POST, UNENDED), 1.0)
    whole = LIMITS.stream_window // 16384
    for _ in range(whole):  # may have been under way
        link.feed(data(stream, bytes(16384), end=False), 1.0)
        link.take()
    with pytest.raises(Broken) as broken:
        link.feed(data(stream, b"x", end=False) * 100, 1.0)
    assert broken.value.code == ErrorCode.FLOW_CONTROL_ERROR


def test_what_is_read_gives_room_again_and_nothing_else_does() -> None:
    link = opened(first=headers(1, POST, UNENDED))
    total = 0
    while total < 8 << 20:
        counted = sum(event.counted for event in link.feed(data(1, bytes(16384), end=False), 1.0))  # type: ignore[union-attr]
        link.consumed(1, counted)
        total += counted
        link.take()
    assert link._receive_window + link._owed == LIMITS.connection_window


def test_streams_that_hold_their_window_do_not_stop_the_others() -> None:
    link = opened(first=headers(1, POST, UNENDED) + headers(3, POST, UNENDED))
    half = LIMITS.connection_window // 2
    hogs = range(5, 5 + 2 * (half // LIMITS.stream_window), 2)
    for stream in hogs:
        link.feed(headers(stream, POST, UNENDED), 1.0)
        for _ in range(LIMITS.stream_window // 16384):
            link.feed(data(stream, bytes(16384), end=False), 1.0)
    window = LIMITS.connection_window - half
    for _ in range(1000):  # the peer sends what it may
        size = min(16384, window)
        assert size > 0
        for event in link.feed(data(1, bytes(size), end=False), 1.0):
            assert isinstance(event, Data)
            link.consumed(1, event.counted)
        window += sum(one.number for one in frames(link.take()) if one.kind == WINDOW_UPDATE and one.stream == 0) - size


def test_the_limits_of_a_head_are_the_configured_ones() -> None:
    limits = msgspec.structs.replace(LIMITS, head=HeadLimits(max_fields=5, max_bytes=100), max_continuations=2)
    link = opened(limits)
    with pytest.raises(Broken) as broken:
        link.feed(frame(HEADERS, 5, 1, block([*GET, (b"a", b"v" * 150)])), 1.0)
    assert broken.value.code == ErrorCode.ENHANCE_YOUR_CALM
    link = opened(limits)
    with pytest.raises(Broken):
        link.feed(frame(HEADERS, 0, 1) + b"".join(frame(CONTINUATION, 0, 1, b"\x82") for _ in range(3)), 1.0)


@pytest.mark.parametrize(
    "wrong", [{"stream_window": 65_534}, {"connection_window": 65_535}, {"max_frame": 16383}, {"max_frame": 1 << 24}]
)
def test_limits_that_the_protocol_does_not_allow_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Http2Limits(**wrong)  # type: ignore[arg-type]
