"""Private keys in PEM (RFC 7468), also cut ones. Certificates and public keys are refused: they are public."""

import re
from collections.abc import Iterator

from funcgate.masking.detector import Detector, Need, Span

_BODY = re.compile(rb"[A-Za-z0-9+/=\s:,.()\-]*")
_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_CUT = re.compile(rb"[A-Za-z0-9+/=\s]*[A-Za-z0-9+/=]")
_LONGEST = 32 << 10


def refine(text: bytes, start: int, end: int) -> Iterator[Span]:
    """To the END line if it is within reach, else as far as base64 goes."""
    # Attack: a thousand BEGIN lines and no END; a search without a bound would read all that follows for each of them.
    stop = text.find(b"-----END ", end, end + _LONGEST)
    closing = _END.match(text, stop) if stop >= 0 and _BODY.fullmatch(text, end, stop) else None
    cut = closing or _CUT.match(text, end, end + _LONGEST)
    yield start, cut.end() if cut else end


DETECTOR = Detector(
    name="pem_private_key",
    needs=(Need(hyphens=10, upper=5, size=27, traces=(b"-----BEGIN ",)),),
    gate=rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    refine=refine,
    retry=False,
)
