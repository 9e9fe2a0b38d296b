"""What every store of revocations must do, in memory or in SQL, with encryption or without."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from funcgate.core.ids import new_id
from funcgate.core.revocation import Revocation, RevocationStore
from funcgate.stores.memory_revocations import MemoryRevocations
from funcgate.stores.sql import Database, SqlRevocations

KEY = bytes(range(32))
NOW = 1_800_000_000.0
Run = Callable[[Callable[[RevocationStore], object]], None]


def revocation(**changes: Any) -> Revocation:
    plain: dict[str, Any] = {
        "id": new_id(NOW), "at": NOW, "by": "corp/ada", "reason": "lost laptop", "token": "f00d" * 4, "until": NOW + 60,
    }  # fmt: skip
    return Revocation(**{**plain, **changes})


@pytest.fixture(params=["memory", "sqlite", "sealed"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Runs a coroutine function with a store."""

    def within(test: Callable[[RevocationStore], object]) -> None:
        async def whole() -> None:
            if request.param == "memory":
                await test(MemoryRevocations())  # type: ignore[misc]
                return
            database = Database(tmp_path / "state.db", KEY if request.param == "sealed" else None)
            try:
                await test(SqlRevocations(database))  # type: ignore[misc]
            finally:
                await database.close()

        asyncio.run(whole())

    return within


def test_what_is_kept_comes_back_as_it_was(run: Run) -> None:
    async def test(store: RevocationStore) -> None:
        kept = [
            revocation(),
            revocation(token="", issuer="corp", subject="agent-7", until=None),
            revocation(token="", session="run~0123456789abcdef", until=NOW + 5),
        ]
        for each in kept:
            await store.add(each)
        assert [await store.get(each.id) for each in kept] == kept
        assert await store.get("no such") is None

    run(test)


def test_what_stands_is_neither_over_nor_lifted(run: Run) -> None:
    async def test(store: RevocationStore) -> None:
        soon, late, always, lifted = (revocation(until=at) for at in (NOW + 10, NOW + 20, None, None))
        for each in (soon, late, always, lifted):
            await store.add(each)
        assert await store.lift(lifted.id, "corp/ada", NOW + 1)
        assert list(await store.standing(NOW + 9.9)) == [soon, late, always]
        assert list(await store.standing(NOW + 10)) == [late, always]
        assert list(await store.standing(NOW + 999)) == [always]

    run(test)


def test_one_is_lifted_once_and_says_by_whom(run: Run) -> None:
    async def test(store: RevocationStore) -> None:
        one, over = revocation(), revocation(until=NOW + 1)
        await store.add(one)
        await store.add(over)
        lifts = await asyncio.gather(*(store.lift(one.id, f"corp/{number}", NOW + 2) for number in range(16)))
        assert sum(lifts) == 1
        kept = await store.get(one.id)
        assert kept == msgspec.structs.replace(one, lifted_at=NOW + 2, lifted_by=f"corp/{lifts.index(True)}")
        assert not await store.lift(over.id, "corp/ada", NOW + 2)
        assert not await store.lift("no such", "corp/ada", NOW + 2)

    run(test)


def test_they_are_listed_newest_first_page_by_page(run: Run) -> None:
    async def test(store: RevocationStore) -> None:
        kept = [revocation() for _ in range(5)]
        for each in kept:
            await store.add(each)
        await store.lift(kept[3].id, "corp/ada", NOW + 1)
        first = await store.find(limit=2)
        assert [each.id for each in first] == [kept[4].id, kept[3].id]
        assert [each.id for each in await store.find(before=first[-1].id)] == [kept[at].id for at in (2, 1, 0)]
        assert [each.id for each in await store.find(NOW + 2)] == [kept[at].id for at in (4, 2, 1, 0)]
        assert list(await store.find(NOW + 60)) == []

    run(test)


def test_every_change_shows(run: Run) -> None:
    async def test(store: RevocationStore) -> None:
        one = revocation()
        seen = [await store.changes()]
        await store.add(one)
        seen.append(await store.changes())
        await store.lift(one.id, "corp/ada", NOW)
        seen.append(await store.changes())
        await store.add(revocation())
        seen.append(await store.changes())
        assert seen == sorted(set(seen))
        await store.lift(one.id, "corp/ada", NOW)
        assert await store.changes() == seen[-1]

    run(test)
