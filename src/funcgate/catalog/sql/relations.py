"""What a database's own catalogue says of tables and views: names behind OIDs, what views are made of, which tables are parts.

Pure: the SQL is sent by whoever has the connection, and its rows are handed in. What it does not know is unknown, not harmless.
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from funcgate.core.refusal import Refused

from .facts import NOTHING, Sources, together
from .functions import is_harmless, is_telling
from .places import Name, Places
from .statement import Source, Statement
from .tree import Node, children, parse, strings

SYSTEM = frozenset({"pg_catalog", "information_schema"})
_NO_FUNCTIONS = frozenset({"*", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})


class _Writing(Struct, frozen=True):
    """A function that may write and is not PostgreSQL's: how many arguments it takes, and whether one of these has the same."""

    schema: str
    least: int
    most: int
    alike: bool


class Relation:
    """One table or view. `definition` is the text of a view, "" for a table; `parents` are what it is a part of; `made` are the
    expressions of generated columns, by name."""

    __slots__ = ("columns", "definition", "made", "name", "parents", "schema")

    def __init__(self, schema: str, name: str) -> None:
        self.schema, self.name = schema, name
        self.columns: dict[int, str] = {}
        self.definition = ""
        self.parents: list[int] = []
        self.made: dict[str, str] = {}


def _may_hold_values(relation: Relation) -> bool:
    """Whether a relation of the system's may hold values of others: statistics, statements, settings."""
    return is_telling(relation.schema, relation.name) or relation.name == "pg_settings"


