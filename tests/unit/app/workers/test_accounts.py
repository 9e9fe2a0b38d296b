"""Budgets hold for all workers together."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from funcgate.app.workers import messages
from funcgate.app.workers.accounts import AskingAccounts, counted
from funcgate.app.workers.link import Link
from funcgate.app.workers.messages import Spend
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
