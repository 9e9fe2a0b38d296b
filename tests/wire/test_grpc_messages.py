"""Length-prefixed messages, whatever the pieces that they come in; and compressed ones, up to a limit."""

import gzip
import struct
import zlib
from itertools import product

import pytest

from funcgate.wire.grpc import CODINGS, Frames, Malformed, Message, TooLarge, UnknownCoding, frame, opened, packed


def fed(data: bytes, cuts: tuple[int, ...], max_bytes: int = 100) -> list[Message]:
    frames, found, at = Frames(max_bytes), [], 0
    for cut in (*cuts, len(data)):
        found += frames.feed(data[at:cut])
        at = cut
    frames.finish()
    return found


MESSAGES = [Message(False, b""), Message(True, b"a"), Message(False, b"bcd"), Message(True, b"")]
WIRE = b"".join([frame(message.data, message.compressed) for message in MESSAGES])


def test_where_the_pieces_are_cut_does_not_matter() -> None:
    for one, other in product(range(len(WIRE) + 1), repeat=2):
        if one <= other:
            assert fed(WIRE, (one, other)) == MESSAGES
    assert fed(WIRE, tuple(range(len(WIRE)))) == MESSAGES


def test_the_very_size_that_is_allowed() -> None:
    assert fed(frame(b"x" * 100), ()) == [Message(False, b"x" * 100)]
    with pytest.raises(TooLarge):
        Frames(100).feed(frame(b"x" * 101))


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_message_beyond_the_limit_is_refused_by_its_length(cut: int) -> None:
    """Attack: 4 GiB announced, so that somebody waits for them or makes room."""
    head = struct.pack("!BI", 0, 0xFFFFFFFF)
    frames = Frames(100)
    if cut < len(head):
        assert frames.feed(head[:cut]) == []
        head = head[cut:]
    with pytest.raises(TooLarge):
        frames.feed(head)


def test_nothing_is_held_that_is_not_needed() -> None:
    frames = Frames(100)
    assert frames.feed(frame(b"a") + frame(b"bc")[:4]) == [Message(False, b"a")]
    assert frames.waiting == 4
    assert frames.feed(frame(b"bc")[4:]) == [Message(False, b"bc")]
    assert frames.waiting == 0


@pytest.mark.parametrize("flags", [2, 3, 0x80, 0x81, 0xFF])
def test_flags_that_are_not_known_are_refused(flags: int) -> None:
    data = struct.pack("!BI", flags, 1) + b"x"
    with pytest.raises(Malformed):
        Frames(100).feed(data)
    with pytest.raises(Malformed):
        Frames(100).feed(frame(b"ok") + data)


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_cut_message_is_noticed_at_the_end(cut: int) -> None:
    frames = Frames(100)
    frames.feed(frame(b"abc")[:cut])
    with pytest.raises(Malformed):
        frames.finish()


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("data", [b"", b"a", b"abc" * 1000, bytes(range(256))], ids=["empty", "one", "text", "bytes"])
def test_compressed_and_back(coding: str, data: bytes) -> None:
    assert opened(packed(data, coding), coding, len(data)) == data


def test_what_others_compress() -> None:
    assert opened(gzip.compress(b"hello"), "gzip", 100) == b"hello"
    assert opened(zlib.compress(b"hello"), "deflate", 100) == b"hello"


@pytest.mark.parametrize("coding", CODINGS)
def test_a_bomb_is_stopped_at_the_limit(coding: str) -> None:
    bomb = packed(bytes(50 << 20), coding)
    assert len(bomb) < 1 << 17
    with pytest.raises(TooLarge):
        opened(bomb, coding, 1 << 20)
    with pytest.raises(TooLarge):
        opened(packed(b"12345", coding), coding, 4)


@pytest.mark.parametrize("coding", CODINGS)
def test_damage_ends_and_second_members_are_refused(coding: str) -> None:
    """Attack: a second member, which some readers append and others drop."""
    good = packed(b"hello", coding)
    for bad in (good[:-1], good + b"x", good + good, b"x" + good, b"", good[:4], good[:-4] + b"1234"):
        with pytest.raises(Malformed):
            opened(bad, coding, 100)


def test_codings_that_are_not_known() -> None:
    for coding in ("br", "snappy", "GZIP", "x-gzip", "zstd"):
        with pytest.raises(UnknownCoding):
            opened(b"x", coding, 100)
        with pytest.raises(UnknownCoding):
            packed(b"x", coding)
    for coding in ("", "identity"):
        with pytest.raises(Malformed):
            opened(b"x", coding, 100)
