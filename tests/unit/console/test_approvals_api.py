"""The approvals API: what each who asks may see, what is recorded, and a store that fails."""

import asyncio
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from funcgate.approval.answers import Answers
from funcgate.approval.desk import HumanDesk
from funcgate.console import make_console
from funcgate.console.access import Access
from funcgate.console.routes import approvals, grants
from funcgate.core.approval import StoreFailed
from funcgate.core.principal import Principal, RawToken
from funcgate.stores.memory import MemoryJournal
from funcgate.stores.memory_approvals import MemoryApprovals
from support.approvals import NOW, answer, approval, asked, principal, terms

PEOPLE = {
    "agent": principal("agent-7"),
    "bob": principal("bob", "finance", acts_for=None),
    "eve": principal("eve", "marketing", acts_for=None),
    "audrey": principal("audrey", "security", acts_for=None),
}
TERMS = terms(break_glass=("group:oncall",), escalate_after_s=60.0, escalate_to=("user:boss",))
HELD = approval(terms=(TERMS,), answers=(answer("carol", "finance", "secret-club"),))


class People:
    """The token is the person's name."""

    def recall(self, token: RawToken) -> Principal:
        return PEOPLE[token.value.decode()]

    async def identify(self, token: RawToken | None) -> Principal:
        raise NotImplementedError

    def check(self, principal: Principal) -> None: ...


class Broken(MemoryApprovals):
    def __getattribute__(self, name: str) -> Any:
        if name in ("find", "get", "grants"):

            async def fail(*_: Any, **__: Any) -> Any:
                raise StoreFailed("/secret/state.db: OperationalError")

            return fail
        return super().__getattribute__(name)


def console(store: Any, journal: MemoryJournal) -> Litestar:
    answers = Answers(HumanDesk(store, journal, lambda _: None, now=lambda: NOW))
    access = Access(People(), {"auditor": ["group:security"]})
    return make_console(None, None, [approvals.routes(answers, store, access), grants.routes(answers, store, access)])  # type: ignore[arg-type]


def ask(client: TestClient[Any], who: str, path: str, method: str = "GET") -> Any:
    return client.request(method, f"/api/v1/{path}", headers={"authorization": f"Bearer {who}"})


def test_the_caller_learns_nothing_of_the_configuration_and_of_who_answered() -> None:
    store = MemoryApprovals()
    asyncio.run(store.open(HELD))
    with TestClient(console(store, MemoryJournal())) as client:
        for path in (f"approvals/{HELD.id}", "approvals"):
            mine = ask(client, "agent", path).text
            assert "group:finance" in mine  # whom to ask
            for secret in ("big transfers", "oncall", "boss", "carol", "secret-club", '"v1"'):
                assert secret not in mine
                assert secret in ask(client, "bob", path).text
                assert secret in ask(client, "audrey", path).text


@pytest.mark.parametrize("verb", ["approve", "reject", "cancel"])
def test_who_may_not_even_see_it_and_tries_is_recorded(verb: str) -> None:
    store, journal = MemoryApprovals(), MemoryJournal()
    asyncio.run(store.open(HELD))
    with TestClient(console(store, journal)) as client:
        assert ask(client, "eve", f"approvals/{HELD.id}/{verb}", "POST").status_code == 404
    (entry,) = journal.entries
    assert (entry.outcome, entry.approval, entry.principal.subject if entry.principal else "") == (
        "refused",
        HELD.id,
        "eve",
    )
    assert asyncio.run(store.get(HELD.id)) == HELD


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "approvals"),
        ("GET", "approvals/x"),
        ("POST", "approvals/x/approve"),
        ("GET", "grants"),
        ("POST", "grants/x/revoke"),
    ],
)
def test_a_store_that_fails_is_said_to_be_unavailable(method: str, path: str) -> None:
    with TestClient(console(Broken(), MemoryJournal())) as client:
        found = ask(client, "bob", path, method)
    assert (found.status_code, found.json()["code"]) == (503, "approval.unavailable")
    assert "state.db" not in found.text


def test_what_is_told_can_be_decoded_by_the_command_line() -> None:
    from funcgate.cli.approvals.show import approval_of

    store = MemoryApprovals()
    asyncio.run(store.open(HELD))
    with TestClient(console(store, MemoryJournal())) as client:
        found = approval_of(ask(client, "agent", f"approvals/{HELD.id}").json())
    assert msgspec.structs.replace(found, key=HELD.key).id == HELD.id


def test_a_list_leaves_large_arguments_out_and_says_so() -> None:
    store = MemoryApprovals()
    small, large = (
        HELD,
        approval(id="Z" * 26, key="k2", terms=(TERMS,), asked=asked(args=msgspec.Raw(b'{"x":"%b"}' % (b"a" * 20_000)))),
    )
    for each in (small, large):
        asyncio.run(store.open(each))
    with TestClient(console(store, MemoryJournal())) as client:
        listed = {each["id"]: each["args"] for each in ask(client, "bob", "approvals").json()["approvals"]}
        assert listed == {small.id: {"amount": 25000}, large.id: None}
        assert ask(client, "bob", f"approvals/{large.id}").json()["args"] == {"x": "a" * 20_000}
