"""Functions over strings and bytes: the standard ones, and those of cel-go's strings extension that users expect.

Everything that reads or makes text in proportion to its length charges for it. Patterns are RE2: linear time.
"""

from collections.abc import Callable
from typing import Any

import re2
from msgspec import Struct

from .values import Failure, Frame

MAX_PATTERN = 1_000
_SCAN, _COPY, _MATCH = 6, 6, 7  # one step pays for 2**N characters, or instructions of a pattern
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def _options() -> Any:
    options = re2.Options()
    options.max_mem = 1 << 20
    options.log_errors = False
    options.never_capture = True
    return options


_OPTIONS = _options()


class Pattern(Struct, frozen=True):
    """A compiled pattern: `search` takes UTF-8, `size` is the instructions of its program."""

    search: Callable[[bytes], Any]
    size: int


def pattern(text: str) -> Pattern:
    """The compiled RE2 pattern. Raises `Failure` for one that RE2 does not take, or that is too large."""
    if len(text) > MAX_PATTERN:
        raise Failure(f"the pattern is longer than {MAX_PATTERN} characters")
    try:
        compiled = re2.compile(text.encode(), _OPTIONS)
        return Pattern(compiled.search, compiled.programsize)
    except (re2.error, UnicodeEncodeError):
        raise Failure("the pattern is no RE2 expression, or too large a one") from None


def matches_compiled(frame: Frame, text: str, compiled: Pattern) -> bool:
    """Whether the pattern is found anywhere in the text."""
    encoded = _utf8(text)
    # Attack: text for which RE2's automaton outgrows its memory. It then goes step by step through the whole program for
    # every byte: 9 s for 600 kB and a pattern of 16 characters. The price is that of the slow way.
    frame.charge(8 + (len(encoded) * compiled.size >> _MATCH))
    return compiled.search(encoded) is not None


def matches(frame: Frame, text: str, expression: str) -> bool:
    # Attack: a call that brings its own pattern, expensive to compile. The price is paid before the work.
    frame.charge(500 + 10 * min(len(expression), MAX_PATTERN))
    return matches_compiled(frame, text, pattern(expression))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Failure("the text holds half of a surrogate pair") from None


def string_contains(frame: Frame, text: str, part: str) -> bool:
    frame.charge((len(text) + len(part)) >> _SCAN)
    return part in text


def starts_with(frame: Frame, text: str, part: str) -> bool:
    frame.charge(len(part) >> _SCAN)
    return text.startswith(part)


def ends_with(frame: Frame, text: str, part: str) -> bool:
    frame.charge(len(part) >> _SCAN)
    return text.endswith(part)


def concatenate(frame: Frame, a: Any, b: Any) -> Any:
    """Of two strings or two bytes."""
    frame.charge((len(a) + len(b)) >> _COPY)
    return a + b


def size_of(_: Frame, value: Any) -> int:
    return len(value)


def bytes_from_string(frame: Frame, text: str) -> bytes:
    frame.charge(len(text) >> _COPY)
    return _utf8(text)


def string_from_bytes(frame: Frame, value: bytes) -> str:
    frame.charge(len(value) >> _COPY)
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Failure("the bytes are no UTF-8") from None


def lower_ascii(frame: Frame, text: str) -> str:
    frame.charge(len(text) >> 4)
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")  # bytes know only ASCII


def upper_ascii(frame: Frame, text: str) -> str:
    frame.charge(len(text) >> 4)
    return text.encode("utf-8", "surrogatepass").upper().decode("utf-8", "surrogatepass")


def trim(frame: Frame, text: str) -> str:
    """Without the white space (Unicode's) at both ends."""
    frame.charge(len(text) >> 3)
    return text.strip(_SPACE)


def split(frame: Frame, text: str, separator: str) -> list[str]:
    frame.charge(len(text) >> _SCAN)
    frame.charge(text.count(separator) + 1)
    return text.split(separator) if separator else list(text)


def split_at_most(frame: Frame, text: str, separator: str, limit: int) -> list[str]:
    """At most `limit` pieces, the last one unsplit; a negative limit means no limit, 0 none at all."""
    if limit < 0:
        return split(frame, text, separator)
    if limit <= 1:
        return [text] if limit else []
    frame.charge((len(text) >> _SCAN) + min(limit, text.count(separator) + 1))
    if separator:
        return text.split(separator, limit - 1)
    return [*text[: limit - 1], text[limit - 1 :]] if len(text) >= limit else list(text)


def joined(frame: Frame, parts: list[Any], separator: str = "") -> str:
    frame.charge(len(parts) + (len(parts) * len(separator) >> _COPY))
    for part in parts:
        if type(part) is not str:
            raise Failure("join() takes a list of strings")
        frame.charge(len(part) >> _COPY)
    return separator.join(parts)


def substring(frame: Frame, text: str, start: int) -> str:
    return substring_until(frame, text, start, len(text))


def substring_until(frame: Frame, text: str, start: int, end: int) -> str:
    """Characters `start` (included) to `end` (not included). Raises `Failure` outside the text."""
    if not 0 <= start <= end <= len(text):
        raise Failure("substring() reaches outside the text")
    frame.charge((end - start) >> _COPY)
    return text[start:end]


def replace(frame: Frame, text: str, old: str, new: str) -> str:
    return replace_at_most(frame, text, old, new, -1)


def replace_at_most(frame: Frame, text: str, old: str, new: str, limit: int) -> str:
    frame.charge((len(text) + len(old)) >> _SCAN)
    found = text.count(old)
    count = found if limit < 0 else min(found, limit)
    # Attack: a short text whose replacement is huge. The size is known, and paid for, before anything is built.
    frame.charge(count + ((len(text) + count * max(0, len(new) - len(old))) >> _COPY))
    return text.replace(old, new, limit)
