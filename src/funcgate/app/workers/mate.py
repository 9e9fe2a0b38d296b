"""One worker as the gateway's own process sees it: started, asked, killed when it does not answer, started again.

What it says is looked at by those that serve it (service.py); what it cannot have said honestly ends it.
"""

import asyncio
import contextlib
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from typing import NoReturn

import msgspec

from funcgate.logs import logger

from . import messages
from .connections import KINDS, read_closed
from .environment import carried, plain
from .link import Kind, Link, Lost
from .messages import Begin, Done, Ready
from .orders import Orders, Service

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0  # a worker that served for so long was sound: the next pause is a short one again
BEGIN_LIMIT_S = 60.0
READY_LOOK_S = 0.25
READY_EVERY_S = 5.0
READY_LIMIT_S = 30.0  # a worker whose loop stands still for so long serves nobody
END_LIMIT_S = 2.0

# Attack: a module of the same name in the folder that the gateway was started in (-P leaves that folder out).
COMMAND = (sys.executable, "-P", "-m", "funcgate.cli.carry")


class Mate:
    """Worker `number`. `changed` is called when it begins to serve, and when it no longer does."""

    def __init__(
        self,
        number: int,
        orders: Orders,
        serve: Callable[[int, Link], Service],
        changed: Callable[[], None],
        *,
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self.number = number
        self.up = False  # it has begun, and takes connections
        self.restarts = 0
        self.tried: asyncio.Future[str] = (
            asyncio.get_running_loop().create_future()
        )  # why the first start failed, or ""
        self._orders = orders
        self._serve = serve
        self._changed = changed
        self._command = command
        self._process: Process | None = None
        self._link: Link | None = None
        self._service: Service | None = None
        self._out: socket.socket | None = None  # where connections are passed
        self._passed = dict.fromkeys(KINDS, 0)
        self._closed = dict.fromkeys(KINDS, 0)
        self._ready = False  # what it was told of the gateway, and when
        self._ready_at = 0.0
        self._lost = asyncio.Event()
        self._stop = asyncio.Event()
        self._log = logger(worker=number)

    @property
    def pid(self) -> int:
        """0 between two processes."""
        return self._process.pid if self._process is not None else 0

    # -- connections

    @property
    def open(self) -> int:
        """How many of the connections that it was passed are open."""
        return sum(map(self.open_of, KINDS))

    def open_of(self, what: bytes) -> int:
        """The same, of those that came to one address."""
        return self._passed[what] - self._closed[what]

    def take(self, what: bytes, descriptor: int) -> bool:
        """Pass a connection, a copy of it; False when the worker takes none now. Never waits."""
        if self._out is None or not self.up:
            return False
        try:
            socket.send_fds(self._out, [what], [descriptor])
        except OSError:  # full, or gone: then the link says so too
            return False
        self._passed[what] += 1
        return True

    # -- questions

    async def ask(self, question: bytes) -> bytes:
        """Raises `Lost`, also for what the worker refuses: it has nothing to refuse."""
        link = self._link
        if link is None:
            raise Lost("the worker is gone")
        try:
            return await link.ask(question)
        except Exception as error:
            raise Lost(str(error) if isinstance(error, Lost) else type(error).__name__) from None

    async def told(self, message: messages.ToWorker, limit_s: float) -> Done:
        """Ask, and kill the worker when it does not answer in time. Raises `Lost`."""
        what = str(message.__struct_config__.tag)
        try:
            async with asyncio.timeout(limit_s):
                said = messages.answer(await self.ask(messages.encode(message)))
        except TimeoutError:
            self.kill(f"it did not answer '{what}' within {limit_s:g} s")
        except msgspec.MsgspecError:
            self.kill(f"its answer to '{what}' cannot be read")
        else:
            if isinstance(said, Done):
                return said
            self.kill(f"its answer to '{what}' is none")
        raise Lost("the worker was killed")

    def kill(self, why: str) -> None:
        """End it at once. Its calls are closed as unknown, and another one is started."""
        if self._process is not None and self._process.returncode is None:
            if why:
                self._log.error("a worker is killed", why=why)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        if self._link is not None:
            self._link.give_up(why, forged=False)

    # -- one process after another

    async def run(self) -> None:
        """Until `end`."""
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                problem = await self._one()
            except OSError as error:
                problem = f"it cannot be started: {error.strerror or type(error).__name__}"
            except Exception as error:
                self._log.error("looking after a worker broke", exc_info=error)
                problem = f"{type(error).__name__} here"
            if not self.tried.done():
                self.tried.set_result(problem)
            if self._stop.is_set():
                return
            self.restarts += 1
            self._log.error("a worker ended; it is started again", why=problem, pause_s=pause_s)
            if time.monotonic() - began > STEADY_S:
                pause_s = FIRST_PAUSE_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stop.wait()
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def end(self) -> None:
        """It ends when its link does, or is killed."""
        self.stop()
        process = self._process
        if process is None:
            return
        if not self.up:
            self.kill("")
        elif self._link is not None:
            self._link.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_LIMIT_S):
                await process.wait()
        if process.returncode is None:
            self.kill("it did not end")

    def stop(self) -> None:
        """It is not started again."""
        self._stop.set()

    async def _one(self) -> str:
        """One process, from its start to its end. Returns why it ended."""
        self._lost.clear()
        self._passed, self._closed = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
        keeping_ready: asyncio.Task[None] | None = None
        try:
            link = await self._spawn()
            problem = await self._begin()
            if problem:
                return problem
            self.up, self._ready, self._ready_at = True, False, 0.0
            if not self.tried.done():
                self.tried.set_result("")
            self._changed()
            keeping_ready = asyncio.create_task(self._keep_ready(), name="worker's readiness")
            await self._lost.wait()
            return link.trouble or "it is gone"
        except Lost as lost:
            return (self._link.trouble if self._link is not None else "") or str(lost)
        finally:
            if keeping_ready is not None:
                keeping_ready.cancel()
            await self._over()

    async def _spawn(self) -> Link:
        """Raises `OSError`."""
        ours, theirs = socket.socketpair()
        out, into = socket.socketpair()
        for each in (ours, theirs, out, into):
            each.setblocking(False)
        try:
            numbers = (theirs.fileno(), into.fileno())
            self._process = await asyncio.create_subprocess_exec(
                *self._command, *map(str, numbers), stdin=DEVNULL, pass_fds=numbers, env=plain(self._orders.config)
            )
        except BaseException:
            ours.close()
            out.close()
            raise
        finally:
            theirs.close()
            into.close()
        self._out = out
        on = {Kind.LINES: _too_early, Kind.COUNTED: self._on_counted, Kind.CLOSED: self._on_closed}
        link = Link(on, self._answer, self._lost.set)
        link.rest = ours.dup()
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
        except BaseException:
            link.rest.close()
            ours.close()
            raise
        self._link = link
        self._service = self._serve(self.number, link)
        link.hear(Kind.LINES, self._service.lines)
        return link

    async def _begin(self) -> str:
        """The problem, "" when it serves what all others serve. Raises `Lost`."""
        orders = self._orders
        version = orders.version
        begin = Begin(
            path=str(orders.path), version=version, number=self.number, workers=orders.workers,
            environ=carried(orders.config),
        )  # fmt: skip
        done = await self.told(begin, BEGIN_LIMIT_S)
        if done.problem:
            return done.problem
        await orders.catch_up(self)
        return "" if version == orders.version else "another version serves by now"

    async def tell_ready(self) -> None:
        """Tell it whether the gateway as a whole takes calls. Raises `Lost`."""
        self._ready, self._ready_at = self._orders.ready(), time.monotonic()
        await self.told(Ready(self._ready), READY_LIMIT_S)

    async def _keep_ready(self) -> None:
        """Tell it when that changes, and see that it answers."""
        with contextlib.suppress(Lost):
            while True:
                if self._orders.ready() is not self._ready or time.monotonic() >= self._ready_at + READY_EVERY_S:
                    await self.tell_ready()
                await asyncio.sleep(READY_LOOK_S)

    async def _over(self) -> None:
        was, self.up = self.up, False
        if was:
            self._changed()
        process, link, service, out = self._process, self._link, self._service, self._out
        if process is not None and process.returncode is None and not self._stop.is_set():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        if link is not None:
            link.close()
            await self._lost.wait()  # what it sent before it died has been taken by then
        if service is not None:
            service.gone()
        if out is not None:
            out.close()
        if process is not None:
            await process.wait()
        self._process = self._link = self._service = self._out = None

    # -- what it says

    def _on_counted(self, payload: bytes) -> None:
        self._served().counted(payload)

    def _on_closed(self, payload: bytes) -> None:
        closed = read_closed(payload)
        # Attack: a worker that was taken over says it has less than nothing to do, and is passed every caller there is.
        if not all(self._closed[what] <= closed[what] <= self._passed[what] for what in KINDS):
            raise ValueError("closed connections that never were")
        self._closed = closed
        self._changed()

    async def _answer(self, payload: bytes) -> bytes:
        return await self._served().answer(payload)

    def _served(self) -> Service:
        if self._service is None:
            _too_early()
        return self._service


def _too_early(payload: bytes = b"") -> NoReturn:
    raise ValueError("a worker that says something before it begins")
