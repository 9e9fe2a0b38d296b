"""What one plain statement leaves for the next one of its session: nothing that anybody kept, and nothing to be found in it."""

import asyncio
import gc
from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.call import Permit
from funcgate.core.native import half
from funcgate.protocols.postgres import plain
from funcgate.protocols.postgres.session import Session
from funcgate.wire.postgres import frontend
from funcgate.wire.postgres.frames import frame
from support.planned import CALLER, bind, session_of
from support.quick import examples

native: Any = half("funcgate.protocols.postgres._drive")
if native is None:
    pytest.skip("nothing is compiled here", allow_module_level=True)

SQL = "INSERT INTO people (note) VALUES ($1)"
ANSWER = frame(b"2") + frame(b"C", b"INSERT 0 1\0") + frame(b"Z", b"I")
# Who may keep something of a call, beyond its end.
KEEPERS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "nobody": lambda *_: None,
    "exchange": lambda exchange, _call, _reply: exchange,
    "call": lambda _exchange, call, _reply: call,
    "args": lambda _exchange, call, _reply: call.args,
    "own": lambda _exchange, call, _reply: call.own,
    "values": lambda _exchange, call, _reply: call.args["parameters"],
    "reply": lambda _exchange, _call, reply: reply,
    "headers": lambda _exchange, _call, reply: reply.headers,
}
VALUES = st.sampled_from([None, b"", b"7", b"it's", b"a\\b", b"\xc3\xa9", b"x" * 2000])


def shown(kept: Any) -> Any:
    """All that can be seen of it."""
    if isinstance(kept, plain.Plain):
        return kept.call_id, shown(kept.call), kept._data, kept.passed, kept.client
    fields = getattr(kept, "__struct_fields__", None)
    return deepcopy(kept) if fields is None else [shown(getattr(kept, name)) for name in fields if name != "shared"]


class Through:
    """Where calls go through: `seen` is what each was judged by, `kept` what somebody has of it, and how it looked then."""

    def __init__(self, keeps: list[str], *, spoils: Callable[[Any, Any, Any], object] = lambda *_: None) -> None:
        self.seen: list[Any] = []
        self.kept: list[tuple[Any, Any]] = []
        self.places: list[tuple[int, int, int]] = []
        self._keeps, self._spoils = keeps, spoils

    async def carry(self, exchange: Any, _: Any) -> None:
        call = await exchange.resolve(CALLER)
        self.seen.append(deepcopy(judged(call)))
        reply = await exchange.send(Permit(call.id, call.digest), cast(Any, None))
        assert (reply.status, reply.headers, reply.media) == (200, [], "application/x-ndjson")
        assert (reply.stream, reply.trailers, reply.charset, reply.encoding) == (None, [], "", "")
        self.places.append((id(exchange), id(call), id(reply)))
        await exchange.deliver(reply)
        kept = KEEPERS[self._keeps.pop(0) if self._keeps else "nobody"](exchange, call, reply)
        self.kept.append((kept, shown(kept)))
        self._spoils(exchange, call, reply)


def judged(call: Any) -> Any:
    """What is judged, but for what is another one each time."""
    return (
        call.target, call.function, list(call.args.items()), call.principal, call.digest, call.shared.args,
        list(call.own.items()), call.client, call.trace, call.reason,
    )  # fmt: skip


async def carried(runs: list[bytes], through: Through) -> Session:
    """Each run, carried by a session whose task sleeps, and answered."""
    session = await session_of(SQL, b"", (), (), set())
    session.gateway = cast(Any, through)
    upstream = session.upstream
    assert upstream is not None
    channel = upstream.channel
    cast(Any, channel.transport).write = lambda data: asyncio.get_running_loop().call_soon(
        channel.data_received, ANSWER
    )
    quick = cast(Any, session._quick)
    for run in runs:
        session.caller.waiter = channel.waiter = waiter = asyncio.get_running_loop().create_future()
        quick.sleeps(waiter)
        session.caller.data_received(run)
        assert quick.busy
        for _ in range(1000):  # turns of the loop: there is nothing else to wait for
            if quick.busy:
                await asyncio.sleep(0)
        assert not quick.busy
        if quick.left is not None:
            left, quick.left = quick.left, None
            await session._settle(*left)
    return session


