"""The gateway's own process and its workers in one loop: real links over real sockets, and a desk asked through them."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from funcgate.app.workers import messages
from funcgate.app.workers.desk import AskingDesk
from funcgate.app.workers.holds import Holds
from funcgate.app.workers.link import Kind, Link
from funcgate.core.ports import Desk

Answer = Callable[[bytes], Awaitable[bytes]]


async def nothing(_: bytes) -> bytes:
    raise AssertionError("nobody is asked here")


async def pair(one: Answer, other: Answer, lost: Callable[[], None] = lambda: None) -> tuple[Link, Link]:
    """Two ends: `one` answers what the second asks, `other` what the first does. `lost` is the first's."""
    ends = socket.socketpair()
    first = Link({Kind.COUNTED: lambda _: None}, one, lost)
    second = Link({}, other, lambda: None)
    for link, end in zip((first, second), ends, strict=True):
        end.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda link=link: link, sock=end)  # type: ignore[misc]
    return first, second


class Mate:
    """The gateway's end of one worker that asks at the desk: its holds, and what it was caught at."""

    def __init__(self, desk: Desk, **limits: Any) -> None:
        self.holds = Holds(desk, **limits)
        self.forged: list[str] = []
        self.link: Link
        self.worker: Link
        self.asking: AskingDesk

    async def begin(self) -> "Mate":
        self.link, self.worker = await pair(self._answer, nothing, self.holds.gone)
        self.asking = AskingDesk(self.worker.ask)
        return self

    async def _answer(self, question: bytes) -> bytes:
        try:
            asked = messages.for_gateway(question)
            assert isinstance(asked, messages.Open | messages.Wait | messages.Use | messages.Release)
            return await self.holds.answer(asked)
        except (messages.Forged, msgspec.MsgspecError) as forged:
            self.forged.append(type(forged).__name__)
            self.link.close()
            raise

    async def released(self) -> None:
        """Until nothing is held."""
        async with asyncio.timeout(5):
            while len(self.holds):  # noqa: ASYNC110  # releases come by the link
                await asyncio.sleep(0.001)
