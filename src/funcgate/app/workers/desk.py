"""A worker's desk: every question goes to the gateway's own process, where the one desk is.

It decides nothing and keeps nothing; a question that gets no answer holds the call.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import Any

import msgspec
from msgspec import Raw, structs

from funcgate.approval.desk import LARGE
from funcgate.core.call import Call
from funcgate.core.decision import Allow, Decision, RequireApproval
from funcgate.core.ports import Held, Patience
from funcgate.core.principal import Principal, who_is
from funcgate.core.refusal import Code, Refused

from . import messages
from .args import pack
from .link import Lost
from .messages import Caller, Done, Open, Release, Use, Wait

MAX_QUESTION_BYTES = 64 << 20


class AskingDesk:
    """`core.ports.Desk` by questions. `ask` is a link's; `first` is called before a question is sent: what the worker has
    written for the journal must be on the link by then, so that no answer stands in the record before its call."""

    def __init__(self, ask: Callable[[bytes], Awaitable[bytes]], first: Callable[[], object] = lambda: None) -> None:
        self._ask = ask
        self._first = first
        self._number = 0
        self._loop = asyncio.get_running_loop()
        self._releasing: set[asyncio.Task[None]] = set()

    async def open(
        self, call: Call, decision: RequireApproval, args: Raw, schema: Mapping[str, Any], patience: Patience
    ) -> "AskedHold":
        """See `core.ports.Desk`. Raises `Refused`, `approval.unavailable` where nobody answers."""
        self._number = number = self._number + 1
        if len(bytes(args)) > LARGE:  # megabytes of arguments hold up nobody else's call
            question = await asyncio.to_thread(_question, number, call, decision, args, schema, patience)
        else:
            question = _question(number, call, decision, args, schema, patience)
        held = AskedHold(self, number, call)
        try:
            answer = await self._asked(question)
            if not isinstance(answer, messages.Held):
                raise _unavailable("no hold")
        except Refused:
            held.over = True  # there is nothing
            raise
        except BaseException:
            held.release()
            raise
        held.id = answer.approval
        return held

    async def wait(self, held: Held) -> None:
        """See `core.ports.Desk`."""
        await self._step(_mine(held), Wait(_mine(held).number), last=False)

    async def use(self, held: Held, decision: Decision) -> None:
        """See `core.ports.Desk`."""
        hold = _mine(held)
        question = Use(
            hold=hold.number,
            caller=_caller(hold.call.principal),
            allow=decision if isinstance(decision, Allow) else None,
            ask=decision if isinstance(decision, RequireApproval) else None,
        )
        await self._step(hold, question, last=True)

    async def _step(self, hold: "AskedHold", question: Wait | Use, *, last: bool) -> None:
        try:
            if not isinstance(await self._asked(_encoded(question)), Done):
                raise _unavailable("no such answer")
        except Refused:
            hold.over = True  # there, too
            raise
        except BaseException:
            hold.release()
            raise
        hold.over = last

    async def _asked(self, question: bytes) -> messages.Answer:
        self._first()
        try:
            return messages.answer(await self._ask(question))
        except Lost as lost:
            # P3: a desk that cannot be asked holds every call that needs it.
            raise _unavailable(str(lost)) from None
        except msgspec.MsgspecError:
            raise _unavailable("an answer that cannot be read") from None

    def _release(self, number: int) -> None:
        """From whatever thread finds out."""
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the link: nothing is held for it
            self._loop.call_soon_threadsafe(self._begin_release, number)

    def _begin_release(self, number: int) -> None:
        task = self._loop.create_task(self._say(messages.encode(Release(number))))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _say(self, question: bytes) -> None:
        with contextlib.suppress(Lost, Refused):
            await self._ask(question)


class AskedHold:
    """`core.ports.Held`: one call at the desk of the gateway's own process, where it goes by `number`."""

    __slots__ = ("_desk", "call", "id", "number", "over")

    def __init__(self, desk: AskingDesk, number: int, call: Call) -> None:
        self._desk = desk
        self.number = number
        self.call = call
        self.id = ""
        self.over = False

    def release(self) -> None:
        """Nothing is asked of it any more."""
        if not self.over:
            self.over = True
            self._desk._release(self.number)

    def __del__(self) -> None:
        # Attack: calls that end between the wait and the use (a token revoked meanwhile), until no more can be held.
        self.release()


def _question(
    number: int, call: Call, decision: RequireApproval, args: Raw, schema: Mapping[str, Any], patience: Patience
) -> bytes:
    """Raises `Refused`."""
    try:
        packed = pack(call.args)
        named = msgspec.json.encode(schema, order="sorted")
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _unheld(type(error).__name__) from None
    question = Open(
        hold=number, id=call.id, target=call.target, function=call.function, args=packed, caller=_caller(call.principal),
        session=call.session, digest=call.digest, received_at=call.received_at, client=call.client, trace=call.trace,
        reason=call.reason, decision=decision, shown=bytes(args), schema=named,
        patience=structs.replace(patience, until=inf), until_in_s=patience.until - time.monotonic(),
    )  # fmt: skip
    return _encoded(question)


def _encoded(question: messages.ToGateway) -> bytes:
    try:
        encoded = messages.encode(question)
    except (ValueError, OverflowError) as error:  # text that is no Unicode
        raise _unheld(type(error).__name__) from None
    # Attack: a call so large that the question about it would end the link, and with it the worker.
    if len(encoded) > MAX_QUESTION_BYTES:
        raise _unheld(f"larger than {MAX_QUESTION_BYTES >> 20} MiB")
    return encoded


def _caller(principal: Principal) -> Caller:
    who = who_is(principal)
    return Caller(who.issuer, who.subject, who.groups, who.token, who.acts_for, who.actor)


def _mine(held: Held) -> AskedHold:
    if not isinstance(held, AskedHold):
        raise TypeError("a hold of another desk")
    return held


def _unheld(why: str) -> Refused:
    return Refused(Code.REQUEST_INVALID, "This call cannot be held.", private_detail=why)


def _unavailable(why: str) -> Refused:
    return Refused(Code.APPROVAL_UNAVAILABLE, private_detail=why)
