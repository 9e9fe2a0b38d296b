"""Workers at the desk: how calls end there when workers die, callers go away, or a worker was taken over."""

import asyncio
import gc
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from msgspec import Raw, structs

from funcgate.app.workers import desk as asking
from funcgate.app.workers import messages
from funcgate.app.workers.desk import AskingDesk
from funcgate.app.workers.holds import ForDesk, Holds
from funcgate.app.workers.messages import Forged, Open, Release, Use, Wait
from funcgate.approval.answers import Answers
from funcgate.approval.desk import HumanDesk
from funcgate.approval.quorum import Person
from funcgate.core.approval import Approval, State
from funcgate.core.decision import Allow, Hours, Quorum, Terms
from funcgate.core.entry import Kind
from funcgate.core.ports import Patience
from funcgate.core.refusal import Code, Refused
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.memory_approvals import MemoryApprovals
from support.approvals import NOW, SCHEMA, call, decision, principal, terms
from support.linked import Mate

ARGS = Raw(b'{"amount":25000}')
BOB = Person("corp", "bob", frozenset({"finance"}))
LATER = Patience(30.0)
GLASS = decision(terms(break_glass=("group:oncall",)))


class House:
    """One desk, and two workers that ask there."""

    def __init__(self) -> None:
        self.told: list[Approval] = []
        self.store, self.journal = MemoryApprovals(), MemoryJournal()
        self.desk = HumanDesk(self.store, self.journal, self.told.append, now=lambda: NOW, poll_s=0.01)
        self.answers = Answers(self.desk)
        self.one, self.other = Mate(self.desk), Mate(self.desk)

    async def hold(self, mate: Mate, one: Any = None, policies: Any = None) -> str:
        held = await mate.asking.open(one or call(), policies or decision(), ARGS, SCHEMA, LATER)
        await mate.asking.wait(held)
        await mate.asking.use(held, policies or decision())
        return held.id

    async def asked(self, times: int = 1) -> Approval:
        """Until approvers are told so often."""
        async with asyncio.timeout(15):
            while len(self.told) < times:  # noqa: ASYNC110  # the desk calls a plain function
                await asyncio.sleep(0.001)
        return self.told[-1]

    async def waiting(self, mate: Mate, count: int = 1) -> None:
        """Until so many of a worker's calls wait for an answer."""
        async with asyncio.timeout(15):
            while [kept.step.value for kept in mate.holds._kept.values()].count("waiting") < count:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def state(self, name: str, state: State) -> None:
        async with asyncio.timeout(15):
            while (await self.store.get(name) or self.told[0]).state is not state:  # noqa: ASYNC110
                await asyncio.sleep(0.001)


def within(test: Callable[[House], Awaitable[None]]) -> None:
    async def whole() -> None:
        house = House()
        await house.one.begin()
        await house.other.begin()
        try:
            async with asyncio.timeout(20):
                await test(house)
        finally:
            house.one.link.close()
            house.other.link.close()
            await asyncio.sleep(0)

    asyncio.run(whole())


def refused(code: Code) -> Any:
    return pytest.raises(Refused, match=code.value.replace(".", r"\."))


# -- several workers


def test_the_same_call_at_two_workers_joins_one_approval_and_runs_once() -> None:
    async def test(house: House) -> None:
        calls = [asyncio.create_task(house.hold(mate)) for mate in (house.one, house.other)]
        approval = await house.asked()
        for mate in (house.one, house.other):
            await house.waiting(mate)
        await house.answers.give(approval.id, BOB, True, "test")
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert ended.count(approval.id) == 1
        assert [one.code for one in ended if isinstance(one, Refused)] == [Code.APPROVAL_USED]
        assert len([one for one in house.told if one.state is State.PENDING]) == 1
        await house.one.released()
        await house.other.released()

    within(test)


