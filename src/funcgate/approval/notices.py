"""Keeps every channel up to date: what has changed since a channel was last told is told, again and again until it is.

The store remembers how far each channel is, so that neither a crash nor an outage loses a message. A dead channel holds up
no other, and no call.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from msgspec import Struct

from funcgate.core.approval import Approval, ApprovalStore, StoreFailed
from funcgate.core.ids import new_id

from .channels.channel import Channel, NotTold

LOOK_EVERY_S = 5.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
LONGEST_ASKED_S = 3600.0  # that a service may ask to be left alone
SPARED_S = 60.0  # before one message that a service does not take is tried again; then twice as long, and so on
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
        self._spared: dict[str, dict[str, _Spared]] = {channel.name: {} for channel in channels}

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
        wake.set()  # an earlier process may have left something
        while True:
            with contextlib.suppress(TimeoutError):
                await (asyncio.sleep(pause_s) if pause_s else asyncio.wait_for(wake.wait(), LOOK_EVERY_S))
            wake.clear()
            try:
                trouble = await self._catch_up(channel)
            except (NotTold, StoreFailed, TimeoutError) as error:
                asked_s = min(getattr(error, "after_s", 0.0), LONGEST_ASKED_S)
                pause_s = max(min(2 * pause_s or FIRST_PAUSE_S, LONGEST_PAUSE_S), asked_s)
                self._failed(channel.name, str(error) or "it does not answer")
            else:
                pause_s = 0.0
                self._failed(channel.name, trouble)

    async def _catch_up(self, channel: Channel) -> str:
        """Tell all that is untold. What is wrong with single messages, "" if nothing is."""
        since, kept, spared = new_id(self._now() - OLDEST_S), self._spared[channel.name], {}
        while found := await self._store.untold(channel.name, since):
            for approval, reference in found:
                spare = kept.get(approval.id)
                if spare is None or spare.until <= self._now():
                    spare = await self._tell(channel, approval, reference, spare)
                if spare is not None:
                    spared[approval.id] = spare
            since = f"{found[-1][0].id}0"  # the next one, so that nothing that stays untold is met again
        self._spared[channel.name] = spared
        return next((spare.text for spare in spared.values()), "")

    async def _tell(
        self, channel: Channel, approval: Approval, reference: str, before: "_Spared | None"
    ) -> "_Spared | None":
        """Tell of one approval; when it is to be tried again, if it alone cannot be told."""
        try:
            async with asyncio.timeout(TELL_TIMEOUT_S):
                where = await channel.tell(approval, reference)
        except (NotTold, TimeoutError) as error:
            if not getattr(error, "alone", False):
                raise
            text = str(error)
        except Exception as error:
            # Attack: a call that some channel cannot show. It must not keep the channel from telling of others.
            text = f"{approval.id} cannot be shown ({type(error).__name__})"
        else:
            await self._store.told(channel.name, approval.id, approval.revision, where)
            return None
        pause_s = min(2 * before.pause_s, LONGEST_ASKED_S) if before is not None else SPARED_S
        return _Spared(text, pause_s, self._now() + pause_s)


class _Spared(Struct, frozen=True):
    """A message that cannot be told, and is not tried again before `until` (Unix)."""

    text: str
    pause_s: float
    until: float
