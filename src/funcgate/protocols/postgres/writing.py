"""A message again, from what masking has left of its line. What cannot be written as it was said ends the call."""

from collections.abc import Sequence
from typing import Any

import msgspec

from funcgate.core.refusal import Code, Refused
from funcgate.wire.postgres import backend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.copytext import Layout, with_fields
from funcgate.wire.postgres.frames import Malformed, frame
from funcgate.wire.postgres.values import FIXED, TEXT_LIKE, Opaque

from .shape import Shape

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.decode
_NAMES = {backend.ERROR: "error", backend.NOTICE: "notice"}
_JSON = frozenset({114, 3802})
_NULL = 0xFFFFFFFF
_ABSENT = b"\xff\xff\xff\xff"
# Names that the statement gave, and what the server counts.
_NO_VALUES = frozenset({
    backend.ROW_DESCRIPTION, backend.COPY_IN, backend.COPY_OUT, backend.COPY_DONE, backend.COMPLETE, backend.EMPTY,
    backend.SUSPENDED,
})  # fmt: skip


def message_of(
    kind: bytes, raw: bytes, line: bytes, shape: Shape, layout: Layout | None, before: bytes | None = None
) -> bytes:
    """The message that was `raw`, by its masked line; `layout` is that of COPY data, `before` the line of all that it says, if
    there is one. Raises `Refused(masking.refused)`."""
    try:
        if kind == backend.DATA_ROW and before is not None:
            return _spliced(raw, _decode(before), _decode(line), shape)
        return _written(kind, raw, _decode(line), shape, layout)
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError, AttributeError, Malformed):
        raise Refused(Code.MASKING_REFUSED, private_detail="a masked row that cannot be written") from None


def _written(kind: bytes, raw: bytes, value: Any, shape: Shape, layout: Layout | None) -> bytes:
    if not raw or kind in _NO_VALUES:
        return raw
    if kind == backend.DATA_ROW:
        return _row(raw, value, shape)
    if kind == backend.COPY_DATA and layout is not None:
        fields = value["columns"] if isinstance(value, dict) else value
        return frame(kind, with_fields(raw[5:], fields, layout))
    if kind in (backend.ERROR, backend.NOTICE):
        return backend.fields(kind, {str(k)[:1]: str(v) for k, v in value[_NAMES[kind]].items()})
    if kind == backend.PARAMETER_STATUS:
        return backend.status(*map(str, value["parameter"]))
    if kind == backend.NOTIFICATION:
        pid, channel, text = value["notification"]
        return backend.notification(int(pid), str(channel), str(text))
    raise Refused(Code.MASKING_REFUSED, private_detail="a message that cannot be masked")


def _row(raw: bytes, shown_now: Sequence[Any], shape: Shape) -> bytes:
    """The values that changed: text says what hides it, another type can only say NULL."""
    values = backend.read_row(raw[5:])
    if len(shown_now) != len(values):
        raise ValueError("another number of values")
    for at, (column, now) in enumerate(zip(shape.columns, shown_now, strict=True)):
        value = values[at]
        before = None if value is None else shape.readers[at](value)
        if now == before and type(now) is type(before):
            continue
        if (type(before) is Opaque and now == before) or (column.type in FIXED and shape.hidden[at] is None):
            continue  # what a detector takes for a value in a time or a number of a fixed kind is none
        values[at] = _value(column, now)
    return backend.row(values)


def _spliced(raw: bytes, before: Sequence[Any], now: Sequence[Any], shape: Shape) -> bytes:
    """As `_row`, by what the line said before: most values stay the bytes that they are."""
    columns = shape.columns
    if not len(columns) == len(before) == len(now):
        raise ValueError("another number of values")
    parts: list[bytes] = []
    at, kept = 7, 5
    for number, column in enumerate(columns):
        size = int.from_bytes(raw[at : at + 4], "big")
        end = at + 4 + (0 if size == _NULL else size)
        then, shown_now = before[number], now[number]
        if (shown_now != then or type(shown_now) is not type(then)) and (
            column.type not in FIXED or shape.hidden[number] is not None
        ):
            value = _value(column, shown_now)
            parts += (raw[kept:at], _ABSENT if value is None else len(value).to_bytes(4, "big") + value)
            kept = end
        at = end
    parts.append(raw[kept:])
    return frame(backend.DATA_ROW, b"".join(parts))


def _value(column: Column, now: Any) -> bytes | None:
    """What masking has left of a value, as the column's type can say it."""
    if column.type in TEXT_LIKE and column.type not in _JSON and isinstance(now, str):
        return now.encode()
    if column.type in _JSON and isinstance(now, str):
        return _json(now, versioned=column.type == 3802 and column.format == 1)
    return None


def _json(text: str, *, versioned: bool) -> bytes:
    """JSON again after masking: a label in place of a number, say, needs its quotes."""
    try:
        _decode(text)
        encoded = text.encode()
    except msgspec.MsgspecError:
        encoded = _encode(text)
    return b"\x01" + encoded if versioned else encoded
