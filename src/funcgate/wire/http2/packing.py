"""Fields, packed into blocks (RFC 7541). What may be kept in the table is listed; secrets never are, nor what changes.

No Huffman: it saves bytes that nobody pays for here, at the cost of time that a call has not.
"""

from collections import deque
from collections.abc import Iterable

from .compiled import packing
from .frames import headers
from .static_table import SECRETS as SECRETS
from .static_table import SIZE, STATIC
from .unpacking import TABLE_BYTES

_OVERHEAD = 32

# Attack (RFC 7541, 7.1): guess a secret by watching how a message shrinks when the guess is in it. So only what is no
# secret, and says the same on many calls, is kept.
_KEPT = frozenset(
    {
        b":authority", b":path", b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"content-encoding",
        b"content-type", b"grpc-accept-encoding", b"grpc-encoding", b"grpc-status", b"server", b"te", b"user-agent", b"vary",
    }
)  # fmt: skip
_LONGEST_KEPT = 256

_STATIC_FIELDS = {field: bytes((0x80 | index,)) for index, field in reversed([*enumerate(STATIC)][1:])}
_STATIC_NAMES = {field[0]: index for index, field in reversed([*enumerate(STATIC)][1:])}
_NOTHING: frozenset[bytes] = frozenset()


def integer(value: int, prefix: int, flags: int) -> bytes:
    """RFC 7541, 5.1. `prefix` is the largest value that the prefix holds."""
    if value < prefix:
        return bytes((flags | value,))
    parts = bytearray((flags | prefix,))
    value -= prefix
    while value >= 0x80:
        parts.append(0x80 | (value & 0x7F))
        value >>= 7
    parts.append(value)
    return bytes(parts)


_PLAIN_NAMES = {name: integer(index, 0x0F, 0x00) for name, index in _STATIC_NAMES.items()}
_LENGTHS = [integer(size, 0x7F, 0x00) for size in range(1024)]


class Packer:
    """Our dynamic table, and the blocks written with it, in order."""

    __slots__ = ("_count", "_known", "_order", "_resized", "_size", "_table_bytes")

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], int] = {}
        self._order: deque[tuple[bytes, bytes]] = deque()
        self._count = 0  # of all that were ever inserted
        self._size = 0
        self._table_bytes = TABLE_BYTES
        self._resized: list[int] = []

    def resize(self, offered: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE. Told in the next block: the smallest and the last (RFC 7541, 4.2)."""
        size = min(offered, TABLE_BYTES)
        if size == self._table_bytes:
            return
        smallest = min([size, *self._resized])
        self._resized = [smallest, size] if smallest != size else [size]
        self._table_bytes = size
        self._evict(size)

    def pack(self, fields: Iterable[tuple[bytes, bytes]], secret: frozenset[bytes] = _NOTHING) -> bytes:
        """One block. `secret` are names besides `SECRETS` whose values must never be kept, here or further on."""
        parts: list[bytes] = []
        if self._resized:
            parts += [integer(size, 0x1F, 0x20) for size in self._resized]
            self._resized = []
        known = self._known
        for field in fields:
            name, value = field
            if name in SECRETS or name in secret:
                parts.append(_literal(name, value, 0x10))
                continue
            indexed = _STATIC_FIELDS.get(field)
            if indexed is not None:
                parts.append(indexed)
                continue
            number = known.get(field)
            if number is not None:
                parts.append(integer(SIZE + self._count - number, 0x7F, 0x80))
            elif name in _KEPT and len(value) <= _LONGEST_KEPT and self._insert(field):
                index = _STATIC_NAMES.get(name)
                start = integer(index, 0x3F, 0x40) if index else b"\x40" + _text(name)
                parts.append(start + _text(value))
            else:
                parts.append(_literal(name, value, 0x00))
        return b"".join(parts)

    def framed(
        self, fields: Iterable[tuple[bytes, bytes]], secret: frozenset[bytes], stream: int, end: bool, most: int
    ) -> bytes:
        """The block in HEADERS, with CONTINUATION if it is longer than `most` bytes."""
        return headers(stream, self.pack(fields, secret), most, end=end)

    def _insert(self, field: tuple[bytes, bytes]) -> bool:
        if field[0] == b":path" and b"?" in field[1]:
            return False
        size = len(field[0]) + len(field[1]) + _OVERHEAD
        if size > self._table_bytes:
            return False
        self._evict(self._table_bytes - size)
        self._known[field] = self._count
        self._order.append(field)
        self._count += 1
        self._size += size
        return True

    def _evict(self, down_to: int) -> None:
        while self._size > down_to:
            field = self._order.popleft()
            del self._known[field]
            self._size -= len(field[0]) + len(field[1]) + _OVERHEAD


def _text(value: bytes) -> bytes:
    size = len(value)
    return (_LENGTHS[size] if size < 1024 else integer(size, 0x7F, 0x00)) + value


def _literal(name: bytes, value: bytes, flags: int) -> bytes:
    if flags:
        index = _STATIC_NAMES.get(name)
        return (integer(index, 0x0F, flags) if index else b"\x10" + _text(name)) + _text(value)
    return (_PLAIN_NAMES.get(name) or b"\x00" + _text(name)) + _text(value)


if packing is not None:
    packing.keep(_KEPT, SECRETS)
    Packer = packing.Packer  # type: ignore[misc]
