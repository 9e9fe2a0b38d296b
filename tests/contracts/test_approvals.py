"""What every store of approvals must do, in memory or in SQL, with encryption or without."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from funcgate.core.approval import ApprovalStore, Grant, State, Ticket, TooManyPending
from funcgate.core.ids import new_id
from funcgate.stores.memory_approvals import MemoryApprovals
from funcgate.stores.sql import Database, SqlApprovals
from support.approvals import NOW, answer, approval, asked, terms

KEY = bytes(range(32))
replace = msgspec.structs.replace
Run = Callable[[Callable[[ApprovalStore], object]], None]


@pytest.fixture(params=["memory", "sqlite", "sealed"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., None]:
    """Runs a coroutine function with a store."""

    def within(test: Callable[[ApprovalStore], object]) -> None:
        async def whole() -> None:
            if request.param == "memory":
                await test(MemoryApprovals())  # type: ignore[misc]
                return
            database = Database(tmp_path / "state.db", KEY if request.param == "sealed" else None)
            try:
                await test(SqlApprovals(database))  # type: ignore[misc]
            finally:
                await database.close()

        asyncio.run(whole())

    return within


def test_what_is_kept_comes_back_as_it_was(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        kept = approval(answers=(answer("bob"),), terms=(terms(reason_required=True), terms(escalate_to=("group:x",))))
        assert await store.open(kept) is kept
        assert await store.get(kept.id) == kept
        assert await store.latest(kept.key) == kept
        assert await store.get("no such") is None
        assert await store.latest("no such") is None

    run(test)


def test_two_live_approvals_of_one_call_cannot_be(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        first = await store.open(approval())
        second = approval()
        assert (await store.open(second)).id == first.id
        assert await store.get(second.id) is None
        assert await store.swap(replace(first, state=State.USED, revision=2))
        assert (await store.open(second)).id == second.id
        assert (await store.latest(second.key)) == second

    run(test)


def test_of_many_at_once_one_is_opened(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        opened = await asyncio.gather(*(store.open(approval()) for _ in range(64)))
        assert len({one.id for one in opened}) == 1

    run(test)


def test_of_many_swaps_of_one_revision_one_is_done(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        kept = await store.open(approval())
        tried = [store.swap(replace(kept, revision=2, used_by=f"call {number}")) for number in range(64)]
        done = await asyncio.gather(*tried)
        assert sum(done) == 1
        found = await store.get(kept.id)
        assert found is not None
        assert (found.revision, found.used_by) == (2, f"call {done.index(True)}")
        assert not await store.swap(replace(kept, revision=4))
        assert not await store.swap(approval(revision=2))

    run(test)


def test_a_caller_has_no_more_waiting_than_it_may(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        for number in range(3):
            await store.open(approval(key=f"key {number}"), 3)
        with pytest.raises(TooManyPending):
            await store.open(approval(key="one more"), 3)
        assert (await store.open(approval(key="key 1"), 3)).key == "key 1"
        other = replace(asked().principal, subject="somebody else")
        await store.open(approval(key="another's", asked=asked(principal=other)), 3)
        first = await store.latest("key 0")
        assert first is not None
        await store.swap(replace(first, state=State.APPROVED, revision=2))
        await store.open(approval(key="one more"), 3)

    run(test)


def test_what_is_due_is_found_in_its_order(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        late = await store.open(approval(key="late", expires_at=NOW + 50))
        soon = await store.open(approval(key="soon", expires_at=NOW + 10))
        urgent = terms(escalate_after_s=20.0, escalate_to=("group:managers",))
        climbing = await store.open(approval(key="climbing", expires_at=NOW + 500, terms=(urgent,)))
        ended = await store.open(approval(key="ended", expires_at=NOW + 5))
        await store.swap(replace(ended, state=State.REJECTED, revision=2))
        assert [one.id for one in await store.due(NOW + 9)] == []
        assert [one.id for one in await store.due(NOW + 60)] == [soon.id, climbing.id, late.id]
        await store.swap(replace(climbing, escalated=True, revision=2))
        assert [one.id for one in await store.due(NOW + 60, limit=1)] == [soon.id]
        assert [one.id for one in await store.due(NOW + 60)] == [soon.id, late.id]

    run(test)


def test_they_are_listed_newest_first_page_by_page(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        kept = [await store.open(approval(key=f"key {number}")) for number in range(7)]
        await store.swap(replace(kept[3], state=State.USED, revision=2))
        newest_first = [one.id for one in reversed(kept)]
        first = await store.find(limit=3)
        assert [one.id for one in first] == newest_first[:3]
        assert [one.id for one in await store.find(before=first[-1].id)] == newest_first[3:]
        assert [one.id for one in await store.find(State.USED)] == [kept[3].id]
        assert await store.states([kept[0].id, kept[3].id, "no such"]) == {kept[0].id: 1, kept[3].id: 2}

    run(test)


def grant(**changes: object) -> Grant:
    plain = Grant(
        id=new_id(NOW), issuer="corp", subject="agent-7", acts_for="alice", function="payments.createTransfer",
        args=msgspec.Raw(b"{}"), schema="s", calls=2, created_at=NOW, expires_at=NOW + 100, approval="a",
        answers=(answer("bob"),),
    )  # fmt: skip
    return replace(plain, **changes)


def test_what_is_long_over_is_forgotten_and_nothing_else(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        day = 86400.0
        old = approval(id=new_id(NOW), key="k1", state=State.USED)
        long_lived = approval(id=new_id(NOW), key="k2", state=State.REJECTED, expires_at=NOW + 200 * day)
        live = approval(id=new_id(NOW), key="k3")
        new = approval(id=new_id(NOW + 50 * day), key="k4", state=State.USED, expires_at=NOW + 50 * day)
        for each in (old, long_lived, live, new):
            await store.open(each)
            await store.told("c", each.id, each.revision, "place")
        assert await store.forget(NOW + 10 * day) == 1
        assert {each.id for each in await store.find()} == {long_lived.id, live.id, new.id}
        assert await store.untold("c", "") == []
        assert await store.forget(NOW + 10 * day) == 0
        await store.open(old)  # what was told of it is forgotten, too
        assert await store.untold("c", "") == [(old, "")]

    run(test)


def test_a_grant_is_used_as_often_as_it_says(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        one = grant(calls=5)
        await store.add_grant(one)
        used = await asyncio.gather(*(store.use_grant(one.id, NOW) for _ in range(20)))
        assert sum(used) == 5
        assert await store.grants(now=NOW) == []
        assert not await store.use_grant("no such", NOW)

    run(test)


def test_grants_are_found_while_they_can_be_used(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        mine, other, old = grant(), grant(function="other.function"), grant(expires_at=NOW - 1)
        for one in (mine, other, old):
            await store.add_grant(one)
        assert await store.grants("payments.createTransfer", "agent-7", now=NOW) == [mine]
        assert await store.grants("payments.createTransfer", "somebody", now=NOW) == []
        assert {one.id for one in await store.grants(now=NOW)} == {mine.id, other.id}
        assert not await store.use_grant(old.id, NOW)
        await store.use_grant(mine.id, NOW)
        assert [one.used for one in await store.grants("payments.createTransfer", now=NOW)] == [1]
        assert await store.revoke_grant(mine.id)
        assert not await store.revoke_grant(mine.id)
        assert not await store.use_grant(mine.id, NOW)
        assert [one.id for one in await store.grants(now=NOW)] == [other.id]

    run(test)


def test_a_channel_learns_of_every_change_once(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        kept = await store.open(approval())
        assert await store.untold("slack", "") == [(kept, "")]
        await store.told("slack", kept.id, 1, "C1/17")
        assert await store.untold("slack", "") == []
        assert await store.untold("mail", "") == [(kept, "")]
        changed = replace(kept, state=State.REJECTED, revision=2)
        await store.swap(changed)
        assert await store.untold("slack", "") == [(changed, "C1/17")]
        assert await store.untold("slack", kept.id + "0") == []
        await store.told("slack", kept.id, 2, "C1/17")
        assert await store.untold("slack", "") == []

    run(test)


def test_a_ticket_is_used_once_and_forgotten_when_its_time_is_over(run: Run) -> None:
    async def test(store: ApprovalStore) -> None:
        ticket = Ticket(digest="d" * 64, approval=new_id(NOW), recipient="bob@corp.example", expires_at=NOW + 60)
        await store.add_ticket(ticket, NOW)
        assert await store.ticket(ticket.digest) == ticket
        assert sorted(await asyncio.gather(*(store.use_ticket(ticket.digest) for _ in range(8))))[-2:] == [False, True]
        assert await store.ticket(ticket.digest) == replace(ticket, used=True)
        assert not await store.use_ticket("no such")
        await store.add_ticket(replace(ticket, digest="e" * 64, expires_at=NOW + 90), NOW + 60)
        assert await store.ticket(ticket.digest) is None
        assert await store.ticket("e" * 64) is not None

    run(test)
