"""The compiled halves of PostgreSQL's channels beside the pure ones, and what runs calls from the loop's callbacks."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.core.native import half
from funcgate.core.turn import TURN
from funcgate.protocols.postgres import stream
from funcgate.wire.postgres import frontend

native = half("funcgate.protocols.postgres._drive")
if native is None:
    pytest.skip("nothing is compiled here", allow_module_level=True)
LIMITS = {frontend.QUERY[0]: 1000}
READY = b"Z\0\0\0\5I"
PIECES = [
    b"Q\0\0\0\x0dSELECT 1\0",
    b"Q\0\0\0\5\0",
    b"Q\0\0\0",
    READY,
    b"B",
    b"",
    b"x" * 70_000,
    b"Q\0\0\0\x06\0\0",
    b"\xff",
]


class Paused:
    """Counts what a transport is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pause_reading(self) -> None:
        self.told.append("pause")

    def write(self, data: bytes) -> None:
        self.told.append(data.hex())

    def set_write_buffer_limits(self, high: int) -> None:
        self.told.append(str(high))


Step = tuple[str, Any]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("data"), st.sampled_from(PIECES)),
        st.tuples(st.just("took"), st.integers(0, 80_000)),
        st.tuples(st.just("whole"), st.sampled_from([0, 5, 6, 64 << 10, 1 << 20])),
        st.tuples(st.sampled_from(["ahead", "kind", "empty", "quiet", "full", "write", "pause", "end"]), st.none()),
    ),
    max_size=30,
)


def played(kind: type[Any], steps: list[Step]) -> list[Any]:
    """What each step gives."""

    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        one, transport, seen = kind(loop, LIMITS), Paused(), []
        one.connection_made(transport)
        for name, value in steps:
            if name == "data":
                one.data_received(value)
            elif name == "took":
                one.took(min(value, len(one._buffer) - one._at))
            elif name == "whole":
                seen.append(one.whole(value))
            elif name == "pause":
                one._drained = loop.create_future()
            elif name == "end":
                one.ended = True
            elif name == "write":
                try:
                    one.write(b"12")
                except stream.Ended:
                    seen.append("ended")
            else:
                found = getattr(one, name)
                seen.append(found() if callable(found) else found)
            seen.append((bytes(one._buffer[one._at :]), one._wanted, one._paused, one.ended))
        return [*seen, transport.told]

    return asyncio.run(run())


@given(STEPS)
def test_both_give_the_same(steps: list[Step]) -> None:
    assert played(native.Stream, steps) == played(stream.PureStream, steps)


def test_more_than_is_there_is_not_taken() -> None:
    async def run() -> None:
        one = native.Stream(asyncio.get_running_loop(), LIMITS)
        one.data_received(b"abc")
        for size in (-1, 4, 1 << 40):
            with pytest.raises(ValueError, match="more than"):
                one.took(size)

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["native", "pure"])
def test_who_waits_is_woken_or_told_that_it_took_too_long(kind: str) -> None:
    async def run() -> list[str]:
        loop, seen = asyncio.get_running_loop(), []
        one = (native.Stream if kind == "native" else stream.PureStream)(loop, LIMITS)
        loop.call_later(0.01, one.data_received, b"abc")
        await one.arrival(5)
        seen.append("came")
        try:
            await one.arrival(0.01)
        except TimeoutError:
            seen.append("late")
        loop.call_later(0.01, one.wake)
        await one.arrival()
        one.ended = True
        with pytest.raises(stream.Ended):
            await one.arrival()
        return seen

    assert asyncio.run(run()) == ["came", "late"]


def test_the_time_of_one_wait_does_not_end_the_next() -> None:
    """A statement's answer came in time; the tables that are read for the next one, with the same prompt, take longer."""

    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        one, probe = native.Stream(loop, LIMITS), native.Probe(loop)
        one.prompt = probe

        async def work() -> None:
            await one.arrival(0.5)
            one.took(1)
            await one.arrival()

        probe.begin(work())
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while one.waiter is None:  # noqa: ASYNC110 - what is tested is not built on events
                await asyncio.sleep(0)
            one.data_received(b"x")
            ends = loop.time() + 0.6
            while loop.time() < ends:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert not probe.told
            one.data_received(b"y")
            while not probe.told:  # noqa: ASYNC110
                await asyncio.sleep(0)
        return list(probe.told)

    assert asyncio.run(run()) == [None]


# What runs calls.


def driven(work: Callable[[Any], Coroutine[Any, Any, None]], *meanwhile: Callable[[Any], None]) -> list[Any]:
    """What a drive's end told. `meanwhile` is done to it, a turn apart."""

    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        drive = native.Probe(loop)
        drive.begin(work(drive))
        for each in meanwhile:
            await asyncio.sleep(0.01)
            each(drive)
        async with asyncio.timeout(10):
            while not drive.told:  # noqa: ASYNC110 - what is tested is not built on events
                await asyncio.sleep(0.001)
        assert asyncio.current_task() is not None
        return list(drive.told)

    return asyncio.run(run())


