"""grpc-timeout: up to eight digits and a unit, to seconds and back. It refuses every other spelling."""

from .messages import Malformed

_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_WRITTEN = ((b"u", 1e-6), (b"m", 1e-3), (b"S", 1.0), (b"M", 60.0), (b"H", 3600.0))
_DIGITS = 8
_MOST = 99_999_999


def read_timeout(value: bytes) -> float:
    """Seconds. Raises `Malformed`."""
    unit, digits = _SECONDS.get(value[-1:]), value[:-1]
    if unit is None or not digits.isdigit() or len(digits) > _DIGITS:
        raise Malformed("a grpc-timeout that is not up to eight digits and a unit")
    return int(digits) * unit


def write_timeout(seconds: float) -> bytes:
    """The value, never longer than `seconds`; at least a microsecond, as some readers take 0 for "none"."""
    for unit, of in _WRITTEN:
        count = int(seconds / of)
        if count <= _MOST:
            return b"%d%b" % (max(count, 1), unit)
    return b"%dH" % _MOST
