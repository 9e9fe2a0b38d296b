"""Values of columns and parameters as JSON: what detectors look at and the journal shows. One way only: nothing is sent from it.

It knows the built-in types by their OIDs. What it cannot read in the binary format is `Opaque`, never guessed.
"""

import base64
import datetime as dt
import math
import struct
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .frames import Malformed

TEXT_LIKE = frozenset({25, 1043, 1042, 19, 705, 114, 142, 3802, 18, 2275})
TIMES = frozenset({1082, 1083, 1266, 1114, 1184, 1186})
_UUID = 2950
_JSONB = 3802
FIXED = TIMES | {16, _UUID, 26, 27, 28, 29, 3220}  # no text fits into them
SPELLED = TIMES | {_UUID}  # shown otherwise than the server writes them
_MOST_GROUPS = 16  # of four zeros that a number is shown with
_EPOCH = dt.datetime(2000, 1, 1)
_OF_ARRAYS = (16, 18, 19, 20, 21, 23, 25, 26, 114, 700, 701, 1042, 1043, 1082, 1114, 1184, 1700, 2950, 3802)
ELEMENTS: Mapping[int, int] = {kind: kind for kind in _OF_ARRAYS}  # what arrays hold, by the type that each is read as


class Opaque(str):
    """What could not be read, in base64."""

    __slots__ = ()


def unread(value: object) -> str:
    """What JSON says of an `Opaque`. Raises `TypeError` for anything else."""
    if type(value) is not Opaque:
        raise TypeError("no value of a row")
    return str(value)


def shown(kind: int, form: int, value: bytes | None) -> Any:
    """The value as JSON. Raises `Malformed` for text that is not UTF-8."""
    if value is None:
        return None
    found = _plain(kind, form, value)
    if type(found) is Opaque:
        return found
    if kind in TIMES:  # ISO 8601 has a comma, too; with a full stop it looks like a telephone number
        return found.replace(".", ",")
    return found.replace("-", "") if kind == _UUID else found


def reader(kind: int, form: int) -> Callable[[bytes], Any]:
    """What `shown` does for values of this type in this format. Text that is not UTF-8 is a `ValueError`."""
    if (form == 0 or (kind in TEXT_LIKE and kind != _JSONB)) and kind not in TIMES and kind != _UUID:
        return bytes.decode
    return partial(_shown, kind, form)


def array_reader(elements: Mapping[int, int]) -> Callable[[bytes], Any]:
    """As `reader`, for arrays in binary of nothing but these types; each is read as the other one that it is given with."""
    return partial(_shown_array, elements)


def compiled_kind(kind: int, form: int) -> int:
    """How the compiled half reads values of this type in this format; -1 if it does not."""
    if form == 0 or (kind in TEXT_LIKE and kind != _JSONB):
        return 1 if kind in TIMES else 2 if kind == _UUID else 0
    return _COMPILED.get(kind, -1)


def _shown(kind: int, form: int, value: bytes) -> Any:
    try:
        return shown(kind, form, value)
    except Malformed:
        raise ValueError("a text value that is not UTF-8") from None


def _shown_array(elements: Mapping[int, int], value: bytes) -> Any:
    try:
        return _array(value, elements)
    except Malformed:
        raise ValueError("a text value that is not UTF-8") from None
    except (struct.error, ValueError, OverflowError, IndexError):
        return _opaque(value)


def _plain(kind: int, form: int, value: bytes) -> Any:
    if form == 0 or kind in TEXT_LIKE:
        return _text(value[1:] if form == 1 and kind == _JSONB else value)
    read = _BINARY.get(kind) or (_array if value[:4] in _DIMENSIONS else None)
    if read is not None:
        try:
            return read(value)
        except (struct.error, ValueError, OverflowError, IndexError):
            pass
    return _opaque(value)


def _opaque(value: bytes) -> Opaque:
    return Opaque(base64.b64encode(value).decode())


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Malformed("a text value that is not UTF-8") from None


def _number(form: str) -> Callable[[bytes], int]:
    return lambda value: int(struct.unpack(form, value)[0])


