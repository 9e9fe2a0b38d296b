"""Writes the index: lines of the journal in, one transaction a batch, with the position that they bring it to.

It holds nothing in memory that is not in the file too, so that it may die at any time.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from funcgate.recording.folder import Line
from funcgate.recording.reader import Open, as_it_is, with_room

from .admin import admin_rows
from .bits import CHUNK, SHIFT
from .database import Unfit, connect, create, last_of, mark_of, meta, transaction
from .fold import Fold, Row, microseconds
from .keys import Fact, Keys
from .seen import Seen, decode, filled, is_elsewhere, whole_entry
from .sets import change_sets, marks, portions
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
        self._texts = Texts(secret)
        self._opened = opened
        self._named: set[tuple[Fact, str]] = set()
        try:
            self.db = connect(path, writing=True)
        except FileNotFoundError:
            self.db = create(path, self.keys.check(), text=text is not False)
        self._text = bool(meta(self.db, "text"))
        self._fold = Fold(self.keys, text=self._text)
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
        self.db.close()

    def add(self, lines: Sequence[Line]) -> None:
        """The next lines; those that the index has already are passed over."""
        lines = [line for line in lines if line.seq > self.position] if lines[0].seq <= self.position else lines
        if not lines:
            return
        with transaction(self.db):
            rows, admin = self._gather(lines)
            self._write_rows(rows)
            self._write_sets(rows)
            self._write_words(rows)
            self.db.executemany("INSERT OR REPLACE INTO admin VALUES (?, ?, ?, ?, ?, ?)", [row[:6] for row in admin])
            self.db.executemany(
                "INSERT OR REPLACE INTO due VALUES (?, ?)", [(row[0], row[4]) for row in admin if row[6]]
            )
            last = mark_of(lines[-1])
            self.db.execute("UPDATE meta SET value = ? WHERE name = 'last'", (msgspec.msgpack.encode(last),))
        self.last = last
        self._next += sum(1 for row in rows if not row.old)

    def _gather(self, lines: Sequence[Line]) -> tuple[list[Row], list[tuple[object, ...]]]:
        """The calls that the lines are of, each with what they add; and the administrators' entries."""
        seen = [(entry, line) for line in lines if (entry := self._read(line)) is not None]
        rows = self._stored({entry.call for entry, _ in seen})
        admin: list[tuple[object, ...]] = []
        number = self._next
        add = self._fold.add
        for entry, line in seen:
            if entry.kind == "admin":
                admin += admin_rows(line)
            call = entry.call
            if not call:
                continue
            row = rows.get(call)
            if row is None:
                row = rows[call] = Row(number, call, line.seq, entry.at)
                number += 1
            add(row, entry, line)
            if entry.function or entry.code:
                self._name(entry)
        for row in rows.values():
            self._fold.finish(row)
        return list(rows.values()), admin

    def _read(self, line: Line) -> Seen | None:
        """None for a line that cannot be read: the scan tells of it, and `verify`."""
        try:
            seen = with_room(decode, line.line)
            if is_elsewhere(seen):
                return filled(seen, self._opened(whole_entry(line)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return seen

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
        for numbers in portions(list(by_number)) if self._text else ():
            for n, text in self.db.execute(f"SELECT n, text FROM texts WHERE n IN ({marks(numbers)})", numbers):  # noqa: S608
                by_number[n].text = by_number[n].was_text = self._texts.unpacked(text)

    def rewrite(self, rows: Sequence[Row], *, gone: bool = False) -> None:
        """Store what was changed in rows that the index has; `gone`: take them out of it."""
        with transaction(self.db):
            self._write_rows(rows)
            self._write_sets(rows)
            self._write_words(rows)
            if gone:
                self.db.executemany("DELETE FROM calls WHERE n = ?", [(row.n,) for row in rows])

    def _name(self, entry: Seen) -> None:
        for fact, name in ((Fact.FUNCTION, entry.function), (Fact.CODE, entry.code)):
            if name and (fact, name) not in self._named:
                self._named.add((fact, name))
                self.db.execute("INSERT OR IGNORE INTO names VALUES (?, ?)", (self.keys.key(fact, name), name))

    def _write_rows(self, rows: Iterable[Row]) -> None:
        fresh, known = [], []
        times: dict[str, int] = {}
        for row in rows:
            if row.old:
                known.append((row.packed_keys(), row.packed_places(), row.n))
            else:
                at = times.get(row.at)
                if at is None:
                    at = times[row.at] = microseconds(row.at)
                fresh.append((row.n, row.call, row.seq, at, row.packed_keys(), row.packed_places()))
        self.db.executemany("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?)", fresh)
        self.db.executemany("UPDATE calls SET keys = ?, places = ? WHERE n = ?", known)

    def _write_sets(self, rows: Iterable[Row]) -> None:
        adding: dict[tuple[int, int], list[int]] = {}
        removing: dict[tuple[int, int], list[int]] = {}
        for row in rows:
            chunk, member = row.n >> SHIFT, row.n & CHUNK - 1
            for key in row.keys - row.old if row.old else row.keys:
                adding.setdefault((chunk, key), []).append(member)
            for key in row.old - row.keys:
                removing.setdefault((chunk, key), []).append(member)
        change_sets(self.db, adding, removing)

    def _write_words(self, rows: Iterable[Row]) -> None:
        altered = [row for row in rows if row.text != row.was_text or (row.text and row.keys != row.old)]
        said = self.keys.said
        taken = [(row.n, said(row.was_text, row.old)) for row in altered if row.was_text]
        self.db.executemany("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", taken)
        added = [(row.n, said(row.text, row.keys)) for row in altered if row.text]
        self.db.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", added)
        texts = [(row.n, self._texts.packed(row.text)) for row in altered if row.text and row.text != row.was_text]
        self.db.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?)", texts)
        self.db.executemany("DELETE FROM texts WHERE n = ?", [(row.n,) for row in altered if not row.text])
