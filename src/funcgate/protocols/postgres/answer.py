"""What a database answers to one statement, as lines of JSON: what is masked, recorded and then turned into messages again.

A line that masking left as it was goes on as the very message that it came from; another one is written anew. What is in no
table here ends the call.
"""

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from funcgate.core.refusal import Code, Refused
from funcgate.masking.columns import ColumnRules
from funcgate.wire.postgres import backend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.copytext import line_of, read_line
from funcgate.wire.postgres.frames import Frame, Malformed, frame
from funcgate.wire.postgres.values import FIXED, TEXT_LIKE, Opaque, shown

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
MEDIA = "application/x-ndjson"
UNREADABLE = "[UNMASKABLE]"
Origin = Sequence[Sequence[str] | None]  # for each column, those that it depends on


LEXICAL = {"standard_conforming_strings": "on", "client_encoding": "UTF8"}


class Hiding(Struct, frozen=True):
    """The rules about columns, and what tells where the columns of this answer come from."""

    rules: ColumnRules
    origins: Callable[[Sequence[Column]], Origin]

    def columns(self, columns: Sequence[Column]) -> Sequence[str | None]:
        """What to show in place of each column's values; None for the values themselves."""
        if not self.rules:
            return [None] * len(columns)
        return [self.rules.label(of) for of in self.origins(columns)]

    def text(self, text: str) -> str:
        """A text of which nobody knows where it comes from."""
        return self.rules.label(None) or text


