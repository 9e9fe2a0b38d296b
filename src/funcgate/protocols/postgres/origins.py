"""Where the columns of an answer come from, and what views do: the database's catalogue, read over the connection.

What cannot be told stays unknown: an unknown column is hidden, an unknown table is not read.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic

from msgspec import Struct

from funcgate.catalog.sql import RELATIONS_SQL, STATEMENTS, Described, Relations, Statement, origins
from funcgate.core.call import Shared
from funcgate.core.refusal import Code, Refused
from funcgate.masking.columns import ColumnRules
from funcgate.wire.postgres import backend, frontend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.frames import Malformed
from funcgate.wire.postgres.owntypes import OwnTypes

from .shape import Hiding, Origin
from .standing import Knowledge
from .upstream import Upstream

_FRESH_S = 30.0
# What policies let through as reading or writing rows. The others say of themselves that they may do anything.
_SEEN = frozenset(STATEMENTS) - {"call", "mixed", "ddl", "do"}
_MOST_ROWS = 500_000
_MOST_KNOWN = 1000
_NO_TYPES = OwnTypes()
_DEFINING = ("ddl", "do")
_UNDOING = ("rollback", "rollback_to")
_IDLE = frozenset({"idle_session_timeout", "idle_in_transaction_session_timeout"})
# What changes which tables bare names mean. Without a name: RESET ALL. "all" and "temp" are DISCARD's.
_MOVING = frozenset({"search_path", "role", "session_authorization", "all", "temp", ""})


class _Known(Struct):
    """What follows for one statement: what hides its columns, and what it calls without a word of it."""

    statement: Statement | None
    rules: ColumnRules
    hiding: Hiding
    calls: frozenset[str] | None = None


class Origins(Knowledge):
    """One session's knowledge of tables and views. `version` is another one whenever it may be another knowledge."""

    def __init__(self) -> None:
        self.version = 0
        self.until = 0.0  # of the monotonic clock: when what is known is too old
        self._known: dict[int, _Known] = {}
        self._relations: Relations | None = None
        self._last: Relations | None = None  # what was known before it grew stale
        self._types = _NO_TYPES
        self._defined = False  # something, in this transaction
        self._stale = True
        self._moved = False  # the search path, in this transaction
        self._placed: dict[tuple[int, bool], tuple[Statement, Shared]] = {}
        self._reading = asyncio.Lock()

    def changed(self) -> None:
        """Tables or views may be others from here on."""
        self._stale = True
        self.version += 1
        self.until = 0.0
        self._known.clear()
        self._placed.clear()

    def took_effect(self, statement: Statement) -> None:
        """After a statement: tables, or what their names mean, may be others."""
        control = statement.control
        moves = moves_path(statement) or (statement.function == "set" and statement.args["setting"] in _IDLE)
        if moves or statement.relations_change or control in _UNDOING or (control == "commit" and self._moved):
            self.changed()
        self._moved = moves or (self._moved and control not in ("commit", "rollback"))
        defines = statement.function in _DEFINING
        if defines or (control in _UNDOING and self._defined):
            # Attack: a type that is dropped, or was never made, and another one that is read as if it were that.
            self._types = _NO_TYPES
        self._defined = defines or (self._defined and control not in ("commit", "rollback"))

    def end(self) -> None:
        """Forget everything."""
        self.changed()
        self._relations = self._last = None
        self._types = _NO_TYPES

    def fresh(self) -> bool:
        """Whether nothing has to be read before the next statement."""
        return monotonic() < self.until

    def needed(self, statement: Statement | None) -> bool:
        """Whether the database has to be asked before the statement is judged."""
        if self.fresh():
            return False
        if self._last is None or statement is None:
            return self._last is None
        return bool(statement.read_names or statement.written_names or statement.bare_calls or statement.steps)

    async def refresh(self, upstream: Upstream, *, possible: bool) -> None:
        """Read the catalogue, unless it is known. `possible` False: no statement of ours can be sent now. Raises `Ended`,
        `Malformed`, `TimeoutError`."""
        async with self._reading:
            if not self.fresh():
                await self._refresh(upstream, possible)

    async def _refresh(self, upstream: Upstream, possible: bool) -> None:
        self.version += 1
        self._known.clear()
        self._placed.clear()
        if not possible or upstream.state == b"E":
            self._relations = None if self._stale else self._relations
            return
        self._last = self._relations = found = await _read(upstream)
        self._types = OwnTypes(found.types) if found is not None else _NO_TYPES
        self.until, self._stale = monotonic() + _FRESH_S, False

    def idle_s(self, *, within: bool) -> float:
        """How long the database lets the session be idle, `within` a transaction or out of it; 0 for ever."""
        name = "idle_in_transaction_session_timeout" if within else "idle_session_timeout"
        return self._last.idle_s.get(name, 0.0) if self._last is not None else 0.0

    def placed(self, statement: Statement, shared: Shared, *, certain: bool) -> Shared:
        """The arguments with the tables' full names, as the session has them now. Raises `Refused` when nobody knows them."""
        certain = certain and not self._stale
        found = self._placed.get((id(statement), certain))
        if found is not None and found[0] is statement:
            return found[1]
        if self._last is None and not (statement.read_names or statement.written_names):
            return shared
        if self._last is None:
            # Attack: have a name judged before anybody can tell which table it is.
            raise Refused(
                Code.POLICY_DENIED, private_detail="the database's tables are not known, and so not which are meant"
            )
        places, making = self._last.places, statement.function == "ddl"
        full = {
            "relations_read": places.full(statement.read_names, certain=certain, making=False),
            "relations_written": places.full(statement.written_names, certain=certain, making=making),
        }
        for name, behind in self._last.behind(statement).items():
            full[name] = [*shared.args[name], *behind]
        if len(self._placed) >= _MOST_KNOWN:
            self._placed.clear()
        self._placed[id(statement), certain] = statement, (made := Shared({**shared.args, **full}))
        return made

    def check(self, statements: Sequence[Statement | None], types: Sequence[int]) -> None:
        """Raises `Refused` when one of them calls something without a word of it; `types` are those of the bound values."""
        calls = {call for each in statements if each is not None for call in self.hidden_calls(each)}
        if any(each is not None and self.runs(each, types) for each in statements):
            calls.add("what a type of the bound values checks")
        if calls:
            # Attack: SELECT * FROM a_view, which deletes.
            detail = f"calls that no policy was asked about: {', '.join(sorted(calls))}"
            raise Refused(
                Code.POLICY_DENIED, "Something here calls functions that policies cannot see.", private_detail=detail
            )

    def hidden_calls(self, statement: Statement) -> frozenset[str]:
        """What the statement calls without a word of it, see `Relations.hidden_calls`."""
        known = self._known.get(id(statement))
        if known is None or known.statement is not statement:
            return self._hidden_calls(statement)
        if known.calls is None:
            known.calls = self._hidden_calls(statement)
        return known.calls

    def runs(self, statement: Statement, types: Sequence[int]) -> bool:
        """Whether binding a value of these types may write.

        Attack: Parse SELECT $1 with the OID of a domain whose CHECK deletes.
        """
        return (
            bool(types)
            and statement.function in _SEEN
            and self._last is not None
            and not self._last.checked.isdisjoint(types)
        )

    def hiding(self, statement: Statement | None, rules: ColumnRules) -> Hiding:
        """What hides the columns of the statement's answers, as long as tables and views are the same."""
        known = self._known.get(id(statement))
        if known is None or known.statement is not statement or known.rules is not rules:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            hiding = Hiding(rules, lambda columns: self.of(statement, columns), {}, self.types)
            self._known[id(statement)] = known = _Known(statement, rules, hiding)
        return known.hiding

    def types(self) -> OwnTypes:
        """How values of the database's own types are read, as it was known last: an OID stays that of its type while there is
        one. None is known from where this session defines something to where the catalogue is read again."""
        return self._types

    def _hidden_calls(self, statement: Statement) -> frozenset[str]:
        named = statement.read_names or statement.written_names
        if not (named or statement.fields or statement.bare_calls or statement.steps):
            return frozenset()
        seen = statement.function in _SEEN
        if not seen and (statement.function not in STATEMENTS or not (statement.steps or statement.fields)):
            return frozenset()
        if self._last is None:
            return frozenset({"tables that are not known"})
        # Attack: SELECT f(), ('/etc/passwd'::text).pg_read_file, where f may be called and policies see no other function.
        return self._last.hidden_calls(statement) if seen else self._last.disguised(statement)

    def of(self, statement: Statement | None, columns: Sequence[Column]) -> Origin:
        """For each column, those that its values depend on; None when nobody can tell."""
        if statement is None:
            return [None] * len(columns)
        described = [Described(column.name, column.table, column.number) for column in columns]
        found = origins(statement, described, self._relations)
        return found if len(found) == len(columns) else [None] * len(columns)


def moves_path(statement: Statement) -> bool:
    """Whether bare names may mean other tables after the statement."""
    return statement.function == "set" and statement.args["setting"] in _MOVING


async def _read(upstream: Upstream) -> Relations | None:
    channel = upstream.channel
    channel.write(frontend.query(RELATIONS_SQL))
    rows: list[list[str | None]] = []
    failed = False
    while (found := await channel.next()).kind != backend.READY:
        if found.kind == backend.DATA_ROW:
            if len(rows) >= _MOST_ROWS:
                raise Malformed("the database has more tables than can be known")
            rows.append([None if value is None else value.decode() for value in backend.read_row(found.payload)])
        failed = failed or found.kind == backend.ERROR
    upstream.state = backend.read_ready(found.payload)
    try:
        return None if failed else Relations(rows)
    except ValueError:
        return None
