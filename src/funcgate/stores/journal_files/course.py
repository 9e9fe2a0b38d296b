"""When what came in goes to the disk: a batch is filled, waits for company, is handed over, and comes back written.

On the event loop. What is out of the ordinary, a new segment or little space, is the journal's (`Keeps`). `_course.pxi` does the
same, compiled.
"""

import asyncio
from typing import Protocol

from .batch import Batch
from .clock import Clock
from .company import Company
from .intake import Intake
from .segment import CHUNK_BYTES

LINGER_TURNS = 4
TICK_S = 0.0005  # a loop's timers are no finer


class Keeps(Protocol):
    """What the course asks of the journal."""

    def on_space(self, low: bool) -> None: ...
    def new_segment(self) -> Batch:
        """The next batch begins one."""

    def set_back(self) -> None:
        """The clock was, which the batch that goes has to say."""


class Takes(Protocol):
    """A writer."""

    def put(self, batch: Batch) -> None: ...


class Course:
    """`segment` is the last one's number, `size` that one's with all that was handed over, `durable_seq` the last entry that is
    on the disk for good. While it is `failed` nothing is handed over; while space is `low` no segment is begun for its size.
    """

    __slots__ = (
        "_clock", "_in", "_journal", "_lag_s", "_loop", "_overdue", "_seen", "_segment_bytes", "_timer", "_turns", "_watch",
        "_writer", "company", "durable_seq", "failed", "low", "segment", "size",
    )  # fmt: skip

    def __init__(self, journal: Keeps, intake: Intake, clock: Clock, lag_s: float, segment_bytes: int) -> None:
        self._journal = journal
        self._in = intake
        self._clock = clock
        self._lag_s = lag_s
        self._segment_bytes = segment_bytes
        self.company = Company()
        self.failed = False
        self.low = False
        self.durable_seq = 0
        self.segment = 0
        self.size = 0
        self._turns = 0  # of the loop, that the batch may still wait for company
        self._seen = 0  # entries that the batch had a turn ago
        self._overdue = False
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None  # over how long company is waited for

    def begin(self, loop: asyncio.AbstractEventLoop, writer: Takes) -> None:
        self._loop = loop
        self._writer = writer

    def gather(self) -> None:
        """Somebody waits, and no batch is under way."""
        if len(self._in.next.waiters) >= self._in.enough:
            self.hand_over()
        else:
            self._linger(self._in.next.count)

    def _linger(self, seen: int) -> None:
        """Wait for those whom the last batch set free, or else for what comes in the next turns of the loop."""
        self._in.lingering = True
        patience_s = self.company.patience_s()
        if patience_s > 0:
            wait_s = max(patience_s, 2 * TICK_S)
            if self._watch is not None and self._watch.when() > self._loop.time() + wait_s + TICK_S:
                self._watch.cancel()  # set for a batch before, after a sync that took longer
                self._watch = None
            self._watch = self._watch or self._loop.call_later(wait_s, self._out_of_patience)
        else:
            self._turns = LINGER_TURNS
            self._seen = seen
            self._loop.call_soon(self._turn_over)

    def _out_of_patience(self) -> None:
        self._watch = None
        if not self._in.lingering or self._turns:
            return
        if self.company.patience_s() > TICK_S:  # the watch was set for a batch before
            self._watch = self._loop.call_later(2 * TICK_S, self._out_of_patience)
            return
        self.hand_over()
        self.company.missed()

    def _turn_over(self) -> None:
        """The loop has turned. Hand over, unless this turn brought company, which is likely to bring more.

        A turn with nothing to do takes no time, so nobody waits for company that does not come.
        """
        count = self._in.next.count
        if not self._turns:
            return  # it did not wait for this
        self._turns -= 1
        if count > self._seen and self._turns:
            self._seen = count
            self._loop.call_soon(self._turn_over)
        else:
            self.hand_over()

    def hand_over(self) -> None:
        """Give the writer all that is queued, if it is idle."""
        batch = self._in.next
        if self._in.flying is not None:
            return
        self.leave()
        if self.failed or not (batch.count or batch.waiters):
            return
        if self._clock.set_back_s:
            self._journal.set_back()
        self._overdue = False
        self.company.begun(len(batch.waiters))
        self._in.flying = batch
        self._in.flying_bytes = len(batch.lines)
        self.size += self._in.flying_bytes
        if self.size >= self._segment_bytes and not self.low:
            self._in.next = self._journal.new_segment()
        else:
            self._in.next = Batch(self._in.seq + 1)
        self._writer.put(batch)

    def arm(self) -> None:
        """The first entry that nobody waits for came in."""
        self._in.armed = True
        self._timer = self._loop.call_later(self._lag_s, self._tick)

    def _tick(self) -> None:
        self._in.armed = False
        self._overdue = self._in.flying is not None
        self.hand_over()

    def on_written(self, batch: Batch, low: bool) -> None:
        """The writer's report."""
        self._in.flying = None
        self._in.flying_bytes = 0
        self.durable_seq = self._in.next.first_seq - 1
        self._in.depth -= batch.count
        if low is not self.low:
            self._journal.on_space(low)
        queued = self._in.next
        waiting = len(queued.waiters)
        self._in.enough = self.company.landed(len(batch.waiters), waiting)
        if self._overdue or len(queued.lines) >= CHUNK_BYTES or waiting >= self._in.enough:
            self.hand_over()  # first: the disk works while the callers are woken
        elif queued.count and not queued.waiters and not self._in.armed:
            self.arm()
        batch.wake()
        for parcel in batch.parcels:
            parcel.settle()
        for parcel in batch.parcels:
            parcel.guest.answer()
        if self._in.next.waiters and self._in.flying is None and not self._in.lingering:
            self._linger(0)

    def leave(self) -> None:
        """Company is no longer waited for."""
        self._in.lingering = False
        self._turns = 0

    def end(self) -> None:
        """Do nothing later on."""
        for timer in (self._timer, self._watch):
            if timer is not None:
                timer.cancel()
