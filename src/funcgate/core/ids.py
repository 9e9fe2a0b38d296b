"""Names for calls: 26 characters of Crockford base 32, time first, so that they sort by time (the ULID layout)."""

import os
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


_MASK_40 = (1 << 40) - 1


def _encode(value: int, shifts: range) -> str:
    return "".join([_PAIRS[value >> shift & 0x3FF] for shift in shifts])


class _Names:
    """The names of one millisecond share their first 18 characters; the rest counts on from a random start."""

    __slots__ = ("_count", "_millisecond", "_prefix")

    def __init__(self) -> None:
        self._millisecond = -1
        self._prefix = ""
        self._count = 0

    def next(self, millisecond: int) -> str:
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            start = int.from_bytes(os.urandom(10), "big")
            # The top bit of the count is left clear, so that a millisecond's names cannot run over.
            self._prefix, self._count = (
                _encode(millisecond << 40 | start >> 40, range(80, -10, -10)),
                start & _MASK_40 >> 1,
            )
        self._count += 1
        n = self._count
        return f"{self._prefix}{_PAIRS[n >> 30]}{_PAIRS[n >> 20 & 0x3FF]}{_PAIRS[n >> 10 & 0x3FF]}{_PAIRS[n & 0x3FF]}"


_names = _Names()


def new_id(at: float | None = None) -> str:
    """A new name. `at` is Unix time in seconds, now if None. Names of one process and millisecond sort by their making."""
    return _names.next(int((time.time() if at is None else at) * 1000))


def made_at(name: str) -> float | None:
    """When a name was made, by the clock of that moment: Unix time in seconds. None for a name of another kind."""
    letters = [_VALUES.get(letter, -1) for letter in name[:10]]
    if len(name) != 26 or min(letters) < 0:
        return None
    milliseconds = 0
    for value in letters:
        milliseconds = milliseconds << 5 | value
    return milliseconds / 1000
