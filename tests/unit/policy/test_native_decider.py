"""Compiled and pure: the same decisions, whoever called before."""

import gc
import weakref
from typing import Any

import pytest

from funcgate.core.call import Call
from funcgate.core.decision import Decision
from funcgate.core.function import Function
from funcgate.core.native import half
from funcgate.core.principal import Principal, make_principal
from funcgate.policy import PolicySpec, compile_policies

pytestmark = pytest.mark.skipif(half("funcgate.policy._native") is None, reason="not built, or FUNCGATE_PURE is set")
SCHEMA = {"type": "object", "properties": {"rows": {"type": "integer"}}}
FUNCTIONS = {name: Function(target="t", name=name[2:], full_name=name, args_schema=SCHEMA) for name in ("t.f", "t.g")}
SPECS = [
    PolicySpec(name="a", effect="allow", functions=["t.f"], principals=["group:a"], when="args.rows < 5"),
    PolicySpec(name="all", effect="allow", functions=["t.g"], principals=["*"], when=None),
    PolicySpec(name="no", effect="deny", functions=["t.*"], principals=["group:b"], when="args.rows > 7"),
    PolicySpec(
        name="who", effect="allow", functions=["t.f"], principals=["group:c"], when='principal.subject == "eve"'
    ),
]
PEOPLE = [
    make_principal("corp", subject, frozenset(groups), {}, "t" * 16, 0.0)
    for subject, groups in (("ada", "a"), ("bob", "ab"), ("eve", "c"), ("mal", ""), ("ada", "a"))
]


def call(principal: Any, function: str, args: Any) -> Call:
    return Call(
        id="c", target="t", function=function, args=args, principal=principal, session="s", digest="", received_at=0.0
    )


class Set(frozenset[str]):
    __slots__ = ()


def test_the_same_decisions() -> None:
    policies, pure = (compile_policies(SPECS, FUNCTIONS, "v1") for _ in range(2))
    odd: list[Any] = [
        Principal("corp", "x", frozenset(), {}, "t", 0.0, selectors=Set({"group:a"})),
        Principal("corp", "x", frozenset(), {}, "t", 0.0),
        None, 5,
    ]  # fmt: skip
    for _ in range(2):
        for function in ("t.f", "t.g", "t.none"):
            for args in ({"rows": 1}, {"rows": 9}, {"rows": 6}, {}, {"rows": "1"}, None, 5):
                for who in [*PEOPLE, *odd, *reversed(PEOPLE)]:
                    told: tuple[Decision, Decision] = (
                        policies.decide(call(who, function, args)), pure._decided(call(who, function, args)),
                    )  # fmt: skip
                    assert told[0] == told[1], (function, args, who)
    nothing: Any = 5
    assert policies.decide(nothing) == pure._decided(nothing)


def test_policies_that_nobody_uses_are_gone() -> None:
    """Those from the start of the process too, which the garbage collector never looks at (`gc.freeze`)."""
    policies = compile_policies(SPECS, FUNCTIONS, "v1")
    gone = weakref.ref(policies)
    gc.disable()
    try:
        for function in FUNCTIONS:
            policies.decide(call(PEOPLE[0], function, {"rows": 1}))
        del policies
        assert gone() is None
    finally:
        gc.enable()
