"""What the task of a session that is idle still holds of the statement before: nothing of what it sent."""

import asyncio
import gc
from types import FunctionType, ModuleType
from typing import Any, cast

import pytest

from funcgate.core.call import Permit
from funcgate.wire.postgres import frontend
from funcgate.wire.postgres.frames import frame
from support.planned import CALLER, bind, session_of

SECRET = b"4111-1111"
SQL = "INSERT INTO people (note) VALUES ($1)"
READY = frame(b"Z", b"I")
ANSWERS = {
    "inserted": frame(b"2") + frame(b"C", b"INSERT 0 1\0") + READY,
    "no": frame(b"2") + frame(b"E", b"SERROR\0C23505\0Mno\0\0") + READY,
}


class Through:
    """Where calls go through; the session is connected already. `over` is how many got to their end."""

    over = 0

    async def carry(self, exchange: Any, _: Any) -> None:
        if type(exchange).__name__ == "Connect":
            return
        call = await exchange.resolve(CALLER)
        await exchange.deliver(await exchange.send(Permit(call.id, call.digest), cast(Any, None)))
        self.over += 1


def held(task: asyncio.Task[None]) -> list[str]:
    """Where in its frames the secret is."""
    found: list[str] = []
    coroutine: Any = task.get_coro()
    while hasattr(coroutine, "cr_frame"):
        frame_of, coroutine = coroutine.cr_frame, coroutine.cr_await
        for name, value in frame_of.f_locals.items():
            waiting, seen = [value], set[int]()
            while waiting:
                each = waiting.pop()
                if id(each) in seen or isinstance(each, type | ModuleType | FunctionType):
                    continue
                seen.add(id(each))
                if isinstance(each, bytes | bytearray | str):
                    raw = each.encode() if isinstance(each, str) else bytes(each)
                    found += [f"{frame_of.f_code.co_name}: {name}"] if SECRET in raw else []
                elif isinstance(each, list | tuple | dict) or type(each).__module__.startswith("funcgate."):
                    waiting += gc.get_referents(each)
    return found


@pytest.mark.parametrize("answer", ANSWERS)
def test_nothing_of_the_last_statement_is_in_the_frames_of_an_idle_session(answer: str) -> None:
    """Attack: read from there what a session that is idle sent last, which the database refused, say."""

    async def run() -> None:
        session = await session_of(SQL, b"", (), (), set())
        through = Through()
        session.gateway = cast(Any, through)
        assert session.upstream is not None
        channel, loop = session.upstream.channel, asyncio.get_running_loop()
        cast(Any, channel.transport).write = lambda _: loop.call_soon(channel.data_received, ANSWERS[answer])
        task = loop.create_task(session.run({}))
        await asyncio.sleep(0)
        session.caller.data_received(bind(b"s", (), [SECRET], ()) + frontend.EXECUTE_AND_SYNC)
        for _ in range(1000):  # turns of the loop: there is nothing else to wait for
            await asyncio.sleep(0)
        assert through.over == 1
        assert not task.done()
        assert held(task) == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
