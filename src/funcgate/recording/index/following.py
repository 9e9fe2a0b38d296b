"""Brings an index up to date with a journal: from where it stands, from the start, or anew when it is of no use."""

import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from funcgate.recording.folder import Damaged, Line, ignore, lines, open_segment, segments
from funcgate.recording.reader import Open, as_it_is

from .database import NAME, Mark, Unfit, mark_of, remove
from .indexer import Indexer

BATCH = 32_000  # lines; one transaction
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
Progress = Callable[[int], None]  # told how many lines more


def open_indexer(data_dir: Path, *, secret: bytes = b"", text: bool | None = None, opened: Open = as_it_is) -> Indexer:
    """The index of the data folder, ready to go on. One that is damaged, of another version or of another journal is
    made anew. To be called by whoever holds the lock. Raises `OSError`."""
    path = data_dir / NAME
    try:
        indexer = Indexer(path, secret=secret, text=text, opened=opened)
        if belongs(data_dir / "journal", indexer.last):
            return indexer
        indexer.close()
    except (Unfit, sqlite3.DatabaseError, ValueError) as error:
        if isinstance(error, sqlite3.DatabaseError) and not is_broken(error):
            raise OSError(f"{path}: {error}") from None
    remove(path)
    return Indexer(path, secret=secret, text=text, opened=opened)


def catch_up(
    journal: Path,
    indexer: Indexer,
    *,
    below: int | None = None,
    progress: Progress | None = None,
    damaged: Damaged = ignore,
) -> None:
    """Index what the journal holds beyond the index, up to the line before `below`. Raises `OSError`, `sqlite3.Error`."""
    left = lines(journal, after=_resume(journal, indexer.last), damaged=damaged)
    if below is not None:
        left = _until(left, below)
    while batch := list(islice(left, BATCH)):
        indexer.add(batch)
        if progress is not None:
            progress(len(batch))


def belongs(journal: Path, last: Mark) -> bool:
    """Whether the journal holds the last line that the index holds; also when that line's segment has expired since."""
    if last.seq == 0:
        return True
    found = _line_at(journal, last)
    if found is not None:
        return mark_of(found) == last
    try:
        oldest = segments(journal)[:1]
    except OSError:
        return False
    return bool(oldest) and oldest[0].name[:8] > last.segment[:8]


def is_broken(error: sqlite3.Error) -> bool:
    """Whether the file is damaged, and not just busy or out of room."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN


def _resume(journal: Path, last: Mark) -> Line | int:
    return _line_at(journal, last) or last.seq


def _line_at(journal: Path, last: Mark) -> Line | None:
    if last.seq == 0:
        return None
    try:
        with open_segment(journal, last.segment) as file:
            file.seek(last.offset)
            raw = file.readline()
    except (OSError, ValueError):
        return None
    if not raw.endswith(b"\n"):
        return None
    return Line(last.seq, b"", raw[:-1], last.segment, last.offset)


def _until(found: Iterator[Line], below: int) -> Iterator[Line]:
    for line in found:
        if line.seq >= below:
            return
        yield line
