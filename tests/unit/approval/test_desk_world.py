"""The desk when the world changes: functions, policies, others who are faster, what cannot be read."""

import asyncio
from typing import Any

import msgspec
import pytest

from funcgate.approval.answers import Answers, Unanswered
from funcgate.approval.desk import HumanDesk
from funcgate.approval.grants import Wish
from funcgate.approval.show import card
from funcgate.approval.table import Event, NotNow, after
from funcgate.approval.waiting import Waiting
from funcgate.core.approval import Approval, State
from funcgate.core.decision import Allow, Quorum
from funcgate.core.entry import Kind
from funcgate.core.ports import Patience
from funcgate.core.refusal import Code, Refused
from funcgate.recording.calls import record_of
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.memory_approvals import MemoryApprovals
from support.approvals import NOW, SCHEMA, approval, call, decision, principal, terms
from unit.approval.test_desk import ARGS, BOB, CAROL, LATER, SOON, Place, refused

OTHER = {**SCHEMA, "properties": {"amount": {"type": "integer", "description": "in cents by now"}}}
GLASS = decision(terms(break_glass=("group:oncall",)))
DORA = principal("dora", "oncall", acts_for=None)


def place() -> Place:
    return Place(MemoryApprovals(), MemoryJournal())


def test_what_was_approved_for_one_schema_does_not_run_by_another() -> None:
    async def test() -> None:
        here = place()
        for named in (True, False):
            name = await here.pending()
            await here.answers.give(name, BOB, True, "test")
            patience = Patience(0.0, approval=name) if named else SOON

            async def reloaded(patience: Patience = patience) -> None:
                held = await here.desk.open(call(), decision(), ARGS, OTHER, patience)
                await here.desk.wait(held)
                await here.desk.use(held, decision())

            with pytest.raises(Refused) as caught:
                await reloaded()
            assert caught.value.code is (Code.APPROVAL_EXPIRED if named else Code.APPROVAL_PENDING)
            kept = await here.store.get(name)
            assert (kept.state, kept.why) == (State.CANCELLED, "the function changed")
            assert here.kinds()[-1] == "cancel"
            here.now += 1000

    asyncio.run(test())


def test_the_one_that_another_desk_opened_meanwhile_is_for_its_own_schema_too() -> None:
    async def test() -> None:
        here = place()
        held = await here.desk.open(call(), decision(), ARGS, SCHEMA, LATER)
        await here.answers.give(held.id, BOB, True, "test")
        late = msgspec.structs.replace(held, schema="0" * 32)
        with refused(Code.APPROVAL_EXPIRED):
            await here.desk.use(late, decision())

    asyncio.run(test())


def test_every_end_is_recorded() -> None:
    async def test() -> None:
        here = place()
        await here.pending()
        await here.pending(policies=decision(terms(Quorum(("group:board",)))))
        last = [entry for entry in here.journal.entries if entry.kind is Kind.ANSWERED][-1]
        assert (last.outcome, last.detail) == ("cancel", "the policies changed")

    asyncio.run(test())


def test_who_waits_already_can_break_the_glass() -> None:
    async def test() -> None:
        here = place()
        first = await here.pending(call(principal=DORA), SOON, GLASS)
        second = await here.hold(call(principal=DORA, reason="the site is down"), SOON, GLASS)
        assert second != first
        kept = await here.store.get(first)
        assert (kept.state, kept.why) == (State.CANCELLED, "its caller broke the glass")
        assert here.kinds() == ["cancel", "break_glass"]

    asyncio.run(test())


def test_the_glass_is_broken_by_the_policies_of_now() -> None:
    async def test() -> None:
        here = place()
        mine = call(principal=DORA, reason="the site is down")
        held = await here.desk.open(mine, GLASS, ARGS, SCHEMA, SOON)
        await here.desk.wait(held)
        with refused(Code.APPROVAL_EXPIRED):
            await here.desk.use(held, decision())
        await here.desk.use(held, Allow((), "v2"))
        # One of two policies that says so is not enough.
        await here.pending(call(principal=DORA, reason="again"), SOON, decision(*GLASS.terms, terms()))

    asyncio.run(test())


def test_it_escalates_once_whichever_desk_is_first() -> None:
    escalated = after(approval(), Event.ESCALATE, NOW)
    with pytest.raises(NotNow):
        after(escalated, Event.ESCALATE, NOW)


