"""Revoked tokens and callers at the door, and how revocations are ordered, lifted, loaded and let go of."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from funcgate.core.approval import StoreFailed
from funcgate.core.call import Call
from funcgate.core.decision import Allow, Decision, Deny
from funcgate.core.entry import Entry
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code, Refused
from funcgate.core.revocation import Revocation, Revoked, marks_of
from funcgate.identity import Issuers, IssuerSpec
from funcgate.identity.revoking import TOKEN_S, Order, Revocations, Unfit
from funcgate.identity.unrevoked import Unrevoked
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.memory_revocations import MemoryRevocations
from support.approvals import call, principal

Make = Callable[..., Issuers]
ADA = principal("ada", "staff", acts_for=None)


def revocation(**what: Any) -> Revocation:
    return Revocation(**({"id": "r1", "at": 0.0, "by": "corp/ada", "reason": "lost"} | what))


def refusal(issuers: Issuers, token: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        issuers.recall(token) or asyncio.run(issuers.identify(token))
    return caught.value


# -- at the door


def test_a_token_is_refused_whether_it_is_remembered_or_not(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer)
    known, unknown, other = (signer.token(jti=name) for name in ("known", "unknown", "other"))
    kit.identify(issuers, known)
    kit.identify(issuers, other)
    issuers.revoked.replace([revocation(id=each.fingerprint, token=each.fingerprint) for each in (known, unknown)])
    for token in (known, unknown, known, unknown):
        refused = refusal(issuers, token)
        assert (refused.code, refused.status) == (Code.IDENTITY_REVOKED, 401)
        assert f"revocation {token.fingerprint}" in refused.private_detail
        assert "This token" in refused.public_detail
    assert issuers.recall(other) is not None
    issuers.revoked.replace([])
    assert issuers.recall(known) is not None
    assert issuers.recall(unknown) is not None


@pytest.mark.parametrize(
    ("claims", "refused"),
    [
        ({"sub": "alice"}, True),
        ({"sub": "alice", "act": {"sub": "agent-7"}}, True),
        ({"sub": "carol", "act": {"sub": "alice"}}, True),
        ({"sub": "carol", "act": {"sub": "agent-7"}}, False),
        ({"sub": "Alice"}, False),
        ({"sub": "alic"}, False),
        ({"sub": "carol", "groups": ["alice"]}, False),
    ],
)
def test_a_caller_is_refused_by_name_and_as_an_agent(
    make: Make, signer: Any, kit: SimpleNamespace, claims: dict[str, Any], refused: bool
) -> None:
    issuers = make(signer)
    issuers.revoked.replace([revocation(issuer="corp", subject="alice")])
    token = signer.token(**claims)
    if refused:
        for _ in range(2):
            assert refusal(issuers, token).code == Code.IDENTITY_REVOKED
    else:
        assert kit.identify(issuers, token) == issuers.recall(token)


def test_another_issuers_caller_of_that_name_is_let_in(make: Make, signer: Any, kit: SimpleNamespace) -> None:
    issuers = make(signer)
    issuers.revoked.replace([revocation(issuer="partner", subject="alice"), revocation(session="alice")])
    assert kit.identify(issuers, signer.token()).subject == "alice"


def test_a_token_that_is_not_good_is_not_called_revoked(
    make: Make, signer: Any, clock: Any, kit: SimpleNamespace
) -> None:
    issuers = make(signer)
    issuers.revoked.replace([revocation(issuer="corp", subject="alice")])
    assert kit.refusal(issuers, signer.token(aud="another")).code == Code.IDENTITY_INVALID
    assert kit.refusal(issuers, signer.token(exp=kit.NOW - 100)).code == Code.IDENTITY_EXPIRED


def test_a_configuration_that_takes_over_takes_them_along(
    tmp_path: Path, make: Make, signer: Any, clock: Any, kit: SimpleNamespace
) -> None:
    first = make(signer)
    spec = IssuerSpec(name="corp", issuer=kit.ISSUER, audience="funcgate", jwks_file="keys.json", leeway="1s")
    second = Issuers([spec], base=tmp_path, now=clock, previous=first)
    token = signer.token()
    kit.identify(second, token)
    first.revoked.replace([revocation(token=token.fingerprint)])  # ordered while the reload goes on
    assert refusal(second, token).code == Code.IDENTITY_REVOKED


def test_names_do_not_run_into_each_other() -> None:
    assert revocation(session="f00d").mark != revocation(token="f00d").mark
    assert revocation(issuer="a", subject="b/c").mark != revocation(issuer="a/b", subject="c").mark
    someone = principal("agent-7", acts_for=None)
    assert revocation(session="corp\0agent-7").mark not in marks_of(someone)
    assert revocation(session="f00d").mark not in marks_of(someone)
    assert revocation(token="f00d").mark in marks_of(someone)


def test_a_revoked_session_is_denied_before_any_policy_is_asked() -> None:
    asked: list[Call] = []

    class Allows:
        def blind(self, call: Call) -> bool:
            return False

        def decide(self, call: Call) -> Decision:
            asked.append(call)
            return Allow(("all",), "v1")

    revoked = Revoked()
    policies = Unrevoked(Allows(), revoked, "v1")
    assert isinstance(policies.decide(call(session="s1")), Allow)
    revoked.replace([revocation(session="s1")])
    denied = policies.decide(call(session="s1"))
    assert isinstance(denied, Deny)
    assert (denied.code, denied.version) == (Code.IDENTITY_REVOKED, "v1")
    assert "r1" in denied.reason
    assert isinstance(policies.decide(call(session="s2")), Allow)
    assert [each.session for each in asked] == ["s1", "s2"]


# -- orders


class Place:
    """Revocations over a store, with a journal, and issuers that nothing is asked of but what is revoked."""

    def __init__(self, issuers: Issuers, clock: Any, store: MemoryRevocations | None = None) -> None:
        self.issuers, self.clock = issuers, clock
        self.store = store or MemoryRevocations()
        self.journal = MemoryJournal()
        self.revocations = Revocations(self.store, self.journal, lambda: issuers, clock)

    def order(self, **said: Any) -> Revocation:
        return asyncio.run(self.revocations.order(Order(**({"reason": "lost"} | said)), ADA))

    def look(self) -> None:
        asyncio.run(self.revocations.look())

    def entries(self) -> list[tuple[str, str, str]]:
        return [(each.change["what"], each.outcome, each.detail) for each in self.journal.entries]

    def stands(self, who: Principal) -> bool:
        return not self.issuers.revoked.marks.isdisjoint(marks_of(who))


@pytest.fixture
def place(make: Make, signer: Any, clock: Any) -> Place:
    return Place(make(signer), clock)


WHO = principal("agent-7", acts_for=None)


def test_an_order_is_recorded_and_in_force(place: Place) -> None:
    made = place.order(issuer="corp", subject="agent-7")
    assert place.stands(WHO)
    (entry,) = place.journal.entries
    assert entry.principal is not None
    assert (entry.principal.subject, entry.outcome, entry.detail) == ("ada", "complete", "lost")
    named = {
        "what": "revoke",
        "revocation": made.id,
        "issuer": "corp",
        "subject": "agent-7",
        "until": None,
        "channel": "api",
    }
    assert entry.change == named
    assert (made.by, made.until) == ("corp/ada", None)


def test_what_cannot_be_recorded_does_not_happen(place: Place) -> None:
    place.journal.fail("disk")
    with pytest.raises(Refused):
        place.order(issuer="corp", subject="agent-7")
    assert not place.stands(WHO)
    assert asyncio.run(place.store.changes()) == 0
    place.journal.recover()
    made = place.order(issuer="corp", subject="agent-7")
    place.journal.fail("disk")
    with pytest.raises(Refused):
        asyncio.run(place.revocations.lift(made.id, ADA, "found"))
    assert place.stands(WHO)


def test_what_cannot_be_kept_is_said_to_have_failed(make: Make, signer: Any, clock: Any) -> None:
    class Failing(MemoryRevocations):
        async def add(self, revocation: Revocation) -> None:
            raise StoreFailed("state.db: OperationalError")

    place = Place(make(signer), clock, Failing())
    with pytest.raises(StoreFailed):
        place.order(issuer="corp", subject="agent-7")
    assert not place.stands(WHO)
    assert [outcome for _, outcome, _ in place.entries()] == ["complete", "failed"]


def test_the_entry_is_durable_before_the_store_is_asked(make: Make, signer: Any, clock: Any) -> None:
    order: list[str] = []

    class Store(MemoryRevocations):
        async def add(self, revocation: Revocation) -> None:
            order.append("kept")

    class Slow(MemoryJournal):
        async def append(self, *entries: Entry) -> None:  # type: ignore[override]
            await asyncio.sleep(0.01)
            order.append("durable")

    issuers = make(signer)
    revocations = Revocations(Store(), Slow(), lambda: issuers, clock)
    asyncio.run(revocations.order(Order(reason="lost", session="s"), ADA))
    assert order == ["durable", "kept"]


def test_a_look_that_began_before_an_order_does_not_undo_it(make: Make, signer: Any, clock: Any) -> None:
    class Slow(MemoryRevocations):
        async def standing(self, now: float) -> Any:
            found = await super().standing(now)
            await asyncio.sleep(0.02)
            return found

    place = Place(make(signer), clock, Slow())

    async def story() -> None:
        looking = asyncio.create_task(place.revocations.look())
        await asyncio.sleep(0)
        await place.revocations.order(Order(reason="lost", issuer="corp", subject="agent-7"), ADA)
        await looking
        assert place.stands(WHO)
        await place.revocations.look()
        assert place.stands(WHO)

    asyncio.run(story())


def test_how_long_a_token_is_refused(place: Place, signer: Any, clock: Any, kit: SimpleNamespace) -> None:
    token = signer.token(exp=kit.NOW + 100)
    assert place.order(token=token.fingerprint).until == kit.NOW + TOKEN_S
    place.issuers.revoked.replace([])
    kit.identify(place.issuers, token)
    assert place.order(token=token.fingerprint).until == kit.NOW + 100 + 300  # whatever leeway a reload may give
    assert place.order(token=token.fingerprint, for_s=5).until == kit.NOW + 5


def test_what_ends_is_let_go_of(place: Place, clock: Any) -> None:
    place.order(issuer="corp", subject="agent-7", for_s=10)
    clock.at += 9.9
    place.look()
    assert place.stands(WHO)
    clock.at += 0.1
    place.look()
    assert not place.stands(WHO)
    assert place.issuers.revoked.marks == frozenset()


def test_two_that_name_one_caller_are_lifted_one_by_one(place: Place) -> None:
    first, second = (place.order(issuer="corp", subject="agent-7", reason=why) for why in ("lost", "stolen"))
    asyncio.run(place.revocations.lift(first.id, ADA, "found"))
    assert place.stands(WHO)
    with pytest.raises(KeyError):
        asyncio.run(place.revocations.lift(first.id, ADA, "found"))
    lifted = asyncio.run(place.revocations.lift(second.id, ADA, "found"))
    assert (lifted.lifted_by, place.stands(WHO)) == ("corp/ada", False)
    assert [what for what, _, _ in place.entries()] == ["revoke", "revoke", "lift revocation", "lift revocation"]


def test_another_process_finds_them(make: Make, signer: Any, clock: Any) -> None:
    store = MemoryRevocations()
    one, other = (Place(make(signer), clock, store) for _ in range(2))
    made = one.order(issuer="corp", subject="agent-7")
    assert not other.stands(WHO)
    other.look()
    assert other.stands(WHO)
    asyncio.run(other.revocations.lift(made.id, ADA, "found"))
    one.look()
    assert not one.stands(WHO)


def test_no_more_than_a_gateway_can_look_through(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcgate.identity.revoking.MAX_STANDING", 2)
    made = [place.order(session=name) for name in ("a", "b")]
    with pytest.raises(Unfit, match="2 revocations stand"):
        place.order(session="c")
    asyncio.run(place.revocations.lift(made[0].id, ADA, "over"))
    place.order(session="c")


def test_whoever_was_verified_by_another_way_is_checked_too(make: Make, signer: Any) -> None:
    issuers = make(signer)
    issuers.check(WHO)
    issuers.revoked.replace([revocation(issuer="corp", subject="agent-7")])
    with pytest.raises(Refused) as caught:
        issuers.check(WHO)
    assert caught.value.code is Code.IDENTITY_REVOKED
    issuers.check(ADA)
