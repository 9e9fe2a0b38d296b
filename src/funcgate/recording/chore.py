"""What the keeper runs beside the gateway: chores, each fed with the journal's durable lines, each at its own pace."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from .folder import Line


class ChoreFailed(Exception):
    """A chore cannot go on now. Its text is for the operator; the keeper tells it, and tries again later."""


class Chore(Protocol):
    """Work that follows the journal. Runs in a thread of its own in the keeper's process; never on the data path.

    `position` is the last `seq` it has dealt with for good: after a restart it is fed from the next line on. All methods
    may raise `ChoreFailed`; the same lines are then given again, after a pause.
    """

    name: str

    @property
    def position(self) -> int: ...

    def take(self, lines: Sequence[Line]) -> None:
        """Deal with the next lines, which are durable: rising `seq`, none left out, at least one."""
        ...

    def tick(self) -> None:
        """Called about once a second, and after the last line at shutdown: whatever depends on time."""
        ...

    def close(self) -> None:
        """The keeper ends. Never raises."""
        ...


@runtime_checkable
class Complains(Protocol):
    """A chore that goes on, and yet has something to say to the operator."""

    @property
    def complaint(self) -> str:
        """What goes wrong beside the chore's own way, "" if nothing does. Never raises."""
        ...
