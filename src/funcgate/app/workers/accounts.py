"""Budgets with several workers: counted where there is only one, in the gateway's own process.

A worker says who had how much; it is told no when that is too much.
"""

from collections.abc import Awaitable, Callable, Sequence

from funcgate.core.budget import Accounts, Budget
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code, Refused

from . import messages
from .link import Lost
from .messages import Done, Spend


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
        try:
            await self._ask(messages.encode(question))
        except Lost as lost:
            # Attack: what nobody counts has no limit. Without the one who counts, nothing goes out.
            raise Refused(Code.GATEWAY_ERROR, private_detail=f"budgets cannot be counted: {lost}") from None


def counted(accounts: Accounts, spend: Spend) -> Done:
    """The answer to a worker. Raises `Refused(budget.exceeded)`."""
    # Attack: a worker that was taken over gives its caller back what it had. It can only take.
    who = Principal(spend.issuer, spend.subject, frozenset(), {}, "", 0.0, spend.acts_for, spend.selectors, spend.actor)
    accounts.spend(spend.target, spend.budgets, who, max(spend.rows, 0), max(spend.size, 0))
    return Done()
