"""What a database answers to one statement, as lines of JSON: what is masked, recorded and then turned into messages again.

Here it is read; what is in no table here ends the call. pending.py turns masked lines into messages again.
"""

import struct
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from funcgate.core.native import half
from funcgate.wire.postgres import backend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.frames import Frame, Malformed
from funcgate.wire.postgres.values import unread

from .batch import Batch, Said
from .copied import NONE, CopiedOut, Copying, lines_in
from .pending import Pending
from .shape import EMPTY, Hiding

_encode = encode_value = msgspec.json.Encoder(enc_hook=unread).encode
_encode_lines = msgspec.json.Encoder(enc_hook=unread).encode_lines
MEDIA = "application/x-ndjson"
_native = half("funcgate.wire.postgres._native")
TAGS: dict[bytes, bytes] = {}  # the lines of command tags that came before
_MOST_TAGS = 1000
LEXICAL = {"standard_conforming_strings": "on", "client_encoding": "UTF8"}


class Answer:
    """One statement's answer. `heads` are messages without content, to go first; `failed` that it ended in an error.

    `expected` are the types of the messages that answer what was sent before the statement itself; those in lower case after
    a ``-`` are not for the caller. `strict`: what cannot be read is not shown. `copy` is how the statement copies.
    """

    def __init__(
        self, expected: Sequence[str], hiding: Hiding, *, strict: bool, columns: Sequence[Column] = (), copy: Copying = NONE,
    ) -> None:  # fmt: skip
        self.heads: list[bytes] = []
        self.done = self.failed = self.suspended = False
        self.copying: bytes = b""
        self.rows = 0
        self.descriptions: list[Sequence[Column]] = []
        self.parameters: list[tuple[int, ...]] = []
        self._expected = deque(expected)
        self._hiding = hiding
        self._strict = strict
        self.copy = copy
        self._may_copy = _COPIES.get(copy.way, b"")
        self._out: CopiedOut | None = None
        self._described = bool(columns)
        self._shape = hiding.of(columns)
        self._body = self._passing = b""
        self._pending = Pending()

    def take(self, found: Frame) -> bytes:
        """The line for a message, "" for none. Raises `Malformed` for one that may not come here."""
        kind = found.kind
        if kind == backend.DATA_ROW and not self._expected and not self.copying:
            return self._row(found)
        if kind == backend.NOTICE:
            return self._fields(found, "notice")
        if kind == backend.PARAMETER_STATUS:
            name, value = backend.read_status(found.payload)
            # Attack: a function that changes how texts are read, so that what was judged as a string ends elsewhere.
            if LEXICAL.get(name, value) != value:
                raise Malformed("the database reads statements in another way than they are judged")
            # Attack: set_config('application_name', ssn, false): the one reported setting that may be any text.
            told_value = self._hiding.text(value) if name == "application_name" else value
            return self._add({"parameter": (name, told_value)}, found.kind, found.raw, changed=told_value != value)
        if kind == backend.NOTIFICATION:
            pid, channel, text = backend.read_notification(found.payload)
            shown_text = self._hiding.text(text)
            told = {"notification": (pid, channel, shown_text)}
            return self._add(told, found.kind, found.raw, changed=shown_text != text)
        if kind == backend.ERROR:
            self.done = self.failed = True
            return self._fields(found, "error")
        if self._expected:
            return self._head(found)
        return self._end(found)

    @property
    def in_rows(self) -> bool:
        """Whether rows may come next, and can be read many at once."""
        if self._out is not None:
            return self._out.plain and self.copying == backend.COPY_OUT
        return not self._expected and not self.copying and bool(self._shape.columns)

    @property
    def row_kind(self) -> int:
        """The type of the messages that rows come in."""
        return backend.DATA_ROW[0] if self._out is None else backend.COPY_DATA[0]

    def take_rows(self, data: bytes) -> tuple[bytes, int]:
        """The lines of all rows that the data begins with, and how many bytes they are. Raises `Malformed`."""
        if self._out is not None:
            copied = self._out.bulk(data)
            return (b"", 0) if copied is None else self._took_rows(copied[0], data[: copied[1]], copied[2], frozenset())
        shape, strict = self._shape, self._strict
        try:
            if _native is not None and shape.plain is not None:
                found = _native.rows(data, shape.plain, _encode)
                if found is not None:
                    return self._took_rows(found[0], data[: found[1]], found[2], frozenset())
            rows, ends = shape.read_all(data)
        except (IndexError, struct.error, ValueError):
            raise Malformed("a row that cannot be read") from None
        changed: frozenset[int] = frozenset()
        if shape.checks:
            changed = frozenset([at for at, row in enumerate(rows) if shape.conceal(row, strict=strict)])
        return self._took_rows(_encode_lines(rows), data[: ends[-1] if ends else 0], len(rows), changed)

    def _took_rows(self, text: bytes, raw: bytes, rows: int, changed: frozenset[int]) -> tuple[bytes, int]:
        self.rows += rows
        self._pending.add_batch(Batch(text, raw, changed))
        return text, len(raw)

    @property
    def waiting(self) -> bool:
        """Whether an answer to something before the statement is still to come."""
        return bool(self._expected)

    @property
    def held(self) -> int:
        """How many bytes of messages wait for their lines."""
        return self._pending.held

    def latest(self) -> bytes:
        """The message that was taken last, to go on at once."""
        return self._pending.latest()

    def lines_in(self, data: bytes) -> bytes:
        """The lines of rows that a caller copies in: they are recorded, and no messages."""
        lines, count = lines_in(data, self.copy.layout)
        self._pending.add_silent(count)
        return lines

    def written(self, lines: bytes) -> bytes:
        """The messages for the next masked lines. Raises `Refused(masking.refused)`."""
        return self._pending.written(lines, self._shape)

    def messages(self, line: bytes) -> bytes:
        """The message for the next masked line. Raises `Refused(masking.refused)`."""
        return self._pending.message(line, self._shape)

    # A small answer that is all there, in one pass.

    def whole(self, data: bytes) -> bytes | None:
        """The lines of an answer that is all there, its ReadyForQuery last, and holds nothing but what was asked for: a
        description, rows, the end. None for any other, of which nothing is taken then."""
        try:
            return self._whole(data, len(data) - len(_READY))
        except (IndexError, struct.error, ValueError, Malformed):
            return None  # taken message by message it says what is wrong with it

    def _whole(self, data: bytes, size: int) -> bytes | None:
        at = 0
        shape = self._shape
        said: list[Said] = []
        lines: list[bytes] = []
        described: list[Sequence[Column]] = []
        heads: list[bytes] = []
        for wanted in self._expected:
            kind, end = data[at : at + 1], at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
            if wanted not in _HEADS or kind not in _HEADS[wanted] or not at + 5 <= end <= size:
                return None
            if kind != backend.ROW_DESCRIPTION and end > at + 5:
                return None
            if kind == backend.ROW_DESCRIPTION:
                shape = self._hiding.described(data[at + 5 : end])
                described.append(shape.columns)
                if shape.columns:
                    lines.append(shape.line)
                    said.append((shape.line, kind, b""))
            elif kind == backend.NO_DATA:
                shape = EMPTY
                described.append(())
            if wanted[0] != "-":
                heads.append(data[at:end])
            at = end
        begin, rows = at, 0
        while at < size:
            kind, end = data[at : at + 1], at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
            if not at + 5 <= end <= size:
                return None
            if kind == backend.DATA_ROW:
                values = shape.read(data, at + 5, end)
                changed = shape.conceal(values, strict=self._strict)
                line = _encode(values)
                rows += 1
                said.append((None if changed else line, kind, data[at:end]))
            elif kind == backend.ROW_DESCRIPTION and at == begin and not heads and not self._described:
                shape = self._hiding.described(data[at + 5 : end])
                line = shape.line
                said.append((line, kind, data[at:end]))
            elif kind == backend.COMPLETE and end == size:
                line = _tag_line(data[at + 5 : end])
                said.append((line, kind, data[at:end]))
            else:
                return None
            lines.append(line)
            at = end
        if not said or said[-1][1] != backend.COMPLETE:
            return None
        self._expected.clear()
        self._shape, self.rows, self.done = shape, rows, True
        self.heads += heads
        self.descriptions += described
        self._pending.add_all(said, size)
        self._body = b"\n".join(lines) + b"\n"
        if all(line is not None for line, _, _ in said):
            self._passing = data[begin:size]
        return self._body

    def passing(self, masked: bytes) -> bytes:
        """The messages of a whole answer, when masking has left it as it was; else nothing."""
        return self._passing if masked is self._body else b""

    # Reading.

    def _head(self, found: Frame) -> bytes:
        """The answer to something that was sent before the statement."""
        wanted = self._expected.popleft()
        for_caller, wanted = not wanted.startswith("-"), wanted.lstrip("-")
        if found.kind not in (wanted.encode(), backend.NO_DATA if wanted == "T" else wanted.encode()):
            raise Malformed("the database answers something else than was asked")
        if for_caller:
            self.heads.append(found.raw)
        if found.kind == backend.PARAMETERS:
            self.parameters.append(backend.read_types(found.payload))
        elif found.kind in (backend.ROW_DESCRIPTION, backend.NO_DATA):
            shape = self._hiding.described(found.payload) if found.kind == backend.ROW_DESCRIPTION else EMPTY
            self.descriptions.append(shape.columns)
            self._shape, self._described = shape, True
            if shape.columns:
                return self._say(shape.line, found.kind, b"")
        return b""

    def _end(self, found: Frame) -> bytes:
        kind = found.kind
        # Attack: columns of which none is hidden, described behind the rows of those that were.
        if kind == backend.ROW_DESCRIPTION and not self._described and not self.copying:
            self._shape, self._described = self._hiding.described(found.payload), True
            return self._say(self._shape.line, kind, found.raw)
        if kind == backend.COMPLETE:
            self.done = True
            return self._say(_tag_line(found.payload), kind, found.raw)
        if kind in (backend.EMPTY, backend.SUSPENDED):
            self.done = True
            self.suspended = kind == backend.SUSPENDED
            return self._line(found, {"suspended": self.rows} if self.suspended else {"tag": ""})
        # Attack: a COPY that nobody asked for, so that the caller waits, or sends what it has.
        if kind == self._may_copy and not self.copying:
            return self._copies(found)
        if self._out is not None and self.copying == backend.COPY_OUT and kind == backend.COPY_DATA:
            return self._copied(*self._out.take(found.payload, found.raw, self._pending))
        if self._out is not None and self.copying == backend.COPY_OUT and kind == backend.COPY_DONE:
            left = self._copied(*self._out.end(self._pending))
            self.copying = _COPIED
            return left + self._line(found, {"copied": self.rows})
        raise Malformed("the database sends a message that may not come here")

    def _fields(self, found: Frame, name: str) -> bytes:
        fields = backend.read_fields(found.payload)
        shown_fields = self._hiding.rules.message(fields)
        return self._add({name: shown_fields}, found.kind, found.raw, changed=shown_fields != fields)

    def _row(self, found: Frame) -> bytes:
        try:
            line = self._shape.read(found.payload, 0, len(found.payload))
        except (IndexError, struct.error, ValueError):
            raise Malformed("a row that cannot be read") from None
        self.rows += 1
        changed = self._shape.conceal(line, strict=self._strict)
        return self._add(line, found.kind, found.raw, changed=changed)

    def _copies(self, found: Frame) -> bytes:
        response = backend.read_copy(found.payload)
        self.copying = found.kind
        if found.kind == backend.COPY_OUT:
            self._out = CopiedOut(self.copy, response, self._hiding, strict=self._strict)
            self._pending.layout = self._out.layout
        return self._line(found, {"copy": "out" if found.kind == backend.COPY_OUT else "in"})

    def _copied(self, lines: bytes, rows: int) -> bytes:
        self.rows += rows
        return lines

    def _line(self, found: Frame, value: Any) -> bytes:
        return self._add(value, found.kind, found.raw)

    def _add(self, value: Any, kind: bytes, raw: bytes, *, changed: bool = False) -> bytes:
        return self._say(_encode(value), kind, raw, changed=changed)

    def _say(self, line: bytes, kind: bytes, raw: bytes, *, changed: bool = False) -> bytes:
        self._pending.add(None if changed else line, kind, raw)
        return line + b"\n"


_READY = backend.ready(b"I")
_COPIED = backend.COPY_DONE  # a COPY that is over: no more of it may come
_COPIES = {"in": backend.COPY_IN, "out": backend.COPY_OUT}
# What may answer a message before the statement, when the whole answer is read at once.
_HEADS = {"1": b"1", "2": b"2", "T": b"Tn", "-T": b"Tn"}


def _tag_line(payload: bytes) -> bytes:
    """Raises `Malformed`."""
    line = _encode({"tag": backend.read_tag(payload)})
    if len(TAGS) >= _MOST_TAGS:
        TAGS.clear()
    TAGS[payload] = line + b"\n"
    return line
