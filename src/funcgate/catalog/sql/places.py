"""Which table a bare name means in a session: the first schema of its search path that has one. What it cannot tell it spells
with every schema that has one, and with ``?`` for those that nobody knows of.

Pure: what schemas there are is for tables.py to say.
"""

from collections.abc import Iterable, Mapping, Sequence

Name = tuple[str, str]  # schema, "" where none was written, and table

UNKNOWN, TEMPORARY = "?", "pg_temp"


class Places:
    """The schemas of one session. `schemas` are those in which a name is known, `path` the search path as it works
    (``current_schemas(true)``), the first first."""

    def __init__(self, schemas: Mapping[str, Sequence[str]], path: Sequence[str]) -> None:
        self._schemas = schemas
        self.path = tuple(path)
        self._temporary = next((schema for schema in path if _is_temporary(schema)), "")
        self._making = next((each for each in path if each != "pg_catalog" and not _is_temporary(each)), UNKNOWN)

    def full(self, names: Iterable[Name], *, certain: bool, making: bool) -> list[str]:
        """``schema.table`` for each name, sorted; several for one that may be several. `certain` False: the path, or the tables,
        may be others by now. `making`: the statement may make what it names."""
        found: set[str] = set()
        for schema, table in names:
            if schema:
                found.add(self._spelled(schema, table))
                continue
            there = self._schemas.get(table, ())
            if not certain:
                # Attack: another search_path, or a temporary table, in the same text or before the database can be asked again.
                found |= {self._spelled(each, table) for each in (*there, UNKNOWN)}
                continue
            first = next((each for each in self.path if each in there), None)
            found.add(self._spelled(first or self._making, table))
            if making:
                found.add(self._spelled(self._making, table))
        return sorted(found)

    def _spelled(self, schema: str, table: str) -> str:
        own = schema == TEMPORARY or schema == self._temporary
        return f"{TEMPORARY if own else quoted(schema)}.{quoted(table)}"


def quoted(name: str) -> str:
    """Attack: a table whose name is ``public.orders``, with the dot in it."""
    return '"' + name.replace('"', '""') + '"' if "." in name or '"' in name else name


def as_written(names: Iterable[Name]) -> list[str]:
    """Where no session is known."""
    return sorted({f"{quoted(schema) if schema else UNKNOWN}.{quoted(table)}" for schema, table in names})


def _is_temporary(schema: str) -> bool:
    return schema == TEMPORARY or schema.startswith("pg_temp_")
