"""Lines of the journal into calls: those that the index does not hold yet, and those that it does. Writes nothing."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from funcgate.core.entry import Kind
from funcgate.recording.folder import Line
from funcgate.recording.reader import Open, with_room

from . import fresh
from .admin import admin_rows
from .fold import Fold, Row
from .fresh import Fresh
from .keys import Keys
from .parts import Parts
from .seen import Seen, decode, filled, whole_entry

_ADMIN = Kind.ADMIN.value
Stored = Callable[[set[str]], dict[str, Row]]


class Gathered(NamedTuple):
    """`fresh` by their numbers, which go on from those of the index; `rows` of the index with what they get more."""

    fresh: list[Fresh]
    rows: list[Row]
    admin: list[tuple[Any, ...]]


class Gathering:
    """For one index. `stored` gives its rows of these calls, `opened` entries with what is encrypted or kept elsewhere."""

    def __init__(self, keys: Keys, stored: Stored, opened: Open, *, text: bool) -> None:
        self.half: Any = fresh.NATIVE or fresh
        self.parts = Parts(keys, self.half.Part)
        self._fold = Fold(keys, text=text)
        self._stored = stored
        self._opened = opened
        self._text = text

    def gather(self, pieces: Sequence[Sequence[Line]], number: int, *, doubting: bool) -> Gathered:
        """The calls of the lines, which come in some pieces; the first new one gets the number. `doubting`: look for all of
        them in the index, also for those that arrive."""
        calls: dict[str, Fresh] = {}
        doubted: set[str] = set()
        later: list[tuple[Seen, Line]] = []
        admin: list[tuple[Any, ...]] = []
        for lines in pieces:
            self.half.gather(lines, partial(self._seen, admin), doubting, self._text, calls, doubted, later)
        rows = self._stored(doubted) if doubted else {}
        self._take(later, rows, calls)
        return Gathered(self.half.finished(calls, number, self.parts), list(rows.values()), admin)

    def _take(self, later: Sequence[tuple[Seen, Line]], rows: dict[str, Row], calls: dict[str, Fresh]) -> None:
        for seen, line in later:
            row = rows.get(seen.call)
            if row is not None:
                self._fold.add(row, seen, line)
                self.parts.note(seen.function, seen.code)
                continue
            one = calls.get(seen.call)
            if one is None:
                one = calls[seen.call] = self.half.Fresh(seen, line.seq)
            one.add(seen, int(line.segment[:8]), line.offset, self._text)
        for row in rows.values():
            self._fold.finish(row)

    def _seen(self, admin: list[tuple[Any, ...]], line: Line) -> Seen | None:
        """What a line tells of its call; None for one that tells nothing. An administrator's deed goes into `admin`."""
        try:
            seen = decode(line.line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if (again := self._read(line)) is None:
                return None
            seen = again
        if seen.sealed or seen.object or seen.args_object:
            if (opened := self._filled(seen, line)) is None:
                return None
            seen = opened
        if seen.kind == _ADMIN:
            admin += admin_rows(line)
        return seen if seen.call else None

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
