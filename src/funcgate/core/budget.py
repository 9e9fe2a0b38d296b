"""How many rows and bytes callers may have of a target, and what they have had: counted for each principal, over a window.

It knows no protocol. What is counted is in memory: a restart begins anew.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Protocol

from msgspec import Struct

from .principal import Principal
from .refusal import Code, Refused
from .turn import AT_ONCE

_PARTS = 12  # of a window; it moves on by one of them
_MOST_ACCOUNTS = 100_000

Key = tuple[str, frozenset[str], float, str, str, str | None, str | None]


class Budget(Struct, frozen=True):
    """What each of some principals may have in any `per_s` seconds. None: as much as there is."""

    principals: frozenset[str]
    rows: int | None
    size: int | None
    per_s: float


class Spending(Protocol):
    """Counts what callers have."""

    def spend(self, target: str, budgets: Sequence[Budget], who: Principal, rows: int, size: int) -> Awaitable[None]:
        """So many rows and bytes are to go to this principal. Raises `Refused(budget.exceeded)`, and counts them all the same,
        when a budget does not hold them; of none at all, when one is used up. It raises at once, or when awaited, which
        is needed only for what is counted elsewhere."""
        ...


class _Account(Struct):
    """What one principal had, by part of the window."""

    parts: dict[int, list[int]]

    def had(self, since: int) -> tuple[int, int]:
        for part in [part for part in self.parts if part <= since]:
            del self.parts[part]
        spent = self.parts.values()
        return sum(one[0] for one in spent), sum(one[1] for one in spent)


class Accounts:
    """All that was had, of all targets. `now` counts seconds."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._accounts: OrderedDict[Key, _Account] = OrderedDict()

    def spend(self, target: str, budgets: Sequence[Budget], who: Principal, rows: int, size: int) -> Awaitable[None]:
        """See `Spending`."""
        over: Budget | None = None
        for budget in budgets:
            if budget.principals.isdisjoint(who.selectors):
                continue
            part = int(self._now() * _PARTS / budget.per_s)
            account = self._account(
                (target, budget.principals, budget.per_s, who.issuer, who.subject, who.acts_for, who.actor)
            )
            had_rows, had_size = account.had(part - _PARTS - 1)  # whole parts: never less than the window
            spent = account.parts.setdefault(part, [0, 0])
            spent[0] += rows
            spent[1] += size
            least = 0 if rows or size else 1
            if _beyond(budget.rows, had_rows + rows + least) or _beyond(budget.size, had_size + size + least):
                over = over or budget
        if over is not None:
            # Attack: a caller who may see each row copies the whole table, statement by statement.
            limits = [f"{over.rows} rows"] * (over.rows is not None) + [f"{over.size} bytes"] * (over.size is not None)
            detail = f"more than {' or '.join(limits)} in {over.per_s:g} s"
            raise Refused(Code.BUDGET_EXCEEDED, private_detail=detail, status=429)
        return AT_ONCE

    def _account(self, key: Key) -> _Account:
        found = self._accounts.get(key)
        if found is None:
            if len(self._accounts) >= _MOST_ACCOUNTS:
                self._accounts.popitem(last=False)  # whoever has asked for nothing for longest
            found = self._accounts[key] = _Account({})
        else:
            self._accounts.move_to_end(key)
        return found


def _beyond(limit: int | None, had: int) -> bool:
    return limit is not None and had > limit
