"""Decisions: effects times conditions times failures, the order of effects, and explain beside decide."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.core.call import Call
from funcgate.core.decision import Allow, Decision, Deny, RequireApproval
from funcgate.core.function import Function
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code
from funcgate.policy import ApprovalSpec, PolicySet, PolicySpec, compile_policies

MakeCall = Callable[..., Call]
MakeFunction = Callable[..., Function]
FUNCTION = "payments.createTransfer"
EFFECTS = ("allow", "deny", "require_approval")
CONDITIONS = {"none": None, "true": "args.count == 1", "false": "args.count == 2", "error": "args.amount > 0.0"}


def policy(name: str, effect: Any, when: str | None = None, **changes: Any) -> PolicySpec:
    settings: dict[str, Any] = {
        "functions": [FUNCTION],
        "principals": ["group:agents"],
        "approval": ApprovalSpec(approvers=[f"group:{name}"]) if effect == "require_approval" else None,
    }
    return PolicySpec(name=name, effect=effect, when=when, **(settings | changes))


@pytest.fixture(scope="session")
def judge(make_call: MakeCall, make_function: MakeFunction) -> Callable[..., Decision]:
    functions = {name: make_function(name) for name in (FUNCTION, "payments.other")}

    def decide(specs: Sequence[PolicySpec], call: Call | None = None) -> Decision:
        policies = compile_policies(specs, functions, "v7")
        judged = call or make_call({"count": 1})
        decision = policies.decide(judged)
        agrees(policies, judged, decision)
        return decision

    return decide


def agrees(policies: PolicySet, call: Call, decision: Decision) -> None:
    """Explain says what decide says."""
    explained = policies.explain(call)
    kinds = {Allow: "allow", Deny: "deny", RequireApproval: "require_approval"}
    assert explained.decision == kinds[type(decision)]
    assert explained.version == decision.version
    assert explained.code == (decision.code if isinstance(decision, Deny) else "")
    assert explained.reason == (decision.reason if isinstance(decision, Deny) else "")
    assert {line.name for line in explained.policies if line.decided} == set(decision.policies)
    assert [line.name for line in explained.policies] == [known.name for known in policies.policies]


@pytest.mark.parametrize(
    ("effect", "condition", "kind", "code"),
    [
        ("allow", "none", Allow, None),
        ("allow", "true", Allow, None),
        ("allow", "false", Deny, Code.POLICY_DENIED),
        ("allow", "error", Deny, Code.POLICY_ERROR),
        ("deny", "none", Deny, Code.POLICY_DENIED),
        ("deny", "true", Deny, Code.POLICY_DENIED),
        ("deny", "false", Deny, Code.POLICY_DENIED),
        ("deny", "error", Deny, Code.POLICY_ERROR),
        ("require_approval", "none", RequireApproval, None),
        ("require_approval", "true", RequireApproval, None),
        ("require_approval", "false", Deny, Code.POLICY_DENIED),
        ("require_approval", "error", Deny, Code.POLICY_ERROR),
    ],
)
def test_one_policy(judge: Callable[..., Decision], effect: str, condition: str, kind: type, code: Code | None) -> None:
    decision = judge([policy("p", effect, CONDITIONS[condition])])
    assert type(decision) is kind
    assert getattr(decision, "code", None) == code
    assert decision.version == "v7"
    assert decision.policies == (() if condition == "false" else ("p",))


def expected(rules: Sequence[tuple[str, str]]) -> tuple[type, Code | None]:
    """The decision, worked out the slow way from what each policy's condition gives."""
    holds = {effect: [c in ("none", "true") for e, c in rules if e == effect] for effect in EFFECTS}
    fails = {effect: any(c == "error" for e, c in rules if e == effect) for effect in EFFECTS}
    if any(holds["deny"]):
        return Deny, Code.POLICY_DENIED
    if any(fails.values()):
        return Deny, Code.POLICY_ERROR
    if any(holds["require_approval"]):
        return RequireApproval, None
    return (Allow, None) if any(holds["allow"]) else (Deny, Code.POLICY_DENIED)


RULES = st.lists(st.tuples(st.sampled_from(EFFECTS), st.sampled_from(list(CONDITIONS))), max_size=6)


@given(rules=RULES, seed=st.randoms(use_true_random=False))
def test_any_set_of_policies_in_any_order(judge: Callable[..., Decision], rules: Any, seed: Any) -> None:
    specs = [policy(f"p{i}", effect, CONDITIONS[condition]) for i, (effect, condition) in enumerate(rules)]
    shuffled = seed.sample(specs, len(specs))
    for order in (specs, shuffled):
        decision = judge(order)
        assert (type(decision), getattr(decision, "code", None)) == expected(rules)


