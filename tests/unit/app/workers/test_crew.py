"""The crew with real child processes that carry nothing: who gets which connection, and what ends a worker."""

import asyncio
import errno
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from funcgate.app import read_parts
from funcgate.app.building import StartFailed
from funcgate.app.workers import crew as crew_module
from funcgate.app.workers import door, mate, telling
from funcgate.app.workers.crew import Crew
from funcgate.app.workers.link import Link
from funcgate.app.workers.mate import Mate
from funcgate.app.workers.messages import Ready
from funcgate.app.workers.orders import Cancel
from funcgate.app.workers.telling import Telling
from support.authority import Authority

TESTS = Path(__file__).parents[3]
LIMIT_S = 60.0
TEXT = """\
listen: {calls: 127.0.0.1:0, console: 127.0.0.1:0, workers: WORKERS}
data_dir: ./data
issuers:
  - {name: corp, issuer: https://idp.example, audience: funcgate, jwks_file: JWKS}
targets:
  - {name: shop, protocol: http, url: http://127.0.0.1:1, functions: [{name: read, http: GET /read}]}
policies:
  - {name: readers, effect: allow, functions: [shop.read], principals: ["group:agents"]}
"""


class Serving:
    """What serves one worker, and writes down what it said."""

    def __init__(self, all_of: "list[Serving]", number: int) -> None:
        self.number = number
        self.counts: list[bytes] = []
        self.gone_times = 0
        all_of.append(self)

    async def answer(self, payload: bytes) -> bytes:
        return b""

    def lines(self, payload: bytes) -> None:
        raise ValueError("nothing that a worker says")

    def counted(self, payload: bytes) -> None:
        self.counts.append(payload)

    def gone(self) -> None:
        self.gone_times += 1


class World:
    """A crew of workers of this kind."""

    def __init__(self, path: Path, how: str) -> None:
        self.served: list[Serving] = []
        self.telling = Telling(lambda: self.crew.workers())  # noqa: PLW0108
        command = (sys.executable, "-m", "support.mates", how)
        self.crew = Crew(path, read_parts(path, serving=True), self.serve, self.telling, lambda: True, command=command)

    def serve(self, number: int, link: Link, cancel: Cancel) -> Serving:
        return Serving(self.served, number)

    def mate(self, number: int) -> Mate:
        return self.crew._mates[number]

    @property
    def port(self) -> int:
        return int(self.crew.addresses["calls"].rpartition(":")[2])

    async def connect(self) -> "Caller":
        return await Caller.connected(self.port)


