"""A caller's session from its login on: messages in, calls through the gateway, messages out, one call after the other.

It decides nothing about a statement. Whatever it keeps (statements, portals, a connection) ends with it.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from funcgate.catalog.sql import Statement
from funcgate.core.ids import new_id
from funcgate.core.principal import Principal, RawToken
from funcgate.core.refusal import Code, Refused
from funcgate.core.session import session_of
from funcgate.gateway import Gateway
from funcgate.wire.postgres import backend, frontend
from funcgate.wire.postgres.frames import Frame, Malformed

from .channel import Alarm, Channel, Ended
from .connecting import Connect
from .exchange import PostgresExchange, Refusal, Sites
from .handles import Handles
from .labels import labelled
from .notifying import Notification
from .origins import Origins
from .plain import Plain, Plan, plan_of
from .quick import quick_of
from .runs import Runs
from .script import run_script
from .standing import Standing
from .statement import Prepared, Sending, StatementExchange
from .target import PostgresSite, PostgresTarget, SessionLimits
from .upstream import Upstream

_POISON = frontend.parse("funcgate_refused", "funcgate_refused") + frontend.SYNC_FRAME
_BETWEEN = "\n;\n"  # a statement may end in a comment
_MOST_STATEMENTS = 100  # of one text
_REPAIR_S = 10.0
_MOST_PLANS = 500
_QUERY, _BIND = frontend.QUERY[0], frontend.BIND[0]
_CANCELLED = backend.error("ERROR", "57014", "canceling statement due to user request")
_QUIET = frozenset({frontend.COPY_DATA, frontend.COPY_DONE, frontend.COPY_FAIL})


class Session(Standing):
    """One caller, one connection to a database. `settings` names what SET statements made of the session."""

    def __init__(
        self,
        gateway: Gateway,
        sites: Sites,
        caller: Channel,
        client: str,
        target: PostgresTarget,
        token: RawToken | None,
    ) -> None:
        self.name = f"pg-{new_id()}"
        self.client = client
        self.caller = caller
        self.upstream: Upstream | None = None
        self.limits: SessionLimits = sites.limits
        self.token = token
        self.target = target
        self.settings = ""
        self.subject = ""
        self.role = ""
        self.awaiting_ready = False
        self.unsynced = False
        self.dirty = False
        self.origins = Origins()
        self.accounts = sites.accounts
        self.renew_key()
        self.gateway = gateway
        self.sites = sites
        self.extended = Runs(self)
        self.handles = Handles(self.extended.names)
        self._task: asyncio.Task[Any] | None = None  # the session's own
        self.script_task: asyncio.Task[None] | None = None
        self._carrying = False
        self._loop = asyncio.get_running_loop()
        self.alarm = Alarm(self._loop)
        self._named: tuple[Principal, str] | None = None
        self.held: list[bytes] = []  # for the caller, with what comes next
        self._cancelling: set[asyncio.Task[None]] = set()
        self._cancelled = False
        self.plans: dict[int, Plan] = {}
        self._quick = quick_of(self, self._loop)

    @property
    def site(self) -> PostgresSite:
        return self.sites.site

    def renew_key(self) -> None:
        """Another key to cancel with: a number that looks like a process id, and a secret."""
        self.key = (secrets.randbelow((1 << 31) - 1) + 1, secrets.token_bytes(4))

    async def run(self, parameters: dict[str, str]) -> None:
        """Until the caller goes away. Raises `Ended`, `Malformed`, `TimeoutError`."""
        self._task = asyncio.current_task()
        try:
            connecting = Connect(self, parameters, self.key, b"")
            await self.carry(connecting)
            if connecting.refused is not None or self.upstream is None:
                return
            while await self._one(self.caller):
                pass
        finally:
            self._end()

    async def _one(self, caller: Channel) -> bool:
        """What comes next, carried; False when the caller says goodbye. Raises as `run` does."""
        # Attack: read from the memory of a session that is idle what it sent last. It waits in here, before anything has come.
        kind = caller.kind()
        if kind == _QUERY and (query := caller.query()) is not None:
            await self._query(*query)
            return True
        if kind == _BIND and (run := self.extended.run()) is not None:
            await self.extended.carry_run(*run)
            return True
        found = (caller.poll() if kind >= 0 else None) or await self._next()
        if found is None:
            if (left := self._quick.left) is not None:
                self._quick.left = None
                await self._settle(*left)
            return True
        if found.kind == frontend.TERMINATE:
            return False
        await self._take(found)
        return True

    async def carry(self, exchange: PostgresExchange) -> bool:
        """One call through the gateway. False when it was refused, or cancelled by its caller."""
        self._carrying = True
        try:
            await self.gateway.carry(exchange, self.sites.site.snapshot)
        except asyncio.CancelledError:
            self._carrying = False
            await self.cancelled_by_caller()
            exchange.refused = Refused(Code.REQUEST_INVALID)
        finally:
            self._carrying = False
        return exchange.refused is None

    async def cancelled_by_caller(self) -> None:
        """Tell that what did not run yet was cancelled. Raises the cancellation again when it is the session's own end."""
        asked, self._cancelled = self._cancelled, False
        if not asked or self._task is None:
            raise asyncio.CancelledError
        if self.script_task is None and self._task.uncancel():
            raise asyncio.CancelledError  # the caller has gone, too
        await self.tell(_CANCELLED)

    async def _settle(self, plain: Plain, error: BaseException | None) -> None:
        """What is left to do after a statement that was carried beside the session's task (quick.py)."""
        if isinstance(error, asyncio.CancelledError) and self._cancelled:
            self._cancelled = False
            await self.tell(_CANCELLED)
            plain.refused = Refused(Code.REQUEST_INVALID)
        elif error is not None:
            raise error
        self._cancelled = False
        carried = plain.refused is None
        if plain.portal is not None:
            await self.extended.carried(plain, plain.portal, carried=carried)
        else:
            await self._carried(plain, carried=carried)

    async def refuse(self, why: Refused) -> None:
        """Record and tell a refusal of something that is no call yet."""
        await self.carry(Refusal(self, why))

    async def tell(self, data: bytes) -> None:
        """To the caller. Raises `Ended`, also when it does not read."""
        if data:
            self.held.append(data)
        await self.flush()

    def hold(self, data: bytes) -> None:
        """For the caller, in one piece with what comes next: at the latest before anything is waited for."""
        self.held.append(data)

    def send(self, data: bytes) -> None:
        """To the caller, behind what is held, whether it reads or not: `flush` comes later. Raises `Ended`."""
        if self.held:
            data = b"".join((*self.held, data))
            self.held = []
        self.caller.write(data)

    async def flush(self) -> None:
        """What is held, to the caller. Raises `Ended`, also when it does not read."""
        if self.held:
            self.send(b"")
        if not self.caller.full:
            if self.caller.ended:
                raise Ended
            return
        try:
            async with asyncio.timeout(self.limits.write_timeout_s):
                await self.caller.drain()
        except TimeoutError:
            # Attack: a caller that asks for much and reads nothing, and so keeps a connection to the database busy.
            self.caller.abort()
            raise Ended from None

    def session_of(self, principal: Principal) -> str:
        """See `core.session`: worked out once for a principal."""
        if self._named is None or self._named[0] is not principal:
            self._named = principal, session_of(principal, self.name)
        return self._named[1]

    async def cancel(self) -> None:
        """What a cancel request with this session's key asks for: the statement that runs, or waits for an approval. Returns
        once the database was asked, too: a request that gets there later cancels the caller's next statement."""
        if (self.dirty or self.awaiting_ready) and self.upstream is not None:
            task = asyncio.ensure_future(self.upstream.cancel())
            self._cancelling.add(task)
            task.add_done_callback(self._cancelling.discard)
            await asyncio.shield(task)  # also for a caller that does not wait until it is told
        elif self._quick.busy:
            self._cancelled = self._quick.cancel() or self._cancelled
        elif not self._cancelled:
            running: asyncio.Task[Any] | None = self.script_task or (self._task if self._carrying else None)
            if running is not None:
                self._cancelled = True
                running.cancel()

    async def abort(self) -> None:
        """After a refusal: bring the connection to where a failed statement would have brought it. Raises `Ended`."""
        upstream = self.upstream
        if upstream is None:
            raise Ended
        async with asyncio.timeout(_REPAIR_S):
            if self.dirty or self.awaiting_ready:
                await upstream.cancel()
                upstream.channel.write(frontend.copy_fail("refused"))  # ignored unless it copies
            if self.awaiting_ready:
                await self.settle()
            if self.unsynced or upstream.state == b"T":
                # What went before in the same transaction must not take effect: as after any other error.
                upstream.channel.write(_POISON)
                await self.settle()
        self.dirty = False

    async def settle(self) -> None:
        """Read up to the next ReadyForQuery; nothing of it is for the caller. Raises `Ended`, `Malformed`."""
        upstream = self.upstream
        if upstream is None:
            raise Ended
        while (found := await upstream.channel.next()).kind != backend.READY:
            pass
        self.settled(found)

    def settled(self, found: Frame) -> None:
        if self.upstream is not None:
            self.upstream.state = backend.read_ready(found.payload)
        self.awaiting_ready = self.unsynced = self.dirty = False

    async def ready(self) -> None:
        """Tell the caller that the next statement may come, and in which state the transaction is."""
        state = self.upstream.state if self.upstream is not None else b"I"
        if state == b"I":
            self.handles.transaction_ended()
        await self.tell(backend.ready(state))

    def took_effect(self, statement: Statement, *, values: Sequence[Any] = (), failed: bool = False) -> None:
        """After a SET, or a change of tables, the session's statements may mean another thing; so they may after a rollback."""
        if statement.function == "set":
            self.settings = hashlib.sha256(f"{self.settings}\n{statement.sql}".encode()).hexdigest()
        self.handles.took_effect(statement, values=values, failed=failed)
        if statement.control == "rollback_to":
            self.extended.names.portals_ended()
        self.origins.took_effect(statement)

    async def unasked(self, found: Frame) -> None:
        """Something that no statement asked for. Raises `Ended`, `Malformed`."""
        if found.kind in (backend.ERROR, backend.NOTIFICATION, backend.NOTICE, backend.PARAMETER_STATUS):
            await self.carry(Notification(self, found))
        else:
            raise Malformed("a message that nobody asked for")

    async def _take(self, found: Frame) -> None:
        kind = found.kind
        if kind == frontend.QUERY:
            await self._query(frontend.read_query(found.payload), found.raw)
        elif kind == frontend.FUNCTION_CALL:
            await self.refuse(Refused(Code.REQUEST_INVALID, "Function-call messages are not carried."))
            await self.abort()
            await self.ready()
        elif kind not in _QUIET:  # COPY data that come after the COPY was refused, as the server has it
            await self.extended.take(found)

    # Simple queries.

    async def _query(self, sql: str, raw: bytes) -> None:
        if self.unsynced and not await self.extended.ended_unsaid():
            raise Malformed("a simple query inside a batch of the extended protocol")
        try:
            target = self.target_now()
            statements = target.catalog.analyse(sql)
            if len(statements) == 1 and (plan := self._plan(statements[0], target)) is not None:
                plain = Plain(self, plan, sql, raw)
                await self._carried(plain, carried=await self.carry(plain))
                return
            if len(statements) > _MOST_STATEMENTS:
                raise Refused(Code.REQUEST_TOO_LARGE, f"A text may hold {_MOST_STATEMENTS} statements.")
            statements = self._resolved(statements)
            named = tuple(labelled(each, self.subject) for each in statements)
            if any(each is not before for each, before in zip(named, statements, strict=True)):
                statements, sql = named, _BETWEEN.join(each.sql for each in named)
        except Refused as why:
            await self.refuse(why)
            await self.abort()
            await self.ready()
            return
        if not statements:
            await self.tell(backend.EMPTY_QUERY)
        elif len(statements) == 1:
            prepared = Prepared(sql, statements[0], ())
            exchange = StatementExchange(self, statements[0].function, prepared, Sending(frontend.query(sql)))
            if not await self.carry(exchange):
                await self.abort()
            else:
                self.took_effect(statements[0], failed=exchange.answer is None or exchange.answer.failed)
        else:
            await run_script(self, sql, statements)
        await self.ready()

    async def _carried(self, plain: Plain, *, carried: bool) -> None:
        if plain.passed:
            if self.passed():
                await self.flush()
            return
        if not carried:
            await self.abort()
        await self.ready()

    def _plan(self, statement: Statement, target: PostgresTarget) -> Plan | None:
        """What is known of it, if it is plain and can be told by now."""
        plan = self.plans.get(id(statement))
        if plan is not None and plan.statement is statement and plan.holds(self):
            return plan
        plan = plan_of(self, target, "", Prepared("", statement, ()))
        if plan is not None:
            if len(self.plans) >= _MOST_PLANS:
                self.plans.clear()
            self.plans[id(statement)] = plan
        return plan

    def passed(self) -> bool:
        """After an answer that went to the caller with the ReadyForQuery behind it. Whether there is something to `flush`."""
        if self.upstream is not None and self.upstream.state == b"I":
            self.handles.transaction_ended()
        return self.caller.full or bool(self.held)

    def _resolved(self, statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """With what FETCH and EXECUTE come to, each after those before it. Raises `Refused`."""
        if all(each.handle is None for each in statements):
            return statements
        ahead, out = self.handles.ahead(), []
        for each in statements:
            out.append(ahead.resolve(each))
            ahead.took_effect(out[-1])
        return tuple(out)

    def target_now(self) -> PostgresTarget:
        """The target as the configuration has it now. Raises `Refused`."""
        target = self.site.targets.get(self.target.name)
        if target is None:
            raise Refused(Code.FUNCTION_UNKNOWN, private_detail="the target is not there any more")
        if target.url == self.target.url:
            self.target = target
        return target

    # Waiting.

    async def _next(self) -> Frame | None:
        """The caller's next message, None when one has come that may begin a run. What the database says unasked meanwhile is
        passed on."""
        caller, upstream, quick = self.caller, self.upstream, self._quick
        if upstream is None:
            raise Ended
        if self.held:
            await self.flush()
        while (found := caller.poll()) is None:
            if not self.unsynced and (unasked := upstream.channel.poll()) is not None:
                await self.unasked(unasked)
                continue
            if caller.ended or upstream.channel.ended or (self.sites.draining and upstream.state == b"I"):
                await self._farewell(upstream)
            waiter: asyncio.Future[None] = self._loop.create_future()
            caller.waiter = upstream.channel.waiter = waiter
            self.alarm.watch(waiter, self.limits.idle_timeout_s)
            quick.sleeps(waiter)
            try:
                await waiter
                if quick.busy:
                    await quick.free()
            finally:
                quick.awake()
            if quick.left is not None or not caller.empty:
                return None
        return found

    async def _farewell(self, upstream: Upstream) -> None:
        if not self.caller.ended:
            gone = "the database closed the connection" if upstream.channel.ended else "the gateway is going away"
            await self.tell(backend.error("FATAL", "57P01", gone))
        raise Ended

    def _end(self) -> None:
        self._quick.end()
        self.alarm.off()
        if self.held and not self.caller.ended:
            self.caller.write(b"".join(self.held))
        # Attack: sessions that live for a while, and leave what they knew in rings that the collector never looks at again.
        self.extended.end()
        self.origins.end()
        self.plans.clear()
        self._task = None
        upstream, self.upstream = self.upstream, None
        if upstream is None:
            return
        if self.dirty or self.awaiting_ready:
            # The caller is gone and its statement still runs: nobody would read what it finds.
            self.sites.detach(_cancel_and_close(upstream))
        else:
            upstream.close()


async def _cancel_and_close(upstream: Upstream) -> None:
    await upstream.cancel()
    upstream.channel.abort()