@given(rules=RULES, more=st.sampled_from(["none", "true", "error"]))
def test_a_deny_more_never_lets_more_through(judge: Callable[..., Decision], rules: Any, more: str) -> None:
    specs = [policy(f"p{i}", effect, CONDITIONS[condition]) for i, (effect, condition) in enumerate(rules)]
    assert type(judge([*specs, policy("no", "deny", CONDITIONS[more])])) is Deny


def test_every_pair_of_rules(judge: Callable[..., Decision]) -> None:
    for rules in itertools.product(itertools.product(EFFECTS, CONDITIONS), repeat=2):
        specs = [policy(f"p{i}", effect, CONDITIONS[condition]) for i, (effect, condition) in enumerate(rules)]
        decision = judge(specs)
        assert (type(decision), getattr(decision, "code", None)) == expected(rules), rules


def test_all_approvals_are_asked_for_and_all_allowing_policies_named(judge: Callable[..., Decision]) -> None:
    asked = judge([policy("a", "require_approval"), policy("x", "allow"), policy("b", "require_approval")])
    assert isinstance(asked, RequireApproval)
    assert asked.policies == ("a", "b")
    assert [terms.quorums[0].approvers for terms in asked.terms] == [("group:a",), ("group:b",)]
    assert (asked.terms[0].quorums[0].count, asked.terms[0].expires_s) == (1, 900.0)
    allowed = judge([policy("a", "allow"), policy("no", "allow", "args.count == 2"), policy("b", "allow")])
    assert allowed == Allow(("a", "b"), "v7")


def test_the_first_deny_is_named(judge: Callable[..., Decision]) -> None:
    denied = judge([policy("x", "allow"), policy("a", "deny", CONDITIONS["error"]), policy("b", "deny")])
    assert denied == Deny(Code.POLICY_DENIED, "the policy 'b' denies", ("b",), "v7")


def test_who_calls(judge: Callable[..., Decision], make_call: MakeCall, principal: Callable[..., Principal]) -> None:
    def decided(selector: str, who: Principal) -> type:
        return type(judge([policy("p", "allow", principals=[selector])], make_call({}, who=who)))

    alice = principal("alice", ("agents", "user:root"))
    assert decided("*", alice) is Allow
    assert decided("user:alice", alice) is Allow
    assert decided("group:agents", alice) is Allow
    assert decided("group:agent", alice) is Deny
    assert decided("user:alic", alice) is Deny
    assert decided("user:root", alice) is Deny  # Attack: a group with the name of a user selector
    assert decided("user:agents", alice) is Deny
    assert decided("group:alice", alice) is Deny


def test_a_caller_meets_a_policy_once(judge: Callable[..., Decision], make_call: MakeCall) -> None:
    specs = [policy("p", "allow", principals=["*", "user:alice", "group:agents"])]
    assert judge(specs) == Allow(("p",), "v7")


def test_unknown_functions_are_denied(judge: Callable[..., Decision], make_call: MakeCall) -> None:
    specs = [policy("p", "allow", functions=["*"], principals=["*"])]
    for name in ("payments.nope", "", "payments.createTransfer ", "PAYMENTS.createTransfer"):
        decision = judge(specs, make_call({}, function=name))
        assert isinstance(decision, Deny)
        assert decision.code == Code.FUNCTION_UNKNOWN


def test_without_policies_nothing_is_allowed(judge: Callable[..., Decision]) -> None:
    assert judge([]) == Deny(Code.POLICY_DENIED, "no policy allows this call", (), "v7")


@pytest.mark.parametrize("broken", ["function", "principal", "args"])
def test_decide_never_raises(make_call: MakeCall, make_function: MakeFunction, broken: str) -> None:
    policies = compile_policies([policy("p", "allow", "args.count == 1")], {FUNCTION: make_function()}, "v7")
    call = make_call({"count": 1})
    setattr(call, broken, [[]])
    decision = policies.decide(call)
    assert isinstance(decision, Deny)
    assert decision.code == Code.POLICY_ERROR


