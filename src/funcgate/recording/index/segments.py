"""The words of calls on their way into the words' index: as a whole new segment of it, made in compiled code, or by FTS5 itself.

A segment is what FTS5 would have written, byte for byte, at a third of its time; merging and searching are FTS5's. Where the
compiled half is missing, or this SQLite writes otherwise, FTS5 does it all.
"""

import sqlite3
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from funcgate.core.native import half

from .database import WORDS, connect, transaction

_native = half("funcgate.recording.index._words")
_AVERAGES, _STRUCTURE = 1, 10  # rows of words_data; those of segments are above
_COOKIE_BYTES = 4
_MOST_SEGMENTS = 2000
_MOST_LEVELS = 64
_PAGE_BYTES = range(64, 32_001)
_TOGETHER = 8  # segments of one level that are merged, as `automerge` says
_UNIT = 64  # pages; less is not worth a step of merging
_SAME = ("ab\u00e9 c1 c1 X" * 3, "c1 " * 40000, "c1 " * 40000, " ".join(f"w{n}" for n in range(9000)))
Said = tuple[int, str, str]  # a call's number, the words it held, those it holds


class Words:
    """Of one index. Where segments are made here, `db` itself is never to ask FTS5 for words: it would not know of them."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path
        self._fts5: sqlite3.Connection | None = None
        self._owed = 0
        self._page_bytes = 0
        if _native is not None and _as_fts5_does():
            [(version,), (self._page_bytes,)] = db.execute(
                "SELECT v FROM words_config WHERE k IN ('pgsz', 'version') ORDER BY k DESC"
            ).fetchall()
            # Attack: an index file of somebody else's, with pages that its own numbers cannot tell the size of.
            sound = version == 4 and self._page_bytes in _PAGE_BYTES
            levels = _levels(self._blob(_STRUCTURE))
            if not sound or levels is None:
                self._page_bytes = 0
            else:
                # Attack: end the keeper again and again before a merge is due, until there is no room for a segment.
                self._owed = sum(last - first + 1 for _, first, last in levels[0][1]) if levels else 0

    @property
    def fts5(self) -> sqlite3.Connection:
        """The connection by which FTS5 may be asked to merge: it sees what others have written."""
        if not self._page_bytes:
            return self._db
        if self._fts5 is None:
            self._fts5 = connect(self._path, writing=True)
            self._fts5.execute("PRAGMA cache_size = -8192")  # it reads what it merges once
        return self._fts5

    def close(self) -> None:
        if self._fts5 is not None:
            self._fts5.close()

    def put(self, altered: Iterable[Said], fresh: Iterable[tuple[int, str]] = ()) -> None:
        """Numbers rise, those of fresh calls above all others. Inside a transaction."""
        if not self._page_bytes:
            self._put_by_fts5(list(altered), fresh)
            return
        postings = _native.Postings()
        for said in (altered, ((n, "", now) for n, now in fresh)):
            for n, was, now in said:
                postings.add(n, was, now)
                if postings.full:
                    self._write(postings)
        self._write(postings)

    def merge(self) -> None:
        """What is due after what was put; not inside a transaction."""
        if self._owed < _UNIT:
            return
        due, self._owed = self._owed, 0
        levels = _levels(self._blob(_STRUCTURE)) or []
        if not any(merging or len(segments) >= _TOGETHER for merging, segments in levels):
            return
        db = self.fts5
        with transaction(db):
            for name, value in (("usermerge", _TOGETHER), ("merge", due * len(levels)), ("usermerge", 2)):
                db.execute("INSERT INTO words (words, rank) VALUES (?, ?)", (name, value))

    def _put_by_fts5(self, altered: list[Said], fresh: Iterable[tuple[int, str]]) -> None:
        taken = [(n, was) for n, was, _ in altered if was]
        self._db.executemany("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", taken)
        added = [(n, now) for n, _, now in altered if now]
        self._db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", added)
        self._db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", fresh)

    def _write(self, postings: Any) -> None:
        """The segment, and what tells of it."""
        structure = self._blob(_STRUCTURE)
        levels = _levels(structure)
        if levels is None:
            raise ValueError("the words' index is of a form that is not known")
        used = {segment[0] for _, segments in levels for segment in segments}
        number = next((n for n in range(1, _MOST_SEGMENTS + 1) if n not in used), None)
        if number is None:
            raise ValueError("the words' index has more segments than FTS5 ever leaves")
        calls, words = postings.calls, postings.words
        data, index, pages = postings.written(number, self._page_bytes)
        if not (pages or calls or words):
            return
        had = [*_numbers(self._blob(_AVERAGES)), 0, 0]
        self._put_blob(_AVERAGES, _varints([max(had[0] + calls, 0), max(had[1] + words, 0)]))
        if not pages:
            return
        # Attack: pages of that number which somebody put there, so that the index fails on them for ever.
        self._db.executemany("INSERT OR REPLACE INTO words_data VALUES (?, ?)", data)
        self._db.executemany("INSERT OR REPLACE INTO words_idx VALUES (?, ?, ?)", index)
        levels = levels or [(0, [])]
        levels[0][1].append((number, 1, pages))
        self._owed += pages
        self._put_blob(_STRUCTURE, _told(structure, levels))

    def _blob(self, n: int) -> bytes:
        found = self._db.execute("SELECT block FROM words_data WHERE id = ?", (n,)).fetchone()
        # Attack: an index file of somebody else's, with a number here, of bytes to make.
        return found[0] if found is not None and isinstance(found[0], bytes) else b""

    def _put_blob(self, n: int, blob: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO words_data VALUES (?, ?)", (n, blob))


Level = tuple[
    int, list[tuple[int, ...]]
]  # how many of its segments are being merged; number, first and last page of each


def _levels(blob: bytes) -> list[Level] | None:
    """What the structure tells; None for one of another form."""
    try:
        count, _, _, *left = _numbers(blob[_COOKIE_BYTES:])
        levels: list[Level] = []
        if count > _MOST_LEVELS:
            return None
        for _ in range(count):
            merging, segments, *left = left
            if len(left) < 3 * segments:
                return None
            levels.append((merging, [tuple(left[3 * at : 3 * at + 3]) for at in range(segments)]))
            left = left[3 * segments :]
    except ValueError:
        return None
    return None if left else levels


def _told(blob: bytes, levels: list[Level]) -> bytes:
    """The structure with other levels."""
    counter = _numbers(blob[_COOKIE_BYTES:])[2]
    numbers = [len(levels), sum(len(segments) for _, segments in levels), counter]
    for merging, segments in levels:
        numbers += [merging, len(segments), *(number for segment in segments for number in segment)]
    return blob[:_COOKIE_BYTES] + _varints(numbers)


def _numbers(blob: bytes) -> list[int]:
    found, value = [], 0
    for byte in blob:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            found.append(value)
            value = 0
    return found


def _varints(numbers: Iterable[int]) -> bytes:
    made = bytearray()
    for number in numbers:
        groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
        made += bytes([*(group | 0x80 for group in groups[:0:-1]), groups[0]])
    return bytes(made)


@cache
def _as_fts5_does() -> bool:
    """Whether this SQLite's FTS5 writes the same bytes as the compiled half."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.executescript(WORDS)
        db.execute("DELETE FROM words_data WHERE id = 0")  # there is none: whether its tables may be written at all
        with transaction(db):
            for n, text in enumerate(_SAME, 1):
                db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (n, text))
        postings = _native.Postings()
        for n, text in enumerate(_SAME, 1):
            postings.add(n, "", text)
        [page_bytes] = db.execute("SELECT v FROM words_config WHERE k = 'pgsz'").fetchone()
        data, index, pages = postings.written(1, page_bytes)
        made = db.execute("SELECT id, block FROM words_data WHERE id > 10 ORDER BY id").fetchall()
        found = db.execute("SELECT segid, CAST(term AS BLOB), pgno FROM words_idx ORDER BY 1, 2").fetchall()
        told = db.execute("SELECT block FROM words_data WHERE id = ?", (_STRUCTURE,)).fetchone()[0]
    except sqlite3.Error:
        return False
    finally:
        db.close()
    return sorted(data) == made and sorted(index) == found and _levels(told) == [(0, [(1, 1, pages)])]
