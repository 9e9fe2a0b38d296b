"""The extended protocol: Parse, Bind and Describe are gathered until they come to a call, and sent with it.

Nothing reaches the database before the statement that it belongs to was allowed, with the values that are bound to it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import structs

from funcgate.catalog.sql import Statement
from funcgate.core.refusal import Code, Refused
from funcgate.wire.postgres import backend, frontend
from funcgate.wire.postgres.frames import Frame, Malformed, frame

from .exchange import PostgresExchange, Speaker
from .formats import describe, formatted
from .handles import Handles
from .labels import labelled
from .names import Names
from .standing import Gathering
from .statement import Portal, Prepared, Sending, StatementExchange
from .target import PostgresTarget
from .upstream import Upstream

_MAX_NAME = 63  # bytes; the server cuts longer names
_MOST_WAITING = 1 << 20  # bytes of messages that are not part of a call yet


class Carrier(Speaker, Protocol):
    """What the extended protocol asks of its session."""

    handles: Handles

    async def carry(self, exchange: PostgresExchange) -> bool: ...

    async def refuse(self, why: Refused) -> None: ...

    async def abort(self) -> None: ...

    async def ready(self) -> None: ...

    def passed(self) -> bool: ...

    def settled(self, found: Frame) -> None: ...

    async def unasked(self, found: Frame) -> None: ...

    def took_effect(self, statement: Statement, *, values: Sequence[Any] = (), failed: bool = False) -> None: ...

    def target_now(self) -> PostgresTarget: ...


class Extended(Gathering):
    """The state of one session's extended protocol. After an error everything is skipped up to the next Sync."""

    def __init__(self, session: Carrier) -> None:
        self._session = session
        self.names = names = Names()
        self._statements = names.statements
        self._portals = names.portals
        self._failed = False
        self._ran = False  # a statement, since the last Sync
        self._held = 0  # bytes of named statements and portals, at most: none is taken off
        self._clear()

    def _clear(self) -> None:
        self._waiting: list[bytes] = []
        self._size = 0
        self._expected: list[str] = []
        self._about: Prepared | None = None
        self._bound: Portal | None = None
        self._asked: list[Prepared | Portal] = []
        self._new: list[tuple[str, str]] = []  # what the messages that wait make: S or P, and its name

    def _columns(self, prepared: Prepared, formats: tuple[int, ...]) -> Sequence[backend.Column] | None:
        """The columns that a Bind will bring; None where the database has to be asked."""
        statement, target = prepared.statement, self._session.target
        target = self._session.site.targets.get(target.name, target)
        if prepared.columns and statement is not None and target.columns(f"{target.name}.{statement.function}"):
            # Attack: have a statement described, and another session take its table away: it runs on the next one of that name.
            return None
        return formatted(prepared, formats, self._session.origins)

    async def take(self, found: Frame) -> None:
        """One message. Raises `Ended`, `Malformed`."""
        kind = found.kind
        if kind == frontend.SYNC:
            await self._sync()
        elif self._failed:
            return
        else:
            try:
                await self._take(kind, found)
            except Refused as why:
                await self._session.refuse(why)
                await self._fail()

    async def _take(self, kind: bytes, found: Frame) -> None:
        if kind == frontend.PARSE:
            await self._parse(found)
        elif kind == frontend.BIND:
            await self._bind(found)
        elif kind == frontend.DESCRIBE:
            await self._describe(found)
        elif kind == frontend.EXECUTE:
            await self._execute(found)
        elif kind == frontend.CLOSE:
            await self._close(found)
        elif kind == frontend.FLUSH:
            await self._flush()
        else:
            raise Malformed("a message that may not come here")

    # Messages.

    async def _parse(self, found: Frame) -> None:
        name, sql, types = frontend.read_parse(found.payload)
        _check_name(name)
        if not await self._part_from(None):
            return
        statements = self._session.target_now().catalog.analyse(sql)
        if len(statements) > 1:
            raise Refused(Code.REQUEST_INVALID, "A prepared statement holds one statement.")
        self._check_room(len(found.raw) if name else 0)
        # Attack: parse one statement, then another one by its name. The server keeps the first one; the second is judged.
        if name and name in self._statements:
            raise _named_wrongly("42P05", "There is a prepared statement of that name already.")
        statement = labelled(statements[0], self._session.subject) if statements else None
        if statement is not None and statement.function == "set" and statement.sql != sql:
            sql = statement.sql
            found = Frame(frontend.PARSE, b"", frontend.parse(name, sql))
        self._statements[name] = self._about = Prepared(sql, statement, types)
        self._new.append(("S", name))
        self._wait(found, "1")

    async def _bind(self, found: Frame) -> None:
        bind = frontend.read_bind(found.payload)
        prepared = self._statements.get(bind.statement)
        if prepared is None:
            raise _named_wrongly("26000", "There is no such prepared statement.")
        # Attack: bind what no policy would allow, then other values in its place, which are judged: both would be sent.
        if not await self._part_from(prepared if self._bound is None else None):
            return
        _check_name(bind.portal)
        self._check_room(len(found.raw) if bind.portal else 0)
        handles = self._session.handles
        # Attack: a portal under the name of a cursor, so that FETCH is judged as the one and brings the rows of the other.
        if bind.portal and (bind.portal in self._portals or handles.cursor(bind.portal) is not None):
            raise _named_wrongly("42P03", "There is a portal of that name already.")
        self._new.append(("P", bind.portal))
        # Attack: describe FETCH or EXECUTE, then give its name to a statement with other columns.
        named = prepared.statement is not None and prepared.statement.handle is not None
        columns = None if named else self._columns(prepared, bind.results)
        portal = Portal(prepared, bind, columns, handles.behind(prepared.statement))
        self._bound = self._portals[bind.portal] = portal
        self._about = prepared
        self._wait(found, "2")

    async def _describe(self, found: Frame) -> None:
        what, name = frontend.read_named(found.payload)
        about: Prepared | Portal | None = self._statements.get(name) if what == "S" else self._portal(name)
        if about is None:
            raise _named_wrongly("26000" if what == "S" else "34000", "There is nothing of that name to describe.")
        prepared = about if isinstance(about, Prepared) else about.prepared
        if not await self._part_from(prepared, about if isinstance(about, Portal) else None):
            return
        self._about = prepared
        self._asked.append(about)
        self._wait(found, *(("t", "T") if what == "S" else ("T",)))

    def _portal(self, name: str) -> Portal | None:
        """A portal of the protocol, or a cursor of that name, which drivers ask for its columns."""
        made = self._session.handles.cursor(name)
        if made is None:
            return self._portals.get(name)
        return Portal(Prepared(made.sql, made, ()), frontend.Bind(name, "", (), (), ()))

    async def _close(self, found: Frame) -> None:
        """Close is no call: it ends what the session has, and nothing else."""
        what, name = frontend.read_named(found.payload)
        _check_name(name)
        if not await self._part_from(None):
            return
        self._forget([(what, name)])
        session, upstream = self._session, self._session.upstream
        if what == "P" and name:
            session.handles.closed(name)
        if upstream is not None:
            upstream.channel.write(found.raw + frontend.FLUSH_FRAME)
            session.unsynced = True
            await self._until(upstream, backend.CLOSE_COMPLETE)
        await session.tell(frame(backend.CLOSE_COMPLETE))

    async def _execute(self, found: Frame) -> None:
        portal = self._portals.get(frontend.read_execute(found.payload).portal)
        if portal is None:
            raise _named_wrongly("34000", "There is no such portal.")
        if not await self._part_from(portal.prepared, portal):
            return
        data, expected, asked = self._waiting, self._expected, self._asked
        if portal.columns is None and portal not in asked:
            data.append(frame(frontend.DESCRIBE, b"P" + found.payload[:-4]))  # the rows cannot be read without it
            expected.append("-T")
            asked.append(portal)
        statement = portal.prepared.statement
        self._ran = True
        joined = (statement is None or statement.copy != "in") and self._session.caller.follows(frontend.SYNC_FRAME)
        data += (found.raw, frontend.SYNC_FRAME if joined else frontend.FLUSH_FRAME)
        sending = Sending(b"".join(data), expected, ready=joined)
        new = self._taken()
        function = statement.function if statement is not None else "describe"
        await self._carry(function, portal.prepared, sending, portal, asked, new)

    async def _flush(self) -> None:
        await self._part_from(None)

    async def ended_unsaid(self) -> bool:
        """End a batch that nothing ran in and that the caller has flushed, as asyncpg leaves it after it prepared a statement;
        False for any other: what ran in it would be committed apart from the simple query that comes now."""
        upstream = self._session.upstream
        if self._ran or self._failed or self._waiting or upstream is None:
            return False
        upstream.channel.write(frontend.SYNC_FRAME)
        await self._until(upstream, backend.READY)
        return True

    async def _sync(self) -> None:
        session = self._session
        if not self._failed:
            try:
                await self._part_from(None)
            except Refused as why:
                await session.refuse(why)
                await self._fail()
        upstream = session.upstream
        if upstream is not None and session.unsynced:
            upstream.channel.write(frontend.SYNC_FRAME)
            await self._until(upstream, backend.READY)
        self._clear()
        self._failed = self._ran = False
        await session.ready()

    # Calls.

    def _wait(self, found: Frame, *expected: str) -> None:
        self._size += len(found.raw)
        if self._size > _MOST_WAITING + self._session.target.limits.max_request:
            raise Refused(Code.REQUEST_TOO_LARGE, "Too many messages without a call.")
        self._waiting.append(found.raw)
        self._expected += expected

    async def _part_from(self, prepared: Prepared | None, portal: Portal | None = None) -> bool:
        """Send what waits, when the next message is about another statement (None: whichever) or other values. False when that
        failed, and nothing more may be sent: the server hears nothing until Sync."""
        same = prepared is not None and (self._about is None or self._about is prepared)
        if self._waiting and not (same and (portal is None or self._bound is None or self._bound is portal)):
            await self._prepare()
        return not self._failed

    async def _prepare(self) -> None:
        """What waits has no Execute. With values bound it is judged as the statement; else it only asks what there is."""
        about, bound = self._about, self._bound
        sending = Sending(
            b"".join([*self._waiting, frontend.FLUSH_FRAME]), [*self._expected], executes=False, ready=False
        )
        asked = self._asked
        new = self._taken()
        if about is None:
            raise TypeError("messages that are about nothing")
        judged = bound is not None and about.statement is not None
        function = about.statement.function if judged and about.statement is not None else "describe"
        await self._carry(function, about, sending, bound, asked, new)

    async def _carry(
        self,
        function: str,
        prepared: Prepared,
        sending: Sending,
        portal: Portal | None,
        asked: Sequence[Prepared | Portal],
        new: Sequence[tuple[str, str]],
    ) -> None:
        session = self._session
        statement = prepared.statement
        if statement is not None and statement.handle is not None and function == statement.function:
            if portal is not None and session.handles.behind(statement) != portal.behind:
                # Attack: what the name stood for when it was bound says which columns come; they would be those of another one.
                raise Refused(Code.REQUEST_INVALID, "The name stands for something else than when it was bound.")
            statement = session.handles.resolve(statement)
            prepared, function = structs.replace(prepared, statement=statement), statement.function
            if portal is not None and sending.executes:
                # Attack: fetch one row, then put another cursor in this one's place, and ask the same portal for the others.
                portal.prepared = prepared
        exchange = StatementExchange(session, function, prepared, sending, portal)
        await self._follow(exchange, portal, asked, new)

    async def _follow(
        self,
        exchange: StatementExchange,
        portal: Portal | None,
        asked: Sequence[Prepared | Portal],
        new: Sequence[tuple[str, str]],
    ) -> None:
        """Carry it, and keep what came of it."""
        session, kept = self._session, False
        try:
            kept = await session.carry(exchange) and not exchange.failed
        finally:
            if not kept:
                # Attack: a Parse that was cut short, so that a name means one statement here and another one there.
                self._forget(new)
        await self._followed(exchange, portal, asked, kept=kept)

    async def _followed(
        self, exchange: StatementExchange, portal: Portal | None, asked: Sequence[Prepared | Portal], *, kept: bool
    ) -> None:
        session, answer, prepared = self._session, exchange.answer, exchange.prepared
        if not kept or answer is None:
            await self._fail(aborted=exchange.refused is None)
            return
        parameters = iter(answer.parameters)
        for about, columns in zip(asked, answer.descriptions, strict=True):
            self.described(about, columns)
            if isinstance(about, Prepared):
                about.types = next(parameters)
        if exchange.sending.executes and prepared.statement is not None:
            running = (prepared, portal.columns) if portal is not None else None
            session.took_effect(prepared.statement, values=exchange.values(), failed=answer.failed)
            if portal is not None and running is not None and answer.suspended:
                portal.prepared, portal.columns = running  # which nothing that it does can close

    def described(self, about: Prepared | Portal, columns: Sequence[backend.Column]) -> None:
        about.columns = columns
        prepared = about if isinstance(about, Prepared) else about.prepared
        named = prepared.statement is not None and prepared.statement.handle is not None
        if prepared is about or (prepared.columns is not None and not named):
            describe(prepared, columns, self._session.origins.version)

    async def _fail(self, *, aborted: bool = False) -> None:
        """A refusal is to the session what an error of the server is. `aborted`: it was one."""
        self._forget(self._new)
        self._clear()
        self._failed = True
        if not aborted:
            await self._session.abort()

    def _check_room(self, size: int) -> None:
        # Attack: statements and portals with long texts and values, never closed, until the memory is gone.
        limits = self._session.limits
        self._held += size
        if self._held > limits.max_held:  # by now some were closed, maybe
            values = [value for portal in self._portals.values() for value in portal.bind.values if value]
            self._held = size + sum(map(len, values)) + sum(len(each.sql) for each in self._statements.values())
        if len(self._statements) + len(self._portals) >= limits.max_statements or self._held > limits.max_held:
            raise Refused(Code.REQUEST_TOO_LARGE, "The session holds too many statements and portals; close some.")

    def _taken(self) -> Sequence[tuple[str, str]]:
        """What the messages that are sent now make; nothing waits any more."""
        new = self._new
        self._clear()
        return new

    def _forget(self, names: Sequence[tuple[str, str]]) -> None:
        for what, name in names:
            (self._statements if what == "S" else self._portals).pop(name, None)

    def end(self) -> None:
        """The session is over, and nothing of it is kept: it would keep the session in turn."""
        self._clear()
        self._statements.clear()
        self._portals.clear()
        del self._session

    async def _until(self, upstream: Upstream, kind: bytes) -> Frame:
        """Read up to a message of this type; what comes before it is passed on as what comes unasked."""
        unasked: list[Frame] = []
        limits, size = self._session.target.limits, 0
        async with asyncio.timeout(limits.timeout_s):
            while (found := await upstream.channel.next()).kind != kind:
                unasked.append(found)
                # Attack: notices without an end, all kept until the end comes.
                if (size := size + len(found.raw)) > limits.max_response:
                    raise Malformed("more notices than an answer may have bytes")
        if kind == backend.READY:
            self._session.settled(found)
        for each in unasked:
            await self._session.unasked(each)
        return found


def _named_wrongly(sqlstate: str, detail: str) -> Refused:
    """Drivers that keep statements prepare one anew when they are told that it is gone, as the database would tell them."""
    return Refused(Code.REQUEST_INVALID, detail, public={"sqlstate": sqlstate})


def _check_name(name: str) -> None:
    # Attack: two long names that the server cuts to one, so that closing the one frees the other.
    if len(name) > _MAX_NAME or not name.isascii():
        detail = f"A name of a statement or portal has at most {_MAX_NAME} characters, all of them ASCII."
        raise Refused(Code.REQUEST_INVALID, detail)
