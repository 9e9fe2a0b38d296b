"""Names for calls: 26 characters of Crockford base 32, time first, so that they sort by time (the ULID layout)."""

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


class _Entropy:
    """Random bytes drawn in blocks: one system call serves some hundred names."""

    __slots__ = ("_at", "_block")

    def __init__(self) -> None:
        self._block = b""
        self._at = 0

    def ten(self) -> int:
        if self._at >= len(self._block):
            self._block, self._at = os.urandom(4000), 0
        self._at += 10
        return int.from_bytes(self._block[self._at - 10 : self._at], "big")


_entropy = _Entropy()


def new_id(at: float | None = None) -> str:
    """A new name. `at` is Unix time in seconds, now if None."""
    value = int((time.time() if at is None else at) * 1000) << 80 | _entropy.ten()
    return "".join([_PAIRS[value >> shift & 0x3FF] for shift in range(120, -10, -10)])
