"""How gateway.py writes to a journal: one entry, or two, by their place. Compiled (`_drawn.pyx`), these are calls of C.

Waits for nothing and keeps nothing: that is the journal's.
"""

from collections.abc import Awaitable

from .entry import Drawn, Entry
from .ports import Journal


class Taker:
    """See `ports.Journal`."""

    __slots__ = ("_append", "_note")

    def __init__(self, journal: Journal) -> None:
        self._append = journal.append
        self._note = journal.note

    def take(self, first: Entry | Drawn, second: Entry | Drawn | None) -> Awaitable[None]:
        """`Journal.append`, of both where there are two."""
        return self._append(first) if second is None else self._append(first, second)

    def put_down(self, entry: Entry | Drawn) -> None:
        """`Journal.note`."""
        self._note(entry)


taker_of = Taker
