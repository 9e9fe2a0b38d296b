"""All workers of a gateway, and the door that callers come by.

    callers                     the gateway's own process                         worker 0 … N-1 (children, exec'd afresh)
    ──────── accept ─────────▶  Door ── connection passed (SCM_RIGHTS) ────────▶  Taking ─▶ Listening ─▶ Gateway.carry
                                Mate ◀─ Link: lines, questions, counts ────────▶  Worker
                                  └ Service: journal's guest, desk, budgets       SharedJournal, AskingDesk, AskingAccounts

The own process carries no call; it keeps what there is one of: journal, desk, state, console, reloads, signals. A worker whose
link ends exits at once. A worker that is gone, or says what no honest one says, is closed as unknown and started again.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from funcgate.app.building import Built, StartFailed
from funcgate.app.listening import HTTP, POSTGRES
from funcgate.config.parts import Parts
from funcgate.config.settings import Address
from funcgate.console import WorkerGauge

from .door import Door
from .link import Link, Lost
from .mate import COMMAND, Mate
from .messages import Cancel, Drain, Hurry
from .orders import Orders, Serve, Service
from .telling import Telling

TOGETHER_S = 5.0
CANCEL_LIMIT_S = 7.0  # the database is given five
MOST_CANCELLING = 100
HURRY_LIMIT_S = 5.0
FLUSH_LIMIT_S = 10.0  # beyond a drain's own limit: to record what was cut
KEPT_BYTES = 16 << 20  # of the process' own memory, where parcels come and go


class Crew:
    """From `start` to `end`. `serve` makes what serves one worker, `ready` says whether the gateway as a whole takes calls."""

    def __init__(
        self,
        path: Path,
        parts: Parts,
        serve: Serve,
        telling: Telling,
        ready: Callable[[], bool],
        *,
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self._parts = parts
        self._orders = Orders(
            path=path.absolute(), version=parts.version, config=parts.loaded.config, workers=parts.workers, ready=ready,
            catch_up=telling.catch_up,
        )  # fmt: skip

        def serving(number: int, link: Link) -> Service:
            return serve(number, link, self.cancel)

        self._mates = [
            Mate(number, self._orders, serving, self._changed, command=command) for number in range(parts.workers)
        ]
        limits = parts.limits
        # Attack: connections by the thousand that never finish their handshake: no worker counts those.
        self._most = 2 * (limits.connections // parts.workers) + 64
        self._door = Door(self._takers)
        self._running: set[asyncio.Task[None]] = set()
        self._ports: dict[str, Address] = {}
        self._cancelling = 0
        self._accepting = False
        self._draining = False

    async def start(self) -> None:
        """Returns once all workers serve, or the first one does and the others take long; connections wait until then.

        Raises `StartFailed`."""
        parts = self._parts
        bytearray(KEPT_BYTES)  # given back once, malloc keeps as much from then on: else each parcel was new pages
        self._open("calls", HTTP, parts.calls)
        if parts.postgres is not None:
            self._open("postgres", POSTGRES, parts.postgres)
        self._running = {asyncio.create_task(mate.run(), name=f"worker {mate.number}") for mate in self._mates}
        waiting = {mate.tried for mate in self._mates}
        while waiting and not self.workers():
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not self.workers():
            raise StartFailed(f"no worker can be started: {self._mates[0].tried.result()}")
        if waiting:
            await asyncio.wait(waiting, timeout=TOGETHER_S)  # or the first one gets all callers that come
        self._accepting = True
        self._door.look()

    async def announce(self) -> None:
        """The gateway takes calls, or no longer: callers ask workers for its health."""
        await asyncio.gather(*(mate.tell_ready() for mate in self.workers()), return_exceptions=True)

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where callers connect, by the name in the configuration."""
        return {name: str(address) for name, address in self._ports.items()}

    def workers(self) -> Sequence[Mate]:
        """Those that have begun, and serve."""
        return [mate for mate in self._mates if mate.up]

    # -- what is in force

    def swap(self, built: Built) -> None:
        """Whoever begins from now on serves this version; those that serve are told by `Telling`."""
        self._orders.version, self._orders.config = built.version, built.parts.loaded.config

    async def cancel(self, pid: int, secret: bytes) -> None:
        """A PostgreSQL cancel request that came at another worker than the one that numbered the session."""
        mate = self._mates[pid % len(self._mates)]
        # Attack: cancel requests by the thousand, each of which has another worker look for its session.
        if mate.up and self._cancelling < MOST_CANCELLING:
            self._cancelling += 1
            try:
                await mate.told(Cancel(pid, secret), CANCEL_LIMIT_S)
            finally:
                self._cancelling -= 1

    # -- what the console asks

    def warnings(self) -> list[str]:
        """What is wrong, for /readyz."""
        away = sum(1 for mate in self._mates if not mate.up)
        return [f"{away} of {len(self._mates)} workers cannot take calls"] if away and not self._draining else []

    def gauges(self) -> list[WorkerGauge]:
        """For /metrics."""
        return [WorkerGauge(mate.number, mate.up, mate.restarts, mate.pid) for mate in self._mates]

    def checks(self) -> dict[str, str]:
        return {"workers": "ok" if self.workers() else "no worker takes calls"}

    # -- the end

    async def drain(self, limit_s: float, hurry: asyncio.Event) -> bool:
        """Accept nobody and let open calls end, until `hurry` is set. True when all ended in time; else the rest is cut."""
        self._draining = True
        self._door.close()
        for mate in self._mates:
            mate.stop()
        up = self.workers()
        hurrying = asyncio.create_task(self._hurry(hurry, up))
        try:
            ended = await asyncio.gather(*(self._drained(mate, limit_s) for mate in up))
        finally:
            hurrying.cancel()
        return all(ended)

    async def end(self) -> None:
        """Whatever is still there. Never raises."""
        self._draining = True
        self._door.close()
        await asyncio.gather(*(mate.end() for mate in self._mates))
        if self._running:
            await asyncio.wait(self._running)

    async def _drained(self, mate: Mate, limit_s: float) -> bool:
        try:
            return not (await mate.told(Drain(limit_s), limit_s + FLUSH_LIMIT_S)).problem
        except Lost:
            return False

    async def _hurry(self, hurry: asyncio.Event, mates: Sequence[Mate]) -> None:
        await hurry.wait()
        await asyncio.gather(*(mate.told(Hurry(), HURRY_LIMIT_S) for mate in mates), return_exceptions=True)

    # -- connections

    def _open(self, name: str, what: bytes, address: Address) -> None:
        try:
            self._ports[name] = Address(address.host, self._door.open(what, *address))
        except OSError as error:
            raise StartFailed(f"listen.{name}: {address}: {error.strerror or error}") from None

    def _takers(self) -> Iterator[Mate]:
        return (mate for mate in self._mates if mate.up and mate.open < self._most)

    def _changed(self) -> None:
        if self._accepting and not self._draining:
            self._door.look()
