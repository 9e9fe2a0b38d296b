"""A statement as a call: judged with its bound values, sent, and its answer read to the end before the next one begins."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from time import monotonic
from typing import Any

from msgspec import Struct

from funcgate.catalog.sql import Statement
from funcgate.core.call import Permit
from funcgate.core.lease import Lease
from funcgate.core.ports import CallerGone
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.wire.postgres import backend, frontend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.frames import Frame, Malformed
from funcgate.wire.postgres.values import Opaque, shown

from .answer import MEDIA, Answer, Hiding, Origin
from .channel import Ended
from .copying import copied_in
from .exchange import PostgresExchange, Speaker

_WHOLE = 64 << 10  # bytes of lines; a larger answer comes piece by piece
_PIECE = 32 << 10


class Prepared(Struct):
    """A statement that was parsed. `statement` None: an empty one. `types` are known from Parse, or once it was described."""

    sql: str
    statement: Statement | None
    types: tuple[int, ...]
    columns: Sequence[Column] | None = None


class Portal(Struct):
    """A statement with its values. `columns` is None until it was described. `behind` is what the name that it uses stood for
    when it was bound."""

    prepared: Prepared
    bind: frontend.Bind
    columns: Sequence[Column] | None = None
    behind: Statement | None = None


class Sending(Struct):
    """What goes to the database for one call: bytes, and the types of the messages that come before the statement's own
    answer (see `Answer`). `executes` False: there is no such answer. `ready`: a ReadyForQuery ends it."""

    data: bytes
    expected: Sequence[str] = ()
    executes: bool = True
    ready: bool = True


class StatementExchange(PostgresExchange):
    """`parameters` are the bound values as the arguments show them."""

    def __init__(
        self, session: Speaker, function: str, prepared: Prepared, sending: Sending, portal: Portal | None = None
    ) -> None:
        super().__init__(session, function)
        self.prepared = prepared
        self.portal = portal
        self.answer: Answer | None = None
        self.sending = sending
        self._sent = 0
        self._until = 0.0

    def arguments(self) -> dict[str, Any]:
        """See `PostgresExchange`."""
        statement = self.prepared.statement
        if statement is None:
            return {"sql": self.prepared.sql[:1000]}
        if self._function == "describe":
            return dict(statement.args)
        return self.session.target.catalog.arguments(statement, self.values())

    def content(self) -> bytes:
        bind = self.portal.bind if self.portal is not None else None
        values = (bind.formats, bind.values, bind.results) if bind is not None else ()
        statement = self.prepared.statement
        # Attack: have FETCH or EXECUTE approved, and send it again when the name stands for something else.
        handle = statement.handle if statement is not None else None
        made = (handle.made.sql, handle.values) if handle is not None and handle.made is not None else ()
        return repr((self.prepared.sql, self.prepared.types, values, *made)).encode()

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        """See `core.ports.Exchange`."""
        call = self.call
        if call is None:
            raise TypeError("a statement that was never resolved")
        permit.spend(call.digest)
        masker = self._site.snapshot.maskers(call.function)
        rules = self.session.target.columns(call.function)
        statement = self.prepared.statement
        if rules or (statement is not None and statement.args["reads"]):
            await self._refresh()
        if statement is not None and (calls := self.session.origins.hidden_calls(statement)):
            # Attack: SELECT * FROM a_view, which deletes.
            detail = f"calls that no policy was asked about: {', '.join(sorted(calls))}"
            raise Refused(
                Code.POLICY_DENIED, "Something here calls functions that policies cannot see.", private_detail=detail
            )
        portal = self.portal
        self.answer = Answer(
            self.sending.expected, Hiding(rules, self._origins), strict=masker.collects,
            columns=(portal.columns if portal is not None else None) or (),
            sql=self.prepared.sql,
        )  # fmt: skip
        self._until = monotonic() + self.session.target.limits.timeout_s
        self.write()
        lines = self.lines()
        if self.prepared.statement is not None and self.prepared.statement.copy == "in":
            return Reply(
                status=200, headers=[], media=MEDIA, stream=lines
            )  # what is copied is recorded before it is sent
        pieces: list[bytes] = []
        size = 0
        async for piece in lines:
            pieces.append(piece)
            size += len(piece)
            if size > _WHOLE:
                return Reply(status=200, headers=[], media=MEDIA, stream=_more(b"".join(pieces), lines))
        failed = self.answer.failed
        return Reply(status=400 if failed else 200, headers=[], media=MEDIA, body=b"".join(pieces))

    def write(self) -> None:
        """The statement's messages, to the database."""
        upstream, session = self.session.upstream, self.session
        if upstream is None:
            raise Refused(Code.TARGET_UNREACHABLE, private_detail="the session has no connection")
        session.dirty = True
        session.awaiting_ready = self.sending.ready
        session.unsynced = not self.sending.ready
        try:
            upstream.channel.write(self.sending.data)
        except Ended:
            raise _lost() from None

    async def lines(self) -> AsyncIterator[bytes]:
        """The answer, in pieces of whole lines. Raises `Refused(target.…)`."""
        answer, limit = self._known(), self.session.target.limits.max_response
        gathered: list[bytes] = []
        size = whole = 0
        while not self._over(answer):
            found = await self._frame()
            if found.kind == backend.READY:
                self._ready(found, answer)
                continue
            line = self._take(answer, found)
            if answer.copying == backend.COPY_IN and found.kind == backend.COPY_IN:
                async for copied in self._copy_in(answer):
                    yield copied
                continue
            gathered.append(line)
            size += len(line)
            whole += len(line)
            if whole > limit:
                raise Refused(
                    Code.MASKING_REFUSED, private_detail=f"the answer is larger than max_response ({limit} bytes)"
                )
            if size > _PIECE:
                yield b"".join(gathered)
                gathered, size = [], 0
        self.session.dirty = False
        if gathered:
            yield b"".join(gathered)

    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`."""
        if reply.stream is None:
            await self._pass(reply.body or b"", first=True)
            return
        held, first = b"", True
        async for piece in reply.stream:
            whole, _, rest = (held + piece).rpartition(b"\n")
            held = rest
            if whole:
                await self._pass(whole + b"\n", first=first)
                first = False
        if held:
            raise Refused(Code.MASKING_REFUSED, private_detail="a masked answer that does not end with a line")

    async def _pass(self, lines: bytes, *, first: bool) -> None:
        answer = self._known()
        parts = [answer.messages(line) for line in lines.split(b"\n")[:-1]]
        if first:
            parts[:0] = self._heads(answer)
        await self.pass_on(b"".join(parts))

    def _heads(self, answer: Answer) -> list[bytes]:
        heads, answer.heads = answer.heads, []
        return heads

    def _take(self, answer: Answer, found: Frame) -> bytes:
        try:
            return answer.take(found)
        except Malformed as malformed:
            # Whatever comes after it would be read as the answer to something else: this connection is over.
            if self.session.upstream is not None:
                self.session.upstream.channel.abort()
            raise Refused(Code.TARGET_UNREACHABLE, private_detail=str(malformed)) from None

    def _over(self, answer: Answer) -> bool:
        """Whether there is nothing more to read for this statement."""
        if self.sending.ready:
            return not self.session.awaiting_ready
        return answer.done or (not self.sending.executes and not answer.waiting)

    def _ready(self, found: Frame, answer: Answer) -> None:
        if not self.sending.ready or not (answer.done or not self.sending.executes):
            raise Refused(Code.TARGET_UNREACHABLE, private_detail="the database is ready too early")
        upstream = self.session.upstream
        if upstream is not None:
            upstream.state = found.payload
        self.session.awaiting_ready = False

    async def _frame(self) -> Frame:
        """The next message. Raises `Refused(target.…)`."""
        upstream = self.session.upstream
        if upstream is None:
            raise _lost()
        channel, limits = upstream.channel, self.session.target.limits
        try:
            found = channel.poll()
            if found is None:
                wait_s = min(
                    limits.idle_timeout_s if self._sent else limits.first_byte_timeout_s, self._until - monotonic()
                )
                async with asyncio.timeout(max(wait_s, 0.0)):
                    found = await channel.next()
        except TimeoutError:
            raise Refused(Code.TARGET_TIMEOUT, private_detail="the database took too long") from None
        except Ended:
            raise _lost() from None
        except Malformed as malformed:
            raise Refused(Code.TARGET_UNREACHABLE, private_detail=str(malformed)) from None
        self._sent += 1
        return found

    async def _copy_in(self, answer: Answer) -> AsyncIterator[bytes]:
        await self.pass_on(b"".join([*self._heads(answer), answer.latest()]))
        upstream = self.session.upstream
        if upstream is None:
            raise _lost()
        try:
            async for lines in copied_in(self.session, upstream.channel, answer):
                yield lines
        except Ended:
            raise (CallerGone() if self.session.caller.ended else _lost()) from None
        answer.copying = b""
        self._until = monotonic() + self.session.target.limits.timeout_s

    def _known(self) -> Answer:
        if self.answer is None:
            raise TypeError("an answer to a statement that was never sent")
        return self.answer

    def values(self) -> list[Any]:
        """The bound values: text whichever way they were sent, so that a policy sees the same."""
        statement = self.prepared.statement
        if statement is not None and statement.handle is not None and not statement.handle.makes:
            return list(statement.handle.values)
        if self.portal is None:
            return []
        bind, types = self.portal.bind, self.prepared.types
        return [
            _bound(types[at] if at < len(types) else 0, form, value)
            for at, (form, value) in enumerate(zip(bind.formats, bind.values, strict=True))
        ]

    def _origins(self, columns: Sequence[Column]) -> Origin:
        return self.session.origins.of(self.prepared.statement, columns)

    async def _refresh(self) -> None:
        """What the database says of its tables, before a statement of which some column may be hidden."""
        session, upstream = self.session, self.session.upstream
        if upstream is None:
            raise _lost()
        session.dirty = True
        try:
            async with asyncio.timeout(session.target.limits.first_byte_timeout_s):
                await session.origins.refresh(upstream, possible=not session.unsynced)
        except (Ended, Malformed, TimeoutError, ValueError):
            upstream.channel.abort()
            raise _lost() from None
        session.dirty = False


def _bound(kind: int, form: int, value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        found = shown(kind, form, value)
    except Malformed:
        raise Refused(Code.REQUEST_INVALID, "A bound value is not UTF-8.") from None
    if isinstance(found, Opaque):
        return {"hex": value.hex()}
    if isinstance(found, bool):
        return "true" if found else "false"
    return found if isinstance(found, str | list) else str(found)


def _lost() -> Refused:
    return Refused(Code.TARGET_UNREACHABLE, private_detail="the database closed the connection")


async def _more(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
