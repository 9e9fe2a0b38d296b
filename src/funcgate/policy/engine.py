"""The decision. Deny wins, then require_approval, then allow; nothing is allowed that no policy allows.

`decide` never raises and is bounded: a condition that fails, or that takes too many steps, denies.
"""

from collections.abc import Mapping, Sequence

from funcgate.core.call import Call
from funcgate.core.decision import Allow, Decision, Deny, RequireApproval
from funcgate.core.function import Function
from funcgate.core.native import half, handed_back
from funcgate.core.problem import Problem, Unusable
from funcgate.core.refusal import Code

from .build import build
from .explain import Condition, Explanation, describe
from .index import Entry, Plan, Policy, Quick, Rule
from .language.plain import most_steps
from .language.values import Failure, Frame, OverBudget
from .spec import PolicySpec

DEFAULT_BUDGET = 20_000
_MOST_RULES = 40
native = half("funcgate.policy._native")

Trace = dict[int, tuple[Condition, str]]


def compile_policies(
    specs: Sequence[PolicySpec],
    functions: Mapping[str, Function],
    version: str,
    where: tuple[str | int, ...] = ("policies",),
    budget: int = DEFAULT_BUDGET,
) -> "PolicySet":
    """The policies, checked against the functions (by full name) and indexed.

    `budget` is the steps that all conditions of one decision may take together. Raises `Unusable` with every problem.
    """
    policies, entries, problems = build(specs, functions, version, where)
    if any(not problem.warning for problem in problems):
        raise Unusable(problems)
    return PolicySet(policies, entries, version, budget, tuple(problems))


