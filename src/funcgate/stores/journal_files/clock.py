"""The time as the journal writes it: RFC 3339, UTC, microseconds, never going backwards within one journal."""

import contextlib
import time
from collections.abc import Callable
from datetime import datetime

WORTH_TELLING_S = 1.0
_THREE = tuple(f"{number:03}" for number in range(1000))


class Clock:
    """Stamps from `now` (Unix time in seconds). While `now` is behind the last stamp, the stamps stand still.

    `set_back_s` is by how much the clock was last found set back, 0.0 if it was not, or once it was told. `last` is the time
    of the last stamp, `behind` whether the clock was set back and has not caught up.
    """

    __slots__ = ("_prefix", "_second", "behind", "last", "now", "set_back_s")

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self.last = 0.0
        self._second = -1
        self._prefix = ""
        self.behind = False
        self.set_back_s = 0.0

    def not_before(self, at: str) -> None:
        """Take over from an earlier process: no stamp comes before `at`, if that is a time."""
        with contextlib.suppress(ValueError):
            self.last = max(self.last, datetime.fromisoformat(at).timestamp())

    def stamp(self) -> str:
        now = self.now()
        if now >= self.last:
            self.last = now
            self.behind = False
        else:
            now = self._stand_still(now)
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = self.prefix(second)
        us = int((now - second) * 1e6)
        return f"{self._prefix}{_THREE[us // 1000]}{_THREE[us % 1000]}Z"  # two thirds of the time, three times a call

    def prefix(self, second: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))

    def _stand_still(self, now: float) -> float:
        if not self.behind and self.last - now > WORTH_TELLING_S:
            self.behind = True
            self.set_back_s = self.last - now
        return self.last
