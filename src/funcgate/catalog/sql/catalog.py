"""The catalogue of a PostgreSQL target: a function for each kind of statement, and the named queries."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from funcgate.core.call import Shared
from funcgate.core.function import Function
from funcgate.core.native import half
from funcgate.core.problem import Problem, Unusable

from .analyse import Analysis
from .named import Named, read_queries
from .session import session_functions
from .specs import SqlFunctionsSpec
from .statement import Statement
from .template import is_template, other_numbers, own_text, template_of
from .tree import parse, refused
from .verbs import FUNCTIONS

Where = tuple[str | int, ...]
native = half("funcgate.catalog.sql._native")
_KEPT, _KEPT_LENGTH = 512 << 10, 8 << 10  # letters of all texts whose statements are kept, and of one
_KEPT_TEMPLATES = 1000
_LIST = {"type": "array", "items": {"type": "string"}}
_ARGS: Mapping[str, Any] = {
    "command": {"type": "string"},
    "sql": {"type": "string"},
    "statements": {"type": "integer"},
    "verbs": _LIST,
    "tables": _LIST,
    "reads": _LIST,
    "writes": _LIST,
    "relations_read": _LIST,
    "relations_written": _LIST,
    "columns": _LIST,
    "written_columns": _LIST,
    "filter_columns": _LIST,
    "functions": _LIST,
    "volatile_functions": _LIST,
    "dangerous": _LIST,
    "has_where": {"type": "boolean"},
    "limit": {"type": "integer"},
    "setting": {"type": "string"},
    "value": {"type": "string"},
    "parameters": {"type": "array"},
}
SCHEMA: Mapping[str, Any] = {"type": "object", "properties": _ARGS, "required": [*_ARGS], "additionalProperties": False}


class SqlCatalog:
    """`functions` go by full name (``shop.select``); `warnings` are problems that do not stop it."""

    warnings: tuple[Problem, ...] = ()

    def __init__(self, target: str, named: Sequence[Named]) -> None:
        made = [
            Function(target=target, name=name, full_name=f"{target}.{name}", args_schema=SCHEMA, summary=summary)
            for name, summary in FUNCTIONS.items()
        ]
        made += [query.function for query in named]
        by_name = {function.full_name: function for function in made}
        self.functions: Mapping[str, Function] = by_name | session_functions(target)
        self._named = {query.tree: query for query in named}
        self._by_name = {query.function.name: query for query in named}
        self._letters = 0
        self._known: OrderedDict[str, tuple[Statement, ...]] = OrderedDict()
        self._templates: OrderedDict[str, tuple[Statement, ...] | None] = OrderedDict()  # None: is none
        if native is not None:
            templates = None if self._named else self._templates
            self.recall = native.Recall(self._known, templates, _KEPT_LENGTH).of  # type: ignore[method-assign]

    def analyse(self, sql: str) -> tuple[Statement, ...]:
        """The statements of one text, in order; none for an empty one. Texts that differ in nothing but numbers may give the very
        same statement: its `sql` is not theirs. Raises `Refused(request.invalid)` for what cannot be parsed or is not carried."""
        known = self.recall(sql)
        if known is not None:
            return known
        template = template_of(sql) if len(sql) <= _KEPT_LENGTH and not self._named else None
        found = analyse(sql)
        if len(found) == 1:
            found = (self._as_named(found[0]) if self._named and found[0].handle is None else found[0],)
            found = (structs.replace(found[0], shared=_shared(found[0])),)
        if template is not None and self._keep_template(template, sql, found):
            return self.analyse(sql)
        if len(sql) <= _KEPT_LENGTH:
            self._known[sql] = found
            self._letters += len(sql)
            while self._letters > _KEPT:
                self._letters -= len(self._known.popitem(last=False)[0])
        return found

    def recall(self, sql: str) -> tuple[Statement, ...] | None:
        """What `analyse` gives, if it takes no work; else None."""
        known = self._known.get(sql)
        if known is not None:
            self._known.move_to_end(sql)
            return known
        template = template_of(sql) if len(sql) <= _KEPT_LENGTH and not self._named else None
        if template is not None and (known := self._templates.get(template)) is not None:
            self._templates.move_to_end(template)
            return known
        return None

    def _keep_template(self, template: str, sql: str, found: tuple[Statement, ...]) -> bool:
        """Whether the statement stands for all texts of its template from here on. With named queries none does: a query may
        have a number in it."""
        if template in self._templates or len(found) != 1:
            return False
        again = analyse(other_numbers(sql))
        holds = is_template(sql, structs.replace(found[0], shared=None), again[0] if len(again) == 1 else None)
        # Attack: another text of this template, recorded and judged as the first one. The text is each call's own.
        made = structs.replace(found[0], template=True)
        self._templates[template] = (structs.replace(made, shared=_shared(made)),) if holds else None
        if len(self._templates) > _KEPT_TEMPLATES:
            self._templates.popitem(last=False)
        return holds

    def _as_named(self, statement: Statement) -> Statement:
        """The statement as the named query that it is, to the last node of its tree; else as it is."""
        query = self._named.get(Named.tree_of(statement.sql))
        if query is None:
            return statement
        return structs.replace(statement, function=query.function.name, names=query.names)

    def arguments(self, statement: Statement, parameters: Sequence[Any], sql: str = "") -> dict[str, Any]:
        """The arguments of one call: those of the statement, as it stands in the text `sql` (if it is a template's), and its
        bound values, see `parts`. Raises `Refused(request.invalid)` when they do not fit a named query."""
        own, shared = self.parts(statement, parameters, sql)
        return own if shared is None else {**shared.args, **own}

    def parts(self, statement: Statement, parameters: Sequence[Any], sql: str) -> tuple[dict[str, Any], Shared | None]:
        """The arguments that are a call's own: its bound values (text, None for NULL, what cannot be read as text as
        ``{"hex": …}``), and its text if the statement is a template's; and those that it shares with others, None if it is a
        named query. Raises as `arguments` does."""
        handle = statement.handle
        if handle is not None and handle.made is None and not handle.ends:
            raise refused("a name that stands for nothing")  # nobody looked up what FETCH or EXECUTE would run
        if len(parameters) < statement.parameters:
            raise refused(f"{statement.parameters} parameters are needed, {len(parameters)} are bound")
        query = self._by_name.get(statement.function)
        if query is not None:
            return query.arguments(parameters), None
        own: dict[str, Any] = {"sql": own_text(sql)} if statement.template else {}
        own["parameters"] = list(parameters)
        return own, statement.shared or _shared(statement)


def _shared(statement: Statement) -> Shared:
    """The arguments that all calls of it have in common; of a template's, not the text."""
    return Shared({name: value for name, value in statement.args.items() if name != "sql" or not statement.template})


def analyse(sql: str) -> tuple[Statement, ...]:
    """The statements of one text, by verb. Raises `Refused(request.invalid)`."""
    try:
        parsed = parse(sql)
        return tuple([Analysis(text).statement(kind, fields, len(parsed)) for kind, fields, text in parsed])
    except RecursionError:
        # Attack: a statement nested so deeply that the analysis gives up; it is not let through unread.
        raise refused("a statement that is nested too deeply") from None


def load_sql(target: str, spec: SqlFunctionsSpec | None, base: Path, where: Where) -> SqlCatalog:
    """The catalogue. Raises `Unusable` with every problem."""
    problems: list[Problem] = []
    named = read_queries(target, spec.queries if spec is not None else [], (*where, "queries"), problems)
    if problems:
        raise Unusable(problems)
    return SqlCatalog(target, named)
