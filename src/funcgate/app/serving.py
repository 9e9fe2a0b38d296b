"""A running gateway: started in order, ended in the reverse order, so that no call is served without its record."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import uvloop
from litestar import Litestar

from funcgate.config.parts import Parts
from funcgate.config.secrets import secret_variables
from funcgate.config.settings import Address
from funcgate.console import ConsoleServer, Gauges, Health, KeeperGauges, make_console, make_registry
from funcgate.console.access import Access
from funcgate.console.routes import approvals, channels, grants, revocations
from funcgate.core import native
from funcgate.core.budget import Accounts
from funcgate.core.meter import Meter
from funcgate.core.ports import Journal
from funcgate.gateway import Gateway
from funcgate.logs import CallLog, logger, set_up
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http.target import HttpPools
from funcgate.recording.unknowns import Unknowns

from .approving import Approving
from .building import Built, build, contents_of, encryption_key, folders_of, read_parts
from .keeping import Keeping, checkpoint_age_s
from .listening import Listening
from .opening import journal_of, open_journal, record_start, record_stop
from .operating import bound, pages_of
from .ordering import Ordering
from .reloading import Reloader, Steps
from .revoking import Revoking
from .tasks import Tasks
from .workers.counting import Meters
from .workers.crew import Crew
from .workers.environment import carried
from .workers.mate import Mate
from .workers.service import Services
from .workers.telling import Telling

GC_THRESHOLDS = (50_000, 20, 100)  # collections are rare, and what was there at the start is never looked at again


def run(path: Path) -> None:
    """Serve until SIGTERM or SIGINT. Raises `config.problems.Faulty`, or `StartFailed`."""
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # until there is something to reload; its default would end the process
    parts = read_parts(path, serving=True)
    logs = parts.loaded.config.logs
    set_up(logs.level, logs.format)
    for warning in parts.warnings:
        logger().warning("configuration", problem=str(warning))
    for name in ("", "mask.key"):
        kept = parts.loaded.data_dir / name
        if kept.stat().st_mode & 0o077:
            logger().warning("others may read what only funcgate should; take the permissions away", path=str(kept))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Serving(path, parts).serve())


class Serving:
    """One gateway in one loop."""

    def __init__(self, path: Path, parts: Parts) -> None:
        self._path = path
        self._parts = parts
        self._meter = Meter()
        self._meters = Meters(self._meter)
        self._telling = Telling(self._workers)
        self._listening: Listening | Crew | None = None
        self._log = logger()
        self._draining = False
        self._accepts = False  # at every address of callers
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._tasks = Tasks()
        self._journal = journal_of(parts)
        keeper = KeeperGauges(lambda: self._journal.durable_seq, partial(checkpoint_age_s, parts.loaded.data_dir))
        self._gauges = Gauges(lambda: self._journal.depth, keeper)
        self._keeping = Keeping(
            parts.keeper, self._journal, keeper.durable, keeper, hide=secret_variables(parts.loaded.config)
        )
        self._contents = contents_of(parts, self._journal)
        self._unknowns = Unknowns(self._contents)
        state, key = parts.loaded.state, encryption_key(parts)
        self._approving = Approving(state, self._contents, parts.channels, parts.approval_url, key)
        workers = self._telling if parts.workers > 1 else None
        self._revoking = Revoking(state, self._contents, lambda: self._parts.issuers, key, workers)
        self._approving.answers.revoked = parts.issuers.revoked
        self._sweeper = Sweeper()
        self._pools = HttpPools(self._sweeper)

    async def serve(self) -> None:
        """Start, serve, drain. Raises `StartFailed`."""
        async with contextlib.AsyncExitStack() as ending:
            await self._start(ending)
            await self._stop.wait()
            await self._drain()
        self._log.info("stopped")

    async def _start(self, ending: contextlib.AsyncExitStack) -> None:
        """In this order; `ending` undoes it in the reverse order, also when it gets only half-way."""
        parts = self._parts
        await open_journal(self._journal, self._contents)
        ending.push_async_callback(self._keeping.stop)  # when the last line is durable: the proof covers it
        ending.push_async_callback(self._journal.close)
        ending.push_async_callback(self._contents.close)
        ending.push_async_callback(self._revoking.close)
        await self._revoking.open()  # when the folder is ours alone; before anything is written
        await record_start(self._journal, parts.loaded)
        self._contents.elsewhere.use(folders_of(parts))
        await self._look_elsewhere()
        ending.push_async_callback(self._record_stop)
        self._keeping.start()
        ending.push_async_callback(self._end_tasks)
        self._tasks.begin(self._unknowns.run(), "unknowns")
        await self._revoking.start()
        self._tasks.begin(self._revoking.run(), "revocations")
        ending.push_async_callback(self._approving.close)
        self._tasks.begin(self._approving.run(), "approvals")
        self._tasks.begin(Ordering(parts.loaded.data_dir, self._journal).run(), "inbox")
        await parts.issuers.start()
        ending.push_async_callback(self._close_issuers)
        for problem in [*parts.issuers.problems(), *parts.issuers.warnings()]:
            self._log.warning("issuer", problem=problem)
        ending.callback(self._close_pools)
        self._built = build(parts, self._pools)
        console = bound(parts.console)
        server = ConsoleServer(self._console(), console)
        server.start()
        ending.push_async_callback(server.close)
        self._listening = listening = self._crew() if parts.workers > 1 else self._listeners(self._built)
        ending.push_async_callback(listening.end)
        await listening.start()
        self._accepts = True
        if isinstance(listening, Crew):
            await listening.announce()
        self._watch()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        reached = str(Address(parts.console.host, server.port))
        told = listening.addresses
        self._log.info("serving", console=reached, version=parts.version, build=native.build(), **told)

    def _console(self) -> Litestar:
        self._access = Access(self._parts.issuers, self._parts.loaded.config.roles)
        desk = self._approving
        api = [
            approvals.routes(desk.answers, desk.store, self._access),
            grants.routes(desk.answers, desk.store, self._access),
            channels.routes(desk.answers, lambda: desk.channels, self._unknowns.admit),
            revocations.routes(self._revoking.revocations, self._access),
        ]
        settings = self._parts.sign_in
        if settings is not None:
            admit, issuers = self._unknowns.admit, lambda: self._parts.issuers
            api.append(pages_of(settings, desk, self._access, self._contents, admit, issuers))
        return make_console(make_registry(self._meters, self._gauges), self._health, api)

    def _listeners(self, built: Built) -> Listening:
        journal: Journal = self._contents
        which = self._parts.loaded.config.logs.calls
        if which != "none":
            journal = CallLog(journal, which)
        gateway = Gateway(journal, self._approving.desk, self._meter, self._unknowns, lambda: self._built.site.snapshot)
        return Listening(gateway, self._meter, self._sweeper, built, lambda: self._health().ready)

    def _crew(self) -> Crew:
        desk, workers = self._approving.desk, self._parts.workers
        services = Services(
            journal=self._journal, desk=desk, meters=self._meters, accounts=Accounts(), workers=workers,
            inline_bytes=self._parts.journal.inline_bytes,
        )  # fmt: skip
        crew = Crew(self._path, self._parts, services.serve, self._telling, lambda: self._health().ready)
        self._gauges.workers = crew.gauges
        return crew

    def _workers(self) -> Sequence[Mate]:
        """Those that carry calls, where it is not this process itself."""
        return self._listening.workers() if isinstance(self._listening, Crew) else ()

    async def _record_stop(self) -> None:
        await record_stop(self._journal, self._parts.version)

    def _watch(self) -> None:
        """Signals and reloads, from here on."""
        loop = asyncio.get_running_loop()
        steps = Steps(self._prepare, self._swap, self._drop)
        reloader = Reloader(self._path, self._parts, self._journal, self._gauges, steps)
        loop.add_signal_handler(signal.SIGHUP, reloader.ask)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        self._tasks.begin(reloader.run(), "reloads")

    async def _look_elsewhere(self) -> None:
        """The folders that hold content of some targets. One that is not there stops their calls, and nobody else's."""
        await self._contents.elsewhere.ready()
        for trouble in self._contents.elsewhere.troubles():
            self._log.warning("calls of some targets are refused", why=trouble)

    # A new version in place of the old one.

    async def _prepare(self, parts: Parts) -> Built:
        built = build(parts, self._pools)
        await parts.issuers.start()
        try:
            await self._telling.prepare(parts.version, carried(parts.loaded.config))
        except BaseException:
            await self._forget(built)
            raise
        return built

    async def _swap(self, built: Built) -> None:
        assert self._listening is not None
        self._listening.swap(built)
        await self._telling.swap()
        old, self._parts, self._built = self._parts, built.parts, built
        self._pools.keep_only(built.pools)
        self._access.identity, self._access.roles = built.parts.issuers, built.parts.loaded.config.roles
        config = built.parts.loaded.config
        self._keeping.reload(built.parts.keeper, secret_variables(config))
        self._contents.elsewhere.use(folders_of(built.parts))
        self._tasks.begin(self._look_elsewhere(), "places")
        logs = config.logs
        set_up(logs.level, logs.format)
        self._tasks.begin(old.issuers.close(), "old issuers")

    async def _drop(self, built: Built) -> None:
        await self._telling.drop()
        await self._forget(built)

    async def _forget(self, built: Built) -> None:
        await built.parts.issuers.close()
        self._pools.keep_only(self._built.pools)

    # The end.

    def _asked_to_stop(self) -> None:
        """The first signal drains; a second one does not wait for the calls that are open."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _drain(self) -> None:
        limit_s = self._parts.limits.drain_timeout_s
        self._draining = True
        self._approving.desk.close()  # who is held is told that the call is pending
        self._log.info("draining", open_calls=self._meters.open_calls, limit_s=limit_s)
        assert self._listening is not None
        if not await self._listening.drain(limit_s, self._hurry):
            self._log.warning("calls were cut: they did not end in time")

    async def _close_issuers(self) -> None:
        await self._parts.issuers.close()

    def _close_pools(self) -> None:
        self._pools.close()
        self._sweeper.close()

    async def _end_tasks(self) -> None:
        await self._tasks.end()
        self._unknowns.flush()

    # What the console asks.

    def _health(self) -> Health:
        issuers = self._parts.issuers
        failing, gauges = issuers.problems(), self._gauges
        checks = {
            "journal": "ok" if self._journal.status.healthy else "calls cannot be recorded",
            "keys": "ok" if len(failing) < len(self._parts.loaded.config.issuers) else "no issuer's keys can be had",
            "draining": "draining" if self._draining else "ok",
        }
        if not self._accepts:
            checks["listening"] = "callers cannot connect yet"
        warnings = ["the configuration file was refused; an older version serves"] if gauges.last_reload_failed else []
        if failing and checks["keys"] == "ok":
            warnings.append("the keys of some issuers cannot be had")
        if self._contents.elsewhere.troubles():
            warnings.append("content of some targets cannot be stored where it shall lie: their calls are refused")
        warnings += [*self._keeping.warnings(), *self._revoking.warnings()]
        if isinstance(self._listening, Crew):
            checks |= self._listening.checks()
            warnings += self._listening.warnings()
        ready = all(found == "ok" for found in checks.values())
        return Health(ready=ready, version=self._parts.version, checks=checks, warnings=warnings)
