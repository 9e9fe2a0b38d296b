"""What is known of one SQL statement before it is sent: which function it is, its arguments, where its columns come from.

Values only. They are made by analyse.py and never changed; they hold no bound values.
"""

from typing import Any, Literal

from msgspec import Struct

from funcgate.core.call import Shared

from .places import Name

Control = Literal["", "begin", "commit", "rollback", "savepoint", "release", "rollback_to"]


class Source(Struct, frozen=True):
    """A column of a table, as it is written: `schema` is "" where the statement names none; `column` may be ``*``."""

    schema: str
    table: str
    column: str

    def __str__(self) -> str:
        return ".".join(part for part in (self.schema, self.table, self.column) if part)


class Output(Struct, frozen=True):
    """One entry of what a statement returns. `sources` are all columns that its value depends on, None when nobody can tell.

    `name` is "" where it is not certain. `star` stands for any number of columns (``*``, ``t.*``): then `sources` are those
    of all of them together. `plain` says that it shows a column as it is, so that the server's word for where it comes from is
    enough; `also` is what it depends on besides, whatever the server says.
    """

    name: str
    sources: frozenset[Source] | None
    star: bool = False
    plain: bool = False
    also: frozenset[Source] | None = frozenset()


class Handle(Struct, frozen=True, kw_only=True):
    """A name that a session gives to a statement in SQL, and what is done with it.

    DECLARE and PREPARE make one (`makes`): `made` is the statement that it stands for from then on, `hold` says that it
    outlives the transaction. FETCH, MOVE and EXECUTE use one (`made` is None until it was looked up): `limit` is the number of
    rows, -1 for all or for other directions, `moves` says that none come back, `values` are the constants of EXECUTE, or what
    was bound when the cursor was declared. `ends`: CLOSE and DEALLOCATE of that name, or of all if it is "".
    """

    what: Literal["cursor", "prepared"]
    name: str
    made: "Statement | None" = None
    hold: bool = False
    moves: bool = False
    limit: int = -1
    values: tuple[Any, ...] = ()
    makes: bool = False
    ends: bool = False


class Statement(Struct, frozen=True, kw_only=True):
    """One statement. `function` is the bare name, `sql` the very text to send, `args` all arguments but the bound values.

    `control` is what it does to the transaction. `copy` says which way COPY data flow, and
    `copy_options` how it was asked for: "" for an option without a value. `outputs` are its result columns in
    order (empty when it returns none); `parameters` is the highest ``$n`` in it; `names` are those of a named query.
    `relations_change` says that it may make or change tables and views: what is known of them is old after it. `fields` are
    the columns that it names together with a table; `steps` names behind a value that may be a field of it, or a function that is
    called with it; `stepped_on` what such values come from. `handle` is a name that it makes or uses. `shared` holds the
    arguments that do not depend on the text's own numbers. Of a `template`, `sql` is the text of the first that came, and
    nobody's to send.
    `read_names` and `written_names` are the tables and views, as they are written; `bare_calls` functions that
    are called without a schema and taken for PostgreSQL's own, with their number of arguments, -1 if it is not known; `columns`,
    `written` and `filters` are those of the arguments `columns`, `written_columns` and `filter_columns`.
    """

    function: str
    sql: str
    args: dict[str, Any]
    control: Control = ""
    copy: Literal["", "in", "out"] = ""
    copy_options: tuple[tuple[str, str], ...] = ()
    outputs: tuple[Output, ...] = ()
    parameters: int = 0
    names: tuple[str, ...] = ()
    relations_change: bool = False
    fields: frozenset[Source] = frozenset()
    steps: frozenset[str] = frozenset()
    stepped_on: frozenset[Source] = frozenset()
    handle: Handle | None = None
    shared: Shared | None = None
    template: bool = False
    columns: frozenset[Source] = frozenset()
    written: frozenset[Source] = frozenset()
    filters: frozenset[Source] = frozenset()
    read_names: frozenset[Name] = frozenset()
    written_names: frozenset[Name] = frozenset()
    bare_calls: frozenset[tuple[str, int]] = frozenset()


class Described(Struct, frozen=True):
    """One column as RowDescription has it. `table` is the table's OID and `number` its attribute number, 0 for neither."""

    name: str
    table: int = 0
    number: int = 0
