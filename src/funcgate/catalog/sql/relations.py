"""What a database's own catalogue says of a statement: what is behind its columns, and what it calls without a word of it.

Pure: the SQL is sent by whoever has the connection, and its rows are handed in. What it does not know is unknown, not harmless.
"""

from collections.abc import Iterable, Sequence

from .facts import NOTHING
from .functions import is_harmless
from .places import Places
from .routines import Routines
from .statement import Source, Statement
from .tables import SYSTEM, Tables

_NO_FUNCTIONS = frozenset({"*", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


class Relations:
    """All tables, views, functions and types, as of one moment."""

    def __init__(self, rows: Iterable[Sequence[str | None]]) -> None:
        """From the rows of `RELATIONS_SQL`, in text format. Raises `ValueError`."""
        self.tables = Tables()
        self.routines = Routines()
        self.idle_s: dict[str, float] = {}  # how long the server lets a session be idle, by its setting; 0: for ever
        self.checked: set[int] = set()  # OIDs of types whose checks and casts may write, and of their arrays
        # OIDs: of an enum or domain, of what its values are sent as, of its array.
        self.types: list[tuple[int, int, int]] = []
        path: dict[int, str] = {}
        for row in rows:
            what, oid, schema, name, number, text = ["" if value is None else value for value in row]
            if what == "function":
                volatile, alike = text[:1] == "v", text[1:] == "="
                self.routines.add(schema, name, int(oid), int(number), volatile=volatile, alike=alike)
            elif what == "own":
                self.routines.own.add(name)
            elif what == "checked":
                self.checked |= {int(oid), int(number)}
            elif what == "type":
                self.types.append((int(oid), int(text), int(number)))
            elif what == "path":
                path[int(number)] = schema
            elif what == "idle":
                self.idle_s[schema] = float(number or 0)  # older servers do not know both
            else:
                self.tables.read(what, int(oid), schema, name, int(number), text)
        self.routines.path = [schema for _, schema in sorted(path.items())]
        self.places = Places(self.tables.settle(), self.routines.path)

    def behind(self, statement: Statement) -> dict[str, list[str]]:
        """What is behind its `columns`, `filter_columns` and `written_columns` under other names (``schema.table.column``),
        sorted: that of whole rows, of views, and of functions that are written as columns.

        Attack: WHERE number = '…' on a view of people, or NATURAL JOIN, where a policy looks for people.ssn. Or
        SELECT 1 / strpos(number, '7') of that view, which tells by failing.
        """
        # Attack: SELECT p.parts_of FROM people p, (ssn).parts: functions that return as many rows as there are parts.
        rows = frozenset(one for one in statement.fields if self._computed(one))
        if self.tells(statement):
            rows |= statement.stepped_on
        found = {
            "columns": self._behind(statement.columns, rows) | self._decided_by(statement),
            "filter_columns": self._behind(statement.filters, rows),
            "written_columns": self._behind(statement.written, NOTHING),
        }
        return {name: sorted(map(str, sources)) for name, sources in found.items() if sources}

    def _behind(self, told: frozenset[Source], rows: frozenset[Source]) -> set[Source]:
        """What is behind those that are told, and the rows with what is behind them."""
        found = set(rows - told)
        for source in told | rows:
            under = self._under(source, named=source in rows)
            found |= {one for one in under if (one.table, one.column) != (source.table, source.column)}
        return found

    def _decided_by(self, statement: Statement) -> set[Source]:
        """What the conditions of its views look at, and of the views in them: what rows they have tells of it.

        Attack: SELECT seen FROM a view of EXISTS (SELECT 1 FROM people WHERE ssn = note), after writing a guess into note.
        """
        found: set[Source] = set()
        for _, view in self.tables.views_of(statement.read_names | statement.written_names):
            if view is not None:
                found |= {one for each in view.filters for one in self._under(each, named=each in view.fields)}
        return found

    def _under(self, source: Source, *, named: bool) -> set[Source]:
        """What a column, a whole row or a function of one is made of. `named`: as ``table.name``; a bare name is no function, and
        where several tables may have it one that has not does not count."""
        found: set[Source] = set()
        # Attack: WHERE p.ssn_of = '…', a function that looks at the whole row.
        whole = source.column == "*" or (named and self._computed(source))
        for name in self.tables.names_of(source) if whole else [source.column]:
            seen = self.tables.source(Source(source.schema, source.table, name))
            found |= self.tables.all_behind(source) if seen is None else seen
        return found

    def calls(self, fields: Iterable[Source]) -> bool:
        """Whether one of these, written as ``name.field``, is no column of it.

        Attack: a function in the clothes of a column, p.ssn_of.
        """
        return any(any(self.tables.lacking(source)) for source in fields if source.column not in _NO_FUNCTIONS)

    def _computed(self, source: Source) -> bool:
        """Whether ``table.name`` is a function of the row: no table of that name has such a column, or one of several has none
        and there is such a function."""
        lacking = self.tables.lacking(source)
        unsure = any(lacking) and (self.routines.has(source.column) or is_harmless((source.column,)))
        return source.column not in _NO_FUNCTIONS and (unsure or (bool(lacking) and all(lacking)))

    def hidden_calls(self, statement: Statement) -> frozenset[str]:
        """What the statement calls without a word of it and may write: functions in views, and functions written as columns.

        Attack: SELECT * FROM a_view, which deletes; UPDATE a_view, whose own condition deletes.
        """
        found = set(self.disguised(statement))
        found |= {name for called, given in statement.bare_calls for name in self.routines.in_place(called, given)}
        for name, view in self.tables.views_of(statement.read_names | statement.written_names):
            if view is None:
                found.add(f"view {name}")
                continue
            found |= {called for called in view.args["volatile_functions"] if self.routines.writes(called)}
            # Attack: a view that says lower(id), which its maker's path finds in public.
            found |= {called for bare, given in view.bare_calls for called in self.routines.in_place(bare, given)}
        return frozenset(found)

    def _unsure(self, fields: Iterable[Source]) -> frozenset[str]:
        """Names behind a table whose columns are not known: one of the system's, or one that was made since.

        Attack: SELECT c.wipe FROM pg_class c, where wipe takes anything.
        """
        out: set[str] = set()
        for source in fields:
            meant = self.tables.schemas(source)
            if source.column not in _NO_FUNCTIONS and (not meant or not SYSTEM.isdisjoint(meant)):
                out.add(source.column)
        return frozenset(out)

    def disguised(self, statement: Statement) -> frozenset[str]:
        """Functions that may write and are written as columns of a table, or as fields of a value."""
        columns = (one.column for one in statement.fields if self.calls([one]) and self.routines.writes(one.column))
        steps = (step for step in statement.steps | self._unsure(statement.fields) if self.routines.step_writes(step))
        return frozenset([*(f"{name} as a column" for name in columns), *(f"{name} as a field" for name in steps)])

    def tells(self, statement: Statement) -> bool:
        """Whether a name in it, as a field of something, may be a function whose result comes from anywhere.

        Attack: SELECT (1).ssn_of_id.
        """
        return any(self.routines.step_tells(step) for step in statement.steps | self._unsure(statement.fields))
