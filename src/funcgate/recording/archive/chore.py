"""Compression as a chore of the keeper: driven by time alone, it reads no lines."""

from collections.abc import Sequence
from pathlib import Path

from funcgate.recording.chore import ChoreFailed
from funcgate.recording.folder import Line, lines

from .archivist import Archivist


class ArchiveChore:
    """`recording.chore.Chore`: a segment at each tick, as long as some are due."""

    name = "archive"

    def __init__(self, journal: Path, archivist: Archivist) -> None:
        self._journal = journal
        self._archivist = archivist
        newest = next(lines(journal, newest_first=True), None)
        self.position = 0 if newest is None else newest.seq

    def take(self, lines: Sequence[Line]) -> None:
        self.position = lines[-1].seq

    def tick(self) -> None:
        try:
            self._archivist.compress_due(self._journal)
        except OSError as error:
            raise ChoreFailed(f"{error.filename or self._journal} cannot be compressed: {error.strerror}") from error

    def close(self) -> None:
        return
