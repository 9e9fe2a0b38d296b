"""Whom a batch waits for: those whom the last one set free come back soon, as a rule, and one sync for all is half of two.

It only reckons: the journal asks it, and hands over. Without it those who come while a batch is under way are always the
other half: each caller then waits for two syncs in turn, and each sync carries half of the callers.
"""

from collections.abc import Callable
from time import monotonic

from .intake import ENOUGH

LEAST_S = 0.001
LONGEST_S = 0.005
MOST_LEFT_OUT = 64


class Company:
    """`expected` are as many as shared the last batch or came while it was under way.

    A batch waits for them `patience_s` after the last one, which is as long as that one took, a millisecond at least, five at
    most. Where they did not come in that time, two batches do not wait, then four, up to 64; each time they come halves that.
    """

    __slots__ = ("_begun_at", "_left_out", "_now", "_times", "_until", "expected")

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self.expected = ENOUGH
        self._begun_at = 0.0
        self._until = 0.0
        self._times = 1
        self._left_out = 0  # batches that do not wait, from now on

    def begun(self, came: int) -> None:
        """A batch is handed over, of `came` who wait."""
        if self._left_out:
            self._left_out -= 1
        elif came >= self.expected:
            self._times = max(self._times // 2, 1)
        self._begun_at = self._now()

    def landed(self, released: int, queued: int) -> int:
        """It is written. So many waited for it, and so many wait for the next; how many are expected to wait then."""
        now = self._now()
        self.expected = max(min(released + queued, ENOUGH), 1)
        self._until = now + min(max(now - self._begun_at, LEAST_S), LONGEST_S)
        return self.expected

    def patience_s(self) -> float:
        """For how long from now company may be waited for; 0 or less: not at all."""
        return 0.0 if self._left_out or self.expected < 2 else self._until - self._now()

    def missed(self) -> None:
        """They did not come in time."""
        self._times = min(2 * self._times, MOST_LEFT_OUT)
        self._left_out = self._times
