"""The syntax tree of an expression, and what a mistake in one looks like.

Every node knows its column (`at`, zero-based, in characters). The tree holds no types: the checker keeps them beside it.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct


class Mistake(Exception):
    """An expression that must not be used: what is wrong, and the zero-based column where."""

    def __init__(self, text: str, column: int) -> None:
        super().__init__(text)
        self.text = text
        self.column = column


class Literal(Struct, frozen=True):
    """A constant: int, Uint, float, str, bytes, bool or None."""

    value: Any
    at: int


class Name(Struct, frozen=True):
    """A variable. `rooted` is the spelling with a leading dot, which no loop variable hides."""

    name: str
    at: int
    rooted: bool = False


class Select(Struct, frozen=True):
    """``of.field``, or ``has(of.field)`` when `test`. `at` is the column of the field's name."""

    of: "Node"
    field: str
    at: int
    test: bool = False


class Index(Struct, frozen=True):
    of: "Node"
    key: "Node"
    at: int


class Invoke(Struct, frozen=True):
    """A function, method or operator (``_+_``). A method's receiver is the first of `operands`."""

    function: str
    operands: tuple["Node", ...]
    at: int
    method: bool = False


class Logic(Struct, frozen=True):
    """``a && b && …`` (`every`) or ``a || b || …``; the chain is flat."""

    every: bool
    parts: tuple["Node", ...]
    at: int


class Choice(Struct, frozen=True):
    test: "Node"
    yes: "Node"
    no: "Node"
    at: int


class ListOf(Struct, frozen=True):
    items: tuple["Node", ...]
    at: int


class MapOf(Struct, frozen=True):
    pairs: tuple[tuple["Node", "Node"], ...]
    at: int


class Loop(Struct, frozen=True):
    """A macro over a list or the keys of a map: all, exists, exists_one, filter, map.

    `test` is the predicate (for ``map`` with two arguments: None), `result` what ``map`` makes of an element.
    """

    kind: str
    over: "Node"
    variable: str
    test: "Node | None"
    result: "Node | None"
    at: int


Node = Literal | Name | Select | Index | Invoke | Logic | Choice | ListOf | MapOf | Loop


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below, in the order of the text."""
    match node:
        case Select():
            return (node.of,)
        case Index():
            return (node.of, node.key)
        case Invoke():
            return node.operands
        case Logic():
            return node.parts
        case Choice():
            return (node.test, node.yes, node.no)
        case ListOf():
            return node.items
        case MapOf():
            return tuple(part for pair in node.pairs for part in pair)
        case Loop():
            return (node.over, *(part for part in (node.test, node.result) if part is not None))
        case _:
            return ()


def walk(root: Node) -> Iterator[tuple[Node, int]]:
    """Every node with its depth (the root has 1). Does not recurse."""
    waiting = [(root, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting.extend((child, depth + 1) for child in children(node))
