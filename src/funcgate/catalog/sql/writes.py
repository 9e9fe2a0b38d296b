"""Reads INSERT, UPDATE, DELETE and MERGE: what is written where, out of what, and what is returned of it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .facts import NOTHING, Facts, Sources, together
from .scope import Rel, Scope
from .statement import Output, Source
from .tree import Node, node_of, refused

Written = dict[str, Sources]


class Reader(Protocol):
    """Who reads the queries and expressions in them."""

    def expression(self, wrapped: Any, scope: Scope, *, filtering: bool = False) -> Sources: ...

    def rows(self, kind: str, fields: Node, scope: Scope | None) -> list[Output]: ...

    def source(self, wrapped: Any, scope: Scope) -> list[Rel]: ...

    def targets(self, items: Any, scope: Scope, written: Written | None = None) -> list[Output]: ...


class Writes:
    def __init__(self, facts: Facts, queries: Reader) -> None:
        self._facts = facts
        self._queries = queries

    def rows(self, kind: str, fields: Node, scope: Scope) -> list[Output]:
        """What the statement returns. `scope` holds its common table expressions."""
        read: Mapping[str, Callable[[Node, Scope], list[Output]]] = {
            "InsertStmt": self._insert, "UpdateStmt": self._update, "DeleteStmt": self._delete, "MergeStmt": self._merge,
        }  # fmt: skip
        return read[kind](fields, scope)

    def _target(self, fields: Node, verb: str) -> Rel:
        relation = fields["relation"]
        if "catalogname" in relation:
            raise refused("a table with the name of a database")
        self._facts.verbs.add(verb)
        schema, table = relation.get("schemaname", ""), relation.get("relname", "")
        self._facts.written(schema, table)
        return Rel(relation.get("alias", {}).get("aliasname", table), schema=schema, table=table)

    def _insert(self, fields: Node, scope: Scope) -> list[Output]:
        conflict = fields.get("onConflictClause", {})
        target = self._target(fields, "upsert" if conflict.get("action") == "ONCONFLICT_UPDATE" else "insert")
        columns = [node_of(item)[1].get("name", "") for item in fields.get("cols", ())]
        named = {Source(target.schema, target.table, name) for name in columns or ("*",)}
        self._facts.written_columns |= named
        written: Written = {}
        if "selectStmt" in fields:
            found = self._queries.rows(*node_of(fields["selectStmt"]), scope)
            if columns and not any(output.star for output in found):
                written = dict(zip(columns, [output.sources for output in found], strict=False))
            else:
                written = {"*": together(output.sources for output in found)}
        scope.rels.append(target)
        if conflict:
            inner = Scope(scope)
            inner.rels.append(Rel("excluded", schema=target.schema, table=target.table))
            inserted = together(written.values())
            for name, sources in self._assigned(conflict.get("targetList", ()), inner, target).items():
                # Attack: INSERT INTO t (id, a) SELECT id, ssn … DO UPDATE SET b = EXCLUDED.a RETURNING b.
                own = sources is None or any(one.table == target.table for one in sources)
                written[name] = together([written.get(name, NOTHING), sources, inserted if own else NOTHING])
            self._queries.expression(conflict.get("whereClause"), inner, filtering=True)
            self._queries.expression({"InferClause": conflict.get("infer", {})}, inner, filtering=True)
            if not conflict.get("infer", {}).get("indexElems"):
                # Attack: ON CONFLICT DO NOTHING, or ON CONSTRAINT people_ssn_key, and see whether a row was written.
                self._facts.saw(frozenset(named), filtering=True)
            for item in conflict.get("infer", {}).get("indexElems", ()):
                # Attack: ON CONFLICT (ssn) DO NOTHING, and see whether a row was written.
                name = node_of(item)[1].get("name", "")
                if name:
                    self._facts.saw(frozenset({Source(target.schema, target.table, name)}), filtering=True)
        return self._returning(fields, scope, written)

    def _update(self, fields: Node, scope: Scope) -> list[Output]:
        scope.rels.append(self._target(fields, "update"))
        for item in fields.get("fromClause", ()):
            scope.rels += self._queries.source(item, scope)
        written = self._assigned(fields.get("targetList", ()), scope, scope.rels[0])
        self._where(fields, scope)
        return self._returning(fields, scope, written)

    def _delete(self, fields: Node, scope: Scope) -> list[Output]:
        scope.rels.append(self._target(fields, "delete"))
        for item in fields.get("usingClause", ()):
            scope.rels += self._queries.source(item, scope)
        self._where(fields, scope)
        return self._returning(fields, scope, {})

    def _merge(self, fields: Node, scope: Scope) -> list[Output]:
        scope.rels.append(self._target(fields, "merge"))
        scope.rels += self._queries.source(fields["sourceRelation"], scope)
        self._queries.expression(fields.get("joinCondition"), scope, filtering=True)
        written: Written = {}
        for item in fields.get("mergeWhenClauses", ()):
            clause = node_of(item)[1]
            self._queries.expression(clause.get("condition"), scope, filtering=True)
            if clause.get("commandType") == "CMD_INSERT" and "targetList" not in clause:
                self._facts.written_columns.add(Source(scope.rels[0].schema, scope.rels[0].table, "*"))
            found = [
                *self._assigned(clause.get("targetList", ()), scope, scope.rels[0]).values(),
                self._queries.expression(clause.get("values"), scope),
            ]
            written["*"] = together([written.get("*", NOTHING), *found])
        return self._returning(fields, scope, written)

    def _assigned(self, items: Any, scope: Scope, target: Rel) -> Written:
        """What each column of the target is set to."""
        out: Written = {}
        for item in items:
            fields = node_of(item)[1]
            name = fields.get("name", "")
            self._queries.expression(fields.get("indirection"), scope)
            self._facts.written_columns.add(Source(target.schema, target.table, name))
            out[name] = together([out.get(name, NOTHING), self._queries.expression(fields.get("val"), scope)])
        return out

    def _where(self, fields: Node, scope: Scope) -> None:
        found = self._queries.expression(fields.get("whereClause"), scope, filtering=True)
        if found == NOTHING and node_of(fields.get("whereClause"))[0] != "CurrentOfExpr":
            # Attack: WHERE true: a condition that looks at nothing is none.
            self._facts.unfiltered = True

    def _returning(self, fields: Node, scope: Scope, written: Written) -> list[Output]:
        self._facts.copied = together([self._facts.copied, *written.values()])
        clause = fields.get("returningClause")
        if not clause:
            return []
        target = scope.rels[0]
        names = {"old", "new"}
        names |= {node_of(option)[1].get("value", "") for option in clause.get("options", ())}
        around = Scope(scope.parent)
        around.rels = [Rel(name, schema=target.schema, table=target.table) for name in sorted(names)]
        shown = Scope(around)
        shown.ctes, shown.rels = scope.ctes, scope.rels
        return self._queries.targets(clause.get("exprs", ()), shown, written)
