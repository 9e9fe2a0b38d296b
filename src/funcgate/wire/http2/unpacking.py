"""Blocks of fields, unpacked (RFC 7541): strict, and bounded before anything is built.

The walk is ours: jh2's own decoder panics on a cut integer and takes table sizes that the RFC forbids. It exists twice: here,
and compiled (`_packing.pyx`).
"""

from funcgate.wire.http1.limits import HeadLimits

from .codes import Broken, ErrorCode
from .compiled import unpacking
from .events import Fields
from .huffman import opened
from .static_table import SECRETS, SIZE, STATIC

TABLE_BYTES = 4096  # RFC 7541, 4.2: the default, and all we offer
_OVERHEAD = 32  # RFC 7541, 4.1


def _wrong(why: str) -> Broken:
    return Broken(ErrorCode.COMPRESSION_ERROR, why)


class Unpacker:
    """The peer's dynamic table, and the blocks read with it, in order. `unpack` raises `Broken(COMPRESSION_ERROR)`."""

    __slots__ = ("_limits", "_size", "_table", "_table_bytes", "never", "oversized")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._table: list[tuple[bytes, bytes]] = []  # the newest last
        self._size = 0
        self._table_bytes = TABLE_BYTES
        self.never: frozenset[bytes] = frozenset()
        self.oversized = False

    def unpack(self, block: bytes) -> Fields:
        """The block's fields. `never` are the names marked so, `oversized` says that fields were left out.

        Attack: one byte names a field of four thousand (an indexed bomb). What is over the limit is not kept, but the rest
        of the block is still read, because the table must stay what the peer believes it is.
        """
        static, table, limits = STATIC, self._table, self._limits
        fields: Fields = []
        never: list[bytes] = []
        room, most = limits.max_bytes, limits.max_fields
        at, end = 0, len(block)
        if end and block[0] & 0xE0 == 0x20:
            at = self._resize(block)
        while at < end:
            first = block[at]
            if first >= 0x80:  # 6.1
                if first < 0xFF:
                    index = first & 0x7F
                    at += 1
                else:
                    index, at = _integer(block, at, 0x7F)
                if index <= SIZE:
                    if not index:
                        raise _wrong("index 0")
                    field = static[index]
                elif index - SIZE <= len(table):
                    field = table[SIZE - index]
                else:
                    raise _wrong("an index beyond the table")
            elif first & 0xE0 == 0x20:
                raise _wrong("a table size in the middle of a block")  # 4.2
            else:  # 6.2
                keep = first >= 0x40
                field, at = self._literal(block, at, first, 0x3F if keep else 0x0F)
                if keep:
                    self._insert(field)
                elif first & 0x10:
                    never.append(field[0])
            room -= len(field[0]) + len(field[1])
            if room >= 0 and len(fields) < most:
                fields.append(field)
            else:
                room = -1
        self.oversized = room < 0
        self.never = frozenset(never) if never else _NONE
        return fields

    def _literal(self, block: bytes, at: int, first: int, prefix: int) -> tuple[tuple[bytes, bytes], int]:
        index, at = _integer(block, at, prefix)
        if not index:
            name, at = _string(block, at)
        elif index <= SIZE:
            name = STATIC[index][0]
        elif index - SIZE <= len(self._table):
            name = self._table[SIZE - index][0]
        else:
            raise _wrong("an index beyond the table")
        # Attack: read from our memory, long after its connection, a short credential that a client did not mark.
        value, at = _string(block, at, secret=first & 0xF0 == 0x10 or name in SECRETS)
        return (name, value), at

    def _insert(self, field: tuple[bytes, bytes]) -> None:
        size = len(field[0]) + len(field[1]) + _OVERHEAD
        self._evict(self._table_bytes - size)
        if size <= self._table_bytes:
            self._table.append(field)
            self._size += size

    def _evict(self, down_to: int) -> None:
        table = self._table
        gone = 0
        while self._size > down_to and gone < len(table):
            name, value = table[gone]
            self._size -= len(name) + len(value) + _OVERHEAD
            gone += 1
        del table[:gone]

    def _resize(self, block: bytes) -> int:
        """Table sizes at the block's begin: two at most, the smallest and the last (RFC 7541, 4.2)."""
        at = 0
        for _ in range(2):
            size, at = _integer(block, at, 0x1F)
            if size > TABLE_BYTES:
                raise _wrong("a table larger than was offered")
            self._table_bytes = size
            self._evict(size)
            if at >= len(block) or block[at] & 0xE0 != 0x20:
                break
        return at


_NONE: frozenset[bytes] = frozenset()


def _integer(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """An integer (RFC 7541, 5.1) and where it ends."""
    value = block[at] & prefix
    at += 1
    if value < prefix:
        return value, at
    shift = 0
    for byte in block[at : at + 4]:
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    # Attack: an integer without end, or one that a reader with 32 bits takes for another.
    raise _wrong("an integer that does not end")


def _string(block: bytes, at: int, *, secret: bool = False) -> tuple[bytes, int]:
    """A string (RFC 7541, 5.2) and where it ends."""
    if at >= len(block):
        raise _wrong("a string that does not begin")
    first = block[at]
    size, at = _integer(block, at, 0x7F)
    end = at + size
    if end > len(block):
        raise _wrong("a string longer than its block")
    text = block[at:end]
    if first >= 0x80 and size:
        return opened(text, secret=secret), end
    return text, end


if unpacking is not None:
    Unpacker = unpacking.Unpacker  # type: ignore[misc]
