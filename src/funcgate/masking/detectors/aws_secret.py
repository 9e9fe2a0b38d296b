"""AWS secret access keys: forty base64 characters of mixed kind. SHA-1 digests, paths and words are refused."""

from collections.abc import Iterator

from funcgate.masking.detector import WORD, Detector, Need, Span

_SIZE = 40


def refine(text: bytes, start: int, end: int) -> Iterator[Span]:
    """The run when it is forty long, alone, and looks random."""
    if end - start != _SIZE or text[end : end + 1] in (b"=", b"_", b"-") or text[start - 1 : start] in (b"_", b"-"):
        return
    run = text[start:end]
    upper = sum(run.count(letter) for letter in range(65, 91))
    lower = sum(run.count(letter) for letter in range(97, 123))
    slashes = run.count(b"/")
    digits = _SIZE - upper - lower - slashes - run.count(b"+")
    if upper > 3 and lower > 3 and digits and slashes < 5 and len(set(run)) > 18:
        yield start, end


DETECTOR = Detector(
    name="aws_secret",
    needs=(Need(upper=4, digits=1, size=40, run=40, of=bytes(WORD | frozenset(b"/+"))),),
    gate=rb"[A-Za-z0-9/+]{40}",
    pattern=rb"[A-Za-z0-9/+]{40,}",
    refine=refine,
    retry=False,
)
