"""Sets of calls, by their number: 16,384 calls a chunk, a chunk's set as few bytes as it takes. Pure.

A set is kept as its sorted members (two bytes each) while they are few, else as a bitmap.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from sys import byteorder

SHIFT = 14
CHUNK = 1 << SHIFT
_BITMAP_BYTES = CHUNK // 8
_FEW = 256


def load(data: bytes) -> int:
    """The set as the bits of a number: bit i is member i."""
    if len(data) == _BITMAP_BYTES:
        return int.from_bytes(data, "little")
    bitmap = bytearray(_BITMAP_BYTES)
    for member in _members(data):
        bitmap[member >> 3] |= 1 << (member & 7)
    return int.from_bytes(bitmap, "little")


def changed(data: bytes, adding: Iterable[int], removing: Iterable[int] = ()) -> bytes:
    """The set with members more and members less; empty when none is left."""
    if len(data) < _BITMAP_BYTES:
        members = set(_members(data))
        members.update(adding)
        members.difference_update(removing)
        if len(members) <= _FEW:
            return _packed(sorted(members))
        data, adding, removing = bytes(_BITMAP_BYTES), members, ()
    bitmap = bytearray(data)
    for member in adding:
        bitmap[member >> 3] |= 1 << (member & 7)
    for member in removing:
        bitmap[member >> 3] &= ~(1 << (member & 7))
    return bytes(bitmap) if any(bitmap) else b""


def appended(data: bytes, members: Sequence[int]) -> bytes:
    """The set with more members, rising; quicker where all are above those that it has."""
    if len(data) // 2 + len(members) <= _FEW and (not data or int.from_bytes(data[-2:], byteorder) < members[0]):
        return data + (array("H", members).tobytes() if len(members) > 1 else members[0].to_bytes(2, byteorder))
    return changed(data, members)


def newest_first(bits: int) -> Iterator[int]:
    """The members, highest first."""
    while bits:
        member = bits.bit_length() - 1
        yield member
        bits ^= 1 << member


def between(low: int, high: int) -> int:
    """All members from `low` to `high`, both included."""
    return (1 << high + 1) - (1 << low) if high >= low else 0


def _members(data: bytes) -> "array[int]":
    members: array[int] = array("H")
    members.frombytes(data)
    return members


def _packed(members: list[int]) -> bytes:
    return array("H", members).tobytes()
