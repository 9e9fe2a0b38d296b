"""The end of a growing journal: the next lines that are durable, a limited number at a time, in order.

It knows no line above the one it is told of: what comes after the last durable line may still be withdrawn.
"""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from .ahead import lines_behind
from .folder import Damaged, Line, ignore, lines

MAX_LINES = 4096
MAX_BYTES = 4 << 20
MAX_KEPT_BYTES = 8 << 20
MAX_KEPT = 16
_FEW_BYTES = 64 << 10
_seq = attrgetter("seq")


class _Block(NamedTuple):
    """Lines that follow the one numbered `after`, none left out that the journal has."""

    after: int
    lines: Sequence[Line]
    size: int


class Recent:
    """What any of several followers of one journal read last, for the others: a line is read and checked once, not by each."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._blocks: deque[_Block] = deque()
        self._size = 0

    def after(self, seq: int, up_to: int, max_lines: int) -> Sequence[Line]:
        """The lines that follow that number, as far as they are here."""
        for block in self._blocks:
            if block.after <= seq < block.lines[-1].seq:
                found = block.lines[bisect_right(block.lines, seq, key=_seq) :] if seq > block.after else block.lines
                if found[-1].seq > up_to:
                    found = found[: bisect_right(found, up_to, key=_seq)]
                return found[:max_lines]
        return []

    def keep(self, after: int, lines: Sequence[Line], size: int) -> None:
        self._blocks.append(_Block(after, lines, size))
        self._size += size
        while len(self._blocks) > MAX_KEPT or self._size > MAX_KEPT_BYTES:
            self._size -= self._blocks.popleft().size

    def forget(self) -> None:
        """What was read may be wrong: read it again."""
        with self.lock:
            self._blocks.clear()
            self._size = 0


class Follow:
    """One reader's place in the journal, after the line numbered `after`. Costs nothing while nothing is new.

    `damaged` is told the segment of each line that is none; not of those that another one read (`recent`).
    """

    def __init__(
        self, folder: Path, after: int = 0, *, damaged: Damaged = ignore, recent: Recent | None = None
    ) -> None:
        self._folder = folder
        self._damaged = damaged
        self._last: int | Line = after
        self._recent = recent

    @property
    def position(self) -> int:
        """The number of the last line that was given, or that it began after."""
        return self._last if isinstance(self._last, int) else self._last.seq

    def read(self, up_to: int, *, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES) -> Sequence[Line]:
        """The next lines, up to that number, at least one if there is any. Raises `OSError`; the place stays the same.

        Lines that have expired or are damaged are left out: the numbers tell.
        """
        if up_to <= self.position:
            return []
        recent = self._recent
        if recent is None:
            found, _ = self._read(up_to, max_lines, max_bytes)
        else:
            with recent.lock:  # who else wants these lines waits for them
                found = recent.after(self.position, up_to, max_lines)
                if not found:
                    found, size = self._read(up_to, max_lines, max_bytes)
                    if found and size <= max_bytes:
                        recent.keep(self.position, found, size)
        if found:
            self._last = found[-1]
        return found

    def _read(self, up_to: int, max_lines: int, max_bytes: int) -> tuple[Sequence[Line], int]:
        """The lines, and how many bytes they are. Many that were read at once stay as they are; a few are put together."""
        found, size = self._piece(self._last, up_to, max_lines, max_bytes)
        while found and size < _FEW_BYTES and found[-1].seq < up_to and len(found) < max_lines and size < max_bytes:
            more, more_bytes = self._piece(found[-1], up_to, max_lines - len(found), max_bytes - size)
            if not more or more_bytes > max_bytes - size:
                break
            found = [*found, *more]
            size += more_bytes
        return found, size

    def _piece(self, last: int | Line, up_to: int, max_lines: int, max_bytes: int) -> tuple[Sequence[Line], int]:
        """As `_read`, but of one segment at most where that is quicker."""
        if isinstance(last, Line):
            run, size = lines_behind(self._folder, last, up_to, max_lines, max_bytes)
            if run is not None:
                return run, size
        found: list[Line] = []
        size = 0
        for line in lines(self._folder, after=last, damaged=self._damaged):
            more = size + len(line.line)
            if line.seq > up_to or (found and more > max_bytes):
                break
            size = more
            found.append(line)
            if line.seq == up_to or len(found) == max_lines:
                break
            if len(found) == 1:  # the first of a segment, or one that is not plain: those behind it may be
                run, more = lines_behind(self._folder, line, up_to, max_lines - 1, max_bytes - size)
                if run is not None:
                    return [line, *run], size + more
        return found, size
