"""Plain conditions, compiled: what the quick way decides is what the closures decide, and what has no plain answer it leaves."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.decision import Allow, Deny, RequireApproval
from funcgate.core.function import Function
from funcgate.core.principal import Principal
from funcgate.policy import PolicySet, PolicySpec, compile_policies
from funcgate.policy.engine import native
from funcgate.policy.spec import ApprovalSpec
from support.quick import examples

from .conftest import SCHEMA, _call, _principal

NAME = "payments.createTransfer"
FUNCTION = Function(target="payments", name="createTransfer", full_name=NAME, args_schema=SCHEMA, summary="")
PLAIN = [
    "args.count > 3", "args.count <= 3", "args.count != 7", "7 == args.count", "args.amount < 2.5", "args.amount >= 3",
    "args.amount == 1", "args.currency == 'EUR'", "args.currency != 'EUR'", "args.currency in ['EUR', 'USD']",
    "args.count in [1, 2, 3]", "args.amount in [1, 2.5]", "args.urgent == true", "args.currency < 'F'",
]  # fmt: skip
LESS_PLAIN = [
    "args.note == 'x'",
    "principal.subject == 'alice'",
    "has(args.count)",
    "args.tags.exists(t, t == 'a')",
    "!args.urgent",
]
VALUES = st.sampled_from(
    [
        0,
        1,
        2,
        3,
        4,
        7,
        2.5,
        3.0,
        -1,
        True,
        False,
        "EUR",
        "USD",
        "x",
        "",
        None,
        2**63 - 1,
        2**63,
        -(2**63),
        -(2**63) - 1,
        1e300,
        [],
    ]
)
ARGS = st.dictionaries(st.sampled_from(["count", "amount", "currency", "urgent", "note", "tags", "other"]), VALUES)
CONDITIONS = st.lists(st.sampled_from(PLAIN + LESS_PLAIN), min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from([" && ", " || "]).map(lambda sign: sign.join(parts))
)
POLICIES = st.lists(
    st.tuples(st.sampled_from(["allow", "deny", "require_approval"]), st.none() | CONDITIONS), min_size=1, max_size=4
)


def policies(chosen: list[tuple[Any, str | None]], budget: int = 20_000) -> PolicySet:
    asks = ApprovalSpec(approvers=["group:finance"])
    specs = [
        PolicySpec(
            name=f"policy {at}", effect=effect, functions=[NAME], principals=["*"], when=when,
            approval=asks if effect == "require_approval" else None,
        )
        for at, (effect, when) in enumerate(chosen)
    ]  # fmt: skip
    return compile_policies(specs, {NAME: FUNCTION}, "v1", budget=budget)


def quick_of(found: PolicySet, who: Principal) -> Any:
    entry = found._entries[NAME]
    return entry.quick.get(entry.selectors & who.selectors)


@settings(max_examples=examples(400), deadline=None)
@given(POLICIES, st.lists(ARGS, min_size=1, max_size=6))
def test_what_is_decided_is_the_same(chosen: list[tuple[Any, str | None]], many: list[dict[str, Any]]) -> None:
    found = policies(chosen)
    for args in many:
        call = _call(args)
        slow = found._explained(call, {})
        assert found.decide(call) == slow, (chosen, args)
        assert found.decide(call) == slow, (chosen, args)  # by the quick way, if there is one


@pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
@pytest.mark.parametrize("when", PLAIN)
def test_plain_conditions_have_a_quick_way(when: str) -> None:
    found = policies([("allow", f"{when} && args.count >= 0"), ("require_approval", "args.count > 100")])
    call = _call({"count": 1, "amount": 1, "currency": "EUR", "urgent": True})
    wanted = found.decide(call)
    assert quick_of(found, call.principal)(call.args) == wanted


@pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
@pytest.mark.parametrize(
    "args", [{}, {"count": "1"}, {"count": True}, {"count": 1.0}, {"count": 2**63}, {"count": None}, {"other": 1}]
)
def test_what_has_no_plain_answer_is_left_to_others(args: dict[str, Any]) -> None:
    found = policies([("allow", "args.count > 0")])
    assert isinstance(found.decide(_call({"count": 1})), Allow)
    call = _call(args)
    assert quick_of(found, call.principal)(args) is None
    assert isinstance(found.decide(call), Deny)


def test_conditions_that_read_more_have_none() -> None:
    for when in LESS_PLAIN:
        found = policies([("allow", when), ("allow", "args.count > 0")])
        found.decide(_call({"count": 1}))
        quick = quick_of(found, _principal())
        assert quick is None or quick({"count": 1}) is None


def test_the_budget_holds_for_plain_conditions_too() -> None:
    found = policies([("allow", "args.count > 0 && args.count < 5")], budget=2)
    for _ in range(3):
        decided = found.decide(_call({"count": 1}))
        assert isinstance(decided, Deny)
        assert "too many steps" in decided.reason


def test_every_rule_that_asks_has_its_terms() -> None:
    found = policies([("require_approval", "args.count > 1"), ("require_approval", "args.count > 2"), ("allow", None)])
    for count, names in ((3, ("policy 0", "policy 1")), (2, ("policy 0",)), (3, ("policy 0", "policy 1"))):
        decided = found.decide(_call({"count": count}))
        assert isinstance(decided, RequireApproval)
        assert (decided.policies, len(decided.terms)) == (names, len(names))
    assert isinstance(found.decide(_call({"count": 1})), Allow)
