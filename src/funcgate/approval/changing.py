"""How approvals change: by one step at a time, recorded before it is so, taken once; and what time alone does to them.

It knows no calls and no policies: what may follow what is said by table.py, and why, by whoever changes one.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

from funcgate.core.approval import Approval, ApprovalStore, StoreFailed
from funcgate.core.entry import Entry
from funcgate.core.ports import Journal
from funcgate.core.refusal import Refused

from .entries import cancelled, entry_of
from .table import Event, NotNow, after
from .waiting import Waiting

KEPT_S = (
    90 * 86400.0
)  # that an approval is kept after its time is over; the journal keeps it as long as it keeps anything
FORGET_EVERY_S = 600.0
FORGOTTEN = 50  # in one go
_TRIES = 20  # of a compare-and-swap: as many others would have to come in between


class Changing:
    """The approvals of one store. `told` and `now` as for the desk; who waits for an answer is looked after here."""

    def __init__(
        self,
        store: ApprovalStore,
        journal: Journal,
        told: Callable[[Approval], None],
        now: Callable[[], float],
        poll_s: float,
    ) -> None:
        self.store = store
        self.journal = journal
        self.told = told
        self.now = now
        self._waiting = Waiting(store, poll_s)
        self._forget_at = 0.0

    async def change(
        self, approval: str, make: Callable[[Approval], Approval], record: Callable[[Approval], Entry | None]
    ) -> Approval:
        """Change an approval by `make` in one step; recorded first, if `record` says how. Wakes who waits for it.

        A change that was recorded and then came too late is followed by an entry that says so (`overtaken`).

        Raises `KeyError` when there is none, whatever `make` raises, `Refused` and `StoreFailed`.
        """
        for _ in range(_TRIES):
            found = await self.store.get(approval)
            if found is None:
                raise KeyError(approval)
            changed = make(found)
            entry = record(changed)
            if entry is not None:
                await self.journal.append(entry)
            if await self.store.swap(changed):
                self._waiting.wake(changed)
                self.told(changed)
                return changed
            if (entry := record(changed)) is not None:
                # Attack: answer in the moment in which another does, so that the record names a yes that never counted.
                entry.outcome = "overtaken"
                await self.journal.append(entry)
        raise StoreFailed("the approval changed too often")

    async def run(self) -> None:
        """Look at the store until cancelled: for answers given elsewhere, for what expires and what escalates."""
        while True:
            await asyncio.sleep(self._waiting.poll_s)
            with contextlib.suppress(StoreFailed, Refused):  # both are told where calls are refused
                await self._waiting.look()
                await self.look_after()
                await self._forget()

    def close(self) -> None:
        """Nobody waits on: who is held is told that the call is pending."""
        self._waiting.close()

    async def look_after(self) -> None:
        """What expires and what escalates by now. Raises `StoreFailed` and `Refused`."""
        now = self.now()
        for approval in await self.store.due(now):
            event = Event.EXPIRE if now >= approval.expires_at else Event.ESCALATE
            with contextlib.suppress(NotNow, KeyError):  # somebody was faster
                await self.change(
                    approval.id,
                    lambda found, event=event: after(found, event, now),  # type: ignore[misc]
                    lambda changed, event=event: entry_of(changed, changed.asked.call, outcome=event.value),  # type: ignore[misc]
                )

    async def _forget(self) -> None:
        """A few at a time: what is forgotten holds up nobody who waits."""
        now = time.monotonic()
        if now >= self._forget_at:
            forgotten = await self.store.forget(self.now() - KEPT_S, FORGOTTEN)
            self._forget_at = now + (FORGET_EVERY_S if forgotten < FORGOTTEN else 0.0)

    async def _cancel(self, approval: str, why: str) -> None:
        await self.change(approval, lambda found: after(found, Event.CANCEL, self.now(), why=why), cancelled)