@pytest.mark.parametrize(
    ("when", "kind"),
    [
        ("principal.subject == 'alice' && principal.issuer == 'corp'", Allow),
        ("'agents' in principal.groups", Allow),
        ("!('admins' in principal.groups)", Allow),
        ("principal.groups == ['agents', 'night']", Allow),
        ("principal.groups.exists(g, g.startsWith('ni'))", Allow),
        ("size(principal.groups) == 2", Allow),
        ("principal.claims.level >= 3", Allow),
        ("principal.claims.org.unit == 'pay'", Allow),
        ("has(principal.claims.missing)", Deny),
        ("principal.claims.missing == 1", Deny),
        ("principal.acts_for == null && !has(principal.acts_for)", Allow),
        ("call.target == 'payments' && call.function == 'payments.createTransfer'", Allow),
        ("call.session == 'a-session' && call.client_ip == '192.0.2.7' && call.reason == 'a reason'", Allow),
        ("call.at == timestamp('2023-11-14T22:13:20.250Z')", Allow),
        ("call.at.getHours('Europe/Berlin') == 23", Allow),
    ],
)
def test_what_a_condition_can_read(
    judge: Callable[..., Decision], make_call: MakeCall, principal: Callable[..., Principal], when: str, kind: type
) -> None:
    who = principal("alice", ("agents", "night"), level=3, org={"unit": "pay"})
    assert type(judge([policy("p", "allow", when)], make_call({"count": 1}, who=who))) is kind


def test_who_acts_for_whom(judge: Callable[..., Decision], make_call: MakeCall) -> None:
    who = Principal("corp", "bot", frozenset(), {}, "t", 0.0, "alice", frozenset({"*"}))
    spec = policy("p", "allow", "has(principal.acts_for) && principal.acts_for == 'alice'", principals=["*"])
    assert isinstance(judge([spec], make_call({}, who=who)), Allow)


def test_explain_tells_the_whole_story(make_call: MakeCall, make_function: MakeFunction) -> None:
    functions = {name: make_function(name) for name in (FUNCTION, "payments.other")}
    specs = [
        policy("elsewhere", "deny", functions=["payments.other"]),
        policy("others", "deny", principals=["group:others"]),
        policy("not now", "deny", "args.count == 2"),
        policy("asks", "require_approval", "args.amount > 1.0"),
        policy("never reached", "allow", "args.count == 1"),
    ]
    explained = compile_policies(specs, functions, "v7").explain(make_call({"count": 1}))
    assert (explained.decision, explained.code) == ("deny", "policy.error")
    lines = [
        (
            line.name,
            line.effect,
            line.function_matches,
            line.principal_matches,
            line.condition,
            line.error,
            line.decided,
        )
        for line in explained.policies
    ]
    assert lines == [
        ("elsewhere", "deny", False, True, "not evaluated", "", False),
        ("others", "deny", True, False, "not evaluated", "", False),
        ("not now", "deny", True, True, "false", "", False),
        ("asks", "require_approval", True, True, "error", "args.amount is absent", True),
        ("never reached", "allow", True, True, "not evaluated", "", False),
    ]


def test_a_thousand_policies_evaluate_only_those_that_can_match(
    make_call: MakeCall, make_function: MakeFunction
) -> None:
    names = [f"target.f{i}" for i in range(1_000)]
    functions = {name: make_function(name) for name in names}
    specs = [
        policy(
            f"p{i}", "allow", "args.count == 1", functions=[names[i]], principals=[f"group:g{i % 7}", "group:agents"]
        )
        for i in range(1_000)
    ]
    specs += [
        policy(f"q{i}", "deny", "args.count == 2", functions=[names[0]], principals=[f"group:h{i}"])
        for i in range(1_000)
    ]
    policies = compile_policies(specs, functions, "v7")
    call = make_call({"count": 1}, function=names[0])
    evaluated = [line.name for line in policies.explain(call).policies if line.condition != "not evaluated"]
    assert evaluated == ["p0"]
    assert policies.decide(call) == Allow(("p0",), "v7")


def test_ever_new_groups_do_not_fill_the_memory(
    make_call: MakeCall, make_function: MakeFunction, principal: Callable[..., Principal]
) -> None:
    specs = [policy(f"p{i}", "allow", principals=[f"group:g{i}"]) for i in range(10)]
    policies = compile_policies(specs, {FUNCTION: make_function()}, "v7")
    for bits in range(1, 2**10):
        held = tuple(f"g{i}" for i in range(10) if bits >> i & 1)
        decision = policies.decide(make_call({}, who=principal("a", held)))
        assert decision == Allow(tuple(f"p{i}" for i in range(10) if bits >> i & 1), "v7")
    assert len(policies._entries[FUNCTION].plans) == 256
