"""How the configuration names the functions of a PostgreSQL target: those that every one has, and named queries beside them."""

from typing import Any

from msgspec import Struct


class QuerySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One statement with a name of its own. `sql` has ``$1``, ``$2`` …; `args` names them in that order, each with a type
    (``integer``) or a JSON Schema."""

    name: str
    sql: str
    args: dict[str, Any] = {}
    risk: str = ""
    owner: str = ""
    summary: str = ""


class SqlFunctionsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`queries` are named queries. The functions by verb (``select``, ``update`` …) are always there."""

    queries: list[QuerySpec] = []
