"""grpc-timeout: up to eight digits and a unit, to seconds and back. It refuses every other spelling."""

import re

from .messages import Malformed

_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_WRITTEN = ((b"u", 1e-6), (b"m", 1e-3), (b"S", 1.0), (b"M", 60.0), (b"H", 3600.0))
_MOST = 99_999_999


def read_timeout(value: bytes) -> float:
    """Seconds. Raises `Malformed`."""
    found = _TIMEOUT.fullmatch(value)
    if found is None:
        raise Malformed("a grpc-timeout that is not up to eight digits and a unit")
    return int(found[1]) * _SECONDS[found[2]]


def write_timeout(seconds: float) -> bytes:
    """The value, never longer than `seconds`; at least a microsecond, as some readers take 0 for "none"."""
    for unit, of in _WRITTEN:
        count = int(seconds / of)
        if count <= _MOST:
            return b"%d%b" % (max(count, 1), unit)
    return b"%dH" % _MOST
