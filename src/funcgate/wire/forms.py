"""The body of a form, application/x-www-form-urlencoded, to name-value pairs.

The body is forwarded as it came, so whatever two readers could split or decode in two ways is refused, never mended.
"""

import re
from urllib.parse import unquote_to_bytes

MAX_PAIRS = 1000

# What the WHATWG URL standard's serializer writes, and the marks of RFC 3986 that need no encoding in a value.
_BODY = re.compile(rb"(?:[A-Za-z0-9._~!$'()*,:@/?+&=-]+|%[0-9A-Fa-f]{2})*+")


class NotForm(ValueError):
    """The body is not a form that every reader reads alike. `args[0]` says why, without a piece of the body."""


def loads(body: bytes) -> list[tuple[str, str]]:
    """The decoded pairs, in order, names that occur twice included; ``+`` is a space. Raises `NotForm`."""
    if not body:
        return []
    # Attack: ";" separates pairs for some readers; raw bytes beyond ASCII have no agreed character set.
    if _BODY.fullmatch(body) is None:
        raise NotForm("the form holds a character that must be percent-encoded, or a broken percent-encoding")
    if body.count(b"&") >= MAX_PAIRS:
        raise NotForm(f"the form has more than {MAX_PAIRS} members")
    pairs = [_pair(piece) for piece in body.decode("ascii").split("&")]
    if None in pairs:
        raise NotForm("a member of the form has no name, no '=', a second '=', a control character or is not UTF-8")
    return [pair for pair in pairs if pair is not None]


def _pair(piece: str) -> tuple[str, str] | None:
    name, equals, value = piece.partition("=")
    # Attack: "a", "a=" and "a=b=c" are null, empty, cut or whole, depending on who reads them.
    if not name or not equals or "=" in value:
        return None
    if "%" not in piece and "+" not in piece:
        return name, value
    try:
        decoded = _decode(name), _decode(value)
    except UnicodeDecodeError:
        return None
    # Attack: a NUL in a name or value ends it for some readers. Line ends and tabs are data in a value, never in a name.
    if "\0" in decoded[1] or any(character < " " or character == "\x7f" for character in decoded[0]):
        return None
    return decoded


def _decode(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode()
