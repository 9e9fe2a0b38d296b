"""Channels are told of every change, in the end, whatever happens to them. The clock is virtual: nothing really waits."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import msgspec

from funcgate.approval.channels.channel import Heard, NotTold, Said
from funcgate.approval.notices import LONGEST_ASKED_S, LONGEST_PAUSE_S, LOOK_EVERY_S, OLDEST_S, SPARED_S, Notices
from funcgate.core.approval import Approval, State, StoreFailed
from funcgate.core.ids import new_id
from funcgate.stores.memory_approvals import MemoryApprovals
from support.approvals import NOW, approval


class Quick(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer when there is nothing else to do."""

    jumped_s = 0.0

    def time(self) -> float:
        return super().time() + self.jumped_s

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined]
            timers = [each.when() for each in self._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
            self.jumped_s += max(0.0, min(timers, default=0.0) - self.time())
        super()._run_once()  # type: ignore[misc]


def now() -> float:
    return NOW + asyncio.get_running_loop().time()


class Scripted:
    """A channel that keeps what it was told. `script` decides: nothing, or what to raise."""

    def __init__(self, name: str, script: Callable[[Approval], Exception | None] = lambda _: None) -> None:
        self.name = name
        self.script = script
        self.tries: list[float] = []
        self.told: list[tuple[str, int, str]] = []

    async def tell(self, approval: Approval, reference: str) -> str:
        self.tries.append(now())
        trouble = self.script(approval)
        if trouble is not None:
            raise trouble
        self.told.append((approval.id, approval.revision, reference))
        return reference or f"{self.name}/{len(self.told)}"

    async def hear(self, headers: Mapping[str, str], body: bytes, now: float) -> Heard | Said:
        return Said()

    async def reply(self, heard: Heard, approval: Approval | None, refusal: str) -> Said:
        return Said()

    async def close(self) -> None:
        pass


class Scene:
    def __init__(self, *channels: Scripted, store: MemoryApprovals | None = None) -> None:
        self.store = store or MemoryApprovals()
        self.troubles: list[tuple[str, str]] = []
        self.notices = Notices(self.store, channels, lambda name, text: self.troubles.append((name, text)), now)

    async def opened(self, age_s: float = 0.0) -> Approval:
        found = approval(id=new_id(now() - age_s), key=f"sha256:{new_id(now())}", expires_at=now() + 9e5)
        await self.store.open(found)
        self.notices.told(found)
        return found

    async def changed(self, found: Approval, state: State = State.PENDING) -> Approval:
        kept = await self.store.get(found.id)
        assert kept is not None
        new = msgspec.structs.replace(kept, state=state, revision=kept.revision + 1)
        assert await self.store.swap(new)
        self.notices.told(new)
        return new

    async def run(self, for_s: float) -> None:
        """The notices of one process, which is killed after that time."""
        task = asyncio.create_task(self.notices.run())
        await asyncio.sleep(for_s)
        assert not task.done(), task
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=Quick) as runner:
        runner.run(test)


def test_each_revision_is_told_once_and_where_the_last_one_was() -> None:
    async def test() -> None:
        channel = Scripted("a")
        scene = Scene(channel)
        found = await scene.opened()
        await scene.run(1)
        await scene.changed(found)
        await scene.run(1)
        await scene.run(60)
        assert channel.told == [(found.id, 1, ""), (found.id, 2, "a/1")]
        assert set(scene.troubles) == {("a", "")}

    run(test())


def test_what_nobody_woke_it_for_is_found() -> None:
    """Another gateway on the same store holds the call."""

    async def test() -> None:
        channel = Scripted("a")
        scene = Scene(channel)
        task = asyncio.create_task(scene.run(60))
        await asyncio.sleep(1)
        await scene.store.open(approval(id=new_id(now())))
        began = now()
        await task
        assert channel.tries[0] - began <= LOOK_EVERY_S

    run(test())


def test_a_channel_that_is_down_is_tried_less_and_less_often_and_told_in_the_end() -> None:
    async def test() -> None:
        channel = Scripted("a", lambda _: NotTold("down"))
        scene = Scene(channel)
        found = await scene.opened()
        await scene.run(400)
        pauses = [round(late - early) for early, late in zip(channel.tries, channel.tries[1:], strict=False)]
        assert pauses == [1, 2, 4, 8, 16, 32, *[int(LONGEST_PAUSE_S)] * (len(pauses) - 6)]
        assert scene.troubles[-1] == ("a", "down")
        channel.script = lambda _: None
        await scene.run(1)  # as after a restart: it does not wait
        assert channel.told == [(found.id, 1, "")]
        assert scene.troubles[-1] == ("a", "")

    run(test())


