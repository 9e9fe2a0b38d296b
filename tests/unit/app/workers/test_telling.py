"""What all workers are told: nobody who is revoked is let in any more when the order returns, and one version serves."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from funcgate.app.reloading import NotPrepared
from funcgate.app.workers import messages, telling
from funcgate.app.workers.link import Link, Lost
from funcgate.app.workers.messages import Done, Ends, Prepare, Revoke, Swap, Until
from funcgate.app.workers.telling import Standing, Telling
from funcgate.core.refusal import Code, Refused
from funcgate.core.revocation import Revocation, Revoked, marks_of
from funcgate.identity.revoking import TOKEN_S, Order, Revocations
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.memory_revocations import MemoryRevocations
from support.approvals import NOW, principal
from support.linked import nothing, pair

ADA = principal("ada", "staff", acts_for=None)
EVE = principal("eve", "agents", acts_for=None)
TOKEN = "0123456789abcdef"
UNREADABLE = {
    "rubbish": b"\xc1",
    "no text": b"\x82\xa4type\xa4done\xa7problem\xa1\xff",
    "too deep": b"\x82\xa4type\xa4done\xa1x" + b"\x91" * 100_000 + b"\x01",
}


class Worker:
    """One worker, and the gateway's hand on it. `says` answers instead of it, where a test wants another answer."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.revoked = Revoked()
        self.standing = Standing()
        self.standing.use(self.revoked)
        self.heard: list[str] = []
        self.killed: list[str] = []
        self.ends: float | None = None
        self.says: Callable[[Any], Awaitable[bytes]] | None = None
        self.link: Link

    async def begin(self) -> "Worker":
        self.link, _ = await pair(nothing, self._answer)
        return self

    async def ask(self, question: bytes) -> bytes:
        return await self.link.ask(question)

    def kill(self, why: str) -> None:
        self.killed.append(why)
        self.link.close()

    async def _answer(self, question: bytes) -> bytes:
        asked = messages.for_worker(question)
        self.heard.append(type(asked).__name__)
        if self.says is not None:
            return await self.says(asked)
        if isinstance(asked, Revoke):
            self.standing.take(asked)
        if isinstance(asked, Ends):
            return messages.encode(Until(self.ends))
        return messages.encode(Done())

    def lets_in(self) -> bool:
        return self.revoked.marks.isdisjoint(marks_of(EVE))


class Issuers:
    """What `Revocations` looks at of the gateway's own."""

    def __init__(self) -> None:
        self.revoked = Revoked()

    def known(self, name: str) -> Any:
        return object() if name == "corp" else None

    def ends(self, token: str) -> float | None:
        return None


class House:
    def __init__(self, workers: list[Worker]) -> None:
        self.workers = workers
        self.begun = list(workers)
        self.now = NOW
        self.telling = Telling(lambda: self.begun)
        self.store, self.journal, self.issuers = MemoryRevocations(), MemoryJournal(), Issuers()
        self.revocations = Revocations(
            self.store, self.journal, lambda: self.issuers, lambda: self.now, self.telling  # type: ignore[arg-type,return-value]
        )  # fmt: skip

    async def revoke(self) -> Revocation:
        return await self.revocations.order(Order(reason="lost", issuer="corp", subject="eve"), ADA)


def within(test: Callable[[House], Awaitable[None]], count: int = 3) -> None:
    async def whole() -> None:
        house = House([await Worker(number).begin() for number in range(count)])
        try:
            async with asyncio.timeout(20):
                await test(house)
        finally:
            for worker in house.workers:
                worker.link.close()
            await asyncio.sleep(0)

    asyncio.run(whole())


async def silent(_: Any) -> bytes:
    await asyncio.Event().wait()
    return b""


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REVOKE_S", "ENDS_S", "SWAP_S"):
        monkeypatch.setattr(telling, name, 0.5)  # and long enough for who does answer, on a busy machine


# -- revocations


def test_when_the_order_returns_no_worker_lets_the_caller_in_and_a_lift_lets_it_in_again() -> None:
    async def test(house: House) -> None:
        made = await house.revoke()
        assert [worker.lets_in() for worker in house.workers] == [False] * 3
        await house.revocations.lift(made.id, ADA, "found")
        assert [worker.lets_in() for worker in house.workers] == [True] * 3
        assert not any(worker.killed for worker in house.workers)

    within(test)


