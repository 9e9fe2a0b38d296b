"""Reading the record: entries and calls of a journal folder, filtered, newest first, in bounded memory.

A scan from the end, not an index; it reads beside a running gateway and changes nothing.
"""

import heapq
import re
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from funcgate.core.entry import Entry, Kind, decode_line
from funcgate.core.units import parse_time

from .calls import CallRecord, record_of
from .filters import Filters, matcher
from .folder import Damaged, Line, ignore, lines

MAX_PENDING = 10_000
MAX_PENDING_BYTES = 64 << 20
__all__ = [
    "Filters",
    "Open",
    "as_it_is",
    "matcher",
    "moment",
    "read_call",
    "read_calls",
    "read_entries",
    "read_line",
    "with_room",
]
_Read = TypeVar("_Read")
Open = Callable[[Entry], Entry]
_CROCKFORD = {letter: value for value, letter in enumerate("0123456789ABCDEFGHJKMNPQRSTVWXYZ")}
_ROOM = threading.Lock()  # the limit is that of the whole process
_SLACK = timedelta(seconds=5)


def moment(text: str, now: datetime | None = None) -> str:
    """A time as the journal writes it, from RFC 3339 (``2026-11-21T09:30:00Z``), a date (UTC), or how long ago (``15m``).

    Raises `ValueError` that says what is understood.
    """
    try:
        if re.match(r"\d{4}-", text):
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        else:
            at = (now or datetime.now(UTC)) - timedelta(seconds=parse_time(text))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time such as 2026-11-21T09:30:00Z, 2026-11-21 or 15m (ago)") from None
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def as_it_is(entry: Entry) -> Entry:
    """For `opened`, where nothing is encrypted or beside the journal, or where it does not matter."""
    return entry


def read_entries(folder: Path, *, newest_first: bool = False, damaged: Damaged = ignore) -> Iterator[Entry]:
    """Every entry of the journal. `damaged` is told the segment of each line that cannot be read. Raises `OSError`."""
    return _decoded(lines(folder, newest_first=newest_first, damaged=damaged), damaged)


def read_calls(
    folder: Path, filters: Filters, *, damaged: Damaged = ignore, opened: Open = as_it_is
) -> Iterator[CallRecord]:
    """The calls that match, newest first by arrival. `opened` restores what an entry holds elsewhere or encrypted.

    Raises `OSError`, and `ValueError` for a filter that means nothing.

    Calls under way at the same time may come out of order where one was refused before it arrived.
    """
    wanted = matcher(filters)
    gathering = _Gathering(opened)
    if filters.call:
        found = read_call(folder, filters.call, damaged=damaged, opened=opened)
        return iter([found] if found is not None and wanted(found) else [])
    return (record for record in gathering.records(folder, filters.since, damaged) if wanted(record))


def read_call(folder: Path, call: str, *, damaged: Damaged = ignore, opened: Open = as_it_is) -> CallRecord | None:
    """The call of that name, None if the journal has none. Raises `OSError`."""
    needle, arrived = call.encode(), _not_before(call).encode()
    entries: list[Entry] = []
    for line in lines(folder, newest_first=True, damaged=damaged):
        if needle in line.line:
            entry = read_line(line)
            if entry is not None and entry.call == call:
                entries.append(entry)
                if entry.kind is Kind.ARRIVED:
                    break
        if line.at < arrived:
            break  # the name holds the time: nothing older can be of this call
    return record_of(map(opened, reversed(entries))) if entries else None


class _Gathering:
    """Entries from the newest back, until each call is whole: at its arrival, or when it can have none any more.

    A call that was refused before its function was known has no arrival; one whose arrival could not be recorded has none
    either, which shows only when the scan has come to a time before the call.
    """

    def __init__(self, opened: Open) -> None:
        self._opened = opened
        self._pending: dict[str, list[Entry]] = {}
        self._due: list[tuple[int, str, str]] = []
        self._bytes = 0

    def records(self, folder: Path, since: str, damaged: Damaged) -> Iterator[CallRecord]:
        for line in lines(folder, newest_first=True, damaged=damaged):
            if since and line.at.decode() < since:
                break
            entry = read_line(line)
            if entry is None:
                damaged(line.segment)
                continue
            yield from self._overdue(entry.at)
            if entry.call:
                yield from self._take(entry)
        for call, entries in list(self._pending.items()):
            # Stopped at `since`: what has no arrival by now arrived earlier, unless it never arrived.
            if not since or all(entry.kind is Kind.DENIED for entry in entries):
                yield self._finish(call)

    def _take(self, entry: Entry) -> Iterator[CallRecord]:
        pending = self._pending.get(entry.call)
        if pending is None:
            pending = self._pending[entry.call] = []
            arrived = _not_before(entry.call)
            if arrived:
                heapq.heappush(self._due, (-_milliseconds(entry.call), entry.call, arrived))
        pending.append(entry)
        self._bytes += _body_size(entry)
        if entry.kind is Kind.ARRIVED or (entry.kind is Kind.DENIED and not entry.function):
            yield self._finish(entry.call)
        elif len(self._pending) > MAX_PENDING or self._bytes > MAX_PENDING_BYTES:
            yield self._finish(next(iter(self._pending)))

    def _overdue(self, at: str) -> Iterator[CallRecord]:
        while self._due and (at < self._due[0][2] or self._due[0][1] not in self._pending):
            call = heapq.heappop(self._due)[1]
            if call in self._pending:
                yield self._finish(call)

    def _finish(self, call: str) -> CallRecord:
        entries = self._pending.pop(call)
        self._bytes -= sum(map(_body_size, entries))
        return record_of(map(self._opened, reversed(entries)))


def _decoded(found: Iterator[Line], damaged: Damaged) -> Iterator[Entry]:
    for line in found:
        entry = read_line(line)
        if entry is None:
            damaged(line.segment)
        else:
            yield entry


def read_line(line: Line) -> Entry | None:
    """The entry on a line, None if it cannot be read."""
    try:
        return with_room(decode_line, line.line)
    except (msgspec.MsgspecError, RecursionError):
        return None


def with_room(decode: Callable[[bytes], _Read], raw: bytes) -> _Read:
    """What `decode` makes of the bytes. Raises what it raises."""
    try:
        return decode(raw)
    except RecursionError:
        pass
    # Attack: an answer nested so deeply that its line can be written but not read. There is room: read it with more.
    with _ROOM:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + 5000)
        try:
            return decode(raw)
        finally:
            sys.setrecursionlimit(limit)


def _milliseconds(call: str) -> int:
    """The time in a call's name (core/ids.py), Unix milliseconds; -1 for a name of another kind."""
    if len(call) != 26 or any(letter not in _CROCKFORD for letter in call[:10]):
        return -1
    value = 0
    for letter in call[:10]:
        value = value << 5 | _CROCKFORD[letter]
    return value


def _not_before(call: str) -> str:
    """The earliest time that an entry of the call can bear, with some slack; "" if the name does not tell."""
    milliseconds = _milliseconds(call)
    if not 0 <= milliseconds < 1 << 43:
        return ""
    return moment((datetime.fromtimestamp(milliseconds / 1000, UTC) - _SLACK).isoformat())


def _body_size(entry: Entry) -> int:
    body = entry.body
    return 0 if body is None else len(body) if isinstance(body, str) else len(bytes(body))
