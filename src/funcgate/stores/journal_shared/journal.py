"""The journal as a worker has it: entries go to the process that keeps the journal, a parcel of them at a time.

An append is done when that process says so, which is when the lines are on its disk (`always`), or at once while less than half
of the queue is under way (`interval`). It refuses to go on when it does not know what state the journal is in. What becomes of
a worker that loses the other process is not decided here: it ends.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from funcgate.core.entry import Drawn, Entry, Kind, whole
from funcgate.core.ids import mark as mark_names
from funcgate.core.native import half
from funcgate.core.refusal import Code, Refused
from funcgate.stores.journal_files.kept import thin
from funcgate.stores.journal_files.state import State, Status
from funcgate.stores.parcels import HEAD
from funcgate.stores.told import Written, told_of, written_of

from .outbox import Outbox

LAG_S = 0.005
_ARRIVED, _DENIED = Kind.ARRIVED, Kind.DENIED
_native = half("funcgate.stores.journal_shared._outbox")
_Outbox: type[Outbox] = Outbox if _native is None else _native.Outbox


class _Sent(Struct):
    """A parcel that was not answered yet. `waiters` are by group; None where nobody waits."""

    number: int
    entries: int
    size: int
    waiters: dict[int, asyncio.Future[None]]


class SharedJournal:
    """`core.ports.Journal`. Made in a running loop; `send` takes a parcel on its way, `on_written` and `on_state` what comes
    back. `max_queue` entries and `max_queue_bytes` may be under way; more are refused. `named` gets the mark that the names of
    all calls have to have from then on."""

    def __init__(
        self,
        send: Callable[[bytes | bytearray], None],
        *,
        sync: Literal["always", "interval"] = "always",
        max_queue: int = 20_000,
        max_queue_bytes: int = 64 << 20,
        named: Callable[[str], None] = mark_names,
    ) -> None:
        self._send = send
        self._max_queue = max_queue
        self._max_queue_bytes = max_queue_bytes
        self._named = named
        self._mark = ""
        self._loop = asyncio.get_running_loop()
        self._out = _Outbox(self, self._loop, sync == "interval", max_queue, max_queue_bytes)
        self.append, self.note = self._out.append, self._out.note
        self._status = Status(State.NEW, "nothing was heard of the journal yet")
        self._number = 1  # of the parcel that is filled
        self._sent: deque[_Sent] = deque()
        self._held: list[asyncio.Future[None]] = []  # who waits, in `interval`, until less is under way
        self._early: dict[int, Written] = {}  # answers that came before those of earlier parcels
        self._lost = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def status(self) -> Status:
        return self._status

    @property
    def depth(self) -> int:
        """Entries that are under way."""
        return self._out.depth

    @property
    def lost(self) -> int:
        """Notes dropped because too many were under way."""
        return self._lost

    def push(self) -> None:
        """Send what was given so far, now."""
        out = self._out
        if not out.groups:
            return
        parcel, waiters = out.parcel, out.waiters
        HEAD.pack_into(parcel, 0, self._number, bool(waiters))
        self._sent.append(_Sent(self._number, out.entries, len(parcel), waiters))
        self._number += 1
        out.empty()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            out.armed = False
        self._send(parcel)

    async def flush(self) -> None:
        """Wait until everything given so far is durable, or kept. Raises `Refused(journal.unavailable)` if the disk fails."""
        if self._status.state is State.FAILED:
            self._refuse()
        if not self._sent and not self._out.groups:
            return
        waiter = self._loop.create_future()
        if self._out.groups or not self._over_twice():
            self._out.add((), waiter)
        else:  # one parcel more than may be under way, even an empty one, would end this worker
            self._sent[-1].waiters[-1 - len(self._sent[-1].waiters)] = waiter
        await waiter

    async def close(self) -> None:
        """Send what is left and wait for it. Afterwards every append is refused."""
        if self._status.state is State.CLOSED:
            return
        with contextlib.suppress(Refused):
            await self.flush()
        self._turn(Status(State.CLOSED, "closed"))

    # -- what the other process says

    def on_state(self, payload: bytes) -> None:
        """The state that the journal is in. The first time: as what this worker's calls are known, too."""
        told = told_of(payload)
        if told.mark and told.mark != self._mark:
            self._mark = told.mark
            self._named(told.mark)
        if self._status.state is not State.CLOSED:
            self._turn(Status(State(told.state), told.reason))

    def on_written(self, payload: bytes) -> None:
        """Parcels that are on the disk, or were refused in part. They are answered in any order, and taken in theirs."""
        for written in written_of(payload):
            self._early[written.parcel] = written
        while self._sent and (found := self._early.pop(self._sent[0].number, None)) is not None:
            self._answered(self._sent.popleft(), found)
        if self._held and self._out.has_room():
            self._let_go()

    def _answered(self, sent: _Sent, written: Written) -> None:
        self._out.depth -= sent.entries
        self._out.bytes -= sent.size
        refused = {no.group: Refused(Code(no.code), private_detail=no.detail) for no in written.refused}
        for group, waiter in sent.waiters.items():
            if waiter.done():
                continue
            if group in refused:
                waiter.set_exception(refused[group])
            else:
                waiter.set_result(None)

    # -- what the outbox asks

    def hold(self) -> asyncio.Future[None]:
        held = self._loop.create_future()
        self._held.append(held)
        return held

    def thinned(self, entries: tuple[Entry | Drawn, ...]) -> tuple[Entry, ...]:
        """The notes without their bodies, none of them at twice the limits."""
        if self._over_twice():
            self._lost += len(entries)
            return ()
        return tuple(thin(entry) for entry in map(whole, entries))

    def overloaded(self) -> None:
        raise Refused(Code.JOURNAL_OVERLOADED, private_detail=f"{self._out.depth} entries wait for the disk")

    def judge(self, entries: tuple[Entry | Drawn, ...]) -> None:
        """As the journal itself would, by what is known here of its state."""
        kinds = {entry.kind for entry in entries}
        if self._status.state is not State.LOW or (_DENIED not in kinds and _ARRIVED in kinds):
            self._refuse()

    def arm(self) -> None:
        self._out.armed = True
        self._timer = self._loop.call_later(LAG_S, self._tick)

    def turn(self) -> None:
        self._out.due = True
        self._loop.call_soon(self._turn_over)

    def _turn_over(self) -> None:
        self._out.due = False
        self.push()

    def _tick(self) -> None:
        self._timer = None
        self._out.armed = False
        self.push()

    def _over_twice(self) -> bool:
        out = self._out
        return out.depth > 2 * self._max_queue or out.bytes > 2 * self._max_queue_bytes

    def _let_go(self) -> None:
        held, self._held = self._held, []
        for waiter in held:
            if not waiter.done():
                waiter.set_result(None)

    # -- states

    def _refuse(self) -> None:
        raise Refused(Code.JOURNAL_UNAVAILABLE, private_detail=self._status.reason)

    def _turn(self, status: Status) -> None:
        self._status = status
        self._out.healthy = status.healthy
        if not status.healthy:
            self._let_go()  # what they gave is under way, and will be kept: the next that they give is refused
