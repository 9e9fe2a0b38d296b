"""Keeps every channel up to date: what has changed since a channel was last told is told, again and again until it is.

The store remembers how far each channel is, so that neither a crash nor an outage loses a message. A dead channel holds up
no other, and no call.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from funcgate.core.approval import Approval, ApprovalStore, StoreFailed
from funcgate.core.ids import new_id

from .channels.channel import Channel, NotTold

LOOK_EVERY_S = 5.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
OLDEST_S = 2 * 86400.0  # what ended longer ago is not told any more
TELL_TIMEOUT_S = 30.0


class Notices:
    """`told` wakes it; `run` does the work. `failed` is called with a channel's name and trouble, "" when it works again."""

    def __init__(
        self,
        store: ApprovalStore,
        channels: Sequence[Channel],
        failed: Callable[[str, str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._channels = channels
        self._failed = failed
        self._now = now
        self._wake = {channel.name: asyncio.Event() for channel in channels}

    def told(self, approval: Approval) -> None:
        """Something is new. Does not wait."""
        for event in self._wake.values():
            event.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for channel in self._channels:
                group.create_task(self._serve(channel))

    async def _serve(self, channel: Channel) -> None:
        wake, pause_s = self._wake[channel.name], 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), pause_s or LOOK_EVERY_S)
            if pause_s:
                await asyncio.sleep(pause_s)
            wake.clear()
            try:
                await self._catch_up(channel)
            except (NotTold, StoreFailed, TimeoutError) as error:
                pause_s = min(max(2 * pause_s, FIRST_PAUSE_S, getattr(error, "after_s", 0.0)), LONGEST_PAUSE_S)
                self._failed(channel.name, str(error) or "it does not answer")
            else:
                pause_s = 0.0
                self._failed(channel.name, "")

    async def _catch_up(self, channel: Channel) -> None:
        since = new_id(self._now() - OLDEST_S)
        while found := await self._store.untold(channel.name, since):
            for approval, reference in found:
                async with asyncio.timeout(TELL_TIMEOUT_S):
                    where = await channel.tell(approval, reference)
                await self._store.told(channel.name, approval.id, approval.revision, where)
