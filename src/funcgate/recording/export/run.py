"""One export: a range of the journal, oldest first, in a format, to a place; interrupted anywhere, it goes on from there.

The range is fixed when it begins, so that going on gives what would have come without the interruption.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from funcgate.core.entry import Entry
from funcgate.recording.calls import CallRecord
from funcgate.recording.filters import Filters, matcher
from funcgate.recording.folder import Damaged, Line, lines, open_segment, segments
from funcgate.recording.reader import read_line

from .cursor import Cursor, Unfit, digest_of
from .formats import FORMATS, Format
from .places import Place
from .units import Calls, Lines, Open, Unit, Units

Progress = Callable[[int, int], None]  # lines read, of how many
_EVERY = 1000


class Wanted(Struct, frozen=True, kw_only=True):
    """What to export. `options` is what was asked for in words: going on needs the same words."""

    format: str
    filters: Filters
    options: Mapping[str, str]


class Exported(Struct, frozen=True, kw_only=True):
    """What has been written: `rows` calls or entries up to the line `through`. `lost` counts what of their content could not
    be had, by why: ``expired``, ``missing``, ``altered``, ``locked``."""

    rows: int
    bytes: int
    sha256: str
    through: int
    lost: Mapping[str, int]


class Export:
    """Made, then run once. Making it claims the place, and raises `Unfit`, `Unavailable` or `ValueError` before any output."""

    def __init__(self, journal: Path, wanted: Wanted, place: Place, *, resume: bool, opened: Open) -> None:
        make = FORMATS.get(wanted.format)
        if make is None:
            raise Unfit(f"there is no format {wanted.format!r}: jsonl, csv, cef, ocsf or parquet")
        make()  # a library that is missing is told first
        matcher(wanted.filters)
        options = digest_of(wanted.options)
        cursor = place.found()
        if cursor is not None and not resume:
            raise Unfit("an export to there was interrupted: continue it with --resume, or choose another name")
        if cursor is not None and cursor.options != options:
            raise Unfit("the export that was interrupted had other options: give the same ones, or choose another name")
        self.resumed = cursor is not None
        self._anew = cursor is None or not cursor.bytes or not (make().appends or place.in_parts)
        if cursor is None:
            cursor = Cursor(options=options, filters=wanted.filters, through=_last_seq(journal))
        elif self._anew:
            cursor = Cursor(options=options, filters=cursor.filters, through=cursor.through)
        self._journal = journal
        self._cursor = cursor
        self._make = make
        self._form: Format | None = None
        self._place = place
        self._opened = opened
        self._pending = 0
        self._lines = _chooses_no_calls(cursor.filters) and wanted.format == "jsonl"

    def run(self, damaged: Damaged, progress: Progress) -> Exported:
        """Raises `OSError`, and `Unfit` when what is there is not what was written."""
        cursor, place = self._cursor, self._place
        try:
            place.begin(cursor, anew=self._anew)
            if not self._anew and not place.in_parts:
                self._form = self._make()  # its header stands there already
            for unit, low in self._units(damaged, progress):
                self._write(unit, low)
            self._end_part(whole=True)
            place.finish(cursor)
        finally:
            place.close()
        return Exported(
            rows=cursor.rows, bytes=cursor.bytes, sha256=cursor.sha256, through=cursor.through, lost=cursor.lost
        )

    def _write(self, unit: Unit, low: int) -> None:
        cursor, place = self._cursor, self._place
        if self._form is None:
            self._form = self._make()
            place.add(self._form.header())
        row = self._form.row(unit.what)
        place.add(row)
        self._pending += len(row)
        cursor.rows += 1
        for lost in unit.lost:
            cursor.lost[lost.why] = cursor.lost.get(lost.why, 0) + 1
        cursor.seq, cursor.nth, cursor.low = unit.seq, unit.nth, low
        if place.step_bytes and self._pending >= place.step_bytes and (self._form.appends or place.in_parts):
            self._end_part(whole=False)
            place.settle(cursor)

    def _end_part(self, *, whole: bool) -> None:
        self._pending = 0
        if whole or self._place.in_parts:
            if self._form is None:
                if self._cursor.parts:
                    return
                self._form = self._make()
                self._place.add(self._form.header())
            self._place.add(self._form.footer())
            self._form = None

    # -- what is chosen

    def _units(self, damaged: Damaged, progress: Progress) -> Iterator[tuple[Unit, int]]:
        """The units still to write, each with the line to come back to behind it."""
        cursor, filters = self._cursor, self._cursor.filters
        units = self._gathering()
        wanted = matcher(filters)
        done = (cursor.seq, cursor.nth)
        for unit in self._all(units, damaged, progress):
            if (unit.seq, unit.nth) > done and (
                wanted(unit.what) if isinstance(unit.what, CallRecord) else _within(unit.what, filters)
            ):
                yield unit, units.low

    def _gathering(self) -> Units:
        form, filters = self._make(), self._cursor.filters
        if self._lines:
            return Lines(self._opened)
        admin = form.admin and _chooses_no_calls(filters)
        return Calls(self._opened, content=form.content or bool(filters.text), admin=admin, bounded=bool(filters.since))

    def _all(self, units: Units, damaged: Damaged, progress: Progress) -> Iterator[Unit]:
        cursor = self._cursor
        start = _start(self._journal, cursor.filters.since, cursor.low)
        total = max(1, cursor.through - start)
        for line in lines(self._journal, after=start, damaged=damaged):
            if line.seq > cursor.through or self._is_past(line, units):
                break
            entry = read_line(line)
            if entry is None:
                damaged(line.segment)
            else:
                yield from units.take(entry)
            if line.seq % _EVERY == 0:
                progress(line.seq - start, total)
        progress(total, total)
        yield from units.rest(cursor.through)

    def _is_past(self, line: Line, units: Units) -> bool:
        """Behind the range, with no call left open that began in it."""
        until = self._cursor.filters.until
        return bool(until) and line.at.decode() >= until and units.low >= line.seq - 1


def _chooses_no_calls(filters: Filters) -> bool:
    """Whether nothing is chosen but a time: then every line is in."""
    return filters == Filters(since=filters.since, until=filters.until)


def _within(entry: Entry, filters: Filters) -> bool:
    return (not filters.since or entry.at >= filters.since) and (not filters.until or entry.at < filters.until)


def _last_seq(journal: Path) -> int:
    return next((line.seq for line in lines(journal, newest_first=True)), 0)


def _start(journal: Path, since: str, low: int) -> int:
    """The `seq` before the head of the last segment that begins before `since`, and not behind `low`.

    Always a head: it names the calls that were open then.
    """
    start = 0
    for path in segments(journal):
        head = _head(journal, path.name)
        if head is None:
            continue
        seq, at = head
        if start and (seq > low + 1 if low else not since or at >= since):
            break
        start = seq
    return max(0, start - 1)


def _head(journal: Path, name: str) -> tuple[int, str] | None:
    try:
        with open_segment(journal, name) as file:
            raw = file.readline()
    except FileNotFoundError:
        return None
    entry = read_line(Line(0, b"", raw.rstrip(b"\n"), name, 0))
    return None if entry is None else (entry.seq, entry.at)
