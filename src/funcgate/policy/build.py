"""From specs to an index, with everything that is wrong on the way. Runs when a configuration is loaded.

It refuses what would load and do nothing: a pattern without a function, a policy that can never match.
"""

from collections.abc import Mapping, Sequence

from funcgate.core.decision import Allow, Terms
from funcgate.core.function import Function
from funcgate.core.problem import Problem
from funcgate.core.selector import is_principal_selector, matching

from .approval import read_terms
from .condition import Types, compile_condition, types_of
from .index import Entry, Policy, Rule
from .language.closures import constant
from .language.compile import Program
from .language.plain import ALWAYS
from .language.wording import nearest
from .spec import PolicySpec

Where = tuple[str | int, ...]
_ALWAYS = Program(constant(True), 0, 0, ALWAYS)


def build(
    specs: Sequence[PolicySpec], functions: Mapping[str, Function], version: str, where: Where
) -> tuple[tuple[Policy, ...], dict[str, Entry], list[Problem]]:
    """The policies in their order, an entry for every function of the catalogue, and the problems and warnings."""
    builder = _Builder(functions, version)
    for order, spec in enumerate(specs):
        builder.add(order, spec, (*where, order))
    entries = {name: Entry(rules) for name, rules in builder.rules.items()}
    return tuple(builder.policies), entries, builder.problems


class _Builder:
    def __init__(self, functions: Mapping[str, Function], version: str) -> None:
        self._names = list(functions)
        self._types: Types = types_of(functions)
        self._version = version
        self._seen: dict[str, int] = {}
        self.policies: list[Policy] = []
        self.rules: dict[str, list[Rule]] = {name: [] for name in functions}
        self.problems: list[Problem] = []

    def add(self, order: int, spec: PolicySpec, where: Where) -> None:
        self._name(order, spec.name, where)
        covered = self._functions(spec.functions, where)
        self._principals(spec.principals, (*where, "principals"), "this policy can never match")
        terms = self._approval(spec, where)
        policy = Policy(
            order,
            spec.name,
            spec.effect,
            tuple(spec.functions),
            frozenset(covered),
            frozenset(spec.principals),
            spec.when or "",
            terms,
        )
        self.policies.append(policy)
        programs: Mapping[str, Program] = dict.fromkeys(covered, _ALWAYS)
        reads: frozenset[str] | None = frozenset()  # an allowance without a condition reads nothing
        blind = True
        if spec.when is not None and covered:
            found = compile_condition(spec.when, covered, self._types, (*where, "when"))
            self.problems += found.problems
            programs, reads, blind = found.programs, found.reads, found.blind
        allow = Allow((spec.name,), self._version)
        for function, program in programs.items():
            rule = Rule(policy, program.run, program.cost, program.cells, allow, reads, blind, plain=program.plain)
            self.rules[function].append(rule)

    def _wrong(self, where: Where, text: str) -> None:
        self.problems.append(Problem(where, text))

    def _name(self, order: int, name: str, where: Where) -> None:
        if not name.strip():
            self._wrong((*where, "name"), "a policy needs a name")
        elif name in self._seen:
            self._wrong((*where, "name"), f"policy {self._seen[name] + 1} has the name {name!r} already")
        self._seen.setdefault(name, order)

    def _functions(self, patterns: Sequence[str], where: Where) -> list[str]:
        """The full names that the patterns cover, in the order of the catalogue."""
        if not patterns:
            self._wrong((*where, "functions"), "this policy can never match: it names no functions")
        covered: set[str] = set()
        for position, pattern in enumerate(patterns):
            found = matching(pattern, self._names)
            if not found:
                hint = nearest(pattern, self._names)
                self._wrong((*where, "functions", position), f"{pattern!r} matches no function{hint}")
            covered.update(found)
        return [name for name in self._names if name in covered]

    def _principals(self, selectors: Sequence[str], where: Where, otherwise: str) -> None:
        if not selectors:
            self._wrong(where, f"{otherwise}: it names nobody")
        for position, selector in enumerate(selectors):
            if not is_principal_selector(selector):
                text = f"{selector!r} is not a principal: write 'group:NAME', 'user:SUBJECT' or '*'"
                self._wrong((*where, position), text)

    def _approval(self, spec: PolicySpec, where: Where) -> Terms | None:
        place = (*where, "approval")
        if spec.effect != "require_approval":
            if spec.approval is not None:
                self._wrong(place, f"a policy with the effect {spec.effect!r} has no approval")
            return None
        if spec.approval is None:
            self._wrong(place, "require_approval needs `approval` with its `approvers`")
            return None
        terms, problems = read_terms(spec.approval, place)
        self.problems += problems
        return terms
