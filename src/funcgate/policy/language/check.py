"""The type checker: a tree and the types of its variables in, the type of every node or a list of mistakes out.

Gradual, as in cel-spec: what a schema does not say is `dyn` and judged at run time; what it says is held to.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from .functions import FUNCTIONS, OPERATORS, Overload
from .settled import Settled
from .tree import Choice, Index, Invoke, ListOf, Literal, Logic, Loop, MapOf, Mistake, Name, Node, Select
from .types import (
    BOOL,
    BY_NAME,
    DYN,
    NUMBERS,
    STRING,
    TYPE,
    Type,
    accepts,
    comparable,
    join,
    joined,
    list_of,
    map_of,
)
from .values import KINDS
from .wording import a_kind, dotted, nearest, no_overload, operand_text, spell

ORDERED = frozenset(
    {"bool", "int", "uint", "double", "string", "bytes", "google.protobuf.Timestamp", "google.protobuf.Duration"}
)
ORDERINGS = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
EQUALITIES = frozenset({"_==_", "_!=_"})
_KEYS = frozenset({"int", "uint", "bool", "string", "dyn"})


class Checked:
    """What is known of a tree. `kinds` and `settled` are by `id` of the node: keep the tree with it."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self.kinds: dict[int, Type] = {}
        self.settled: dict[int, bool] = {}
        self.mistakes: list[Mistake] = []

    def kind(self, node: Node) -> Type:
        return self.kinds[id(node)]


def check(root: Node, variables: Mapping[str, Type], whole: Iterable[str], elsewhere: frozenset[str]) -> Checked:
    """Check the tree. `whole` names the variables that may stand for themselves, not only before a dot. `elsewhere` are
    members of ``args`` that other functions of the same policy have: ``has()`` may ask for them here too."""
    checked = Checked(root)
    _Checker(checked, variables, frozenset(whole), elsewhere).visit(root)
    return checked


