"""What a database's own catalogue says of tables and views: names behind OIDs, and what views are made of.

Pure: the SQL is sent by whoever has the connection, and its rows are handed in.
"""

from collections.abc import Sequence

from .statement import Described, Source, Statement

RELATIONS_SQL = ""


class Relations:
    """All tables, views and their columns, as of one moment."""

    def __init__(self, rows: Sequence[Sequence[str | None]]) -> None:
        """From the rows of `RELATIONS_SQL`, in text format. Raises `ValueError`."""


def origins(
    statement: Statement, described: Sequence[Described], relations: Relations | None
) -> list[list[str] | None]:
    """For each result column, the columns that its value depends on (``schema.table.column``); None when that cannot be told."""
    raise NotImplementedError
