"""Another process that writes into this journal: its parcels become lines here, in one order with everybody's.

It trusts nothing that the other process says but what its own calls were. Each parcel is answered once all that it brought is
on the disk, was refused, or waits in this process for the disk to work again.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from funcgate.core.entry import Entry, Kind
from funcgate.core.native import half
from funcgate.core.refusal import Refused
from funcgate.core.reply import Outcome
from funcgate.stores.parcels import MOST_BYTES, Forged, entries_of, head_of, judged, stamp, stamp_judged
from funcgate.stores.told import Told, Written, encode

from .batch import Batch
from .intake import Intake
from .parcel import Parcel, Waits
from .state import Status

MOST_OPEN = 500_000
MOST_BARE = 10_000  # parcels under way without a line that is kept: those of `flush`, and of ends that are left out
ANSWERS_S = 0.05  # between two of them, in `interval`
MOST = 1 << 60  # of any limit: so that nothing that is multiplied here grows too large
_parcels = half("funcgate.stores._parcels")
_stamp: Callable[[bytearray, bytes, str, int, str, set[str], set[str], list[int]], int] = (
    stamp if _parcels is None else _parcels.stamp
)
_head_of: Callable[[bytes], tuple[int, bool]] = head_of if _parcels is None else _parcels.head_of
_holds: Callable[[bytes], bool] | None = None if _parcels is None else _parcels.holds
_OPENS, _ENDED = frozenset({Kind.ARRIVED, Kind.ASKED}), Kind.ENDED


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
        self._max_queue = min(max_queue, MOST)
        self._max_queue_bytes = min(max_queue_bytes, MOST)
        self._most_bytes = min(most_bytes, MOST)
        self._last = 0  # the number of the last parcel
        self._depth = 0  # lines that it has not been answered for
        self._bytes = 0
        self._bare = 0  # parcels among them that have no lines
        self._news: list[Written] = []
        self._unsaid = 0  # lines, and bytes, that these are about
        self._unsaid_bytes = 0
        self._prompt = False  # somebody waits for one of them
        self._later: asyncio.TimerHandle | None = None
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
        number, waits = _head_of(payload)
        if not self.here or number != self._last + 1:
            raise Forged("a parcel out of turn")
        # Attack: calls that begin and never end, each kept here and named again at the head of every segment.
        if len(self.open) > MOST_OPEN:
            raise Forged("more open calls than a worker carries")
        # Attack: lines by the gigabyte, sent without a pause, until the memory of the one who keeps the record is gone.
        if self._depth > 2 * self._max_queue or self._bytes > 2 * self._max_queue_bytes:
            raise Forged("more than may be under way")
        # Attack: parcels of nothing, each remembered here while the disk is busy, at thirty times its bytes.
        if self._bare > MOST_BARE:
            raise Forged("more parcels without lines than a worker sends")
        # Attack: lines at which the loop looks for minutes, while nobody else's are taken.
        if len(payload) > self._most_bytes:
            raise Forged("a parcel that is larger than any")
        self._last = number
        intake = self._in
        parcel = Parcel(self, number, payload, waits)
        waits = waits and not self._relaxed
        if intake.healthy or (intake.takes_notes and not waits):
            batch, before = intake.next, intake.seq
            at, lines = intake.stamp(), batch.lines
            seq = _stamp(lines, payload, self._mark, before, at, intake.open, self.open, parcel.left)
            if seq < 0:
                parcel.payload = judged(payload, self._mark, _holds)
                seq = stamp_judged(lines, parcel.payload, before, at, intake.open, self.open, parcel.left)
            parcel.count = seq - before
            self._begin(parcel)
            intake.seq = seq
            intake.depth += parcel.count
            batch.count += parcel.count
            self._join(parcel, batch, waits)
        else:
            parcel.payload = judged(payload, self._mark, _holds)
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

    def _begin(self, parcel: Parcel) -> None:
        self._depth += parcel.count
        self._bare += not parcel.count
        self._bytes += parcel.size

    def _join(self, parcel: Parcel, batch: Batch, waits: bool) -> None:
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

    def _take_apart(self, parcel: Parcel) -> None:
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

    def settled(self, parcel: Parcel) -> None:
        self._depth -= parcel.count
        self._bare -= not parcel.count
        self._bytes -= parcel.size
        self._unsaid += parcel.count
        self._unsaid_bytes += parcel.size
        self._prompt = self._prompt or parcel.prompt
        self._news.append(Written(parcel.number, tuple(parcel.refused)))

    def answer(self) -> None:
        """Tell what became of parcels since the last time; where nobody waits for it, a little later, with what comes until then:
        it is soon enough for a worker that counts what is under way."""
        few = 4 * self._unsaid < self._max_queue and 4 * self._unsaid_bytes < self._max_queue_bytes
        if self._relaxed and few and not self._prompt:
            if self._later is None and self._news and self.here:
                self._later = asyncio.get_running_loop().call_later(ANSWERS_S, self._say)
            return
        self._say()

    def _say(self) -> None:
        news, self._news = self._news, []
        self._unsaid = self._unsaid_bytes = 0
        self._prompt = False
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if news and self.here:
            self._written(encode(tuple(news)))


# This text is compiled, too, with types (_guest.pxd).
if (
    not TYPE_CHECKING
    and __name__.endswith(".guest")
    and (_native := half("funcgate.stores.journal_files._guest")) is not None
):
    globals().update(Guest=_native.Guest)
