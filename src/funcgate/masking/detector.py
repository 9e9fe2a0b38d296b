"""What a detector is: a cheap pattern that finds candidates, and a check that decides. It refuses to look at structure.

Patterns are RE2 over bytes (Latin-1, so that every byte is a character). No pattern may match a double quote: a candidate
then lies inside one JSON string, which is what lets structured.py splice into the raw text.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct
from re2 import _re2

Span = tuple[int, int]
Hit = tuple[int, int, int]
"""(start, end, index of the detector)."""
Refine = Callable[[bytes, int, int], Iterable[Span]]
"""(text, start, end) of a candidate -> the spans to hide. May look at the neighbours and past the end."""
Hopeless = Callable[[bytes, int, int], bool]
"""(a stretch with every digit a 0, start, end) of a candidate -> whether `refine` finds nothing in it, whatever its digits are."""

UNANCHORED: Any = _re2.RE2.Anchor.UNANCHORED


def options(max_mem: int = 64 << 20) -> Any:
    """How every pattern here is compiled: bytes, no captures, silent."""
    chosen = _re2.RE2.Options()
    chosen.encoding = chosen.Encoding.LATIN1
    chosen.never_capture = True
    chosen.log_errors = False
    chosen.max_mem = max_mem
    return chosen


def keep_nothing(value: bytes) -> bytes:
    """The partial form of a value of which nothing may be shown."""
    return b"****"


def keep_last_four(value: bytes) -> bytes:
    """``****1111``: the last four letters or digits."""
    return b"****" + value.translate(None, b" -.()/")[-4:]


def plain(value: bytes) -> bytes:
    """The value without its separators, in lower case: what `hash` hashes, so that spellings of one value stay equal."""
    return value.translate(None, b" -.()/").lower()


def as_is(value: bytes) -> bytes:
    return value


class Whole(Struct, frozen=True):
    """How many JSON strings that are a value and nothing else are judged at once.

    `shapes` are those strings without their quotes, every digit a 0. `all_are` takes such strings with their quotes and the
    byte after (``,``, ``}`` or ``]``), one after the other, and says whether each is a value; False may be wrong.
    """

    shapes: tuple[bytes, ...]
    all_are: Callable[[bytes], bool]


LETTER, DIGIT, UPPER = b"\x01", b"\x02", b"\x03"  # in a trace: any of these. No string of JSON has such bytes.


class Need(Struct, frozen=True, kw_only=True):
    """What a string has in it for sure if a value is in it: so many bytes (`size`), so many of them in a row without a space
    (`word`), so many in a row that are one of `of` (`run`), so many of a kind (at most 64), and one of the `traces`.

    A trace that begins with a letter or a sign for one stands where a word begins. At least one kind has to be given.
    """

    size: int = 0
    word: int = 0
    run: int = 0
    of: bytes = b""
    digits: int = 0
    upper: int = 0
    underscores: int = 0
    hyphens: int = 0
    points: int = 0
    colons: int = 0
    ats: int = 0
    traces: tuple[bytes, ...] = ()


class Detector(Struct, frozen=True, kw_only=True):
    """One kind of value.

    `gate` runs in the one Set over the whole text and only decides whether to look at all; `pattern` finds candidates
    ("" = the gate); `refine` decides (None = every candidate counts). `retry` resumes one byte after the start of a
    candidate that was refused, for patterns whose candidates are short. `numeric` says that a bare JSON number can hold
    the value. `digits` says that a candidate is digits, spaces and ``-.+()/`` only, so that stretches.py can find it, and `hopeless`
    says early which of them `refine` refuses; `twin` is a second form of the same value, found in its own way. `whole` is a quick way for its commonest shapes. Every value
    holds the byte `sign` (-1 = there is none); then `string` matches JSON strings, as `Whole.all_are` takes them, that are
    values for sure. A string that holds a value meets one of the `needs`; a quick way passes over the others unseen.
    """

    name: str
    gate: bytes
    needs: tuple[Need, ...]
    pattern: bytes = b""
    refine: Refine | None = None
    retry: bool = True
    numeric: bool = False
    digits: bool = False
    hopeless: Hopeless | None = None
    twin: "Detector | None" = None
    whole: Whole | None = None
    sign: int = -1
    string: "re.Pattern[bytes] | None" = None
    partial: Callable[[bytes], bytes] = keep_nothing
    normal: Callable[[bytes], bytes] = as_is


WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
DIGITS = frozenset(b"0123456789")


def stands_alone(text: bytes, start: int, end: int) -> bool:
    """Whether no letter or digit touches the span."""
    return (start == 0 or text[start - 1] not in WORD) and (end >= len(text) or text[end] not in WORD)
