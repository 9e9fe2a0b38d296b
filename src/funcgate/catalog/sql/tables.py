"""Tables and views of a database, and what their columns come from: views undone, parts with what they are parts of.

What it does not know is unknown, not harmless.
"""

from collections.abc import Iterable, Iterator

from funcgate.core.refusal import Refused

from .facts import NOTHING, Sources, together
from .functions import is_telling
from .places import Name
from .statement import Source, Statement
from .tree import Node, children, parse, strings

SYSTEM = frozenset({"pg_catalog", "information_schema"})


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


class Tables:
    """All tables and views, as of one moment: `read` their rows, then `settle`, then ask."""

    def __init__(self) -> None:
        self._by_oid: dict[int, Relation] = {}
        self._by_name: dict[str, list[int]] = {}
        self._views: dict[int, Statement | None] = {}
        self._made_of: list[tuple[Relation, int, str]] = []  # generated columns, until all columns are known

    def read(self, what: str, oid: int, schema: str, name: str, number: int, text: str) -> None:
        """One row of `RELATIONS_SQL`."""
        relation = self._by_oid.setdefault(oid, Relation(schema, name))
        if what == "part":
            relation.parents.append(number)
            return
        relation.schema, relation.name = schema, name
        if what == "column":
            relation.columns[number] = text
        elif what == "view":
            relation.definition = text
        elif what == "made":
            self._made_of.append((relation, number, text))

    def settle(self) -> dict[str, list[str]]:
        """All rows were read. In which schemas there is which name."""
        for relation, at, text in self._made_of:
            relation.made[relation.columns.get(at, "")] = text
        for oid, relation in self._by_oid.items():
            self._by_name.setdefault(relation.name, []).append(oid)
        return {name: [self._by_oid[oid].schema for oid in oids] for name, oids in self._by_name.items()}

    def schemas(self, source: Source) -> list[str]:
        """Those of the tables that the words may mean."""
        found = [self._by_oid[oid].schema for oid in self._by_name.get(source.table, ())]
        return [schema for schema in found if source.schema in ("", schema)]

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
        return None if sources is None else together([self.source(source) for source in sources])

    def names_of(self, source: Source) -> set[str]:
        """Of the columns of all tables that the words may mean."""
        meant = [self._by_oid[oid] for oid in self._by_name.get(source.table, ())]
        return {name for one in meant if source.schema in ("", one.schema) for name in one.columns.values()}

    def all_behind(self, source: Source) -> set[Source]:
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

    def lacking(self, source: Source) -> list[bool]:
        """For each table of that name, whether it is meant and has no such column."""
        return [self._lacks(self._by_oid[oid], source) for oid in self._by_name.get(source.table, ())]

    def _lacks(self, relation: Relation, source: Source) -> bool:
        named = source.schema in ("", relation.schema) and relation.schema not in SYSTEM
        return named and source.column not in relation.columns.values()

    def source(self, source: Source) -> Sources:
        """All columns of tables that the words may mean, in any schema if they name none."""
        return self._source(source, frozenset())

    def _source(self, source: Source, seen: frozenset[int]) -> Sources:
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

    def views_of(self, names: Iterable[Name]) -> Iterator[tuple[str, Statement | None]]:
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