def test_the_order_waits_for_the_slowest_worker() -> None:
    async def test(house: House) -> None:
        go = asyncio.Event()

        async def slow(asked: Any) -> bytes:
            await go.wait()
            house.workers[1].standing.take(asked)
            return messages.encode(Done())

        house.workers[1].says = slow
        order = asyncio.create_task(house.revoke())
        while not house.workers[1].heard:  # noqa: ASYNC110  # it comes by the link
            await asyncio.sleep(0)
        assert not order.done()
        assert house.journal.entries[-1].change["what"] == "revoke"  # recorded before it takes effect
        go.set()
        await order
        assert not house.workers[1].lets_in()

    within(test)


@pytest.mark.parametrize(
    "how",
    ["silent", "dead", "refuses", "rubbish", "no text", "too deep", "another answer", "a problem", "dies of it"],
)
def test_a_worker_of_which_nobody_knows_is_ended(how: str) -> None:
    async def test(house: House) -> None:
        bad = house.workers[1]

        async def says(asked: Any) -> bytes:
            if how == "silent":
                return await silent(asked)
            if how == "refuses":
                raise Refused(Code.GATEWAY_ERROR)
            if how == "a problem":
                return messages.encode(Done("I\nwill not" + "x" * 10_000))
            if how == "dies of it":
                raise RuntimeError
            return UNREADABLE.get(how) or messages.encode(Until(1.0))

        if how == "dead":
            bad.link.close()
        bad.says = says
        await house.revoke()
        assert len(bad.killed) == 1
        assert "\n" not in bad.killed[0]
        assert len(bad.killed[0]) < 1000
        assert [house.workers[0].lets_in(), house.workers[2].lets_in()] == [False, False]
        assert not house.workers[0].killed

    within(test)


def test_who_goes_away_after_ordering_has_ordered() -> None:
    async def test(house: House) -> None:
        order = asyncio.create_task(house.revoke())
        for _ in range(50):
            await asyncio.sleep(0)
            if house.issuers.revoked.marks:
                break
        order.cancel()
        await asyncio.wait([order])
        while any(worker.lets_in() for worker in house.workers):  # noqa: ASYNC110  # it comes by the link
            await asyncio.sleep(0.001)
        assert not any(worker.killed for worker in house.workers)

    within(test)


def test_what_others_ordered_and_what_ends_reaches_the_workers() -> None:
    async def test(house: House) -> None:
        await house.revocations.look()
        await house.store.add(
            Revocation(id="r", at=NOW, by="corp/ada", reason="x", issuer="corp", subject="eve", until=NOW + 10)
        )
        await house.revocations.look()
        assert [worker.lets_in() for worker in house.workers] == [False] * 3
        heard = len(house.workers[0].heard)
        await house.revocations.look()
        assert len(house.workers[0].heard) == heard  # nothing changed: nobody is told
        house.now += 10
        await house.revocations.look()
        assert [worker.lets_in() for worker in house.workers] == [True] * 3

    within(test)


def test_a_worker_that_begins_while_somebody_is_revoked_catches_up_before_it_serves() -> None:
    async def test(house: House) -> None:
        new = house.begun.pop()  # it begins, and is not told with the others

        async def meanwhile(asked: Any) -> bytes:
            new.says = None
            await house.revoke()
            new.standing.take(asked)
            return messages.encode(Done())

        new.says = meanwhile
        await house.telling.catch_up(new)
        house.begun.append(new)
        assert new.heard == ["Revoke", "Revoke"]
        assert not new.lets_in()
        new.says = silent
        with pytest.raises(Lost):
            await house.telling.catch_up(new)
        assert new.killed

    within(test)


def test_standing_is_in_force_in_issuers_that_come_later() -> None:
    standing, revoked = Standing(), Revoked()
    standing.take(Revoke((Revocation(id="r", at=0.0, by="a/b", reason="x", token=TOKEN),)))
    standing.use(revoked)
    assert revoked.marks == {TOKEN}
    standing.take(Revoke(()))
    assert not revoked.marks


