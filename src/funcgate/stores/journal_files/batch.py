"""What goes to the disk in one piece, and who waits for it."""

from collections.abc import Iterable
from typing import Protocol

from funcgate.core.entry import Drawn, Entry

from .parcel import Parcel


class Waiter(Protocol):
    """A future, or what stands for somebody who waits in another process."""

    def done(self) -> bool: ...
    def set_result(self, result: None, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...


class Batch:
    """Lines of one write. The writer's threads read `lines`, `roll` and `begun` only; the rest is the event loop's.

    `roll` is the number of the segment that this batch begins, 0 to go on with the present one. `begun` is what the quick
    way left: how many bytes it wrote, and the errno that stopped it, or 0. `count` leaves out the segment's own first line.
    `appended` were promised to somebody who waits, `noted` were not. `parcels` came from other processes: their lines are
    entries only if they have to be.
    """

    __slots__ = ("appended", "begun", "count", "first_seq", "lines", "noted", "parcels", "roll", "waiters")

    def __init__(self, first_seq: int, roll: int = 0) -> None:
        self.first_seq = first_seq
        self.roll = roll
        self.lines = bytearray()
        self.begun: tuple[int, int] | None = None
        self.count = 0
        self.waiters: list[Waiter] = []
        self.appended: list[tuple[Entry | Drawn, ...]] = []
        self.noted: list[Entry | Drawn] = []
        self.parcels: list[Parcel] = []

    def note(self, entries: Iterable[Entry | Drawn]) -> None:
        """Nobody waits for them."""
        self.noted += entries

    def wake(self) -> None:
        """All of it is written: tell who waits."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)
