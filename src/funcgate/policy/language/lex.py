"""Text to tokens (cel-spec, "Syntax"). Runs at load time only, over text that the operator wrote.

It refuses what the language does not know, with the column; it never guesses.
"""

import re
from typing import Any

from msgspec import Struct

from .tree import Mistake
from .values import INT_MAX, UINT_MAX, Uint

RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
    "namespace", "return", "var", "void", "while",
})  # fmt: skip
WORDS = {"true": True, "false": False, "null": None}

_TOKEN = re.compile(
    r"""(?P<space>[\t\n\f\r ]+|//[^\r\n]*)
    |(?P<string>[rR]?[bB]?(?:\"{3}|'{3}|\"|')|[bB][rR](?:\"{3}|'{3}|\"|'))
    |(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    |(?P<int>0[xX][0-9a-fA-F]+[uU]?|\d+[uU]?)
    |(?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
    |(?P<quoted>`[_a-zA-Z0-9.\-/ ]+`)
    |(?P<mark>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE,
)
_HINTS = {"=": "; write '==' to compare", "&": "; write '&&'", "|": "; write '||'"}
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(
    r"\\(?:([\\?\"'`])|([abfnrtv])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2}))"
)


class Token(Struct, frozen=True):
    """`kind` is ``literal``, ``name``, ``mark`` or ``end``; `text` the spelling of a name or mark."""

    kind: str
    text: str
    at: int
    value: Any = None
    quoted: bool = False


def tokens(text: str) -> list[Token]:
    """All tokens of the text, closed by one of kind ``end``. Raises `Mistake`."""
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            hint = _HINTS.get(text[at], "")
            raise Mistake(f"the character {text[at]!r} has no meaning here{hint}", at)
        kind, spelling, end = match.lastgroup, match[0], match.end()
        if kind == "string":
            value, end = _string(text, at, spelling)
            found.append(Token("literal", "", at, value))
        elif kind == "float":
            found.append(Token("literal", "", at, _float(spelling, at)))
        elif kind == "int":
            found.append(Token("literal", "", at, _int(spelling, at)))
        elif kind == "name":
            word = Token("literal", "", at, WORDS[spelling]) if spelling in WORDS else Token("name", spelling, at)
            found.append(word)
        elif kind == "quoted":
            found.append(Token("name", spelling[1:-1], at, quoted=True))
        elif kind == "mark":
            found.append(Token("mark", spelling, at))
        if kind in ("int", "float") and end < len(text) and (text[end].isalnum() or text[end] == "_"):
            raise Mistake(f"the number {spelling} runs into {text[end]!r}", end)
        at = end
    found.append(Token("end", "", len(text)))
    return found


def _float(spelling: str, at: int) -> float:
    value = float(spelling)
    if value in (float("inf"), float("-inf")):
        raise Mistake(f"{spelling} is beyond a double", at)
    return value


def _int(spelling: str, at: int) -> int:
    """An int or a Uint. One beyond int64 by one is let through for ``-9223372036854775808``; the parser checks."""
    unsigned = spelling[-1] in "uU"
    digits = spelling.rstrip("uU")
    if len(digits) > 40:
        raise Mistake("the number is beyond 64 bits", at)
    value = int(digits, 16 if digits[:2] in ("0x", "0X") else 10)
    if value > (UINT_MAX if unsigned else INT_MAX + 1):
        raise Mistake(f"{spelling} is beyond 64 bits", at)
    return Uint(value) if unsigned else value


def _string(text: str, at: int, opening: str) -> tuple[str | bytes, int]:
    """The string that starts at `at`, and the position after it."""
    quote = opening.lstrip("rRbB")
    prefix = opening[: -len(quote)].lower()
    start = at + len(opening)
    end = start
    while not text.startswith(quote, end):
        if end >= len(text) or (len(quote) == 1 and text[end] in "\r\n"):
            raise Mistake("the string is not closed", at)
        end += 2 if text[end] == "\\" and "r" not in prefix else 1
    body = text[start:end]
    if "b" in prefix:
        return (_utf8(body, start) if "r" in prefix else _unescape_bytes(body, start)), end + len(quote)
    return (body if "r" in prefix else _unescape(body, start)), end + len(quote)


def _escapes(body: str, start: int) -> list[re.Match[str] | str]:
    """The body as plain runs and escape sequences."""
    parts: list[re.Match[str] | str] = []
    at = 0
    while (slash := body.find("\\", at)) >= 0:
        match = _ESCAPE.match(body, slash)
        if match is None:
            raise Mistake(f"the escape {body[slash : slash + 2]!r} is unknown", start + slash)
        parts += [body[at:slash], match]
        at = match.end()
    parts.append(body[at:])
    return parts


def _unescape(body: str, start: int) -> str:
    out = []
    for part in _escapes(body, start):
        if isinstance(part, str):
            out.append(part)
        elif part[1] or part[2]:
            out.append(part[1] or _SIMPLE[part[2]])
        else:
            code = int(part[6], 8) if part[6] else int(part[3] or part[4] or part[5], 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise Mistake("the escape names no character", start + part.start())
            out.append(chr(code))
    return "".join(out)


def _unescape_bytes(body: str, start: int) -> bytes:
    out = []
    for part in _escapes(body, start):
        if isinstance(part, str):
            out.append(_utf8(part, start))
        elif part[1] or part[2]:
            out.append((part[1] or _SIMPLE[part[2]]).encode())
        elif part[4] or part[5]:
            raise Mistake("bytes take \\x and octal escapes, not \\u", start + part.start())
        else:
            out.append(bytes([int(part[6], 8) if part[6] else int(part[3], 16)]))
    return b"".join(out)


def _utf8(text: str, start: int) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Mistake("the text holds half of a surrogate pair", start + error.start) from None
