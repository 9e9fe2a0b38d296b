"""Enums, and arrays of enums and domains, in binary: read by what the catalogue said, and by nothing else."""

import struct

import pytest

from funcgate.wire.postgres.owntypes import OwnTypes
from funcgate.wire.postgres.values import Opaque

MOOD, MOODS, SHORT, SHORTS, COUNT, COUNTS, DEEP, DEEPS, POINT, POINTS = range(90_000, 90_010)
TYPES = OwnTypes(
    [(MOOD, 25, MOODS), (SHORT, 1043, SHORTS), (COUNT, 23, COUNTS), (DEEP, MOOD, DEEPS), (POINT, 600, POINTS)]
)
CARD = b"4111 1111 1111 1111"


def array(element: int, *values: bytes | None, dimensions: tuple[int, ...] | None = None) -> bytes:
    """In binary, as the server sends it."""
    sizes = (len(values),) if dimensions is None else dimensions
    head = struct.pack("!iiI", len(sizes), int(None in values), element)
    head += b"".join(struct.pack("!ii", size, 1) for size in sizes)
    return head + b"".join(b"\xff\xff\xff\xff" if v is None else struct.pack("!i", len(v)) + v for v in values)


def test_an_enum_is_read_as_text_in_both_formats() -> None:
    for form in (0, 1):
        assert TYPES.reader(MOOD, form)(CARD) == CARD.decode()
        assert TYPES.reader(DEEP, form)(b"calm") == "calm"
    assert TYPES.read_as(MOOD) == 25
    with pytest.raises(ValueError, match="utf-8"):
        TYPES.reader(MOOD, 1)(b"\xff")


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (MOODS, array(MOOD, b"calm", None, CARD), ["calm", None, CARD.decode()]),
        (MOODS, array(MOOD, b"a", b"b", b"c", b"d", dimensions=(2, 2)), ["a", "b", "c", "d"]),
        (MOODS, array(MOOD, dimensions=()), []),
        (SHORTS, array(SHORT, "Zoë".encode()), ["Zoë"]),
        (COUNTS, array(COUNT, struct.pack("!i", -7), None), [-7, None]),
        (DEEPS, array(DEEP, b"calm"), ["calm"]),
        (MOODS, b"{calm,merry}", None),
    ],
)
def test_an_array_is_read_by_what_its_elements_are(kind: int, value: bytes, wanted: object) -> None:
    read = TYPES.reader(kind, 1)(value)
    assert (None if type(read) is Opaque else read) == wanted
    assert TYPES.reader(kind, 0)(b"{calm,merry}") == "{calm,merry}"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (MOODS, array(SHORT, b"calm")),
        (MOODS, array(25, b"calm")),
        (MOODS, array(MOOD, b"calm") + b"x"),
        (MOODS, array(MOOD, b"calm")[:-1]),
        (MOODS, array(MOOD, b"calm", dimensions=(2,))),
        (MOODS, array(MOOD, b"calm", dimensions=(1,) * 7)),
        (MOODS, b""),
        (COUNTS, array(COUNT, b"calm!")),
        (POINTS, array(POINT, bytes(16))),
        (POINT, bytes(16)),
        (80_000, array(MOOD, b"calm")),
        (80_000, b"calm"),
    ],
    ids=[
        "of other elements", "of a built-in one", "more behind it", "too short", "fewer than it says", "too deep", "nothing",
        "no such number", "of what cannot be read", "a domain of it", "an array that nobody knows", "a type that nobody knows",
    ],
)  # fmt: skip
def test_what_is_anything_else_is_not_guessed(kind: int, value: bytes) -> None:
    assert type(TYPES.reader(kind, 1)(value)) is Opaque


def test_an_array_with_text_that_is_none_is_no_value() -> None:
    with pytest.raises(ValueError, match="UTF-8"):
        TYPES.reader(MOODS, 1)(array(MOOD, b"\xff"))


def test_a_database_cannot_say_that_a_built_in_type_is_another() -> None:
    """Attack: bigint as an enum, so that a card number in eight bytes is looked at as a text."""
    lied = OwnTypes([(20, 25, 1016), (17, 25, 0), (90_000, 25, 17)])
    number = struct.pack("!q", 4111_1111_1111_1111)
    assert lied.reader(20, 1)(number) == 4111_1111_1111_1111
    assert type(lied.reader(17, 1)(b"calm")) is Opaque
    assert type(lied.reader(17, 1)(array(90_000, b"calm"))) is Opaque


def test_domains_without_an_end_are_not_read() -> None:
    lied = OwnTypes([(90_000, 90_001, 90_002), (90_001, 90_000, 90_003)])
    for kind, value in ((90_000, b"calm"), (90_001, b"calm"), (90_002, array(90_000, b"calm"))):
        assert type(lied.reader(kind, 1)(value)) is Opaque
    assert type(OwnTypes().reader(MOOD, 1)(b"calm")) is Opaque