@pytest.mark.parametrize("cancels", [True, False])
def test_a_worker_that_dies_while_it_waits_is_a_caller_that_goes_away(cancels: bool) -> None:
    async def test(house: House) -> None:
        policies = decision(terms(cancel_on_disconnect=cancels))
        dying = asyncio.create_task(house.hold(house.one, policies=policies))
        approval = await house.asked()
        await house.waiting(house.one)
        house.one.worker.close()
        with refused(Code.APPROVAL_UNAVAILABLE):
            await dying
        await house.one.released()
        if cancels:
            await house.state(approval.id, State.CANCELLED)
        else:
            await house.answers.give(approval.id, BOB, True, "test")
            assert await house.hold(house.other, policies=policies) == approval.id
        with refused(Code.APPROVAL_UNAVAILABLE):
            await house.hold(house.one)

    within(test)


def test_one_that_waits_elsewhere_keeps_what_a_worker_that_dies_would_have_cancelled() -> None:
    async def test(house: House) -> None:
        policies = decision(terms(cancel_on_disconnect=True))
        dying, other = (asyncio.create_task(house.hold(mate, policies=policies)) for mate in (house.one, house.other))
        approval = await house.asked()
        for mate in (house.one, house.other):
            await house.waiting(mate)
        house.one.worker.close()
        await asyncio.wait([dying])
        await house.one.released()
        await house.answers.give(approval.id, BOB, True, "test")
        assert await other == approval.id

    within(test)


def test_a_worker_that_dies_before_the_use_leaves_the_approval_to_the_same_call_at_another() -> None:
    async def test(house: House) -> None:
        held = await house.one.asking.open(call(), decision(), ARGS, SCHEMA, LATER)
        waiting = asyncio.create_task(house.one.asking.wait(held))
        approval = await house.asked()
        await house.answers.give(approval.id, BOB, True, "test")
        await waiting
        house.one.worker.close()
        await house.one.released()
        with refused(Code.APPROVAL_UNAVAILABLE):
            await house.one.asking.use(held, decision())
        assert await house.hold(house.other) == approval.id
        assert [one.outcome for one in house.journal.entries if one.kind is Kind.ANSWERED] == ["yes", "taken"]

    within(test)


# -- however a call ends, nothing stays held


def test_a_call_that_is_cancelled_at_any_point_is_released() -> None:
    async def test(house: House) -> None:
        for turns in range(40):
            told = len(house.told)
            one = asyncio.create_task(house.hold(house.one, call(args={"amount": turns})))
            for _ in range(turns):
                await asyncio.sleep(0)
            if turns > 30:
                await house.answers.give((await house.asked(told + 1)).id, BOB, True, "test")
                await asyncio.sleep(0)
            one.cancel()
            await asyncio.wait([one])
            await house.one.released()
        assert not house.one.forged

    within(test)


def test_a_call_that_ends_between_the_wait_and_the_use_is_released() -> None:
    async def test(house: House) -> None:
        async def refused_later() -> None:
            held = await house.one.asking.open(call(), GLASS, ARGS, SCHEMA, LATER)
            assert len(house.one.holds) == 1
            assert held.id
            raise Refused(Code.IDENTITY_REVOKED)

        with refused(Code.IDENTITY_REVOKED):
            await refused_later()
        gc.collect()
        await house.one.released()

    within(test)


def test_what_was_refused_is_not_held() -> None:
    async def test(house: House) -> None:
        with refused(Code.REQUEST_INVALID):
            await house.hold(house.one, policies=decision(terms(reason_required=True)))
        assert len(house.one.holds) == 0
        house.desk.close()  # the gateway drains: whoever is held is told that it waits
        with refused(Code.APPROVAL_PENDING):
            await house.hold(house.one)
        assert len(house.one.holds) == 0

    within(test)


def test_a_desk_that_breaks_holds_the_call() -> None:
    async def test(house: House) -> None:
        async def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError("a fault of ours")

        house.store.latest = broken  # type: ignore[method-assign]
        with refused(Code.APPROVAL_UNAVAILABLE) as caught:
            await house.hold(house.one)
        assert caught.value.private_detail == "RuntimeError"
        await house.one.released()

    within(test)


# -- what crosses


