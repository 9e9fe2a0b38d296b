"""The desk: who joins, who runs, who is told what. Each test with both stores, and as a worker asks it."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from funcgate.approval.answers import Answers, Unanswered
from funcgate.approval.desk import HumanDesk
from funcgate.approval.grants import Wish
from funcgate.approval.quorum import Person
from funcgate.core.approval import Approval, State, StoreFailed
from funcgate.core.decision import Allow, Quorum
from funcgate.core.entry import Kind
from funcgate.core.ports import Desk, Patience
from funcgate.core.refusal import Code, Refused
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.memory_approvals import MemoryApprovals
from funcgate.stores.sql import Database, SqlApprovals
from support.approvals import NOW, SCHEMA, call, decision, principal, terms
from support.linked import Mate

ARGS = msgspec.Raw(b'{"amount":25000}')
BOB, CAROL = Person("corp", "bob", frozenset({"finance"})), Person("corp", "carol", frozenset({"finance"}))
SOON, LATER = Patience(0.02), Patience(30.0)


class Place:
    """A desk with a clock that the test sets."""

    def __init__(self, store: Any, journal: MemoryJournal) -> None:
        self.now = NOW
        self.told: list[Approval] = []
        self.journal = journal
        self.store = store
        self.desk = HumanDesk(store, journal, self.told.append, now=lambda: self.now, poll_s=0.01)
        self.answers = Answers(self.desk)
        self.port: Desk = self.desk  # where calls come to it

    async def hold(self, one: Any = None, patience: Patience = SOON, policies: Any = None) -> str:
        """Hold a call; the id of the approval when it may run. Raises `Refused`."""
        one, policies = one or call(), policies or decision()
        held = await self.port.open(one, policies, ARGS, SCHEMA, patience)
        await self.port.wait(held)
        await self.port.use(held, policies)
        return held.id

    async def pending(self, *args: Any, **kwargs: Any) -> str:
        """Hold a call that nobody answers in time; the id of its approval."""
        with pytest.raises(Refused) as refused:
            await self.hold(*args, **kwargs)
        assert refused.value.code is Code.APPROVAL_PENDING
        return str(refused.value.public["approval"]["id"])

    async def asked(self) -> None:
        """Until the approvers are told of a call."""
        while not self.told:  # noqa: ASYNC110  # the desk calls a plain function
            await asyncio.sleep(0)

    async def waiting(self, count: int) -> None:
        """Until so many callers wait for the first one."""
        await self.asked()
        while len(self.desk._waiting._waiters.get(self.told[0].id, ())) < count:  # noqa: ASYNC110  # a plain set
            await asyncio.sleep(0.005)

    async def changed(self, name: str) -> None:
        """Until the approval is another than at first."""
        while (await self.store.get(name)).revision == 1:  # noqa: ASYNC110  # the store may be another process's
            await asyncio.sleep(0.005)

    def kinds(self) -> list[str]:
        return [entry.outcome for entry in self.journal.entries if entry.kind is Kind.ANSWERED]


Test = Callable[[Place], Awaitable[None]]


@pytest.fixture(params=["memory", "sqlite", "asked by a worker"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Test], None]:
    def within(test: Test) -> None:
        async def whole() -> None:
            if request.param != "sqlite":
                place = Place(MemoryApprovals(), MemoryJournal())
                if request.param != "memory":
                    mate = await Mate(place.desk).begin()
                    place.port = mate.asking
                await test(place)
                if request.param != "memory":
                    await mate.released()
                    assert not mate.forged
                return
            database = Database(tmp_path / "state.db")
            try:
                await test(Place(SqlApprovals(database), MemoryJournal()))
            finally:  # a database is not closed beside what still uses it
                others = asyncio.all_tasks() - {asyncio.current_task()}
                for each in others:
                    each.cancel()
                await asyncio.gather(*others, return_exceptions=True)
                await database.close()

        asyncio.run(whole())

    return within


def refused(code: Code) -> Any:
    return pytest.raises(Refused, match=code.value.replace(".", r"\."))


def test_a_call_that_waits_in_vain_is_pending_and_the_same_call_joins_it(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        first = await place.pending()
        assert await place.pending() == first
        assert [(one.id, one.revision) for one in place.told] == [(first, 1)]
        assert await place.pending(call(args={"amount": 25001})) != first

    run(test)


def test_nobody_waits_beyond_the_time_at_which_the_caller_is_gone(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        async with asyncio.timeout(15):
            await place.pending(patience=Patience(60.0, until=time.monotonic() + 0.02))
            await place.pending(call(args={"amount": 1}), Patience(60.0, until=time.monotonic() - 1))

    run(test)


def test_an_answer_lets_the_waiting_call_run_once(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        waiting = asyncio.create_task(place.hold(patience=LATER))
        await place.asked()
        changed = await place.answers.give(place.told[0].id, BOB, True, "test")
        assert changed.state is State.APPROVED
        assert await waiting == changed.id
        kept = await place.store.get(changed.id)
        assert (kept.state, kept.asked.call == kept.used_by) == (State.USED, True)
        assert place.kinds() == ["yes"]
        assert await place.pending() != changed.id  # the next one asks anew

    run(test)


def test_approved_while_nobody_waits_it_is_there_for_the_retry(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending()
        await place.answers.give(name, BOB, True, "test")
        assert await place.hold() == name
        named = Patience(0.0, approval=name)
        with refused(Code.APPROVAL_USED):
            await place.hold(patience=named)

    run(test)


def test_64_copies_run_once(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        copies = [asyncio.create_task(place.hold(call(), LATER)) for _ in range(64)]
        await place.waiting(64)
        await place.answers.give(place.told[0].id, BOB, True, "test")
        ended = await asyncio.gather(*copies, return_exceptions=True)
        assert sum(isinstance(one, str) for one in ended) == 1
        codes = {one.code for one in ended if isinstance(one, Refused)}
        assert codes == {Code.APPROVAL_USED}

    run(test)


def test_a_no_ends_it_and_asking_again_changes_nothing(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending()
        await place.answers.give(name, BOB, False, "test", "not today")
        for patience in (SOON, Patience(0.0, approval=name)):
            with refused(Code.APPROVAL_REJECTED):
                await place.hold(patience=patience)
        with pytest.raises(Unanswered, match="rejected already"):
            await place.answers.give(name, CAROL, True, "test")
        place.now += 901
        assert await place.pending() != name
        assert place.kinds() == ["no", "refused"]

    run(test)


def test_it_expires(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending()
        place.now += 900
        with pytest.raises(Unanswered, match="expired already"):
            await place.answers.give(name, BOB, True, "test")
        with refused(Code.APPROVAL_EXPIRED):
            await place.hold(patience=Patience(0.0, approval=name))
        looking = asyncio.create_task(place.desk.run())
        await place.changed(name)
        looking.cancel()
        assert place.kinds() == ["refused", "expire"]

    run(test)


def test_approved_and_then_too_late(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending()
        held = await place.port.open(call(), decision(), ARGS, SCHEMA, SOON)
        await place.answers.give(name, BOB, True, "test")
        await place.port.wait(held)
        place.now += 900
        with refused(Code.APPROVAL_EXPIRED):
            await place.port.use(held, decision())

    run(test)


def test_what_is_asked_for_by_now_counts(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending()
        await place.answers.give(name, BOB, True, "test")
        held = await place.port.open(call(), decision(), ARGS, SCHEMA, SOON)
        await place.port.wait(held)
        with refused(Code.APPROVAL_EXPIRED):
            await place.port.use(held, decision(terms(Quorum(("group:finance",), 2))))
        assert (await place.store.get(name)).state is State.CANCELLED

        name = await place.pending()
        await place.answers.give(name, BOB, True, "test")
        held = await place.port.open(call(), decision(), ARGS, SCHEMA, SOON)
        await place.port.wait(held)
        await place.port.use(held, Allow((), "v2"))
        assert (await place.store.get(name)).state is State.USED

    run(test)


def test_a_yes_can_be_taken_back_before_the_call_has_run(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending()
        await place.answers.give(name, BOB, True, "test")
        assert (await place.answers.give(name, BOB, False, "test", "I misread it")).state is State.REJECTED
        with refused(Code.APPROVAL_REJECTED):
            await place.hold()

    run(test)


def test_changed_terms_ask_anew(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending()
        assert await place.pending(policies=decision(terms(Quorum(("group:board",))))) != name
        assert (await place.store.get(name)).state is State.CANCELLED

    run(test)


def test_an_approval_is_for_its_own_caller_and_call(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending()
        await place.answers.give(name, BOB, True, "test")
        others = (
            call(args={"amount": 25001}), call(principal=principal("agent-8")), call(digest="sha256:00"),
            call(function="payments.refund"), call(principal=principal("agent-7", acts_for="mallory")),
        )  # fmt: skip
        for other in others:
            with refused(Code.REQUEST_INVALID):
                await place.hold(other, Patience(0.0, approval=name))
            assert await place.pending(other) != name
        with refused(Code.REQUEST_INVALID):
            await place.hold(patience=Patience(0.0, approval="NO SUCH"))
        assert await place.hold(patience=Patience(0.0, approval=name)) == name

    run(test)


def test_detached_it_answers_at_once(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        with refused(Code.APPROVAL_PENDING) as caught:
            await place.hold(patience=Patience(60.0, detached=True))
        assert caught.value.status == 202
        assert (await place.pending()) == caught.value.public["approval"]["id"]

    run(test)


def test_two_people_are_asked_for_and_one_is_not_two(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        two = decision(terms(Quorum(("group:finance",), 2)))
        name = await place.pending(policies=two)
        assert (await place.answers.give(name, BOB, True, "test")).state is State.PENDING
        with pytest.raises(Unanswered, match="answered already"):
            await place.answers.give(name, BOB, True, "test")
        for unfit in (
            Person("corp", "alice", BOB.groups),
            Person("corp", "eve", frozenset()),
            Person("corp", "x", BOB.groups, "bot"),
        ):
            with pytest.raises(Unanswered):
                await place.answers.give(name, unfit, True, "test")
        assert (await place.answers.give(name, CAROL, True, "test")).state is State.APPROVED
        assert place.kinds() == ["yes", "refused", "refused", "refused", "refused", "yes"]

    run(test)


def test_a_caller_that_goes_away_leaves_it_open_unless_the_policy_cancels(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        for policies, state in (
            (decision(), State.PENDING),
            (decision(terms(cancel_on_disconnect=True)), State.CANCELLED),
        ):
            place.told.clear()
            waiting = asyncio.create_task(place.hold(call(), LATER, policies))
            await place.asked()
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.wait([waiting])
            await asyncio.sleep(0.1)
            async with asyncio.timeout(15):
                while state is State.CANCELLED and place.told[-1].state is not state:  # noqa: ASYNC110  # a plain list
                    await asyncio.sleep(0.005)
            assert (await place.store.get(place.told[0].id)).state is state
        assert place.told[-1].state is State.CANCELLED  # approvers' messages follow

    run(test)


def test_a_reason_where_one_is_needed(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        policies = decision(terms(reason_required=True))
        with refused(Code.REQUEST_INVALID):
            await place.hold(call(reason=" "), SOON, policies)
        name = await place.pending(call(reason="invoice 7"), SOON, policies)
        assert (await place.store.get(name)).asked.reason == "invoice 7"

    run(test)


def test_too_many_questions(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        policies = decision(terms(max_pending=2))
        names = [await place.pending(call(args={"amount": amount}), SOON, policies) for amount in (1, 2)]
        with refused(Code.APPROVAL_PENDING) as caught:
            await place.hold(call(args={"amount": 3}), SOON, policies)
        assert caught.value.status == 429
        await place.answers.cancel(names[0], Person("corp", "agent-7", frozenset()), "test")
        await place.pending(call(args={"amount": 3}), SOON, policies)

    run(test)


def test_breaking_the_glass_is_loud(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        policies = decision(terms(break_glass=("group:oncall",)))
        on_call = principal("dora", "oncall", acts_for=None)
        await place.pending(call(principal=on_call), SOON, policies)  # without a reason it is an ordinary call
        place.told.clear()
        name = await place.hold(call(principal=on_call, reason="the site is down", args={"amount": 9}), SOON, policies)
        kept = await place.store.get(name)
        assert (kept.state, kept.why) == (State.USED, "break_glass")
        assert [one.id for one in place.told] == [name]
        last = place.journal.entries[-1]
        assert (last.kind, last.outcome, last.detail, last.approval) == (
            Kind.ANSWERED,
            "break_glass",
            "the site is down",
            name,
        )
        await place.pending(call(reason="me too"), SOON, policies)

    run(test)


def test_a_grant_lets_the_same_call_pass_and_counts(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        policies = decision(terms(grant_max_calls=5, grant_max_s=3600.0))
        name = await place.pending(policies=policies)
        await place.answers.give(name, BOB, True, "test", wish=Wish(calls=2, for_s=600.0))
        for _ in range(3):
            assert await place.hold(policies=policies) == name  # the approval itself, then twice the grant
        assert await place.pending(policies=policies) != name
        assert place.kinds() == ["yes", "taken", "granted", "granted"]
        kinds = [entry.change.get("what") for entry in place.journal.entries if entry.kind is Kind.ADMIN]
        assert kinds == ["granted"]

    run(test)


def test_a_grant_is_revoked_and_never_wider_than_allowed(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        policies = decision(terms(grant_max_calls=5, grant_max_s=3600.0))
        name = await place.pending(policies=policies)
        with pytest.raises(Unanswered, match="At most 5 calls"):
            await place.answers.give(name, BOB, True, "test", wish=Wish(calls=6, for_s=600.0))
        await place.answers.give(name, BOB, True, "test", wish=Wish(calls=5, for_s=600.0))
        await place.hold(policies=policies)
        (grant,) = await place.store.grants(now=place.now)
        held = await place.port.open(call(), policies, ARGS, SCHEMA, SOON)
        assert await place.answers.revoke(grant.id, CAROL, "test")
        await place.port.wait(held)
        with refused(Code.APPROVAL_EXPIRED):
            await place.port.use(held, policies)
        await place.pending(policies=policies)

    run(test)


def test_it_escalates(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending(policies=decision(terms(escalate_after_s=60.0, escalate_to=("user:boss",))))
        boss = Person("corp", "boss", frozenset())
        with pytest.raises(Unanswered, match="not among"):
            await place.answers.give(name, boss, True, "test")
        place.now += 61
        looking = asyncio.create_task(place.desk.run())
        await place.changed(name)
        looking.cancel()
        assert (await place.answers.give(name, boss, True, "test")).state is State.APPROVED

    run(test)


def test_nobody_but_the_caller_withdraws(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending()
        for other in (BOB, Person("other", "agent-7", frozenset())):
            with pytest.raises(Unanswered):
                await place.answers.cancel(name, other, "test")
        await place.answers.cancel(name, Person("corp", "alice", frozenset()), "test")
        with refused(Code.APPROVAL_EXPIRED):
            await place.hold(patience=Patience(0.0, approval=name))

    run(test)


def test_closing_lets_everybody_go(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        waiting = asyncio.create_task(place.hold(patience=LATER))
        await place.waiting(1)
        place.desk.close()
        with refused(Code.APPROVAL_PENDING):
            await waiting

    run(test)


def test_nothing_is_approved_that_is_not_recorded(run: Callable[[Test], None]) -> None:
    async def test(place: Place) -> None:
        name = await place.pending()
        place.journal.fail()
        with refused(Code.JOURNAL_UNAVAILABLE):
            await place.answers.give(name, BOB, True, "test")
        assert (await place.store.get(name)).state is State.PENDING

    run(test)


def test_a_store_that_fails_holds_every_call() -> None:
    class Broken(MemoryApprovals):
        async def latest(self, key: str) -> Approval | None:
            raise StoreFailed("on purpose")

    async def test() -> None:
        place = Place(Broken(), MemoryJournal())
        with refused(Code.APPROVAL_UNAVAILABLE):
            await place.hold()

    asyncio.run(test())


def test_a_row_that_is_put_back_after_its_use_runs_nothing(tmp_path: Path) -> None:
    """Attack: copy the sealed row of an approved call, let it run, and put the copy back."""
    path = tmp_path / "state.db"

    def rows(*statements: str) -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    async def whole() -> None:
        database = Database(path, bytes(32))
        place = Place(SqlApprovals(database), MemoryJournal())
        name = await place.pending()
        await place.answers.give(name, BOB, True, "test")
        rows("create table kept as select * from approvals")
        assert await place.hold() == name
        rows("delete from approvals", "insert into approvals select * from kept")
        with refused(Code.APPROVAL_USED) as stopped:
            await place.hold()
        assert "put back" in stopped.value.private_detail
        await database.close()

    asyncio.run(whole())
