"""The journal in files: the event loop's side. What it is able to do, what happens when it is not, and who hears of it.

All of it runs on one loop thread; the disk is the writer's (writer.py). It refuses to say "written" before it is, to
write past a failed write, and to start beside another process.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from funcgate.core.entry import Drawn, Entry, Kind, whole
from funcgate.core.ids import new_mark
from funcgate.core.native import half
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome
from funcgate.stores.lines import FORMAT, add_lines
from funcgate.stores.parcels import MOST_BYTES

from .batch import Batch
from .clock import Clock
from .course import Course
from .folder import segment_name
from .guest import Guest
from .intake import Intake
from .kept import Kept, thin
from .opening import Repaired, open_folder, unusable
from .reserve import Reserve
from .state import MOVES, State, Status
from .withdrawal import Group, Withdrawal, is_owed
from .writer import Recovered, Writer

NOTE_LAG_S = 0.02
REPAIRS_AT_ONCE = 500
IN_RESERVE = "the disk is full; refusals and ends go to the reserve"
_HEALTHY, _LOW, _FAILED = State.HEALTHY, State.LOW, State.FAILED
_ENDED = Kind.ENDED
_native = half("funcgate.stores.journal_files._intake")
_Batch: type[Batch] = Batch if _native is None else _native.Batch
_Intake: type[Intake] = Intake if _native is None else _native.Intake
_Course: type[Course] = Course if _native is None else _native.Course


class FileJournal:
    """`core.ports.Journal` over a folder; its `append` and `note` are the intake's. `start` first; `close` last.

    `sync` is ``always`` (an append is done when it is on the disk) or ``interval`` (an append is done at once, and on the
    disk `every_s` seconds later). `at_least` is an entry that is known to be durable, by a signed checkpoint say: a journal
    that ends before it is refused. `reserve_bytes` are kept for refusals on a full disk. `now` is Unix time in seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sync: Literal["always", "interval"] = "always",
        every_s: float = 0.005,
        max_queue: int = 20_000,
        max_queue_bytes: int = 64 << 20,
        segment_bytes: int = 64 << 20,
        min_free_bytes: int = 64 << 20,
        reserve_bytes: int = 0,
        at_least: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._relaxed = sync == "interval"
        self._max_queue = max_queue
        self._segment_bytes = segment_bytes
        self._min_free_bytes = min_free_bytes
        self._reserve = Reserve(folder, reserve_bytes)
        self._spent_at = ""  # when the reserve was given up, if it is missing
        self._at_least = at_least
        self._clock = Clock(now)
        self._in = _Intake(self, self._clock, self._relaxed, max_queue, max_queue_bytes)
        self.append, self.note = self._in.append, self._in.note
        self._course = _Course(self, self._in, self._clock, every_s if self._relaxed else NOTE_LAG_S, segment_bytes)
        self.arm, self.gather, self.on_written = self._course.arm, self._course.gather, self._course.on_written
        self._status = Status(State.NEW, "not started")
        self._state = State.NEW
        self._kept = Kept(max_queue, max_queue_bytes)
        self._guests: set[Guest] = set()
        self._max_queue_bytes = max_queue_bytes
        self._failed_at = ""
        self._lock = -1

    # -- what the operator sees

    @property
    def status(self) -> Status:
        return self._status

    @property
    def depth(self) -> int:
        """Entries that wait for the disk."""
        return self._in.depth + len(self._kept)

    @property
    def durable_seq(self) -> int:
        """The last entry that is on the disk for good; what comes after it may still be withdrawn."""
        return self._course.durable_seq

    @property
    def lost(self) -> int:
        """Notes dropped because too many were waiting for the disk."""
        return self._kept.lost

    # -- from start to close

    async def start(self) -> Repaired:
        """Hold the folder, repair it, close the calls that a crash left open. Raises `Unusable`."""
        self._loop = asyncio.get_running_loop()
        self._in.loop(self._loop)
        opened = await asyncio.to_thread(open_folder, self._folder, self._min_free_bytes, self._reserve, self._at_least)
        found, self._lock = opened.found, opened.lock
        self._in.seq = self._course.durable_seq = found.last_seq
        self._in.open = set(found.open)
        self._clock.not_before(found.last_at)
        if found.length:
            self._course.segment, self._course.size = found.number, found.length
        else:
            self._course.segment = max(found.number - 1, 0)  # a last segment without a line is begun again
        self._writer = Writer(
            self._folder,
            self._course.segment,
            opened.segment,
            self._reserve,
            self._min_free_bytes,
            self._segment_bytes,
            self,
            self._loop,
        )
        self._course.begin(self._loop, self._writer)
        if self._reserve.missing:
            self._spent_at = self._in.stamp()
        self._in.next = self.new_segment() if opened.segment is None else _Batch(self._in.seq + 1)
        self._turn_by_space(opened.low)
        self._writer.start()
        try:
            await self._record(opened.repaired)
        except Refused as refused:
            await self.close()
            raise unusable(self._folder, f"cannot be written: {refused.private_detail}") from None
        return opened.repaired

    async def _record(self, repaired: Repaired) -> None:
        if repaired.cut_bytes or repaired.damaged:
            told = {"segment": segment_name(self._course.segment), "cut_bytes": repaired.cut_bytes}
            change = {"repair": {**told, "saved_as": repaired.saved_as, "damaged": repaired.damaged}}
            self.note(Entry(kind=Kind.ADMIN, call="", change=change))
        step = min(REPAIRS_AT_ONCE, self._max_queue)
        for at in range(0, len(repaired.closed), step):
            for call in repaired.closed[at : at + step]:
                self.note(Entry(kind=Kind.ENDED, call=call, outcome=Outcome.UNKNOWN))
            await self.flush()
        await self.flush()

    async def flush(self) -> None:
        """Wait until everything given so far is durable. Raises `Refused(journal.unavailable)` if the disk fails."""
        if self._state is _FAILED:
            self._refuse()
        batch = self._in.next if self._in.next.count else self._in.flying
        if batch is None:
            return
        waiter = self._loop.create_future()
        batch.appended.append(())
        batch.waiters.append(waiter)
        self._course.hand_over()
        await waiter

    async def close(self) -> None:
        """Write what is queued, end the thread, let the folder go. Afterwards every append is refused."""
        if self._state in (State.NEW, State.CLOSED):
            return
        failed = self._state is _FAILED
        self._turn(State.CLOSED, "closed")
        if not failed:  # should the disk fail now of all times, the next start closes what is open as unknown
            with contextlib.suppress(Refused):
                await self.flush()
        self._stopped = self._loop.create_future()
        self._writer.stop()
        await self._stopped
        self._course.end()
        os.close(self._lock)

    # -- other processes that write into this journal

    def guest(
        self,
        written: Callable[[bytes], None],
        told: Callable[[bytes], None],
        *,
        share: int = 1,
        mark: str | None = None,
        inline_bytes: int = 0,
    ) -> Guest:
        """One of them, of `share` in all. `written` and `told` send to its `on_written` and `on_state`. Each of its calls has
        `mark` in the middle of its name, a new one if None; with "" their names may be any: for tests.
        `inline_bytes` is the most that stays in a line of arguments or of a body."""
        guest = Guest(
            self,
            self._in,
            written,
            told,
            mark=new_mark() if mark is None else mark,
            relaxed=self._relaxed,
            max_queue=max(1, self._max_queue // share),
            max_queue_bytes=max(1, self._max_queue_bytes // share),
            most_bytes=MOST_BYTES + 4 * inline_bytes,
        )
        self._guests.add(guest)
        guest.tell(self._status)
        return guest

    def leave(self, guest: Guest) -> None:
        self._guests.discard(guest)

    def _tell(self) -> None:
        for guest in self._guests:
            guest.tell(self._status)

    # -- batches

    def new_segment(self) -> Batch:
        """An empty batch that begins a segment: it opens with the segment's own line, which names the open calls."""
        course = self._course
        course.segment += 1
        course.size = 0
        batch = _Batch(self._in.seq + 1, course.segment)
        change: dict[str, Any] = {"segment": course.segment, "format": FORMAT}
        if self._in.open:
            change["open"] = sorted(self._in.open)
        header = Entry(kind=Kind.ADMIN, call="", change=change)
        self._in.seq = add_lines(batch.lines, (header,), self._in.seq, self._in.stamp())
        return batch

    def set_back(self) -> None:
        """The clock was: the batch that goes says so."""
        change = {"clock": {"set_back_s": round(self._clock.set_back_s, 3)}}
        self._clock.set_back_s = 0.0
        self._in.add((Entry(kind=Kind.ADMIN, call="", change=change),))

    # -- what the writer reports (on the loop); that a batch is written goes to the course

    def on_space(self, low: bool) -> None:
        if self._state is _HEALTHY or self._state is _LOW:
            self._turn_by_space(low)

    def on_failed(self, batch: Batch | None, reason: str, recovered: Recovered | None = None) -> None:
        """`recovered`: into the reserve, at once. What is owed is then written there instead of being refused."""
        if batch is None and self._in.flying is not None:
            return  # it comes back too, refused
        refused = [self._in.next] if batch is None else [batch, self._in.next]
        self._in.flying = None
        self._in.flying_bytes = self._in.depth = 0
        self._in.seq = refused[0].first_seq - 1
        self._in.next = _Batch(self._in.seq + 1)
        self._failed_at = self._in.stamp()
        # A worker that was told of a failure between its end and this would refuse, and keep no record of its refusals.
        self._turn(_FAILED, reason, tell=recovered is None)
        self._course.leave()
        withdrawal = Withdrawal(reason, self.keep, self._in.open, spends=recovered is not None)
        for each in refused:
            withdrawal.take(each)
        if recovered is not None:
            self.on_recovered(recovered, withdrawal.owed)

    def on_spent(self) -> None:
        self._spent_at = self._in.stamp()
        if self._state is _LOW:
            self._status = Status(_LOW, IN_RESERVE)
            self._tell()

    def on_recovered(self, recovered: Recovered, owed: Sequence[Group] = ()) -> None:
        if self._state is not _FAILED and not owed:  # while it is closed somebody may still wait for the last batch
            return
        outage: dict[str, Any] = {"reason": self._status.reason, "from": self._failed_at}
        if self._kept.lost:
            outage["notes_lost"] = self._kept.lost
        if recovered.void:
            outage["void"] = {"segment": recovered.void, "from_byte": recovered.void_from, "from_seq": self._in.seq + 1}
        self._course.segment = recovered.number
        self._in.next = self.new_segment()
        kept = (Entry(kind=Kind.ADMIN, call="", change={"outage": outage}), *self._kept.take())
        self._in.add(kept)
        self._in.next.note(kept)
        for entries, waiter in owed:
            self._in.add(entries)
            self._in.next.appended.append(entries)
            self._in.next.waiters.append(waiter)
        self._turn_by_space(recovered.low)
        self._course.hand_over()

    def on_stopped(self) -> None:
        self._stopped.set_result(None)

    # -- refusals, and notes that must wait

    def judge(self, entries: tuple[Entry | Drawn, ...]) -> None:
        """Raise `Refused` unless the entries may still be written in the present state."""
        if self._state is not _LOW or not is_owed(entries):
            self._refuse()

    def overloaded(self) -> None:
        detail = f"{self._in.depth} entries wait for the disk"
        raise Refused(Code.JOURNAL_OVERLOADED, private_detail=detail)

    def _refuse(self) -> None:
        raise Refused(Code.JOURNAL_UNAVAILABLE, private_detail=self._status.reason)

    def keep(self, entries: Iterable[Entry | Drawn]) -> None:
        """Hold notes back until the disk works again. Their calls are still open for a reader of the disk."""
        self._kept.add(entries)
        self._in.open.update([entry.call for entry in entries if entry.kind is _ENDED])

    def thinned(self, entries: tuple[Entry | Drawn, ...]) -> tuple[Entry, ...]:
        """The notes without their bodies while the queue is over its limits, none of them at twice the limits."""
        if self._in.depth > 2 * self._max_queue:
            self._kept.lost += len(entries)
            return ()
        return tuple(thin(entry) for entry in map(whole, entries))

    def _turn(self, state: State, why: str, *, tell: bool = True) -> None:
        if state in MOVES[self._state]:
            self._state = state
            self._course.failed, self._course.low = state is _FAILED, state is _LOW
            self._in.healthy = state is _HEALTHY
            self._in.takes_notes = state is _HEALTHY or state is _LOW
            self._status = Status(state, why)
            if tell:
                self._tell()

    def _turn_by_space(self, low: bool) -> None:
        if low:
            self._turn(_LOW, IN_RESERVE if self._spent_at else "less space is free than is reserved")
            return
        self._turn(_HEALTHY, "")
        if self._spent_at:  # the writer says so only once there is a reserve again
            told = {"bytes": self._reserve.size, "missing_from": self._spent_at}
            self._spent_at = ""
            self.note(Entry(kind=Kind.ADMIN, call="", change={"reserve": told}))
