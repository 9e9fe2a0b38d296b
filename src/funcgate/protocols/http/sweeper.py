"""Timeouts for many connections with one timer: each has a deadline, and one sweep finds those that passed it.

A timer of its own for each phase of each call would cost more than parsing the call does.
"""

import asyncio
from typing import Protocol


class Timed(Protocol):
    """Something with a deadline on the loop's clock, in seconds; `inf` for none."""

    deadline: float

    def expire(self, now: float) -> None: ...


class Sweeper:
    """Calls `expire` of what is past its deadline, at most `period_s` late."""

    def __init__(self, period_s: float = 0.25) -> None:
        self._period_s = period_s
        self._timed: set[Timed] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, timed: Timed) -> None:
        self._timed.add(timed)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._period_s, self._sweep)

    def discard(self, timed: Timed) -> None:
        self._timed.discard(timed)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timed.clear()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for timed in [timed for timed in self._timed if timed.deadline <= now]:
            timed.expire(now)
        self._timer = loop.call_later(self._period_s, self._sweep) if self._timed else None
