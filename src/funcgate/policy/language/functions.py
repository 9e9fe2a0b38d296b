"""The table of functions and operators: which operands each overload takes, what it gives, and what runs.

The checker reads it to find mistakes, the compiler to pick what runs. Equality, ordering, ``in``, index and the macros
are not here: the compiler knows those itself.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from . import numbers, strings, times
from .types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    Type,
    list_of,
)
from .values import Failure, Frame, TypeValue, kind_of

Run = Callable[..., Any]


class Overload(Struct, frozen=True):
    """One signature. `run` takes the frame first, then the operands; a method's receiver is the first of them."""

    takes: tuple[Type, ...]
    gives: Type
    run: Run
    method: bool = False


LIST = list_of(DYN)
MAP = Type("map", (DYN, DYN))
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def same(_: Frame, value: Any) -> Any:
    return value


def type_of(_: Frame, value: Any) -> TypeValue:
    return TypeValue(kind_of(value))


def bool_from_string(_: Frame, text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise Failure("the text is no bool")


def list_add(frame: Frame, a: list[Any], b: list[Any]) -> list[Any]:
    frame.charge(len(a) + len(b))
    return a + b


def logical_not(_: Frame, value: bool) -> bool:
    return not value


def _of(takes: tuple[Type, ...], gives: Type, run: Run) -> Overload:
    return Overload(takes, gives, run)


def _on(takes: tuple[Type, ...], gives: Type, run: Run) -> Overload:
    return Overload(takes, gives, run, method=True)


def _arithmetic(name: str) -> tuple[Overload, ...]:
    found = []
    for kind, prefix in ((INT, "int"), (UINT, "uint"), (DOUBLE, "double")):
        run = getattr(numbers, f"{prefix}_{name}", None)
        if run is not None:
            found.append(Overload((kind, kind), kind, run))
    return tuple(found)


OPERATORS: dict[str, tuple[Overload, ...]] = {
    "!_": (_of((BOOL,), BOOL, logical_not),),
    "-_": (_of((INT,), INT, numbers.int_negate), _of((DOUBLE,), DOUBLE, numbers.double_negate)),
    "_+_": (
        *_arithmetic("add"),
        _of((STRING, STRING), STRING, strings.concatenate),
        _of((BYTES, BYTES), BYTES, strings.concatenate),
        _of((LIST, LIST), LIST, list_add),
        _of((TIMESTAMP, DURATION), TIMESTAMP, times.later),
        _of((DURATION, TIMESTAMP), TIMESTAMP, lambda frame, by, stamp: times.later(frame, stamp, by)),
        _of((DURATION, DURATION), DURATION, times.duration_add),
    ),
    "_-_": (
        *_arithmetic("subtract"),
        _of((TIMESTAMP, TIMESTAMP), DURATION, times.between),
        _of((TIMESTAMP, DURATION), TIMESTAMP, times.earlier),
        _of((DURATION, DURATION), DURATION, times.duration_subtract),
    ),
    "_*_": _arithmetic("multiply"),
    "_/_": _arithmetic("divide"),
    "_%_": _arithmetic("modulo"),
}

_CONVERSIONS: dict[str, tuple[Overload, ...]] = {
    "int": (
        _of((INT,), INT, same),
        _of((UINT,), INT, numbers.int_from_uint),
        _of((DOUBLE,), INT, numbers.int_from_double),
        _of((STRING,), INT, numbers.int_from_string),
        _of((TIMESTAMP,), INT, times.timestamp_to_int),
    ),
    "uint": (
        _of((UINT,), UINT, same),
        _of((INT,), UINT, numbers.uint_from_int),
        _of((DOUBLE,), UINT, numbers.uint_from_double),
        _of((STRING,), UINT, numbers.uint_from_string),
    ),
    "double": (
        _of((DOUBLE,), DOUBLE, same),
        _of((INT,), DOUBLE, numbers.double_from_whole),
        _of((UINT,), DOUBLE, numbers.double_from_whole),
        _of((STRING,), DOUBLE, numbers.double_from_string),
    ),
    "string": (
        _of((STRING,), STRING, same),
        _of((INT,), STRING, numbers.string_from_whole),
        _of((UINT,), STRING, numbers.string_from_whole),
        _of((DOUBLE,), STRING, numbers.string_from_double),
        _of((BYTES,), STRING, strings.string_from_bytes),
        _of((BOOL,), STRING, lambda _, value: "true" if value else "false"),
        _of((TIMESTAMP,), STRING, times.timestamp_to_string),
        _of((DURATION,), STRING, times.duration_to_string),
    ),
    "bytes": (_of((BYTES,), BYTES, same), _of((STRING,), BYTES, strings.bytes_from_string)),
    "bool": (_of((BOOL,), BOOL, same), _of((STRING,), BOOL, bool_from_string)),
    "timestamp": (
        _of((TIMESTAMP,), TIMESTAMP, same),
        _of((STRING,), TIMESTAMP, times.timestamp_from_string),
        _of((INT,), TIMESTAMP, times.timestamp_from_int),
    ),
    "duration": (_of((DURATION,), DURATION, same), _of((STRING,), DURATION, times.duration_from_string)),
    "dyn": (_of((DYN,), DYN, same),),
    "type": (_of((DYN,), TYPE, type_of),),
}

_STRINGS: dict[str, tuple[Overload, ...]] = {
    "contains": (_on((STRING, STRING), BOOL, strings.string_contains),),
    "startsWith": (_on((STRING, STRING), BOOL, strings.starts_with),),
    "endsWith": (_on((STRING, STRING), BOOL, strings.ends_with),),
    "matches": (
        _on((STRING, STRING), BOOL, strings.matches),
        _of((STRING, STRING), BOOL, strings.matches),
    ),
    "lowerAscii": (_on((STRING,), STRING, strings.lower_ascii),),
    "upperAscii": (_on((STRING,), STRING, strings.upper_ascii),),
    "trim": (_on((STRING,), STRING, strings.trim),),
    "split": (
        _on((STRING, STRING), list_of(STRING), strings.split),
        _on((STRING, STRING, INT), list_of(STRING), strings.split_at_most),
    ),
    "join": (_on((LIST,), STRING, strings.joined), _on((LIST, STRING), STRING, strings.joined)),
    "substring": (
        _on((STRING, INT), STRING, strings.substring),
        _on((STRING, INT, INT), STRING, strings.substring_until),
    ),
    "replace": (
        _on((STRING, STRING, STRING), STRING, strings.replace),
        _on((STRING, STRING, STRING, INT), STRING, strings.replace_at_most),
    ),
}

_SIZE: tuple[Overload, ...] = tuple(
    Overload((kind,), INT, strings.size_of, method) for method in (False, True) for kind in (STRING, BYTES, LIST, MAP)
)


def _getters() -> dict[str, tuple[Overload, ...]]:
    found: dict[str, tuple[Overload, ...]] = {}
    for name in times.FIELDS:
        in_utc, in_zone = times.stamp_getter(name)
        found[name] = (_on((TIMESTAMP,), INT, in_utc), _on((TIMESTAMP, STRING), INT, in_zone))
        if name in ("getHours", "getMinutes", "getSeconds", "getMilliseconds"):
            found[name] += (_on((DURATION,), INT, times.span_getter(name)),)
    return found


FUNCTIONS: dict[str, tuple[Overload, ...]] = _CONVERSIONS | _STRINGS | {"size": _SIZE} | _getters()


def fits(overload: Overload, kinds: tuple[str, ...]) -> bool:
    """Whether values of these kinds (names as `kind_of` gives them) may be the overload's operands."""
    return len(kinds) == len(overload.takes) and all(
        takes.name in ("dyn", kind) for takes, kind in zip(overload.takes, kinds, strict=True)
    )


def constant_operand(name: str, overload: Overload, position: int, value: Any) -> tuple[Run, Any] | None:
    """What runs instead when a text operand is a constant: a compiled pattern, a resolved time zone. Raises `Failure`."""
    if position != 1 or not isinstance(value, str):
        return None
    if name == "matches":
        return strings.matches_compiled, strings.pattern(value)
    if name in times.FIELDS:
        return overload.run, times.zone(value)
    return None
