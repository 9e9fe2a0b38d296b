"""Payment card numbers: 12 to 19 digits, Luhn, a first digit that cards have. It refuses to guess at other numbers."""

import re
from collections.abc import Iterator

from funcgate.masking.detector import DIGITS, WORD, Detector, Need, Span, Whole, keep_last_four, plain, stands_alone

# Between digits: at most one space or hyphen; also no-break spaces and the typographic hyphens, in UTF-8.
_SEPARATOR = rb"(?:[ \-]|\xc2\xa0|\xe2\x80[\x90-\x95\xaf])?"
_GROUP = re.compile(rb"[0-9]+")
_DOUBLED = bytes((2 * d - 9 * (d > 4)) if (d := b - 48) in range(10) else 0 for b in range(256))
_SINGLE = bytes(b - 48 if b - 48 in range(10) else 0 for b in range(256))
_TENS = bytes(range(0, 256, 10))
_SHORTEST, _LONGEST = 12, 19
_POINT = 0x2E
_GROUPINGS = frozenset(
    [(4, 4, 4), (4, 4, 5), (4, 6, 4), (4, 6, 5), (4, 4, 4, 4)]
    + [(4, 4, 4, last) for last in (1, 2, 3)]
    + [(4, 4, 4, 4, last) for last in (1, 2, 3)]
)
_LONGEST_DOUBLE = 18  # 17 digits that count, and a zero in front


def is_card(digits: bytes) -> bool:
    """Whether the digits can be a card: length, issuer range (ISO/IEC 7812) and check digit."""
    size, first = len(digits), digits[0]
    if first in b"23456":
        if size < 13 and (size != 12 or first not in b"56"):
            return False
    elif first == 0x31:
        if size != 15:  # JCB's 1800 and UATP; clocks in milliseconds (13 digits) and nanoseconds (19) start with 1 too
            return False
    elif not (
        (size == 12 and digits.startswith(b"0604")) or (size == 16 and digits.startswith((b"81", b"82", b"9792")))
    ):
        return False
    odd, even = digits[-1::-2], digits[-2::-2].translate(_DOUBLED)
    return (sum(odd) - 48 * len(odd) + sum(even)) % 10 == 0


def all_cards(strings: bytes) -> bool:
    """Whether these strings of 16 digits are all cards that begin with 2 to 6: their check digits side by side in one number."""
    digits = strings.translate(None, b'",}] -')
    if digits[::16].translate(None, b"23456"):
        return False
    doubled, single = digits[::2].translate(_DOUBLED), digits[1::2].translate(_SINGLE)
    size = len(single)
    # Eight bytes for each card, none above 18. The product has in every byte the sum of that byte and the seven before it.
    pairs = int.from_bytes(doubled, "little") + int.from_bytes(single, "little")
    sums = (pairs * 0x0101_0101_0101_0101).to_bytes(size + 8, "little")[7:size:8]
    return not sums.translate(None, _TENS)


def refine(text: bytes, start: int, end: int) -> Iterator[Span]:
    """The run, when it is a card in whatever grouping; else those groups in it that are one."""
    if stands_alone(text, start, end) and not (start and text[start - 1] == _POINT):
        digits = text[start:end].translate(None, b" -")
        if len(digits) <= _LONGEST and digits.isdigit() and is_card(digits):
            yield start, end
            return
    groups = [found.span() for found in _GROUP.finditer(text, start, end)]
    # A run glued to a letter is part of an identifier or a hash; after "0." it is a fraction.
    if start and (text[start - 1] in WORD or _is_fraction(text, start, groups[0][1])):
        groups = groups[1:]
    if groups and end < len(text) and text[end] in WORD:
        groups = groups[:-1]
    at = 0
    while at < len(groups):
        # Attack: a short number in front ("2 4111 1111 1111 1111") spoils the check digit of the whole run.
        taken = _longest_card(text, groups, at)
        if taken:
            yield groups[at][0], groups[at + taken - 1][1]
        at += taken or 1


def _longest_card(text: bytes, groups: list[Span], at: int) -> int:
    """How many groups from `at` on are a card; 0 if none are. In a longer run only the groupings that cards have count."""
    start, end = groups[at]
    if end - start >= _SHORTEST:
        return int(end - start <= _LONGEST and is_card(text[start:end]))
    if end - start != 4:
        return 0
    for count in (5, 4, 3):
        taken = groups[at : at + count]
        if tuple([end - start for start, end in taken]) in _GROUPINGS and is_card(
            b"".join([text[start:end] for start, end in taken])
        ):
            return len(taken)
    return 0


def _is_fraction(text: bytes, start: int, end: int) -> bool:
    """Whether the digits follow a decimal point, in a number no longer than a double is written."""
    if start < 2 or text[start - 1] != _POINT:
        return False
    before = start - 1
    while before and text[before - 1] in DIGITS and end - before <= _LONGEST_DOUBLE + 1:
        before -= 1
    return before < start - 1 and end - before - 1 <= _LONGEST_DOUBLE


def _is_plain_fraction(shape: bytes, start: int, end: int) -> bool:
    return shape[start:end].isdigit() and _is_fraction(shape, start, end)


DETECTOR = Detector(
    name="credit_card",
    needs=(Need(digits=12),),
    gate=rb"[0-9](?:" + _SEPARATOR + rb"[0-9]){11}",
    pattern=rb"[0-9](?:" + _SEPARATOR + rb"[0-9]){11,}",
    refine=refine,
    retry=False,
    numeric=True,
    digits=True,
    hopeless=_is_plain_fraction,
    whole=Whole((b"0000 0000 0000 0000", b"0000-0000-0000-0000", b"0" * 16), all_cards),
    partial=keep_last_four,
    normal=plain,
)
