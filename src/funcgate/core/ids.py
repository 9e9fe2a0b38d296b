"""Names for calls: 26 characters of Crockford base 32, time first, so that they sort by time (the ULID layout)."""

import os
import time
from typing import Protocol

from .native import half

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
MARK_AT, MARK_LETTERS = 10, 8
_MASK_40 = (1 << 40) - 1


def _encode(value: int, shifts: range) -> str:
    return "".join([_PAIRS[value >> shift & 0x3FF] for shift in shifts])


class _Names:
    """The names of one second (1024 ms) share the eight characters in their middle; the rest counts on from a random start.

    Drawn for each millisecond, the random part cost more than all else that a call's name needs.
    """

    __slots__ = ("_count", "_marked", "_random", "_second", "_time")

    def __init__(self) -> None:
        self._second = -1
        self._time = ""
        self._marked = ""
        self._random = ""
        self._count = 0

    def mark(self, letters: str) -> None:
        """See `ids.mark`."""
        self._marked, self._second = letters, -1

    def next(self, millisecond: int) -> str:
        second = millisecond >> 10
        if second != self._second:
            self._begin(second)
        self._count = n = self._count + 1
        return (
            f"{self._time}{_PAIRS[millisecond & 0x3FF]}{self._random}"
            f"{_PAIRS[n >> 30]}{_PAIRS[n >> 20 & 0x3FF]}{_PAIRS[n >> 10 & 0x3FF]}{_PAIRS[n & 0x3FF]}"
        )

    def _begin(self, second: int) -> None:
        start = int.from_bytes(os.urandom(10), "big")
        self._second = second
        self._time = _encode(second, range(30, -10, -10))
        self._random = self._marked or _encode(start >> 40, range(30, -10, -10))
        self._count = start & _MASK_40 >> 1  # the top bit is left clear, so that a second's names cannot run over


class NewId(Protocol):
    """A new name. `at` is Unix time in seconds, now if None. Names of one process and millisecond sort by their making."""

    def __call__(self, at: float | None = None) -> str: ...


_names = _Names()
_native = half("funcgate.core._native")
_native_names = None if _native is None else _native.Names()


def _new_id(at: float | None = None) -> str:
    return _names.next(int((time.time() if at is None else at) * 1000))


new_id: NewId = _new_id if _native_names is None else _native_names.new_id


def new_mark() -> str:
    """Letters for `mark`, drawn."""
    return _encode(int.from_bytes(os.urandom(5), "big"), range(30, -10, -10))


def mark(letters: str) -> None:
    """Every name that this process makes from now on has these `MARK_LETTERS` letters in its middle, from letter `MARK_AT` on.
    So the gateway's own process can tell the calls of one worker from those of another."""
    if len(letters) != MARK_LETTERS or not set(letters) <= _VALUES.keys():
        raise ValueError("no mark")
    _names.mark(letters)
    if _native_names is not None:
        _native_names.mark(letters)


def made_at(name: str) -> float | None:
    """When a name was made, by the clock of that moment: Unix time in seconds. None for a name of another kind."""
    letters = [_VALUES.get(letter, -1) for letter in name[:10]]
    if len(name) != 26 or min(letters) < 0:
        return None
    milliseconds = 0
    for value in letters:
        milliseconds = milliseconds << 5 | value
    return milliseconds / 1000
