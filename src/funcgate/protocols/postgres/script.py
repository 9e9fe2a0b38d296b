"""Several statements in one simple query: each is a call, all are judged before the first is sent, the text is sent once."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from funcgate.catalog.sql import Statement
from funcgate.core.call import Permit
from funcgate.core.lease import Lease
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.gateway import Gateway
from funcgate.wire.postgres import backend, frontend
from funcgate.wire.postgres.frames import Frame

from .answer import Answer
from .exchange import Speaker
from .handles import Handles
from .origins import moves_path
from .statement import Prepared, Sending, StatementExchange


class Script:
    """The statements of one simple query: all are judged before the first is sent, and the text is sent once."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        self.statements = statements
        self._missing = count = len(statements)
        self._go: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns = [asyncio.Event() for _ in range(count)]
        self._turns[0].set()
        self.broken = False
        self.told = False
        self.sent = False

    async def judged(self) -> None:
        """This statement may be sent; wait for the others. Raises `Refused` when one of them may not."""
        self._missing -= 1
        if not self._missing and not self._go.done():
            self._go.set_result(None)
        await asyncio.shield(self._go)
        self.check()

    async def turn(self, at: int) -> None:
        await self._turns[at].wait()
        self.check()

    def check(self) -> None:
        if self.broken:
            raise Refused(
                Code.POLICY_DENIED, private_detail="another statement of the same text was refused, or failed"
            )

    def done(self, at: int) -> None:
        if at + 1 < len(self._turns):
            self._turns[at + 1].set()

    def give_up(self) -> None:
        self.broken = True
        if not self._go.done():
            self._go.set_result(None)
        for turn in self._turns:
            turn.set()


class Part(StatementExchange):
    """One statement of a script."""

    alone = False

    def __init__(
        self, session: Speaker, function: str, prepared: Prepared, sending: Sending, script: Script, at: int
    ) -> None:
        super().__init__(session, function, prepared, sending)
        self._script = script
        self.at = at
        self.finished = False

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        """See `core.ports.Exchange`."""
        await self._script.judged()
        await self._script.turn(self.at)
        return await super().send(permit, lease)

    def _sent_now(self) -> Sequence[Statement | None]:
        # Attack: SELECT 1; SELECT ('s'::regclass).nextval: the first statement takes the whole text along.
        return self._script.statements if not self._script.sent else super()._sent_now()

    def write(self) -> None:
        if self._script.sent:
            return
        self._script.sent = True
        super().write()
        self.session.awaiting_ready, self.session.unsynced = True, False

    async def _whole(self) -> bytes | None:
        """What comes is the answer to several statements."""
        return None

    def _over(self, answer: Answer) -> bool:
        """An error ends the whole text."""
        if answer.failed and self.session.awaiting_ready:
            return False
        return super()._over(answer) if self.sending.ready else answer.done

    def _ready(self, found: Frame, answer: Answer) -> None:
        self.sending.ready = True
        super()._ready(found, answer)

    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`."""
        await super().deliver(reply)
        if self._known().failed:
            self._script.told = True
            self._script.give_up()
        self.finished = True
        self._script.done(self.at)

    async def refuse(self, refused: Refused) -> None:
        """See `core.ports.Exchange`. The first refusal is told; the others follow from it."""
        self._script.give_up()
        self.keep(refused)
        if not self._script.told:
            self._script.told = True
            await self.say(backend.refusal(refused, self.call_id))


class Conductor(Speaker, Protocol):
    """What a script asks of its session. `script_task` runs it."""

    gateway: Gateway
    handles: Handles
    script_task: asyncio.Task[None] | None

    async def cancelled_by_caller(self) -> None: ...

    async def abort(self) -> None: ...

    def took_effect(self, statement: Statement, *, values: Sequence[Any] = (), failed: bool = False) -> None: ...


async def run_script(session: Conductor, sql: str, statements: Sequence[Statement]) -> None:
    """Carry all statements of a text. Raises `Ended`."""
    script = Script(statements)
    last = len(statements) - 1
    parts = [
        Part(
            session,
            each.function,
            Prepared(each.sql, each, ()),
            Sending(frontend.query(sql), ready=at == last),
            script,
            at,
        )
        for at, each in enumerate(statements)
    ]
    for before, part in zip(statements, parts[1:], strict=False):
        part.certain = parts[part.at - 1].certain and not (before.relations_change or moves_path(before))
    snapshot = session.site.snapshot

    async def carry(part: Part) -> None:
        try:
            await session.gateway.carry(part, snapshot)
        finally:
            if not part.finished:
                script.give_up()

    session.script_task = running = asyncio.ensure_future(_all([carry(part) for part in parts]))
    cancelled = False
    try:
        await running
    except asyncio.CancelledError:
        await session.cancelled_by_caller()
        cancelled = True
    finally:
        running.cancel()
        session.script_task = None
    refused = cancelled or any(part.refused is not None for part in parts)
    if refused:
        await session.abort()
    failed = refused or any(part.answer is None or part.answer.failed for part in parts)
    for each in statements:
        session.took_effect(each, failed=failed)
    if failed:
        session.handles.closed("")


async def _all(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*work)
