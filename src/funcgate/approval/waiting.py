"""Who waits for which approval in this process, and how they learn of an answer: told at once when it was given here, found
in the store when it was given elsewhere."""

import asyncio
from collections.abc import Callable

from funcgate.core.approval import Approval, ApprovalStore, State

SLOWEST_LOOK = 200  # approvals looked up in one go


class Waiting:
    """Callers that are held, by approval. Only approvals that somebody waits for are ever looked up."""

    def __init__(self, store: ApprovalStore, poll_s: float) -> None:
        self._store = store
        self.poll_s = poll_s
        self._waiters: dict[str, set[asyncio.Future[Approval | None]]] = {}
        self._seen: dict[str, int] = {}
        self._closed = False

    async def until_answered(self, approval: Approval, wait_s: float, now: Callable[[], float]) -> Approval:
        """The approval once it is no longer pending, or as it is when `wait_s` seconds are over or the desk closes."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while approval.state is State.PENDING and not self._closed:
            left = min(deadline - loop.time(), approval.expires_at - now())
            if left <= 0:
                return await self._store.get(approval.id) or approval
            changed = await self._next(approval, left)
            if changed is not None:
                approval = changed
        return approval

    async def _next(self, approval: Approval, left_s: float) -> Approval | None:
        waiter: asyncio.Future[Approval | None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(approval.id, set())
        waiters.add(waiter)
        # The oldest that any of them has seen: whoever comes with an older one than the others is woken by the next look.
        self._seen[approval.id] = min(approval.revision, self._seen.get(approval.id, approval.revision))
        try:
            # An answer that came between the look at the store and now is found by the next look.
            async with asyncio.timeout(left_s):
                return await waiter
        except TimeoutError:
            return None
        finally:
            waiters.discard(waiter)
            if not waiters and self._waiters.get(approval.id) is waiters:
                del self._waiters[approval.id], self._seen[approval.id]

    def others(self, approval: str) -> bool:
        """Whether anybody else waits for it here."""
        return bool(self._waiters.get(approval))

    def wake(self, approval: Approval) -> None:
        """Tell who waits that the approval has changed."""
        if approval.id in self._seen:
            self._seen[approval.id] = approval.revision
        for waiter in self._waiters.get(approval.id, ()):
            if not waiter.done():
                waiter.set_result(approval)

    async def look(self) -> None:
        """Find what was changed elsewhere. Raises `StoreFailed`."""
        wanted = list(self._seen)
        for at in range(0, len(wanted), SLOWEST_LOOK):
            for name, revision in (await self._store.states(wanted[at : at + SLOWEST_LOOK])).items():
                if revision > self._seen.get(name, revision):
                    found = await self._store.get(name)
                    if found is not None:
                        self.wake(found)

    def close(self) -> None:
        self._closed = True
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
