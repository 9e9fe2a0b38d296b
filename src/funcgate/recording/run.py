"""Lines of one segment that follow each other, as one block of bytes and a table: each `Line` is made when it is asked for.

Compiled halves read the block itself: a line that nobody asks for costs no object. It reads no files.
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import overload

from .folder import Line

_ROW = Struct("=qqq")
ROW_BYTES = _ROW.size
_AT = b',"at":"'


class Run(Sequence[Line]):
    """`table` has three numbers for each line, 64 bits in the order of this machine: its own, where in the block it begins,
    and its length without the newline. `offset` is the place of the block in its segment."""

    __slots__ = ("block", "offset", "segment", "table")

    def __init__(self, block: bytes, table: bytes, segment: str, offset: int) -> None:
        self.block, self.table, self.segment, self.offset = block, table, segment, offset

    @property
    def size(self) -> int:
        """Bytes of all lines and the newlines between them."""
        if not self.table:
            return 0
        _, begin, _ = _ROW.unpack_from(self.table)
        _, start, length = _ROW.unpack_from(self.table, len(self.table) - ROW_BYTES)
        return int(start + length - begin)

    def __len__(self) -> int:
        return len(self.table) // ROW_BYTES

    @overload
    def __getitem__(self, place: int) -> Line: ...
    @overload
    def __getitem__(self, place: slice) -> "Run": ...
    def __getitem__(self, place: int | slice) -> "Line | Run":
        if isinstance(place, slice):
            begin, end, step = place.indices(len(self))
            if step != 1:
                raise ValueError("a run has no lines left out")
            table = self.table[begin * ROW_BYTES : max(begin, end) * ROW_BYTES]
            return Run(self.block, table, self.segment, self.offset)
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return self._line(*_ROW.unpack_from(self.table, place % len(self) * ROW_BYTES))

    def __iter__(self) -> Iterator[Line]:
        return (self._line(*row) for row in _ROW.iter_unpack(self.table))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Run | list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def _line(self, seq: int, start: int, length: int) -> Line:
        raw = self.block[start : start + length]
        at = raw.index(_AT) + len(_AT)
        return Line(seq, raw[at : raw.index(b'"', at)], raw, self.segment, self.offset + start)