def test_what_the_worker_wrote_goes_first() -> None:
    async def test(house: House) -> None:
        order: list[str] = []

        async def ask(question: bytes) -> bytes:
            order.append(type(messages.for_gateway(question)).__name__)
            return await house.one.worker.ask(question)

        house.one.asking = AskingDesk(ask, lambda: order.append("lines"))
        dora = principal("dora", "oncall", acts_for=None)
        await house.hold(house.one, call(principal=dora, reason="fire"), GLASS)
        await house.one.released()
        assert order == ["lines", "Open", "lines", "Wait", "lines", "Use"]

    within(test)


@pytest.mark.parametrize(("until", "wait_s"), [(math.inf, 0.03), (0.03, math.inf), (-1.0, 60.0), (-math.inf, 60.0)])
def test_nobody_waits_beyond_its_time(until: float, wait_s: float) -> None:
    async def test(house: House) -> None:
        began = time.monotonic()
        patience = Patience(wait_s, until=began + until)
        held = await house.one.asking.open(call(), decision(), ARGS, SCHEMA, patience)
        (kept,) = house.one.holds._kept.values()
        assert kept.hold is not None
        there = kept.hold.patience.until  # type: ignore[attr-defined]
        assert there == patience.until or abs(there - patience.until) < 1.0
        with refused(Code.APPROVAL_PENDING):
            await house.one.asking.wait(held)

    within(test)


def test_who_may_no_longer_break_the_glass_does_not() -> None:
    async def test(house: House) -> None:
        mine = call(principal=principal("dora", "oncall", acts_for=None), reason="fire")
        held = await house.one.asking.open(mine, GLASS, ARGS, SCHEMA, LATER)
        await house.one.asking.wait(held)
        mine.principal = principal("dora", "staff", acts_for=None)  # as the gateway finds it when it looks again
        with refused(Code.APPROVAL_EXPIRED):
            await house.one.asking.use(held, GLASS)

    within(test)


def test_all_that_approvers_see_has_crossed() -> None:
    async def test(house: House) -> None:
        here = call(session="run~1", client="192.0.2.1:7", reason="invoice 7", args={"amount": 1 << 80, "to": b"\xff"})
        patience = Patience(0.0, also="also", fields=("x-a: 1",), fields_digest="f")
        for desk in (house.one.asking, house.desk):
            with refused(Code.APPROVAL_PENDING):
                await desk.wait(await desk.open(here, decision(), ARGS, SCHEMA, patience))
        (kept,) = await house.store.find()
        asked = kept.asked
        assert (asked.session, asked.client, asked.reason, asked.fields) == (
            "run~1",
            "192.0.2.1:7",
            "invoice 7",
            ("x-a: 1",),
        )
        assert asked.principal == here.principal.who
        assert (asked.call, asked.digest, asked.masked, bytes(asked.args)) == (here.id, here.digest, True, bytes(ARGS))

    within(test)


def test_the_large_goes_through_and_the_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(house: House) -> None:
        large = {"text": "x" * (1 << 20)}
        shown = Raw(msgspec.json.encode(large))
        held = await house.one.asking.open(call(args=large), decision(), shown, SCHEMA, Patience(0.0))
        with refused(Code.APPROVAL_PENDING):
            await house.one.asking.wait(held)
        (kept,) = await house.store.find()
        assert not kept.asked.masked
        monkeypatch.setattr(asking, "MAX_QUESTION_BYTES", 1 << 20)
        with refused(Code.REQUEST_INVALID):
            await house.one.asking.open(call(args=large), decision(), shown, SCHEMA, Patience(0.0))
        assert await house.one.asking.open(call(), decision(), ARGS, SCHEMA, Patience(0.0))

    within(test)


@pytest.mark.parametrize(
    "what",
    [{"args": {"a": object()}}, {"args": {"a": "\ud800"}}, {"reason": "\udfff"}, {"args": {"a": {1: 2}}}],
    ids=["no value", "no text", "no reason", "no name"],
)
def test_what_cannot_cross_is_refused_and_the_worker_lives(what: dict[str, Any]) -> None:
    async def test(house: House) -> None:
        with refused(Code.REQUEST_INVALID):
            await house.hold(house.one, call(**what))
        assert await house.one.asking.open(call(), decision(), ARGS, SCHEMA, LATER)
        assert not house.one.forged

    within(test)


# -- a worker that was taken over


