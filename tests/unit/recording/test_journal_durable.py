"""What the compiled `append` gives: to tasks it is a future as any other, and a drive is told at once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from funcgate.core.native import half
from funcgate.core.refusal import Code, Refused

native = half("funcgate.stores.journal_files._intake")
drives = half("funcgate.protocols.postgres._drive")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(native is None or drives is None, reason="not built, or FUNCGATE_PURE is set"),
]

LOOPS = ["asyncio", "uvloop"]
Scene = Callable[[Any, list[object]], Coroutine[Any, Any, None]]


def refusal() -> Refused:
    return Refused(Code.JOURNAL_UNAVAILABLE, private_detail="no disk")


async def wait(future: Awaitable[None], said: list[object]) -> None:
    try:
        said.append(("got", await future))
    except asyncio.CancelledError as gone:
        said.append(("cancelled", gone.args))
        raise
    except Refused as refused:
        said.append(refused.code)


async def turns() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def it_ends(future: Any, said: list[object]) -> None:
    task = asyncio.ensure_future(wait(future, said))
    await turns()
    assert not said
    future.set_result(None)
    await task
    await wait(future, said)  # once more: it is done


async def it_is_refused(future: Any, said: list[object]) -> None:
    task = asyncio.ensure_future(wait(future, said))
    await turns()
    future.set_exception(refusal())
    await task
    said.append(type(future.exception()))


async def the_caller_goes(future: Any, said: list[object]) -> None:
    task = asyncio.ensure_future(wait(future, said))
    await turns()
    task.cancel("gone")
    await asyncio.wait([task])
    said.extend([task.cancelled(), future.done(), future.cancelled(), future.cancel()])
    with pytest.raises(asyncio.InvalidStateError):
        future.set_result(None)


async def the_caller_goes_before_it_waits(future: Any, said: list[object]) -> None:
    task = asyncio.ensure_future(wait(future, said))
    task.cancel()
    await asyncio.wait([task])
    said.extend([task.cancelled(), future.done()])
    future.set_result(None)


async def the_caller_goes_as_it_is_done(future: Any, said: list[object]) -> None:
    task = asyncio.ensure_future(wait(future, said))
    await turns()
    future.set_result(None)
    task.cancel()
    await asyncio.wait([task])
    said.extend([task.cancelled(), future.done(), future.cancelled()])


async def too_late(future: Any, said: list[object]) -> None:
    try:
        async with asyncio.timeout(0.001):
            await future
    except TimeoutError:
        said.append("late")
    said.append(future.cancelled())


async def a_shield(future: Any, said: list[object]) -> None:
    task = asyncio.ensure_future(asyncio.shield(future))
    await turns()
    task.cancel()
    await asyncio.wait([task])
    said.extend([task.cancelled(), future.done()])
    future.set_result(None)


async def together(future: Any, said: list[object]) -> None:
    other = asyncio.ensure_future(wait(asyncio.sleep(0), said))
    both = asyncio.gather(future, other)
    await turns()
    future.set_result(None)
    said.append(await both)


async def what_it_says(future: Any, said: list[object]) -> None:
    def note(done: Any) -> None:
        said.append(("called", done is future))

    def drop(done: Any) -> None:
        raise AssertionError(done)

    with pytest.raises(asyncio.InvalidStateError):
        future.result()
    with pytest.raises(asyncio.InvalidStateError):
        future.exception()
    said.extend([asyncio.isfuture(future), future.done(), future.cancelled(), future.get_loop() is not None])
    future.add_done_callback(note)
    future.add_done_callback(drop)
    future.add_done_callback(drop)
    said.extend([future.remove_done_callback(drop), future.remove_done_callback(drop)])
    future.set_result(None)
    said.append("set")
    future.add_done_callback(note)
    await turns()
    said.extend([future.result(), future.exception(), future.done()])


SCENES = [
    it_ends,
    it_is_refused,
    the_caller_goes,
    the_caller_goes_before_it_waits,
    the_caller_goes_as_it_is_done,
    too_late,
    a_shield,
    together,
    what_it_says,
]


def played(loop: str, scene: Scene, made: Callable[[asyncio.AbstractEventLoop], Any]) -> list[object]:
    said: list[object] = []

    async def play() -> None:
        async with asyncio.timeout(20):
            await scene(made(asyncio.get_running_loop()), said)

    if loop == "uvloop":
        uvloop = pytest.importorskip("uvloop")
        uvloop.run(play())
    else:
        asyncio.run(play())
    return said


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_it_does_what_a_future_does(loop: str, scene: Scene) -> None:
    found = played(loop, scene, native.Durable)
    assert found == played(loop, scene, lambda loop: loop.create_future())
    assert found


async def driven(end: Callable[[Any, Any], None]) -> tuple[list[object], list[object]]:
    said: list[object] = []
    loop = asyncio.get_running_loop()
    probe, future = drives.Probe(loop), native.Durable(loop)
    probe.begin(wait(future, said))
    await turns()
    assert not said
    end(probe, future)
    await turns()
    return said, probe.told


async def test_a_drive_goes_on() -> None:
    assert await driven(lambda _, future: future.set_result(None)) == ([("got", None)], [None])


async def test_a_drive_is_refused() -> None:
    assert await driven(lambda _, future: future.set_exception(refusal())) == ([Code.JOURNAL_UNAVAILABLE], [None])


async def test_a_drive_that_is_cancelled_waits_no_more() -> None:
    said, told = await driven(lambda probe, _: probe.cancel())
    assert said == [("cancelled", ())]
    assert [type(one) for one in told] == [asyncio.CancelledError]


async def test_a_drive_that_was_stopped_is_not_woken_by_what_it_waited_for() -> None:
    def end(probe: Any, future: Any) -> None:
        probe.stop()
        later: list[object] = []
        probe.begin(wait(asyncio.sleep(0), later))
        future.set_result(None)  # its batch is written only now

    said, told = await driven(end)
    assert said == [("cancelled", ())]
    assert [type(one) for one in told] == [asyncio.CancelledError, type(None)]


async def test_it_prompts_one_and_only_while_it_is_not_done() -> None:
    future = native.Durable(asyncio.get_running_loop())
    future.prompts(object())
    with pytest.raises(asyncio.InvalidStateError):
        future.prompts(object())
    done = native.Durable(asyncio.get_running_loop())
    done.set_result(None)
    with pytest.raises(asyncio.InvalidStateError):
        done.prompts(object())
