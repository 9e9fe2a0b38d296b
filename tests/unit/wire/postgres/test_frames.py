"""Framing and packets: what is not exactly a message is refused, whatever its length says."""

import struct

import pytest

from funcgate.wire.postgres import frames, frontend
from funcgate.wire.postgres.frames import Malformed

LIMITS = frontend.limits_of(1000)


def test_the_size_of_a_frame() -> None:
    raw = frames.frame(b"Q", b"SELECT 1\0")
    assert frames.size_of(raw, 0, LIMITS) == len(raw) == 14


@pytest.mark.parametrize(
    "head",
    [
        b"Q\0\0\0\3",
        b"Q\xff\xff\xff\xff",
        b"Q" + struct.pack("!I", 1005),
        b"S\0\0\0\6",
        b"z\0\0\0\4",
        b"p\0\0\0\4",
        b"\0\0\0\0\4",
    ],
)
def test_lengths_and_types_that_cannot_be(head: bytes) -> None:
    with pytest.raises(Malformed):
        frames.size_of(head, 0, LIMITS)


@pytest.mark.parametrize("length", [0, 7, 10_001, 1 << 31])
def test_packets_of_an_impossible_length(length: int) -> None:
    with pytest.raises(Malformed):
        frames.packet_size(struct.pack("!I", length))


def test_startup_packets_are_read_back() -> None:
    given = {"user": "ann", "database": "shop", "application_name": "Zoë"}
    assert frames.read_startup(frames.startup(given)) == frames.Startup(0, given)


@pytest.mark.parametrize(
    "body", [b"", b"user\0ann\0", b"user\0\0\0\0", b"user\0a\0user\0b\0\0", b"\0a\0\0", b"user\0\xff\0\0", b"user\0ann"]
)
def test_startup_packets_that_are_none(body: bytes) -> None:
    with pytest.raises(Malformed):
        frames.read_startup(struct.pack("!II", len(body) + 8, 3 << 16) + body)


def test_version_2_is_not_spoken() -> None:
    with pytest.raises(Malformed, match=r"version 2\.0"):
        frames.read_startup(struct.pack("!II", 9, 2 << 16) + b"\0")


def test_cancel_requests() -> None:
    assert frames.read_cancel(frames.cancel(7, b"abcd")) == (7, b"abcd")
    with pytest.raises(Malformed):
        frames.read_cancel(frames.cancel(7, b"abcde"))
