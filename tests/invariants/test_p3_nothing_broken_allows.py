"""P3: no exception, timeout or missing part leads to Allow.

Each part of a real snapshot is made to fail in turn, in every way that it can fail; the target must see nothing, or, when
the failure comes after the target answered, the caller must not see the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from funcgate.approval.desk import HumanDesk
from funcgate.core.call import Call, Permit, PermitError
from funcgate.core.decision import Allow, Deny, Quorum, RequireApproval, Terms
from funcgate.core.entry import Entry
from funcgate.core.function import Function
from funcgate.core.lease import NO_LEASE, Lease
from funcgate.core.meter import Meter
from funcgate.core.ports import Patience
from funcgate.core.principal import Principal, RawToken, make_principal
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.gateway import Gateway, Snapshot
from funcgate.masking import compile_rules
from funcgate.recording.unknowns import Unknowns
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.memory_approvals import MemoryApprovals

ANSWER = b'{"answer":"of the target"}'


FUNCTION = Function(target="shop", name="read", full_name="shop.read", args_schema={})
HELD = RequireApproval((Terms(quorums=(Quorum(("group:f",)),)),), ("p",), "v")


class Wire:
    """The protocol's side of one call, in memory: it notes what reached the target and what reached the caller."""

    call_id = "01TEST"
    client = "127.0.0.1"
    target = "shop"

    def __init__(self) -> None:
        self.token: RawToken | None = RawToken(b"a.b.c")
        self.sent = 0
        self.delivered: list[bytes] = []
        self.refused: list[Code] = []

    async def resolve(self, principal: Principal) -> Call:
        return Call(
            id=self.call_id, target="shop", function="shop.read", args={"a": 1}, principal=principal, session="s",
            digest="sha256:1", received_at=0.0,
        )  # fmt: skip

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        permit.spend("sha256:1")
        self.sent += 1
        return Reply(status=200, headers=[], media="application/json", body=ANSWER)

    async def deliver(self, reply: Reply) -> None:
        self.delivered.append(reply.body or b"")

    async def refuse(self, refused: Refused) -> None:
        self.refused.append(refused.code)

    patience = Patience()

    def renew(self) -> bool:
        return True


class Parts:
    """Every part of a snapshot, sound; a test replaces one method by one that fails."""

    collects = False
    hides: object = None

    def __init__(self) -> None:
        self.functions = {"shop.read": FUNCTION}
        self.principal = make_principal("corp", "ann", frozenset({"agents"}), {}, "t", 9e9)
        self.decision: Any = Allow(("p",), "v")
        plan = compile_rules([], ["shop.read"], hash_key=b"k" * 32)
        self.masker = plan.masker("shop.read")

    def recall(self, token: RawToken) -> Principal | None:
        return None

    async def identify(self, token: RawToken | None) -> Principal:
        return self.principal

    def check(self, principal: Principal) -> None: ...

    def decide(self, call: Call) -> Any:
        return self.decision

    def at_hand(self, target: str) -> Lease | None:
        return None

    async def lease(self, target: str) -> Lease:
        return NO_LEASE

    def mask_args(self, encoded: bytes) -> bytes:
        return self.masker.mask_args(encoded)

    def mask_reply(self, reply: Reply, lease: Lease) -> Any:
        return self.masker.mask_reply(reply, lease)

    def snapshot(self) -> Snapshot:
        parts: Any = self
        return Snapshot(
            version="v",
            identity=parts,
            policies=parts,
            maskers=lambda name: parts,
            broker=parts,
            functions=self.functions,
            record_bytes=1000,
        )


class Boom(Exception):
    pass


def fails(error: BaseException) -> Callable[..., Any]:
    def fail(*arguments: Any) -> Any:
        raise error

    return fail


def fails_later(error: BaseException) -> Callable[..., Awaitable[Any]]:
    async def fail(*arguments: Any) -> Any:
        await asyncio.sleep(0)
        raise error

    return fail


async def carry(parts: Parts, wire: Wire, journal: Any = None) -> None:
    record = journal or MemoryJournal()
    gateway = Gateway(
        record, HumanDesk(MemoryApprovals(), record, lambda _: None), Meter(), Unknowns(record), parts.snapshot
    )
    await gateway.carry(wire, parts.snapshot())


