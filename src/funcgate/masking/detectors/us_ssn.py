"""United States social security numbers, with separators. Nine bare digits are refused: too many other numbers are that."""

import re
from collections.abc import Iterator

from funcgate.masking.detector import DIGITS, WORD, Detector, Need, Span, Whole, keep_last_four, plain

_ISSUED = re.compile(rb'(?:"(?!000|666|9)[0-9]{3}[ \-](?!00)[0-9]{2}[ \-](?!0000)[0-9]{4}"[,}\]])*+')


def all_issued(strings: bytes) -> bool:
    """Whether none of these strings in the form of a number is one that is never issued."""
    return _ISSUED.fullmatch(strings) is not None


def refine(text: bytes, start: int, end: int) -> Iterator[Span]:
    """The span, unless the number was never issued or is part of a longer one."""
    area, group, serial = text[start : start + 3], text[start + 4 : start + 6], text[start + 7 : end]
    if area == b"000" or area == b"666" or area[0] == 0x39 or group == b"00" or serial == b"0000":
        return
    if text[start + 3] != text[start + 6] or (start and text[start - 1] in WORD):
        return
    if end < len(text) and (text[end] in WORD or (text[end] == 0x2D and text[end + 1 : end + 2].isdigit())):
        return
    if start > 1 and text[start - 1] == 0x2D and text[start - 2] in DIGITS:
        return
    yield start, end


DETECTOR = Detector(
    name="us_ssn",
    needs=(Need(digits=9, size=11),),
    gate=rb"[0-9]{3}[ \-][0-9]{2}[ \-][0-9]{4}",
    refine=refine,
    digits=True,
    whole=Whole((b"000-00-0000", b"000 00 0000"), all_issued),
    partial=keep_last_four,
    normal=plain,
)
