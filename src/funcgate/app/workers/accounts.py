"""Budgets with several workers: counted where there is only one, in the gateway's own process.

A worker says who had how much; it is told no when that is too much.
"""

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from math import inf

from msgspec import structs

from funcgate.core.budget import Accounts, Budget
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code, Refused

from . import messages
from .link import Lost
from .messages import MAX_SMALL_BYTES, Done, Forged, Spend

MOST_BUDGETS = 1_000  # that name one principal
_LEAST_S = 1e-6  # a window; as the configuration has it


class AskingAccounts:
    """`core.budget.Spending` of a worker. `ask` is the link's."""

    def __init__(self, ask: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._ask = ask

    async def spend(self, target: str, budgets: Sequence[Budget], who: Principal, rows: int, size: int) -> None:
        """See `core.budget.Spending`."""
        mine = tuple(budget for budget in budgets if not budget.principals.isdisjoint(who.selectors))
        if not mine:
            return
        question = Spend(
            target=target, budgets=mine, issuer=who.issuer, subject=who.subject, acts_for=who.acts_for, actor=who.actor,
            selectors=who.selectors, rows=rows, size=size,
        )  # fmt: skip
        encoded = messages.encode(question)
        # Attack: groups and budgets so many that the question about them would end the link, and with it the worker.
        if len(encoded) > MAX_SMALL_BYTES or len(mine) > MOST_BUDGETS:
            raise Refused(Code.GATEWAY_ERROR, private_detail="budgets cannot be counted: too much to be said of them")
        try:
            await self._ask(encoded)
        except Lost as lost:
            # Attack: what nobody counts has no limit. Without the one who counts, nothing goes out.
            raise Refused(Code.GATEWAY_ERROR, private_detail=f"budgets cannot be counted: {lost}") from None


def counted(accounts: Accounts, spend: Spend, size: int = 0) -> Done:
    """The answer to a worker, whose question has this size in bytes. Raises `Refused(budget.exceeded)`, and `Forged`."""
    budgets = spend.budgets
    # Attack: a worker that was taken over counts in windows that never end, or for budgets by the million in one question, until
    # the gateway has no memory left, or forgets what others had.
    if (
        size > MAX_SMALL_BYTES
        or len(budgets) > MOST_BUDGETS
        or not all(_LEAST_S <= budget.per_s < inf for budget in budgets)
    ):
        raise Forged("what no worker counts")
    # Attack: and for callers with names of megabytes, which would be kept. What is kept of a name has one size.
    short = [structs.replace(budget, principals=frozenset({_short(*sorted(budget.principals))})) for budget in budgets]
    named = frozenset(
        name
        for budget, kept in zip(budgets, short, strict=True)
        if not budget.principals.isdisjoint(spend.selectors)
        for name in kept.principals
    )
    subject = _short(spend.target, spend.issuer, spend.subject, spend.acts_for, spend.actor)
    who = Principal("", subject, frozenset(), {}, "", 0.0, None, named, None)
    # Attack: a worker that was taken over gives its caller back what it had. It can only take.
    accounts.spend("", short, who, max(spend.rows, 0), max(spend.size, 0))
    return Done()


def _short(*names: str | None) -> str:
    return sha256(repr(names).encode()).hexdigest()
