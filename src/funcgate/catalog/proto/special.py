"""The well-known types that are something else than their fields in JSON: times, wrappers, Struct, Any.

Each has a reader (message to JSON) here and what undoes it after masking in restoring.py.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .kinds import Convert, converter, finite, number
from .texts import shown
from .upb import Message, which
from .walk import ANY_LEVELS, Unreadable, Walk

if TYPE_CHECKING:
    from .reading import Readers

_EPOCH = datetime(1970, 1, 1)
_FIRST_S, _LAST_S = -62135596800, 253402300799
_LONGEST_S = 315_576_000_000
_NANOS = 1_000_000_000
WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
TIMESTAMP, DURATION = "google.protobuf.Timestamp", "google.protobuf.Duration"
STRUCT, VALUE, LIST = "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"
ANY = "google.protobuf.Any"
OBJECTS = frozenset({STRUCT, ANY})


def _times(read: Callable[[int, int], str | None]) -> "Callable[[Readers], Convert]":
    def make(readers: "Readers") -> Convert:
        def convert(message: Message, walk: Walk) -> Any:
            text = read(message.seconds, message.nanos)
            if text is not None:
                return text
            if readers.judges:
                raise Unreadable("a time that is out of range")
            return {"seconds": message.seconds, "nanos": message.nanos}

        return convert

    return make


def timestamp(seconds: int, nanos: int) -> str | None:
    """RFC 3339 in UTC, with 0, 3, 6 or 9 digits; None out of the range of years 1 to 9999."""
    if not (_FIRST_S <= seconds <= _LAST_S and 0 <= nanos < _NANOS):
        return None
    return (_EPOCH + timedelta(seconds=seconds)).isoformat() + _fraction(nanos) + "Z"


def duration(seconds: int, nanos: int) -> str | None:
    """Seconds with 0, 3, 6 or 9 digits and an ``s``; None out of range, or when the signs differ."""
    if abs(seconds) > _LONGEST_S or abs(nanos) >= _NANOS or seconds * nanos < 0:
        return None
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{_fraction(abs(nanos))}s"


def _fraction(nanos: int) -> str:
    if not nanos:
        return ""
    digits = f"{nanos:09}"
    return "." + (digits[:3] if digits.endswith("000000") else digits[:6] if digits.endswith("000") else digits)


def _wrapper(readers: "Readers") -> Convert:
    made: dict[str, Convert | None] = {}

    def convert(message: Message, walk: Walk) -> Any:
        name = message.DESCRIPTOR.full_name
        if name not in made:
            made[name] = converter(message.DESCRIPTOR.fields_by_name["value"], strict_numbers=readers.judges)
        one = made[name]
        return message.value if one is None else one(message.value, walk)

    return convert


def _values(readers: "Readers") -> tuple[Convert, Convert, Convert]:
    """Struct, Value and ListValue."""
    of_number = finite if readers.judges else number

    def struct(message: Message, walk: Walk) -> dict[str, Any]:
        walk.down()
        walk.take(len(message.fields))
        found = {key: value(item, walk) for key, item in message.fields.items()}
        walk.depth += 1
        return found

    def elements(message: Message, walk: Walk) -> list[Any]:
        walk.down()
        walk.take(len(message.values))
        found = [value(item, walk) for item in message.values]
        walk.depth += 1
        return found

    def value(message: Message, walk: Walk) -> Any:
        kind = which(message, "kind")
        if kind == "struct_value":
            return struct(message.struct_value, walk)
        if kind == "list_value":
            return elements(message.list_value, walk)
        if kind == "number_value":
            return of_number(message.number_value, walk)
        if kind is None and readers.judges:
            # Attack: null is judged, nothing is sent.
            raise Unreadable("a google.protobuf.Value without a value")
        return None if kind is None or kind == "null_value" else getattr(message, kind)

    return struct, value, elements


def _any(readers: "Readers") -> Convert:
    def convert(message: Message, walk: Walk) -> dict[str, Any]:
        url, data = message.type_url, message.value
        if not url and not data:
            return {}
        reader = readers.named(url.rpartition("/")[2]) if "/" in url else None
        if reader is None and readers.pass_unknown:
            return {"@type": url, "value": shown(data)}
        if reader is None:
            raise Unreadable("a google.protobuf.Any with a type that is not known")
        walk.down(ANY_LEVELS)
        inner = reader.parse(data)
        found = {"@type": url, **reader.wrapped(inner, walk)}
        # What is judged is what is sent, inside too: one spelling, and what the description hides is hidden.
        canonical = reader.write(inner)
        if canonical != data:
            message.value = canonical
        walk.depth += ANY_LEVELS
        return found

    return convert


TIMES: Mapping[str, Callable[[int, int], str | None]] = {TIMESTAMP: timestamp, DURATION: duration}

NESTED: "Mapping[str, Callable[[Readers], Convert]]" = {
    **{name: _times(read) for name, read in TIMES.items()},
    STRUCT: lambda readers: _values(readers)[0],
    VALUE: lambda readers: _values(readers)[1],
    LIST: lambda readers: _values(readers)[2],
    ANY: _any,
    **dict.fromkeys(WRAPPERS, _wrapper),
}
