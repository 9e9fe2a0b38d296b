"""One parsed statement to a `Statement`: which function it is, and with which arguments.

Refuses kinds of statements that are in no table, and settings that change how a text is read.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import structs

from .facts import NOTHING, Facts
from .handles import declared, ended, executed, fetched, named
from .places import as_written
from .queries import Queries
from .scope import Scope
from .statement import Control, Handle, Output, Source, Statement
from .sweep import sweep
from .tree import Node, node_of, refused, strings
from .verbs import DDL, LEXICAL, MAINTAIN, OTHERS, PERSONAL, PLAIN_SETTINGS, ROWS

_CONTROL: Mapping[str, Control] = {
    "TRANS_STMT_BEGIN": "begin", "TRANS_STMT_START": "begin", "TRANS_STMT_COMMIT": "commit", "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint", "TRANS_STMT_RELEASE": "release", "TRANS_STMT_ROLLBACK_TO": "rollback_to",
}  # fmt: skip
_LEXICAL_ALLOWED: Mapping[str, frozenset[str]] = {
    "standard_conforming_strings": frozenset({"on", "true", "1", "yes"}),
    "client_encoding": frozenset({"utf8", "utf-8", "unicode"}),
    "names": frozenset({"utf8", "utf-8", "unicode"}),
}
_ON, _OFF = {"", "true", "on", "1"}, {"false", "off", "0"}
_COPY_OPTIONS = frozenset(
    {"format", "delimiter", "null", "header", "quote", "escape", "force_quote", "freeze", "default"}
)
CHANGING = frozenset({"ddl", "call", "do", "mixed"})


class Analysis:
    """The reading of one statement."""

    def __init__(self, text: str) -> None:
        self.facts = Facts()
        self._queries = Queries(self.facts)
        self._text = text
        self._setting = self._value = ""
        self._control: Control = ""
        self._copy: Literal["", "in", "out"] = ""
        self._copy_options: list[tuple[str, str]] = []
        self._outputs: list[Output] = []
        self._command = ""
        self._filtered = True
        self._handle: Handle | None = None

    def statement(self, kind: str, fields: Node, count: int) -> Statement:
        """`count` is the number of statements in the text. Raises `Refused(request.invalid)`."""
        function = self._read(kind, fields)
        found = Statement(
            function=function,
            sql=self._text,
            args=self._args(count),
            control=self._control,
            copy=self._copy,
            copy_options=tuple(self._copy_options),
            outputs=tuple(self._outputs),
            parameters=self.facts.parameters,
            relations_change=function in CHANGING,
            fields=frozenset(self.facts.fields),
            steps=frozenset(self.facts.steps),
            stepped_on=frozenset(self.facts.stepped_on),
            handle=self._handle,
            columns=frozenset(self.facts.columns),
            written=frozenset(self.facts.written_columns),
            filters=frozenset(self.facts.filter_columns()),
            read_names=frozenset(self.facts.read_names),
            written_names=frozenset(self.facts.written_names),
            bare_calls=frozenset(self.facts.bare_calls),
        )
        return found if kind not in ("DeclareCursorStmt", "PrepareStmt") else self._making(found)

    def _making(self, found: Statement) -> Statement:
        """A DECLARE or PREPARE: it brings no rows itself; what it makes is kept for those who use it by name."""
        made = structs.replace(found, handle=None)
        handle = structs.replace(self._handle, made=made) if self._handle is not None else None
        if handle is None or handle.what == "cursor":
            return structs.replace(found, outputs=(), handle=handle)
        args = {**found.args, "command": "PREPARE"}
        # Nothing runs yet, and no values are known: it is asked for as a Parse of the protocol is.
        return structs.replace(found, function="describe", args=args, outputs=(), parameters=0, handle=handle)

    def _read(self, kind: str, fields: Node) -> str:
        own: Mapping[str, Callable[[Node], str]] = {
            "CopyStmt": self._copied, "ExplainStmt": self._explained, "TransactionStmt": self._transaction,
            "VariableSetStmt": self._set, "DiscardStmt": self._discard, "DeclareCursorStmt": self._declared,
            "FetchStmt": self._fetched, "PrepareStmt": self._prepared, "ExecuteStmt": self._executed,
        }  # fmt: skip
        if kind in ROWS:
            return self._rows(kind, fields)
        if kind in own:
            return own[kind](fields)
        if kind in OTHERS:
            return self._other(kind, fields)
        if kind in MAINTAIN:
            self._command = MAINTAIN[kind]
            if kind == "VacuumStmt" and not fields.get("is_vacuumcmd"):
                self._command = "ANALYZE"
            sweep(fields, self.facts, self._queries)
            return "maintain"
        if kind in DDL:
            self._command = sweep({kind: fields}, self.facts, self._queries)
            return "ddl"
        raise refused(f"a kind of statement that is not carried ({kind})")

    def _rows(self, kind: str, fields: Node) -> str:
        self._command = ROWS[kind].upper()
        self._outputs = self._queries.rows(kind, fields, None)
        self._filtered = not self.facts.unfiltered
        if kind == "SelectStmt":
            self._filtered = self._filtered and "whereClause" in fields
            value = node_of(fields.get("limitCount"))[1]
            self.facts.limit = value["ival"].get("ival", 0) if "ival" in value else -1
        return self.facts.function()

    def _other(self, kind: str, fields: Node) -> str:
        function, self._command = OTHERS[kind]
        self._handle = ended(kind, fields)
        if kind == "DoStmt":
            self.facts.dangers.add("DO")
        if kind == "VariableShowStmt":
            self._setting = fields.get("name", "").lower()
            if "." in self._setting or self._setting == "all":
                self._outputs = [Output("", None, star=True)]  # a setting of anybody's own making may hold anything
        if kind == "CallStmt":
            self.facts.called(strings(fields.get("funccall", {}).get("funcname")))
            self._queries.expression([{"FuncCall": fields["funccall"]}], Scope())
        for relation in fields.get("relations", ()):
            inner = node_of(relation)[1]
            self.facts.written(inner.get("schemaname", ""), inner.get("relname", ""))
        self._setting = self._setting or fields.get("conditionname", "")
        return function

    # -- COPY, EXPLAIN

    def _copied(self, fields: Node) -> str:
        self._command = "COPY"
        for item in fields.get("options", ()):
            option = node_of(item)[1]
            name, value = option.get("defname", ""), node_of(option.get("arg"))[1].get("sval", "")
            if name not in _COPY_OPTIONS or (name == "format" and value not in ("text", "csv")):
                raise refused(f"COPY with the option {name} {value}")
            self._copy_options.append((name, value or _unquoted(option.get("arg"))))
        into = fields.get("is_from", False)
        function = "copy_in" if into else "copy_out"
        if "query" in fields:
            self._outputs = self._queries.rows(*node_of(fields["query"]), None)
            if (verb := self.facts.function()) != "select":
                function = verb  # Attack: COPY (DELETE … RETURNING *) TO STDOUT
        else:
            self._copied_table(fields, into)
        if fields.get("is_program") or "filename" in fields:
            self.facts.dangers.add("COPY with a program" if fields.get("is_program") else "COPY with a file")
            return "copy_file"
        self._copy = "in" if into else "out"
        return function

    def _copied_table(self, fields: Node, into: bool) -> None:
        scope = Scope()
        target = self._queries.relation(fields["relation"], scope)
        scope.rels.append(target)
        columns = strings(fields.get("attlist")) or ("*",)
        if into:
            self.facts.reads.clear()
            self.facts.read_names.clear()
            self.facts.written(target.schema, target.table)
            self._queries.expression(fields.get("whereClause"), scope, filtering=True)
            self.facts.written_columns |= {Source(target.schema, target.table, name) for name in columns}
            return
        targets = [{"ResTarget": {"val": {"ColumnRef": {"fields": [_field(name)]}}}} for name in columns]
        self._outputs = self._queries.targets(targets, scope)

    def _explained(self, fields: Node) -> str:
        analyze = False
        for item in fields.get("options", ()):
            option = node_of(item)[1]
            if option.get("defname") == "analyze":
                value = _constant(option.get("arg"))
                if value not in _ON | _OFF:
                    raise refused(f"EXPLAIN (ANALYZE {value})")
                analyze = value in _ON
        kind, inner = node_of(fields.get("query"))
        if kind not in ROWS:
            raise refused("EXPLAIN of anything but SELECT, INSERT, UPDATE, DELETE, MERGE")
        function = self._rows(kind, inner)
        # Attack: a function of the owner's that claims to be immutable is run to plan, and its result is in the plan.
        self._outputs = [Output("QUERY PLAN", None if self.facts.unknown else NOTHING)]
        self._command = "EXPLAIN ANALYZE" if analyze else "EXPLAIN"
        # Attack: EXPLAIN ANALYZE carries the statement out; planning alone runs functions that claim to be stable.
        return function if analyze or function == "call" else "explain"

    # -- names of the session's

    def _declared(self, fields: Node) -> str:
        self._handle = declared(fields)
        function = self._rows(*node_of(fields.get("query")))
        self._command = "DECLARE"
        return function

    def _fetched(self, fields: Node) -> str:
        self._handle = fetched(fields)
        self._command = "MOVE" if self._handle.moves else "FETCH"
        return "cursor"

    def _prepared(self, fields: Node) -> str:
        self._handle = Handle(what="prepared", name=named(fields, "name"), makes=True)
        for each in fields.get("argtypes", ()):
            # Attack: PREPARE q(a_type) AS SELECT $1, whose CHECK deletes when it is executed.
            self.facts.typed(strings(node_of(each)[1].get("names")))
        kind, inner = node_of(fields.get("query"))
        if kind not in ROWS:
            raise refused("PREPARE of anything but SELECT, INSERT, UPDATE, DELETE, MERGE")
        return self._rows(kind, inner)

    def _executed(self, fields: Node) -> str:
        self._handle = executed(fields)
        self._command = "EXECUTE"
        return "cursor"

    # -- the session

    def _transaction(self, fields: Node) -> str:
        kind = fields.get("kind", "")
        if kind not in _CONTROL:
            raise refused("two-phase commit is not carried")
        self._control = _CONTROL[kind]
        self._command = self._control.upper().replace("_", " ")
        return "transaction"

    def _set(self, fields: Node) -> str:
        kind, name = fields.get("kind", ""), str(fields.get("name", "")).lower()
        self._setting = name
        values = [_constant(item) for item in fields.get("args", ()) if "DefElem" not in item]
        self._value = ", ".join(values)
        if kind == "VAR_SET_MULTI" and name == "transaction":
            self._command = "SET TRANSACTION"
            return "transaction"
        self._command = "RESET" if kind in ("VAR_RESET", "VAR_RESET_ALL") else "SET"
        # Attack: change what a backslash or a byte means, so that the text that is judged is not the text that runs.
        allowed = _LEXICAL_ALLOWED.get(name, frozenset())
        if name in LEXICAL and kind == "VAR_SET_VALUE" and self._value.lower() not in allowed:
            raise refused(f"the setting {name} cannot be changed")
        if name in LEXICAL and kind not in ("VAR_SET_VALUE", "VAR_RESET", "VAR_SET_DEFAULT"):
            raise refused(f"the setting {name} cannot be changed")
        if kind == "VAR_RESET_ALL" or (kind == "VAR_SET_MULTI" and name == "session characteristics"):
            return "set"
        if name in PERSONAL or name not in PLAIN_SETTINGS | LEXICAL:
            self.facts.dangers.add(f"setting {name}")
        return "set"

    def _discard(self, fields: Node) -> str:
        self._command = "DISCARD"
        self._setting = fields.get("target", "").removeprefix("DISCARD_").lower()
        return "set"

    def _args(self, count: int) -> dict[str, Any]:
        facts = self.facts
        return {
            "command": self._command,
            "sql": self._text,
            "statements": count,
            "verbs": sorted(facts.verbs),
            "tables": sorted(facts.reads | facts.writes),
            "reads": sorted(facts.reads),
            "writes": sorted(facts.writes),
            "relations_read": as_written(facts.read_names),
            "relations_written": as_written(facts.written_names),
            "columns": sorted(map(str, facts.columns)),
            "written_columns": sorted(map(str, facts.written_columns)),
            "filter_columns": sorted(map(str, facts.filter_columns())),
            "functions": sorted(facts.functions),
            "volatile_functions": sorted(facts.unknown),
            "dangerous": sorted(facts.dangers),
            "has_where": self._filtered and self._command not in ("COPY", "TRUNCATE"),
            "limit": facts.limit,
            "setting": self._setting,
            "value": self._value,
        }


def _field(name: str) -> Node:
    return {"A_Star": {}} if name == "*" else {"String": {"sval": name}}


def _unquoted(wrapped: Any) -> str:
    """The value of an option that is no text; "" for none."""
    kind, fields = node_of(wrapped)
    if kind == "Boolean":
        return str(fields.get("boolval", False)).lower()
    # Attack: DELIMITER *, or (";"): the server takes it for a text. Here it is one that no mark can be.
    return str(fields.get("ival", 0)) if kind == "Integer" else "" if kind in ("", "String") else "(no text)"


def _constant(wrapped: Any) -> str:
    """The value of a constant as text: on, 1, utf8."""
    _, fields = node_of(wrapped)
    if "sval" in fields:
        value = fields["sval"]
        return str(value.get("sval", "") if isinstance(value, dict) else value).lower()
    if "ival" in fields:
        value = fields["ival"]
        return str(value.get("ival", 0) if isinstance(value, dict) else value)
    if "boolval" in fields:
        value = fields["boolval"]
        return str(value.get("boolval", False) if isinstance(value, dict) else value).lower()
    if "fval" in fields:
        value = fields["fval"]
        return str(value.get("fval", "") if isinstance(value, dict) else value)
    return "" if wrapped is None else "?"
