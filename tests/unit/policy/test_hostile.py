"""Arguments made to hold the loop, to stumble the judge or to be taken for something else."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from funcgate.core.call import Call
from funcgate.core.decision import Allow, Deny
from funcgate.core.function import Function
from funcgate.core.refusal import Code
from funcgate.policy import PolicySpec, compile_policies
from funcgate.policy.language.values import Failure, OverBudget

FUNCTION = "payments.createTransfer"


@pytest.fixture(scope="session")
def outcome(make_call: Callable[..., Call], make_function: Callable[..., Function]) -> Callable[..., str]:
    def decide(when: str, args: Mapping[str, Any], **settings: Any) -> str:
        spec = PolicySpec(name="p", effect="allow", functions=[FUNCTION], principals=["*"], when=when)
        policies = compile_policies([spec], {FUNCTION: make_function()}, "v1", **settings)
        decision = policies.decide(make_call(args))
        if isinstance(decision, Allow):
            return "allow"
        assert isinstance(decision, Deny)
        return "error" if decision.code == Code.POLICY_ERROR else "deny"

    return decide


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


LINES = [{"price": 1, "quantity": 1}] * 3_000


@pytest.mark.parametrize(
    ("when", "args"),
    [
        ("args.lines.all(a, args.lines.all(b, a.price <= b.price))", {"lines": LINES}),
        ("args.lines.exists(a, args.lines.exists(b, a.price > b.price))", {"lines": LINES}),
        ("args.lines.all(a, !args.lines.exists_one(b, a.price == b.price))", {"lines": LINES}),
        ("args.lines.map(a, args.lines.map(b, 1)).size() > 0", {"lines": LINES}),
        ("args.lines.filter(a, args.lines.filter(b, true).size() > 0).size() > 0", {"lines": LINES}),
        ("args.anything.exists(a, args.anything.exists(b, a.x == b.x))", {"anything": LINES}),
        ("args.tags.all(t, t in args.tags)", {"tags": [str(i) for i in range(3_000)]}),
        ("args.anything.all(t, t in args.anything)", {"anything": list(range(3_000))}),
        ("args.tags.all(t, !args.currency.contains(t))", {"tags": ["y"] * 3_000, "currency": "x" * 100_000}),
        ("args.tags.all(t, !args.currency.matches('^(x+x+)+y'))", {"tags": ["y"] * 3_000, "currency": "x" * 100_000}),
        ("args.tags.all(t, !'a'.matches(t + 'b'))", {"tags": ["(a{9}){9}"] * 3_000}),
        ("args.currency.matches(args.note)", {"currency": "x" * 300_000, "note": "(x{1,30}){1,30}y"}),
        ("args.currency.matches('(x{1,30}){1,30}y')", {"currency": "x" * 300_000}),
        ("args.tags.all(t, timestamp(t) > timestamp(0))", {"tags": ["2020-01-01T00:00:00Z"] * 3_000}),
        ("args.tags.all(t, duration(t) > duration('0s'))", {"tags": ["1h1m1s"] * 3_000}),
        ("args.tags.map(t, args.currency + t).size() > 0", {"tags": ["y"] * 3_000, "currency": "x" * 100_000}),
        ("args.tags.map(t, args.tags + args.tags).size() > 0", {"tags": ["y"] * 3_000}),
        (
            "args.tags.map(t, args.currency.replace('x', args.currency)).size() > 0",
            {"tags": ["y"], "currency": "x" * 9_000},
        ),
        ("args.currency.split('').size() > 0", {"currency": "x" * 100_000}),
        ("args.tags.all(t, args.anything == args.anything)", {"tags": ["y"] * 3_000, "anything": list(range(1_000))}),
        (
            "args.tags.all(t, principal.groups.size() > 0 && args.labels.all(l, true))",
            {"tags": ["y"] * 3_000, "labels": dict.fromkeys(map(str, range(999)), "")},
        ),
        ("args.tags.join(args.currency) == ''", {"tags": ["y"] * 3_000, "currency": "x" * 9_000}),
        (
            "args.tags.all(t, args.currency == args.note)",
            {"tags": ["y"] * 3_000, "currency": "x" * 90_000, "note": "x" * 90_000},
        ),
        ("args.tags.all(t, args.currency.lowerAscii() != 'é')", {"tags": ["y"] * 3_000, "currency": "É" * 90_000}),
    ],
)
def test_what_takes_too_long_is_denied(outcome: Callable[..., str], when: str, args: Mapping[str, Any]) -> None:
    assert outcome(when, args) == "error"


@pytest.mark.parametrize(
    "text",
    ["{0} || args.yes", "args.yes && {0}", "{0} && !args.yes", "[args.yes].exists(x, {0} || x)", "{0} ? true : false"],
)
def test_nothing_absorbs_the_budget(run: Callable[..., Any], text: str) -> None:
    loop = "args.l.all(a, args.l.all(b, args.l.all(c, a <= 1)))"
    with pytest.raises(OverBudget):
        run(text.format(loop), {"l": [1] * 100, "yes": True})


def test_the_budget_is_one_for_all_conditions(
    make_call: Callable[..., Call], make_function: Callable[..., Function]
) -> None:
    def decided(count: int) -> type:
        specs = [
            PolicySpec(
                name=f"p{i}", effect="allow", functions=["*"], principals=["*"], when="args.tags.all(t, t != 'x')"
            )
            for i in range(count)
        ]
        policies = compile_policies(specs, {FUNCTION: make_function()}, "v1")
        return type(policies.decide(make_call({"tags": ["y"] * 3_000})))

    assert decided(2) is Allow
    assert decided(10) is Deny


def test_the_budget_can_be_set(outcome: Callable[..., str]) -> None:
    args = {"tags": ["y"] * 300}
    assert outcome("args.tags.all(t, t == 'y')", args) == "allow"
    assert outcome("args.tags.all(t, t == 'y')", args, budget=300) == "error"


def test_deep_arguments_do_not_recurse(run: Callable[..., Any]) -> None:
    depth = 3_000
    assert depth > sys.getrecursionlimit()
    args = {"a": nested(depth), "b": nested(depth), "c": nested(depth + 1)}
    try:
        assert run("args.a == args.b", args) is True
        assert run("args.a == args.c", args) is False
        assert run("args.a in [args.b]", args) is True
        with pytest.raises(OverBudget):
            run("args.a == args.b && args.a == args.b && args.a == args.b", args)
    finally:
        for value in args.values():  # taken apart without recursion
            while value:
                value[:] = value[0]


@pytest.mark.parametrize(
    ("when", "args", "wanted"),
    [
        # Integers: int64 or nothing.
        ("args.count <= 10", {"count": 2**63 - 1}, "deny"),
        ("args.count <= 10", {"count": 2**63}, "error"),
        ("args.count >= -10", {"count": -(2**63) - 1}, "error"),
        ("args.count <= 10", {"count": 10**4000}, "error"),
        ("args.anything <= 10", {"anything": 2**64}, "error"),
        ("args.anything == 10", {"anything": 2**64}, "error"),
        ("args.anything != 10", {"anything": 2**64}, "error"),
        ("args.count + 1 > 0", {"count": 2**63 - 1}, "error"),
        # A bool is no number, text is no number.
        ("args.count <= 10", {"count": True}, "error"),
        ("args.count <= 10", {"count": "5"}, "error"),
        ("args.count <= 10", {"count": 5.0}, "error"),
        ("args.count <= 10", {"count": None}, "error"),
        ("args.count <= 10", {"count": [5]}, "error"),
        ("args.count <= 10", {}, "error"),
        ("args.count in [1, 2]", {"count": True}, "error"),
        ("args.anything in [1, 2]", {"anything": True}, "deny"),
        ("args.anything == 1", {"anything": True}, "deny"),
        ("args.anything == true", {"anything": 1}, "deny"),
        # Numbers: compared exactly, whatever Python holds them in.
        ("args.amount <= 100000000000000000.0", {"amount": 10**17 + 1}, "deny"),
        ("args.amount == 100000000000000000.0", {"amount": 10**17}, "allow"),
        ("args.amount <= 10000", {"amount": 10_000}, "allow"),
        ("args.amount <= 10000", {"amount": 10_000.000000000002}, "deny"),
        ("args.amount <= 10000", {"amount": float("nan")}, "deny"),
        ("!(args.amount > 10000)", {"amount": float("nan")}, "allow"),
        ("args.amount <= 10000", {"amount": float("inf")}, "deny"),
        ("args.amount > 10000", {"amount": float("inf")}, "allow"),
        ("args.amount <= 10000", {"amount": True}, "error"),
        ("args.amount <= 10000", {"amount": "5"}, "error"),
        ("args.amount <= 10000", {"amount": None}, "error"),
        ("args.amount <= 10000", {"amount": 10**30}, "deny"),
        ("args.amount * 2.0 < 11.0", {"amount": 5}, "allow"),
        ("args.amount + 0.5 < 11.0", {"amount": 10**4000}, "error"),
        ("args.amount in [1, 2.5]", {"amount": 2.5}, "allow"),
        ("args.amount in [1, 2.5]", {"amount": 1}, "allow"),
        ("args.amount in [0.0 / 0.0]", {"amount": float("nan")}, "deny"),
        ("args.lines.all(l, l.price * 2.0 > 1.0)", {"lines": [{"price": 1}]}, "allow"),
        ("args.lines.all(l, l.price * 2.0 > 1.0)", {"lines": [{"price": "1"}]}, "error"),
        ("args.lines.exists(l, l.price > 1)", {"lines": [{"price": "1"}, {"price": 2}]}, "allow"),
        ("type(args.amount) == double", {"amount": 1}, "allow"),
        # Null and absent stay what they are.
        ("args.note == null", {"note": None}, "allow"),
        ("args.note == null", {}, "error"),
        ("has(args.note)", {"note": None}, "allow"),
        ("has(args.note)", {}, "deny"),
        ("args.note == ''", {"note": None}, "deny"),
        ("args.note.size() > 0", {"note": None}, "error"),
        ("args.note.startsWith('a')", {"note": "abc"}, "allow"),
        ("!has(args.note) || args.note != 'x'", {}, "allow"),
        ("args.to.iban == 'x'", {"to": None}, "error"),
        ("args.to.iban == 'x'", {"to": {}}, "error"),
        ("has(args.to.iban)", {"to": {}}, "deny"),
        ("has(args.to.iban)", {"to": []}, "error"),
        # Text: what it is, not what it looks like.
        ("args.currency == 'EUR'", {"currency": "EUR\x00"}, "deny"),
        ("args.currency == 'EUR'", {"currency": "\u0395UR"}, "deny"),
        ("args.currency.matches('^EUR$')", {"currency": "EUR\n"}, "deny"),
        ("args.currency.matches('^.*$')", {"currency": "\ud800"}, "error"),
        ("args.currency in ['EUR']", {"currency": ["EUR"]}, "error"),
        ("args.anything in ['EUR']", {"anything": ["EUR"]}, "deny"),
        ("args.anything in ['EUR']", {"anything": {}}, "deny"),
        ("args.tags.all(t, t == 'a')", {"tags": "aaa"}, "error"),
        ("args.tags.all(t, t.size() == 1)", {"tags": ["a", 1]}, "error"),
        ("'a' in args.tags", {"tags": {"a": 1}}, "error"),
        ("args.labels.a == 'x'", {"labels": {"a": "x"}}, "allow"),
        ("args.labels.a == 'x'", {"labels": {"a": 1}}, "error"),
        ("args.urgent", {"urgent": True}, "allow"),
        ("args.urgent", {"urgent": False}, "deny"),
        ("args.urgent", {"urgent": 1}, "error"),
        ("args.urgent", {"urgent": "true"}, "error"),
        ("args.anything", {"anything": True}, "allow"),
        ("args.anything", {"anything": 1}, "error"),
        ("args.anything", {"anything": "true"}, "error"),
        ("args.anything", {"anything": None}, "error"),
        ("args.anything == 'x'", {"anything": object()}, "error"),
        ("args.anything != 'x'", {"anything": {1, 2}}, "error"),
    ],
)
def test_values_stay_what_they_are(
    outcome: Callable[..., str], when: str, args: Mapping[str, Any], wanted: str
) -> None:
    assert outcome(when, args) == wanted


def test_no_failure_names_a_value(run: Callable[..., Any], schema: Mapping[str, Any]) -> None:
    canary = "CANARY-4711"
    args = {"count": canary, "amount": canary, "anything": {canary: canary}, "currency": canary, "tags": [canary]}
    for text in (
        "args.count == 1",
        "args.amount + 1.0 > 0.0",
        "args.anything + 1 == 2",
        "args.anything.x",
        "args.anything['x']",
        "int(args.currency)",
        "timestamp(args.currency) == timestamp(0)",
        "duration(args.currency) == duration('1s')",
        "args.currency.substring(99) == ''",
        "'a'.matches(args.currency + '(')",
        "args.tags[7]",
    ):
        with pytest.raises(Failure) as caught:
            run(text, args, schema)
        assert canary not in str(caught.value)
        assert canary not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None or caught.value.__suppress_context__
