"""A worker: the process that carries calls. It is told what to do by the gateway's own process, which trusts none of its bytes.

It ends at once when its link ends, whatever is under way: no call without its record.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import uvloop

from funcgate.app.building import read_parts
from funcgate.config.parts import Parts
from funcgate.config.problems import Faulty
from funcgate.config.workers import share

from . import messages
from .carrying import Carrying
from .link import Kind, Link
from .messages import Begin, Cancel, Done, Drain, Drop, Ends, Hurry, Prepare, Ready, Revoke, Swap, Until

MAX_PROBLEM = 2000  # characters
ENDED, LOST = 0, 1  # exit statuses


def run(link: int, connections: int) -> None:
    """Until the link ends; then the process does. The numbers are those of two sockets' descriptors."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(socket.socket(fileno=connections)).run(socket.socket(fileno=link)))


class Worker:
    """Answers what the gateway's own process asks."""

    def __init__(self, connections: socket.socket) -> None:
        self._connections = connections
        self._carrying: Carrying | None = None
        self._path = Path()
        self._state = b""  # the journal's, as it was told last
        self._status = LOST
        on = {Kind.WRITTEN: self._on_written, Kind.JOURNAL: self._on_journal}
        self._link = Link(on, self._answer, self._lost)

    async def run(self, link: socket.socket) -> None:
        for each in (link, self._connections):
            each.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self._link, sock=link)
        await asyncio.get_running_loop().create_future()  # until `_lost`

    def _lost(self) -> None:
        # Fail closed: what nobody records may not go on for another moment, nor end in good order.
        os._exit(self._status)

    def _on_written(self, payload: bytes) -> None:
        if self._carrying is not None:
            self._carrying.journal.on_written(payload)

    def _on_journal(self, payload: bytes) -> None:
        self._state = payload
        if self._carrying is not None:
            self._carrying.journal.on_state(payload)

    # -- questions

    async def _answer(self, payload: bytes) -> bytes:
        return messages.encode(await self._do(messages.for_worker(payload)))

    async def _do(self, message: messages.ToWorker) -> messages.Answer:
        if isinstance(message, Begin):
            return Done(await self._begin(message))
        carrying = self._carrying
        if carrying is None:
            return Done("it has not begun")
        if isinstance(message, Prepare):
            return Done(await self._prepare(carrying, message))
        if isinstance(message, Drain):
            whole = await carrying.drain(message.limit_s)
            self._status = ENDED
            return Done("" if whole else "calls were cut")
        if isinstance(message, Ends):
            return Until(carrying.parts.issuers.ends(message.token))
        if isinstance(message, Swap):
            return Done("" if carrying.swap() else "nothing was prepared")
        if isinstance(message, Revoke):
            carrying.standing.take(message)
        elif isinstance(message, Cancel):
            await carrying.cancel(message.pid, message.secret)
        elif isinstance(message, Ready):
            carrying.ready = message.ready
        elif isinstance(message, Hurry):
            carrying.hurry.set()
        elif isinstance(message, Drop):
            await carrying.drop()
        return Done()

    async def _begin(self, begin: Begin) -> str:
        self._path = Path(begin.path)
        parts = await self._read(begin.version, begin.environ, None)
        if isinstance(parts, str):
            return parts
        carrying = Carrying(parts, begin.number, self._link, self._connections)
        carrying.journal.on_state(self._state)
        if problem := await carrying.start():
            return problem
        carrying.journal.on_state(self._state)
        self._carrying = carrying
        return ""

    async def _prepare(self, carrying: Carrying, prepare: Prepare) -> str:
        parts = await self._read(prepare.version, prepare.environ, carrying.parts)
        if isinstance(parts, str):
            return parts
        try:
            await carrying.prepare(parts)
        except OSError as error:
            return f"a target's TLS files cannot be used: {error.strerror or type(error).__name__}"
        return ""

    async def _read(self, version: str, environ: Mapping[str, str], previous: Parts | None) -> Parts | str:
        """The configuration, if it is the version that all serve; else what is wrong."""
        # Attack: read from the environment the credentials that a reload took away: they never get there.
        reading = partial(
            read_parts, self._path, previous=previous, asking=False, serving=True, carrying=True, environ=environ
        )
        try:
            parts = await asyncio.to_thread(reading)
        except Faulty as faulty:
            return "; ".join(map(str, faulty.problems))[:MAX_PROBLEM]
        if parts.version != version:
            return "the files of the configuration are not those that serve; mend them, or reload"
        return share(parts)
