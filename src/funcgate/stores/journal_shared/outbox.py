"""What a worker's journal is given, on the loop: entries are packed into the next parcel, and counted until they are answered.

It decides nothing that is out of the ordinary: that is the journal's (`Decides`). `_outbox.pyx` does the same, compiled.
"""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from funcgate.core.entry import Drawn, Entry
from funcgate.core.turn import TURN
from funcgate.stores.lines import pack_lines
from funcgate.stores.parcels import HEAD, MOST_LINES

FULL_BYTES = 64 << 10
MOST_AT_ONCE = MOST_LINES // 2  # and a parcel that is not full has far fewer before them


class Decides(Protocol):
    """What the outbox asks."""

    def judge(self, entries: tuple[Entry | Drawn, ...]) -> None:
        """The state is not healthy: raise `Refused` unless the entries may still be written."""

    def overloaded(self) -> None:
        """Raise `Refused`."""

    def thinned(self, entries: tuple[Entry | Drawn, ...]) -> tuple[Entry, ...]:
        """Notes while too much is under way."""

    def hold(self) -> Awaitable[None]:
        """Until less is under way."""

    def arm(self) -> None:
        """The first entry of a parcel came in, and nobody waits for it."""

    def turn(self) -> None:
        """Somebody waits, and the parcel is not to go with the next turn yet."""

    def push(self) -> None:
        """The parcel is full."""


class Outbox:
    """`append` and `note` are those of `core.ports.Journal`.

    `depth` entries and `bytes` are under way. `parcel` is filled: with `groups`, in which there are `entries`, and who waits for
    them. `armed` says that a timer will send it, `due` that the next turn will.
    """

    __slots__ = (
        "_journal", "_loop", "_max_queue", "_max_queue_bytes", "_relaxed", "armed", "bytes", "depth", "due", "entries",
        "groups", "healthy", "parcel", "waiters",
    )  # fmt: skip

    def __init__(
        self, journal: Decides, loop: asyncio.AbstractEventLoop, relaxed: bool, max_queue: int, max_queue_bytes: int
    ) -> None:
        self._journal = journal
        self._relaxed = relaxed
        self._max_queue = max_queue
        self._max_queue_bytes = max_queue_bytes
        self._loop = loop
        self.healthy = False
        self.armed = False
        self.due = False
        self.depth = 0
        self.bytes = 0
        self.empty()

    def empty(self) -> None:
        """Begin another parcel."""
        self.parcel = bytearray(HEAD.size)
        self.groups = 0
        self.entries = 0
        self.waiters: dict[int, asyncio.Future[None]] = {}

    def append(self, *entries: Entry | Drawn) -> Awaitable[None]:
        if not self.healthy:
            self._journal.judge(entries)
        many = len(entries)
        if self.depth + many > self._max_queue or self.bytes > self._max_queue_bytes or many > MOST_AT_ONCE:
            self._journal.overloaded()
        if self._relaxed:
            self.add(entries, None)
            # Nothing else slows callers down to what the other process can take: their calls would be refused instead.
            return TURN if self.has_room() else self._journal.hold()
        waiter = self._loop.create_future()  # its own: cancelling one caller must not cancel another
        self.add(entries, waiter)
        return waiter

    def note(self, *entries: Entry | Drawn) -> None:
        """Whatever the state: notes that have to wait do so where the journal is kept."""
        if self.depth > self._max_queue or self.bytes > self._max_queue_bytes:
            entries = self._journal.thinned(entries)
        for at in range(0, len(entries), MOST_AT_ONCE):
            self.add(entries[at : at + MOST_AT_ONCE], None)

    def add(self, entries: tuple[Entry | Drawn, ...], waiter: asyncio.Future[None] | None) -> None:
        """Into the parcel, whatever the state."""
        parcel = self.parcel
        before = len(parcel) if self.groups else 0
        pack_lines(parcel, entries, waiter is not None)
        if waiter is not None:
            self.waiters[self.groups] = waiter
        many = len(entries)
        self.groups += 1
        self.entries += many
        self.depth += many
        self.bytes += len(parcel) - before
        if len(parcel) >= FULL_BYTES or not entries:  # a group of nothing is a parcel's last
            self._journal.push()
        elif waiter is not None and not self.due:
            self._journal.turn()
        elif not self.armed and not self.due:
            self._journal.arm()

    def has_room(self) -> bool:
        """Whether half of the queue, or more, is free."""
        return 2 * self.depth <= self._max_queue and 2 * self.bytes <= self._max_queue_bytes