ERRORS: list[BaseException] = [
    Boom("x"), ValueError("x"), KeyError("x"), RecursionError(), MemoryError(), TimeoutError(), OSError(28, "x"),
    AssertionError(), UnicodeDecodeError("utf-8", b"x", 0, 1, "x"), StopIteration(), Refused(Code.IDENTITY_INVALID),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["recall", "identify", "decide", "at_hand", "lease", "mask_args"])
def test_a_part_that_fails_before_the_target_lets_nothing_through(step: str, error: BaseException) -> None:
    parts, wire = Parts(), Wire()
    setattr(parts, step, (fails_later if step in ("identify", "lease") else fails)(error))
    asyncio.run(carry(parts, wire))
    assert (wire.sent, wire.delivered, len(wire.refused)) == (0, [], 1)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_message_that_breaks_its_reader_lets_nothing_through(error: BaseException) -> None:
    parts, wire = Parts(), Wire()
    wire.resolve = fails_later(error)  # type: ignore[method-assign]
    asyncio.run(carry(parts, wire))
    assert (wire.sent, wire.delivered, len(wire.refused)) == (0, [], 1)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_masker_that_fails_shows_nothing(error: BaseException) -> None:
    parts, wire = Parts(), Wire()
    parts.mask_reply = fails(error)  # type: ignore[method-assign]
    asyncio.run(carry(parts, wire))
    assert (wire.delivered, len(wire.refused)) == ([], 1)


@pytest.mark.parametrize(
    "decision",
    [None, True, "allow", 1, object(), (), Allow],
    ids=["None", "True", "text", "1", "object", "()", "Allow"],
)
def test_a_decision_that_is_none_is_no_allow(decision: object) -> None:
    parts, wire = Parts(), Wire()
    parts.decision = decision
    asyncio.run(carry(parts, wire))
    assert (wire.sent, wire.delivered, len(wire.refused)) == (0, [], 1)


def test_a_held_call_is_never_sent() -> None:
    parts, wire = Parts(), Wire()
    parts.decision = HELD
    asyncio.run(carry(parts, wire))
    assert (wire.sent, wire.refused) == (0, [Code.APPROVAL_PENDING])


class FailingJournal(MemoryJournal):
    """Fails at once, when awaited, or never answers."""

    def __init__(self, how: str, kind: str) -> None:
        super().__init__()
        self._how = how
        self._kind = kind

    def append(self, *entries: Entry) -> Awaitable[None]:
        if not any(entry.kind == self._kind for entry in entries):
            return super().append(*entries)
        if self._how == "at once":
            raise Refused(Code.JOURNAL_OVERLOADED)
        if self._how == "by surprise":
            raise Boom
        return self._later()

    async def _later(self) -> None:
        if self._how == "never":
            await asyncio.Event().wait()
        raise Refused(Code.JOURNAL_UNAVAILABLE)


def test_a_journal_that_breaks_for_the_refusal_too_still_ends_in_a_refusal() -> None:
    class Broken(MemoryJournal):
        def append(self, *entries: Entry) -> Awaitable[None]:
            raise Boom

    wire = Wire()
    asyncio.run(carry(Parts(), wire, Broken()))
    assert (wire.sent, wire.delivered, wire.refused) == (0, [], [Code.GATEWAY_ERROR])


@pytest.mark.parametrize("kind", ["allowed", "chunk"])
@pytest.mark.parametrize("how", ["at once", "later", "by surprise", "never"])
def test_a_journal_that_fails_lets_nothing_through(how: str, kind: str) -> None:
    """Without an "allowed" nothing goes to the target; without a record of the answer nothing goes to the caller."""

    async def attempt(wire: Wire) -> None:
        try:
            async with asyncio.timeout(0.2 if how == "never" else 30):
                await carry(Parts(), wire, FailingJournal(how, kind))
        except TimeoutError:
            assert how == "never"

    wire = Wire()
    asyncio.run(attempt(wire))
    assert (wire.sent, wire.delivered) == (int(kind == "chunk"), [])
    assert len(wire.refused) == (how != "never")


def test_cancelling_a_call_at_any_step_lets_nothing_through_half() -> None:
    """Cut the task at its n-th turn, for every n: either nothing was sent, or it was recorded before."""

    async def attempt(turns: int) -> tuple[Wire, MemoryJournal]:
        journal, wire, parts = MemoryJournal(), Wire(), Parts()
        task = asyncio.ensure_future(carry(parts, wire, journal))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return wire, journal

    for turns in range(12):
        wire, journal = asyncio.run(attempt(turns))
        written = [entry.kind for entry in journal.entries]
        assert not wire.sent or "allowed" in written
        assert not wire.delivered or "chunk" in written
        assert written.count("arrived") == written.count("ended")


