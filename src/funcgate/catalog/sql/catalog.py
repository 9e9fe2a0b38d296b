"""The catalogue of a PostgreSQL target: a function for each kind of statement, and the named queries."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from funcgate.core.function import Function
from funcgate.core.problem import Problem

from .specs import SqlFunctionsSpec
from .statement import Statement

Where = tuple[str | int, ...]


class SqlCatalog:
    """`functions` go by full name (``shop.select``); `warnings` are problems that do not stop it."""

    functions: Mapping[str, Function]
    warnings: tuple[Problem, ...]

    def analyse(self, sql: str) -> tuple[Statement, ...]:
        """The statements of one text, in order; none for an empty one. Raises `Refused(request.invalid)` for what cannot be
        parsed or is not carried."""
        raise NotImplementedError

    def arguments(self, statement: Statement, parameters: Sequence[Any]) -> dict[str, Any]:
        """The arguments of one call: those of the statement and its bound values (text, None for NULL, what cannot be read as
        text as ``{"hex": …}``). Raises `Refused(request.invalid)` when they do not fit a named query."""
        raise NotImplementedError


def load_sql(target: str, spec: SqlFunctionsSpec | None, base: Path, where: Where) -> SqlCatalog:
    """The catalogue. Raises `Unusable` with every problem."""
    raise NotImplementedError
