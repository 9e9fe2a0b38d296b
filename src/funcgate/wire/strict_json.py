"""JSON as RFC 8259 and I-JSON (RFC 7493) have it: what two readers could read in two ways is refused.

Pure. Refuses to repair anything, and its errors never hold a piece of the body.
"""

import json
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from funcgate.core.nesting import is_deeper

from .compiled import native

MAX_DEPTH = 64
MAX_INTEGER_DIGITS = 128
MAX_SIGNIFICANT_DIGITS = 17  # as many as it takes to name any double (RFC 7493, section 2.2)

_HUGE = 1 << 63
_SPACE = " \t\n\r"


class NotJson(ValueError):
    """The body is not JSON that every reader reads alike. `args[0]` says why, without a piece of the body."""


def loads(body: bytes) -> Any:
    """The value of a JSON text. Integers are exact, whatever their size up to `MAX_INTEGER_DIGITS` digits.

    Raises `NotJson` for anything but UTF-8 without a byte order mark, and for duplicate names, lone surrogates, NaN,
    Infinity, nesting beyond `MAX_DEPTH` and numbers that a double does not hold.
    """
    if body.isascii() and (flat := _flat(body)) is not None:
        return flat
    reason = ""
    value: Any = None
    try:
        text = body.decode()
        # Attack: a hundred thousand brackets exhaust the stack of a recursive reader, here or at the target.
        if is_deeper(body, MAX_DEPTH):
            raise NotJson(f"the value is nested deeper than {MAX_DEPTH} levels")
        at = 0
        length = len(text)
        while at < length and text[at] in _SPACE:
            at += 1
        value, end = _scan(text, at)
        if end != length and text[end:].strip(_SPACE):
            reason = "there is something after the JSON value"
        elif b"\\u" in body:
            _refuse_lone_surrogates(value)
    except NotJson as error:
        reason = error.args[0]
    except UnicodeError:
        reason = "the text is not UTF-8, or an escape names half a surrogate pair"
    except (ValueError, StopIteration):
        reason = "the text is not JSON"
    if reason:
        # Raised here, not above: an exception raised while another is handled keeps that one, and with it the text.
        raise NotJson(reason)
    return value


def _flat(body: bytes) -> dict[str, Any] | None:
    """The common case in half the time: an object of strings, 64-bit integers, booleans, nulls and lists of those; else None.

    That no name occurs twice is proved by counting: every member has a colon of its own, so as many colons as names
    means that no colon is left for a second member of the same name.
    """
    # `in` would raise and catch an error inside of bytes, for 1,800 instructions
    if body.find(b"{", 1) >= 0 or body.find(b"\\u") >= 0 or body.count(b"[") > MAX_DEPTH:
        return None
    try:
        value = _decode_any(body)
    except msgspec.DecodeError:
        return None
    if type(value) is not dict or len(value) != body.count(b":"):
        return None
    return value if all_plain(value) else None


def all_plain(members: dict[str, Any]) -> bool:
    """Whether all are strings, 64-bit integers, booleans, nulls, or lists of those."""
    for item in members.values():
        kind = type(item)
        if kind is not str and not (_plain(item) if kind is not list else all(map(_plain, item))):
            return False
    return True


def _plain(item: Any) -> bool:
    return item is None or type(item) is str or (isinstance(item, int) and -_HUGE < item < _HUGE)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    # Attack: {"amount": 1, "amount": 9999}: one reader takes the first, another the last (RFC 8259, section 4).
    if len(found) != len(pairs):
        raise NotJson("a name occurs twice in an object")
    return found


def _integer(text: str) -> int:
    # Attack: the time to read an integer grows with the square of its digits.
    if len(text) > MAX_INTEGER_DIGITS:
        raise NotJson(f"an integer has more than {MAX_INTEGER_DIGITS} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    digits = text.partition("e")[0].partition("E")[0].lstrip("-").replace(".", "").strip("0")
    # Attack: 10000.000000000000001 is 10000 for one reader and more for another; 1e999 is infinite or an error.
    if len(digits) > MAX_SIGNIFICANT_DIGITS or value - value != 0.0 or (digits and value == 0.0):
        raise NotJson("a number is not one that a double holds")
    return value


def _constant(_: str) -> NoReturn:
    raise NotJson("NaN and Infinity are not JSON")


def _refuse_lone_surrogates(value: Any) -> None:
    # Attack: "\ud800" becomes U+FFFD, "?" or an error, depending on who reads it.
    json.dumps(value, ensure_ascii=False).encode()


pure_all_plain = all_plain
if native is not None:
    all_plain = native.all_plain

_decode_any = msgspec.json.Decoder().decode
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant, strict=True
)
# `decode` of the same object finds the spaces around the value with two regular expressions, in half a microsecond.
_scan: Callable[[str, int], tuple[Any, int]] = _DECODER.scan_once  # type: ignore[attr-defined]
