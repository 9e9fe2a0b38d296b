"""Reads expressions: which columns they come from, which functions they call. Kinds that are not in its tables are refused."""

from collections.abc import Iterable
from typing import Any, Protocol

from .facts import NOTHING, Facts, Sources, known, together
from .functions import is_set, returns_rows
from .scope import Scope
from .statement import Output
from .tree import Node, children, node_of, refused, strings
from .verbs import ROWS

# Nodes that say nothing but what is in them.
_PLAIN = frozenset(
    """
    A_Const A_ArrayExpr A_Indirection A_Indices A_Star BoolExpr NullTest BooleanTest CaseExpr CaseWhen CoalesceExpr MinMaxExpr
    RowExpr TypeCast TypeName CollateClause XmlExpr XmlSerialize SQLValueFunction GroupingFunc GroupingSet SortBy WindowDef List
    String Integer Float Boolean BitString NamedArgExpr ResTarget SetToDefault CurrentOfExpr MultiAssignRef InferClause IndexElem
    JsonFuncExpr JsonValueExpr JsonOutput JsonFormat JsonReturning JsonObjectConstructor JsonKeyValue JsonArrayConstructor
    JsonObjectAgg JsonArrayAgg JsonAggConstructor JsonIsPredicate JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonBehavior
    JsonArgument JsonTablePathSpec
    """.split()  # noqa: SIM905 - names without quotes are read more easily
)
# Those that look like a call, and are one where the database is older than the parser: the name of the function.
_CALLS_ELSEWHERE = {
    "JsonScalarExpr": "json_scalar", "JsonSerializeExpr": "json_serialize", "JsonParseExpr": "json",
    "JsonArrayConstructor": "json_array", "JsonArrayQueryConstructor": "json_array", "JsonObjectConstructor": "json_object",
    "JsonArrayAgg": "json_arrayagg", "JsonObjectAgg": "json_objectagg", "JSON_EXISTS_OP": "json_exists",
    "JSON_QUERY_OP": "json_query", "JSON_VALUE_OP": "json_value",
}  # fmt: skip
_FILTERING = frozenset({"agg_filter", "agg_order", "over", "partitionClause", "orderClause"})


class Queries(Protocol):
    """Who reads the queries that are inside of expressions."""

    def rows(self, kind: str, fields: Node, scope: Scope) -> list[Output]: ...


