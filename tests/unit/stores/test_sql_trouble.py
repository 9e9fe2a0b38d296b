"""A database that is damaged, locked or none at all: it refuses, with its own exception, and serves again when it is mended."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from funcgate.core.approval import StoreFailed
from funcgate.stores.sql import Database, SqlApprovals, database
from support.approvals import NOW, approval

DAMAGED, SOUND = approval(id="1" * 26, key="k1"), approval(id="2" * 26, key="k2")


def with_store(path: Path, test: Callable[[SqlApprovals], Awaitable[None]]) -> None:
    async def whole() -> None:
        store = SqlApprovals(Database(path))
        try:
            await test(store)
        finally:
            await store.close()

    asyncio.run(whole())


@pytest.mark.parametrize("document", [b"{", b'{"id": 1}', b"", b"\xff", b'{"state":"of a newer version"}'])
def test_a_row_that_cannot_be_read_hides_no_other(tmp_path: Path, document: bytes) -> None:
    path = tmp_path / "state.db"

    async def test(store: SqlApprovals) -> None:
        await store.open(DAMAGED)
        await store.open(SOUND)
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE approvals SET document = ? WHERE id = ?", (document, DAMAGED.id))
        connection.close()
        for failing in (store.get(DAMAGED.id), store.latest("k1"), store.open(DAMAGED)):
            with pytest.raises(StoreFailed):
                await failing
        assert await store.get(SOUND.id) == SOUND
        assert await store.due(NOW + 900) == [SOUND]
        assert await store.find() == [SOUND]
        assert await store.untold("c", "") == [(SOUND, "")]

    with_store(path, test)


def test_what_is_no_database_is_refused_until_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database" * 1000)

    async def test(store: SqlApprovals) -> None:
        for failing in (store.get("x"), store.due(NOW), store.open(SOUND)):
            with pytest.raises(StoreFailed):
                await failing
        path.unlink()
        await store.open(SOUND)
        assert await store.get(SOUND.id) == SOUND

    with_store(path, test)


def test_while_another_process_holds_it_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "state.db"

    async def test(store: SqlApprovals) -> None:
        await store.open(DAMAGED)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreFailed):
            await store.open(SOUND)
        other.execute("ROLLBACK")
        other.close()
        assert await store.open(SOUND) == SOUND

    with_store(path, test)


def test_who_reads_waits_for_no_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.05)
    path = tmp_path / "state.db"

    async def test(store: SqlApprovals) -> None:
        await store.open(SOUND)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await store.get(SOUND.id) == SOUND
        assert await store.find() == [SOUND]
        other.close()

    with_store(path, test)


def test_a_connection_that_is_given_up_leaves_no_lock_though_a_cursor_of_it_lives(tmp_path: Path) -> None:
    """As one does in the exception of a task that was cancelled, until the garbage collector comes by."""
    path = tmp_path / "state.db"
    database = Database(path)

    async def given_up() -> None:
        async with database.write() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            rows = await driver.execute("SELECT 1 UNION SELECT 2")
            assert await rows.fetchone() == (1,)
            await connection.invalidate()
            other = sqlite3.connect(path, isolation_level=None, timeout=0)
            other.execute("BEGIN IMMEDIATE")
            other.close()
            del rows

    async def whole() -> None:
        with pytest.raises(StoreFailed):  # what it wrote is not there
            await given_up()
        await database.close()

    asyncio.run(whole())


def test_callers_who_go_away_in_the_middle_leave_no_lock(tmp_path: Path) -> None:
    async def test(store: SqlApprovals) -> None:
        for turn in range(10):
            writing: list[asyncio.Task[Any]] = [
                asyncio.ensure_future(store.open(approval(id=f"{turn:02}{one:024}", key=f"{turn}-{one}")))
                for one in range(20)
            ]
            await asyncio.sleep(0.001 * turn)
            for each in writing:
                each.cancel()
            await asyncio.gather(*writing, return_exceptions=True)
        assert await store.open(SOUND) == SOUND

    with_store(tmp_path / "state.db", test)