class PolicySet:
    """All policies of one version of the configuration. `warnings` are what to tell the operator, though it loads."""

    def __init__(
        self,
        policies: tuple[Policy, ...],
        entries: Mapping[str, Entry],
        version: str,
        budget: int,
        warnings: tuple[Problem, ...] = (),
    ) -> None:
        self.policies = policies
        self.version = version
        self.warnings = warnings
        self._entries = entries
        self._budget = budget
        self._unknown = Deny(Code.FUNCTION_UNKNOWN, "the function is not in the catalogue", (), version)
        self._nothing = Deny(Code.POLICY_DENIED, "no policy allows this call", (), version)
        self._broken = Deny(Code.POLICY_ERROR, "the call could not be judged", (), version)
        if native is not None:
            self.decide = native.Decider(entries, handed_back(self._decided)).decide  # type: ignore[method-assign]

    def decide(self, call: Call) -> Decision:
        """Judge the call. Never raises: whatever goes wrong is a Deny."""
        return self._decided(call)

    def _decided(self, call: Call) -> Decision:
        try:
            entry = self._entries.get(call.function)
            if entry is None:
                return self._unknown
            held = entry.selectors & call.principal.selectors
            quick = entry.quick.get(held)
            if quick is not None:
                known = quick(call.args)
                if known is not None:
                    return known
            return self._decide(call, entry, held)
        except Exception:
            # Attack: arguments that make the judge stumble, in the hope that nobody says no.
            return self._broken

    def blind(self, call: Call) -> bool:
        """See `core.ports.Policies`."""
        entry = self._entries.get(call.function)
        return entry is not None and entry.plan(entry.selectors & call.principal.selectors, self._quick).blind

    def explain(self, call: Call) -> Explanation:
        """What `decide` says of this call, and what every policy had to do with it."""
        trace: Trace = {}
        try:
            decision = self._explained(call, trace)
        except Exception:
            decision = self._broken
        return describe(decision, self.policies, call, trace)

    def _explained(self, call: Call, trace: Trace) -> Decision:
        entry = self._entries.get(call.function)
        if entry is None:
            return self._unknown
        return self._decide(call, entry, entry.selectors & call.principal.selectors, trace)

    def _decide(self, call: Call, entry: Entry, held: frozenset[str], trace: Trace | None = None) -> Decision:
        if not held:
            return self._nothing
        plan = entry.plans.get(held) or entry.plan(held, self._quick)
        shared = call.shared
        if shared is None or plan.reads is None or trace is not None or not plan.reads <= shared.args.keys():
            return self._judge(plan, Frame(call, call.args, self._budget), trace)
        # What many calls share is judged once: the arguments that the conditions read are the same for all of them.
        known: Decision | None = shared.recall(plan)
        if known is None:
            known = self._judge(plan, Frame(call, call.args, self._budget), trace)
            shared.remember(plan, known)
        return known

    def _quick(self, plan: Plan) -> Quick | None:
        """The compiled judge of a plan, where all its conditions are plain and their steps are within the budget."""
        rules = (*plan.denies, *plan.asks, *plan.allows)
        forms = [rule.plain for rule in rules if rule.plain is not None]
        if native is None or len(forms) < len(rules) or len(rules) > _MOST_RULES:
            return None
        if sum(rule.cost for rule in rules) + sum(map(most_steps, forms)) > self._budget:
            return None
        denied = [self._denied(rule) for rule in plan.denies]
        settled = handed_back(self._settled)
        first, second = len(plan.denies), len(plan.denies) + len(plan.asks)

        def made(held: int) -> Decision:
            holding = [rule for at, rule in enumerate((*plan.asks, *plan.allows)) if held >> at & 1]
            asks = [rule for rule in holding if rule.policy.effect == "require_approval"]
            decision: Decision = settled(asks, [rule for rule in holding if rule.policy.effect == "allow"])
            return decision

        judge = native.Judge(forms[:first], denied, forms[first:second], forms[second:], made, plan.reads)
        quick: Quick = judge.decide
        return quick

    def _judge(self, plan: Plan, frame: Frame, trace: Trace | None) -> Decision:
        failed: Deny | None = None
        for rule in plan.denies:
            try:
                if _holds(rule, frame, trace):
                    return self._denied(rule)
            except Failure as failure:  # another deny policy may still say a plain no
                failed = failed or self._failed(rule, str(failure), trace)
            except Exception as error:
                return self._failed(rule, _text(error), trace)
        if failed is not None:
            return failed
        asking: list[Rule] = []
        allowing: list[Rule] = []
        for rules, holding in ((plan.asks, asking), (plan.allows, allowing)):
            for rule in rules:
                try:
                    if _holds(rule, frame, trace):
                        holding.append(rule)
                except Exception as error:
                    # P3: also when another policy would allow. Who cannot be judged by one policy is not let in by the next.
                    return self._failed(rule, _text(error), trace)
        return self._settled(asking, allowing)

    def _settled(self, asking: Sequence[Rule], allowing: Sequence[Rule]) -> Decision:
        """What the rules that hold add up to, when no rule denies."""
        if asking:
            terms = tuple(rule.policy.terms for rule in asking if rule.policy.terms is not None)
            return RequireApproval(terms, _names(asking), self.version)
        if len(allowing) == 1:
            return allowing[0].allow
        return Allow(_names(allowing), self.version) if allowing else self._nothing

    def _denied(self, rule: Rule) -> Deny:
        name = rule.policy.name
        return Deny(Code.POLICY_DENIED, f"the policy {name!r} denies", (name,), self.version)

    def _failed(self, rule: Rule, text: str, trace: Trace | None) -> Deny:
        name = rule.policy.name
        if trace is not None:
            trace[rule.policy.order] = ("error", text)
        return Deny(Code.POLICY_ERROR, f"the policy {name!r} cannot be evaluated: {text}", (name,), self.version)


def _holds(rule: Rule, frame: Frame, trace: Trace | None) -> bool:
    frame.left -= rule.cost
    if frame.left < 0:
        raise OverBudget
    if rule.cells:
        frame.cells = [None] * rule.cells
    held: bool = rule.run(frame)
    if trace is not None:
        trace[rule.policy.order] = ("true" if held else "false", "")
    return held


def _names(rules: Sequence[Rule]) -> tuple[str, ...]:
    return tuple([rule.policy.name for rule in rules])


def _text(error: Exception) -> str:
    """What to say of an error: never the text of one that funcgate did not write, for it may hold a value."""
    if isinstance(error, Failure):
        return str(error)
    return "the decision takes too many steps" if isinstance(error, OverBudget) else type(error).__name__