class Caller:
    """A connection, and which worker answered on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connected(cls, port: int) -> "Caller":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def worker(self) -> int:
        return int((await self.reader.read(100)).split()[0])

    async def process(self) -> int:
        return int((await self.reader.read(100)).split()[1])

    def close(self) -> None:
        self.writer.close()


async def until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


Check = Callable[[World], Awaitable[None]]
Run = Callable[..., World]


@pytest.fixture
def with_crew(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    monkeypatch.setattr(mate, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(mate, "LONGEST_PAUSE_S", 0.05)
    path = tmp_path / "funcgate.yaml"

    def run(check: Check, how: str = "well", workers: int = 2) -> World:
        path.write_text(TEXT.replace("JWKS", str(authority.jwks_file)).replace("WORKERS", str(workers)))

        async def scenario() -> World:
            async with asyncio.timeout(LIMIT_S):
                world = World(path, how)
                try:
                    await world.crew.start()
                    await check(world)
                finally:
                    await world.crew.end()
                return world

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(scenario())

    return run


async def all_up(world: World) -> None:
    await until(lambda: all(mate.up for mate in world.crew._mates))


def test_connections_go_to_the_one_with_the_fewest(with_crew: Run) -> None:
    async def check(world: World) -> None:
        await all_up(world)
        callers = [await world.connect() for _ in range(30)]
        numbers = [await caller.worker() for caller in callers]
        assert Counter(numbers) == {0: 10, 1: 10, 2: 10}
        gone = [caller for caller, number in zip(callers, numbers, strict=True) if number == 1]
        for caller in gone:
            caller.close()
        await until(lambda: world.mate(1).open == 0)
        more = [await world.connect() for _ in range(10)]
        assert [await caller.worker() for caller in more] == [1] * 10
        assert [mate.open for mate in world.crew._mates] == [10, 10, 10]

    world = with_crew(check, workers=3)
    assert [served.gone_times for served in world.served] == [1, 1, 1]


def test_one_that_is_killed_is_started_again(with_crew: Run) -> None:
    async def check(world: World) -> None:
        await all_up(world)
        first, second = await world.connect(), await world.connect()
        killed = await first.process()
        os.kill(killed, signal.SIGKILL)
        assert await first.reader.read() == b""
        await until(lambda: world.crew.warnings() == ["1 of 2 workers cannot take calls"])
        assert world.crew.checks() == {"workers": "ok"}
        await all_up(world)
        assert world.crew.warnings() == []
        assert sorted([await (await world.connect()).process() != killed for _ in range(4)]) == [True] * 4
        second.close()

    world = with_crew(check)
    assert sorted(served.number for served in world.served) in ([0, 0, 1], [0, 1, 1])
    assert [served.gone_times for served in world.served] == [1, 1, 1]


def test_while_there_is_none_callers_wait_in_the_systems_queue(with_crew: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(world: World) -> None:
        await all_up(world)
        monkeypatch.setattr(mate, "FIRST_PAUSE_S", 0.5)
        for one in world.crew._mates:
            one.kill("the test")
        await until(lambda: not world.crew.workers())
        assert world.crew.checks() == {"workers": "no worker takes calls"}
        caller = await world.connect()
        assert await caller.worker() in (0, 1)

    with_crew(check)


@pytest.mark.parametrize("how", ["refuses", "dies"])
def test_a_gateway_does_not_start_without_any(with_crew: Run, how: str) -> None:
    async def check(world: World) -> None:
        raise AssertionError("it started")

    with pytest.raises(StartFailed, match=r"no worker can be started: (it does not like it|the other end is gone)"):
        with_crew(check, how)


def test_a_command_that_is_not_there(with_crew: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(world: World) -> None:
        raise AssertionError("it started")

    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(StartFailed, match="No such file"):
        with_crew(check)


def test_one_begins_and_the_other_is_tried_again(with_crew: Run) -> None:
    async def check(world: World) -> None:
        await until(lambda: [served.number for served in world.served].count(1) >= 3)
        assert [mate.number for mate in world.crew.workers()] == [0]
        assert await (await world.connect()).worker() == 0

    with_crew(check, "second refuses")


@pytest.mark.parametrize("how", ["forges", "babbles"])
def test_one_that_says_what_no_worker_says_is_ended(with_crew: Run, how: str) -> None:
    async def check(world: World) -> None:
        raise AssertionError("it started")

    with pytest.raises(StartFailed, match="ValueError in a frame of kind"):
        with_crew(check, how)


def test_one_that_does_not_take_a_revocation_is_killed(with_crew: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "REVOKE_S", 0.2)

    async def check(world: World) -> None:
        raise AssertionError("it started")

    with pytest.raises(StartFailed, match="no answer within"):
        with_crew(check, "deaf")


def test_one_whose_socket_is_full_is_passed_over(with_crew: Run) -> None:
    """Nothing waits for a worker that takes no connections; callers wait in the system's queue."""

    async def check(world: World) -> None:
        await all_up(world)
        callers = [await world.connect() for _ in range(600)]
        await until(lambda: world.crew._door._sockets[0]._held is not None)
        assert sum(mate.open for mate in world.crew._mates) < 600
        assert not (await world.mate(0).told(Ready(True), LIMIT_S)).problem  # its link waits for none of it
        for caller in callers:
            caller.close()

    with_crew(check, "takes nothing")


def test_a_link_that_cannot_be_made_leaves_no_descriptor(with_crew: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(world: World) -> None:
        await all_up(world)
        loop, tried, before = asyncio.get_running_loop(), list[int](), descriptors()
        real = loop.create_unix_connection

        async def create(*given: object, **named: object) -> object:
            tried.append(1)
            if len(tried) < 4:
                raise OSError(errno.ENOMEM, "no room")
            return await real(*given, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(loop, "create_unix_connection", create)
        world.mate(0).kill("the test")
        await until(lambda: len(tried) == 4)
        await all_up(world)
        await until(lambda: descriptors() == before)

    with_crew(check)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_short_of_descriptors_it_waits_and_goes_on(with_crew: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "SHORT_OF_PAUSE_S", 0.05)
    tried: list[int] = []
    accept = socket.socket.accept

    def short_of(self: socket.socket) -> tuple[socket.socket, object]:
        tried.append(1)
        if len(tried) < 4:
            raise OSError(errno.EMFILE, "too many")
        return accept(self)

    async def check(world: World) -> None:
        await all_up(world)
        monkeypatch.setattr(socket.socket, "accept", short_of)
        assert await (await world.connect()).worker() in (0, 1)
        assert 4 <= len(tried) <= 6

    with_crew(check)


def test_a_cancel_request_goes_to_the_worker_that_numbered_it(with_crew: Run) -> None:
    async def check(world: World) -> None:
        await all_up(world)
        await world.crew.cancel(7, b"1234")
        by_number = {served.number: served for served in world.served}
        await until(lambda: by_number[1].counts)
        assert (by_number[0].counts, by_number[1].counts) == ([], [b"cancelled by 7"])

    with_crew(check)


def test_a_drain_waits_for_all_and_no_longer_than_it_may(with_crew: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "FLUSH_LIMIT_S", 0.1)

    async def well(world: World) -> None:
        await all_up(world)
        assert await world.crew.drain(5.0, asyncio.Event())
        with pytest.raises(ConnectionRefusedError):
            await world.connect()

    async def stays(world: World) -> None:
        await all_up(world)
        assert not await world.crew.drain(0.1, asyncio.Event())

    with_crew(well)
    with_crew(stays, "stays")


def test_no_process_is_left(with_crew: Run) -> None:
    processes: list[int] = []

    async def check(world: World) -> None:
        await all_up(world)
        processes.extend([await (await world.connect()).process() for _ in range(2)])

    with_crew(check)
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)
