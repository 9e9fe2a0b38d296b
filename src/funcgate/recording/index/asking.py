"""Asking the record by its index: the index finds, the journal tells, and what it tells is held against the question."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from funcgate.core.crc import crc_holds
from funcgate.core.entry import Entry, Kind, decode_line
from funcgate.recording.calls import CallRecord, record_of
from funcgate.recording.filters import Filters, matcher
from funcgate.recording.folder import Damaged, ignore, lines, open_segment
from funcgate.recording.reader import Open, as_it_is, with_room

from .database import NAME, Locked, Unfit, connect, last_of, locked, meta
from .fold import microseconds, places_of
from .following import Progress, catch_up, open_indexer
from .keys import Keys
from .people import Caller, callers_in, most_first, tallies
from .search import Hit, Search, cursor_after

PATIENCE_S = 2.0
_OPEN_SEGMENTS = 32


class Page(Struct, frozen=True):
    """Calls, newest first; where the next page begins, "" if there is none."""

    calls: list[CallRecord]
    cursor: str = ""


class Unsearchable(Exception):
    """This question cannot be put to this index. Its text says why; the journal can be read instead."""


class Answers:
    """Reads one index. To be closed. Raises `FileNotFoundError` if there is none, and `Unfit`."""

    def __init__(
        self, data_dir: Path, *, secret: bytes = b"", opened: Open = as_it_is, damaged: Damaged = ignore
    ) -> None:
        self._journal = data_dir / "journal"
        self.db = connect(data_dir / NAME, writing=False)
        self._keys = keys = Keys(secret)
        if meta(self.db, "check") != keys.check():
            self.db.close()
            raise Unsearchable("the index is keyed by another key than the configured one")
        self.search = Search(self.db, keys)
        self._tell = _Telling(self._journal, opened, damaged)

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *_: object) -> None:
        self._tell.close()
        self.db.close()

    @property
    def position(self) -> int:
        """The last line that is in the index."""
        return last_of(self.db).seq

    def page(self, filters: Filters, limit: int = 50, cursor: str = "") -> Page:
        """At most `limit` calls. Raises `ValueError` for a filter or cursor that means nothing, `Unsearchable`, `OSError`."""
        found = list(islice(self.calls(filters, cursor), limit + 1))
        if len(found) <= limit:
            return Page([record for _, record in found])
        return Page([record for _, record in found[:limit]], cursor_after(found[limit - 1][0]))

    def calls(self, filters: Filters, cursor: str = "") -> Iterator[tuple[Hit, CallRecord]]:
        """The calls that match, one by one. Raises like `page`."""
        matches = matcher(filters)
        if filters.text and not meta(self.db, "text"):
            raise Unsearchable("the index holds no text (index.text is off)")
        return self._calls(self.search.hits(filters, cursor), matches)

    def _calls(self, hits: Iterator[Hit], matches: Callable[[CallRecord], bool]) -> Iterator[tuple[Hit, CallRecord]]:
        with self._one_state():
            for hit in hits:
                record = self._tell.record(hit)
                # Attack: a session named so that its hash is that of another one. Only what the journal says counts.
                if record is not None and matches(record):
                    yield hit, record

    def record(self, call: str) -> CallRecord | None:
        """The call of that name, None if the index has none."""
        found = next(iter(self.calls(Filters(call=call))), None)
        return None if found is None else found[1]

    def callers(self, filters: Filters) -> list[Caller]:
        """Who made the calls that match, most calls first. Counted in the index, which is exact but for two principals of
        one hash. Raises like `page`."""
        if filters.text or filters.call:
            return callers_in(record for _, record in self.calls(filters))
        matcher(filters)
        with self._one_state():
            return most_first(
                tally.caller(self._numbered(tally.oldest), self._numbered(tally.newest))
                for tally in tallies(self.search, self._keys, filters)
            )

    def changes(self, since: str = "", until: str = "") -> Iterator[Entry]:
        """The `admin` entries, newest first, from `since` on and before `until`. Raises `OSError`."""
        low, high = microseconds(since) if since else 0, microseconds(until) if until else 1 << 62
        with self._one_state():
            found = self.db.execute(
                "SELECT place FROM admin WHERE at >= ? AND at < ? ORDER BY seq DESC", (low, high)
            ).fetchall()
        for (place,) in found:
            entry = self._tell.entry(*places_of(place)[0])
            if entry is not None and entry.kind is Kind.ADMIN:
                yield entry

    def _numbered(self, n: int) -> CallRecord | None:
        return next((self._tell.record(hit) for hit in self.search.hits_of([n])), None)

    @contextlib.contextmanager
    def _one_state(self) -> Iterator[None]:
        """One state of the index for the whole answer, and no open transaction behind it."""
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):
                self.db.execute("COMMIT")


class _Telling:
    """Reads the lines of calls by their places, a few segments open at a time."""

    def __init__(self, journal: Path, opened: Open, damaged: Damaged) -> None:
        self._journal = journal
        self._opened = opened
        self._damaged = damaged
        self._files: dict[int, BinaryIO | None] = {}

    def record(self, hit: Hit) -> CallRecord | None:
        entries = [entry for place in hit.places if (entry := self.entry(*place, hit.call)) is not None]
        return record_of(entries) if entries else None

    def close(self) -> None:
        for file in self._files.values():
            if file is not None:
                file.close()
        self._files.clear()

    def entry(self, segment: int, offset: int, call: str | None = None) -> Entry | None:
        """The entry at a place; None if it has expired, or is not what the index found there."""
        file = self._file(segment)
        if file is None:
            return None  # its segment has expired
        file.seek(offset)
        entry = _entry(file.readline())
        if entry is None or (call is not None and entry.call != call):
            # Attack: a line spoilt by whoever wants its call forgotten. It is told, as the scan tells it.
            self._damaged(f"{segment:08d}.jsonl")
            return None
        return self._opened(entry)

    def _file(self, segment: int) -> BinaryIO | None:
        if segment not in self._files:
            if len(self._files) >= _OPEN_SEGMENTS:
                self.close()
            try:
                self._files[segment] = open_segment(self._journal, segment)
            except FileNotFoundError:
                self._files[segment] = None
        return self._files[segment]


def _entry(raw: bytes) -> Entry | None:
    line = raw.removesuffix(b"\n")
    try:
        return with_room(decode_line, line) if crc_holds(line) is not False else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def bring_up_to_date(
    data_dir: Path, *, secret: bytes = b"", opened: Open = as_it_is, progress: Progress | None = None
) -> int:
    """See to it that the index holds what the journal held at this moment: index it, if nobody else does, or wait for
    whoever does. Returns how many lines are missing still. Raises `OSError`, `sqlite3.Error`, `Unsearchable`."""
    if not secret:
        _refuse_keyed(data_dir)
    end = last_seq(data_dir / "journal")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with locked(data_dir):
                with contextlib.closing(open_indexer(data_dir, secret=secret, opened=opened)) as indexer:
                    catch_up(data_dir / "journal", indexer, progress=progress)
                return 0
        except Locked:
            pass
        missing = end - position(data_dir)
        if missing <= 0 or time.monotonic() > deadline:
            return max(0, missing)
        time.sleep(0.05)


def _refuse_keyed(data_dir: Path) -> None:
    """An index that takes a key is not made anew by whoever has none."""
    try:
        with contextlib.closing(connect(data_dir / NAME, writing=False)) as db:
            keyed = bool(meta(db, "check"))
    except (Unfit, FileNotFoundError):
        return
    if keyed:
        raise Unsearchable(
            "the index is keyed, as the journal is encrypted: --config names the configuration with the key"
        )


def position(data_dir: Path) -> int:
    """The last line that the index holds. Raises `FileNotFoundError`, `Unfit`."""
    with contextlib.closing(connect(data_dir / NAME, writing=False)) as db:
        return last_of(db).seq


def last_seq(journal: Path) -> int:
    """The number of the last line of the journal. Raises `OSError`."""
    return next((line.seq for line in lines(journal, newest_first=True)), 0)
