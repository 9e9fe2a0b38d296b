"""The desk of a gateway goes on, whatever breaks in it."""

import asyncio
from pathlib import Path

import pytest

from funcgate.app import approving
from funcgate.app.approving import Approving
from funcgate.core.approval import State
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
