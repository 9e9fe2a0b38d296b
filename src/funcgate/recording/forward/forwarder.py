"""One destination's chore: what has ended goes out in bounded batches, and the cursor moves once it is there.

A destination that is down fails the chore, which is tried again later. One that refuses a single event gets the others.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from funcgate.core.entry import Entry
from funcgate.recording.calls import CallRecord
from funcgate.recording.chore import ChoreFailed
from funcgate.recording.contents import Opener
from funcgate.recording.export.units import Calls, Unit, without_content
from funcgate.recording.folder import Line
from funcgate.recording.reader import read_line

from .destination import MAX_EVENT_BYTES, Destination, Message, Partly, Unreachable, Unwanted
from .events import id_of
from .place import Aside, Cursor, Place

MAX_REFUSED_IN_A_ROW = 100
SET_ASIDE = "set_aside"
CLOSING_S = 0.4

Ask = Callable[[Mapping[str, Any]], None]


class Waiting(NamedTuple):
    message: Message
    cursor: Cursor  # once this one is there


class Forwarder:
    """A `Chore`. `content` says that arguments and answers go too; `ask` records what had to be set aside."""

    def __init__(
        self, name: str, data_dir: Path, destination: Destination, opener: Opener, *, content: bool, ask: Ask
    ) -> None:
        self.name = f"forward-{name}"
        self._destination = destination
        self._opener = opener
        self._place = Place(data_dir, name)
        self._ask = ask
        self._units = Calls(opener.look, content=content, admin=True)
        self._saved = self._done = self._place.load()
        self._seen = self._done.low
        self._waiting: deque[Waiting] = deque()
        self._sent: deque[Waiting] = deque()  # and not confirmed
        self._refused: list[Aside] = []
        self._aside = 0  # since the start
        self._in_a_row = 0
        self._not_before = 0.0

    @property
    def position(self) -> int:
        return self._saved.low

    @property
    def complaint(self) -> str:
        return f"{self._aside} events were set aside, see forward/{self._place.aside.name}" if self._aside else ""

    def take(self, lines: Sequence[Line]) -> None:
        self._flush()  # what was left when the destination failed
        for line in lines:
            if line.seq <= self._seen:
                continue
            self._take(line)
            if self._is_full():
                self._flush()
        self._flush()

    def tick(self) -> None:
        self._reach(self._destination.tick)
        self._settle()
        if not self._waiting and not self._sent:
            # Nothing to send: lines that began calls, or were no news to anybody, are dealt with too.
            self._done = Cursor(seq=self._done.seq, nth=self._done.nth, low=max(self._done.low, self._units.low))
        self._save()
        self._tell()

    def close(self) -> None:
        try:
            self._reach(lambda: self._destination.confirm(CLOSING_S))
            self._settle()
            self._save()
        except ChoreFailed:
            pass  # some of it is sent once more
        self._destination.close()
        self._opener.close()

    # -- from lines to messages

    def _take(self, line: Line) -> None:
        entry = read_line(line)
        if self._seen and line.seq > self._seen + 1:
            missing = line.seq - self._seen - 1
            why = "these lines cannot be read, or have expired"
            self._set_aside(Aside(seq=self._seen + 1, last=line.seq - 1, count=missing, why=why))
        self._seen = line.seq
        if entry is None:
            self._set_aside(Aside(seq=line.seq, why="the line cannot be read"))
        elif entry.change.get("what") != SET_ASIDE:  # else what is told of a refusal could be refused, and so on
            for unit in self._units.take(entry):
                if (unit.seq, unit.nth) > (self._done.seq, self._done.nth):
                    self._waiting.append(self._prepared(unit))

    def _prepared(self, unit: Unit) -> Waiting:
        data = self._destination.data(unit.what)
        if len(data) > MAX_EVENT_BYTES:
            data = self._destination.data(_slim(unit.what))
        message = Message(id_of(unit.what), unit.what, data)
        return Waiting(message, Cursor(seq=unit.seq, nth=unit.nth, low=self._units.low))

    def _is_full(self) -> bool:
        # The bytes are counted when batches are made; here it is enough that they cannot be many.
        return len(self._waiting) >= self._destination.max_events

    # -- out

    def _flush(self) -> None:
        while self._waiting:
            batch = self._batch()
            self._send(batch)
            self._save()

    def _batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        for one in self._waiting:
            size += len(one.message.data)
            if batch and (len(batch) >= self._destination.max_events or size > self._destination.max_bytes):
                break
            batch.append(one)
        return batch

    def _send(self, batch: list[Waiting]) -> None:
        """The batch is what waits first; afterwards it waits no more."""
        try:
            self._reach(lambda: self._destination.send([one.message for one in batch]))
        except Unwanted as why:
            if len(batch) > 1:
                half = len(batch) // 2
                self._send(batch[:half])
                self._send(batch[half:])
                return
            self._refuse(batch[0], str(why))
        except Partly as partly:
            last = batch[-1].cursor.seq
            self._set_aside(Aside(seq=batch[0].cursor.seq, last=last, count=partly.count, why=str(partly)))
        else:
            self._in_a_row = 0
        for _ in batch:
            self._sent.append(self._waiting.popleft())
        self._settle()

    def _refuse(self, one: Waiting, why: str) -> None:
        self._in_a_row += 1
        if self._in_a_row > MAX_REFUSED_IN_A_ROW:
            # A destination that wants nothing at all: it is the destination that is wrong, not what it is sent.
            self._in_a_row = 0
            raise ChoreFailed(f"{MAX_REFUSED_IN_A_ROW} events in a row were refused: {why}")
        self._set_aside(Aside(seq=one.cursor.seq, id=one.message.id, why=why))

    def _reach(self, work: Callable[[], None]) -> None:
        if monotonic() < self._not_before:
            raise ChoreFailed("the destination asked for a pause")
        try:
            work()
        except Unreachable as why:
            self._not_before = monotonic() + why.pause_s
            self._waiting.extendleft(reversed(self._sent))  # what was not confirmed is sent again
            self._sent.clear()
            raise ChoreFailed(str(why)) from None

    def _settle(self) -> None:
        while len(self._sent) > self._destination.unconfirmed:
            self._done = self._sent.popleft().cursor

    def _save(self) -> None:
        if self._done != self._saved:
            self._place.save(self._done)
            self._saved = self._done

    def _set_aside(self, aside: Aside) -> None:
        self._place.set_aside(aside)
        self._refused.append(aside)
        self._aside += aside.count

    def _tell(self) -> None:
        if self._refused:
            first = self._refused[0]
            change = {"what": SET_ASIDE, "destination": self.name, "count": sum(one.count for one in self._refused)}
            self._ask(change | {"first": first.seq, "why": first.why, "file": self._place.aside.name})
            self._refused.clear()


def _slim(what: CallRecord | Entry) -> CallRecord | Entry:
    """Too large for one event: it goes without its content, or without what was changed; the journal has it."""
    if isinstance(what, Entry):
        brief = dict(_short(what.change))
        return Entry(seq=what.seq, at=what.at, kind=what.kind, call="", outcome=what.outcome, change=brief)
    entries = tuple(map(without_content, what.entries))
    slim = CallRecord(**{name: getattr(what, name) for name in what.__struct_fields__})
    slim.args, slim.body, slim.body_cut, slim.entries = None, None, True, entries
    return slim


def _short(change: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in change.items():
        if isinstance(value, str | int | float | bool):
            yield name, value[:1000] if isinstance(value, str) else value
