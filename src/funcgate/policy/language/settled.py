"""What of a tree is known before any call: ``has(args.note)`` of a function without that argument is false.

The checker asks it, node by node, and does not look into what can never be reached.
"""

from collections.abc import Mapping

from .tree import Choice, Invoke, Literal, Logic, Name, Node, Select
from .types import Type


class Settled:
    """Fills `known`, by `id` of the node. `elsewhere` are members of ``args`` that other functions of the same policy have."""

    def __init__(self, known: dict[int, bool], variables: Mapping[str, Type], elsewhere: frozenset[str]) -> None:
        self._known = known
        self._variables = variables
        self._elsewhere = elsewhere

    def of(self, node: Node) -> bool | None:
        """True or false, if the node is that whatever the call; else None."""
        known = self._known.get(id(node))
        if known is None:
            known = self._work_out(node)
            if known is not None:
                self._known[id(node)] = known
        return known

    def _work_out(self, node: Node) -> bool | None:
        match node:
            case Literal(value=bool() as value):
                return bool(value)
            case Select(test=True):
                return False if self._absent(node.of, node.field) else None
            case Invoke(function="!_"):
                inner = self.of(node.operands[0])
                return None if inner is None else not inner
            case Logic():
                parts = [self.of(part) for part in node.parts]
                if (not node.every) in parts:
                    return not node.every
                return node.every if all(part is node.every for part in parts) else None
            case Choice():
                test = self.of(node.test)
                return None if test is None else self.of(node.yes if test else node.no)
            case Invoke(function="@in", operands=(Literal(value=str() as key), of)):
                return False if self._absent(of, key) else None
        return None

    def _absent(self, of: Node, field: str) -> bool:
        """Whether `of` is ``args`` and this function has no such argument, but another one of the policy has."""
        return self.is_args(of) and _lacks(self._variables["args"], field) and field in self._elsewhere

    def is_args(self, node: Node) -> bool:
        return isinstance(node, Name) and node.name == "args" and "args" in self._variables


def _lacks(kind: Type, field: str) -> bool:
    return kind.fields is not None and not kind.open and field not in dict(kind.fields)
