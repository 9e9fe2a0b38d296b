"""A statement as a call: judged with its bound values, sent, and its answer read to the end before the next one begins."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, TypeVar

from msgspec import Struct

from funcgate.catalog.sql import Statement, own_text
from funcgate.core.call import Call, Permit, Shared
from funcgate.core.lease import Lease
from funcgate.core.ports import CallerGone
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.core.turn import AT_ONCE, TURN
from funcgate.wire.postgres import backend, frontend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.frames import Frame, Malformed

from .answer import MEDIA, Answer
from .bound import bound_text
from .channel import Ended
from .copied import Copying
from .copying import copied_in
from .discarding import with_role_again
from .exchange import PostgresExchange, Speaker
from .roles import check_keeps_role, discards_all
from .shape import Hiding
from .target import PostgresTarget

WHOLE = 64 << 10  # bytes of lines; a larger answer comes piece by piece
_PIECE = 160 << 10  # what is made durable, and leaves, together
_LARGEST = 512 << 10  # the same, where much comes fast
_FAST_S = 0.05  # for a piece
# Attack: large values in a hidden column. Their lines are small, the messages that wait behind these are not.
_HELD = 1 << 20
_STEP = 40 << 10  # what is read before others have their turn
_LEAST_S = 0.001
_STATES = (b"I", b"T", b"E")
# What a caller needs to end what it began, however much it has had.
_WITHOUT_ROWS = frozenset({"describe", "transaction", "set", "listen", "cursor", "deallocate"})
_T = TypeVar("_T")


class Prepared(Struct):
    """A statement that was parsed. `statement` None: an empty one. `types` are known from Parse, or once it was described, as
    are `columns`; `formatted` are these in the formats that were asked for; `version` is that of what was known of tables (see
    origins.py); `plan` is plain.py's."""

    sql: str
    statement: Statement | None
    types: tuple[int, ...]
    columns: Sequence[Column] | None = None
    formatted: dict[tuple[int, ...], Sequence[Column]] = {}
    version: int = -1
    plan: Any = None


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
    """`answer` is None until something was sent. `passed`: see plain.py."""

    answer: Answer | None = None
    passed = False
    alone = True  # in its text
    certain = True  # that names mean what they mean now when the statement runs
    _sent = 0
    _size = _counted = 0  # bytes of lines and rows that have been counted
    _until = 0.0

    def __init__(
        self, session: Speaker, function: str, prepared: Prepared, sending: Sending, portal: Portal | None = None
    ) -> None:
        super().__init__(session, function)
        self.prepared = prepared
        self.portal = portal
        self.sending = sending

    async def resolve(self, principal: Principal) -> Call:
        """See `core.ports.Exchange`. Which tables the names mean is asked before anything is judged."""
        statement = self.prepared.statement
        self.check_role(self._site.targets.get(self.target), principal, statement)
        if self.session.origins.needed(statement):
            await self._refresh()
        return await super().resolve(principal)

    def check_role(self, target: PostgresTarget | None, principal: Principal, statement: Statement | None) -> None:
        """Raises `Refused(policy.denied)` where the session's role is not the caller's by now, or would not be any more."""
        role = self.session.role
        if target is None or (target.roles is None and not role):
            return
        # Attack: keep a session open from before another role was meant for its caller.
        if role != (target.roles.of(principal) if target.roles is not None else ""):
            raise Refused(Code.POLICY_DENIED, "The session began with another role; connect again.")
        if statement is not None and not (discards_all(statement) and self.alone and self.sending.ready):
            check_keeps_role(statement)

    def renew(self) -> bool:
        """See `core.ports.Exchange`."""
        if not super().renew():
            return False
        if self.call is not None:
            # Attack: have a statement approved, and the role that it would run with taken away meanwhile.
            self.check_role(self._site.targets.get(self.target), self.call.principal, None)
        return True

    @property
    def failed(self) -> bool:
        """Whether the database said no, or was not asked."""
        return self.answer is None or self.answer.failed

    def arguments(self) -> tuple[dict[str, Any], Shared | None]:
        """See `PostgresExchange`."""
        statement, sql = self.prepared.statement, self.prepared.sql
        if statement is None:
            return {"sql": sql[:1000]}, None
        if self._function == "describe":
            return {**statement.args, "sql": own_text(sql) if statement.template else statement.sql}, None
        own, shared = self.session.target.catalog.parts(statement, self.values(), sql)
        if shared is not None:
            shared = self.session.origins.placed(statement, shared, certain=self.certain)
        return own, shared

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
        if self._function not in _WITHOUT_ROWS:
            await self._spend(0, 0)
        masker = self._site.snapshot.maskers(call.function)
        rules = self.session.target.columns(call.function)
        statement = self.prepared.statement
        origins = self.session.origins
        sent = self._sent_now()
        if not origins.fresh() and (rules or any(map(origins.needed, sent))):
            await self._refresh()
        hiding = origins.hiding(statement, rules)
        origins.check(sent, self.prepared.types)
        self._until = monotonic() + self.session.target.limits.timeout_s
        if statement is not None and discards_all(statement) and self.session.role:
            return await with_role_again(self.session, self._run(hiding, strict=masker.collects), self._noted)
        return await self._run(hiding, strict=masker.collects)

    def _sent_now(self) -> Sequence[Statement | None]:
        """The statements that the database gets with what is written next."""
        return (self.prepared.statement,)

    async def _run(self, hiding: Hiding, *, strict: bool) -> Reply:
        self.write()
        return await self._read(hiding, strict=strict)

    def _noted(self, said: dict[str, str]) -> bytes:
        return self._known().note(said)

    async def _read(self, hiding: Hiding, *, strict: bool) -> Reply:
        """The answer to what was sent."""
        portal, statement = self.portal, self.prepared.statement
        self.answer = Answer(
            self.sending.expected, hiding, strict=strict, columns=(portal.columns if portal is not None else None) or (),
            copy=Copying.by(statement, max(self.session.target.limits.max_response, _HELD)),
        )  # fmt: skip
        if self.sending.ready and (body := await self._whole()) is not None:
            return Reply(status=200, headers=[], media=MEDIA, body=body)
        lines = self.lines()
        if statement is not None and statement.copy == "in" and self.sending.executes:
            # What is copied is recorded before it is sent.
            return Reply(status=200, headers=[], media=MEDIA, stream=lines, lines=True)
        pieces: list[bytes] = []
        size = 0
        async for piece in lines:
            pieces.append(piece)
            size += len(piece)
            if size > WHOLE or self.answer.held > _HELD:
                return Reply(status=200, headers=[], media=MEDIA, stream=_more(b"".join(pieces), lines), lines=True)
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
            raise lost() from None

    async def _whole(self) -> bytes | None:
        """The answer, if it is small and plain: read and turned into lines in one pass. None for another, still to be read."""
        upstream = self.session.upstream
        if upstream is None:
            raise lost()
        channel = upstream.channel
        if channel.empty:
            await self.wait(channel.arrival)
        data = channel.whole(WHOLE)
        body = self._known().whole(data) if data[-1:] in _STATES else None
        if body is not None:
            channel.took(len(data))
            upstream.state = data[-1:]
            self.session.awaiting_ready = self.session.dirty = False
            await self._spend(self._known().rows, len(body))
        return body

    async def wait(self, what: Callable[[float], Awaitable[_T]]) -> _T:
        """For the database, as long as it may take. Raises `Refused(target.…)`."""
        limits = self.session.target.limits
        left_s = min(limits.idle_timeout_s if self._sent else limits.first_byte_timeout_s, self._until - monotonic())
        try:
            if self.session.held:
                await self.session.flush()
            return await what(max(left_s, _LEAST_S))
        except (TimeoutError, Ended) as error:
            raise self.unanswered(error) from None
        except Malformed as malformed:
            raise Refused(Code.TARGET_UNREACHABLE, private_detail=str(malformed)) from None

    def unanswered(self, error: TimeoutError | Ended) -> Refused | CallerGone:
        """What it means that a wait for the database ended with this."""
        if isinstance(error, TimeoutError):
            return Refused(Code.TARGET_TIMEOUT, private_detail="the database took too long")
        return CallerGone() if self.session.caller.ended else lost()

    async def lines(self) -> AsyncIterator[bytes]:
        """The answer, in pieces of whole lines. Raises `Refused(target.…)`."""
        answer = self._known()
        gathered: list[bytes] = []
        size, most, since = 0, _PIECE, monotonic()
        while not self._over(answer):
            full = size > most or (answer.held > _HELD and size > 0)
            if not full and (line := self._rows(answer, _STEP)):
                gathered.append(line)
                size += len(line)
                if len(line) > _STEP // 2:
                    await TURN
                continue
            if full:
                await self._spend(answer.rows, size)
                most = min(2 * most, _LARGEST) if monotonic() - since < _FAST_S else _PIECE
                yield b"".join(gathered)
                gathered, size, since = [], 0, monotonic()
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
        self.session.dirty = False
        if gathered:
            await self._spend(answer.rows, size)
            yield b"".join(gathered)

    def _rows(self, answer: Answer, most: int) -> bytes:
        """The lines of rows that are all there, nothing if the next message is no row, or a large one."""
        upstream = self.session.upstream
        if upstream is None or not answer.in_rows:
            return b""
        try:
            if not (data := upstream.channel.rows(most, answer.row_kind)):
                return b""
            lines, size = answer.take_rows(data)
        except Malformed as malformed:
            upstream.channel.abort()
            raise Refused(Code.TARGET_UNREACHABLE, private_detail=str(malformed)) from None
        upstream.channel.took(size)
        return lines

    def _spend(self, rows: int, size: int) -> Awaitable[None]:
        """Before so many bytes of lines go to the caller, and `rows` in all have come: may they? Raises `Refused`, at once or
        when awaited."""
        target, call = self.session.target, self.call
        limits = target.limits
        self._size += size
        if self._size > limits.max_response or rows > limits.max_rows:
            detail = f"the answer has more than {limits.max_rows} rows (max_rows) or {limits.max_response} bytes (max_response)"
            raise Refused(Code.BUDGET_EXCEEDED, private_detail=detail)
        if target.budgets and call is not None and self._function not in _WITHOUT_ROWS:
            new, self._counted = rows - self._counted, rows
            return self.session.accounts.spend(target.name, target.budgets, call.principal, new, size)
        self._counted = rows
        return AT_ONCE

    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`."""
        if reply.stream is None:
            answer, body = self._known(), reply.body or b""
            passing = answer.passing(body)
            if passing and self.session.caller.ended:
                raise CallerGone
            if passing:
                self.session.hold(b"".join(self._heads(answer)) + passing if answer.heads else passing)
            else:
                await self._pass(body, first=True)
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
        messages = answer.written(lines)
        await self.pass_on(b"".join([*self._heads(answer), messages]) if first else messages)

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
            try:
                upstream.state = backend.read_ready(found.payload)
            except Malformed as malformed:
                upstream.channel.abort()
                raise Refused(Code.TARGET_UNREACHABLE, private_detail=str(malformed)) from None
        self.session.awaiting_ready = False

    async def _frame(self) -> Frame:
        """The next message. Raises `Refused(target.…)`."""
        upstream = self.session.upstream
        if upstream is None:
            raise lost()
        try:
            found = upstream.channel.poll()
        except Malformed as malformed:
            raise Refused(Code.TARGET_UNREACHABLE, private_detail=str(malformed)) from None
        if found is None:
            found = await self.wait(upstream.channel.next)
        self._sent += 1
        return found

    async def _copy_in(self, answer: Answer) -> AsyncIterator[bytes]:
        await self.pass_on(b"".join([*self._heads(answer), answer.latest()]))
        upstream = self.session.upstream
        if upstream is None:
            raise lost()
        try:
            async for lines in copied_in(self.session, upstream.channel, answer, synced=self.sending.ready):
                yield lines
        except Ended:
            raise (CallerGone() if self.session.caller.ended else lost()) from None
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
            bound_text(types[at] if at < len(types) else 0, form, value)
            for at, (form, value) in enumerate(zip(bind.formats, bind.values, strict=True))
        ]

    async def _refresh(self) -> None:
        """What the database says of its tables, before a statement of which some column may be hidden."""
        session, upstream = self.session, self.session.upstream
        if upstream is None:
            raise lost()
        possible = not session.unsynced and not session.awaiting_ready
        session.dirty = True
        try:
            async with asyncio.timeout(session.target.limits.first_byte_timeout_s):
                await session.origins.refresh(upstream, possible=possible)
        except (Ended, Malformed, TimeoutError, ValueError):
            upstream.channel.abort()
            raise lost() from None
        session.dirty = False


def lost() -> Refused:
    return Refused(Code.TARGET_UNREACHABLE, private_detail="the database closed the connection")


async def _more(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
