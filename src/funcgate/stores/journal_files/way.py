"""A busy loop gives way to the writer's thread.

Back from the disk, the thread needs the interpreter's lock. A loop full of sockets lets go of it thousands of times a second
and has it back each time before the thread is awake, so the thread may wait for seconds. It never waits for the disk.
"""

import asyncio
import time

from .batch import Batch

FIRST_S = 0.001
LONGEST_S = 0.004
STAND_STILL_S = 0.00005


class Way:
    """While a batch is under way, the loop stands still for 50 µs after one millisecond, two more, then every four."""

    __slots__ = ("_batch", "_lag_s", "_loop", "_seen", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._batch: Batch | None = None
        self._seen: Batch | None = None
        self._lag_s = FIRST_S
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, batch: Batch) -> None:
        """The writer has the batch, until `done`."""
        self._batch = batch
        if self._timer is None:
            self._seen = batch
            self._lag_s = FIRST_S
            self._timer = self._loop.call_later(FIRST_S, self._look)

    def done(self) -> None:
        self._batch = None

    def _look(self) -> None:
        batch = self._batch
        if batch is None:
            self._timer = None
            return
        if batch is self._seen:
            time.sleep(STAND_STILL_S)
            self._lag_s = min(2 * self._lag_s, LONGEST_S)  # a slow disk: it may be the disk that takes its time
        else:
            self._seen = batch
            self._lag_s = FIRST_S
        self._timer = self._loop.call_later(self._lag_s, self._look)
