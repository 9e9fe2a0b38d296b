"""The desk of a running gateway: its store, the people's answers, and the channels that tell them. Put together here."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from funcgate.approval.answers import Answers
from funcgate.approval.channels.channel import Channel
from funcgate.approval.desk import HumanDesk
from funcgate.approval.notices import Notices
from funcgate.approval.spec import ChannelSpec, EmailSpec
from funcgate.approval.tickets import Tickets
from funcgate.config.channels import ChannelSettings
from funcgate.core.approval import ApprovalStore, StoreFailed
from funcgate.core.ports import Journal
from funcgate.logs import logger
from funcgate.registry import CHANNELS

if TYPE_CHECKING:
    from funcgate.stores.sql import SqlApprovals

AGAIN_AFTER_S = 1.0


class Approving:
    """One desk over the database at `state`. A gateway that never held a call has none, and does not load what reads it."""

    def __init__(
        self, state: Path, journal: Journal, settings: Iterable[ChannelSettings], url: str, key: bytes | None = None
    ) -> None:
        """`url` is where people see approvals, "" if nowhere. `key` is that of `journal.encryption`."""
        self._later = _Later(state, key)
        self.store = cast(ApprovalStore, self._later)
        self.tickets = Tickets(self.store, url)
        made = [self._made(each) for each in settings]
        self.channels = {channel.name: channel for channel in made}
        self.troubles: dict[str, str] = {}
        self._notices = Notices(self.store, made, self._trouble)
        self.desk = HumanDesk(self.store, journal, self._notices.told)
        self.answers = Answers(self.desk)

    async def run(self) -> None:
        """Look after what is held, and keep the channels told, until cancelled."""
        await self._later.needed()
        async with asyncio.TaskGroup() as group:
            group.create_task(_on_and_on("desk", self.desk.run))
            group.create_task(_on_and_on("channels", self._notices.run))

    async def close(self) -> None:
        self.desk.close()
        await self._later.close()
        for channel in self.channels.values():
            await channel.close()

    def _made(self, settings: ChannelSettings) -> Channel:
        more = {"tickets": self.tickets} if isinstance(settings.spec, EmailSpec) else {}
        return CHANNELS[_tag(settings.spec)](settings.spec, **settings.secrets, **more)

    def _trouble(self, channel: str, text: str) -> None:
        """Say once what is wrong, and once that it is mended."""
        if text == self.troubles.get(channel, ""):
            return
        if text:
            logger().warning("approvers cannot be told", channel=channel, problem=text)
            self.troubles[channel] = text
        else:
            logger().info("approvers are told again", channel=channel)
            self.troubles.pop(channel, None)


async def _on_and_on(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Until cancelled. What breaks by a fault of ours is told and begun again, and takes nothing else with it."""
    while True:
        try:
            await work()
        except Exception as error:
            logger().error("approvals broke, and go on", part=name, exc_info=error)
        await asyncio.sleep(AGAIN_AFTER_S)


def _tag(spec: ChannelSpec) -> str:
    return str(spec.__struct_config__.tag)


class _Later:
    """`core.approval.ApprovalStore`, opened when it is first asked for anything."""

    def __init__(self, path: Path, key: bytes | None) -> None:
        self._path = path
        self._key = key
        self._opening = asyncio.Lock()
        self._store: SqlApprovals | None = None
        self._needed = asyncio.Event()
        self._closed = False
        self._asking: set[asyncio.Future[Any]] = set()

    def __getattr__(self, name: str) -> Any:
        async def ask(*arguments: Any, **named: Any) -> Any:
            store = await self._opened()
            if self._closed:  # a step beside the closing would wait for ever, and the process with it
                raise StoreFailed("the gateway ends")
            asking = asyncio.ensure_future(getattr(store, name)(*arguments, **named))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
            # Attack: callers that go away in the middle of it, each leaving a connection and its thread behind.
            return await asyncio.shield(asking)

        return ask

    async def needed(self) -> None:
        """Until somebody asks; at once if an earlier process left something to look after."""
        if not self._path.exists():
            await self._needed.wait()

    async def close(self) -> None:
        self._closed = True
        if self._asking:
            await asyncio.wait(self._asking)
        if self._store is not None:
            await self._store.close()

    async def _opened(self) -> "SqlApprovals":
        self._needed.set()
        async with self._opening:
            if self._store is None:
                self._store = await asyncio.to_thread(_open, self._path, self._key)
            return self._store


def _open(path: Path, key: bytes | None) -> "SqlApprovals":
    from funcgate.stores.sql import SqlApprovals, database  # takes longer to load than a call may wait for: in a thread

    return SqlApprovals(database.Database(path, key))
