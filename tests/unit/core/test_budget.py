"""What callers may have: counted for each, over a window that moves."""

import pytest

from funcgate.core.budget import Accounts, Budget
from funcgate.core.principal import Principal, make_principal
from funcgate.core.refusal import Code, Refused

ANALYSTS = frozenset({"group:analysts"})


def who(subject: str, *groups: str) -> Principal:
    return make_principal("corp", subject, frozenset(groups), {}, "t" * 16, 0.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def may(accounts: Accounts, budget: Budget, one: Principal, rows: int, size: int = 0) -> bool:
    try:
        accounts.spend("shop", [budget], one, rows, size)
    except Refused as refused:
        if refused.code is not Code.BUDGET_EXCEEDED or refused.public_detail:
            raise
        return False
    return True


def test_each_principal_has_its_own() -> None:
    accounts, budget = Accounts(), Budget(ANALYSTS, 10, None, 60.0)
    ada, bob = who("ada", "analysts"), who("bob", "analysts")
    assert may(accounts, budget, ada, 10)
    assert not may(accounts, budget, ada, 1)
    assert may(accounts, budget, bob, 10)
    assert may(accounts, budget, who("carl"), 1000)  # nothing limits whom no budget names


@pytest.mark.parametrize(("rows", "size"), [(5, None), (None, 5), (5, 5)])
def test_rows_and_bytes(rows: int | None, size: int | None) -> None:
    budget = Budget(frozenset({"*"}), rows, size, 60.0)
    assert may(Accounts(), budget, who("ada"), 5 if rows else 99, 5 if size else 99)
    if rows is not None:
        assert not may(Accounts(), budget, who("ada"), 6, 0)
    if size is not None:
        assert not may(Accounts(), budget, who("ada"), 0, 6)


def test_what_is_used_up_is_refused_before_anything_is_asked_for() -> None:
    accounts, budget = Accounts(), Budget(ANALYSTS, 10, None, 60.0)
    ada = who("ada", "analysts")
    assert may(accounts, budget, ada, 9)
    assert may(accounts, budget, ada, 0)
    assert may(accounts, budget, ada, 1)
    assert not may(accounts, budget, ada, 0)


def test_never_more_within_a_window_and_all_of_it_after_two() -> None:
    """Whenever it was spent, and in whatever portions."""
    for begin in range(26):
        for portions in (1, 2, 5):
            clock = Clock()
            clock.now += begin * 0.5
            accounts, budget = Accounts(clock), Budget(ANALYSTS, 10, None, 12.0)
            ada = who("ada", "analysts")
            for _ in range(portions):
                assert may(accounts, budget, ada, 10 // portions)
            for _ in range(24):
                assert not may(accounts, budget, ada, 0)
                clock.now += 0.5
            clock.now += 1.0
            assert may(accounts, budget, ada, 10)


def test_who_was_refused_is_counted_all_the_same() -> None:
    """Else a caller learns nothing by being refused: each statement would be cut at the same place, again and again."""
    accounts, budget = Accounts(), Budget(ANALYSTS, 10, None, 60.0)
    ada = who("ada", "analysts")
    assert not may(accounts, budget, ada, 11)
    assert not may(accounts, budget, ada, 0)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcgate.core.budget._MOST_ACCOUNTS", 3)
    accounts, budget = Accounts(), Budget(frozenset({"*"}), 1, None, 60.0)
    for number in range(10):
        assert may(accounts, budget, who(f"agent-{number}"), 1)
    assert len(accounts._accounts) == 3
    assert not may(accounts, budget, who("agent-9"), 1)
