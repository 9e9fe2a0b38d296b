"""Telephone numbers in the spellings that say so: ``+``, ``00``, a leading zero, an area code, North American groups.

Short local numbers and bare digits are refused: anything is that.
"""

import re
from collections.abc import Iterator

from funcgate.masking.detector import DIGITS, WORD, Detector, Need, Span, keep_last_four, plain

_DATE = re.compile(rb"[0-3][0-9]([./\-])[0-1][0-9]\1[12][0-9]{3}")
_DIGIT_GROUP = re.compile(rb"[0-9]+")
_EXTENSION = re.compile(rb" ?(?:x|ext\.? ?)[0-9]{1,6}")
_MAY_EXTEND = frozenset(b" xe")
_JOINED = b"-."
_MOST, _FEWEST = 15, 8


def refine(text: bytes, start: int, end: int) -> Iterator[Span]:
    """As many digit groups as a number can have (15 digits, ITU-T E.164)."""
    before = text[start - 1] if start else 0
    if before in WORD or (before in _JOINED and start > 1 and text[start - 2] in DIGITS) or before == 0x2B:
        return
    if _DATE.match(text, start):
        return
    digits = len(text[start:end].translate(None, b" -.()/+"))
    last = end
    if digits > _MOST:
        digits = 0
        for found in _DIGIT_GROUP.finditer(text, start, end):
            if digits + len(found[0]) > _MOST:
                break
            digits, last = digits + len(found[0]), found.end()
    if digits < _FEWEST:
        return
    if last < len(text) and text[last] in _MAY_EXTEND:
        extended = _EXTENSION.match(text, last)
        if extended is not None:
            last = extended.end()
    if last < len(text) and text[last] in WORD:
        return
    yield start, last


def _is_joined(shape: bytes, start: int, end: int) -> bool:
    return start > 1 and shape[start - 1] in _JOINED and shape[start - 2] in DIGITS


_S = rb"[ .\-]"
_INTERNATIONAL = rb"\+[0-9(][0-9 .()/\-]{5,24}[0-9]"
_NATIONAL = (
    rb"00[1-9][0-9]{0,2}" + _S + rb"[0-9 .()\-]{5,20}[0-9]|0[0-9]{1,4}[ .\-/][0-9]{2,4}(?:" + _S + rb"?[0-9]{2,4}){1,4}"
)
_AREA = rb"\([0-9]{2,4}\) ?[0-9]{3,4}" + _S + rb"[0-9]{3,4}"
_NORTH_AMERICAN = rb"[2-9][0-9]{2}" + _S + rb"[0-9]{3}" + _S + rb"[0-9]{4}"

DETECTOR = Detector(
    name="phone_number",
    needs=(Need(digits=8),),
    gate=_INTERNATIONAL + rb"|" + _AREA + rb"|" + _NORTH_AMERICAN + rb"|(?:^|[^0-9A-Za-z])(?:" + _NATIONAL + rb")",
    pattern=_INTERNATIONAL + rb"|" + _NATIONAL + rb"|" + _AREA + rb"|" + _NORTH_AMERICAN,
    refine=refine,
    digits=True,
    hopeless=_is_joined,
    partial=keep_last_four,
    normal=plain,
)
