"""The columns of an answer: how each value is read, and what is shown in its place. Worked out once for many answers.

It decides nothing: what is hidden is for the rules to say, and where a column comes from for origins.py.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from funcgate.masking.columns import ColumnRules, Name
from funcgate.wire.postgres import backend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.owntypes import OwnTypes
from funcgate.wire.postgres.values import TEXT_LIKE, Opaque, compiled_kind

UNREADABLE = "[UNMASKABLE]"
Origin = Sequence[Sequence[Name] | None]  # for each column, those that it depends on
_encode = msgspec.json.Encoder().encode
_long = struct.Struct("!I").unpack_from
_NULL = 0xFFFFFFFF
_ROW = backend.DATA_ROW[0]
_MOST_SHAPES = 16
_NONE = OwnTypes()


class Shape:
    """`hidden` are the labels, None for a column that is shown; `line` names the columns. `plain` are the kinds and
    the readers of the columns, where rows can be read by the compiled half: then none is hidden whole."""

    __slots__ = ("_checked", "columns", "hidden", "hides", "line", "plain", "readers")

    def __init__(self, columns: Sequence[Column], hidden: Sequence[str | None], types: OwnTypes = _NONE) -> None:
        self.columns = columns
        self.hidden = hidden
        self.hides = any(hidden)
        self.line: bytes = _encode({"columns": [column.name for column in columns]})
        self.readers: list[Callable[[bytes], Any]] = [types.reader(column.type, column.format) for column in columns]
        read_as = [(types.read_as(column.type), column.format) for column in columns]
        self._checked = any(form == 1 and kind not in TEXT_LIKE for kind, form in read_as)
        kinds = [compiled_kind(kind, form) for kind, form in read_as]
        self.plain: tuple[bytes, tuple[Callable[[bytes], Any], ...]] | None = None
        if not self.hides and -1 not in kinds:
            self.plain = bytes(kinds), tuple(self.readers)

    @property
    def checks(self) -> bool:
        """Whether a row may need `conceal`."""
        return self.hides or self._checked

    def read(self, data: bytes, at: int, end: int) -> list[Any]:
        """The values of a DataRow whose payload begins at `at`. Raises `ValueError` and `struct.error` for what is none."""
        if (data[at] << 8 | data[at + 1]) != len(self.readers):
            raise ValueError("a row with more or fewer values than columns")
        at += 2
        line: list[Any] = []
        for read in self.readers:
            (size,) = _long(data, at)
            at += 4
            if size == _NULL:
                line.append(None)
            else:
                line.append(read(data[at : at + size]))
                at += size
        if at != end:
            raise ValueError("a row that ends too early, or has bytes behind its end")
        return line

    def read_all(self, data: bytes) -> tuple[list[list[Any]], list[int]]:
        """The values of all DataRows at the beginning of the data, and where each of the messages ends. Raises as `read` does."""
        rows: list[list[Any]] = []
        ends: list[int] = []
        readers, count, there, at = self.readers, len(self.readers), len(data), 0
        while there - at >= 7 and data[at] == _ROW:
            end = at + 1 + _long(data, at + 1)[0]
            if end > there:
                break
            if (data[at + 5] << 8 | data[at + 6]) != count:
                raise ValueError("a row with more or fewer values than columns")
            at += 7
            line: list[Any] = []
            for read in readers:
                (size,) = _long(data, at)
                at += 4
                if size == _NULL:
                    line.append(None)
                else:
                    line.append(read(data[at : at + size]))
                    at += size
            if at != end:
                raise ValueError("a row that ends too early, or has bytes behind its end")
            rows.append(line)
            ends.append(end)
        return rows, ends

    def conceal(self, line: list[Any], *, strict: bool) -> bool:
        """Put labels for columns that are hidden whole, and for what no detector could look at. Whether there were any."""
        changed = False
        if self.hides:
            for at, label in enumerate(self.hidden):
                if label is not None and line[at] is not None:
                    line[at], changed = label, True
        if strict and self._checked:
            for at, value in enumerate(line):
                if type(value) is Opaque:
                    # Attack: a value in a format that no detector reads, such as a composite in binary.
                    line[at], changed = UNREADABLE, True
        return changed


EMPTY = Shape((), ())


class Hiding(Struct, frozen=True):
    """The rules about columns, and what tells where the columns of this statement's answers come from; `types` what is known
    of the database's own."""

    rules: ColumnRules
    origins: Callable[[Sequence[Column]], Origin]
    known: dict[bytes | tuple[Column, ...], Shape] = {}
    types: Callable[[], OwnTypes] = OwnTypes

    def described(self, payload: bytes) -> Shape:
        """By the payload of a RowDescription. Raises `Malformed`."""
        return self.known.get(payload) or self._keep(payload, tuple(backend.read_columns(payload)))

    def of(self, columns: Sequence[Column]) -> Shape:
        """By columns that were described before."""
        if not columns:
            return EMPTY
        key = tuple(columns)
        return self.known.get(key) or self._keep(key, key)

    def text(self, text: str) -> str:
        """A text of which nobody knows where it comes from."""
        return self.rules.label(None) or text

    def _keep(self, key: bytes | tuple[Column, ...], columns: tuple[Column, ...]) -> Shape:
        hidden = [self.rules.label(of) for of in self.origins(columns)] if self.rules else [None] * len(columns)
        if len(self.known) >= _MOST_SHAPES:
            self.known.clear()
        self.known[key] = shape = Shape(columns, hidden, self.types())
        return shape
