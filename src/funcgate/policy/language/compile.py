"""A checked tree to closures. No `exec`, no `eval`, no bytecode: only functions that hold functions.

The steps of everything outside a loop are known here and charged once (`Program.cost`); loops and whatever costs by
length charge as they run.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from . import arguments, loops
from . import operators as op
from .check import EQUALITIES, ORDERINGS, Checked
from .closures import Compare, Run, as_bool, constant
from .functions import FUNCTIONS, OPERATORS, Overload, constant_operand, fits
from .notes import Notes
from .plain import Plain
from .tree import Choice, Index, Invoke, ListOf, Literal, Logic, Loop, MapOf, Mistake, Name, Node, Select
from .types import BY_NAME, NUMBERS
from .values import Failure, Frame, TypeValue, kind_of
from .wording import dotted, spell


class Members(Struct, frozen=True):
    """How a variable is read: `whole` the variable itself, `parts` its members, `sets` those that have a set to look into."""

    whole: Run | None = None
    parts: Mapping[str, Run] = {}
    sets: Mapping[str, Run] = {}


class Program(Struct, frozen=True):
    """What runs, what it costs before any loop, and how many loop variables it needs in the frame. `plain` means the same as
    `run`, if that is plain."""

    run: Run
    cost: int
    cells: int
    plain: Plain | None = None


def compile_tree(checked: Checked, variables: Mapping[str, Members]) -> Program:
    """Compile a tree that has no mistakes. Raises `Mistake` for a bad constant pattern or zone."""
    compiler = _Compiler(checked, variables)
    run = compiler.value(checked.root)
    return Program(run, compiler.cost, compiler.cells, compiler.notes.of(run))


class _Compiler:
    def __init__(self, checked: Checked, variables: Mapping[str, Members]) -> None:
        self._checked = checked
        self._variables = variables
        self._loops: list[str] = []
        self.notes = Notes(checked, lambda node: self._is_variable(node, "args"), self._loops)
        self.cost = 1
        self.cells = 0

    def _known(self, node: Node) -> str:
        """The name of the node's type if every value of it is of that type, else ""."""
        kind = self._checked.kind(node)
        return "" if kind.nullable or kind.name == "dyn" else kind.name

    def truth(self, node: Node) -> Run:
        """The node as a bool."""
        run = self.value(node)
        return run if self._known(node) == "bool" else as_bool(run)

    def value(self, node: Node, exact: bool = False) -> Run:
        """The node's value. With `exact`, a JSON integer stays an int where the schema says ``number``."""
        settled = self._checked.settled.get(id(node))
        if settled is not None:
            return self.notes.settled(constant(settled), settled)
        if not isinstance(node, Literal | Name):
            self.cost += 1
        match node:
            case Literal():
                return constant(node.value)
            case Name():
                return self._name(node, exact)
            case Select():
                return self._select(node, exact)
            case Index():
                read = op.index(self.value(node.of), self.value(node.key, True))
                return self._guard(node, read, exact)
            case Invoke():
                return self._invoke(node)
            case Logic():
                parts = tuple(self.truth(part) for part in node.parts)
                return self.notes.together(op.every(parts, not node.every), parts, node.every)
            case Choice():
                return op.choice(self.truth(node.test), self.value(node.yes, exact), self.value(node.no, exact))
            case ListOf(items=items) if all(isinstance(item, Literal) for item in items):
                return constant([item.value for item in items if isinstance(item, Literal)])
            case ListOf():
                self.cost += len(node.items)
                return op.list_of_runs(tuple(self.value(item) for item in node.items))
            case MapOf():
                self.cost += 2 * len(node.pairs)
                return op.map_of_runs(tuple((self.value(key), self.value(value)) for key, value in node.pairs))
            case Loop():
                return self._loop(node)

    def _guard(self, node: Node, read: Run, exact: bool) -> Run:
        kind = self._checked.kind(node)
        return read if kind.name == "dyn" else self.notes.read(arguments.guarded(read, kind, spell(node), exact), node)

    def _name(self, node: Name, exact: bool) -> Run:
        if not node.rooted and node.name in self._loops:
            position = len(self._loops) - 1 - self._loops[::-1].index(node.name)
            return self._guard(node, loops.cell(position), exact)
        if node.name in self._variables:
            whole = self._variables[node.name].whole
            assert whole is not None  # the checker lets only such a name stand alone
            return whole
        return constant(TypeValue(node.name))

    def _is_variable(self, node: Node, name: str = "") -> bool:
        if not isinstance(node, Name) or node.name not in self._variables or (name and node.name != name):
            return False
        return node.rooted or node.name not in self._loops

    def _select(self, node: Select, exact: bool) -> Run:
        owner = node.of
        if isinstance(owner, Name) and self._is_variable(owner) and self._variables[owner.name].whole is None:
            read = self._variables[owner.name].parts[node.field]
            return (lambda frame: read(frame) is not None) if node.test else read
        if not node.test and dotted(node) in BY_NAME:
            return constant(TypeValue(dotted(node)))
        if node.test:
            return op.has_member(self.value(owner), node.field, spell(node))
        if self._is_variable(owner, "args"):
            return self._guard(node, arguments.argument(node.field), exact)
        return self._guard(node, op.member(self.value(owner), node.field, spell(node)), exact)

    # Operators

    def _invoke(self, node: Invoke) -> Run:
        if node.function in EQUALITIES or node.function in ORDERINGS:
            return self._compare(node.function, *node.operands)
        if node.function == "@in":
            return self._membership(node.operands[0], node.operands[1])
        overloads = OPERATORS.get(node.function) or FUNCTIONS[node.function]
        overloads = tuple(o for o in overloads if o.method == node.method and len(o.takes) == len(node.operands))
        known = tuple(self._known(operand) for operand in node.operands)
        found = [overload for overload in overloads if fits(overload, known)] if all(known) else []
        any_kind = overloads[0] if all(kind.name == "dyn" for kind in overloads[0].takes) else None
        if found or any_kind:
            return self._direct(node, found[0] if found else any_kind)  # type: ignore[arg-type]
        constants = self._constant(node, overloads[0])
        if constants is not None:  # a constant pattern or zone, and a first operand that is known at run time
            return _dispatch_first(self.value(node.operands[0]), overloads[0].takes[0].name, *constants)
        return _dispatch(tuple(self.value(operand) for operand in node.operands), overloads)

    def _constant(self, node: Invoke, overload: Overload) -> tuple[Callable[..., Any], Any] | None:
        if len(node.operands) != 2 or not isinstance(node.operands[1], Literal):
            return None
        try:
            return constant_operand(node.function, overload, 1, node.operands[1].value)
        except Failure as failure:
            raise Mistake(str(failure), node.operands[1].at) from None

    def _direct(self, node: Invoke, overload: Overload) -> Run:
        run = overload.run
        operands = [self.value(operand) for operand in node.operands]
        constants = self._constant(node, overload)
        if constants is not None:
            first, (special, value) = operands[0], constants
            return lambda frame: special(frame, first(frame), value)
        if len(operands) == 1:
            (only,) = operands
            return self.notes.invoked(lambda frame: run(frame, only(frame)), node, operands)
        if len(operands) == 2:
            one, two = operands
            return self.notes.invoked(lambda frame: run(frame, one(frame), two(frame)), node, operands)
        return lambda frame: run(frame, *[operand(frame) for operand in operands])

    def _compare(self, function: str, left: Node, right: Node) -> Run:
        if isinstance(left, Literal) and not isinstance(right, Literal):
            left, right, function = right, left, op.FLIPPED[function]
        compare = op.COMPARES[function]
        one, two = self._known(left), self._known(right)
        fitting = one == two or (one in NUMBERS and two in NUMBERS)
        scalar = one not in ("", "list", "map", "type", "null_type") and fitting
        if scalar and isinstance(right, Literal) and isinstance(left, Select) and not left.test:
            fused = self._argument_against(left, compare, right.value)
            if fused is not None:
                return self.notes.compared(fused, left, compare, right)
        first, second = self.value(left, True), self.value(right, True)
        if scalar and (isinstance(right, Literal) or one not in ("string", "bytes")):
            return self.notes.compared(op.compare_known(first, second, compare), left, compare, right)
        if scalar:
            return op.compare_texts(first, second, compare)
        if function in ORDERINGS:
            return op.ordering(first, second, compare)
        if isinstance(right, Literal) and isinstance(right.value, str):
            return op.equality_with_text(first, right.value, function == "_==_")
        return self.notes.compared(op.equality(first, second, function == "_==_"), left, compare, right)

    def _argument_against(self, left: Select, compare: Compare, value: Any) -> Run | None:
        if not self._is_variable(left.of, "args"):
            return None
        self.cost += 1
        kind = self._checked.kind(left)
        return arguments.argument_against(left.field, kind, compare, value)

    def _membership(self, value: Node, of: Node) -> Run:
        known = self._known(value)
        constants = _constants(of, known)
        if constants is not None:
            fused = self._argument_against(value, op.is_in, constants) if isinstance(value, Select) else None
            first = self.value(value, True)
            return self.notes.among(fused or (lambda frame: first(frame) in constants), value, constants)
        if isinstance(of, Select) and isinstance(of.of, Name) and self._is_variable(of.of) and known == "string":
            lookup = self._variables[of.of.name].sets.get(of.field)
            if lookup is not None:
                wanted = self.value(value)
                return lambda frame: wanted(frame) in lookup(frame)
        return self.notes.held(op.membership(self.value(value, True), self.value(of)), value, of)

    # Macros

    def _loop(self, node: Loop) -> Run:
        items = loops.items_of(self.value(node.over))
        at = len(self._loops)
        self._loops.append(node.variable)
        self.cells = max(self.cells, at + 1)
        outside, self.cost = self.cost, 1
        test = self.truth(node.test) if node.test is not None else None
        result = self.value(node.result) if node.result is not None else None
        inside, self.cost = self.cost, outside
        self._loops.pop()
        if node.kind in ("filter", "map") or test is None:
            return loops.selection(items, at, test, result, inside)
        if node.kind == "exists_one":
            return loops.exists_one(items, at, test, inside)
        run = loops.quantifier(items, at, test, inside, node.kind == "exists")
        return self.notes.looped(run, node, test, inside)


