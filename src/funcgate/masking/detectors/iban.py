"""International bank account numbers (ISO 13616): a country's length, and mod 97 = 1 (ISO 7064)."""

import re
from collections.abc import Iterator, Mapping

from funcgate.masking.detector import DIGIT, LETTER, WORD, Detector, Need, Span, keep_last_four, plain

_COUNTRIES = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)
_LENGTHS: Mapping[bytes, int] = {pair[:2].encode(): int(pair[2:]) for pair in _COUNTRIES.split()}
_VALUES = {letter: str(letter - 55) for letter in range(65, 91)}
_PIECE = re.compile(rb"[0-9A-Za-z]+")
_MAX_PIECES = 34


def refine(text: bytes, start: int, end: int) -> Iterator[Span]:
    """From the country code on, as many characters as the country's accounts have, single spaces or hyphens between."""
    wanted = _LENGTHS.get(text[start : start + 2].upper())
    if wanted is None or (start and text[start - 1] in WORD):
        return
    at, pieces, have = start, [], 0
    for _ in range(_MAX_PIECES):
        piece = _PIECE.match(text, at)
        if piece is None:
            return
        pieces.append(piece[0])
        have += len(piece[0])
        at = piece.end()
        if have >= wanted:
            break
        if text[at : at + 1] not in (b" ", b"-"):
            return
        at += 1
    if have != wanted:
        return
    account = b"".join(pieces).decode("ascii").upper()
    if int((account[4:] + account[:4]).translate(_VALUES)) % 97 == 1:
        yield start, at


DETECTOR = Detector(
    name="iban",
    needs=(Need(digits=2, size=15, traces=(2 * LETTER + 2 * DIGIT,)),),
    gate=rb"(?:^|[^0-9A-Za-z])[A-Za-z]{2}[0-9]{2}(?:[ \-]?[0-9A-Za-z]){11}",
    pattern=rb"[A-Za-z]{2}[0-9]{2}",
    refine=refine,
    partial=keep_last_four,
    normal=plain,
)
