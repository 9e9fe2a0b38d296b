"""A journal in memory: the shipped fake for tests and trials. It keeps the lines that a file would hold.

It survives nothing: never the journal of a gateway that matters.
"""

import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from funcgate.core.entry import Drawn, Entry, decode_line
from funcgate.core.refusal import Code, Refused

from .lines import add_lines


class _Done:
    def __await__(self) -> Generator[Any, None, None]:
        return iter(())  # type: ignore[return-value]  # an exhausted iterator ends the await at once


class MemoryJournal:
    """`core.ports.Journal` over a list. `fail` makes it refuse as a failing disk would, `recover` ends that."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._buffer = bytearray()
        self._seq = 0
        self._kept: list[Entry | Drawn] = []
        self._failed = ""

    @property
    def lines(self) -> list[bytes]:
        """The lines so far, newlines included."""
        return bytes(self._buffer).splitlines(keepends=True)

    @property
    def entries(self) -> list[Entry]:
        """The lines so far, read back."""
        return [decode_line(line) for line in self.lines]

    def append(self, *entries: Entry | Drawn) -> Awaitable[None]:
        if self._failed:
            raise Refused(Code.JOURNAL_UNAVAILABLE, private_detail=self._failed)
        self._add(entries)
        return _Done()

    def note(self, *entries: Entry | Drawn) -> None:
        if self._failed:
            self._kept.extend(entries)
        else:
            self._add(entries)

    def fail(self, reason: str = "failed on purpose") -> None:
        """Refuse every append from now on; keep the notes for later."""
        self._failed = reason

    def recover(self) -> None:
        """Take entries again; write the notes that were kept."""
        self._failed = ""
        kept, self._kept = self._kept, []
        self._add(tuple(kept))

    def _add(self, entries: tuple[Entry | Drawn, ...]) -> None:
        now = self._now()
        second = int(now)
        at = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)) + f"{int((now - second) * 1e6):06d}Z"
        self._seq = add_lines(self._buffer, entries, self._seq, at)
