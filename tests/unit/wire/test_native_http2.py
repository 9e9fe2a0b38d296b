"""The compiled frames, windows and fields of HTTP/2 beside the pure ones: the same events, the same bytes, the same refusals."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import hpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.native import half
from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http2 import fields as rules
from funcgate.wire.http2.limits import Http2Limits
from funcgate.wire.http2.link import Link as CompiledLink
from funcgate.wire.http2.packing import Packer as CompiledPacker
from funcgate.wire.http2.unpacking import Unpacker as CompiledUnpacker
from support.h2frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GET,
    HEADERS,
    PADDED,
    PING,
    POST,
    PREFACE,
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
from support.quick import examples

pytestmark = pytest.mark.skipif(
    half("funcgate.wire.http2._native") is None, reason="not built, or FUNCGATE_PURE is set"
)

_PACKAGE = "funcgate.wire.http2"
_PARENT = sys.modules["funcgate.wire"]


class Pure:
    """The package a second time, without its compiled halves."""

    def __init__(self) -> None:
        saved = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(_PACKAGE)}
        before = os.environ.get("FUNCGATE_PURE", "")
        os.environ["FUNCGATE_PURE"] = "1"
        try:
            self.link: Any = import_module(f"{_PACKAGE}.link")
            self.packing: Any = import_module(f"{_PACKAGE}.packing")
            self.unpacking: Any = import_module(f"{_PACKAGE}.unpacking")
        finally:
            os.environ["FUNCGATE_PURE"] = before
            for name in [name for name in sys.modules if name.startswith(_PACKAGE)]:
                del sys.modules[name]
            sys.modules.update(saved)
            _PARENT.http2 = saved[_PACKAGE]  # type: ignore[attr-defined]


PURE = Pure()
BOTH = (CompiledLink, PURE.link.Link)


def test_they_are_two() -> None:
    assert CompiledLink.__mro__[3].__module__ == "funcgate.wire.http2._native"
    assert PURE.link.Link.__mro__[3].__module__ == "funcgate.wire.http2.flow"


_IN_PART = """
import sys
sys.modules[sys.argv[1]] = None  # as if it had not been built
from funcgate.wire.http2.codes import PREFACE
from funcgate.wire.http2.limits import Http2Limits
from funcgate.wire.http2.link import Link
link = Link(False, Http2Limits())
settings, head = bytes.fromhex("000000040000000000"), bytes.fromhex("0000060105000000018287844101") + b"h"
print([type(event).__name__ for event in link.feed(PREFACE + settings + head, 0.0)])
"""


@pytest.mark.parametrize("missing", ["_packing", "_unpacking", "_native"])
def test_each_does_without_the_others(missing: str) -> None:
    run = [sys.executable, "-c", _IN_PART, f"{_PACKAGE}.{missing}"]
    assert subprocess.run(run, capture_output=True, text=True, timeout=60).stdout == "['Settled', 'Head']\n"


def outcome(act: Callable[..., Any], *given: Any) -> Any:
    """What came of it; for an exception its kind, its words, and the events before it."""
    try:
        found = act(*given)
    except Exception as error:
        return type(error).__name__, str(error), getattr(error, "code", 0), told(getattr(error, "events", []))
    return told(found) if isinstance(found, list) and found and isinstance(found[0], msgspec.Struct) else found


def told(events: list[Any]) -> list[Any]:
    return [(type(event).__name__, msgspec.structs.asdict(event)) for event in events]


# What a peer sends: mostly what is right, as clients and targets write it, some of it odd, some of it wrong.

LIMITS = Http2Limits(
    head=HeadLimits(max_fields=20, max_bytes=2000), max_streams=5, stream_window=65_535, connection_window=70_000,
    resets=6, empty=4, updates=6, pings=5, settings=6,
)  # fmt: skip
ODD = [
    (b"te", b"trailers"), (b"te", b"gzip"), (b"content-length", b"3"), (b"content-length", b"0"), (b"host", b"gate"),
    (b"host", b"other"), (b"connection", b"close"), (b"upgrade", b"h2c"), (b"keep-alive", b"1"), (b"X-Upper", b"1"),
    (b"x-space", b" 1"), (b"x-tab", b"1\t"), (b"x-nul", b"\x00"), (b"x-line", b"a\r\nb: c"), (b"", b"empty"),
    (b":path", b"/late"), (b"x y", b"1"), (b"x-long", b"v" * 900), (b"x-high", b"\xff\x80"), (b"x-empty", b""),
    (b"grpc-status", b"0"), (b"transfer-encoding", b"chunked"), (b"http2-settings", b"x"), (b"proxy-connection", b"x"),
]  # fmt: skip
HEADS = [
    GET, POST, [(b":method", b"CONNECT"), *GET[1:]], [(b":method", b"OPTIONS"), GET[1], (b":path", b"*"), GET[3]],
    [GET[0], (b":scheme", b"ftp"), *GET[2:]], [*GET[:2], (b":path", b"/a b"), GET[3]], [*GET[:2], (b":path", b""), GET[3]],
    [*GET[:3], (b":authority", b"me@gate")], GET[:3], [*GET, GET[0]], [(b":status", b"200")], [], [*GET, (b":new", b"1")],
    [(b":method", b"get"), *GET[1:]], [*GET[:2], (b":path", b"/\xc3\xa9"), GET[3]], [*GET[:3], (b":authority", b"")],
]  # fmt: skip
ANSWERS = [
    [(b":status", status)]
    for status in (b"200", b"200", b"200", b"204", b"304", b"100", b"101", b"600", b"20", b"2x0", b"")
] + [[], [(b"x", b"1")], [(b":status", b"200"), (b":status", b"200")]]


class Peer:
    """Says things, deterministically."""

    def __init__(self, chance: random.Random, *, client: bool) -> None:
        self._chance = chance
        self._client = client
        self._encoder = hpack.Encoder()
        self._next = 1

    def says(self, streams: list[int]) -> bytes:
        """`streams` are open; now and then another one is meant."""
        chance = self._chance
        number = max(1, self._next - 2 * chance.randrange(6))
        if streams and chance.random() < 0.98:
            number = chance.choice(streams)
        pick = chance.random()
        if pick < 0.4 or (not streams and pick < 0.98):
            return self._head(number)
        if pick < 0.92:
            flags = chance.choice([0, 0, 0, END_STREAM, END_STREAM, 4 if chance.random() < 0.1 else 0, PADDED])
            size = chance.choice([0, 1, 3, 3, 300, 300, 9000, 16_383])
            return frame(DATA, flags, number, (b"\x02" if flags & PADDED else b"") + b"d" * (size or 3))
        odd = [
            update(number, chance.choice([0, 1, 700, 40_000, 1 << 31 - 1])),
            update(0, chance.choice([0, 1, 700, 40_000])),
            rst(number),
            frame(PING, chance.choice([0, 1]), 0, b"12345678"),
            set_to(_4=chance.choice([0, 10, 65_535, 100_000])),
            set_to(_5=chance.choice([16_384, 20_000]), _1=chance.choice([0, 100, 4096])),
            frame(SETTINGS, 1),
            frame(DATA, 0, 0, b"x"),
            frame(HEADERS, 0, number, b"\x82"),
            frame(chance.randrange(12), chance.randrange(256), number, chance.randbytes(chance.randrange(12))),
            goaway(number),
        ]
        return chance.choice(odd[:6] if chance.random() < 0.9 else odd)

    def _head(self, number: int) -> bytes:
        chance = self._chance
        if self._client and chance.random() < 0.8:
            number, self._next = self._next, self._next + 2
        plain = HEADS[:2] if self._client else ANSWERS[:3]
        found = list(chance.choice(plain if chance.random() < 0.8 else HEADS if self._client else ANSWERS))
        trailing = chance.random() < 0.25
        if trailing:
            found = [(b"grpc-status", b"0")]
        found += [(b"user-agent", b"agent"), (b"x-n", b"%d" % chance.randrange(3))]
        if chance.random() < 0.15:
            found.append(chance.choice(ODD))
        flags = (
            END_HEADERS
            | chance.choice([0, END_STREAM if trailing else 0, END_STREAM])
            | (2 if chance.random() < 0.03 else 0)
        )
        if chance.random() < 0.2:
            return headers(number, found, flags)  # never indexed
        return frame(HEADERS, flags, number, bytes(self._encoder.encode(found, chance.random() < 0.5)))

    def opened(self) -> None:
        self._next += 2


FIELDS: list[Fields] = [
    [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"x-own", b"1")],
    [(b":status", b"204"), (b"authorization", b"Bearer x"), (b"x-long", b"v" * 20_000)],
    [(b"grpc-status", b"0")],
]
ASKED: Fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a?b"), (b":authority", b"t"), (b"x", b"y")]


def acts(chance: random.Random, client: bool, streams: list[int]) -> Callable[[Any], Any]:
    """One thing that a driver does, to be done to both."""
    number = chance.choice(streams) if streams and chance.random() < 0.95 else chance.randrange(1, 16, 2)
    size = chance.choice([0, 1, 300, 17_000, 70_000])
    end, fields = chance.random() < 0.4, chance.choice(FIELDS)
    secret = frozenset({b"x-own"}) if chance.random() < 0.3 else frozenset()
    things: list[Callable[[Any], Any]] = [
        lambda link: link.room(number),
        lambda link: link.data(number, b"o" * size, end),
        lambda link: link.consumed(number, size),
        lambda link: link.consumed(number, chance_free),
        lambda link: link.trailers(number, FIELDS[2]),
        lambda link: link.whole(number, fields, b"o" * size, FIELDS[2]),
        lambda link: link.head(number, fields, end, secret),
        lambda link: link.reset(number, 8) if end else link.waiting(),
        lambda link: link.open(ASKED, end, secret) if client else link.open_streams,
    ]
    chance_free = chance.randrange(1, 40_000)
    return chance.choice(things + [things[-1]] * 5 if client else things)


@pytest.mark.parametrize("client", [False, True], ids=["server", "client"])
@pytest.mark.parametrize("seed", range(60))
def test_a_connection_is_the_same_in_both(seed: int, client: bool) -> None:
    for run in range(5):
        _converse(random.Random(seed * 1000 + run), client)


def _converse(chance: random.Random, client: bool) -> None:
    links = [make(client, LIMITS) for make in BOTH]
    peer = Peer(chance, client=not client)
    pending = b"" if client else PREFACE
    pending += set_to(_3=100, _4=chance.choice([65_535, 20_000]))
    for link in links:
        link.begin()
    now = 0.0
    for _ in range(80):
        streams = list(links[0]._streams)
        now += chance.choice([0.0, 0.1, 3.0])
        if chance.random() < 0.5 and (streams or not client):
            pending += b"".join([peer.says(streams) for _ in range(chance.choice([1, 1, 2, 5]))])
            cut = len(pending) if chance.random() < 0.7 else chance.randrange(len(pending) + 1)
            piece, pending = pending[:cut], pending[cut:]
            results = [outcome(link.feed, piece, now) for link in links]
        else:
            act = acts(chance, client, streams)
            results = [outcome(act, link) for link in links]
            if client and isinstance(results[0], int) and results[0] > 1:
                peer.opened()
        assert results[0] == results[1]
        assert links[0].waiting() == links[1].waiting()
        assert links[0].take() == links[1].take()
        assert state(links[0]) == state(links[1])


def state(link: Any) -> list[Any]:
    names = (
        "closing", "unfinished", "open_streams", "peer_max_streams", "_send_window", "_receive_window", "_owed",
        "_unreturned", "_late_bytes", "_late_heads", "_last_taken", "_last_peer_id", "_next_id",
    )  # fmt: skip
    of_streams = ("id", "state", "send_window", "receive_window", "owed", "left", "bad", "headed", "head_only")
    streams = [[getattr(stream, name) for name in of_streams] for stream in link._streams.values()]
    return [getattr(link, name) for name in names] + streams


NAMES = st.sampled_from([b":path", b":status", b"te", b"accept", b"authorization", b"cookie", b"x-own", b"x" * 130]) | (
    st.binary(max_size=4)
)
VALUES = st.sampled_from([b"", b"200", b"/", b"/a?b", b"trailers", b"v" * 256, b"v" * 257, b"v" * 4096]) | st.binary(
    max_size=200
)
LISTS = st.lists(st.lists(st.tuples(NAMES, VALUES), max_size=8), max_size=8)
SIZES = st.lists(st.sampled_from([0, 40, 100, 4096, 70_000]), max_size=8)


@settings(max_examples=examples(300), deadline=None)
@given(LISTS, SIZES, st.sampled_from([frozenset(), frozenset({b"x-own", b"te"})]))
def test_fields_are_packed_alike(lists: list[Fields], sizes: list[int], secret: frozenset[bytes]) -> None:
    packers = CompiledPacker(), PURE.packing.Packer()
    for number, fields in enumerate(lists):
        for packer in packers:
            for size in sizes[number : number + 2]:
                packer.resize(size)
        if number % 2:
            assert packers[0].pack(fields, secret) == packers[1].pack(fields, secret)
        else:
            framed = [packer.framed(fields, secret, 0x1234567, number % 4 == 0, 500) for packer in packers]
            assert framed[0] == framed[1]


def blocks(chance: random.Random) -> Iterator[bytes]:
    """Blocks of one connection: right ones that repeat, and at last one with a byte changed."""
    encoder = hpack.Encoder()
    known = [[*GET, (b"x-n", b"%d" % number), (b"cookie", b"a=%d" % number)] for number in range(4)]
    for _ in range(30):
        if chance.random() < 0.1:
            encoder.header_table_size = chance.choice([0, 100, 4096])
        yield bytes(encoder.encode(chance.choice(known), chance.random() < 0.5))
    for _ in range(5):
        changed = bytearray(encoder.encode(chance.choice(known), False))
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        yield bytes(changed)


@pytest.mark.parametrize("seed", range(100))
def test_blocks_are_read_alike_however_often_they_come(seed: int) -> None:
    """A block that was seen before says what the tables say now, not what they said then."""
    limits = HeadLimits(max_fields=8, max_bytes=120)
    compiled: Any = CompiledUnpacker(limits)
    direct, pure = CompiledUnpacker(limits), PURE.unpacking.Unpacker(limits)
    for block in blocks(random.Random(seed)):
        results = [outcome(direct.unpack, block), outcome(pure.unpack, block)]
        assert results[0] == results[1]
        message = outcome(compiled.message, block, 0)
        if message is None:
            assert compiled.fields == results[1]
        elif type(message[0]) is not str:
            assert message[0] == results[1]
        else:
            assert message == results[1]
            return
        assert compiled.oversized == direct.oversized == pure.oversized
        assert compiled.never == direct.never == pure.never
        assert compiled._table == direct._table == pure._table


def test_a_remembered_block_is_nobodys_to_change() -> None:
    unpacker: Any = CompiledUnpacker(HeadLimits())
    encoder = hpack.Encoder()
    encoder.encode(GET)
    unpacker.unpack(hpack.Encoder().encode(GET))
    block = bytes(encoder.encode(GET))
    first = unpacker.message(block, 0)[0]
    first.clear()
    second = unpacker.message(block, 0)[0]
    second.append((b"x", b"y"))
    assert unpacker.message(block, 0)[0] == GET


def test_a_remembered_block_is_judged_anew_in_another_place() -> None:
    """Attack: a head, judged as one, sent again where trailers belong."""
    unpacker: Any = CompiledUnpacker(HeadLimits())
    encoder = hpack.Encoder()
    unpacker.unpack(bytes(encoder.encode(GET)))
    block = bytes(encoder.encode(GET))
    assert unpacker.message(block, 0) is not None
    assert unpacker.message(block, 1) is None
    assert unpacker.message(block, 2) is None
    assert unpacker.fields == GET


PLACES = st.integers(min_value=0, max_value=2)
STARTS = st.sampled_from([*HEADS, *ANSWERS, []])
MORE = st.lists(st.sampled_from(ODD) | st.tuples(st.binary(max_size=5), st.binary(max_size=5)), max_size=3)


@settings(max_examples=examples(2000), deadline=None)
@given(STARTS, MORE, PLACES)
def test_what_passes_as_plain_passes_the_rules(start: Fields, more: Fields, place: int) -> None:
    fields = [*start, *more]
    unpacker: Any = CompiledUnpacker(HeadLimits())
    found = unpacker.message(b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields), place)
    if found is None:
        assert unpacker.fields == fields
        return
    if place == 0:
        assert (0, rules.check_request(fields)) == found[1:]
    elif place == 1:
        assert rules.check_response(fields) == found[1:]
    else:
        rules.check_trailers(fields)
    assert found[0] == fields


def _text(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes([size]) + text
    size -= 127
    return (bytes([127, size]) if size < 128 else bytes([127, 128 | size & 127, size >> 7])) + text


def test_most_calls_are_plain() -> None:
    """Else nothing would be gained, and nobody would notice."""
    for place, fields in enumerate(
        ([*POST, (b"te", b"trailers"), (b"content-length", b"3")], ANSWERS[0], [(b"a", b"b")])
    ):
        unpacker: Any = CompiledUnpacker(HeadLimits())
        assert unpacker.message(bytes(hpack.Encoder().encode(fields)), place)[0] == fields
    link: Any = CompiledLink(False, Http2Limits())
    link.feed(PREFACE + set_to(), 0.0)
    sent = headers(1, POST, END_HEADERS) + data(1, b"abc") + headers(3, GET)
    assert link._plain(sent, 0) == len(sent)
