"""The password in ``scheme://user:password@host`` (RFC 3986, 3.2.1). The user name stays."""

from collections.abc import Iterator

from funcgate.masking.detector import Detector, Need, Span


def refine(text: bytes, start: int, end: int) -> Iterator[Span]:
    """From the first colon after the slashes to the last @ before the host."""
    first = text.index(b":", start + 3) + 1
    if end - 1 > first:
        yield first, end - 1


DETECTOR = Detector(
    name="url_password",
    needs=(Need(colons=2, ats=1, traces=(b"://",)),),
    gate=rb"://[^\s/?#\"@:]*:[^\s/\"]*@",
    refine=refine,
)