def _constants(of: Node, known: str) -> frozenset[Any] | None:
    """The items of a list of constants as a set, where Python's equality of them is CEL's: all text, or all numbers."""
    if not isinstance(of, ListOf) or not all(isinstance(item, Literal) for item in of.items):
        return None
    kinds = {kind_of(item.value) for item in of.items if isinstance(item, Literal)}
    if (known == "string" and kinds <= {"string"}) or (known in NUMBERS and kinds <= NUMBERS):
        return frozenset(item.value for item in of.items if isinstance(item, Literal) and item.value == item.value)
    return None


def _dispatch(operands: tuple[Run, ...], overloads: tuple[Overload, ...]) -> Run:
    """Pick the overload by the types that the values have."""
    table = {tuple(kind.name for kind in overload.takes): overload.run for overload in overloads}

    def run(frame: Frame) -> Any:
        values = [operand(frame) for operand in operands]
        found = table.get(tuple([kind_of(value) for value in values]))
        if found is None:
            raise Failure("a function does not take values of these types")
        return found(frame, *values)

    return run


def _dispatch_first(operand: Run, wanted: str, special: Callable[..., Any], value: Any) -> Run:
    def run(frame: Frame) -> Any:
        first = operand(frame)
        if kind_of(first) != wanted:
            raise Failure("a function does not take values of these types")
        return special(frame, first, value)

    return run
