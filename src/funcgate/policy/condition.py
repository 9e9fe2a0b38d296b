"""One condition, compiled for every function that its policy covers, with all that is wrong with it.

A text is parsed once; it is checked and compiled once for each set of argument types that it reads.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from funcgate.core.function import Function
from funcgate.core.problem import Problem

from .language.check import Checked, check
from .language.closures import as_bool
from .language.compile import Program, compile_tree
from .language.parse import parse
from .language.tree import Index, Invoke, Literal, Mistake, Name, Node, Select, walk
from .language.types import Type
from .language.values import Failure, Frame, OverBudget
from .language.wording import a_kind
from .variables import MEMBERS, WHOLE, variable_types

_SHOWN = 3
_BESIDE_ARGS = frozenset(name for name in MEMBERS if name not in WHOLE)

Types = Mapping[str, Mapping[str, Type]]


class Compiled(Struct, frozen=True):
    """The outcome for one set of argument types. `fixed` is the value that the condition always has, if it has one."""

    program: Program | None
    mistakes: tuple[Mistake, ...]
    fixed: bool | None


class Conditions(Struct, frozen=True):
    """The programs by full function name, and the problems. With problems, programs may be missing.

    `reads` are the arguments that the condition reads, None when it may read anything else of a call. `blind`: it reads none.
    """

    programs: Mapping[str, Program]
    problems: list[Problem]
    reads: frozenset[str] | None = None
    blind: bool = False


def types_of(functions: Mapping[str, Function]) -> dict[str, dict[str, Type]]:
    """The variables' types of every function, worked out once for all policies."""
    return {name: variable_types(function.args_schema) for name, function in functions.items()}


def compile_condition(text: str, covered: Sequence[str], types: Types, where: tuple[str | int, ...]) -> Conditions:
    """Compile the text for the `covered` functions. Reports every problem, with column and function."""
    try:
        root = parse(text)
    except Mistake as mistake:
        return Conditions({}, [Problem(where, mistake.text, mistake.column)])
    reads = _reads(root)
    elsewhere = frozenset(name for function in covered for name, _ in types[function]["args"].fields or ())
    done: dict[object, Compiled] = {}
    compiled: dict[str, Compiled] = {}
    for function in covered:
        variables = types[function]
        key = _key(variables["args"], reads)
        if key not in done:
            done[key] = _compile(root, variables, elsewhere)
        compiled[function] = done[key]
    problems = _mistakes(compiled, where) or _fixed(compiled, where)
    programs = {function: found.program for function, found in compiled.items() if found.program is not None}
    only_args = all(node.name not in _BESIDE_ARGS for node, _ in walk(root) if isinstance(node, Name))
    return Conditions(programs, problems, reads if only_args else None, reads is not None and not reads)


def _compile(root: Node, variables: Mapping[str, Type], elsewhere: frozenset[str]) -> Compiled:
    checked = check(root, variables, WHOLE, elsewhere)
    kind = checked.kind(root)
    if kind.name not in ("bool", "dyn"):
        checked.mistakes.append(Mistake(f"a condition must be a bool, this is {a_kind(kind)}", root.at))
    if checked.mistakes:
        return Compiled(None, tuple(checked.mistakes), None)
    try:
        program = compile_tree(checked, MEMBERS)
        if kind.name == "dyn" or kind.nullable:
            program = Program(as_bool(program.run), program.cost, program.cells)
        return Compiled(program, (), _always(checked, program))
    except Mistake as mistake:
        return Compiled(None, (mistake,), None)


def _always(checked: Checked, program: Program) -> bool | None:
    """The value of a condition that reads no variable. Raises `Mistake` if it has none."""
    settled = checked.settled.get(id(checked.root))
    if settled is not None:
        return settled
    if any(isinstance(node, Name) and node.name in MEMBERS for node, _ in walk(checked.root)):
        return None
    frame = Frame(None, {}, 100_000)
    frame.cells = [None] * program.cells
    try:
        return bool(program.run(frame))
    except OverBudget:
        raise Mistake("the condition takes too many steps, whatever the call", checked.root.at) from None
    except Failure as failure:
        raise Mistake(f"the condition always fails: {failure}", checked.root.at) from None


def _reads(root: Node) -> frozenset[str] | None:
    """The members of ``args`` that the condition names; None if it takes args as a whole."""
    members: set[str] = set()
    whole = 0
    for node, _ in walk(root):
        match node:
            case Name(name="args"):
                whole += 1
            case (
                Select(of=Name(name="args"), field=field)
                | Index(of=Name(name="args"), key=Literal(value=str() as field))
                | Invoke(function="@in", operands=(Literal(value=str() as field), Name(name="args")))
            ):
                members.add(field)
                whole -= 1
    return None if whole else frozenset(members)


def _key(args: Type, reads: frozenset[str] | None) -> object:
    if reads is None:
        return args
    fields = dict(args.fields or ())
    return (args.fields is None, args.open, args.inner, tuple(fields.get(name) for name in sorted(reads)))


def _mistakes(compiled: Mapping[str, Compiled], where: tuple[str | int, ...]) -> list[Problem]:
    found: dict[tuple[int, str], list[str]] = {}
    for function, outcome in compiled.items():
        for mistake in outcome.mistakes:
            found.setdefault((mistake.column, mistake.text), []).append(function)
    return [Problem(where, f"{text} ({_listed(names)})", column) for (column, text), names in found.items()]


def _fixed(compiled: Mapping[str, Compiled], where: tuple[str | int, ...]) -> list[Problem]:
    values = {outcome.fixed for outcome in compiled.values()}
    if values == {False}:
        return [Problem(where, "the condition is always false: this policy can never match; mend or remove it")]
    if values == {True}:
        return [Problem(where, "the condition is always true: leave out `when`", warning=True)]
    return []


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