async def _plain(drive: Any) -> None:
    await asyncio.sleep(0)
    assert asyncio.current_task() is drive
    await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    done.set_result(None)
    await done
    loop.call_later(0.01, drive.set_result, None)
    await drive.armed()
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        return
    raise AssertionError


async def _waits_for_ever(_: Any) -> None:
    await asyncio.Event().wait()


async def _waits_for_the_prompt(drive: Any) -> None:
    await drive.armed()


async def _turns_for_ever(_: Any) -> None:
    while True:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def _fails(_: Any) -> None:
    await asyncio.sleep(0)
    raise KeyError


async def _waits_for_nothing_that_can_be(_: Any) -> None:
    class Odd:
        def __await__(self) -> Any:
            yield 7

    await Odd()


async def _does_not_give_up(_: Any) -> None:
    for _ in range(3):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


def test_a_coroutine_runs_to_its_end() -> None:
    assert driven(_plain) == [None]


@pytest.mark.parametrize("work", [_waits_for_ever, _waits_for_the_prompt, _turns_for_ever])
@pytest.mark.parametrize("how", ["cancel", "stop"])
def test_it_can_be_ended_wherever_it_waits(work: Callable[[Any], Coroutine[Any, Any, None]], how: str) -> None:
    (told,) = driven(work, lambda drive: getattr(drive, how)())
    assert isinstance(told, asyncio.CancelledError)


def test_it_is_asked_again_where_it_does_not_give_up() -> None:
    assert driven(_does_not_give_up, *[lambda drive: drive.cancel()] * 3) == [None]


def test_a_prompt_may_fail() -> None:
    (told,) = driven(_waits_for_the_prompt, lambda drive: drive.set_exception(TimeoutError()))
    assert isinstance(told, TimeoutError)


def test_failures_are_told() -> None:
    assert isinstance(driven(_fails)[0], KeyError)
    assert isinstance(driven(_waits_for_nothing_that_can_be)[0], RuntimeError)


def test_the_next_one_runs_where_one_was_ended() -> None:
    def again(drive: Any) -> None:
        drive.stop()
        drive.begin(_plain(drive))

    told = driven(_turns_for_ever, again, lambda _: None)
    assert isinstance(told[0], asyncio.CancelledError)


def test_three_steps_are_taken_in_one_turn_of_the_loop_and_no_more() -> None:
    """Attack: a large answer to a caller of PostgreSQL, while callers of other protocols wait for their turn."""

    async def turned(drives: int) -> tuple[list[int], int]:
        loop, at, seen = asyncio.get_running_loop(), 0, []

        def turn() -> None:
            nonlocal at
            at += 1
            loop.call_soon(turn)

        async def work() -> None:
            for _ in range(5):
                await TURN
                seen.append(at)

        probes = [native.Probe(loop) for _ in range(drives)]
        turn()
        for probe in probes:
            probe.begin(work())
        for _ in range(10):
            await asyncio.sleep(0)
        assert [probe.told for probe in probes] == [[None]] * drives
        return [each - seen[0] for each in seen], at

    alone, _ = asyncio.run(turned(1))
    assert alone == [0, 0, 1, 1, 1]
    together, _ = asyncio.run(turned(2))
    assert together == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_each_drive_is_the_current_task_of_its_own_steps() -> None:
    """Attack: a step that runs as another statement's task, whose timeout then ends it."""

    async def run() -> None:
        loop, seen = asyncio.get_running_loop(), []

        async def work(drive: Any, until: asyncio.Event) -> None:
            for _ in range(5):
                seen.append(asyncio.current_task() is drive)
                await TURN
            await until.wait()
            seen.append(asyncio.current_task() is drive)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await asyncio.get_running_loop().create_future()
            for other in probes:
                if other is not drive:
                    other.stop()
            seen.append(asyncio.current_task() is drive)

        until = asyncio.Event()
        probes = [native.Probe(loop) for _ in range(3)]
        for probe in probes:
            probe.begin(work(probe, until))
        for _ in range(10):
            await asyncio.sleep(0)
            assert asyncio.current_task() is not None
            assert asyncio.current_task() not in probes
        until.set()
        async with asyncio.timeout(10):
            while not all(probe.told for probe in probes):  # noqa: ASYNC110 - what is tested is not built on events
                await asyncio.sleep(0.001)
        assert len(seen) >= 3 * 5 + 3
        assert all(seen)

    asyncio.run(run())


def test_it_is_the_current_task_also_where_asyncio_does_not_show_what_that_is() -> None:
    done = subprocess.run([sys.executable, "-c", UNSEEN], capture_output=True, timeout=60, text=True)
    assert (done.stdout, done.returncode) == ("[True, True, True, True]\n", 0), done.stderr


