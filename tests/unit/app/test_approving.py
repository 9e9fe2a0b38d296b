"""The desk of a gateway goes on, whatever breaks in it."""

import asyncio
import gc
from pathlib import Path

import pytest

from funcgate.app import approving
from funcgate.app.approving import Approving
from funcgate.core.approval import State, StoreFailed
from funcgate.stores.memory import MemoryJournal
from support.approvals import approval


def test_a_part_that_breaks_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approving, "AGAIN_AFTER_S", 0.01)

    async def test() -> None:
        desk = Approving(tmp_path / "state.db", MemoryJournal(), (), "")
        old = approval(created_at=1.0, expires_at=2.0)
        await desk.store.open(old)
        look, broken = desk.desk.look_after, [ValueError("a fault of ours"), MemoryError()]

        async def breaks() -> None:
            if broken:
                raise broken.pop()
            await look()

        monkeypatch.setattr(desk.desk, "look_after", breaks)
        running = asyncio.create_task(desk.run())
        async with asyncio.timeout(10):
            while (kept := await desk.store.get(old.id)) is not None and kept.state is State.PENDING:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (broken, running.done()) == ([], False)
        running.cancel()
        await asyncio.wait([running])
        await desk.close()

    asyncio.run(test())


def test_what_is_asked_after_the_end_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        desk = Approving(tmp_path / "state.db", MemoryJournal(), (), "")
        await desk.store.open(approval())
        asking = asyncio.ensure_future(desk.store.due(0.0))
        await asyncio.sleep(0)
        await desk.close()
        assert await asking == []
        with pytest.raises(StoreFailed):
            await desk.store.due(0.0)

    asyncio.run(test())


def test_callers_who_go_away_leave_no_connections_behind(tmp_path: Path) -> None:
    """Each would be open files until the garbage collector comes by: in a gateway, rarely."""

    def files() -> int:
        named = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
        return sum(each.name.startswith("state.db") for each in named)

    async def test() -> None:
        desk = Approving(tmp_path / "state.db", MemoryJournal(), (), "")
        await desk.store.get("x")
        for turn in range(50):
            asking = [
                asyncio.ensure_future(desk.store.open(approval(id=f"{turn:04}{one:022}", key=f"{turn}-{one}")))
                if one % 4 == 0
                else asyncio.ensure_future(desk.store.due(0.0))
                for one in range(12)
            ]
            await asyncio.sleep(0.0004 * turn)
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        while desk.store._asking:  # they go on; on a slow disk so many of them leave no connection to the next
            await asyncio.wait(desk.store._asking)
        await desk.store.get("x")
        assert files() <= 4 * 3  # as many connections as the pool has
        await desk.close()

    gc.disable()
    try:
        asyncio.run(test())
    finally:
        gc.enable()
