"""Plain statements carried where they arrive: from the bytes of the caller to the answer's, by the loop's callbacks alone, while the
session's own task sleeps. The way through is the same, `Gateway.carry`; only who runs it is another one.

It refuses nothing and decides nothing: whatever is not plain, or does not end plainly, is left to the session's task.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from funcgate.catalog.sql import Statement
from funcgate.core.native import half
from funcgate.gateway import Gateway
from funcgate.wire.postgres import frontend
from funcgate.wire.postgres.frames import Malformed

from .channel import Alarm
from .exchange import Speaker
from .extended import Extended
from .plain import Plain, Plan
from .target import PostgresTarget

_QUERY, _BIND = frontend.QUERY[0], frontend.BIND[0]
_native = half("funcgate.protocols.postgres._drive")


class Sleeper(Speaker, Protocol):
    """What is asked of the session."""

    gateway: Gateway
    extended: Extended
    alarm: Alarm

    def passed(self) -> bool: ...

    def target_now(self) -> PostgresTarget: ...

    def plan_now(self, statement: Statement) -> Plan | None: ...


class Quick:
    """One session's. `left` is a statement that is over and has to be followed up by the session's task, with the exception that
    ended it. `busy`: a statement is on its way."""

    def __init__(self, session: Sleeper, loop: asyncio.AbstractEventLoop) -> None:
        self._session = session
        self._loop = loop
        self._drive = None if _native is None else _native.Drive(loop, self._over)
        self._waiter: asyncio.Future[None] | None = None  # the session's task sleeps with it
        self._free: asyncio.Future[None] | None = None
        self._plain: Plain | None = None
        self.busy = False
        self.left: tuple[Plain, BaseException | None] | None = None

    async def await_caller(self, waiter: asyncio.Future[None]) -> None:
        """Until something comes that the session's task has to see to. Raises what the waiter ends with."""
        caller = self._session.caller
        self._waiter = waiter
        if self._drive is not None:
            caller.taker = self._asked
        try:
            await waiter
            if self.busy:
                self._free = self._loop.create_future()
                await self._free
        finally:
            caller.taker = self._waiter = self._free = None

    def cancel(self) -> bool:
        """Whether what runs was asked to end."""
        return self._drive is not None and bool(self._drive.cancel())

    def end(self) -> None:
        """The session is over, and so is what runs."""
        drive, self._drive = self._drive, None
        if drive is not None:
            drive.stop()
            drive.forget()
        self._plain = self.left = None
        del self._session

    def _asked(self) -> bool:
        """Something came from the caller: whether it is seen to."""
        if self.busy:
            return True
        session = self._session
        upstream, caller = session.upstream, session.caller
        if upstream is None or session.unsynced or session.held or session.sites.draining or caller.full:
            return False
        if not upstream.channel.quiet:
            return False  # something was said unasked, and is passed on first
        try:
            kind = caller.kind()
            plain = self._query() if kind == _QUERY else session.extended.plain_ahead() if kind == _BIND else None
        except Malformed:
            return False
        if plain is None:
            return False
        self._plain = plain
        self.busy = True
        session.alarm.rest()
        upstream.channel.prompt = self._drive
        way: Coroutine[Any, Any, None] = session.gateway.carry(plain, session.site.snapshot)
        if self._drive is not None:
            self._drive.start(way)
        return True

    def _query(self) -> Plain | None:
        """A plain simple query, taken."""
        session = self._session
        found = session.caller.ahead()
        target = session.site.targets.get(session.target.name)
        if found is None or target is None or target.url != session.target.url:
            return None
        known = target.catalog.recall(found[0])
        plan = session.plan_now(known[0]) if known is not None and len(known) == 1 else None
        if plan is None:
            return None
        session.target = target
        session.caller.took(len(found[1]))
        return Plain(session, plan, *found)

    def _over(self, error: BaseException | None) -> None:
        """What ran has ended."""
        session, plain = self._session, self._plain
        self.busy, self._plain = False, None
        upstream = session.upstream
        if plain is None or upstream is None:
            return
        channel = upstream.channel
        channel.prompt = None
        waiter, free = self._waiter, self._free
        if error is None and plain.passed:
            if plain.portal is not None and plain.asks:
                session.extended.described(plain.portal, plain.shape.columns)
            if not session.passed() and waiter is not None and not waiter.done() and channel.quiet:
                channel.waiter = waiter
                if session.caller.quiet and not session.sites.draining:
                    session.alarm.watch(waiter, session.limits.idle_timeout_s)
                    return
                if self._asked():
                    return
        else:
            self.left = plain, error
        for each in (waiter, free):
            if each is not None and not each.done():
                each.set_result(None)