def _float(form: str) -> Callable[[bytes], float | str]:
    def read(value: bytes) -> float | str:
        number = float(struct.unpack(form, value)[0])
        return number if math.isfinite(number) else str(number)

    return read


def _timestamp(value: bytes) -> str:
    (since,) = struct.unpack("!q", value)
    if since in (-(1 << 63), (1 << 63) - 1):
        return "infinity" if since > 0 else "-infinity"
    return (_EPOCH + dt.timedelta(microseconds=since)).isoformat(" ")


def _date(value: bytes) -> str:
    (days,) = struct.unpack("!i", value)
    return (_EPOCH + dt.timedelta(days=days)).date().isoformat()


def _time(value: bytes) -> str:
    (since,) = struct.unpack("!q", value)
    return str(dt.timedelta(microseconds=since))


def _interval(value: bytes) -> str:
    since, days, months = struct.unpack("!qii", value)
    return f"{months} mons {days} days {dt.timedelta(microseconds=since)}"


def _numeric(value: bytes) -> str:
    count, weight, sign, scale = struct.unpack_from("!hhHH", value)
    if sign in (0xC000, 0xD000, 0xF000):
        return {0xC000: "NaN", 0xD000: "Infinity", 0xF000: "-Infinity"}[sign]
    digits = struct.unpack_from(f"!{count}H", value, 8)
    if abs(weight) > _MOST_GROUPS + count:
        # Attack: ten bytes that are shown with 131,072 digits, thousands of times in one answer.
        shown_digits = "".join(f"{digit:04d}" for digit in digits).lstrip("0") or "0"
        return ("-" if sign == 0x4000 else "") + f"{shown_digits}e{4 * (weight + 1 - count)}"
    scale = min(scale, 4 * (max(count - weight, 0) + _MOST_GROUPS))
    whole = "".join(f"{digits[i] if i < count else 0:04d}" for i in range(weight + 1)).lstrip("0") or "0"
    places = range(weight + 1, weight + 2 + scale // 4)
    fraction = "".join(f"{digits[i] if 0 <= i < count else 0:04d}" for i in places)[:scale]
    return ("-" if sign == 0x4000 else "") + whole + ("." + fraction if fraction else "")


def _array(value: bytes, elements: Mapping[int, int] = ELEMENTS) -> list[Any]:
    dimensions, _, kind = struct.unpack_from("!iiI", value)
    read_as = elements.get(kind)
    if read_as is None or dimensions > 6:
        raise ValueError("an array of something else")
    at, count = 12 + 8 * dimensions, 1 if dimensions else 0
    for each in range(dimensions):
        count *= struct.unpack_from("!i", value, 12 + 8 * each)[0]
    found: list[Any] = []
    while len(found) < count:
        (size,) = struct.unpack_from("!i", value, at)
        at += 4
        item = None if size < 0 else value[at : at + size]
        if item is not None and len(item) != size:
            raise ValueError("an array that ends too early")
        found.append(shown(read_as, 1, item))
        at += max(size, 0)
    if at != len(value) or any(isinstance(item, Opaque) for item in found):
        raise ValueError("an array that cannot be read")
    return found


_COMPILED: Mapping[int, int] = {21: 3, 23: 4, 20: 5}  # int2, int4 and int8 in binary, as numbered in _native.pyx
_DIMENSIONS = frozenset(struct.pack("!i", count) for count in range(7))
_BINARY: Mapping[int, Callable[[bytes], Any]] = {
    16: lambda value: value != b"\0",
    20: _number("!q"), 21: _number("!h"), 23: _number("!i"), 26: _number("!I"), 28: _number("!I"), 29: _number("!I"),
    2205: _number("!I"), 2206: _number("!I"), 24: _number("!I"),
    700: _float("!f"), 701: _float("!d"), 1700: _numeric,
    1082: _date, 1083: _time, 1114: _timestamp, 1184: _timestamp, 1186: _interval,
    2950: lambda value: str(uuid.UUID(bytes=value)),
    2278: lambda _: "",
}  # fmt: skip
