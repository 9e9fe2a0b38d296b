"""Whatever happens to approvals, in whatever order, the promises hold: a hypothesis state machine over two desks on one store."""

import asyncio
import contextlib
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from funcgate.approval.answers import Answers, Unanswered
from funcgate.approval.desk import HumanDesk
from funcgate.approval.quorum import Person, enough
from funcgate.core.approval import State
from funcgate.core.decision import Quorum
from funcgate.core.ports import Patience
from funcgate.core.refusal import Refused
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.memory_approvals import MemoryApprovals
from support.approvals import NOW, SCHEMA, call, decision, terms

TWO = decision(terms(Quorum(("group:finance",), 2), expires_s=100.0))
PEOPLE = [
    Person("corp", name, frozenset(groups))
    for name, groups in (("bob", ["finance"]), ("carol", ["finance"]), ("alice", ["finance"]), ("eve", []))
]


class Approving(RuleBasedStateMachine):
    """Calls come, people answer, time goes on, at either of two desks."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = NOW
        self.store = MemoryApprovals()
        self.journal = MemoryJournal()
        self.desks = [HumanDesk(self.store, self.journal, lambda _: None, now=lambda: self.now) for _ in range(2)]
        self.ran: list[tuple[str, str]] = []  # approval, call

    def teardown(self) -> None:
        self.loop.close()

    def do(self, work: Any) -> Any:
        with contextlib.suppress(Refused, Unanswered, KeyError):
            return self.loop.run_until_complete(work)
        return None

    @rule(target=held, desk=st.integers(0, 1), amount=st.integers(1, 2))
    def come(self, desk: int, amount: int) -> Any:
        args = msgspec.Raw(msgspec.json.encode({"amount": amount}))
        return desk, self.do(self.desks[desk].open(call(args={"amount": amount}), TWO, args, SCHEMA, Patience(0.0)))

    @rule(one=held)
    def go_on(self, one: Any) -> None:
        desk, hold = one
        if hold is None:
            return

        async def through() -> None:
            await self.desks[desk].wait(hold)
            await self.desks[desk].use(hold, TWO)
            self.ran.append((hold.id, hold.call.id))

        self.do(through())

    @rule(
        one=held, desk=st.integers(0, 1), person=st.sampled_from(PEOPLE), yes=st.sampled_from([True, True, True, False])
    )
    def answer(self, one: Any, desk: int, person: Person, yes: bool) -> None:
        if one[1] is not None:
            self.do(Answers(self.desks[desk]).give(one[1].id, person, yes, "test"))

    @rule(one=held, person=st.sampled_from(PEOPLE))
    def withdraw(self, one: Any, person: Person) -> None:
        if one[1] is not None:
            self.do(Answers(self.desks[0]).cancel(one[1].id, person, "test"))

    @rule(seconds=st.sampled_from([1, 40, 99]), desk=st.integers(0, 1))
    def time_goes_on(self, seconds: int, desk: int) -> None:
        self.now += seconds
        self.do(self.desks[desk].look_after())

    @invariant()
    def each_runs_once_and_only_when_approved(self) -> None:
        assert len({approval for approval, _ in self.ran}) == len(self.ran)
        for approval, ran in self.ran:
            kept = self.loop.run_until_complete(self.store.get(approval))
            assert kept is not None
            assert (kept.state, kept.used_by) == (State.USED, ran)
            assert enough(kept.terms, kept.answers, escalated=False)
            assert {one.subject for one in kept.answers if one.yes} == {"bob", "carol"}
            assert all(one.at < kept.expires_at for one in kept.answers)

    @invariant()
    def one_live_approval_a_call(self) -> None:
        live = [one.key for one in self.loop.run_until_complete(self.store.find()) if one.live]
        assert len(live) == len(set(live))


Approving.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestApproving = Approving.TestCase
