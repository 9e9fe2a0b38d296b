"""Forgetting what has expired: words and facts leave the index once the journal's own copy of them is gone.

It follows the journal: an `expired` entry announces, and nothing is forgotten before the deletion is seen, so that what was
withheld stays. It deletes nothing but rows of the index.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from funcgate.recording.contents.keystore import SHREDDED, KeyStore
from funcgate.recording.contents.places import Places
from funcgate.recording.filters import Filters
from funcgate.recording.folder import segments
from funcgate.recording.reader import moment
from funcgate.recording.retention.orders import WITHHELD, Gone, Key, Order, order_in

from .bits import SHIFT, newest_first
from .database import meta, transaction
from .fold import Row
from .indexer import Indexer
from .keys import METADATA, Fact, fact_of
from .search import Search

_AT_ONCE = 500
_OF_CONTENT = (Fact.OBJECT, Fact.ELSEWHERE)
_PAGES = 250  # leaves of the words' index, merged at once
_DONE, _BEGIN, _GO_ON = 0, 1, 2
_SET_MERGING = "UPDATE meta SET value = ? WHERE name = 'merging'"
_MAX_LOOKS = 3600  # at an order; what is still in use by then is left to the next one


class Forgetting:
    """Forgets in one index. `look` is called now and then, by whoever holds the lock. Raises `OSError`, `sqlite3.Error`."""

    def __init__(self, data_dir: Path, indexer: Indexer) -> None:
        self._journal = data_dir / "journal"
        self._keys = KeyStore(data_dir)
        self._places = Places(data_dir)
        self._indexer = indexer
        self._db = indexer.db
        self._search = Search(indexer.db, indexer.keys)
        self._looks: dict[int, int] = {}

    def close(self) -> None:
        self._keys.close()

    def look(self) -> None:
        """Forget what has been deleted since; a part of the cleaning up."""
        orders = list(self._due())
        if orders:
            self._settle(orders)
        step = meta(self._db, "merging")
        if step != _DONE:
            self._merge(step)

    def forget(self, numbers: Iterable[int], cls: str) -> None:
        """Forget the content, the metadata, or (``decisions``) all of these calls."""
        wanted = list(numbers)
        for start in range(0, len(wanted), _AT_ONCE):
            rows = self._indexer.numbered(wanted[start : start + _AT_ONCE])
            for row in rows:
                _strip(row, cls)
            self._indexer.rewrite(rows, gone=cls == "decisions")
            self._db.execute(_SET_MERGING, (_BEGIN,))

    def _due(self) -> Iterator[tuple[int, Order]]:
        for seq, change in self._db.execute("SELECT seq, change FROM due ORDER BY seq").fetchall():
            read = msgspec.json.decode(change)
            order = order_in(read) or order_in(read, WITHHELD)
            if order is not None:
                yield seq, order

    def _settle(self, orders: list[tuple[int, Order]]) -> None:
        there = {path.name[:8] for path in segments(self._journal)}
        for seq, order in orders:
            kept = [later for at, later in orders if at > seq and later.what == WITHHELD and later.cls == order.cls]
            left = order if order.what != WITHHELD else replace(order, keys=(), objects=(), segments=())
            for withheld in kept:
                left = _less(left, withheld.keys, withheld.objects, withheld.segments)
            keys = [key for key in left.keys if self._is_shredded(key)]
            objects = [digest for digest in left.objects if self._places.is_gone(digest)]
            gone = [one for one in left.segments if one.segment[:8] not in there]
            for key in keys:
                self.forget(self._of_key(key, order.target), order.cls)
            for digest in objects:
                self.forget(self._of_object(digest), "content")
            for one in gone:
                self.forget(self._of_segment(one), "decisions")
            self._note(seq, _less(left, keys, objects, gone))

    def _note(self, seq: int, left: Order) -> None:
        self._looks[seq] = self._looks.get(seq, 0) + 1
        with transaction(self._db):
            if left.empty or self._looks[seq] > _MAX_LOOKS:
                self._db.execute("DELETE FROM due WHERE seq = ?", (seq,))
            else:
                self._db.execute("UPDATE due SET change = ? WHERE seq = ?", (msgspec.json.encode(left), seq))

    def _is_shredded(self, key: Key) -> bool:
        line = self._keys.line(key.name)
        return line is None or line.wrapped == SHREDDED

    def _of_key(self, key: Key, target: str) -> Iterator[int]:
        """The calls of the key's session and target until the end of its day. A call that names none has none."""
        filters = Filters(session=key.session, target=target, until=_end_of(key.day))
        without = [fact for fact, value in ((Fact.SESSION, key.session), (Fact.TARGET, target)) if not value]
        numbers = list(self._numbers(filters))
        if not without:
            yield from numbers
            return
        for start in range(0, len(numbers), _AT_ONCE):
            for row in self._indexer.numbered(numbers[start : start + _AT_ONCE]):
                if not row.facts.intersection(without):
                    yield row.n

    def _of_object(self, digest: str) -> Iterator[int]:
        return self._search.having(self._indexer.keys.key(Fact.OBJECT, digest))

    def _of_segment(self, gone: Gone) -> Iterator[int]:
        """The calls of which no line is left."""
        numbers = self._search.between_lines(gone.first, gone.last)
        for start in range(0, len(numbers), _AT_ONCE):
            for row in self._indexer.numbered(numbers[start : start + _AT_ONCE]):
                if row.places[-2] <= int(gone.segment[:8]):
                    yield row.n

    def _numbers(self, filters: Filters) -> Iterator[int]:
        for chunk, bits in self._search.sets(filters):
            yield from ((chunk << SHIFT) + member for member in newest_first(bits))

    def _merge(self, step: int) -> None:
        """What was taken out of the words' index stays in its pages until all of them are merged: one step at a time.

        The first step, with a negative number, puts all of them on one level; those after it go on with that.
        """
        db = self._indexer.words.fts5
        before = db.total_changes
        with transaction(db):
            pages = -_PAGES if step == _BEGIN else _PAGES
            db.execute("INSERT INTO words (words, rank) VALUES ('merge', ?)", (pages,))
            done = db.total_changes - before < 2
            db.execute(_SET_MERGING, (_DONE if done else _GO_ON,))
        if done:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _end_of(day: str) -> str:
    """The first moment after a UTC date."""
    return moment(f"{date.fromisoformat(day) + timedelta(days=1)}")


def _strip(row: Row, cls: str) -> None:
    if cls == "metadata":
        row.keys = {key for key in row.keys if fact_of(key) not in METADATA}
        return
    row.text = b""
    row.keys = set() if cls == "decisions" else {key for key in row.keys if fact_of(key) not in _OF_CONTENT}


def _less(order: Order, keys: Collection[Key], objects: Collection[str], gone: Collection[Gone]) -> Order:
    return replace(
        order,
        keys=tuple(key for key in order.keys if key not in keys),
        objects=tuple(digest for digest in order.objects if digest not in objects),
        segments=tuple(one for one in order.segments if one not in gone),
    )