def test_a_permit_is_for_one_use_and_for_its_bytes() -> None:
    permit = Permit("c", "sha256:1")
    with pytest.raises(PermitError):
        permit.spend("sha256:2")
    permit.spend("sha256:1")
    with pytest.raises(PermitError):
        permit.spend("sha256:1")


class OpenDesk:
    """A desk that lets everything through, but for the step that a test breaks."""

    id = "01APPROVAL"

    async def open(self, *arguments: Any) -> Any:
        return self

    async def wait(self, held: Any) -> None:
        pass

    async def use(self, held: Any, decision: Any) -> None:
        pass


async def hold(parts: Parts, wire: Wire, desk: Any, after: Snapshot | None = None) -> MemoryJournal:
    """Carry a call that has to be held; the world is `after` once it was approved. Its record."""
    record = MemoryJournal()
    parts.decision = HELD
    before = parts.snapshot()
    gateway = Gateway(record, desk, Meter(), Unknowns(record), lambda: after or before)
    await gateway.carry(wire, before)
    return record


def test_an_open_desk_lets_a_held_call_through() -> None:
    wire = Wire()
    asyncio.run(hold(Parts(), wire, OpenDesk()))
    assert (wire.sent, wire.delivered) == (1, [ANSWER])


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["open", "wait", "use"])
def test_a_desk_that_fails_lets_nothing_through_and_it_is_recorded_who_came(step: str, error: BaseException) -> None:
    wire, desk = Wire(), OpenDesk()
    setattr(desk, step, fails_later(error))
    record = asyncio.run(hold(Parts(), wire, desk))
    assert (wire.sent, wire.delivered) == (0, [])
    assert len(wire.refused) == 1
    assert [entry.kind for entry in record.entries if entry.kind != "asked"] == ["arrived", "denied", "ended"]


@pytest.mark.parametrize(
    "decision",
    [None, True, "allow", 1, object(), (), Allow],
    ids=["None", "True", "text", "1", "object", "()", "Allow"],
)
def test_a_decision_after_the_wait_that_is_none_is_no_allow(decision: object) -> None:
    parts, later, wire = Parts(), Parts(), Wire()
    later.decision = decision
    asyncio.run(hold(parts, wire, OpenDesk(), later.snapshot()))
    assert (wire.sent, len(wire.refused)) == (0, 1)


def _other(**changes: Any) -> Principal:
    plain = {
        "issuer": "corp",
        "subject": "ann",
        "groups": frozenset({"agents"}),
        "claims": {},
        "token": "t",
        "expires_at": 9e9,
    }
    return make_principal(**{**plain, **changes})


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: setattr(parts, "decision", Deny(Code.POLICY_DENIED, "no", ("p",), "v2")),
        lambda parts: setattr(parts, "identify", fails_later(Refused(Code.IDENTITY_EXPIRED))),
        lambda parts: setattr(parts, "principal", _other(subject="bea")),
        lambda parts: setattr(parts, "principal", _other(issuer="other")),
        lambda parts: setattr(parts, "principal", _other(acts_for="bea")),
        lambda parts: setattr(parts, "functions", {}),
        lambda parts: setattr(parts, "functions", {"shop.read": replace(FUNCTION, args_schema={"type": "object"})}),
        lambda parts: setattr(parts, "decide", fails(Boom("x"))),
    ],
    ids=[
        "denied",
        "expired",
        "another subject",
        "another issuer",
        "acts for another",
        "function gone",
        "schema",
        "broken",
    ],
)
def test_a_world_that_changed_while_a_call_was_held_stops_it(change: Callable[[Parts], None]) -> None:
    parts, later, wire = Parts(), Parts(), Wire()
    later.decision = HELD
    change(later)
    asyncio.run(hold(parts, wire, OpenDesk(), later.snapshot()))
    assert (wire.sent, wire.delivered, len(wire.refused)) == (0, [], 1)


def test_a_place_that_moved_while_a_call_was_held_stops_it() -> None:
    wire = Wire()
    wire.renew = lambda: False  # type: ignore[method-assign]
    asyncio.run(hold(Parts(), wire, OpenDesk()))
    assert (wire.sent, wire.refused) == (0, [Code.APPROVAL_EXPIRED])
