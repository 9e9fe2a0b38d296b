"""The time as the journal writes it: RFC 3339, UTC, microseconds, never going backwards within one journal."""

import contextlib
import time
from collections.abc import Callable
from datetime import datetime

WORTH_TELLING_S = 1.0
_THREE = tuple(f"{number:03}" for number in range(1000))


class Clock:
    """Stamps from `now` (Unix time in seconds). While `now` is behind the last stamp, the stamps stand still.

    `set_back_s` is by how much the clock was last found set back, 0.0 if it was not, or once it was told.
    """

    __slots__ = ("_behind", "_last", "_now", "_prefix", "_second", "set_back_s")

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last = 0.0
        self._second = -1
        self._prefix = ""
        self._behind = False
        self.set_back_s = 0.0

    def not_before(self, at: str) -> None:
        """Take over from an earlier process: no stamp comes before `at`, if that is a time."""
        with contextlib.suppress(ValueError):
            self._last = max(self._last, datetime.fromisoformat(at).timestamp())

    def stamp(self) -> str:
        now = self._now()
        if now >= self._last:
            self._last = now
            self._behind = False
        else:
            now = self._stand_still(now)
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        us = int((now - second) * 1e6)
        return f"{self._prefix}{_THREE[us // 1000]}{_THREE[us % 1000]}Z"  # two thirds of the time, three times a call

    def _stand_still(self, now: float) -> float:
        if not self._behind and self._last - now > WORTH_TELLING_S:
            self._behind = True
            self.set_back_s = self._last - now
        return self._last
