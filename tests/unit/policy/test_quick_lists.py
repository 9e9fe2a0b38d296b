"""Plain conditions over lists and texts, compiled: random ones on hostile arguments, against the closures; and their limits."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.decision import Allow, Deny
from funcgate.core.function import Function
from funcgate.policy import PolicySet, PolicySpec, compile_policies
from funcgate.policy.engine import native
from funcgate.policy.language.plain import MOST_ITEMS, MOST_TEXT
from funcgate.policy.spec import ApprovalSpec
from support.quick import examples

from .conftest import _call

compiled = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
NAME = "shop.select"
LISTS = {"tables": "string", "numbers": "integer", "sums": "number", "flags": "boolean"}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        **{name: {"type": "array", "items": {"type": kind}} for name, kind in LISTS.items()},
        "text": {"type": "string"}, "count": {"type": "integer"}, "amount": {"type": "number"},
        "where": {"type": "boolean"}, "map": {"type": "object"}, "loose": {}, "loose_list": {"type": "array"},
        "maybe": {"type": ["array", "null"], "items": {"type": "string"}},
        "deep": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
    },
}  # fmt: skip
FUNCTION = Function(target="shop", name="select", full_name=NAME, args_schema=SCHEMA, summary="")
GOOD = {
    "tables": ["people", "a.ssn"], "numbers": [1, 2], "sums": [1, 2.5], "flags": [True], "text": "people.ssn", "count": 2,
    "amount": 1.5, "where": True, "map": {}, "loose": [], "loose_list": [], "maybe": ["x"], "deep": [["x"]],
}  # fmt: skip
PLAIN = [
    "'people' in args.tables", "args.tables == ['people', 'a.ssn']", "args.tables != ['x']", "args.where", "!args.where",
    "args.tables.exists(t, t == 'people')", "args.tables.all(t, t in ['people', 'a.ssn'])", "size(args.tables) < 3",
    "3 > args.tables.size()", "size(args.text) == 10", "args.text.startsWith('p')", "args.text.endsWith('.ssn')",
    "args.text.contains('e')", "!args.tables.exists(t, t.endsWith('.x') || t == 'ä')", "args.numbers.all(n, n >= 1 && n < 9)",
    "args.sums.exists(s, s > 2)", "args.flags.all(f, f)", "args.flags.exists(f, !f || args.where)",
    "args.tables.all(t, args.count > 0 && t != '')", "args.tables == []", "size(args.numbers) >= 1.5",
    "'x' in args.loose_list", "args.deep.exists(d, 'x' in d)", "args.deep.all(d, size(d) < 3 && d != ['y'])",
]  # fmt: skip
LESS_PLAIN = [
    "args.loose == ['x']", "args.loose_list.exists(x, x == 'x')", "args.map.exists(k, k == 'x')",
    "args.deep.exists(d, d.exists(t, t == 'x'))", "args.tables.exists_one(t, t == 'x')",
    "args.tables.exists(t, args.numbers.exists(n, n == 1 && t == 'x'))", "args.maybe.exists(t, t == 'x')", "1 in args.numbers",
    "args.tables.exists(t, size(args.tables.filter(x, x == t)) > 1)", "args.text.matches('x')", "args.text in args.tables",
    "args.tables == [args.text]", "['people'] == args.tables",
    "args.text.lowerAscii().contains('x')", "args.tables[0] == 'x'", "principal.subject.startsWith('a')",
]  # fmt: skip


class Text(str):
    """A text that is no str to the conditions."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True


class Items(list[Any]):
    """A list that is none."""


TEXTS = [
    "people",
    "a.ssn",
    "x",
    "",
    "ä",
    "a\u0308",
    "\ud800",
    "people.ssn",
    "p" * 1024,
    "p" * 1025,
    "\U0001f600x",
    "\x00",
]
ODD: list[Any] = [
    None, True, False, 0, 1, 2, 9, -1, 1.0, 2.5, float("nan"), float("inf"), 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**400,
    Text("people"), b"x", ("x",), {"x": 1}, object,
]  # fmt: skip
SCALARS = st.sampled_from([*TEXTS, *ODD])
MANY = st.sampled_from([["x"] * n for n in (63, 64, 65)] + [[1] * 65, ["p" * 1024] * 64, ["people"] * 63 + [1]])
LISTED = st.lists(st.sampled_from(TEXTS), max_size=3) | st.lists(SCALARS, max_size=4) | MANY
VALUES = SCALARS | LISTED | st.just(Items(["people"])) | st.lists(LISTED, max_size=2)
ARGS = st.fixed_dictionaries({}, optional=dict.fromkeys(SCHEMA["properties"], VALUES)).map(lambda odd: {**GOOD, **odd})
GAPS = st.sets(st.sampled_from(sorted(GOOD)), max_size=2)

CONSTANT = st.sampled_from(["'people'", "'a.ssn'", "'x'", "''", "'ä'", "'p'", "'.ssn'", f"'{'p' * 300}'"])
NUMBER = st.sampled_from(
    ["0", "1", "2", "2.5", "-1", "1u", "9223372036854775807", "-9223372036854775808", "1e300", "64"]
)
SIGN = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
TAIL = st.sampled_from(["startsWith", "endsWith", "contains"])


