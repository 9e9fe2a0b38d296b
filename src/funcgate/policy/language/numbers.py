"""Arithmetic and conversions of numbers: 64 bits, checked, never converted without being asked (cel-spec, "Overflow")."""

import math
import re
from decimal import Decimal

from .values import INT_MAX, INT_MIN, UINT_MAX, Failure, Frame, Uint, check_int

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_REAL = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?|inf|infinity|nan)", re.I | re.ASCII
)


def check_uint(value: int) -> Uint:
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise Failure("unsigned integer overflow")


def quotient(a: int, b: int) -> int:
    """Division that rounds towards zero."""
    if b == 0:
        raise Failure("division by zero")
    whole = abs(a) // abs(b)
    return whole if (a < 0) == (b < 0) else -whole


def int_add(_: Frame, a: int, b: int) -> int:
    return check_int(a + b)


def int_subtract(_: Frame, a: int, b: int) -> int:
    return check_int(a - b)


def int_multiply(_: Frame, a: int, b: int) -> int:
    return check_int(a * b)


def int_divide(_: Frame, a: int, b: int) -> int:
    return check_int(quotient(a, b))


def int_modulo(_: Frame, a: int, b: int) -> int:
    if b == 0:
        raise Failure("modulus by zero")
    return a - b * check_int(quotient(a, b))


def int_negate(_: Frame, a: int) -> int:
    return check_int(-a)


def uint_add(_: Frame, a: int, b: int) -> Uint:
    return check_uint(int(a) + int(b))


def uint_subtract(_: Frame, a: int, b: int) -> Uint:
    return check_uint(int(a) - int(b))


def uint_multiply(_: Frame, a: int, b: int) -> Uint:
    return check_uint(int(a) * int(b))


def uint_divide(_: Frame, a: int, b: int) -> Uint:
    return check_uint(quotient(int(a), int(b)))


def uint_modulo(_: Frame, a: int, b: int) -> Uint:
    if b == 0:
        raise Failure("modulus by zero")
    return check_uint(int(a) % int(b))


def double_add(_: Frame, a: float, b: float) -> float:
    return a + b


def double_subtract(_: Frame, a: float, b: float) -> float:
    return a - b


def double_multiply(_: Frame, a: float, b: float) -> float:
    return a * b


def double_divide(_: Frame, a: float, b: float) -> float:
    """IEEE 754: a division by zero is an infinity or no number."""
    if b != 0.0:
        return a / b
    if a == 0.0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def double_negate(_: Frame, a: float) -> float:
    return -a


def int_from_double(_: Frame, value: float) -> int:
    if not float(INT_MIN) < value < float(INT_MAX):  # both bounds excluded, as the doubles beside them are rounded
        raise Failure("the double is beyond int64")
    return int(value)


def uint_from_double(_: Frame, value: float) -> Uint:
    if not 0.0 <= value < float(UINT_MAX):
        raise Failure("the double is beyond uint64")
    return Uint(value)


def int_from_uint(_: Frame, value: int) -> int:
    return check_int(int(value))


def uint_from_int(_: Frame, value: int) -> Uint:
    return check_uint(value)


def int_from_string(_: Frame, text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise Failure("the text is no integer")
    return check_int(int(text))


def uint_from_string(_: Frame, text: str) -> Uint:
    if _WHOLE.fullmatch(text) is None or text[0] in "+-":
        raise Failure("the text is no unsigned integer")
    return check_uint(int(text))


def double_from_string(frame: Frame, text: str) -> float:
    if len(text) > 400 or _REAL.fullmatch(text) is None:
        raise Failure("the text is no number")
    frame.charge(len(text) >> 3)
    value = float(text)
    if math.isinf(value) and "i" not in text.lower():
        raise Failure("the number is beyond a double")
    return value


def double_from_whole(_: Frame, value: int) -> float:
    return float(value)


def string_from_whole(_: Frame, value: int) -> str:
    return str(int(value))


def string_from_double(frame: Frame, value: float) -> str:
    """The shortest digits that read back as the same double; an exponent below 1e-4 and from 1e21 on."""
    frame.charge(8)
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == 0.0:
        return "-0" if math.copysign(1.0, value) < 0 else "0"
    shortest = repr(value)
    if not 1e-4 <= abs(value) < 1e21:
        mantissa, _exponent, power = shortest.partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(power):+03d}"
    plain = format(Decimal(shortest), "f")
    return plain.removesuffix(".0")
