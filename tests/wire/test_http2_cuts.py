"""Where the bytes are cut never changes what they mean; and whatever they are, the connection stays in its bounds."""

import itertools
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.wire.http2.events import Data, Event, Head, Settled, Trailers
from funcgate.wire.http2.limits import Http2Limits
from funcgate.wire.http2.link import Broken, Link
from support.h2frames import (
    CONTINUATION,
    END_HEADERS,
    GET,
    GOAWAY,
    HEADERS,
    OPENING,
    PING,
    POST,
    Fields,
    block,
    data,
    frame,
    frames,
    headers,
    rst,
    update,
)
from support.h2frames import settings as set_to
from support.quick import examples

LIMITS = Http2Limits()

SHORT = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"g")]
SHORT_POST = [(b":method", b"POST"), *SHORT[1:]]

TRANSCRIPT = (
    OPENING
    + set_to(_4=70_000)
    + headers(1, SHORT)
    + frame(HEADERS, 0, 3, block(SHORT_POST[:2]))
    + frame(CONTINUATION, END_HEADERS, 3, block(SHORT_POST[2:]))
    + data(3, b"abc", end=False)
    + frame(PING, 0, 0, b"12345678")
    + update(3, 5)
    + headers(3, [(b"sum", b"1")])
    + headers(5, SHORT_POST, END_HEADERS)
    + rst(5)
)
ENDINGS = {"whole": b"", "cut": data(7)[:5], "broken": update(0, 0) + headers(9, SHORT)}


def fed(pieces: list[bytes]) -> tuple[list[Event], bytes, int]:
    """Events, what was written, and the code of the end (-1 for none)."""
    link = Link(False, LIMITS)
    link.begin()
    events: list[Event] = []
    written, code = link.take(), -1
    for piece in pieces:
        try:
            events += link.feed(piece, 0.0)
        except Broken as broken:
            events += broken.events
            code = broken.code
        written += link.take()
    return events, written, code


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_cut_into_three_means_the_same(ending: str, every: int) -> None:
    whole = TRANSCRIPT + ENDINGS[ending]
    expected = fed([whole])
    assert [type(event) for event in expected[0]].count(Head) == 3
    assert (expected[2] >= 0) == (ending == "broken")
    cuts = itertools.combinations(range(1, len(whole)), 2)
    for first, second in itertools.islice(cuts, 0, None, every):
        assert fed([whole[:first], whole[first:second], whole[second:]]) == expected, (first, second)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9, 10])
def test_small_pieces_mean_the_same(size: int) -> None:
    pieces = [TRANSCRIPT[at : at + size] for at in range(0, len(TRANSCRIPT), size)]
    assert fed(pieces) == fed([TRANSCRIPT])


def test_what_is_not_whole_is_told_and_told_apart() -> None:
    """For the timeout of half a frame: the same number while it is the same frame, another one for the next."""
    link = Link(False, LIMITS)
    seen = [0]
    for at in range(len(TRANSCRIPT)):
        link.feed(TRANSCRIPT[at : at + 1], 0.0)
        if link.unfinished != seen[-1]:
            seen.append(link.unfinished)
    pairs = list(zip(seen[1::2], seen[2::2], strict=True))
    assert all(half and not rest for half, rest in pairs)  # begun, done, begun, done ...
    whole = [one for one in frames(TRANSCRIPT[24:]) if one.kind != CONTINUATION]  # a block of fields is one
    assert len({half for half, _ in pairs}) == len(pairs) == 1 + len(whole)


def test_a_large_frame_in_small_pieces_is_not_copied_for_each() -> None:
    link = Link(False, LIMITS)
    link.feed(OPENING + headers(1, POST, END_HEADERS), 0.0)
    body = data(1, bytes(16384))
    for at in range(len(body) - 1):
        assert link.feed(body[at : at + 1], 0.0) == []
    (event,) = link.feed(body[-1:], 0.0)
    assert isinstance(event, Data)