def test_new_calls_do_not_shorten_a_pause_and_a_pause_that_is_asked_for_is_kept() -> None:
    async def test() -> None:
        channel = Scripted("a", lambda _: NotTold("slow down", 300))
        scene = Scene(channel)
        await scene.opened()
        task = asyncio.create_task(scene.run(650))
        for _ in range(60):
            await asyncio.sleep(10)
            await scene.opened()
        await task
        assert [round(each - channel.tries[0]) for each in channel.tries] == [0, 300, 600]
        channel.script = lambda _: NotTold("never again", 9e9)
        channel.tries.clear()
        await scene.run(LONGEST_ASKED_S + 60)
        assert len(channel.tries) == 2

    run(test())


def test_a_dead_channel_and_one_that_hangs_hold_up_no_other() -> None:
    async def test() -> None:
        class Hanging(Scripted):
            async def tell(self, approval: Approval, reference: str) -> str:
                self.tries.append(now())
                await asyncio.sleep(9e9)
                raise AssertionError

        dead, hanging, alive = Scripted("dead", lambda _: NotTold("down")), Hanging("hanging"), Scripted("alive")
        scene = Scene(dead, hanging, alive)
        task = asyncio.create_task(scene.run(300))
        for count in range(20):
            await scene.opened()
            await asyncio.sleep(10)
            assert len(alive.told) == count + 1
        await task
        assert (dead.told, hanging.told) == ([], [])
        assert 2 < len(hanging.tries) < 10
        assert ("hanging", "it does not answer") in scene.troubles

    run(test())


def test_one_message_that_cannot_be_told_holds_up_no_other() -> None:
    async def test() -> None:
        bad: set[str] = set()

        def script(found: Approval) -> Exception | None:
            if found.id not in bad:
                return None
            return NotTold("too large", alone=True) if len(bad) == 1 else ValueError("canary")

        channel = Scripted("a", script)
        scene = Scene(channel)
        first = await scene.opened()
        bad.add(first.id)
        second = await scene.opened()
        await scene.run(1)
        assert [name for name, _, _ in channel.told] == [second.id]
        assert scene.troubles[-1] == ("a", "too large")
        for _ in range(5):
            third = await scene.opened()
            await scene.run(10)
            assert channel.told[-1][0] == third.id
        assert len(channel.tries) == 7, "the bad one was tried once"
        await scene.run(SPARED_S * 2)
        assert len(channel.tries) == 8
        bad.add("another kind of trouble")
        await scene.run(SPARED_S * 4)
        assert scene.troubles[-1] == ("a", f"{first.id} cannot be shown (ValueError)")
        bad.clear()
        await scene.run(SPARED_S * 16)
        assert channel.told[-1][0] == first.id
        assert scene.troubles[-1] == ("a", "")

    run(test())


def test_more_than_one_page_and_what_is_too_old() -> None:
    async def test() -> None:
        channel = Scripted("a")
        scene = Scene(channel)
        await scene.opened(OLDEST_S + 60)
        made = [(await scene.opened(1000 - at)).id for at in range(130)]
        await scene.run(1)
        assert [name for name, _, _ in channel.told] == made

    run(test())


def test_killed_between_telling_and_remembering_it_tells_again_and_no_more() -> None:
    async def test() -> None:
        class Forgetful(MemoryApprovals):
            killed = False

            async def told(self, channel: str, approval: str, revision: int, reference: str) -> None:
                if not self.killed:
                    self.killed = True
                    await asyncio.sleep(9e9)
                await super().told(channel, approval, revision, reference)

        channel = Scripted("a")
        scene = Scene(channel, store=Forgetful())
        found = await scene.opened()
        await scene.run(100)
        await scene.run(100)
        assert channel.told == [(found.id, 1, ""), (found.id, 1, "")]

    run(test())


def test_a_store_that_fails_is_tried_again() -> None:
    async def test() -> None:
        class Failing(MemoryApprovals):
            left = 3

            async def untold(self, channel: str, since: str, limit: int = 50) -> Any:
                self.left -= 1
                if self.left >= 0:
                    raise StoreFailed("the disk is away")
                return await super().untold(channel, since, limit)

        channel = Scripted("a")
        scene = Scene(channel, store=Failing())
        found = await scene.opened()
        await scene.run(20)
        assert channel.told == [(found.id, 1, "")]
        assert scene.troubles[:4] == [*[("a", "the disk is away")] * 3, ("a", "")]

    run(test())