@pytest.mark.parametrize(
    ("said", "until_s"),
    [
        ([None, None, None], TOKEN_S),
        ([None, 7 * 86400.0, 60.0], 7 * 86400.0),
        ([1.0, None, None], TOKEN_S),  # the one that says so was taken over
        ([math.inf, math.nan, -math.inf], TOKEN_S),
        ([1e300, None, None], 10 * 365 * 86400.0),
    ],
)
def test_a_token_is_revoked_for_as_long_as_any_worker_knows_it_to_live(
    said: list[float | None], until_s: float
) -> None:
    async def test(house: House) -> None:
        for worker, at in zip(house.workers, said, strict=True):
            worker.ends = at if at is None or not math.isfinite(at) else NOW + at
        made = await house.revocations.order(Order(reason="lost", token=TOKEN), ADA)
        assert made.until == NOW + until_s
        for_s = await house.revocations.order(Order(reason="lost", token=TOKEN, for_s=5.0), ADA)
        assert for_s.until == NOW + 5
        house.workers[0].says = silent
        assert (await house.revocations.order(Order(reason="lost", token=TOKEN), ADA)).until is not None

    within(test)


@pytest.mark.parametrize("how", UNREADABLE)
def test_a_worker_that_answers_what_cannot_be_read_stops_no_order(how: str) -> None:
    async def test(house: House) -> None:
        async def says(asked: Any) -> bytes:
            return UNREADABLE[how]

        house.workers[1].says = says
        made = await house.revocations.order(Order(reason="lost", token=TOKEN), ADA)
        assert made.until == NOW + TOKEN_S
        assert len(house.workers[1].killed) == 1

    within(test)


# -- versions


def test_all_prepare_and_all_swap() -> None:
    async def test(house: House) -> None:
        await house.telling.prepare("v2", {})
        await house.telling.swap()
        assert [worker.heard for worker in house.workers] == [["Drop", "Prepare", "Swap"]] * 3
        await house.telling.drop()
        assert not any(worker.killed for worker in house.workers)

    within(test)


def test_one_that_cannot_prepare_stops_all_and_lives() -> None:
    async def test(house: House) -> None:
        async def cannot(asked: Any) -> bytes:
            return messages.encode(Done("reads another\nversion" if isinstance(asked, Prepare) else ""))

        house.workers[1].says = cannot
        with pytest.raises(NotPrepared, match=r"^worker 1: reads another version$"):
            await house.telling.prepare("v2", {})
        assert [worker.heard for worker in house.workers] == [["Drop", "Prepare", "Drop"]] * 3
        assert not any(worker.killed for worker in house.workers)

    within(test)


def test_one_that_falls_silent_or_dies_while_it_prepares_stops_a_new_version_and_is_ended() -> None:
    async def test(house: House) -> None:
        bad = house.workers[1]

        async def falls_silent(asked: Any) -> bytes:
            return await silent(asked) if isinstance(asked, Prepare) else messages.encode(Done())

        async def dies(asked: Any) -> bytes:
            if isinstance(asked, Prepare):
                bad.link.close()
            return messages.encode(Done())

        bad.says = falls_silent
        with pytest.raises(NotPrepared, match=r"^worker 1: no answer within 0\.5 s$"):
            await house.telling.prepare("v2", {}, 0.5)
        assert bad.killed
        bad = house.workers[1] = house.begun[1] = await Worker(1).begin()
        bad.says = dies
        with pytest.raises(NotPrepared, match=r"^worker 1: no answer \(Lost\)$"):
            await house.telling.prepare("v2", {})
        assert house.workers[2].heard == ["Drop", "Prepare", "Drop"] * 2

    within(test)


def test_one_that_hangs_is_ended_and_stops_nothing() -> None:
    async def test(house: House) -> None:
        house.workers[1].says = silent
        await house.telling.prepare("v2", {})
        assert house.workers[1].killed
        assert house.workers[1].heard == ["Drop"]
        assert [house.workers[at].heard for at in (0, 2)] == [["Drop", "Prepare"]] * 2

    within(test)


def test_one_that_has_prepared_nothing_does_not_stay_with_the_old_version() -> None:
    async def test(house: House) -> None:
        async def prepared_nothing(asked: Any) -> bytes:
            return messages.encode(Done("nothing was prepared" if isinstance(asked, Swap) else ""))

        house.workers[2].says = prepared_nothing
        await house.telling.prepare("v2", {})
        await house.telling.swap()
        assert house.workers[2].killed == ["nothing was prepared"]
        assert not house.workers[0].killed

    within(test)


def test_a_gateway_without_workers_tells_nobody() -> None:
    async def test(house: House) -> None:
        await house.revoke()
        await house.telling.prepare("v2", {})
        await house.telling.swap()
        assert await house.telling.ends(TOKEN) is None

    within(test, 0)
