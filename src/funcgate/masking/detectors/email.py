"""E-mail addresses with a domain that has a dot. Quoted local parts and bare hosts are refused."""

import re

from funcgate.masking.detector import Detector, Need

_PATTERN = (
    rb"[A-Za-z0-9_+\x80-\xff][A-Za-z0-9_+.!#$%'*^`|~\x80-\xff\-]*"
    rb"@[A-Za-z0-9\x80-\xff](?:[A-Za-z0-9\x80-\xff.\-]*[A-Za-z0-9\x80-\xff])?"
    rb"\.[A-Za-z\x80-\xff][A-Za-z0-9\x80-\xff\-]*[A-Za-z0-9\x80-\xff]"
)
# The commonest of them as a whole JSON string: no backtracking, and nothing that the pattern above would not take whole.
# masking/_native.pyx has it by hand.
STRING = re.compile(
    rb'"[A-Za-z0-9_+][A-Za-z0-9_+.\-]*+@(?:[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+\.)++[A-Za-z][A-Za-z0-9\-]*[A-Za-z0-9]"[,}\]]'
)


def partial(value: bytes) -> bytes:
    """``a***@example.com``."""
    local, _, domain = value.rpartition(b"@")
    return local[:1].decode("ascii", "ignore").encode() + b"***@" + domain


DETECTOR = Detector(
    name="email",
    needs=(Need(ats=1, word=6),),
    gate=rb"[A-Za-z0-9_+.!#$%'*^`|~\x80-\xff\-]@[A-Za-z0-9\x80-\xff]",
    pattern=_PATTERN,
    sign=0x40,
    string=STRING,
    retry=False,
    partial=partial,
    normal=bytes.lower,
)