def question(**changes: Any) -> Open:
    """An honest one, with what a test wants different."""
    made = messages.for_gateway(asking._question(1, call(), decision(), ARGS, SCHEMA, LATER))
    assert isinstance(made, Open)
    return structs.replace(made, **changes)


def ask(holds: Holds, asked: ForDesk) -> Awaitable[bytes]:
    return holds.answer(asked, len(messages.encode(asked)))


def use(of: Open, **changes: Any) -> Use:
    return structs.replace(Use(hold=of.hold, caller=of.caller, allow=Allow((), "v1")), **changes)


def test_steps_have_one_order() -> None:
    async def test(house: House) -> None:
        holds, mine = house.one.holds, question()
        for wrong in (Wait(1), use(mine)):
            with pytest.raises(Forged):
                await ask(holds, wrong)
        await ask(holds, mine)
        for wrong in (use(mine), Wait(2), mine):
            with pytest.raises(Forged):
                await ask(holds, wrong)
        waiting = asyncio.create_task(ask(holds, Wait(1)))
        approval = await house.asked()
        for wrong in (Wait(1), use(mine)):
            with pytest.raises(Forged):
                await ask(holds, wrong)
        await house.answers.give(approval.id, BOB, True, "test")
        await waiting
        with pytest.raises(Forged):
            await ask(holds, Wait(1))
        for wrong in (use(mine, allow=None), use(mine, ask=decision())):
            with pytest.raises(Forged):
                await ask(holds, wrong)
        await ask(holds, use(mine))
        assert len(holds) == 0
        for wrong in (Wait(1), use(mine)):
            with pytest.raises(Forged):
                await ask(holds, wrong)
        await ask(holds, Release(1))
        await ask(holds, Release(99))

    within(test)


@pytest.mark.parametrize("who", [{"subject": "dora"}, {"issuer": "other"}, {"acts_for": "bob"}, {"actor": "bot"}])
def test_nobody_uses_what_was_held_for_another(who: dict[str, str]) -> None:
    async def test(house: House) -> None:
        mine = question()
        waiting = asyncio.create_task(ask(house.one.holds, mine))
        await waiting
        waiting = asyncio.create_task(ask(house.one.holds, Wait(1)))
        approval = await house.asked()
        await house.answers.give(approval.id, BOB, True, "test")
        await waiting
        with pytest.raises(Forged):
            await ask(house.one.holds, use(mine, caller=structs.replace(mine.caller, **who)))
        assert (await house.store.get(approval.id) or approval).state is State.APPROVED
        assert len(house.one.holds) == 0

    within(test)


def test_a_hold_of_another_worker_has_no_name() -> None:
    async def test(house: House) -> None:
        mine = question()
        await ask(house.one.holds, mine)
        for stolen in (Wait(1), use(mine)):
            with pytest.raises(Forged):
                await ask(house.other.holds, stolen)
        await ask(house.other.holds, Release(1))
        assert len(house.one.holds) == 1

    within(test)


