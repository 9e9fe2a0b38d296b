"""From a call to the few policies that can match it: by full function name, then by who calls.

What 1,000 policies cost a call is what the policies that cover its function and its caller cost, and nothing more.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from funcgate.core.decision import Allow, Decision, Terms

from .language.closures import Run
from .language.plain import Plain
from .spec import Effect

MAX_PLANS = 256
Quick = Callable[[dict[str, Any]], Decision | None]
"""Arguments -> what was decided, None when that is for others to say."""
Hasten = Callable[["Plan"], Quick | None]


class Policy(Struct, frozen=True):
    """One policy as it was compiled. `order` is its place in the configuration. `functions` are full names."""

    order: int
    name: str
    effect: Effect
    patterns: tuple[str, ...]
    functions: frozenset[str]
    selectors: frozenset[str]
    when: str
    terms: Terms | None = None


class Rule(Struct, frozen=True):
    """A policy for one function: its condition, what evaluating that costs, and what it gives when it decides alone.

    `reads` are the arguments that the condition reads, None when it may read anything else of a call. `blind`: it reads none.
    `plain` is what `run` means, if that is plain.
    """

    policy: Policy
    run: Run
    cost: int
    cells: int
    allow: Allow
    reads: frozenset[str] | None = None
    blind: bool = False
    plain: Plain | None = None


class Plan(Struct, frozen=True):
    """The rules that one kind of caller meets at one function, each in the order of the configuration.

    `reads` are the arguments that all their conditions read, None when one of them may read anything else of a call. `blind`:
    none of them reads any.
    """

    denies: tuple[Rule, ...]
    asks: tuple[Rule, ...]
    allows: tuple[Rule, ...]
    reads: frozenset[str] | None = None
    blind: bool = False


def make_plan(rules: Iterable[Rule]) -> Plan:
    by_effect: dict[str, list[Rule]] = {"deny": [], "require_approval": [], "allow": []}
    reads: frozenset[str] | None = frozenset()
    blind = True
    for rule in rules:
        blind = blind and rule.blind
        by_effect[rule.policy.effect].append(rule)
        reads = None if reads is None or rule.reads is None else reads | rule.reads
    denies, asks, allows = (tuple(found) for found in by_effect.values())
    return Plan(denies, asks, allows, reads, blind)


class Entry:
    """One function: the selectors that its policies name, and a plan for every combination of them that came by."""

    __slots__ = ("_rules", "plans", "quick", "selectors")

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self.selectors: frozenset[str] = frozenset().union(*(rule.policy.selectors for rule in rules))
        self.plans: dict[frozenset[str], Plan] = {}
        self.quick: dict[frozenset[str], Quick] = {}  # for plans that are there and plain

    def plan(self, held: frozenset[str], hasten: Hasten) -> Plan:
        """The plan for a caller who holds these of the entry's selectors; `hasten` makes its quick way, once."""
        found = self.plans.get(held)
        if found is None:
            found = make_plan(rule for rule in self._rules if not held.isdisjoint(rule.policy.selectors))
            # Attack: tokens with ever new combinations of groups, to fill the memory. Beyond the limit plans are not kept.
            if len(self.plans) < MAX_PLANS:
                self.plans[held] = found
                quick = hasten(found)
                if quick is not None:
                    self.quick[held] = quick
        return found