def listed(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(items, min_size=1, max_size=3).map(lambda of: f"[{', '.join(of)}]")


def on_text(of: str) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(f"{of} {{}} {{}}".format, SIGN, CONSTANT),
        st.builds(f"{of} in {{}}".format, listed(CONSTANT)),
        st.builds(f"{of}.{{}}({{}})".format, TAIL, CONSTANT),
        st.builds(f"size({of}) {{}} {{}}".format, SIGN, NUMBER),
    )


def on_number(of: str) -> st.SearchStrategy[str]:
    return st.builds(f"{of} {{}} {{}}".format, SIGN, NUMBER) | st.builds(f"{of} in {{}}".format, listed(NUMBER))


def combined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        parts,
        lambda inner: (
            st.builds("({} {} {})".format, inner, st.sampled_from(["&&", "||"]), inner) | inner.map("!({})".format)
        ),
        max_leaves=3,
    )


def loop(over: str, test: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(f"args.{over}.{{}}(x, {{}})".format, st.sampled_from(["exists", "all"]), combined(test))


OUTSIDE = st.one_of(
    st.sampled_from(PLAIN),
    on_text("args.text"), on_number("args.count"), on_number("args.amount"), st.just("args.where"),
    st.builds("{} in args.tables".format, CONSTANT),
    st.builds("args.tables {} {}".format, st.sampled_from(["==", "!="]), listed(CONSTANT)),
    st.builds("size(args.tables) {} {}".format, SIGN, NUMBER),
)  # fmt: skip
LOOPS = st.one_of(
    loop("tables", on_text("x") | OUTSIDE), loop("numbers", on_number("x")), loop("sums", on_number("x") | OUTSIDE),
    loop("flags", st.just("x"))
)  # fmt: skip
CONDITIONS = combined(st.one_of(OUTSIDE, LOOPS, LOOPS, st.sampled_from(LESS_PLAIN)))
BUDGETS = st.sampled_from([2, 8, 20, 50, 100, 200, 400, 700, 1000, 2000, 20_000, 20_000])
POLICIES = st.lists(
    st.tuples(st.sampled_from(["allow", "deny", "require_approval"]), CONDITIONS), min_size=1, max_size=3
)


def policies(chosen: list[tuple[Any, str]], budget: int = 20_000) -> PolicySet:
    asks = ApprovalSpec(approvers=["group:finance"])
    specs = [
        PolicySpec(
            name=f"policy {at}", effect=effect, functions=[NAME], principals=["*"], when=when,
            approval=asks if effect == "require_approval" else None,
        )
        for at, (effect, when) in enumerate(chosen)
    ]  # fmt: skip
    return compile_policies(specs, {NAME: FUNCTION}, "v1", budget=budget)


def quick_of(found: PolicySet) -> Any:
    found.decide(_call(GOOD, NAME))
    return found._entries[NAME].quick.get(frozenset({"*"}))


@settings(max_examples=examples(250), deadline=None)
@given(POLICIES, BUDGETS, st.lists(st.tuples(ARGS, GAPS), min_size=1, max_size=6))
def test_what_is_decided_is_the_same(
    chosen: list[tuple[Any, str]], budget: int, many: list[tuple[Any, set[str]]]
) -> None:
    found = policies(chosen, budget)
    for odd, gaps in many:
        call = _call({name: value for name, value in odd.items() if name not in gaps}, NAME)
        try:
            slow = found._explained(call, {})
        except Exception:
            slow = found._broken
        assert found.decide(call) == slow, (chosen, call.args)


@compiled
@pytest.mark.parametrize("when", PLAIN)
def test_these_have_a_quick_way(when: str) -> None:
    found = policies([("allow", when), ("require_approval", "args.count > 100")])
    assert quick_of(found)(GOOD) == found._explained(_call(GOOD, NAME), {})


@compiled
@pytest.mark.parametrize("when", LESS_PLAIN)
def test_these_have_none_and_none_is_tried(when: str) -> None:
    assert quick_of(policies([("allow", when), ("allow", "args.count > 0")])) is None


@compiled
@pytest.mark.parametrize(
    "tables",
    [
        None,
        "people",
        ["x"] * (MOST_ITEMS + 1),
        [1],
        ["x", None],
        Items(["people"]),
        [Text("people")],
        {"people": 1},
        ("people",),
    ],
)
@pytest.mark.parametrize(
    "when", ["'people' in args.tables", "args.tables.all(t, t == 'x')", "!args.tables.exists(t, t == 'a')"]
)
def test_what_has_no_plain_answer_is_left_to_the_closures(when: str, tables: Any) -> None:
    found = policies([("allow", when)])
    quick = quick_of(found)
    assert quick({**GOOD, "tables": tables}) is None
    call = _call({**GOOD, "tables": tables}, NAME)
    assert found.decide(call) == found._explained(call, {})


@compiled
def test_long_texts_are_left_where_their_length_costs_steps() -> None:
    plain = policies([("allow", "args.text.contains('x')")])
    quick = quick_of(plain)
    assert isinstance(quick({**GOOD, "text": "x" * MOST_TEXT}), Allow)
    assert quick({**GOOD, "text": "x" * (MOST_TEXT + 1)}) is None


@compiled
def test_what_could_take_more_steps_than_there_are_has_no_quick_way() -> None:
    when = "args.tables.all(t, t.contains('x'))"
    assert quick_of(policies([("allow", when)])) is not None
    tight = policies([("allow", when)], budget=200)
    assert quick_of(tight) is None
    refused = tight.decide(_call({**GOOD, "tables": ["x" * 1000] * 60}, NAME))
    assert isinstance(refused, Deny)
    assert "too many steps" in refused.reason