UNSEEN = """
import asyncio
kept, asyncio.tasks._current_tasks = asyncio.tasks._current_tasks, {}  # not asyncio's own, as where there is none
from funcgate.protocols.postgres import _drive as native
asyncio.tasks._current_tasks = kept
from funcgate.core.turn import TURN
async def run():
    probes, seen = [native.Probe(asyncio.get_running_loop()) for _ in range(2)], []
    async def work(drive):
        for _ in range(2):
            await TURN
            seen.append(asyncio.current_task() is drive)
    for probe in probes:
        probe.begin(work(probe))
    while len(seen) < 4:
        await asyncio.sleep(0)
    print(seen)
asyncio.run(run())
"""


def test_the_next_statement_waits_for_what_is_left_of_the_last() -> None:
    """Attack: have one refused, and the next one arrive before the session has heard of that."""

    async def run() -> None:
        quick, caller, _, asked = sleeping(passed=False)
        caller.data_received(b"B")
        assert quick.busy
        await quick.free()
        caller.data_received(b"B")
        assert not quick.busy
        assert [quick.left] == [(asked[0], None)]
        quick.end()

    asyncio.run(run())


def test_no_statement_begins_beside_a_session_that_is_awake() -> None:
    """Attack: have the database say something while a statement is judged; the session's task takes the next one's answer."""

    async def run() -> None:
        quick, caller, channel, asked = sleeping(passed=True)
        caller.data_received(b"B")
        channel.wake()
        assert quick.busy
        await quick.free()
        caller.data_received(b"B")
        assert not quick.busy
        assert len(asked) == 1
        quick.end()

    asyncio.run(run())


class Extended(native.Gathering):
    """What a session's extended protocol shows."""

    names: Any
    plain_ahead: Any


def linked(channel: Any, state: bytes) -> Any:
    """A session's connection to its database."""
    found = native.Linked()
    found.channel, found.state = channel, state
    return found


def sleeping(*, passed: bool) -> tuple[Any, Any, Any, list[Any]]:
    """A session's statements, its two channels, and what was begun; its task sleeps."""
    loop = asyncio.get_running_loop()
    caller, channel = native.Stream(loop, LIMITS), native.Stream(loop, LIMITS)
    asked: list[Any] = []

    def plain_ahead() -> Any:
        caller.took(1)
        asked.append(native.Way.__new__(native.Way))
        asked[-1].passed = passed
        return asked[-1]

    async def carry(*_: Any) -> None:
        await asyncio.sleep(0)

    session = native.Standing()
    session.caller, session.upstream = caller, linked(channel, b"T")
    session.held, session.alarm = [], native.Alarm(loop)
    session.sites = SimpleNamespace(draining=False, site=SimpleNamespace(snapshot=None))
    session.gateway = SimpleNamespace(carry=carry)
    session.extended = extended = Extended()
    extended.plain_ahead, extended.names = plain_ahead, SimpleNamespace(statements={}, portals={})
    extended._failed, extended._waiting = False, []
    quick = native.Quick(session, loop)
    waiter = loop.create_future()
    caller.waiter = channel.waiter = waiter
    quick.sleeps(waiter)
    return quick, caller, channel, asked


class Slow(native.Way):
    """A statement whose answer is not plain."""

    ended = ""

    def _unplain(self) -> None:
        pass

    async def _read(self, _: Any, *, strict: bool) -> str:
        try:
            await TURN
            if self._asked:
                await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        return f"slowly, {strict}"

    def unanswered(self, error: BaseException) -> Exception:
        return LookupError(type(error).__name__)


@pytest.mark.parametrize(
    ("said", "asked", "stops", "told"),
    [
        (b"C\0\0", "", False, "slowly, False"),
        (b"", "", False, LookupError),  # nothing in time
        (b"", "", True, asyncio.CancelledError),
        (b"C\0\0", "2", True, asyncio.CancelledError),
    ],
)
def test_a_statement_that_was_sent_waits_and_ends_as_a_coroutine_does(
    said: bytes, asked: str, stops: bool, told: Any
) -> None:
    async def run() -> None:
        loop, got = asyncio.get_running_loop(), []
        channel, session, way = native.Stream(loop, LIMITS), native.Standing(), Slow.__new__(Slow)
        probe = native.Probe(loop)
        channel.prompt = probe
        channel.transport = SimpleNamespace(write=lambda _: None)
        channel.data_received(said)
        session.upstream, session.held = linked(channel, b"I"), []
        session.sites, session.origins = SimpleNamespace(draining=False, site=None), native.Knowledge()
        session.origins.until = loop.time() + 60
        way.session, way._plan, way._data, way._asked = session, native.Plan.__new__(native.Plan), b"B", asked
        way.call = SimpleNamespace(digest="x")

        async def work() -> None:
            got.append(await way.send(SimpleNamespace(spend=lambda _: None), None))

        probe.begin(work())
        await asyncio.sleep(0)
        if stops:
            probe.cancel()
        async with asyncio.timeout(10):
            while not probe.told:  # noqa: ASYNC110 - what is tested is not built on events
                await asyncio.sleep(0.001)
        if isinstance(told, str):
            assert (got, probe.told) == ([told], [None])
        else:
            assert isinstance(probe.told[0], told)
            assert way.ended == ("cancelled" if asked else "")

    asyncio.run(run())
