"""Another process that writes into this journal: its parcels become lines here, in one order with everybody's.

It trusts nothing that the other process says but what its own calls were. Each parcel is answered once all that it brought is
on the disk, was refused, or waits in this process for the disk to work again.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from funcgate.core.entry import Entry, Kind
from funcgate.core.native import half
from funcgate.core.refusal import Refused
from funcgate.core.reply import Outcome
from funcgate.stores.parcels import MOST_BYTES, Forged, entries_of, groups_of, head_of, judged, stamp, stamp_judged
from funcgate.stores.told import No, Told, Written, encode

from .batch import Batch
from .intake import Intake
from .state import Status

MOST_OPEN = 500_000
_native = half("funcgate.stores._parcels")
_stamp: Callable[[bytearray, bytes, str, int, str, set[str], set[str], list[int]], int] = (
    stamp if _native is None else _native.stamp
)
_OPENS, _ENDED, _ARRIVED = frozenset({Kind.ARRIVED, Kind.ASKED}), Kind.ENDED, Kind.ARRIVED


class House(Protocol):
    """What a guest asks of the journal."""

    def judge(self, entries: tuple[Entry, ...]) -> None:
        """The state is not healthy: raise `Refused` unless the entries may still be written."""

    def keep(self, entries: Iterable[Entry]) -> None:
        """Notes while nothing can be written."""

    def note(self, *entries: Entry) -> None:
        """See `core.ports.Journal`."""

    def arm(self) -> None:
        """The first entry that nobody waits for came in."""

    def gather(self) -> None:
        """Somebody waits and no batch is under way."""

    def leave(self, guest: "Guest") -> None:
        """The guest is gone."""


class Guest:
    """One of them. `written` and `told` send to it; `mark` is in the middle of its calls' names, "" if they may have any.

    An honest one has no more than twice `max_queue` entries or `max_queue_bytes` under way when it sends the next parcel,
    which has at most `most_bytes`.
    """

    def __init__(
        self,
        house: House,
        intake: Intake,
        written: Callable[[bytes], None],
        told: Callable[[bytes], None],
        *,
        mark: str,
        relaxed: bool,
        max_queue: int,
        max_queue_bytes: int,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._house = house
        self._in = intake
        self._written = written
        self._told = told
        self._mark = mark
        self._relaxed = relaxed
        self._max_queue = max_queue
        self._max_queue_bytes = max_queue_bytes
        self._most_bytes = most_bytes
        self._last = 0  # the number of the last parcel
        self._depth = 0  # lines that it has not been answered for
        self._bytes = 0
        self._news: list[Written] = []
        self.open: set[str] = set()  # calls that it began and did not end
        self.here = True

    @property
    def waited_for(self) -> bool:
        """Whether anybody there waits: what a dead process was never told is kept like a note."""
        return self.here and not self._relaxed

    def owns(self, call: str) -> bool:
        """Whether this is a call that it began and did not end."""
        return call in self.open

    def tell(self, status: Status) -> None:
        """What state the journal is in."""
        if self.here:
            self._told(encode(Told(status.state.value, status.reason, self._mark)))

    def take(self, payload: bytes) -> None:
        """A parcel. Raises `Forged` for what no worker of ours sends: then it is to be ended, and `gone` called."""
        number, waits = head_of(payload)
        if not self.here or number != self._last + 1:
            raise Forged("a parcel out of turn")
        # Attack: calls that begin and never end, each kept here and named again at the head of every segment.
        if len(self.open) > MOST_OPEN:
            raise Forged("more open calls than a worker carries")
        # Attack: lines by the gigabyte, sent without a pause, until the memory of the one who keeps the record is gone.
        if self._depth > 2 * self._max_queue or self._bytes > 2 * self._max_queue_bytes:
            raise Forged("more than may be under way")
        # Attack: lines at which the loop looks for minutes, while nobody else's are taken.
        if len(payload) > self._most_bytes:
            raise Forged("a parcel that is larger than any")
        self._last = number
        intake = self._in
        waits = waits and not self._relaxed
        parcel = Parcel(self, number, payload)
        if intake.healthy or (intake.takes_notes and not waits):
            batch, before = intake.next, intake.seq
            at, lines = intake.stamp(), batch.lines
            seq = _stamp(lines, payload, self._mark, before, at, intake.open, self.open, parcel.left)
            if seq < 0:
                parcel.payload = judged(payload, self._mark)
                seq = stamp_judged(lines, parcel.payload, before, at, intake.open, self.open, parcel.left)
            parcel.count = seq - before
            self._begin(parcel)
            intake.seq = seq
            intake.depth += parcel.count
            batch.count += parcel.count
            self._join(parcel, batch, waits)
        else:
            parcel.payload = judged(payload, self._mark)
            self._take_apart(parcel)

    def gone(self) -> int:
        """The other process has ended: close what it left open, as `unknown`; how many those were."""
        if not self.here:
            return 0
        self.here = False
        self._house.leave(self)
        left = sorted(self.open)
        self.open.clear()
        for call in left:
            self._house.note(Entry(kind=_ENDED, call=call, outcome=Outcome.UNKNOWN))
        return len(left)

    # -- where a parcel goes

    def _begin(self, parcel: "Parcel") -> None:
        self._depth += parcel.count
        self._bytes += parcel.size

    def _join(self, parcel: "Parcel", batch: Batch, waits: bool) -> None:
        """Its lines are in the batch, if there are any; else it is answered with the lines before it."""
        intake = self._in
        if not batch.count:
            if intake.flying is None:
                parcel.settle()
                self.answer()
            else:
                intake.flying.parcels.append(parcel)
            return
        batch.parcels.append(parcel)
        if waits:
            batch.appended.append(())
            batch.waiters.append(parcel)
            if intake.flying is None and (not intake.lingering or len(batch.waiters) >= intake.enough):
                self._house.gather()
        elif not intake.armed and intake.flying is None and not batch.waiters:
            self._house.arm()

    def _take_apart(self, parcel: "Parcel") -> None:
        """Group by group, as the journal's state allows."""
        house, intake = self._house, self._in
        groups = parcel.groups
        parcel.count = sum(len(lines) for _, lines in groups)
        parcel.groups_left = len(groups) + 1
        self._begin(parcel)
        for place, (waits, lines) in enumerate(groups):
            entries = self._known(entries_of(lines))
            if self._relaxed or not waits or not entries:
                self._account(entries)
                house.note(*entries)
                parcel.settle_one()
                continue
            try:
                house.judge(entries)
            except Refused as refused:
                parcel.refuse(place, refused)
                continue
            self._account(entries)
            batch = intake.next
            intake.add(entries)
            batch.appended.append(entries)
            batch.waiters.append(Waits(parcel, place, entries))
            if intake.flying is None and not intake.lingering:
                house.gather()
        parcel.settle_one()
        self.answer()

    def _known(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """Without the ends of calls that are not open: whose arrival was refused, that is."""
        begun = {entry.call for entry in entries if entry.kind in _OPENS}
        return tuple([one for one in entries if one.kind is not _ENDED or one.call in self.open or one.call in begun])

    def _account(self, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            if entry.kind in _OPENS:
                self.open.add(entry.call)
            elif entry.kind is _ENDED:
                self.open.discard(entry.call)

    # -- what became of a parcel

    def settled(self, parcel: "Parcel") -> None:
        self._depth -= parcel.count
        self._bytes -= parcel.size
        self._news.append(Written(parcel.number, tuple(parcel.refused)))

    def answer(self) -> None:
        """Tell what became of parcels since the last time."""
        news, self._news = self._news, []
        if news and self.here:
            self._written(encode(tuple(news)))


class Parcel:
    """What a guest sent in one piece. It stands among a batch's waiters, if somebody waits there, but is told as a `Batch`'s
    parcel: so it is always `done`."""

    __slots__ = ("count", "groups_left", "guest", "left", "number", "payload", "refused", "size")

    def __init__(self, guest: Guest, number: int, payload: bytes) -> None:
        self.guest = guest
        self.number = number
        self.payload = payload
        self.size = len(payload)
        self.count = 0  # lines
        self.left: list[int] = []  # which of its lines were left out
        self.groups_left = 0
        self.refused: list[No] = []

    @property
    def groups(self) -> list[tuple[bool, list[bytes]]]:
        """Its groups, without the lines that were left out."""
        found: list[tuple[bool, list[bytes]]] = []
        place, left = 0, set(self.left)
        for waits, lines in groups_of(self.payload):
            found.append((waits, [line for at, line in enumerate(lines, place) if at not in left]))
            place += len(lines)
        return found

    def settle(self) -> None:
        """All of it is written, or kept."""
        self.guest.settled(self)

    def settle_one(self) -> None:
        self.groups_left -= 1
        if not self.groups_left:
            self.settle()

    def refuse(self, place: int, refused: Refused) -> None:
        self.refused.append(No(place, refused.code.value, refused.private_detail))
        self.settle_one()

    def apart(self) -> Iterator[tuple[tuple[Entry, ...], "Waits | None"]]:
        """Its groups as entries, after its batch failed: with who waits, None where nobody does. Each is to be settled; what
        nobody waits for is settled with the next."""
        groups = self.groups
        self.groups_left = len(groups) + 1
        for place, (waits, lines) in enumerate(groups):
            entries = entries_of(lines)
            if waits and self.guest.waited_for:
                yield entries, Waits(self, place, entries)
            else:
                yield entries, None
                self.settle_one()
        self.settle_one()

    def done(self) -> bool:
        return True

    def set_result(self, result: None) -> None: ...

    def set_exception(self, exception: BaseException) -> None: ...


class Waits:
    """Who waits for one group, as a future would."""

    __slots__ = ("_entries", "_parcel", "_place")

    def __init__(self, parcel: Parcel, place: int, entries: tuple[Entry, ...]) -> None:
        self._parcel = parcel
        self._place = place
        self._entries = entries

    @property
    def gone(self) -> bool:
        return not self._parcel.guest.here

    def done(self) -> bool:
        return False

    def set_result(self, result: None) -> None:
        self._parcel.settle_one()
        self._parcel.guest.answer()

    def set_exception(self, exception: BaseException) -> None:
        guest = self._parcel.guest
        guest.open.difference_update([entry.call for entry in self._entries if entry.kind is _ARRIVED])
        if isinstance(exception, Refused):
            self._parcel.refuse(self._place, exception)
        guest.answer()
