"""All that a worker carries calls with, put together: as serving.py does it, but that the journal, the desk and the budgets are
the gateway's own process', asked over the link."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import Mapping
from functools import partial

from funcgate.app.building import Built, build, contents_of
from funcgate.app.listening import Listening
from funcgate.app.tasks import Tasks
from funcgate.config.parts import Parts
from funcgate.core.meter import Meter
from funcgate.core.ports import Journal
from funcgate.core.refusal import Refused
from funcgate.gateway import Gateway
from funcgate.logs import CallLog, set_up
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http.target import HttpPools
from funcgate.recording.contents import WrongKey
from funcgate.recording.unknowns import Unknowns
from funcgate.stores.journal_shared import SharedJournal

from . import messages
from .accounts import AskingAccounts
from .connections import write_closed
from .counting import Counting
from .desk import AskingDesk
from .link import Kind, Link, Lost
from .messages import Cancelled
from .taking import Taking
from .telling import Standing

UNKNOWNS_PER_SECOND = 10  # of all workers together
MAX_QUEUE_BYTES = 64 << 20  # of entries that wait for the disk, of all workers together
CUT_LIMIT_S = 2.0  # for calls that were cut to record it
GC_THRESHOLDS = (50_000, 20, 100)  # as in serving.py


class Carrying:
    """From `start` to `drain`. `ready` is what health checks of callers are told."""

    def __init__(self, parts: Parts, number: int, link: Link, connections: socket.socket) -> None:
        self.ready = False
        self.hurry = asyncio.Event()
        self.standing = Standing()
        settings = parts.journal
        self.journal = SharedJournal(
            partial(link.send, Kind.LINES), sync=settings.sync, max_queue=settings.queue,
            max_queue_bytes=MAX_QUEUE_BYTES // parts.workers,
        )  # fmt: skip
        self._number = number
        self._link = link
        self._connections = connections
        self._meter = Meter()
        self._counting = Counting(self._meter, partial(link.send, Kind.COUNTED))
        self._contents = contents_of(parts, self.journal)
        self._unknowns = Unknowns(self._contents, max(UNKNOWNS_PER_SECOND // parts.workers, 1))
        self._sweeper = Sweeper()
        self._pools = HttpPools(self._sweeper)
        self._built = build(parts, self._pools)
        self._next: Built | None = None
        self._tasks = Tasks()

    @property
    def parts(self) -> Parts:
        return self._built.parts

    async def start(self) -> str:
        """What is in the way, "" if nothing is: then connections are taken."""
        parts = self.parts
        try:
            self._contents.check()
        except WrongKey as wrong:
            return str(wrong)
        self.standing.use(parts.issuers.revoked)
        await parts.issuers.start()
        journal: Journal = self._contents
        if (which := parts.loaded.config.logs.calls) != "none":
            journal = CallLog(journal, which)
        desk = AskingDesk(self._link.ask, first=self.journal.push)
        gateway = Gateway(journal, desk, self._meter, self._unknowns, lambda: self._built.site.snapshot)
        self._listening = Listening(gateway, self._meter, self._sweeper, self._built, lambda: self.ready)
        self._listening.among(self._number, parts.workers, AskingAccounts(self._link.ask), self._cancel_elsewhere)
        self._taking = Taking(self._connections, self._listening, self._tell_closed)
        self._tasks.begin(self._unknowns.run(), "unknowns")
        self._tasks.begin(self._counting.run(), "counting")
        self._taking.start()
        self._set_up_logs()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        return ""

    async def cancel(self, pid: int, secret: bytes) -> None:
        await self._listening.cancel(pid, secret)

    # -- a new version

    async def prepare(self, parts: Parts) -> None:
        """Raises `OSError` when a target's TLS files cannot be used."""
        await self.drop()
        built = build(parts, self._pools)
        await parts.issuers.start()
        self._next = built

    def swap(self) -> bool:
        """False when nothing was prepared."""
        built, self._next = self._next, None
        if built is None:
            return False
        old, self._built = self._built, built
        self.standing.use(built.parts.issuers.revoked)
        self._listening.swap(built)
        self._pools.keep_only(built.pools)
        self._set_up_logs()
        self._tasks.begin(old.parts.issuers.close(), "old issuers")
        return True

    async def drop(self) -> None:
        built, self._next = self._next, None
        if built is not None:
            await built.parts.issuers.close()
            self._pools.keep_only(self._built.pools)

    # -- the end

    async def drain(self, limit_s: float) -> bool:
        """Let open calls end; True if they did in time. All that is owed to the record is on the disk, or refused, by then."""
        self._taking.stop()
        whole = await self._listening.drain(limit_s, self.hurry)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CUT_LIMIT_S):
                while self._meter.open_calls:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        await self._tasks.end()
        self._unknowns.flush()
        self._counting.now()
        await self._contents.close()
        with contextlib.suppress(Refused):
            await self.journal.flush()
        await self.journal.close()
        await self.parts.issuers.close()
        self._pools.close()
        self._sweeper.close()
        return whole

    # -- what is told

    def _tell_closed(self, closed: Mapping[bytes, int]) -> None:
        self._link.send(Kind.CLOSED, write_closed(closed))

    async def _cancel_elsewhere(self, pid: int, secret: bytes) -> None:
        # Whoever asks may hang up at once: it is passed on all the same.
        await asyncio.shield(self._tasks.begin(self._ask_to_cancel(pid, secret), "a cancel request"))

    async def _ask_to_cancel(self, pid: int, secret: bytes) -> None:
        with contextlib.suppress(Lost, Refused):
            await self._link.ask(messages.encode(Cancelled(pid, secret)))

    def _set_up_logs(self) -> None:
        logs = self.parts.loaded.config.logs
        set_up(logs.level, logs.format)