def run_of(values: list[bytes | None]) -> bytes:
    return bind(b"s", (), values, ()) + frontend.EXECUTE_AND_SYNC


async def slowly(run: bytes) -> Any:
    """As the Python code has it."""
    session = await session_of(SQL, run, (), (), set())
    found = session.extended.plain_ahead()
    return judged(await cast(Any, plain)._slow.resolve(found, CALLER))


@settings(deadline=None, max_examples=examples(200))
@given(
    st.lists(st.tuples(st.lists(VALUES, min_size=1, max_size=3), st.sampled_from([*KEEPERS])), min_size=2, max_size=6)
)
def test_each_is_judged_by_its_own(statements: list[tuple[list[bytes | None], str]]) -> None:
    """Attack: be judged by the arguments of the statement before, or change what was judged, recorded or held already."""

    async def run() -> None:
        runs = [run_of(values) for values, _ in statements]
        through = Through([keeper for _, keeper in statements])
        session = await carried(runs, through)
        assert through.seen == [await slowly(each) for each in runs]
        for kept, looked in through.kept:
            assert shown(kept) == looked
        cast(Any, session._quick).end()

    asyncio.run(run())


def test_the_next_one_has_what_nobody_kept() -> None:
    async def run() -> None:
        through = Through([])
        session = await carried([run_of([b"%d" % number]) for number in range(5)], through)
        assert len(set(through.places)) == 1
        cast(Any, session._quick).end()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("what", "spoils"),
    [
        ("exchange", lambda exchange, _call, _reply: setattr(exchange, "refused", None)),
        ("args", lambda _exchange, call, _reply: setattr(call, "args", {**call.args, "more": 1})),
        ("an argument", lambda _exchange, call, _reply: call.args.update(more=1)),
        ("own", lambda _exchange, call, _reply: call.own.update(more=1)),
        ("values", lambda _exchange, call, _reply: call.args.update(parameters=["other"])),
        ("function", lambda _exchange, call, _reply: setattr(call, "function", "shop.other")),
        ("reason", lambda _exchange, call, _reply: setattr(call, "reason", "because")),
        ("headers", lambda _exchange, _call, reply: reply.headers.append((b"a", b"b"))),
        ("charset", lambda _exchange, _call, reply: setattr(reply, "charset", "latin-1")),
        ("status", lambda _exchange, _call, reply: setattr(reply, "status", 500)),
    ],
)
def test_what_was_changed_is_not_there_for_the_next_one(what: str, spoils: Any) -> None:
    async def run() -> None:
        runs = [run_of([b"7"]), run_of([b"8"]), run_of([b"9", None])]
        through = Through([], spoils=spoils)
        session = await carried(runs, through)
        assert through.seen == [await slowly(each) for each in runs], what
        cast(Any, session._quick).end()

    asyncio.run(run())


def test_nothing_of_it_is_in_the_memory_of_an_idle_session() -> None:
    """Attack: read from there what a session that is idle sent last."""

    async def run() -> None:
        secret = b"4111-1111"
        session = await carried([run_of([secret])], Through([]))
        found: list[Any] = []
        seen: set[int] = set()
        waiting: list[Any] = [session._quick]
        while waiting:
            each = waiting.pop()
            if id(each) in seen or isinstance(each, type | SimpleNamespace):
                continue
            seen.add(id(each))
            if isinstance(each, bytes | bytearray | str):
                found.append(each)
            elif isinstance(each, list | tuple | dict) or type(each).__module__.startswith("funcgate."):
                waiting += gc.get_referents(each)
        texts = [each if isinstance(each, bytes | bytearray) else each.encode() for each in found]
        assert len(texts) > 10
        assert [each for each in texts if secret in each] == []
        cast(Any, session._quick).end()

    asyncio.run(run())
