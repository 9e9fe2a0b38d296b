"""Writes the index: lines of the journal in, one transaction a batch, with the position that they bring it to.

It holds nothing in memory that is not in the file too, so that it may die at any time.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path

import msgspec

from funcgate.recording.folder import Line
from funcgate.recording.reader import Open, as_it_is

from . import fresh
from .bits import CHUNK, SHIFT
from .database import Mark, Unfit, connect, create, last_of, mark_of, meta, transaction
from .fold import Row
from .fresh import Fresh
from .gathering import Gathering
from .keys import Keys
from .segments import Words
from .sets import change_sets, held_sets, marks, portions, put_sets
from .texts import Texts


class Indexer:
    """An index that is being written. `opened` gives an entry with the parts that are encrypted or kept elsewhere.

    Every method may raise `sqlite3.DatabaseError`: what was not committed is not there.
    """

    def __init__(self, path: Path, *, secret: bytes = b"", text: bool | None = None, opened: Open = as_it_is) -> None:
        """Opens the index, or makes a new one. `text` is whether words are kept; None: as they are. Raises `Unfit` for
        one that has to be removed first."""
        self.path = path
        self.keys = Keys(secret)
        try:
            self.db = connect(path, writing=True)
        except FileNotFoundError:
            self.db = create(path, self.keys.check(), text=text is not False)
        self._text = bool(meta(self.db, "text"))
        self._texts = Texts(self.db, secret)
        self.words = Words(self.db, path)
        self._gathering = Gathering(self.keys, self._stored, opened, text=self._text)
        self._half = self._gathering.half
        if meta(self.db, "check") != self.keys.check() or text not in (None, self._text):
            self.db.close()
            raise Unfit(f"{path} was made with another key, or with other options")
        self._next = int(self.db.execute("SELECT coalesce(max(n), 0) + 1 FROM calls").fetchone()[0])
        self.last = last_of(self.db)

    @property
    def position(self) -> int:
        """The last line that is in the index."""
        return self.last.seq

    @property
    def calls(self) -> int:
        """How many calls the index holds."""
        return int(self.db.execute("SELECT count(*) FROM calls").fetchone()[0])

    def close(self) -> None:
        self.words.close()
        self.db.close()

    def add(self, *pieces: Sequence[Line]) -> None:
        """The next lines, as they were read together; those that the index has already are passed over."""
        new = [
            lines if lines[0].seq > self.position else [line for line in lines if line.seq > self.position]
            for lines in pieces
        ]
        new = [lines for lines in new if lines]
        if not new:
            return
        try:
            last, calls = self._add(new, doubting=False)
        except sqlite3.IntegrityError:
            # Attack: a second arrival of a call, that makes the index fail on it for ever.
            last, calls = self._add(new, doubting=True)
        self._gathering.parts.names.clear()
        self.last = last
        self._next += calls
        self.words.merge()

    def _add(self, pieces: Sequence[Sequence[Line]], *, doubting: bool) -> tuple[Mark, int]:
        """The last line, and how many calls are new. `doubting`: look for all calls, also for those that arrive."""
        with transaction(self.db):
            calls, rows, admin = self._gathering.gather(pieces, self._next, doubting=doubting)
            self.db.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", self._gathering.parts.names.items())
            self._write_fresh(calls)
            self._write_rows(rows)
            self._write_sets(rows)
            self._write_fresh_sets(calls)
            self._write_words(rows, calls)
            self.db.executemany("INSERT OR REPLACE INTO admin VALUES (?, ?, ?, ?, ?, ?)", [row[:6] for row in admin])
            self.db.executemany(
                "INSERT OR REPLACE INTO due VALUES (?, ?)", [(row[0], row[4]) for row in admin if row[6]]
            )
            last = mark_of(pieces[-1][-1])
            self.db.execute("UPDATE meta SET value = ? WHERE name = 'last'", (msgspec.msgpack.encode(last),))
        return last, len(calls)

    def _stored(self, calls: set[str]) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        for some in portions(sorted(calls)):
            found = self.db.execute(f"SELECT n, call, keys, places FROM calls WHERE call IN ({marks(some)})", some)  # noqa: S608
            rows.update((call, Row.stored(n, call, keys, places)) for n, call, keys, places in found)
        self._with_text(rows.values())
        return rows

    def numbered(self, numbers: Sequence[int]) -> list[Row]:
        """The calls of these numbers, as the index holds them."""
        rows: list[Row] = []
        for some in portions(numbers):
            found = self.db.execute(f"SELECT n, call, keys, places FROM calls WHERE n IN ({marks(some)})", some)  # noqa: S608
            rows += [Row.stored(*row) for row in found]
        self._with_text(rows)
        return rows

    def _with_text(self, rows: Iterable[Row]) -> None:
        by_number = {row.n: row for row in rows}
        for n, text in self._texts.read(sorted(by_number)).items() if self._text else ():
            by_number[n].text = by_number[n].was_text = text

    def rewrite(self, rows: Sequence[Row], *, gone: bool = False) -> None:
        """Store what was changed in rows that the index has; `gone`: take them out of it."""
        with transaction(self.db):
            self._write_rows(rows)
            self._write_sets(rows)
            self._write_words(rows)
            if gone:
                self.db.executemany("DELETE FROM calls WHERE n = ?", [(row.n,) for row in rows])

    def _write_fresh(self, calls: Sequence[Fresh]) -> None:
        self.db.executemany("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?)", self._half.rows(calls))

    def _write_rows(self, rows: Iterable[Row]) -> None:
        known = [(row.packed_keys(), row.packed_places(), row.n) for row in rows]
        self.db.executemany("UPDATE calls SET keys = ?, places = ? WHERE n = ?", known)

    def _write_sets(self, rows: Iterable[Row]) -> None:
        adding: dict[tuple[int, int], list[int]] = {}
        removing: dict[tuple[int, int], list[int]] = {}
        for row in rows:
            chunk, member = row.n >> SHIFT, row.n & CHUNK - 1
            for key in row.keys - row.old:
                adding.setdefault((chunk, key), []).append(member)
            for key in row.old - row.keys:
                removing.setdefault((chunk, key), []).append(member)
        change_sets(self.db, adding, removing)

    def _write_fresh_sets(self, calls: Sequence[Fresh]) -> None:
        while calls:
            chunk, member = calls[0].n >> SHIFT, calls[0].n & CHUNK - 1
            some, calls = calls[: CHUNK - member], calls[CHUNK - member :]
            held = partial(held_sets, self.db, chunk)
            made = self._half.extended(some, held)
            put_sets(self.db, chunk, fresh.extended(some, held) or () if made is None else made)

    def _write_words(self, rows: Sequence[Row], calls: Sequence[Fresh] = ()) -> None:
        said = self.keys.said
        both = [
            (row.n, said(row.was_text, row.old) if row.was_text else "", said(row.text, row.keys) if row.text else "")
            for row in sorted(rows, key=attrgetter("n"))
        ]
        fresh_words = self._half.said(calls or [], self.keys.words if self.keys.hashes else None)
        self.words.put([(n, was, now) for n, was, now in both if was != now], fresh_words)
        self._texts.change({row.n: row.text for row in rows if row.text != row.was_text})
        self._texts.add([(one.n, one.text) for one in calls if one.text])
