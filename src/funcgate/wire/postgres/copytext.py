"""COPY's two formats of text: where rows end, the fields of a row, and a row with other fields in it.

It reads what servers write and what programs commonly send. A row that is neither is a `ValueError`, never guessed.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

Field = str | None
_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPED = re.compile(rb"\\(?:x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_SPECIAL = re.compile(rb"[\\\b\f\n\r\t\v]")
_BACK = {value[0]: b"\\" + letter for letter, value in _ESCAPES.items()} | {0x5C: b"\\\\"}
_NULLS = frozenset({rb"\N", b""})
_TRUE, _FALSE = frozenset({"", "true", "on", "1", "match"}), frozenset({"false", "off", "0"})
_ENDED = rb"\."  # where the data end, in files
_NO_DELIMITERS = frozenset(b"\\.\r\n" + bytes(range(0x30, 0x3A)) + bytes(range(0x61, 0x7B)))  # as the server's own list


class Layout(NamedTuple):
    """How rows stand in the data. `null` is what stands for NULL; None if that is anything out of the ordinary: then it is
    shown as the text that it is. In CSV what is in quotes is no NULL. `header`: the first row is names."""

    csv: bool = False
    delimiter: bytes = b"\t"
    null: bytes | None = rb"\N"
    quote: bytes = b'"'
    escape: bytes = b'"'
    header: bool = False

    @property
    def plain(self) -> tuple[bool, int, int, int] | None:
        """For the compiled half: CSV, delimiter, quote, and what NULL is (0: nothing, 1: ``\\N``, 2: nothing between delimiters).
        None for what it does not read."""
        if self.escape != self.quote:
            return None
        return self.csv, self.delimiter[0], self.quote[0], 0 if self.null is None else 2 if self.null == b"" else 1


TEXT = Layout()


def layout_of(options: Sequence[tuple[str, str]]) -> Layout | None:
    """By the options of a COPY. None when nobody can tell."""
    given = dict(options)
    csv = given.get("format", "text") == "csv"
    usual = {"delimiter": "," if csv else "\t", "quote": '"', "header": "false", "null": "" if csv else r"\N"}
    usual["escape"] = given.get("quote", '"')
    said = usual | given
    marks = [said[name].encode("utf-8", "replace") for name in ("delimiter", "quote", "escape")]
    header = said["header"].lower()
    if len(given) != len(options) or said.get("format", "text") not in ("text", "csv") or header not in _TRUE | _FALSE:
        return None
    # Attack: a delimiter that may also be part of a value, so that a value is looked at in parts.
    if any(len(mark) != 1 or mark[0] >= 0x80 for mark in marks) or marks[0][0] in (b"\r\n" if csv else _NO_DELIMITERS):
        return None
    if csv and (marks[0] == marks[1] or marks[1] in b"\r\n" or marks[2] in b"\r\n"):
        return None
    null = said["null"].encode("utf-8", "replace")
    return Layout(csv, marks[0], null if null in _NULLS else None, marks[1], marks[2], header in _TRUE)


# Where rows end.


class Rows:
    """Pieces of data in, whole rows out: each byte is looked at once, wherever the pieces are cut. `size` is what is kept."""

    __slots__ = ("_kept", "_layout", "_open", "_skips")

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._kept = bytearray()
        self._open = False  # inside of quotes
        self._skips = False  # the next byte is no mark

    @property
    def size(self) -> int:
        return len(self._kept)

    def take(self, data: bytes) -> bytes:
        """All rows that have ended by now."""
        end = self._last_end(data)
        if end == len(data) and not self._kept:
            return data
        if not end:
            self._kept += data
            return b""
        whole = bytes(self._kept) + data[:end]
        self._kept = bytearray(data[end:])
        return whole

    def rest(self) -> bytes:
        """What is left, which is no whole row."""
        rest = bytes(self._kept)
        self._kept.clear()
        return rest

    def _last_end(self, data: bytes) -> int:
        if not self._layout.csv:
            return self._last_line(data)
        ends, self._open, self._skips = row_ends(data, self._layout, opened=self._open, skips=self._skips)
        return ends[-1] if ends else 0

    def _last_line(self, data: bytes) -> int:
        """Behind the last newline that no backslash is for."""
        escaped, self._skips = self._skips, _odd_before(data, len(data), self._skips)
        end = len(data)
        while (at := data.rfind(b"\n", 0, end)) >= 0:
            if not _odd_before(data, at, escaped):
                return at + 1
            end = at
        return 0


def _odd_before(data: bytes, at: int, escaped: bool) -> bool:
    """Whether an odd number of backslashes is before this place. `escaped`: before the data, too."""
    begin = at
    while begin and data[begin - 1] == 0x5C:
        begin -= 1
    return bool((at - begin) % 2) != (escaped and begin == 0)


def row_ends(data: bytes, layout: Layout, *, opened: bool = False, skips: bool = False) -> tuple[list[int], bool, bool]:
    """Where the rows of CSV end, as the server finds that; whether the end is inside of quotes, and whether the next byte is no
    mark."""
    found: list[int] = []
    quote, escape = layout.quote[0], layout.escape[0]
    apart = quote != escape
    after = 0 if skips else -1  # the place of a byte that stands for itself
    for mark in _marks(layout).finditer(data):
        at, byte = mark.start(), data[mark.start()]
        if at == after:
            continue
        if apart and opened and byte == escape:
            after = at + 1
        elif byte == quote:
            opened = not opened
        elif byte == 0x0A and not opened:
            found.append(at + 1)
    return found, opened, after == len(data)


@lru_cache(64)
def _marks(layout: Layout) -> re.Pattern[bytes]:
    return re.compile(b"[" + re.escape(layout.quote) + re.escape(layout.escape) + b"\n]")


def rows_of(data: bytes, layout: Layout) -> list[bytes]:
    """Whole rows, one by one, each with its end; the last may have none."""
    if layout.csv and (layout.quote in data or layout.escape in data):
        ends = row_ends(data, layout)[0]
    elif b"\r" not in data and (layout.csv or b"\\\n" not in data):
        return data.splitlines(keepends=True)
    else:
        ends = [mark.end() for mark in (_NEWLINE if layout.csv else _LINE_MARKS).finditer(data) if mark[0] == b"\n"]
    return _cut(data, ends)


_NEWLINE = re.compile(rb"\n")
_LINE_MARKS = re.compile(rb"\\.|\n", re.DOTALL)


def _cut(data: bytes, ends: Sequence[int]) -> list[bytes]:
    cuts = [0, *ends] if ends and ends[-1] == len(data) else [0, *ends, len(data)]
    return [data[begin:end] for begin, end in pairwise(cuts) if end > begin]


# The fields of a row.


def fields_of(row: bytes, layout: Layout) -> list[Field]:
    """The values of a row, with its end or without, None for NULL. Raises `ValueError`, also for what is not UTF-8."""
    return [_value(field, layout) for field in _apart(row, layout)[0]]


def with_fields(row: bytes, fields: Sequence[Field], layout: Layout) -> bytes:
    """The row with these values. What stays the same stays as it was written. Raises `ValueError`."""
    raw, end = _apart(row, layout)
    if len(raw) != len(fields):
        raise ValueError("another number of fields")
    found = [
        field if now == _value(field, layout) else _field(now, layout, quoted=field[:1] == layout.quote)
        for field, now in zip(raw, fields, strict=True)
    ]
    return layout.delimiter.join(found) + end


def _apart(row: bytes, layout: Layout) -> tuple[list[bytes], bytes]:
    """The fields as they are written, and the end of the row. Raises `ValueError`."""
    body = row.removesuffix(b"\n")
    if body.endswith(b"\r") and len(body) < len(row) and not (body.endswith(b"\\\r") and not layout.csv):
        body = body[:-1]
    end = row[len(body) :]
    if body == _ENDED:
        raise ValueError("the end of the data, in the midst of them")
    if layout.csv:
        found = _quoted_fields(layout, body)
    elif b"\\" + layout.delimiter in body:
        found = _text_fields(layout, body)
    else:
        found = body.split(layout.delimiter)
    return found, end


def _text_fields(layout: Layout, body: bytes) -> list[bytes]:
    found, at = [], 0
    for mark in _delimiters(layout).finditer(body):
        if mark[0] == layout.delimiter:
            found.append(body[at : mark.start()])
            at = mark.end()
    return [*found, body[at:]]


@lru_cache(64)
def _delimiters(layout: Layout) -> re.Pattern[bytes]:
    return re.compile(rb"\\.|" + re.escape(layout.delimiter), re.DOTALL)


def _quoted_fields(layout: Layout, body: bytes) -> list[bytes]:
    pattern, found, at = _csv_field(layout), list[bytes](), 0
    while True:
        field = pattern.match(body, at)
        if field is None:
            raise ValueError("a field that cannot be read")
        found.append(field[0])
        at = field.end()
        if at == len(body):
            return found
        if body[at : at + 1] != layout.delimiter:
            raise ValueError("a field with something behind its end")
        at += 1


@lru_cache(64)
def _csv_field(layout: Layout) -> re.Pattern[bytes]:
    q, e, d = (b"\\x%02x" % mark[0] for mark in (layout.quote, layout.escape, layout.delimiter))
    inside = b"[^" + q + e + b"]*"
    return re.compile(q + inside + b"(?:" + e + b"[" + q + e + b"]" + inside + b")*" + q + b"|[^" + q + d + b"\r\n]*")


def _value(field: bytes, layout: Layout) -> Field:
    """Raises `ValueError`."""
    if field == layout.null:
        return None
    if not layout.csv:
        if b"\\" in field:
            field = _undone(field)
        elif b"\r" in field:
            raise ValueError("a carriage return where none may be")
    elif field[:1] == layout.quote:
        q, e = layout.quote, layout.escape
        field = field[1:-1].replace(q + q, q) if q == e else _quoted_undone(field[1:-1], layout)
    return field.decode()


def _undone(field: bytes) -> bytes:
    if b"\r" in field or _odd_before(field, len(field), escaped=False):
        raise ValueError("an escape that cannot be read")
    return _ESCAPED.sub(_undo, field)


def _undo(found: re.Match[bytes]) -> bytes:
    code = found[0][1:]
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code[:1].isdigit() and code[:1] < b"8":
        return bytes([int(code, 8) & 0xFF])
    return _ESCAPES.get(code, code)


def _quoted_undone(text: bytes, layout: Layout) -> bytes:
    return re.sub(
        re.escape(layout.escape) + b"([" + re.escape(layout.quote) + re.escape(layout.escape) + b"])", rb"\1", text
    )


def _field(value: Field, layout: Layout, *, quoted: bool) -> bytes:
    """A value as it is written. Raises `ValueError` for a NULL that cannot be."""
    if value is None:
        if layout.null is None:
            raise ValueError("a NULL that nobody knows how to write")
        return layout.null
    text = value.encode()
    if not layout.csv:
        text = _SPECIAL.sub(lambda found: _BACK[found[0][0]], text)
        return text.replace(layout.delimiter, b"\\" + layout.delimiter)
    marks = layout.delimiter + layout.quote + layout.escape + b"\r\n"
    if quoted or text in _NULLS or text == _ENDED or any(mark in text for mark in marks):
        if layout.escape != layout.quote:
            text = text.replace(layout.escape, layout.escape * 2)
        text = layout.quote + text.replace(layout.quote, layout.escape + layout.quote) + layout.quote
    return text
