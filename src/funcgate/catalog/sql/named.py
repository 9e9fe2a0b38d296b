"""Named queries: statements of the configuration that are functions of their own, with arguments of their own.

A statement is such a query when its tree is the same, to the last node: spaces, comments and case of keywords do not count.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from pglast.parser import parse_sql_json

from funcgate.core.function import Function
from funcgate.core.problem import Problem
from funcgate.core.refusal import Refused

from .analyse import Analysis
from .specs import QuerySpec
from .tree import parse, refused
from .verbs import FUNCTIONS

Where = tuple[str | int, ...]
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_PLACES = frozenset(
    {"location", "stmt_location", "stmt_len", "arg_location", "name_location", "list_start", "list_end"}
)
_READ = {"integer": int, "number": float, "string": str}
_TRUTHS = {"t": True, "true": True, "on": True, "1": True, "f": False, "false": False, "off": False, "0": False}


class Named(Struct, frozen=True, kw_only=True):
    """One named query. `types` are the arguments' JSON types, "" where any text will do."""

    function: Function
    tree: str
    names: tuple[str, ...]
    types: tuple[str, ...]

    @staticmethod
    def tree_of(sql: str) -> str:
        """The tree without places in the text: equal for texts that mean the same to the parser."""
        return msgspec.json.encode(_bare(msgspec.json.decode(parse_sql_json(sql))["stmts"])).decode()

    def arguments(self, parameters: Sequence[Any]) -> dict[str, Any]:
        """The bound values by name. Raises `Refused(request.invalid)` for those of another type."""
        if len(parameters) != len(self.names):
            raise refused(f"{self.function.name} takes {len(self.names)} parameters, {len(parameters)} are bound")
        return {
            name: _read(name, kind, value) for name, kind, value in zip(self.names, self.types, parameters, strict=True)
        }


def _read(name: str, kind: str, value: Any) -> Any:
    if value is None or not kind:
        return value
    if not isinstance(value, str):
        raise refused(f"the parameter {name} cannot be read")
    try:
        return _TRUTHS[value.lower()] if kind == "boolean" else _READ[kind](value)
    except (KeyError, ValueError):
        raise refused(f"the parameter {name} is not of type {kind}") from None


def _bare(node: Any) -> Any:
    if isinstance(node, list):
        return [_bare(item) for item in node]
    if isinstance(node, dict):
        return {name: _bare(value) for name, value in node.items() if name not in _PLACES}
    return node


def read_queries(target: str, specs: Sequence[QuerySpec], where: Where, problems: list[Problem]) -> list[Named]:
    """The queries. What is wrong with them goes to `problems`."""
    out: list[Named] = []
    seen: dict[str, str] = {}
    for at, spec in enumerate(specs):
        place = (*where, at)
        if (
            _NAME.fullmatch(spec.name) is None
            or spec.name in FUNCTIONS
            or spec.name in {one.function.name for one in out}
        ):
            text = f"{spec.name!r} is no name for a query: letters, digits and _ . -, none of the verbs, each once"
            problems.append(Problem(where=(*place, "name"), text=text))
        made = _query(target, spec, place, problems)
        if made is None:
            continue
        if made.tree in seen:
            problems.append(
                Problem(where=(*place, "sql"), text=f"this is the statement of {seen[made.tree]!r} already")
            )
        seen[made.tree] = spec.name
        out.append(made)
    return out


def _query(target: str, spec: QuerySpec, where: Where, problems: list[Problem]) -> Named | None:
    try:
        parsed = parse(spec.sql)
        read = [Analysis(text).statement(kind, fields, 1) for kind, fields, text in parsed]
    except (Refused, RecursionError) as error:
        problems.append(Problem(where=(*where, "sql"), text=getattr(error, "public_detail", "nested too deeply")))
        return None
    if len(read) != 1:
        problems.append(Problem(where=(*where, "sql"), text=f"a named query is one statement, this is {len(read)}"))
        return None
    if read[0].parameters != len(spec.args):
        text = f"the statement has {read[0].parameters} parameters, 'args' names {len(spec.args)}"
        problems.append(Problem(where=(*where, "args"), text=text))
        return None
    schemas: dict[str, Any] = {}
    for name, given in spec.args.items():
        schema = {"type": given} if isinstance(given, str) else given
        if not isinstance(schema, dict) or schema.get("type") not in ("string", "boolean", *_READ):
            problems.append(
                Problem(where=(*where, "args", name), text="write a type: string, integer, number or boolean")
            )
            return None
        schemas[name] = schema
    function = Function(
        target=target, name=spec.name, full_name=f"{target}.{spec.name}", summary=spec.summary, risk=spec.risk, owner=spec.owner,
        args_schema={"type": "object", "properties": schemas, "required": [*schemas], "additionalProperties": False},
    )  # fmt: skip
    types = tuple(schema["type"] for schema in schemas.values())
    return Named(function=function, tree=Named.tree_of(spec.sql), names=tuple(schemas), types=types)
