"""Keys that start with ``sk-``: OpenAI's, and those of the services that copied the form."""

import re
from collections.abc import Iterator

from funcgate.masking.detector import Detector, Need, Span, stands_alone

_RANDOM = re.compile(rb"[A-Z]|[0-9]")


def refine(text: bytes, start: int, end: int) -> Iterator[Span]:
    """The span, unless it is words with hyphens (``sk-institute-of-technology``)."""
    if stands_alone(text, start, end) and len(_RANDOM.findall(text, start, end)) > 2:
        yield start, end


DETECTOR = Detector(
    name="openai_key",
    gate=rb"\bsk-[A-Za-z0-9_\-]{20,250}",
    needs=(Need(hyphens=1, word=23, traces=(b"sk-",)),),
    refine=refine,
)
