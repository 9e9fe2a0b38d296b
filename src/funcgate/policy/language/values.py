"""The values that expressions run over, and how a run fails.

int64, double, string, bytes, bool, null, list and map are Python's own; the rest is here. No text of a failure ever
holds a value.
"""

from typing import Any

from msgspec import Struct

INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
UINT_MAX = (1 << 64) - 1


class Failure(Exception):
    """An expression had no value (an absent member, no overload, overflow …). ``&&`` and ``||`` may absorb it."""


class OverBudget(Exception):
    """The steps that a decision may take are used up. Nothing absorbs it."""


class Uint(int):
    """An unsigned 64-bit integer. Equal to the int and the double of the same value."""

    __slots__ = ()


class Timestamp(Struct, frozen=True, order=True):
    """Nanoseconds since 1970-01-01T00:00:00Z, from year 1 to year 9999."""

    ns: int


class Duration(Struct, frozen=True, order=True):
    """Nanoseconds, within int64."""

    ns: int


class TypeValue(Struct, frozen=True):
    """A type as a value: what ``type(x)`` gives."""

    name: str


class BoolKey(Struct, frozen=True):
    """A bool as the key of a map. Python holds True and 1 for the same key; CEL does not."""

    value: bool


class Frame:
    """One decision: what its conditions read, and the steps that they have left, together."""

    __slots__ = ("args", "call", "cells", "left")

    def __init__(self, call: Any, args: Any, left: int) -> None:
        self.call = call
        self.args = args
        self.left = left
        self.cells: list[Any] = []

    def charge(self, steps: int) -> None:
        """Use up steps. Raises `OverBudget`."""
        # Attack: arguments made so that a condition takes seconds, and with it everybody's event loop.
        self.left -= steps
        if self.left < 0:
            raise OverBudget


KINDS: dict[type, str] = {
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    bool: "bool",
    type(None): "null_type",
    list: "list",
    dict: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    TypeValue: "type",
}
_NUMBERS = frozenset({int, Uint, float})
_PLAIN = frozenset({bool, type(None), Timestamp, Duration, TypeValue})


def kind_of(value: Any) -> str:
    """The name of the value's CEL type. Raises `Failure` for an integer beyond int64 and for what CEL does not know."""
    kind = KINDS.get(type(value))
    if kind is None:
        raise Failure("a value is of a kind that conditions cannot judge")
    if kind == "int" and not INT_MIN <= value <= INT_MAX:
        raise Failure("an integer is beyond 64 bits")
    return kind


def check_int(value: int) -> int:
    """The value, if it is an int64. Raises `Failure`."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise Failure("integer overflow")


def equal(frame: Frame, left: Any, right: Any) -> bool:
    """CEL's equality: across numbers exact, across other types false; lists and maps by content. Does not recurse."""
    waiting = [(left, right)]
    while waiting:
        a, b = waiting.pop()
        kind = type(a)
        if kind in _NUMBERS and type(b) in _NUMBERS:
            kind_of(a), kind_of(b)
            if a != b:
                return False
        elif kind is not type(b):
            kind_of(a), kind_of(b)
            return False
        elif kind is list or kind is dict:
            if len(a) != len(b):
                return False
            frame.charge(3 * len(a))
            if kind is list:
                waiting.extend(zip(a, b, strict=True))
                continue
            for key, value in a.items():
                if key not in b:
                    return False
                waiting.append((value, b[key]))
        elif kind is str or kind is bytes:
            frame.charge(len(a) >> 8)
            if a != b:
                return False
        elif kind not in _PLAIN:
            raise Failure("a value is of a kind that conditions cannot judge")
        elif a != b:
            return False
    return True


def as_key(key: Any) -> Any:
    """The value as a key of a Python dict. Raises `Failure` for what is no key in CEL."""
    kind = type(key)
    if kind is str:
        return key
    if kind is bool:
        return BoolKey(key)
    if kind in _NUMBERS:
        kind_of(key)
        return key
    raise Failure("a map has no keys of this type")


def keys_of(mapping: dict[Any, Any]) -> list[Any]:
    """The keys of a map as CEL values."""
    return [key.value if type(key) is BoolKey else key for key in mapping]