kinds = st.integers(0, 12)
flags = st.integers(0, 255)
streams = st.sampled_from([0, 1, 1, 1, 2, 3, 5, 7, 1 << 31 | 1, (1 << 31) - 1])
payloads = st.one_of(
    st.binary(max_size=40),
    st.just(block(GET)),
    st.just(block(POST)),
    st.just(block([(b"a", b"b")])),
    st.integers(0, (1 << 32) - 1).map(lambda number: number.to_bytes(4, "big")),
    st.binary(min_size=8, max_size=8),
)
any_frame = st.builds(frame, kinds, flags, streams, payloads)
sensible = st.one_of(
    any_frame,
    st.sampled_from([1, 3, 5, 7, 9]).map(headers),
    st.sampled_from([1, 3, 5]).map(lambda stream: headers(stream, POST, END_HEADERS)),
    st.sampled_from([1, 3, 5]).map(lambda stream: data(stream, b"abc")),
    st.sampled_from([1, 3, 5]).map(rst),
)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(sensible, max_size=25), st.lists(st.integers(0, 60), max_size=10), st.booleans())
def test_any_frames_end_in_events_or_in_goaway(made: list[bytes], cuts: list[int], client: bool) -> None:
    whole = b"".join(made)
    results = []
    for pieces in ([whole], [whole[a:b] for a, b in itertools.pairwise(sorted({0, *cuts, len(whole)}))]):
        link = Link(client, LIMITS)
        link.begin()
        link.feed(set_to() if client else OPENING, 0.0)
        if client:
            link.open(GET, True)
            link.open(POST, False)
        link.take()
        events: list[Event] = []
        broken = False
        for piece in pieces:
            try:
                events += link.feed(piece, 0.0)
            except Broken as error:
                events += error.events
                broken = True
        written = link.take()
        assert (GOAWAY in [one.kind for one in frames(written)]) == broken
        assert link.open_streams <= LIMITS.max_streams
        assert len(link._rest) <= LIMITS.max_frame + 9
        results.append((events, written))
    if max(cuts, default=0) <= len(whole):
        assert results[0] == results[1]


class Peer:
    """A connection of another implementation."""

    def __init__(self, *, client: bool) -> None:
        config = h2.config.H2Configuration(client_side=client, header_encoding=None)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()

    def feed(self, incoming: bytes) -> list[Any]:
        return list(self.connection.receive_data(incoming))


fields = st.lists(
    st.tuples(
        st.sampled_from([b"x-a", b"x-b", b"user-agent", b"authorization"]),
        st.binary(max_size=60).map(lambda raw: bytes(32 + byte % 94 for byte in raw).strip()),
    ),
    max_size=8,
)
bodies = st.lists(st.binary(max_size=300).map(lambda raw: raw * 10), max_size=4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(fields, bodies, fields), min_size=1, max_size=4))
def test_calls_of_another_implementation_arrive_and_are_answered(
    calls: list[tuple[Fields, list[bytes], Fields]],
) -> None:
    peer, link = Peer(client=True), Link(False, LIMITS)
    link.begin()
    for number, (extra, pieces, trailing) in enumerate(calls):
        stream = 2 * number + 1
        peer.connection.send_headers(stream, [*POST, *extra])
        for piece in pieces:
            peer.connection.send_data(stream, piece)
        peer.connection.send_headers(stream, [(b"sum", b"1"), *trailing], end_stream=True)
        events = [event for event in link.feed(peer.connection.data_to_send(), 0.0) if not isinstance(event, Settled)]
        assert events[0] == Head(stream, [*POST, *extra], False, events[0].never)  # type: ignore[union-attr]
        assert b"".join(event.data for event in events if isinstance(event, Data)) == b"".join(pieces)
        assert events[-1] == Trailers(stream, [(b"sum", b"1"), *trailing])
        link.consumed(stream, sum(event.counted for event in events if isinstance(event, Data)))
        link.head(stream, [(b":status", b"200"), *extra], False)
        for piece in pieces:
            link.data(stream, piece, False)
        link.trailers(stream, [(b"sum", b"2"), *trailing])
        found = peer.feed(link.take())
        (answer,) = [event for event in found if isinstance(event, h2.events.ResponseReceived)]
        assert [tuple(field) for field in answer.headers] == [(b":status", b"200"), *extra]
        received = b"".join(event.data for event in found if isinstance(event, h2.events.DataReceived))
        assert received == b"".join(pieces)
        (last,) = [event for event in found if isinstance(event, h2.events.TrailersReceived)]
        assert [tuple(field) for field in last.headers] == [(b"sum", b"2"), *trailing]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(fields, bodies), min_size=1, max_size=4))
def test_another_implementation_answers_our_calls(calls: list[tuple[Fields, list[bytes]]]) -> None:
    peer, link = Peer(client=False), Link(True, LIMITS)
    link.begin()
    peer.feed(link.take())
    link.feed(peer.connection.data_to_send(), 0.0)
    for extra, pieces in calls:
        stream = link.open([*POST, *extra], not pieces)
        for number, piece in enumerate(pieces):
            link.data(stream, piece, number == len(pieces) - 1)
        found = peer.feed(link.take())
        (asked,) = [event for event in found if isinstance(event, h2.events.RequestReceived)]
        assert [tuple(field) for field in asked.headers] == [*POST, *extra]
        assert b"".join(e.data for e in found if isinstance(e, h2.events.DataReceived)) == b"".join(pieces)
        peer.connection.send_headers(stream, [(b":status", b"200"), *extra], end_stream=not pieces)
        for number, piece in enumerate(pieces):
            peer.connection.send_data(stream, piece, end_stream=number == len(pieces) - 1)
        events = link.feed(peer.connection.data_to_send(), 0.0)
        (answer,) = [event for event in events if isinstance(event, Head)]
        assert answer.fields == [(b":status", b"200"), *extra]
        assert b"".join(event.data for event in events if isinstance(event, Data)) == b"".join(pieces)
        assert link.open_streams == 0
