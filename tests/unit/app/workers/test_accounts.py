"""Budgets hold for all workers together."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest
from msgspec import structs

from funcgate.app.workers import messages
from funcgate.app.workers.accounts import MOST_BUDGETS, AskingAccounts, counted
from funcgate.app.workers.link import Link
from funcgate.app.workers.messages import MAX_SMALL_BYTES, Forged, Spend
from funcgate.core.budget import Accounts, Budget
from funcgate.core.principal import make_principal
from funcgate.core.refusal import Code, Refused

ANALYSTS = Budget(frozenset({"group:analysts"}), 10, None, 60.0)
ADA = make_principal("corp", "ada", frozenset({"analysts"}), {}, "t", 1e12, acts_for="bob", actor="agent")
EVE = make_principal("corp", "eve", frozenset(), {}, "t", 1e12)


async def _nothing(question: bytes) -> bytes:
    raise TypeError


@contextlib.asynccontextmanager
async def asking(answer: Callable[[bytes], Awaitable[bytes]]) -> AsyncIterator[tuple[Link, Link]]:
    """A worker's end of a real link, and the gateway's."""
    here, there = socket.socketpair()
    loop = asyncio.get_running_loop()
    worker, gateway = Link({}, _nothing, lambda: None), Link({}, answer, lambda: None)
    await loop.create_connection(lambda: worker, sock=here)
    await loop.create_connection(lambda: gateway, sock=there)
    try:
        yield worker, gateway
    finally:
        worker.close()
        gateway.close()


def test_two_workers_share_one_budget() -> None:
    accounts = Accounts()

    async def answer(question: bytes) -> bytes:
        spend = messages.for_gateway(question)
        assert isinstance(spend, Spend)
        return messages.encode(counted(accounts, spend))

    async def test() -> None:
        async with asking(answer) as (one, _), asking(answer) as (two, _):
            first, second = AskingAccounts(one.ask), AskingAccounts(two.ask)
            await first.spend("shop", [ANALYSTS], ADA, 6, 100)
            await second.spend("shop", [ANALYSTS], ADA, 4, 100)
            for each in (first, second):
                with pytest.raises(Refused) as refused:
                    await each.spend("shop", [ANALYSTS], ADA, 1, 1)
                assert (refused.value.code, refused.value.status) == (Code.BUDGET_EXCEEDED, 429)
                assert "10 rows" in refused.value.private_detail
                assert not refused.value.public_detail
            await second.spend("till", [ANALYSTS], ADA, 10, 1)  # another target
            await first.spend("shop", [ANALYSTS], EVE, 1000, 1)  # nothing limits whom no budget names

    asyncio.run(test())


def test_what_a_worker_gives_back_is_not_taken() -> None:
    accounts = Accounts()
    spend = Spend(
        target="shop", budgets=(ANALYSTS,), issuer="corp", subject="ada", acts_for=None, actor=None,
        selectors=ADA.selectors, rows=10, size=0,
    )  # fmt: skip
    counted(accounts, spend)
    with pytest.raises(Refused):
        counted(accounts, Spend(**{name: getattr(spend, name) for name in spend.__struct_fields__} | {"rows": -10}))


SPEND = Spend(
    target="shop", budgets=(ANALYSTS,), issuer="corp", subject="ada", acts_for=None, actor=None, selectors=ADA.selectors,
    rows=1, size=0,
)  # fmt: skip


@pytest.mark.parametrize("per_s", [0.0, -1e-6, 1e-9, float("nan"), float("inf")])
def test_windows_that_no_configuration_has_are_forged(per_s: float) -> None:
    with pytest.raises(Forged):
        counted(Accounts(), structs.replace(SPEND, budgets=(structs.replace(ANALYSTS, per_s=per_s),)))


def test_one_question_does_not_push_out_what_others_had() -> None:
    accounts = Accounts()
    counted(accounts, structs.replace(SPEND, rows=10))
    many = tuple(structs.replace(ANALYSTS, per_s=1.0 + each) for each in range(MOST_BUDGETS + 1))
    with pytest.raises(Forged):
        counted(accounts, structs.replace(SPEND, budgets=many, subject="eve"))
    with pytest.raises(Forged):
        counted(accounts, structs.replace(SPEND, subject="eve"), MAX_SMALL_BYTES + 1)
    with pytest.raises(Refused):
        counted(accounts, SPEND)


def test_large_ones_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_TO_GATEWAY", None)  # what reads them
    payload = messages.encode(structs.replace(SPEND, subject="x" * MAX_SMALL_BYTES))
    with pytest.raises(msgspec.ValidationError):
        messages.for_gateway(payload)
    # The kind that counts is the first that it says.
    assert payload[0] >> 4 == 8
    with pytest.raises(msgspec.ValidationError):
        messages.for_gateway(bytes([payload[0] + 1]) + payload[1:] + b"\xa4type\xa4open")


def test_names_are_kept_short_and_apart() -> None:
    accounts = Accounts()
    counted(accounts, structs.replace(SPEND, subject="a" * 900_000, target="t" * 900_000, actor="c" * 900_000))
    (key,) = accounts._accounts
    assert len(repr(key)) < 1000
    for other in ({"subject": "bob"}, {"issuer": "other"}, {"actor": "agent"}, {"acts_for": "eve"}, {"target": "till"}):
        counted(accounts, structs.replace(SPEND, rows=10, **other))
    counted(accounts, structs.replace(SPEND, rows=10))
    with pytest.raises(Refused):
        counted(accounts, SPEND)
    counted(accounts, structs.replace(SPEND, selectors=frozenset({"group:clerks"})))  # no budget names them


def test_what_is_too_long_to_be_asked_is_refused_before() -> None:
    async def answer(question: bytes) -> bytes:
        raise AssertionError("it was asked")

    async def test() -> None:
        async with asking(answer) as (worker, _):
            wide = Budget(frozenset({"group:analysts", "group:" + "x" * MAX_SMALL_BYTES}), 10, None, 60.0)
            for budgets in ([wide], [ANALYSTS] * (MOST_BUDGETS + 1)):
                with pytest.raises(Refused) as refused:
                    await AskingAccounts(worker.ask).spend("shop", budgets, ADA, 1, 1)
                assert "too much" in refused.value.private_detail

    asyncio.run(test())


def test_nobody_to_count_refuses() -> None:
    async def test() -> None:
        async with asking(_nothing) as (worker, gateway):
            accounts = AskingAccounts(worker.ask)
            with pytest.raises(Refused) as broke:
                await accounts.spend("shop", [ANALYSTS], ADA, 1, 1)
            assert broke.value.code is Code.GATEWAY_ERROR
            gateway.close()
            with pytest.raises(Refused) as gone:
                await accounts.spend("shop", [ANALYSTS], ADA, 1, 1)
            assert gone.value.code is Code.GATEWAY_ERROR

    asyncio.run(test())
