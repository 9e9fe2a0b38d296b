"""What is passed on: whole calls, put together as the journal goes forwards, and what administrators did.

It holds the calls that are open, within limits. It reads no file, and knows no format and no destination.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from funcgate.core.entry import Entry, Kind, Sealed
from funcgate.recording.calls import CallRecord, record_of
from funcgate.recording.contents import Lost, Opened

Open = Callable[[Entry], Opened]

MAX_OPEN = 20_000
MAX_OPEN_BYTES = 64 << 20
_ENTRY_BYTES = 500  # an entry without its content, roughly


class Unit(NamedTuple):
    """One thing to pass on. `seq` is the line that made it whole, `nth` counts those that the same line made whole.

    `lost` is what of its content could not be had.
    """

    seq: int
    nth: int
    what: CallRecord | Entry
    lost: tuple[Lost, ...] = ()


class Units(Protocol):
    """Entries in, in the order of the journal; units out."""

    def take(self, entry: Entry) -> Iterator[Unit]: ...

    def rest(self, seq: int) -> Iterator[Unit]:
        """What is not whole and will not be: the last line of the range, `seq`, has been taken."""
        ...

    @property
    def low(self) -> int:
        """From the line behind this `seq` on, everything that is not passed on yet can be had again."""
        ...


class Lines:
    """Each entry as it stands."""

    def __init__(self, opened: Open) -> None:
        self.low = 0
        self._opened = opened

    def take(self, entry: Entry) -> Iterator[Unit]:
        self.low = entry.seq
        opened, lost = self._opened(entry)
        yield Unit(entry.seq, 0, opened, lost)

    def rest(self, seq: int) -> Iterator[Unit]:
        return iter(())


class Calls:
    """Each call when it has ended, and if `admin` each act of an administrator, or of an approver when the call had ended.

    Without `content` no arguments and no bodies are kept. `admin` leaves out what the journal writes for itself at the head
    of a segment. With `bounded`, calls that were open when the first segment began are not told: they are not in the range.
    """

    def __init__(self, opened: Open, *, content: bool, admin: bool, bounded: bool = False) -> None:
        self._opened = opened
        self._content = content
        self._admin = admin
        self._foreign: set[str] | None = None if bounded else set()
        self._open: dict[str, list[Entry]] = {}
        self._bytes = 0
        self._seen = 0

    @property
    def low(self) -> int:
        oldest = next(iter(self._open.values()), None)
        return self._seen if oldest is None else oldest[0].seq - 1

    def take(self, entry: Entry) -> Iterator[Unit]:
        self._seen = entry.seq
        if entry.kind is Kind.ADMIN:
            if self._foreign is None:
                self._foreign = set(entry.change.get("open", ()))
            if self._admin and "segment" not in entry.change:
                yield Unit(entry.seq, 0, entry)
        elif entry.kind is Kind.ANSWERED and entry.call not in self._open:
            # An approver who takes longer than the call waits: an act of its own.
            if self._admin:
                yield Unit(entry.seq, 0, *self._opened(entry))
        elif not self._foreign or entry.call not in self._foreign:
            for nth, (what, lost) in enumerate(self._of_call(entry)):
                yield Unit(entry.seq, nth, what, lost)

    def rest(self, seq: int) -> Iterator[Unit]:
        for nth, call in enumerate(list(self._open)):
            yield Unit(seq + 1, nth, *self._finish(call))

    def _of_call(self, entry: Entry) -> Iterator[tuple[CallRecord, tuple[Lost, ...]]]:
        if not self._content:
            entry = without_content(entry)
        known = self._open.get(entry.call)
        if known is None:
            known = self._open[entry.call] = []
        known.append(entry)
        self._bytes += _size(entry)
        # A refusal without an arrival is all there is of its call.
        if entry.kind is Kind.ENDED or (entry.kind is Kind.DENIED and len(known) == 1):
            yield self._finish(entry.call)
        elif self._bytes > MAX_OPEN_BYTES or len(self._open) > MAX_OPEN:
            yield from self._shrink()

    def _shrink(self) -> Iterator[tuple[CallRecord, tuple[Lost, ...]]]:
        """Attack: many answers that never end, to fill the memory. Bodies go first, then the oldest calls go as they are."""
        for entries in self._open.values():
            for at, entry in enumerate(entries):
                if _size(entry) > _ENTRY_BYTES:
                    entries[at] = less = replace(without_content(entry), body_cut=True)
                    self._bytes -= _size(entry) - _size(less)
        while self._bytes > MAX_OPEN_BYTES or len(self._open) > MAX_OPEN:
            yield self._finish(next(iter(self._open)))

    def _finish(self, call: str) -> tuple[CallRecord, tuple[Lost, ...]]:
        entries = self._open.pop(call)
        self._bytes -= sum(map(_size, entries))
        opened = [self._opened(entry) for entry in entries]
        record = record_of(one.entry for one in opened)
        record.body_cut &= self._content  # else nothing of it is meant to be here
        return record, tuple(lost for one in opened for lost in one.lost)


def without_content(entry: Entry) -> Entry:
    """The entry without arguments and body, wherever they are."""
    sealed = entry.sealed
    if sealed is not None:
        sealed = Sealed(meta=sealed.meta, meta_key=sealed.meta_key) if sealed.meta else None
    return replace(entry, args=None, body=None, object="", args_object="", where="", object_bytes=0, sealed=sealed)


def _size(entry: Entry) -> int:
    """What it takes to hold it, roughly."""
    args = 0 if entry.args is None else len(bytes(entry.args))
    body = entry.body
    sealed = 0 if entry.sealed is None else len(entry.sealed.content)
    return (
        _ENTRY_BYTES + sealed + args + (0 if body is None else len(body) if isinstance(body, str) else len(bytes(body)))
    )
