"""COPY data as lines: a row is an array of its values, masked by column and by detector as any row, and a message again.

The messages that rows come in may be cut anywhere; the caller gets a message for each row. What cannot be read as a row is
shown only where no rule asks for anything.
"""

from typing import Any

import msgspec

from funcgate.catalog.sql import Statement
from funcgate.core.native import half
from funcgate.core.refusal import Code, Refused
from funcgate.wire.postgres import backend
from funcgate.wire.postgres.backend import Column, CopyResponse
from funcgate.wire.postgres.copytext import TEXT, Field, Layout, Rows, fields_of, layout_of, rows_of
from funcgate.wire.postgres.frames import Malformed, frame

from .pending import Pending
from .shape import Hiding

_encode = msgspec.json.Encoder().encode
_native = half("funcgate.wire.postgres._copying")
_FORMATLESS = Column("", 0, 0, 25, 0)
_ENDS = (b"\n", b"\r\n")


class Copying:
    """How a statement copies. `way` is in, out, or "" for one that does not; `layout` is None if nobody can tell. `most` is how
    many bytes a row may have that comes in several messages."""

    __slots__ = ("layout", "most", "way")

    def __init__(self, way: str = "", layout: Layout | None = TEXT, most: int = 0) -> None:
        self.way = way
        self.layout = layout
        self.most = most

    @classmethod
    def by(cls, statement: Statement | None, most: int) -> "Copying":
        if statement is None or not statement.copy:
            return NONE
        return cls(statement.copy, layout_of(statement.copy_options), most)


NONE = Copying()


class CopiedOut:
    """What a database copies out. `plain` says that rows may be read in bulk."""

    def __init__(self, copying: Copying, response: CopyResponse, hiding: Hiding, *, strict: bool) -> None:
        """Raises `Refused(masking.refused)` for a format that nobody can look at, where it has to be."""
        self._hidden = hiding.of([_FORMATLESS] * response.columns).hidden
        self._strict = strict or any(self._hidden)
        self.layout = layout = None if response.binary else copying.layout
        if layout is None and self._strict:
            raise Refused(Code.MASKING_REFUSED, "A COPY in this format cannot be looked at; copy as text or CSV.")
        self._columns = response.columns
        self._most = copying.most
        self._rows = Rows(layout or TEXT)
        self._headed = layout is not None and layout.header
        self._way = layout.plain if layout is not None else None
        self.plain = _native is not None and self._way is not None and not self._headed and not any(self._hidden)

    def bulk(self, data: bytes) -> tuple[bytes, int, int] | None:
        """The lines of the messages that the data begin with, how many bytes these are, and how many rows. None, from then on,
        when they are not one row each."""
        found: tuple[bytes, int, int] | None = _native.messages(data, self._way, self._columns)
        self.plain = found is not None
        return found

    def take(self, payload: bytes, raw: bytes, pending: Pending) -> tuple[bytes, int]:
        """The lines of the rows that end in this message, and how many. Raises `Refused(masking.refused)`, `Malformed`."""
        if self.layout is None:
            line = _encode({"data": _shown(payload)})
            pending.add(line, backend.COPY_DATA, raw)
            return line + b"\n", 1
        whole = self._rows.take(payload)
        # Attack: a value cut in two messages, the first of them too large for a bulk: the other would be looked at alone.
        self.plain = self.plain and not self._rows.size
        # Attack: a row without end, a message at a time, until the memory is gone.
        if self._rows.size > self._most:
            raise Malformed("a row that is too large")
        return self._lines(rows_of(whole, self.layout), pending, raw if whole is payload else b"")

    def end(self, pending: Pending) -> tuple[bytes, int]:
        """What is left when no more comes."""
        rest = self._rows.rest()
        return self._lines([rest], pending, b"") if rest and self.layout is not None else (b"", 0)

    def _lines(self, rows: list[bytes], pending: Pending, raw: bytes) -> tuple[bytes, int]:
        alone = raw if len(rows) == 1 else b""
        lines = [self._line(row, alone or frame(backend.COPY_DATA, row), pending) for row in rows]
        return b"".join(lines), len(lines)

    def _line(self, row: bytes, raw: bytes, pending: Pending) -> bytes:
        value, changed = self._value(row)
        line = _encode(value)
        pending.add(None if changed else line, backend.COPY_DATA, raw)
        return line + b"\n"

    def _value(self, row: bytes) -> tuple[Any, bool]:
        """A row as JSON, and whether something in it is hidden already."""
        try:
            fields = _fields(row, self.layout or TEXT, self._columns)
            # Attack: a delimiter inside of a value, so that it is taken for two columns, one of which may be shown.
            if len(fields) != self._columns:
                raise ValueError("a row with more or fewer values than columns")
        except ValueError:
            if self._strict:
                raise Refused(Code.MASKING_REFUSED, private_detail="a row of a COPY that cannot be read") from None
            return {"data": _shown(row)}, False
        if self._headed:
            self._headed = False
            return {"columns": fields}, False
        shown = [
            field if field is None or label is None else label
            for field, label in zip(fields, self._hidden, strict=True)
        ]
        return shown, shown != fields


def lines_in(data: bytes, layout: Layout | None) -> tuple[bytes, int]:
    """What a caller copies in, whole rows, as lines, and how many: a row that cannot be read is shown as the text that it is."""
    if _native is not None and layout is not None and layout.plain is not None:
        found: tuple[bytes, int] | None = _native.lines(data, layout.plain, -1)
        if found is not None:
            return found
    rows = rows_of(data, layout or TEXT)
    return b"".join(_encode(_copied(row, layout)) + b"\n" for row in rows), len(rows)


def _copied(row: bytes, layout: Layout | None) -> Any:
    if layout is not None:
        try:
            return fields_of(row, layout)
        except ValueError:
            pass
    return {"copied": _shown(row)}


def _fields(row: bytes, layout: Layout, columns: int) -> list[Field]:
    """A table without columns has rows nevertheless. Raises `ValueError`."""
    return [] if not columns and row in _ENDS else fields_of(row, layout)


def _shown(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": data}
