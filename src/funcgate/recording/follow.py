"""The end of a growing journal: the next lines that are durable, a limited number at a time, in order.

It knows no line above the one it is told of: what comes after the last durable line may still be withdrawn.
"""

from pathlib import Path

from .folder import Damaged, Line, ignore, lines

MAX_LINES = 4096
MAX_BYTES = 4 << 20


class Follow:
    """One reader's place in the journal, after the line numbered `after`. Costs nothing while nothing is new.

    `damaged` is told the segment of each line that is none.
    """

    def __init__(self, folder: Path, after: int = 0, *, damaged: Damaged = ignore) -> None:
        self._folder = folder
        self._damaged = damaged
        self._last: int | Line = after

    @property
    def position(self) -> int:
        """The number of the last line that was given, or that it began after."""
        return self._last if isinstance(self._last, int) else self._last.seq

    def read(self, up_to: int, *, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES) -> list[Line]:
        """The next lines, up to that number, at least one if there is any. Raises `OSError`; the place stays the same.

        Lines that have expired or are damaged are left out: the numbers tell.
        """
        if up_to <= self.position:
            return []
        found: list[Line] = []
        size = 0
        for line in lines(self._folder, after=self._last, damaged=self._damaged):
            size += len(line.line)
            if line.seq > up_to or (found and size > max_bytes):
                break
            found.append(line)
            if line.seq == up_to or len(found) == max_lines:
                break
        if found:
            self._last = found[-1]
        return found
