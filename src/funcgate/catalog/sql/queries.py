"""Reads queries: where their columns come from, and what they do on the way. Statements that write rows: see writes.py.

Clauses that are not in its tables are refused.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from .expressions import Expressions
from .facts import NOTHING, Facts, Sources, known, together
from .scope import Rel, Scope
from .statement import Output
from .tree import Node, children, node_of, refused, strings
from .writes import Writes, Written

# P8: the clauses that are read. One that is not among them may hold anything.
_CLAUSES: Mapping[str, frozenset[str]] = {
    "SelectStmt": frozenset({
        "withClause", "intoClause", "targetList", "fromClause", "whereClause", "groupClause", "groupDistinct", "havingClause",
        "windowClause", "valuesLists", "sortClause", "limitCount", "limitOffset", "limitOption", "lockingClause", "op", "all",
        "larg", "rarg", "distinctClause",
    }),
    "InsertStmt": frozenset({
        "relation", "cols", "selectStmt", "onConflictClause", "returningClause", "withClause", "override",
    }),
    "UpdateStmt": frozenset({"relation", "targetList", "whereClause", "fromClause", "returningClause", "withClause"}),
    "DeleteStmt": frozenset({"relation", "usingClause", "whereClause", "returningClause", "withClause"}),
    "MergeStmt": frozenset({
        "relation", "sourceRelation", "joinCondition", "mergeWhenClauses", "returningClause", "withClause",
    }),
}  # fmt: skip
_BY_OUTPUT = frozenset({"sortClause", "groupClause", "distinctClause"})
_FILTERS = (
    "whereClause",
    "groupClause",
    "havingClause",
    "sortClause",
    "distinctClause",
    "limitCount",
    "limitOffset",
)


class Queries:
    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._expressions = Expressions(facts, self)
        self._writes = Writes(facts, self)

    def expression(self, wrapped: Any, scope: Scope, *, filtering: bool = False) -> Sources:
        return self._expressions.read(wrapped, scope, filtering=filtering)

    def rows(self, kind: str, fields: Node, scope: Scope | None) -> list[Output]:
        """The result columns of a statement that reads or writes rows. Raises `Refused` for what is none."""
        self._facts.step()
        if kind not in _CLAUSES:
            raise refused(f"a statement that is not known here ({kind or 'none'})")
        if unknown := fields.keys() - _CLAUSES[kind]:
            raise refused(f"a clause that is not known ({', '.join(sorted(unknown))})")
        inner = Scope(scope)
        self._with(fields.get("withClause"), inner)
        copied = self._facts.copied
        outputs = self._select(fields, inner) if kind == "SelectStmt" else self._writes.rows(kind, fields, inner)
        if copied == NOTHING:
            return outputs
        # Attack: WITH w AS (UPDATE … SET note = ssn RETURNING note) SELECT note FROM w, or UPDATE … FROM w RETURNING w.*: the
        # server says that it is note.
        return [structs.replace(one, also=together([one.also, copied])) for one in outputs]

    def _select(self, fields: Node, scope: Scope) -> list[Output]:
        facts = self._facts
        facts.verbs.add("select")
        if "intoClause" in fields:
            self._into(fields["intoClause"])
        if "lockingClause" in fields:
            # Attack: FOR UPDATE in a SELECT takes locks that hold up everybody who writes.
            facts.verbs.add("lock")
        if fields.get("op", "SETOP_NONE") != "SETOP_NONE":
            outputs = _merged(
                self.rows("SelectStmt", fields["larg"], scope), self.rows("SelectStmt", fields["rarg"], scope)
            )
            if not (fields["op"] == "SETOP_UNION" and fields.get("all")):
                # Attack: SELECT count(*) FROM (SELECT ssn FROM people INTERSECT VALUES ('…')) q: a condition without a WHERE.
                for output in outputs:
                    self._facts.saw(output.sources, filtering=True)
        elif "valuesLists" in fields:
            outputs = self._values(fields["valuesLists"], scope)
        else:
            for item in fields.get("fromClause", ()):
                scope.rels += self.source(item, scope)
            # Attack: SELECT rank() OVER w … WINDOW w AS (ORDER BY ssn), which is rank() OVER (ORDER BY ssn).
            scope.windows = self.expression(fields.get("windowClause", []), scope, filtering=True)
            outputs = self.targets(fields.get("targetList", ()), scope)
        self._filters(fields, scope, outputs)
        return outputs

    def _filters(self, fields: Node, scope: Scope, outputs: list[Output]) -> None:
        named = Scope(scope)
        named.rels.append(Rel("", outputs=outputs))
        for clause in _FILTERS:
            if clause not in fields:
                continue
            # What is returned may be named, or numbered, in these alone.
            self.expression(fields[clause], named if clause in _BY_OUTPUT else scope, filtering=True)
            numbered = clause in _BY_OUTPUT and any(_is_number(item) for item in fields[clause])
            if numbered or (clause == "distinctClause" and not any(fields[clause])):
                for output in outputs:
                    self._facts.saw(output.sources, filtering=True)

    def _into(self, clause: Node) -> None:
        relation = clause.get("rel", {})
        self._facts.verbs.add("ddl")
        temporary = relation.get("relpersistence") == "t"
        self._facts.written(relation.get("schemaname", ""), relation.get("relname", ""), temporary)

    def _values(self, lists: list[Any], scope: Scope) -> list[Output]:
        rows = [[self.expression(item, scope) for item in node_of(row)[1].get("items", ())] for row in lists]
        width = max(map(len, rows), default=0)
        return [Output(f"column{at + 1}", together(row[at] for row in rows if at < len(row))) for at in range(width)]

    def targets(self, items: Any, scope: Scope, written: Written | None = None) -> list[Output]:
        """The columns of a target list. `written` is what the statement puts into the columns that it returns."""
        out: list[Output] = []
        for item in items:
            fields = node_of(item)[1]
            kind, value = node_of(fields.get("val"))
            path = strings(value.get("fields")) if kind == "ColumnRef" else ()
            if path[-1:] == ("*",):
                candidates = scope.candidates(path)
                self._facts.saw(together(candidates), filtering=False, told=known(candidates))
                also = together(written.values()) if written else NOTHING
                # Attack: WITH w AS (… RETURNING *) INSERT … SELECT note FROM w RETURNING: what was put there goes on.
                out += [
                    structs.replace(output, sources=together([output.sources, also]), also=also)
                    for output in scope.star(path[:-1])
                ]
                continue
            sources = self.expression(fields.get("val"), scope)
            also = self._also(path, written, scope)
            # (row).* are as many columns as the row has
            spread = kind == "A_Indirection" and any(
                node_of(step)[0] == "A_Star" for step in value.get("indirection", ())
            )
            name = fields.get("name", path[-1] if path else "")
            # Attack: RETURNING a generated column, or another one of a view, that is made of the one that was written.
            put = together(written.values()) if written else NOTHING
            out.append(Output(name, together([sources, put]), star=spread, plain=bool(path), also=also))
        return out

    def _also(self, path: tuple[str, ...], written: Written | None, scope: Scope) -> Sources:
        # Attack: copy a masked column into another one and read that in the same breath: UPDATE … SET note = ssn RETURNING note.
        if not written:
            return NOTHING
        # Attack: RETURNING people, the row as a whole, by the name of its table.
        if not path or any(rel.name == path[-1] for around in scope.around() for rel in around.rels):
            return together(written.values())
        return together([written.get(path[-1], NOTHING), written.get("*", NOTHING)])

    def source(self, wrapped: Any, scope: Scope) -> list[Rel]:
        """What one item of FROM adds to the scope."""
        kind, fields = node_of(wrapped)
        alias = fields.get("alias", {})
        name, renamed = alias.get("aliasname", ""), strings(alias.get("colnames"))
        if kind == "RangeVar":
            return [self.relation(fields, scope)]
        if kind == "RangeSubselect":
            return [Rel(name, outputs=self.rows(*node_of(fields["subquery"]), scope), renamed=renamed)]
        if kind == "JoinExpr":
            return self._join(fields, scope, name, renamed)
        if kind == "RangeTableSample":
            # The sampling method is a function, too.
            if strings(fields.get("method")) not in (("system",), ("bernoulli",)):
                self._facts.called(strings(fields.get("method")))
            self.expression([*fields.get("args", ()), fields.get("repeatable")], scope, filtering=True)
            return self.source(fields["relation"], scope)
        if kind in ("RangeFunction", "RangeTableFunc", "JsonTable"):
            return [Rel(name or _called(fields), renamed=renamed, rest=self._deep(fields, scope))]
        raise refused(f"a source of rows that is not known ({kind})")

    def _deep(self, fields: Node, scope: Scope) -> Sources:
        """All expressions in a function or a table made of JSON or XML."""
        out: list[Sources] = []
        if "typeName" in fields:
            # Attack: json_to_record(…) AS r(a positive), a domain with a CHECK.
            self._facts.typed(strings(fields["typeName"].get("names")))
        for name, kind, inner in children(fields):
            if kind in ("RangeTableFuncCol", "JsonTableColumn", "ColumnDef", "List", "") and name != "alias":
                out.append(self._deep(inner, scope))
            elif kind:
                # Attack: FROM people, regexp_matches(ssn, '^1'): there are rows only where it matches.
                out.append(self._expressions.node(kind, inner, scope, True))
        return together(out)

    def relation(self, fields: Node, scope: Scope) -> Rel:
        """A table or view, or the common table expression that goes by its name."""
        schema, table = fields.get("schemaname", ""), fields.get("relname", "")
        if "catalogname" in fields:
            raise refused("a table with the name of a database")
        alias = fields.get("alias", {})
        name, renamed = alias.get("aliasname", table), strings(alias.get("colnames"))
        cte = scope.cte(table) if not schema else None
        if cte is not None:
            if renamed:
                return Rel(name, outputs=cte.star(), renamed=renamed, rest=cte.rest)
            return Rel(name, outputs=cte.outputs, renamed=cte.renamed, rest=cte.rest)
        self._facts.read(schema, table)
        return Rel(name, schema=schema, table=table, renamed=renamed)

    def _join(self, fields: Node, scope: Scope, name: str, renamed: tuple[str, ...]) -> list[Rel]:
        inner = Scope(scope)
        inner.rels += self.source(fields["larg"], inner)
        inner.rels += self.source(fields["rarg"], inner)
        self.expression(fields.get("quals"), inner, filtering=True)
        used = strings(fields.get("usingClause"))
        if fields.get("isNatural"):
            used = ("*",)
        if used:
            self._facts.operated(("=",))
        for column in used:
            met = [one for r in inner.rels for one in (r.parts() if column == "*" else r.candidates(column))]
            self._facts.saw(together(met), filtering=True, told=known(met))
        merged = fields.get("join_using_alias", {}).get("aliasname", "")
        if merged:
            inner.rels.append(Rel(merged, rest=together(rel.all() for rel in inner.rels)))
        if not name:
            return inner.rels
        return [Rel(name, outputs=[output for rel in inner.rels for output in rel.star()], renamed=renamed)]

    def _with(self, clause: Node | None, scope: Scope) -> None:
        if not clause:
            return
        ctes = [node_of(item)[1] for item in clause.get("ctes", ())]
        if clause.get("recursive"):
            # Inside of itself it is taken for nothing: what it hands on to itself came from the tables in it.
            scope.ctes.update({cte["ctename"]: Rel(cte["ctename"]) for cte in ctes})
            # They may name each other in any order; the last time is for their conditions.
            # Attack: WITH RECURSIVE q(a) AS (SELECT ssn … UNION ALL SELECT substr(a, 2) FROM q WHERE a < '…').
            for _ in range(len(ctes) + 1):
                for cte in ctes:
                    found = self.rows(*node_of(cte["ctequery"]), scope)
                    whole = together(output.sources for output in found)
                    scope.ctes[cte["ctename"]] = Rel(cte["ctename"], rest=whole)
            return
        for cte in ctes:
            found = self.rows(*node_of(cte["ctequery"]), scope)
            scope.ctes[cte["ctename"]] = Rel(cte["ctename"], outputs=found, renamed=strings(cte.get("aliascolnames")))


def _merged(left: list[Output], right: list[Output]) -> list[Output]:
    """What UNION and its kin return: each column from both sides."""
    if len(left) != len(right) or any(output.star for output in [*left, *right]):
        everything = together(output.sources for output in [*left, *right])
        return [Output("", everything, star=True, also=everything)]
    out = []
    for one, other in zip(left, right, strict=True):
        both = together([one.sources, other.sources, one.also, other.also])
        out.append(Output(one.name, both, also=both))
    return out


def _is_number(wrapped: Any) -> bool:
    """Whether it may stand for a column by its place. Attack: GROUP BY ROLLUP (2), GROUP BY (1, 2)."""
    kind, fields = node_of(wrapped)
    inside = {"SortBy": [fields.get("node")], "GroupingSet": fields.get("content"), "RowExpr": fields.get("args")}
    return kind == "A_Const" or any(_is_number(item) for item in inside.get(kind) or ())


def _called(fields: Node) -> str:
    """The name that a function in FROM has without an alias."""
    for _, kind, inner in children(fields):
        if kind == "FuncCall":
            return strings(inner.get("funcname"))[-1]
        if kind in ("List", "") and (name := _called(inner)):
            return name
    return ""
