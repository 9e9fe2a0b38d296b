"""What the checker's messages are made of: nodes, types and hints as short texts."""

import difflib
from collections.abc import Iterable, Sequence

from .functions import OPERATORS, Overload
from .tree import Index, Invoke, Literal, Name, Node, Select
from .types import NUMBERS, Type

_STYLES = {True: "method", False: "function"}


def spell(node: Node) -> str:
    """The node as a short text for messages: a path where it is one."""
    if isinstance(node, Name):
        return node.name
    if isinstance(node, Select):
        return f"{spell(node.of)}.{node.field}"
    if isinstance(node, Index):
        return f"{spell(node.of)}[…]"
    return "this"


def dotted(node: Node) -> str:
    """The qualified name that a node spells (``google.protobuf.Timestamp``), or a text that is none."""
    if isinstance(node, Name):
        return node.name
    return f"{dotted(node.of)}.{node.field}" if isinstance(node, Select) else ""


def a_kind(kind: Type) -> str:
    """The type with its article, for messages."""
    text = str(kind)
    return f"{'an' if text[0] in 'aeio' else 'a'} {text}" if kind.name != "null_type" else "null"


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint with the nearest right spelling, or nothing."""
    found = difflib.get_close_matches(word, list(words), 1, 0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def operand_text(node: Invoke, position: int, kind: Type) -> str:
    operand = node.operands[position]
    if isinstance(operand, Literal) and kind.name in ("int", "uint", "double", "bool"):
        return f"{str(operand.value).lower()} ({a_kind(kind)})"
    path = spell(operand)
    return f"{path} ({a_kind(kind)})" if path != "this" else a_kind(kind)


def no_overload(node: Invoke, kinds: Sequence[Type], overloads: Sequence[Overload]) -> str:
    given = ", ".join(map(str, kinds))
    if node.function in OPERATORS:
        sign = node.function.strip("_")
        mixed = len(kinds) == 2 and kinds[0].name != kinds[1].name and {kind.name for kind in kinds} <= NUMBERS
        return f"{sign!r} does not take ({given})" + (
            "; convert with double(), int() or uint(), or write 1.0 for 1" if mixed else ""
        )
    if all(overload.method != node.method for overload in overloads):
        return f"{node.function} is a {_STYLES[overloads[0].method]}, not a {_STYLES[node.method]}"
    wanted = " or ".join(
        f"({', '.join(map(str, overload.takes))})" for overload in overloads if overload.method == node.method
    )
    return f"{node.function}() takes {wanted}, not ({given})"
