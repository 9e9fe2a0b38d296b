"""Which names mean what inside a query: tables, aliases, subqueries, common table expressions, and the columns that they have.

A name that may mean several columns means all of them: what is found is never less than what PostgreSQL finds.
"""

from collections.abc import Iterator, Sequence

from msgspec import structs

from .facts import NOTHING, Sources, known, together
from .statement import Output, Source


class Rel:
    """Something with columns. A table has `table`; anything else has `outputs`. `renamed` are the names that an alias gives to
    its first columns; `rest` is what a column comes from that is not among the outputs."""

    __slots__ = ("name", "outputs", "renamed", "rest", "schema", "table")

    def __init__(
        self,
        name: str,
        *,
        schema: str = "",
        table: str = "",
        outputs: Sequence[Output] = (),
        renamed: Sequence[str] = (),
        rest: Sources = NOTHING,
    ) -> None:
        self.name, self.schema, self.table = name, schema, table
        self.outputs, self.renamed, self.rest = tuple(outputs), tuple(renamed), rest

    def column(self, name: str) -> Sources:
        """What a column of this name would come from; nothing if there is none."""
        return together(self.candidates(name))

    def candidates(self, name: str) -> list[Sources]:
        """All that a column of this name may come from."""
        if name in self.renamed:
            at = self.renamed.index(name)
            if self.table or any(output.star for output in self.outputs) or at >= len(self.outputs):
                return self.parts()
            return [self.outputs[at].sources]
        if self.table:
            return [frozenset({Source(self.schema, self.table, name)})]
        return [self.rest, *(_of(output, name) for output in self.outputs if output.name in (name, "") or output.star)]

    def has(self, name: str) -> bool:
        """Whether it has a column of this name for certain. What a table has the database tells: see `Relations.calls`."""
        return (
            bool(self.table) or name in self.renamed or any(one.name == name and not one.star for one in self.outputs)
        )

    def called(self, name: str) -> list[Sources]:
        """Those of them that the name is called of here."""
        return self.candidates(name) if self.table else [_of(output, name) for output in self.outputs if output.star]

    def parts(self) -> list[Sources]:
        """What the row as a whole comes from."""
        if self.table:
            return [frozenset({Source(self.schema, self.table, "*")})]
        return [self.rest, *(output.sources for output in self.outputs)]

    def all(self) -> Sources:
        """What the row as a whole comes from, together."""
        return together(self.parts())

    def star(self) -> list[Output]:
        """Its columns, as ``*`` shows them."""
        if self.table or self.renamed or self.rest != NOTHING or not self.outputs:
            return [Output("", self.all(), star=True)]
        return [structs.replace(output, plain=output.plain or output.star) for output in self.outputs]


def _of(output: Output, name: str) -> Sources:
    if not output.star or output.sources is None:
        return output.sources
    return frozenset(Source(s.schema, s.table, name) if s.column == "*" else s for s in output.sources)


class Scope:
    """The relations of one query, inside of those around it."""

    def __init__(self, parent: "Scope | None" = None) -> None:
        self.parent = parent
        self.ctes: dict[str, Rel] = {}
        self.rels: list[Rel] = []
        self.windows: Sources = NOTHING  # what those of its WINDOW clause come from

    def around(self) -> Iterator["Scope"]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def cte(self, name: str) -> Rel | None:
        return next((scope.ctes[name] for scope in self.around() if name in scope.ctes), None)

    def column(self, path: Sequence[str]) -> Sources:
        """What a column reference may mean. `path` is as it is written, a star at its end as ``*``."""
        return together(self.candidates(path))

    def candidates(self, path: Sequence[str]) -> list[Sources]:
        """All that a column reference may mean."""
        *qualifier, name = path
        rels = [rel for scope in self.around() for rel in scope.rels]
        if not qualifier:
            if name == "*":
                return [part for rel in self.rels for part in rel.parts()]
            whole = [part for rel in rels if rel.name == name for part in rel.parts()]  # a row, by its table's name
            return [*whole, *(one for rel in rels for one in rel.candidates(name))]
        found = [rel for rel in rels if _means(rel, qualifier)]
        if not found:
            # a.b may be a field of the column a as well; whatever it is, it is in one of these
            return [*self.candidates(qualifier[:1]), frozenset({_written(qualifier, name)})]
        return [one for rel in found for one in (rel.parts() if name == "*" else rel.candidates(name))]

    def fields(self, path: Sequence[str]) -> frozenset[Source]:
        """What a qualified name means of a table here, ``table.name``: a column, or a function of the row. What a query
        inside hands on is noted in there, where a bare name is no function of any row."""
        *qualifier, name = path
        found = [rel for scope in self.around() for rel in scope.rels if _means(rel, qualifier)]
        if not found:
            return known(self.candidates(path))
        return known(one for rel in found for one in (rel.parts() if name == "*" else rel.called(name)))

    def has(self, path: Sequence[str]) -> bool:
        """Whether a qualified name is that of a column, whichever of the relations around it means."""
        *qualifier, name = path
        found = [rel for scope in self.around() for rel in scope.rels if _means(rel, qualifier)]
        return bool(found) and all(rel.has(name) for rel in found)

    def star(self, qualifier: Sequence[str]) -> list[Output]:
        """The columns that ``*`` or ``name.*`` stands for."""
        rels = (
            [rel for scope in self.around() for rel in scope.rels if _means(rel, qualifier)] if qualifier else self.rels
        )
        if not rels:
            return [Output("", self.column([*qualifier, "*"]), star=True)]
        return [output for rel in rels for output in rel.star()]


def _means(rel: Rel, qualifier: Sequence[str]) -> bool:
    if len(qualifier) == 1:
        return rel.name == qualifier[0]
    return rel.table == qualifier[-1] and rel.schema in ("", qualifier[-2])


def _written(qualifier: Sequence[str], name: str) -> Source:
    return Source(qualifier[-2] if len(qualifier) > 1 else "", qualifier[-1], name)
