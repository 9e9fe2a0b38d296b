"""What comes in, on the loop: entries are numbered, dated and gathered into the next batch.

It decides nothing that is out of the ordinary: that is the journal's (`Decides`). `_intake.pyx` does the same, compiled.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from funcgate.core.entry import Drawn, Entry, Kind
from funcgate.core.turn import TURN
from funcgate.stores.lines import add_lines

from .batch import Batch
from .clock import Clock

ENOUGH = 16  # that wait: more company would only leave the loop without work while the disk is busy
_ARRIVED, _ASKED, _ALLOWED, _ENDED, _CHUNK = Kind.ARRIVED, Kind.ASKED, Kind.ALLOWED, Kind.ENDED, Kind.CHUNK


class Decides(Protocol):
    """What the intake asks."""

    def judge(self, entries: tuple[Entry | Drawn, ...]) -> None:
        """The state is not healthy: raise `Refused` unless the entries may still be written."""

    def overloaded(self) -> None:
        """Raise `Refused`."""

    def keep(self, entries: tuple[Entry | Drawn, ...]) -> None:
        """Notes while nothing can be written."""

    def thinned(self, entries: tuple[Entry | Drawn, ...]) -> tuple[Entry | Drawn, ...]:
        """Notes while too much waits."""

    def arm(self) -> None:
        """The first entry that nobody waits for came in."""

    def gather(self) -> None:
        """Somebody waits and no batch is under way; and company is not waited for, or is enough by now."""


class Intake:
    """`append` and `note` are those of `core.ports.Journal`, once `loop` was called.

    `depth` entries wait for the disk, `flying_bytes` of them are in the batch that the writer has, `flying`. `next` is filled.
    `armed` says that a timer will hand it over, `lingering` that company is waited for,
    until `enough` wait.
    """

    __slots__ = (
        "_clock", "_create_future", "_journal", "_max_queue", "_max_queue_bytes", "_relaxed", "armed", "depth", "enough",
        "flying", "flying_bytes", "healthy", "lingering", "next", "open", "seq", "takes_notes",
    )  # fmt: skip

    def __init__(self, journal: Decides, clock: Clock, relaxed: bool, max_queue: int, max_queue_bytes: int) -> None:
        self._journal = journal
        self._clock = clock
        self._relaxed = relaxed
        self._max_queue = max_queue
        self._max_queue_bytes = max_queue_bytes
        self.healthy = False
        self.takes_notes = False
        self.armed = False
        self.lingering = False
        self.enough = ENOUGH
        self.seq = 0
        self.depth = 0
        self.open: set[str] = set()
        self.next = Batch(1)
        self.flying: Batch | None = None
        self.flying_bytes = 0

    def loop(self, loop: asyncio.AbstractEventLoop) -> None:
        self._create_future: Callable[[], asyncio.Future[None]] = loop.create_future

    def stamp(self) -> str:
        """The time of what is written now."""
        return self._clock.stamp()

    def append(self, *entries: Entry | Drawn) -> Awaitable[None]:
        if not self.healthy:
            self._journal.judge(entries)
        batch = self.next
        if self.depth + len(entries) > self._max_queue or self.flying_bytes + len(batch.lines) > self._max_queue_bytes:
            self._journal.overloaded()
        self.add(entries)
        if self._relaxed:
            batch.note(entries)
            if not self.armed:
                self._journal.arm()
            return TURN
        batch.appended.append(entries)
        waiter = self._create_future()  # its own: cancelling one caller must not cancel another
        batch.waiters.append(waiter)
        if self.flying is None and (not self.lingering or len(batch.waiters) >= self.enough):
            self._journal.gather()
        return waiter

    def note(self, *entries: Entry | Drawn) -> None:
        if not self.takes_notes:
            self._journal.keep(entries)
            return
        batch = self.next
        if self.depth > self._max_queue or self.flying_bytes + len(batch.lines) > self._max_queue_bytes:
            entries = self._journal.thinned(entries)
        self.add(entries)
        batch.note(entries)
        if not self.armed and self.flying is None and not batch.waiters:
            self._journal.arm()

    def add(self, entries: tuple[Entry | Drawn, ...]) -> None:
        """Into the next batch, whatever the state."""
        batch = self.next
        self.seq = add_lines(batch.lines, entries, self.seq, self._clock.stamp())
        many = len(entries)
        batch.count += many
        self.depth += many
        for entry in entries:
            kind = entry.kind
            if kind is _CHUNK or kind is _ALLOWED:
                continue
            if kind is _ARRIVED or kind is _ASKED:
                self.open.add(entry.call)
            elif kind is _ENDED:
                self.open.discard(entry.call)
