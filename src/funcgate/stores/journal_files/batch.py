"""What goes to the disk in one piece, and who waits for it."""

import asyncio

from funcgate.core.entry import Entry


class Batch:
    """Lines of one write. The writer's threads read `lines`, `roll` and `begun` only; the rest is the event loop's.

    `roll` is the number of the segment that this batch begins, 0 to go on with the present one. `begun` is what the quick
    way left: how many bytes it wrote, and the errno that stopped it, or 0. `count` leaves out the segment's own first line.
    `appended` were promised to somebody who waits, `noted` were not.
    """

    __slots__ = ("appended", "begun", "count", "first_seq", "lines", "noted", "roll", "waiters")

    def __init__(self, first_seq: int, roll: int = 0) -> None:
        self.first_seq = first_seq
        self.roll = roll
        self.lines = bytearray()
        self.begun: tuple[int, int] | None = None
        self.count = 0
        self.waiters: list[asyncio.Future[None]] = []
        self.appended: list[tuple[Entry, ...]] = []
        self.noted: list[Entry] = []