class Meanwhile(MemoryApprovals):
    """Before the first change that it is asked for, somebody else makes one."""

    other: Any = None

    async def swap(self, approval: Approval) -> bool:
        if self.other is not None:
            other, self.other = self.other, None
            await other()
        return await super().swap(approval)


def test_a_yes_that_came_too_late_is_recorded_as_such() -> None:
    async def test() -> None:
        here = Place(Meanwhile(), MemoryJournal())
        name = await here.pending()
        elsewhere = Answers(HumanDesk(here.store, MemoryJournal(), lambda _: None, now=lambda: here.now))
        here.store.other = lambda: elsewhere.give(name, CAROL, False, "test")
        with pytest.raises(Unanswered, match="rejected already"):
            await here.answers.give(name, BOB, True, "test")
        assert here.kinds() == ["yes", "overtaken", "refused"]

    asyncio.run(test())


def test_who_joins_with_an_older_look_than_the_others_is_woken_too() -> None:
    async def test() -> None:
        store = MemoryApprovals()
        waiting = Waiting(store, 0.01)
        old = await store.open(approval())
        first = asyncio.create_task(waiting.until_answered(old, 5.0, lambda: NOW))
        await asyncio.sleep(0)
        new = msgspec.structs.replace(old, state=State.APPROVED, revision=2)
        await store.swap(new)
        late = asyncio.create_task(waiting.until_answered(old, 5.0, lambda: NOW))
        waiting.wake(new)  # the late one begins before the first goes on
        await asyncio.sleep(0)
        assert (await first).state is State.APPROVED
        await waiting.look()
        assert (await asyncio.wait_for(late, 30.0)).state is State.APPROVED

    asyncio.run(test())


def test_a_grant_is_given_by_all_whose_approval_the_call_needs() -> None:
    async def test() -> None:
        here = place()
        two = decision(terms(Quorum(("group:finance",), 2), grant_max_calls=5, grant_max_s=600.0))
        wish = Wish(calls=5, for_s=600.0)
        name = await here.pending(policies=two)
        await here.answers.give(name, BOB, True, "test")  # to this one call
        with pytest.raises(Unanswered, match="ask for the same grant"):
            await here.answers.give(name, CAROL, True, "test", wish=wish)
        await here.answers.give(name, CAROL, True, "test")
        assert await here.store.grants(now=here.now) == []
        await here.hold(policies=two)

        name = await here.pending(policies=two)
        await here.answers.give(name, BOB, True, "test", wish=wish)
        with pytest.raises(Unanswered, match="ask for the same grant"):
            await here.answers.give(name, CAROL, True, "test", wish=Wish(calls=4, for_s=600.0))
        await here.answers.give(name, CAROL, True, "test", wish=Wish(calls=5, for_s=600.0))
        (grant,) = await here.store.grants(now=here.now)
        assert [each.subject for each in grant.answers] == ["bob", "carol"]

    asyncio.run(test())


def test_approvers_see_which_header_fields_go_along() -> None:
    async def test() -> None:
        here = place()
        name = await here.pending(
            patience=Patience(0.0, fields=("x-dry-run: false", "x-note: a\u202eb"), fields_digest="f1")
        )
        facts = dict(card(await here.store.get(name)).facts)
        assert facts["Also sent"] == "x-dry-run: false; x-note: a⟨U+202E⟩b"

    asyncio.run(test())


def test_the_record_of_the_call_that_runs_says_who_approved_it() -> None:
    async def test() -> None:
        here = place()
        policies = decision(terms(grant_max_calls=5, grant_max_s=3600.0))
        name = await here.pending(policies=policies)
        await here.answers.give(name, BOB, True, "test", wish=Wish(calls=2, for_s=600.0))
        for outcome in ("taken", "granted"):
            later = call()
            await here.hold(later, policies=policies)
            record = record_of([entry for entry in here.journal.entries if entry.call == later.id])
            (entry,) = record.entries
            who = entry.principal.subject if entry.principal else ""
            assert (entry.outcome, who, entry.approval) == (outcome, "bob", name)

    asyncio.run(test())


def test_what_is_long_over_is_forgotten() -> None:
    async def test() -> None:
        here = place()
        name = await here.pending()
        await here.answers.give(name, BOB, False, "test")
        here.now += 90 * 86400.0 + 901
        looking = asyncio.create_task(here.desk.run())
        async with asyncio.timeout(30):
            while await here.store.get(name) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        looking.cancel()

    asyncio.run(test())