class Expressions:
    def __init__(self, facts: Facts, queries: Queries) -> None:
        self._facts = facts
        self._queries = queries

    def read(self, wrapped: Any, scope: Scope, *, filtering: bool = False) -> Sources:
        """What a node, or a list of nodes, comes from."""
        if isinstance(wrapped, list):
            return together([self.read(item, scope, filtering=filtering) for item in wrapped])
        kind, fields = node_of(wrapped)
        return self.node(kind, fields, scope, filtering) if kind else NOTHING

    def node(self, kind: str, fields: Node, scope: Scope, filtering: bool) -> Sources:
        self._facts.step()
        if kind == "ColumnRef":
            path = strings(fields.get("fields"))
            candidates = scope.candidates(path)
            sources, told = together(candidates), known(candidates)
            if len(path) > 1:
                self._facts.fields |= scope.fields(path)
                if path[-1] != "*" and not scope.has(path):
                    # Attack: SELECT s.nextval FROM to_regclass('s') s, which is nextval(s).
                    self._facts.stepped(path[-1], shown=False)
            self._facts.saw(sources, filtering=filtering, told=told)
            return sources
        if kind == "ParamRef":
            self._facts.parameters = max(self._facts.parameters, fields.get("number", 0))
            return NOTHING
        if kind == "FuncCall":
            return self._call(fields, scope, filtering)
        if kind == "SubLink":
            return self._sublink(fields, scope, filtering)
        if "typeName" in fields:
            self._facts.typed(strings(fields["typeName"].get("names")))
        if called := _CALLS_ELSEWHERE.get(fields.get("op", "") if kind == "JsonFuncExpr" else kind):
            # Attack: json_value('a', 'b') on PostgreSQL 15, which has none of its own and calls that of the database's owner.
            self._facts.harmless((called,), -1)
        if kind == "JsonArrayQueryConstructor":
            inner = self._queries.rows(*node_of(fields.get("query")), scope)
            return together(output.sources for output in inner)
        if kind in ROWS:
            return together(output.sources for output in self._queries.rows(kind, fields, scope))
        harmless = True
        if kind == "A_Expr" and "BETWEEN" in fields.get("kind", ""):
            for name in ("<", ">") if "NOT" in fields["kind"] else ("<=", ">="):
                self._facts.operated((name,))
        elif kind == "A_Expr":
            harmless = self._facts.operated(strings(fields.get("name")))
        elif kind == "CaseExpr" and "arg" in fields:
            self._facts.operated(("=",))
        elif kind and kind not in _PLAIN and kind != "A_Expr":
            # P8: a kind of expression that nobody has looked at may call anything.
            raise refused(f"an expression that is not known ({kind})")
        if kind == "A_Indirection":
            # Attack: SELECT ('/etc/passwd'::text).pg_read_file, which is pg_read_file('/etc/passwd').
            for step in strings(fields.get("indirection")):
                if step not in ("", "*"):
                    self._facts.stepped(step, shown=True)
                    # Attack: SELECT id, (string_to_array(ssn, 'a')).unnest FROM people: as many rows as there are parts.
                    filtering = filtering or returns_rows(step)
        if kind == "SortBy" and fields.get("useOp"):
            harmless = self._facts.operated(strings(fields["useOp"]))
        sources = self._inside(fields, scope, filtering)
        if kind == "A_Indirection":
            self._facts.stepped_on |= sources or NOTHING
        return sources if harmless else None

    def _inside(self, fields: Node, scope: Scope, filtering: bool) -> Sources:
        return together(
            self.node(kind, inner, scope, filtering or name in _FILTERING)
            for name, kind, inner in list(children(fields))
        )

    def _call(self, fields: Node, scope: Scope, filtering: bool) -> Sources:
        name = strings(fields.get("funcname"))
        if _is_about_jit(name, fields):
            self._facts.harmless(name, len(fields["args"]))
            return NOTHING
        # Attack: set_config('a.b', ssn, false), and ask for the setting in the next statement.
        given = len(fields.get("args", ())) + len(fields.get("agg_order", ())) * bool(fields.get("agg_within_group"))
        harmless = self._facts.called(name, given) and name[-1] != "current_setting"
        # Attack: SELECT id, regexp_matches(ssn, '^1') FROM people: as many rows as there are matches. count(DISTINCT ssn) groups.
        filtering = filtering or is_set(name) or bool(fields.get("agg_distinct"))
        sources = self._inside({part: value for part, value in fields.items() if part != "funcname"}, scope, filtering)
        if not {"name", "refname"}.isdisjoint(fields.get("over", ())):
            sources = together([sources, *(around.windows for around in scope.around())])
        return sources if harmless else None

    def _sublink(self, fields: Node, scope: Scope, filtering: bool) -> Sources:
        if fields.get("operName"):
            self._facts.operated(strings(fields["operName"]))
        tested = self.read(fields.get("testexpr"), scope, filtering=filtering)
        kind, inner = node_of(fields.get("subselect"))
        found = self._queries.rows(kind, inner, scope)
        if filtering:
            for output in found:
                self._facts.saw(output.sources, filtering=True)
        inside: Iterable[Sources] = () if fields.get("subLinkType") == "EXISTS_SUBLINK" else [o.sources for o in found]
        return together([tested, *inside])


def _is_about_jit(name: tuple[str, ...], fields: Node) -> bool:
    """Whether it asks for the setting `jit`, or sets it to what is written or bound. That changes how long statements take and
    nothing that they do; asyncpg does so before it learns types that are not built in."""
    if name[-1] not in ("current_setting", "set_config") or name[:-1] not in ((), ("pg_catalog",)):
        return False
    # Attack: set_config('jit', ssn, false), or another setting by a name that is worked out.
    (_, first), *others = map(node_of, fields.get("args") or [{}])
    return first.get("sval") == {"sval": "jit"} and all(kind in ("A_Const", "ParamRef") for kind, _ in others)
