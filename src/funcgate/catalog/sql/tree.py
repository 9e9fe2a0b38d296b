"""SQL text to trees, by PostgreSQL's own parser. Trees are plain dicts: a key in CamelCase is a node, all others are its fields.

Refuses texts that are too long, too deep, or have too many statements; what it cannot parse does not exist.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from pglast.parser import ParseError, parse_sql_json

from funcgate.core.refusal import Code, Refused

Node = dict[str, Any]
MAX_SQL_BYTES = 256 << 10
MAX_STATEMENTS = 100


def parse(sql: str) -> list[tuple[str, Node, str]]:
    """Type, fields and own text of each statement. Raises `Refused(request.invalid)`."""
    try:
        encoded = sql.encode()
    except UnicodeEncodeError:
        raise refused("a text that is not Unicode") from None
    # Attack: a text that takes the parser, or the analysis, minutes.
    if len(encoded) > MAX_SQL_BYTES:
        raise refused(f"a statement of more than {MAX_SQL_BYTES} bytes")
    # Attack: the parser stops at a zero byte, and somebody behind it may not.
    if "\0" in sql:
        raise refused("a text with a zero byte")
    try:
        tree = msgspec.json.decode(parse_sql_json(sql))
    except (ParseError, ValueError, RecursionError):
        raise refused("the text cannot be parsed") from None  # the parser's message may quote a value
    found = tree.get("stmts", [])
    if len(found) > MAX_STATEMENTS:
        raise refused(f"more than {MAX_STATEMENTS} statements in one text")
    return [(*node_of(raw["stmt"]), _text(encoded, raw)) for raw in found]


def _text(encoded: bytes, raw: Node) -> str:
    start = raw.get("stmt_location", 0)
    length = raw.get("stmt_len", 0)
    return encoded[start : start + length if length else None].decode().strip()


def refused(detail: str) -> Refused:
    return Refused(Code.REQUEST_INVALID, f"SQL: {detail}", private_detail=f"SQL: {detail}")


def node_of(wrapped: Any) -> tuple[str, Node]:
    """Type and fields of a wrapped node."""
    if isinstance(wrapped, dict) and len(wrapped) == 1:
        ((kind, fields),) = wrapped.items()
        if kind[:1].isupper() and isinstance(fields, dict):
            return kind, fields
    return "", {}


def children(fields: Node) -> Iterator[tuple[str, str, Node]]:
    """Every node right under these fields: the field's name, the node's type ("" where the field alone tells it), its fields."""
    for name, value in fields.items():
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                kind, inner = node_of(item)
                yield (name, kind, inner) if kind else (name, "", item)


def strings(wrapped: Any) -> tuple[str, ...]:
    """A list of String nodes, such as a qualified name; a star is ``*``."""
    out = []
    for item in wrapped or ():
        kind, fields = node_of(item)
        out.append(fields.get("sval", "") if kind == "String" else "*" if kind == "A_Star" else "")
    return tuple(out)
