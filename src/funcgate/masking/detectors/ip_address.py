"""IPv4 in dotted decimal and IPv6 (RFC 4291). Clock times, hardware addresses and `std::string` are refused."""

from collections.abc import Iterator

from funcgate.masking.detector import WORD, Detector, Need, Span


def refine(text: bytes, start: int, end: int) -> Iterator[Span]:
    """The span when it is an address and nothing touches it."""
    while end > start and text[end - 1] == 0x2E:
        end -= 1
    if (start and text[start - 1] in WORD) or (end < len(text) and text[end] in WORD):
        return
    found = text[start:end]
    if b":" not in found:
        if is_v4(found):
            yield start, end
        return
    while found.endswith(b":") and not found.endswith(b"::"):
        found, end = found[:-1], end - 1
    if is_v6(found):
        yield start, end


def is_v4(text: bytes) -> bool:
    parts = text.split(b".")
    return len(parts) == 4 and all(part.isdigit() and len(part) < 4 and int(part) < 256 for part in parts)


def is_v6(text: bytes) -> bool:
    head, gap, tail = text.partition(b"::")
    groups = [group for side in (head, tail) if side for group in side.split(b":")]
    size = len(groups)
    if groups and b"." in groups[-1]:
        if not is_v4(groups.pop()):
            return False
        size += 1
    if any(not 0 < len(group) < 5 or b"." in group for group in groups):
        return False
    return 1 <= size <= 7 if gap else size == 8


def partial(value: bytes) -> bytes:
    """``10.***`` and ``2001:***``: the first group."""
    mark = b":" if b":" in value else b"."
    return value.partition(mark)[0] + mark + b"***"


_V6 = Detector(
    name="ip_address",
    needs=(Need(colons=2, traces=(b"::",)), Need(colons=6, size=13, run=13, of=b":0123456789abcdefABCDEF")),
    gate=rb"[0-9A-Fa-f]::|::[0-9A-Fa-f]|(?:[0-9A-Fa-f]{1,4}:){6}(?:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]|[0-9]{1,3}\.)",
    pattern=rb"[0-9A-Fa-f:]*(?:::|(?:[0-9A-Fa-f]{1,4}:){6}[0-9A-Fa-f]{1,4}[:.])[0-9A-Fa-f:.]*",
    refine=refine,
    retry=False,
    partial=partial,
    normal=bytes.lower,
)
DETECTOR = Detector(
    name="ip_address",
    needs=(Need(digits=4, points=3),),
    gate=rb"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}",
    pattern=rb"[0-9]+(?:\.[0-9]+){3,}",
    refine=refine,
    retry=False,
    digits=True,
    twin=_V6,
    partial=partial,
    normal=bytes.lower,
)