def test_a_call_that_is_not_its_own_says_nothing_in_the_record() -> None:
    async def test(house: House) -> None:
        mate = await Mate(house.desk, owns=lambda name: False).begin()
        dora = principal("dora", "oncall", acts_for=None)
        with refused(Code.APPROVAL_UNAVAILABLE):
            await house.hold(mate, call(principal=dora, reason="fire"), GLASS)
        assert house.journal.entries == []
        await mate.released()

    within(test)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"shown": b'{"a":'}, Code.REQUEST_INVALID),
        ({"shown": b"[" * 100_000}, Code.REQUEST_INVALID),
        ({"shown": b'"\xff"'}, Code.REQUEST_INVALID),
        ({"schema": b"{"}, Code.REQUEST_INVALID),
        ({"args": b"\xc0"}, Code.REQUEST_INVALID),
        ({"args": b"\x81\xa1a" + b"\x91" * 50_000}, Code.REQUEST_INVALID),
        ({"until_in_s": math.nan}, Code.POLICY_ERROR),
        ({"patience": Patience(math.nan)}, Code.POLICY_ERROR),
        *(
            ({"decision": decision(each)}, Code.POLICY_ERROR)
            for each in (
                terms(expires_s=math.nan), terms(expires_s=math.inf), terms(expires_s=0.0), terms(expires_s=-1.0),
                terms(escalate_after_s=math.nan), terms(grant_max_s=math.inf), terms(grant_max_calls=-1),
                terms(max_pending=-1), terms(Quorum(("*",), 0)), terms(Quorum(("*",), 1 << 40)),
                Terms(quorums=(Quorum(("*",)),) * 1001),
                terms(hours=Hours(days=frozenset({9}), begin_min=0, end_min=60)),
                terms(hours=Hours(days=frozenset({1}), begin_min=-1, end_min=60)),
                terms(hours=Hours(days=frozenset({1}), begin_min=0, end_min=1 << 40)),
                terms(hours=Hours(days=frozenset({1}), begin_min=0, end_min=60, zone="../../etc/passwd")),
                terms(hours=Hours(days=frozenset({1}), begin_min=0, end_min=60, zone="No/Where")),
            )
        ),
    ],
    ids=str,
)  # fmt: skip
def test_what_would_spoil_the_desk_is_not_taken_in(changes: dict[str, Any], code: Code) -> None:
    async def test(house: House) -> None:
        with refused(code):
            await ask(house.one.holds, question(**changes))
        assert len(house.one.holds) == 0
        assert await house.store.find() == []

    within(test)


@pytest.mark.parametrize("name", ["", "x", "0" * 27, "01JD0000000000000000000\n00", "01jd0000000000000000000000", 7])
def test_a_call_has_a_name_of_ours(name: Any) -> None:
    spoiled = messages.encode(question(id=name))
    with pytest.raises(msgspec.ValidationError):
        messages.for_gateway(spoiled)


def test_no_worker_holds_more_than_its_part() -> None:
    async def test(house: House) -> None:
        for mate in (
            await Mate(house.desk, most=2).begin(),
            await Mate(house.desk, most_bytes=2 * (1 << 20) + 5_000).begin(),
        ):
            text = {"text": "x" * (1 << 19)}
            shown = Raw(msgspec.json.encode(text))
            held = [
                await mate.asking.open(call(args=text | {"n": n}), decision(), shown, SCHEMA, LATER) for n in range(2)
            ]
            with refused(Code.APPROVAL_UNAVAILABLE):
                await mate.asking.open(call(args=text), decision(), shown, SCHEMA, LATER)
            held.pop().release()
            async with asyncio.timeout(15):
                while len(mate.holds) == 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            assert await mate.asking.open(call(args=text), decision(), shown, SCHEMA, LATER)
            assert not mate.forged

    within(test)


def test_too_large_a_question_is_no_honest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(house: House) -> None:
        monkeypatch.setattr("funcgate.app.workers.holds.MAX_QUESTION_BYTES", 1000)
        wide = decision(terms(Quorum(("x" * 1001,))))
        for large in (question(reason="x" * 1001), question(decision=wide), Release(1)):
            if isinstance(large, Open):
                with pytest.raises(Forged):
                    await ask(house.one.holds, large)
            else:
                await ask(house.one.holds, large)
        assert len(house.one.holds) == 0

    within(test)


def test_what_ends_while_it_is_taken_in_is_not_held() -> None:
    async def test(house: House) -> None:
        going, go = asyncio.Event(), asyncio.Event()
        latest = house.store.latest

        async def slow(key: str) -> Approval | None:
            going.set()
            await go.wait()
            return await latest(key)

        house.store.latest = slow  # type: ignore[method-assign]
        for over in (lambda: ask(house.one.holds, Release(1)), _gone(house)):
            opening = asyncio.create_task(ask(house.one.holds, question()))
            await going.wait()
            await over()
            go.set()
            with refused(Code.APPROVAL_UNAVAILABLE):
                await opening
            assert len(house.one.holds) == 0
            going.clear()
            go.clear()
        with refused(Code.APPROVAL_UNAVAILABLE):
            await ask(house.one.holds, question())

    def _gone(house: House) -> Callable[[], Awaitable[None]]:
        async def gone() -> None:
            house.one.holds.gone()

        return gone

    within(test)