class Relations:
    """All tables and views, as of one moment."""

    def __init__(self, rows: Iterable[Sequence[str | None]]) -> None:
        """From the rows of `RELATIONS_SQL`, in text format. Raises `ValueError`."""
        self._by_oid: dict[int, Relation] = {}
        self._by_name: dict[str, list[int]] = {}
        self._views: dict[int, Statement | None] = {}
        self._volatile: dict[tuple[str, str], bool] = {}  # by schema and name, and by ("", name) for any schema
        self._writing: dict[str, list[_Writing]] = {}
        self.idle_s: dict[str, float] = {}  # how long the server lets a session be idle, by its setting; 0: for ever
        self.checked: set[int] = set()  # OIDs of types whose checks and casts may write, and of their arrays
        # OIDs: of an enum or domain, of what its values are sent as, of its array.
        self.types: list[tuple[int, int, int]] = []
        self._own: set[str] = set()  # PostgreSQL's own of one argument that may write
        path: dict[int, str] = {}
        made: list[tuple[Relation, int, str]] = []
        for row in rows:
            what, number_of, schema, name, number, text = ["" if value is None else value for value in row]
            if what == "function":
                for key in ((schema, name), ("", name)):
                    self._volatile[key] = self._volatile.get(key, False) or text[:1] == "v"
                if text[:1] == "v":
                    found = _Writing(schema, int(number_of), int(number), text[1:] == "=")
                    self._writing.setdefault(name, []).append(found)
                continue
            if what == "own":
                self._own.add(name)
                continue
            if what == "checked":
                self.checked |= {int(number_of), int(number)}
                continue
            if what == "type":
                self.types.append((int(number_of), int(text), int(number)))
                continue
            if what == "path":
                path[int(number)] = schema
                continue
            if what == "idle":
                self.idle_s[schema] = float(number or 0)  # older servers do not know both
                continue
            relation = self._by_oid.setdefault(int(number_of), Relation(schema, name))
            if what == "part":
                relation.parents.append(int(number))
                continue
            relation.schema, relation.name = schema, name
            if what == "column":
                relation.columns[int(number)] = text
            elif what == "view":
                relation.definition = text
            elif what == "made":
                made.append((relation, int(number), text))
        for relation, at, text in made:
            relation.made[relation.columns.get(at, "")] = text
        for oid, relation in self._by_oid.items():
            self._by_name.setdefault(relation.name, []).append(oid)
        schemas = {name: [self._by_oid[oid].schema for oid in oids] for name, oids in self._by_name.items()}
        self.places = Places(schemas, [schema for _, schema in sorted(path.items())])

    def origin(self, oid: int, number: int) -> Sources:
        """What the column behind an OID and an attribute number comes from."""
        relation = self._by_oid.get(oid)
        if relation is None:
            return None  # a table that was made since
        if relation.schema in SYSTEM:
            return None if _may_hold_values(relation) else NOTHING
        column = relation.columns.get(number)
        return None if column is None else self._column(oid, column, frozenset())

    def is_made(self, oid: int, number: int) -> bool:
        """Whether the column may be made of others of its table: a generated one, or one of a view."""
        relation = self._by_oid.get(oid)
        return relation is None or bool(relation.definition) or relation.columns.get(number) in relation.made

    def expanded(self, sources: Sources) -> Sources:
        """Written sources as columns of tables: views undone, parts with what they are parts of."""
        return None if sources is None else together([self._source(source, frozenset()) for source in sources])

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
        for _, view in self._views_of(statement.read_names | statement.written_names):
            if view is not None:
                found |= {one for each in view.filters for one in self._under(each, named=each in view.fields)}
        return found

    def _under(self, source: Source, *, named: bool) -> set[Source]:
        """What a column, a whole row or a function of one is made of. `named`: as ``table.name``; a bare name is no function, and
        where several tables may have it one that has not does not count."""
        found: set[Source] = set()
        # Attack: WHERE p.ssn_of = '…', a function that looks at the whole row.
        whole = source.column == "*" or (named and self._computed(source))
        for name in self._names_of(source) if whole else [source.column]:
            seen = self._source(Source(source.schema, source.table, name), frozenset())
            found |= self._all_behind(source) if seen is None else seen
        return found

    def _all_behind(self, source: Source) -> set[Source]:
        """All columns of the tables that are behind a view. Attack: a view that shows my_function(ssn), and a condition on it."""
        reads, done, found = [(source.schema, source.table)], set[int](), set[Source]()
        while reads:
            schema, name = reads.pop()
            for oid in self._by_name.get(name, ()):
                relation = self._by_oid[oid]
                if oid in done or schema not in ("", relation.schema):
                    continue
                done.add(oid)
                view = self._view(oid) if relation.definition else None
                reads += view.read_names if view is not None else ()
                for column in relation.columns.values() if view is None else ():
                    found |= self._column(oid, column, frozenset()) or NOTHING
        return found

    def _names_of(self, source: Source) -> set[str]:
        """Of the columns of all tables that the words may mean."""
        meant = [self._by_oid[oid] for oid in self._by_name.get(source.table, ())]
        return {name for one in meant if source.schema in ("", one.schema) for name in one.columns.values()}

    def calls(self, fields: Iterable[Source]) -> bool:
        """Whether one of these, written as ``name.field``, is no column of it.

        Attack: a function in the clothes of a column, p.ssn_of.
        """
        return any(
            any(self._lacks(oid, source) for oid in self._by_name.get(source.table, ()))
            for source in fields
            if source.column not in _NO_FUNCTIONS
        )

    def _computed(self, source: Source) -> bool:
        """Whether ``table.name`` is a function of the row: no table of that name has such a column, or one of several has none
        and there is such a function."""
        lacking = [self._lacks(oid, source) for oid in self._by_name.get(source.table, ())]
        unsure = any(lacking) and (("", source.column) in self._volatile or is_harmless((source.column,)))
        return source.column not in _NO_FUNCTIONS and (unsure or (bool(lacking) and all(lacking)))

    def _lacks(self, oid: int, source: Source) -> bool:
        relation = self._by_oid[oid]
        named = source.schema in ("", relation.schema) and relation.schema not in SYSTEM
        return named and source.column not in relation.columns.values()

    def _source(self, source: Source, seen: frozenset[int]) -> Sources:
        """All columns that the words may mean, in any schema if they name none."""
        found: list[Sources] = []
        for oid in self._by_name.get(source.table, ()):
            relation = self._by_oid[oid]
            if source.schema and source.schema != relation.schema:
                continue
            if relation.schema in SYSTEM:
                found.append(None if _may_hold_values(relation) else NOTHING)
            elif source.column == "*":
                found += [self._column(oid, column, seen) for column in relation.columns.values()]
            elif source.column in relation.columns.values():
                found.append(self._column(oid, source.column, seen))
            else:
                found.append(NOTHING)  # of the columns that the word may mean, this is none
        return together(found) if found else None

    def _column(self, oid: int, column: str, seen: frozenset[int]) -> Sources:
        if oid in seen:
            return None
        relation = self._by_oid[oid]
        own = frozenset({Source(relation.schema, relation.name, column)})
        parents = [self._column(parent, column, seen | {oid}) for parent in relation.parents if parent in self._by_oid]
        if not relation.definition:
            return together([own, *parents, *self._made(oid, column, seen)])
        view = self._view(oid)
        outputs = view.outputs if view is not None else ()
        names = list(relation.columns.values())
        if len(outputs) != len(names) or any(output.star for output in outputs):
            return None
        behind = outputs[names.index(column)].sources
        if behind is None:
            return None
        return together([own, *(self._source(source, seen | {oid}) for source in behind)])

    def _made(self, oid: int, column: str, seen: frozenset[int]) -> list[Sources]:
        """What a generated column is made of: all columns that its expression names, whatever functions look at them."""
        if column not in (made := self._by_oid[oid].made):
            return []
        try:
            ((_, tree, _),) = parse(f"SELECT {made[column]}")
        except (Refused, ValueError):
            return [None]
        return [NOTHING if name == column else self._column(oid, name, seen) for name in _named(tree)]

    def hidden_calls(self, statement: Statement) -> frozenset[str]:
        """What the statement calls without a word of it and may write: functions in views, and functions written as columns.

        Attack: SELECT * FROM a_view, which deletes.
        """
        found = set(self.disguised(statement))
        found |= {name for called, given in statement.bare_calls for name in self._in_its_place(called, given)}
        for name, view in self._views_of(statement.read_names):
            if view is None:
                found.add(f"view {name}")
                continue
            found |= {called for called in view.args["volatile_functions"] if self._writes(called)}
            # Attack: a view that says lower(id), which its maker's path finds in public.
            found |= {called for bare, given in view.bare_calls for called in self._in_its_place(bare, given)}
        return frozenset(found)

    def _views_of(self, names: Iterable[Name]) -> Iterator[tuple[str, Statement | None]]:
        """The views that the names may mean, and those in them; None for one that cannot be read."""
        reads, done = list(names), set[int]()
        while reads:
            schema, name = reads.pop()
            for oid in self._by_name.get(name, ()):
                relation = self._by_oid[oid]
                if oid in done or not relation.definition or schema not in ("", relation.schema):
                    continue
                done.add(oid)
                view = self._view(oid)
                reads += view.read_names if view is not None else ()
                yield name, view

    def _unsure(self, fields: Iterable[Source]) -> frozenset[str]:
        """Names behind a table whose columns are not known: one of the system's, or one that was made since.

        Attack: SELECT c.wipe FROM pg_class c, where wipe takes anything.
        """
        out: set[str] = set()
        for source in fields:
            found = [self._by_oid[oid].schema for oid in self._by_name.get(source.table, ())]
            meant = [schema for schema in found if source.schema in ("", schema)]
            if source.column not in _NO_FUNCTIONS and (not meant or not SYSTEM.isdisjoint(meant)):
                out.add(source.column)
        return frozenset(out)

    def disguised(self, statement: Statement) -> frozenset[str]:
        """Functions that may write and are written as columns of a table, or as fields of a value."""
        columns = (one.column for one in statement.fields if self.calls([one]) and self._writes(one.column))
        steps = (step for step in statement.steps | self._unsure(statement.fields) if self._may_write(step))
        return frozenset([*(f"{name} as a column" for name in columns), *(f"{name} as a field" for name in steps)])

    def _may_write(self, step: str) -> bool:
        """Whether ``(value).step`` may be a call that writes: of PostgreSQL's own functions, or of one that the path finds."""
        return (step in self._own and not is_harmless((step,))) or bool(self._in_its_place(step, 1))

    def tells(self, statement: Statement) -> bool:
        """Whether a name in it, as a field of something, may be a function whose result comes from anywhere.

        Attack: SELECT (1).ssn_of_id.
        """
        return any(
            step == "current_setting" or step in self._own or ("", step) in self._volatile
            for step in statement.steps | self._unsure(statement.fields)
        )

    def _in_its_place(self, called: str, given: int) -> list[str]:
        """Functions and operators that may write, and may run where one of PostgreSQL's own is called without its schema.

        Attack: lower(varchar) in public, which deletes: it fits better than lower(text). Or a search_path with pg_catalog last.
        Or sum(text), an aggregate, which PostgreSQL calls immutable whatever it is made of. Or 'a'::text + 'b'.
        """
        path = self.places.path
        ahead = frozenset(path[: path.index("pg_catalog")]) if "pg_catalog" in path else frozenset(path)
        return [
            f"{other.schema}.{called}"
            for other in self._writing.get(called, ())
            if (given < 0 or other.least <= given <= other.most)
            and (other.schema in ahead or (other.schema in path and not other.alike))
        ]

    def _writes(self, name: str) -> bool:
        """Whether a function may write. Those of the owner's making that are declared STABLE or IMMUTABLE may not: PostgreSQL
        itself holds them to it."""
        *schema, last = name.split(".")
        return self._volatile.get((schema[-1] if schema else "", last), True)

    def _view(self, oid: int) -> Statement | None:
        """The statement that a view is; None when its definition cannot be read."""
        if oid not in self._views:
            from .catalog import analyse  # the catalogue knows this module

            try:
                (self._views[oid],) = analyse(self._by_oid[oid].definition)
            except (Refused, ValueError):
                self._views[oid] = None
        return self._views[oid]


def _named(fields: Node) -> set[str]:
    """The last names of all columns in a tree."""
    found: set[str] = set()
    for _, kind, inner in children(fields):
        found |= {strings(inner.get("fields"))[-1]} if kind == "ColumnRef" else _named(inner)
    return found
