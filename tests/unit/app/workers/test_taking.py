"""The connections that a worker is passed: served, counted when they are closed, and closed when nobody takes them any more."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import uvloop

from funcgate.app.listening import HTTP, POSTGRES, Listening
from funcgate.app.workers.taking import Taking

LIMIT_S = 20.0


class Far:
    """Stands where listeners do: `take` waits, or fails; `open` are those that it has."""

    def __init__(self) -> None:
        self.open: dict[bytes, list[socket.socket]] = {HTTP: [], POSTGRES: []}
        self.fails = False
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.fewer: Callable[[], None] = lambda: None

    def on_closed(self, call: Callable[[], None]) -> None:
        self.fewer = call

    def open_of(self, what: bytes) -> int:
        return len(self.open[what])

    async def take(self, what: bytes, connected: socket.socket) -> None:
        if self.fails:
            raise ConnectionResetError
        self.open[what].append(connected)  # as a transport does: it is open before the one who waits for it goes on
        self.fewer()
        await self.go_on.wait()

    def close(self, what: bytes) -> None:
        self.open[what].pop().close()
        self.fewer()


class World:
    def __init__(self) -> None:
        self.here, there = socket.socketpair()
        for each in (self.here, there):
            each.setblocking(False)
        self.far = Far()
        self.said: list[Mapping[bytes, int]] = []
        self.taking = Taking(there, cast(Listening, self.far), self.said.append)
        self.taking.start()

    def passes(self, what: bytes = HTTP) -> socket.socket:
        """A caller's end of a connection that is passed on."""
        caller, accepted = socket.socketpair()
        socket.send_fds(self.here, [what], [accepted.fileno()])
        accepted.close()
        caller.setblocking(False)
        return caller


def in_world(test: Callable[[World], Awaitable[None]]) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(LIMIT_S):
            await test(World())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def until(true: Callable[[], Any]) -> None:
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def test_what_is_closed_is_told_by_address() -> None:
    async def test(world: World) -> None:
        callers = [world.passes(HTTP) for _ in range(3)] + [world.passes(POSTGRES)]
        await until(lambda: (world.far.open_of(HTTP), world.far.open_of(POSTGRES)) == (3, 1))
        world.far.close(HTTP)
        world.far.close(HTTP)
        await until(lambda: world.said and world.said[-1] == {HTTP: 2, POSTGRES: 0})
        world.far.close(POSTGRES)
        await until(lambda: world.said[-1] == {HTTP: 2, POSTGRES: 1})
        for caller in callers:
            caller.close()

    in_world(test)


def test_the_numbers_never_fall() -> None:
    """While a handshake lasts the connection is open, and still begins: it must not be taken off what was closed."""

    async def test(world: World) -> None:
        world.passes()
        await until(lambda: world.far.open_of(HTTP) == 1)
        world.far.close(HTTP)
        await until(lambda: world.said == [{HTTP: 1, POSTGRES: 0}])
        world.far.go_on.clear()
        kept = [world.passes() for _ in range(5)]
        await until(lambda: world.far.open_of(HTTP) == 5)
        await asyncio.sleep(0.1)  # several reports long
        assert world.said == [{HTTP: 1, POSTGRES: 0}]
        world.far.go_on.set()
        for _ in kept:
            world.far.close(HTTP)
        await until(lambda: world.said[-1] == {HTTP: 6, POSTGRES: 0})

    in_world(test)


def test_what_ends_in_its_handshake_is_closed() -> None:
    async def test(world: World) -> None:
        world.far.fails = True
        caller = world.passes()
        await until(lambda: world.said == [{HTTP: 1, POSTGRES: 0}])
        assert await asyncio.get_running_loop().sock_recv(caller, 10) == b""

    in_world(test)


def test_after_the_stop_nobody_waits_for_an_answer() -> None:
    async def test(world: World) -> None:
        callers = [world.passes() for _ in range(3)]  # none is taken before the loop turns
        before = len(os.listdir("/proc/self/fd"))
        world.taking.stop()
        for caller in callers:
            assert await asyncio.get_running_loop().sock_recv(caller, 10) == b""
        assert len(os.listdir("/proc/self/fd")) <= before
        assert world.far.open_of(HTTP) == 0

    in_world(test)


def test_the_gateway_is_gone() -> None:
    """The link says so, and ends the process; until then nothing turns in a circle."""

    async def test(world: World) -> None:
        world.here.close()
        await asyncio.sleep(0.05)
        world.taking.stop()

    in_world(test)
