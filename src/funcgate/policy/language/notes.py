"""What the compiler notes beside a closure: the plain form (plain.py) that means the same, for closures that have one.

It makes no closures and judges nothing. A closure without a note has no plain form, nor has what is made of it.
"""

from collections.abc import Callable
from typing import Any

from . import arguments
from .check import Checked
from .closures import Compare, Run
from .plain import (
    ALL,
    ALWAYS,
    AMONG,
    ANY,
    COMPARE,
    EQUAL,
    EVERY,
    EXISTS,
    HOLDS,
    NEVER,
    NOT,
    RICH,
    SAME,
    SIZE,
    TEXTS,
    UNEQUAL,
    Plain,
    Source,
)
from .tree import Invoke, ListOf, Literal, Loop, Name, Node, Select

_SCALARS = ("int", "double", "string", "bool")


class Notes:
    """The forms of one condition. `is_args` tells whether a node is the variable ``args``; `loops` are the loops around, as
    they are now. What takes a closure gives it back."""

    def __init__(self, checked: Checked, is_args: Callable[[Node], bool], loops: list[str]) -> None:
        self._checked = checked
        self._is_args = is_args
        self._loops = loops
        # By the id of the closure, which is held so that no other gets it.
        self._known: dict[int, tuple[Run, Plain]] = {}

    def of(self, run: Run) -> Plain | None:
        """The plain form of a closure, if it has one."""
        found = self._known.get(id(run))
        return None if found is None else found[1]

    def _note(self, run: Run, form: int, source: Source | None, value: Any = None, operator: int = -1) -> Run:
        if source is not None:
            self._known[id(run)] = run, Plain(form, (), source, operator, value)
        return run

    def _source(self, node: Node, *wanted: str) -> Source | None:
        """An argument, or the element of a loop that is in no other; of a type in `wanted`."""
        kind = self._checked.kind(node)
        if kind.nullable or kind.name not in wanted:
            return None
        if isinstance(node, Select) and not node.test and self._is_args(node.of):
            return Source(node.field, arguments.python_types(kind))
        if isinstance(node, Name) and not node.rooted and self._loops == [node.name]:
            return Source(None, arguments.python_types(kind))
        return None

    def settled(self, run: Run, value: bool) -> Run:
        self._known[id(run)] = run, ALWAYS if value else NEVER
        return run

    def together(self, run: Run, parts: tuple[Run, ...], every: bool) -> Run:
        """`run` is ``&&`` or ``||`` of the parts."""
        plains = [found for part in parts if (found := self.of(part)) is not None]
        if len(plains) == len(parts):
            self._known[id(run)] = run, Plain(ALL if every else ANY, tuple(plains))
        return run

    def read(self, run: Run, node: Node) -> Run:
        """`run` reads the node, and lets through only its type."""
        return self._note(run, COMPARE, self._source(node, "bool"), True, EQUAL)

    def compared(self, run: Run, left: Node, compare: Compare, right: Node) -> Run:
        """`run` holds the one against the other."""
        number = RICH[compare]
        if isinstance(right, ListOf) and number in (EQUAL, UNEQUAL):
            texts = tuple(item.value for item in right.items if isinstance(item, Literal) and type(item.value) is str)
            if len(texts) < len(right.items):
                return run
            return self._note(run, SAME, self._source(left, "list"), texts, number)
        if not isinstance(right, Literal):
            return run
        if isinstance(left, Invoke) and left.function == "size":
            return self._note(run, SIZE, self._source(left.operands[0], "list", "string"), right.value, number)
        return self._note(run, COMPARE, self._source(left, *_SCALARS), right.value, number)

    def among(self, run: Run, node: Node, constants: frozenset[Any]) -> Run:
        """`run` is ``node in constants``."""
        return self._note(run, AMONG, self._source(node, *_SCALARS), constants)

    def held(self, run: Run, node: Node, of: Node) -> Run:
        """`run` is ``node in of``."""
        if not isinstance(node, Literal) or type(node.value) is not str:
            return run
        return self._note(run, HOLDS, self._source(of, "list"), node.value)

    def invoked(self, run: Run, node: Invoke, operands: list[Run]) -> Run:
        """`run` calls the node's function."""
        if node.function == "!_":
            inner = self.of(operands[0])
            if inner is not None:
                self._known[id(run)] = run, Plain(NOT, (inner,))
            return run
        form = TEXTS.get(node.function)
        part = node.operands[-1]
        if form is None or not isinstance(part, Literal) or type(part.value) is not str:
            return run
        return self._note(run, form, self._source(node.operands[0], "string"), part.value)

    def looped(self, run: Run, node: Loop, test: Run, cost: int) -> Run:
        """`run` is ``exists`` or ``all`` with this test, `cost` steps an element. The loop is over: it is not in `loops`."""
        inner, source = self.of(test), self._source(node.over, "list")
        if inner is not None and source is not None and source.field is not None and not self._loops:
            form = EXISTS if node.kind == "exists" else EVERY
            self._known[id(run)] = run, Plain(form, (inner,), source, cost=cost)
        return run
