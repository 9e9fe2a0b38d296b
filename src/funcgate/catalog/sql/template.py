"""Statements that differ in nothing but whole numbers inside conditions and values: what one means, all of them mean.

It refuses texts in which a number might be anything but a token of its own: quotes, dollars, backslashes, comments.
"""

import re
from collections.abc import Iterator
from typing import Any

from msgspec import structs

from funcgate.core.native import half

from .statement import Statement
from .tree import Node, node_of, parse

_UNSURE = re.compile(r"[^\x01-\x7f]|['\"$\\]|--|/\*")
# Nine digits fit into an integer; one more, a letter or a full stop, and the parser may take it for something else.
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.])[0-9]{1,9}(?![A-Za-z0-9_.])")
_HOLE = "\0"
_AROUND = " \t\r\n\f\v;"
_KINDS = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt"})
_COMPARES = frozenset({"AEXPR_OP", "AEXPR_IN", "AEXPR_BETWEEN", "AEXPR_NOT_BETWEEN"})


_native = half("funcgate.catalog.sql._native")


def template_of(sql: str) -> str | None:
    """The text with holes for its numbers; None when there are none, or nobody can be sure."""
    if _native is not None:
        compiled: str | None = _native.template_of(sql)
        return compiled
    if _UNSURE.search(sql) is not None:
        return None
    found, count = _NUMBER.subn(_HOLE, sql)
    return found if count else None


def is_template(sql: str, statement: Statement, again: Statement | None) -> bool:
    """Whether every number of the text stands where its value means nothing to the analysis: beside an operator, in a list of
    IN, in VALUES. `again` is what `other_numbers` gives, analysed.

    Attack: LIMIT 1 that was judged stands for LIMIT 1000000, ORDER BY 1 for ORDER BY the hidden column.
    """
    (kind, fields, _), *rest = parse(sql)
    if rest or kind not in _KINDS or again is None:
        return False
    places = set(_free(kind, fields))
    if not all(found.start() in places for found in _NUMBER.finditer(sql)):
        return False
    args = {name: value for name, value in statement.args.items() if name != "sql"}
    others = {name: value for name, value in again.args.items() if name != "sql"}
    return (
        own_text(sql) == statement.sql
        and args == others
        and structs.replace(statement, sql="", args={}) == structs.replace(again, sql="", args={})
    )


def own_text(sql: str) -> str:
    """The statement in a text of a template: without blanks around it and the semicolon behind it."""
    return sql.strip(_AROUND)


def other_numbers(sql: str) -> str:
    """A text of the same template, every number another one."""
    return _NUMBER.sub(lambda found: str(int(found[0]) % 999_999_998 + 1), sql)


def _free(kind: str, fields: Node) -> Iterator[int]:
    """Where in the text the numbers are whose value nobody asks for."""
    if kind == "A_Expr" and fields.get("kind") in _COMPARES:
        for side in ("lexpr", "rexpr"):
            yield from _numbers(fields.get(side))
    if kind == "ResTarget":
        yield from _numbers(fields.get("val"))
    for row in fields.get("valuesLists", ()) if kind == "SelectStmt" else ():
        yield from _numbers(row)
    for value in fields.values():
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                inner_kind, inner = node_of(item)
                yield from _free(inner_kind, inner) if inner_kind else _free("", item)


def _numbers(wrapped: Any) -> Iterator[int]:
    """The places of a number, or of those in a list."""
    for item in wrapped if isinstance(wrapped, list) else (wrapped,):
        kind, fields = node_of(item)
        if kind == "A_Const" and "ival" in fields:
            yield fields.get("location", 0)
        elif kind == "List":
            yield from _numbers(fields.get("items"))