class _Checker:
    def __init__(
        self, checked: Checked, variables: Mapping[str, Type], whole: frozenset[str], elsewhere: frozenset[str]
    ) -> None:
        self._checked = checked
        self._variables = variables
        self._whole = whole
        self._elsewhere = elsewhere
        self._settled = Settled(checked.settled, variables, elsewhere)
        self._loops: list[tuple[str, Type]] = []
        self._dead = 0

    def visit(self, node: Node) -> Type:
        kind = self._visit(node)
        self._checked.kinds[id(node)] = kind
        self._settled.of(node)
        return kind

    def _visit(self, node: Node) -> Type:
        match node:
            case Literal():
                return BY_NAME[KINDS[type(node.value)]]
            case Name():
                return self._name(node)
            case Select():
                return self._select(node)
            case Index():
                return self._index(node)
            case Invoke():
                return self._invoke(node)
            case Logic():
                return self._logic(node)
            case Choice():
                return self._choice(node)
            case ListOf():
                return list_of(joined([self.visit(item) for item in node.items]))
            case MapOf():
                return self._map(node)
            case Loop():
                return self._loop(node)

    def _wrong(self, text: str, at: int) -> Type:
        self._checked.mistakes.append(Mistake(text, at))
        return DYN

    def _must_be_bool(self, node: Node, what: str) -> None:
        kind = self.visit(node)
        if not accepts(BOOL, kind):
            self._wrong(f"{what} takes a bool, not {a_kind(kind)}", node.at)

    @contextmanager
    def _unreachable(self, dead: bool) -> Any:
        self._dead += dead
        try:
            yield
        finally:
            self._dead -= dead

    # Names and members

    def _name(self, node: Name) -> Type:
        if not node.rooted:
            for name, kind in reversed(self._loops):
                if name == node.name:
                    return kind
        if node.name in self._variables:
            if node.name not in self._whole:
                known = ", ".join(name for name, _ in self._variables[node.name].fields or ())
                return self._wrong(f"{node.name} is read by its members ({known})", node.at)
            return self._variables[node.name]
        if node.name in BY_NAME:
            return TYPE
        hint = nearest(node.name, [*self._variables, *(name for name, _ in self._loops)])
        return self._wrong(f"there is no variable {node.name!r}{hint}", node.at)

    def _select(self, node: Select) -> Type:
        if isinstance(node.of, Name) and node.of.name in self._variables and node.of.name not in self._whole:
            of = self._variables[node.of.name]
        elif not node.test and dotted(node) in BY_NAME:
            return TYPE
        else:
            of = self.visit(node.of)
        member = self._member(node.of, of, node.field, node.at, node.test)
        return BOOL if node.test else member

    def _member(self, owner: Node, of: Type, field: str, at: int, test: bool) -> Type:
        if of.name == "dyn":
            return DYN
        if of.name != "map" or (of.fields is None and not accepts(STRING, of.inner[0])):
            return self._wrong(f"{a_kind(of)} has no members", at)
        fields = dict(of.fields or ())
        if field in fields:
            return fields[field]
        if of.fields is None or of.open:
            return of.inner[1]
        if not self._settled.is_args(owner):
            return self._wrong(f"{spell(owner)} has no member {field!r}{nearest(field, fields)}", at)
        if field not in self._elsewhere:
            return self._wrong(f"there is no argument {field!r}{nearest(field, fields)}", at)
        if not (test or self._dead):
            return self._wrong(f"there is no argument {field!r} here; ask has(args.{field}) first", at)
        return DYN

    def _index(self, node: Index) -> Type:
        of, key = self.visit(node.of), self.visit(node.key)
        if of.fields is not None and isinstance(node.key, Literal) and isinstance(node.key.value, str):
            return self._member(node.of, of, node.key.value, node.key.at, False)
        if of.name == "list":
            if key.name not in ("dyn", *NUMBERS):
                return self._wrong(f"a list is indexed by an int, not {a_kind(key)}", node.key.at)
            return of.inner[0]
        if of.name == "map":
            if not comparable(of.inner[0], key):
                return self._wrong(f"the keys of this map are {of.inner[0]}, not {key}", node.key.at)
            return DYN if of.fields is not None else of.inner[1]
        return DYN if of.name == "dyn" else self._wrong(f"{a_kind(of)} cannot be indexed", node.at)

    # Operators and functions

    def _logic(self, node: Logic) -> Type:
        settled = [self._settled.of(part) for part in node.parts]
        for position, part in enumerate(node.parts):
            others = settled[:position] + settled[position + 1 :]
            with self._unreachable((not node.every) in others):
                self._must_be_bool(part, "&&" if node.every else "||")
        return BOOL

    def _choice(self, node: Choice) -> Type:
        self._must_be_bool(node.test, "?:")
        test = self._settled.of(node.test)
        with self._unreachable(test is False):
            yes = self.visit(node.yes)
        with self._unreachable(test is True):
            no = self.visit(node.no)
        return join(yes, no)

    def _map(self, node: MapOf) -> Type:
        keys, values = [], []
        for key, value in node.pairs:
            keys.append(self.visit(key))
            values.append(self.visit(value))
            if keys[-1].name not in _KEYS:
                self._wrong(f"{a_kind(keys[-1])} cannot be a key", key.at)
        return map_of(joined(keys), joined(values))

    def _loop(self, node: Loop) -> Type:
        over = self.visit(node.over)
        if over.name not in ("list", "map", "dyn"):
            over = self._wrong(f"{node.kind}() goes over a list or a map, not {a_kind(over)}", node.at)
        if node.variable in self._variables:
            self._wrong(f"the variable {node.variable!r} would hide {node.variable}", node.at)
        self._loops.append((node.variable, over.inner[0] if over.inner else DYN))
        if node.test is not None:
            self._must_be_bool(node.test, f"{node.kind}()")
        made = self.visit(node.result) if node.result is not None else DYN
        element = self._loops.pop()[1]
        if node.kind == "map":
            return list_of(made)
        return list_of(element) if node.kind == "filter" else BOOL

    def _invoke(self, node: Invoke) -> Type:
        kinds = [self.visit(operand) for operand in node.operands]
        if node.function in EQUALITIES:
            return self._equality(node, kinds[0], kinds[1])
        if node.function in ORDERINGS:
            return self._ordering(node, kinds[0], kinds[1])
        if node.function == "@in":
            return self._membership(node, kinds[0], kinds[1])
        overloads = OPERATORS.get(node.function) or FUNCTIONS.get(node.function)
        if overloads is None:
            return self._wrong(f"there is no function {node.function}(){nearest(node.function, FUNCTIONS)}", node.at)
        found = [overload for overload in overloads if _takes(overload, node, kinds)]
        if not found:
            return self._wrong(no_overload(node, kinds, overloads), node.at)
        if node.function == "_+_" and all(kind.name == "list" for kind in kinds):
            return join(kinds[0], kinds[1])
        gives = {overload.gives for overload in found}
        return gives.pop() if len(gives) == 1 else DYN

    def _equality(self, node: Invoke, left: Type, right: Type) -> Type:
        if not comparable(left, right):
            self._wrong(f"{operand_text(node, 0, left)} is never equal to {operand_text(node, 1, right)}", node.at)
        return BOOL

    def _ordering(self, node: Invoke, left: Type, right: Type) -> Type:
        ordered = all(kind.name == "dyn" or kind.name in ORDERED for kind in (left, right))
        if not ordered or not comparable(left, right):
            text = f"{operand_text(node, 0, left)} cannot be compared with {operand_text(node, 1, right)}"
            self._wrong(text, node.at)
        return BOOL

    def _membership(self, node: Invoke, key: Type, of: Type) -> Type:
        if of.name not in ("list", "map", "dyn"):
            return self._wrong(f"'in' looks into a list or a map, not {a_kind(of)}", node.at)
        if of.inner and not comparable(key, of.inner[0]):
            self._wrong(f"{operand_text(node, 0, key)} is never in {a_kind(of)}", node.at)
        first = node.operands[0]
        if of.fields is not None and isinstance(first, Literal) and isinstance(first.value, str):
            self._member(node.operands[1], of, first.value, first.at, True)
        return BOOL


def _takes(overload: Overload, node: Invoke, kinds: Sequence[Type]) -> bool:
    return (
        overload.method == node.method
        and len(overload.takes) == len(kinds)
        and all(accepts(wanted, given) for wanted, given in zip(overload.takes, kinds, strict=True))
    )
