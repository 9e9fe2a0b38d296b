"""Single values of a field, by its type: what they are in JSON. For arguments and for answers, which differ in what they refuse.

A converter of None leaves the value as protobuf gives it.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from .texts import shown
from .upb import Field
from .walk import Unreadable, Walk

Convert = Callable[[Any, Walk], Any]

DOUBLE, FLOAT, BOOL, STRING, GROUP, MESSAGE, BYTES, ENUM = 1, 2, 8, 9, 10, 11, 12, 14
FLOATS = frozenset({DOUBLE, FLOAT})
SUBMESSAGE = frozenset({GROUP, MESSAGE})
_BITS_32 = frozenset({5, 7, 13, 15, 17})
_UNSIGNED = frozenset({4, 6, 7, 13})
_VERIFY = 2  # FeatureSet.Utf8Validation


def converter(field: Field, *, strict_numbers: bool) -> Convert | None:
    """The converter of a field that is no message. `strict_numbers`: NaN and the infinities are refused."""
    if field.type == BYTES:
        return lambda value, walk: shown(value)
    if field.type == ENUM:
        return of_enum(names_of(field.enum_type))
    if field.type in FLOATS:
        return finite if strict_numbers else number
    if field.type == STRING and not _is_verified(field):
        return text
    return None


def finite(value: float, walk: Walk) -> float:
    # Attack: every comparison with NaN is false, so that "deny if above" and "allow unless above" both let it through.
    if not math.isfinite(value):
        raise Unreadable("a number that is not finite")
    return value


def number(value: float, walk: Walk) -> float | str:
    """As ProtoJSON writes it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def text(value: Any, walk: Walk) -> str:
    # Attack: proto2 lets through what is not UTF-8, and two readers mend it in two ways.
    if type(value) is not str:
        raise Unreadable("a string that is not UTF-8")
    return value


def of_enum(names: Mapping[int, str]) -> Convert:
    """The name, or the number where none is declared: what an open enum may hold."""
    return lambda value, walk: names.get(value, value)


def names_of(enum: Any) -> dict[int, str]:
    """Of several names for one number, the one that is declared first."""
    names: dict[int, str] = {}
    for value in enum.values:
        names.setdefault(value.number, value.name)
    return names


def key_text(value: Any) -> str:
    """A map's key as the name of a member."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    return str(value) if type(value) is int else text(value, _NO_WALK)


def key_of(field: Field) -> Callable[[str], Any]:
    """What undoes `key_text`."""
    if field.type == BOOL:
        return lambda name: name == "true"
    return str if field.type == STRING else int


def bounds(field: Field) -> tuple[int, int]:
    """The least and the greatest integer."""
    bits = 32 if field.type in _BITS_32 else 64
    return (0, (1 << bits) - 1) if field.type in _UNSIGNED else (-(1 << bits - 1), (1 << bits - 1) - 1)


def name_in_json(field: Field) -> str:
    """As it is declared; an extension by its full name, with slashes, which a path of a field can have."""
    return str(field.full_name).replace(".", "/") if field.is_extension else str(field.name)


def is_always_there(field: Field) -> bool:
    """Whether an argument is there, with its default, also when it is not sent: it means the same to the target."""
    return not field.has_presence and not field.is_extension


def is_map(field: Field) -> bool:
    return bool(field.type == MESSAGE and field.message_type.GetOptions().map_entry)


def _is_verified(field: Field) -> bool:
    features = getattr(field, "_GetFeatures", None)
    return features is not None and features().utf8_validation == _VERIFY


_NO_WALK: Any = None