class Answer:
    """One statement's answer. `heads` are messages without content, to go first; `failed` that it ended in an error.

    `expected` are the types of the messages that answer what was sent before the statement itself; those in lower case after
    a ``-`` are not for the caller. `strict`: what cannot be read
    is not shown.
    """

    def __init__(
        self, expected: Sequence[str], hiding: Hiding, *, strict: bool, columns: Sequence[Column] = (), sql: str = ""
    ) -> None:
        self.heads: list[bytes] = []
        self.done = self.failed = self.suspended = False
        self.copying: bytes = b""
        self.rows = 0
        self.descriptions: list[Sequence[Column]] = []
        self.parameters: list[tuple[int, ...]] = []
        self._expected = deque(expected)
        self._hiding = hiding
        self._strict = strict
        self._plain_copy = not _COPY_OPTIONS.search(sql)
        self._columns: Sequence[Column] = columns
        self._hidden: Sequence[str | None] = hiding.columns(columns) if columns else ()
        self._messages: deque[tuple[bytes | None, bytes, bytes]] = (
            deque()
        )  # (line, or None if it was changed; type; message)

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
    def waiting(self) -> bool:
        """Whether an answer to something before the statement is still to come."""
        return bool(self._expected)

    def latest(self) -> bytes:
        """The message that was taken last, to go on at once."""
        return self._messages.pop()[2]

    def line_in(self, data: bytes) -> bytes:
        """The line of what a caller copies in."""
        try:
            text: Any = data.decode()
        except UnicodeDecodeError:
            text = {"base64": data}
        return self._add({"copied": text}, b"", b"")

    def messages(self, line: bytes) -> bytes:
        """The message for the next masked line. Raises `Refused(masking.refused)`."""
        before, kind, raw = self._messages.popleft()
        if line == before:
            return raw
        try:
            return self._written(kind, raw, _decode(line))
        except (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise Refused(Code.MASKING_REFUSED, private_detail="a masked row that cannot be written") from None

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
            columns = backend.read_columns(found.payload) if found.kind == backend.ROW_DESCRIPTION else []
            self.descriptions.append(columns)
            self._describe(columns)
            if columns:
                return self._line(Frame(found.kind, b"", b""), {"columns": [column.name for column in columns]})
        return b""

    def _end(self, found: Frame) -> bytes:
        kind = found.kind
        if kind == backend.ROW_DESCRIPTION:
            columns = backend.read_columns(found.payload)
            self._describe(columns)
            return self._line(found, {"columns": [column.name for column in columns]})
        if kind == backend.COMPLETE:
            self.done = True
            return self._line(found, {"tag": found.payload[:-1].decode("utf-8", "replace")})
        if kind in (backend.EMPTY, backend.SUSPENDED):
            self.done = True
            self.suspended = kind == backend.SUSPENDED
            return self._line(found, {"suspended": self.rows} if self.suspended else {"tag": ""})
        if kind in (backend.COPY_IN, backend.COPY_OUT) and not self.copying:
            return self._copy(found)
        if self.copying == backend.COPY_OUT and kind == backend.COPY_DATA:
            return self._copied(found)
        if self.copying == backend.COPY_OUT and kind == backend.COPY_DONE:
            return self._line(found, {"copied": self.rows})
        raise Malformed("the database sends a message that may not come here")

    def _fields(self, found: Frame, name: str) -> bytes:
        fields = backend.read_fields(found.payload)
        shown_fields = self._hiding.rules.message(fields)
        return self._add({name: shown_fields}, found.kind, found.raw, changed=shown_fields != fields)

    def _describe(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._hidden = self._hiding.columns(columns)

    def _row(self, found: Frame) -> bytes:
        values = backend.read_row(found.payload)
        columns = self._columns
        if len(values) != len(columns):
            raise Malformed("a row with more or fewer values than columns")
        self.rows += 1
        line = [shown(column.type, column.format, value) for column, value in zip(columns, values, strict=True)]
        changed = self._conceal(line)
        return self._add(line, found.kind, found.raw, changed=changed)

    def _conceal(self, line: list[Any]) -> bool:
        """Columns that are hidden whole, and what no detector could look at."""
        changed = False
        for at, label in enumerate(self._hidden):
            if label is not None and line[at] is not None:
                line[at], changed = label, True
        if self._strict:
            for at, value in enumerate(line):
                if type(value) is Opaque:
                    # Attack: a value in a format that no detector reads, such as a composite in binary.
                    line[at], changed = UNREADABLE, True
        return changed

    def _copy(self, found: Frame) -> bytes:
        response = backend.read_copy(found.payload)
        self.copying = found.kind
        if found.kind == backend.COPY_OUT:
            if response.binary and self._strict:
                raise Refused(Code.MASKING_REFUSED, "A binary COPY cannot be looked at; copy as text.")
            self._hidden = self._hiding.columns([Column("", 0, 0, 25, 0)] * response.columns)
        return self._line(found, {"copy": "out" if found.kind == backend.COPY_OUT else "in"})

    def _copied(self, found: Frame) -> bytes:
        self.rows += 1
        data = found.payload
        try:
            text = data.decode()
        except UnicodeDecodeError:
            if self._strict or any(self._hidden):
                raise Refused(Code.MASKING_REFUSED, private_detail="COPY data that are not UTF-8") from None
            return self._line(found, {"data": data})
        if not any(self._hidden):
            return self._add([text], found.kind, found.raw)
        fields = [None if field is None else field.decode() for field in read_line(data.rstrip(b"\n"))]
        # Attack: a tab inside a CSV value, so that it is taken for two columns, one of which may be shown.
        if len(fields) != len(self._hidden) or not self._plain_copy:
            raise Refused(Code.MASKING_REFUSED, private_detail="COPY in a format whose columns cannot be told apart")
        changed = [f if f is None or h is None else h for f, h in zip(fields, self._hidden, strict=True)]
        whole = line_of([None if field is None else field.encode() for field in changed]).decode() + "\n"
        return self._add([whole], found.kind, found.raw, changed=True)

    def _line(self, found: Frame, value: Any) -> bytes:
        return self._add(value, found.kind, found.raw)

    def _add(self, value: Any, kind: bytes, raw: bytes, *, changed: bool = False) -> bytes:
        line = _encode(value)
        self._messages.append((None if changed else line, kind, raw))
        return line + b"\n"

    # Writing.

    def _written(self, kind: bytes, raw: bytes, value: Any) -> bytes:
        if not raw or kind in _NO_VALUES:
            return raw
        if kind == backend.DATA_ROW:
            return self._written_row(raw, value)
        if kind == backend.COPY_DATA:
            return frame(kind, value[0].encode())
        if kind in (backend.ERROR, backend.NOTICE):
            return backend.fields(kind, {str(k)[:1]: str(v) for k, v in value[_NAMES[kind]].items()})
        if kind == backend.PARAMETER_STATUS:
            return backend.status(*map(str, value["parameter"]))
        if kind == backend.NOTIFICATION:
            pid, channel, text = value["notification"]
            return backend.notification(int(pid), str(channel), str(text))
        raise Refused(Code.MASKING_REFUSED, private_detail="a message that cannot be masked")

    def _written_row(self, raw: bytes, shown_now: list[Any]) -> bytes:
        """The values that changed: text says what hides it, another type can only say NULL."""
        values = backend.read_row(raw[5:])
        if len(shown_now) != len(values):
            raise ValueError("another number of values")
        for at, (column, now) in enumerate(zip(self._columns, shown_now, strict=True)):
            before = shown(column.type, column.format, values[at])
            if now == before and type(now) is type(before):
                continue
            if (type(before) is Opaque and now == before) or (column.type in FIXED and self._hidden[at] is None):
                continue  # what a detector takes for a value in a time or a number of a fixed kind is none
            if column.type in TEXT_LIKE and column.type not in _JSON and isinstance(now, str):
                values[at] = now.encode()
            elif column.type in _JSON and isinstance(now, str):
                values[at] = _json(now, versioned=column.type == 3802 and column.format == 1)
            else:
                values[at] = None
        return backend.row(values)


_COPY_OPTIONS = re.compile(
    r"\b(csv|binary|delimiters?|null|header|format|quote|escape|encoding|force\w*)\b", re.IGNORECASE
)
_NAMES = {backend.ERROR: "error", backend.NOTICE: "notice"}
_JSON = frozenset({114, 3802})
# Names that the statement gave, and what the server counts.
_NO_VALUES = frozenset({
    backend.ROW_DESCRIPTION, backend.COPY_IN, backend.COPY_OUT, backend.COPY_DONE, backend.COMPLETE, backend.EMPTY,
    backend.SUSPENDED,
})  # fmt: skip


def _json(text: str, *, versioned: bool) -> bytes:
    """JSON again after masking: a label in place of a number, say, needs its quotes."""
    try:
        _decode(text)
        encoded = text.encode()
    except msgspec.MsgspecError:
        encoded = _encode(text)
    return b"\x01" + encoded if versioned else encoded
