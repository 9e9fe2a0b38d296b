"""Lines of the journal into calls: those that the index does not hold yet, and those that it does. Writes nothing."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from funcgate.core.entry import Kind
from funcgate.recording.folder import Line
from funcgate.recording.reader import Open, with_room

from .admin import admin_rows
from .fold import Fold, Row
from .fresh import Fresh
from .keys import Keys
from .parts import Parts
from .seen import Seen, decode, filled, whole_entry

_ARRIVED, _ADMIN = Kind.ARRIVED.value, Kind.ADMIN.value
Stored = Callable[[set[str]], dict[str, Row]]


class Gathered(NamedTuple):
    """`fresh` by their numbers, which go on from those of the index; `rows` of the index with what they get more."""

    fresh: list[Fresh]
    rows: list[Row]
    admin: list[tuple[Any, ...]]


class Gathering:
    """For one index. `stored` gives its rows of these calls, `opened` entries with what is encrypted or kept elsewhere."""

    def __init__(self, keys: Keys, stored: Stored, opened: Open, *, text: bool) -> None:
        self.parts = Parts(keys)
        self._fold = Fold(keys, text=text)
        self._stored = stored
        self._opened = opened
        self._text = text

    def gather(self, lines: Sequence[Line], number: int, *, doubting: bool) -> Gathered:
        """The calls of the lines; the first new one gets the number. `doubting`: look for all of them in the index, also for
        those that arrive."""
        fresh: dict[str, Fresh] = {}
        doubted: set[str] = set()
        later: list[tuple[Seen, Line]] = []
        admin: list[tuple[Any, ...]] = []
        text, name, segment = self._text, "", 0
        for line in lines:
            try:
                seen = decode(line.line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                if (again := self._read(line)) is None:
                    continue
                seen = again
            if seen.sealed or seen.object or seen.args_object:
                if (opened := self._filled(seen, line)) is None:
                    continue
                seen = opened
            if seen.kind == _ADMIN:
                admin += admin_rows(line)
            call = seen.call
            if not call:
                continue
            one = fresh.get(call)
            if one is None:
                if seen.kind != _ARRIVED or doubting or call in doubted:
                    doubted.add(call)
                    later.append((seen, line))
                    continue
                one = fresh[call] = Fresh(seen, line.seq)
            if line.segment is not name:
                name, segment = line.segment, int(line.segment[:8])
            one.add(seen, segment, line.offset, text)
        rows = self._stored(doubted) if doubted else {}
        self._take(later, rows, fresh)
        return Gathered(self._finished(fresh, number), list(rows.values()), admin)

    def _take(self, later: Sequence[tuple[Seen, Line]], rows: dict[str, Row], fresh: dict[str, Fresh]) -> None:
        for seen, line in later:
            row = rows.get(seen.call)
            if row is not None:
                self._fold.add(row, seen, line)
                self.parts.note(seen.function, seen.code)
                continue
            one = fresh.get(seen.call)
            if one is None:
                one = fresh[seen.call] = Fresh(seen, line.seq)
            one.add(seen, int(line.segment[:8]), line.offset, self._text)
        for row in rows.values():
            self._fold.finish(row)

    def _finished(self, fresh: dict[str, Fresh], number: int) -> list[Fresh]:
        ordered = sorted(fresh.values(), key=attrgetter("seq"))  # numbers rise with lines: times are found by halving
        for n, one in enumerate(ordered, number):
            one.finish(n, self.parts)
        return ordered

    def _read(self, line: Line) -> Seen | None:
        """None for a line that cannot be read: the scan tells of it, and `verify`."""
        try:
            return with_room(decode, line.line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def _filled(self, seen: Seen, line: Line) -> Seen | None:
        try:
            return filled(seen, self._opened(whole_entry(line)))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
