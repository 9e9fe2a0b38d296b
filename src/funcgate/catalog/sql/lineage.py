"""For each column of a result, the columns of tables that its values depend on. What cannot be told is unknown, not harmless."""

from collections.abc import Sequence

from .facts import NOTHING, Sources, together
from .relations import Relations
from .statement import Described, Output, Statement

Column = tuple[str, str, str]  # schema, table, name
_NO_ROWS_OF_TABLES = frozenset(
    {"show", "set", "transaction", "listen", "notify", "deallocate", "cursor", "maintain", "ddl", "lock"}
)


def origins(
    statement: Statement, described: Sequence[Described], relations: Relations | None
) -> list[tuple[Column, ...] | None]:
    """For each result column, the columns that its value depends on; None when that cannot be told."""
    if not statement.outputs:
        nothing: tuple[Column, ...] | None = () if statement.function in _NO_ROWS_OF_TABLES else None
        return [nothing for _ in described]
    if (relations is None and statement.steps) or (relations is not None and relations.tells(statement)):
        return [None for _ in described]
    if relations is not None and relations.calls(statement.fields):
        relations = None
    return [
        _names(_origin(column, outputs, relations))
        for column, outputs in zip(described, _aligned(statement.outputs, len(described)), strict=True)
    ]


def _origin(column: Described, outputs: Sequence[Output], relations: Relations | None) -> Sources:
    written = together([output.sources for output in outputs] + [output.also for output in outputs])
    if written == NOTHING and not column.table and outputs:
        return NOTHING
    if relations is None or not outputs:
        return None
    if not column.table:
        return relations.tables.expanded(written)
    shown = relations.tables.origin(column.table, column.number)
    if all(output.plain or output.star for output in outputs):
        # The server says which column it is; a name that may mean several need not mean all of them.
        if relations.tables.is_made(column.table, column.number) and not any(output.star for output in outputs):
            return together([shown, relations.tables.expanded(written)])
        return together([shown, relations.tables.expanded(together(output.also for output in outputs))])
    return together([shown, relations.tables.expanded(written)])


def _aligned(outputs: Sequence[Output], count: int) -> list[Sequence[Output]]:
    """For each of `count` columns the outputs that it may be: one, or in the stretch of the stars any of them."""
    stars = [at for at, output in enumerate(outputs) if output.star]
    if not stars:
        return [[output] for output in outputs] if len(outputs) == count else [[] for _ in range(count)]
    head, tail = list(outputs[: stars[0]]), list(outputs[stars[-1] + 1 :])
    between = count - len(head) - len(tail)
    if between < 0:
        return [[] for _ in range(count)]
    middle = outputs[stars[0] : stars[-1] + 1]
    return [*([one] for one in head), *([middle] * between), *([one] for one in tail)]


def _names(sources: Sources) -> tuple[Column, ...] | None:
    # Attack: "my.table".ssn, which is another column once its names are one text.
    return None if sources is None else tuple(sorted((one.schema, one.table, one.column) for one in sources))
