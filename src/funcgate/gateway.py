"""The one way through. Read it top to bottom: the order of the steps is the security property.

It knows no protocol, no file format and no library; it refuses to be configurable. What each step does lives in the
parts; that no step is left out, and that nothing leaves before its entry is durable, lives here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct

from funcgate.core.call import Call, Permit
from funcgate.core.decision import Allow, Decision, Deny, RequireApproval
from funcgate.core.entry import Drawn, Entry, Kind, who_is, whole
from funcgate.core.function import Function
from funcgate.core.lease import Lease
from funcgate.core.marks import Marks
from funcgate.core.meter import STEPS, Meter, Tally
from funcgate.core.native import half
from funcgate.core.ports import (
    Broker,
    CallerGone,
    Desk,
    Exchange,
    Identity,
    Journal,
    Masked,
    Masker,
    Patience,
    Policies,
)
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.core.taker import Taker, taker_of
from funcgate.core.turn import TURN
from funcgate.recording.entries import arrival, ended, step
from funcgate.recording.tape import Tape, masked_args, tape_of
from funcgate.recording.unknowns import Unknowns
from funcgate.streamed import Streamed

_ALLOWED, _ASKED, _DENIED = Kind.ALLOWED, Kind.ASKED, Kind.DENIED
_FAILED: Outcome = Outcome.FAILED
_IDENTIFY, _RESOLVE, _DECIDE, _HOLD, _RECORD, _LEASE, _SEND, _MASK, _DELIVER = range(len(STEPS))
_SMALL = 64 << 10  # bytes; a larger body is masked beside the loop


class Snapshot(Struct, frozen=True):
    """Everything that one version of the configuration decides. Swapped whole; a call keeps the one it began with.

    `maskers` takes a function's full name, or "" for a message that named no function.
    """

    version: str
    identity: Identity
    policies: Policies
    maskers: Callable[[str], Masker]
    broker: Broker
    functions: Mapping[str, Function]
    record_bytes: int


class Gateway:
    """Carries calls. One for the process; the snapshot comes with each call, `current` gives the one that serves now."""

    def __init__(
        self, journal: Journal, desk: Desk, meter: Meter, unknowns: Unknowns, current: Callable[[], Snapshot]
    ) -> None:
        self._append = journal.append
        self._taker = taker_of(journal)
        self._desk = desk
        self._current = current
        self._tally = meter.tally
        self._unknowns = unknowns

    async def carry(self, exchange: Exchange, snapshot: Snapshot) -> None:
        """One call, from token to record. Returns when the caller has been answered and the end is written."""
        passage = Passage(exchange, snapshot, self._taker, self._tally)
        marks = passage.marks
        self._tally.open_calls += 1
        try:
            token = exchange.token
            known = None if token is None else snapshot.identity.recall(token)
            passage.principal = principal = known or await snapshot.identity.identify(token)
            marks.over(_IDENTIFY)

            passage.call = call = await exchange.resolve(principal)
            masker = snapshot.maskers(call.function)
            arrived = passage.arrived(call, masker)
            await TURN
            marks.over(_RESOLVE)

            decision = snapshot.policies.decide(call)
            marks.over(_DECIDE)
            if isinstance(decision, Allow):
                passage.decision = decision
                await passage.write(arrived, passage.entry(_ALLOWED))
            elif isinstance(decision, RequireApproval):
                passage.decision = decision
                await self._hold(passage, arrived, decision)
                snapshot = passage.snapshot
                masker = snapshot.maskers(call.function)
            else:
                passage.unwritten = arrived
                raise _denied(passage, decision)
            permit = Permit(call.id, call.digest)  # P1: "allowed" is on the disk by now
            marks.over(_RECORD)

            lease = snapshot.broker.at_hand(call.target) or await snapshot.broker.lease(call.target)
            marks.over(_LEASE)
            reply = await exchange.send(permit, lease)
            marks.over(_SEND)

            if reply.stream is None and len(reply.body or b"") <= _SMALL:
                masked = masker.mask_reply(reply, lease)
            else:
                masked = await _mask_large(masker, reply, lease)
            marks.over(_MASK)
            passage.tape = tape = tape_of(masked, passage.room, call, self._append)
            if tape.worth:  # on the disk before it leaves; so is each piece of a stream, in `deliver`
                shown = tape.chunk() if tape.size <= _SMALL else await asyncio.to_thread(tape.chunk)
                await self._taker.take(shown, None)
            await exchange.deliver(tape.reply)
            passage.outcome = masked.reply.outcome
            marks.over(_DELIVER)
        except asyncio.CancelledError:
            passage.outcome = Outcome.CANCELLED
            raise
        except Exception as error:
            await self._stopped(passage, error)
        finally:
            self._tally.open_calls -= 1
            passage.end()

    async def _stopped(self, passage: "Passage", error: Exception) -> None:
        """A call that did not get through: its caller is gone, or is told so."""
        if isinstance(error, CallerGone):
            passage.outcome = Outcome.CANCELLED
        elif isinstance(error, Refused):
            await self._refuse(passage, error)
        else:
            # Attack: provoke an exception in the hope that a half-judged call goes on. It ends here, refused.
            await self._refuse(passage, _broken(error))

    async def _hold(self, passage: "Passage", arrived: Entry | Drawn, decision: RequireApproval) -> None:
        """Until humans have said yes, and the world has been looked at again. "allowed" is on the disk on return."""
        exchange, snapshot, call = passage.exchange, passage.snapshot, _known(passage.call)
        schema = snapshot.functions[call.function].args_schema
        args = arrived.args or Raw(b"{}")
        passage.unwritten = arrived  # who came goes into the record also when the desk takes the call not even in
        patience = _masked_patience(exchange.patience, snapshot.maskers(call.function))
        held = await self._desk.open(call, decision, args, schema, patience)
        passage.approval, passage.unwritten = held.id, None
        await passage.write(arrived, passage.entry(_ASKED))
        await self._desk.wait(held)
        passage.marks.over(_HOLD)

        # Attack: what was approved in one world runs in another: a token revoked or expired, a policy, a schema, a place changed.
        passage.snapshot = now = self._current()
        token = exchange.token
        principal = None if token is None else now.identity.recall(token)
        passage.principal = call.principal = _same(call, principal or await now.identity.identify(token))
        function = now.functions.get(call.function)
        if function is None or function.args_schema != schema or not exchange.renew():
            raise Refused(Code.APPROVAL_EXPIRED, private_detail="the function changed while the call was held")
        decided = now.policies.decide(call)
        if not isinstance(decided, Allow | RequireApproval):
            raise _denied(passage, decided)
        await self._desk.use(held, decided)
        passage.decision = decided
        await passage.write(passage.entry(_ALLOWED), None)

    async def _refuse(self, passage: "Passage", refused: Refused) -> None:
        """Record the refusal, then say it. The entry comes first here too: a refusal announces itself."""
        if passage.call is None and passage.principal is None and not self._unknowns.admit(refused.code):
            passage.code = refused.code  # counted, as `end` counts each; one entry a second stands for the rest
        else:
            try:
                await passage.refused(refused)
            except Refused as unrecorded:
                refused = unrecorded  # 503: not even the refusal could be recorded
                # Attack: large calls while nothing can be recorded, each held by the frames that it was refused in, this one too.
                refused.__traceback__ = refused.__context__ = None
            except Exception as error:
                refused = _broken(error)
        await passage.exchange.refuse(refused)


class Passage:
    """One call on its way: what is known of it so far, and its entries."""

    __slots__ = (
        "_taker", "_tally", "approval", "call", "code", "decision", "exchange", "marks", "open", "outcome", "principal", "room",
        "snapshot", "tape", "unwritten",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, snapshot: Snapshot, taker: Taker, tally: Tally) -> None:
        self.exchange = exchange
        self.snapshot = snapshot
        self._taker = taker
        self._tally = tally
        self.marks = Marks()
        self.principal: Principal | None = None
        self.call: Call | None = None
        self.decision: Decision | None = None
        self.unwritten: Entry | Drawn | None = None
        self.tape: Tape | None = None
        self.room = snapshot.record_bytes  # for what is recorded of the call's content
        self.outcome = _FAILED
        self.code = ""
        self.open = False
        self.approval = ""

    def arrived(self, call: Call, masker: Masker) -> Entry | Drawn:
        args = masked_args(masker, call)
        if call.reason:  # told to approvers, channels and the journal: masked before anything is done with it
            call.reason = self._masked(call.reason)
        self.room -= len(args)
        if self.room < 0:
            self.unwritten = arrival(call, None)
            # Attack: arguments too large for the record, so that it says less than what was done.
            detail = f"the arguments are larger than may be recorded of a call ({self.snapshot.record_bytes} bytes)"
            raise Refused(Code.JOURNAL_TOO_LARGE, private_detail=detail, status=413)
        return arrival(call, args)

    def entry(self, kind: Kind) -> Entry | Drawn:
        """An entry of the decision (`allowed` or `asked`) or of the end."""
        return step(kind, self.exchange.call_id, self.call, self.approval, self.decision, self.snapshot.version)

    def write(self, first: Entry | Drawn, second: Entry | Drawn | None) -> Awaitable[None]:
        """Make one entry or two durable, to be awaited. From the first of them on, this call owes the journal an `ended`."""
        was_open = self.open
        waiting = self._taker.take(first, second)
        self.open = True  # even if this task is cancelled while it waits: the entries may be on the disk by then
        return waiting if waiting is TURN else self._written(waiting, was_open)

    async def _written(self, waiting: Awaitable[None], was_open: bool) -> None:
        try:
            await waiting
        except Refused:
            self.open = was_open
            raise

    async def refused(self, refused: Refused) -> None:
        """Write why the call was refused; with its arrival, if that is not written yet."""
        entry = whole(self.entry(_DENIED))
        detail = str(refused.private_detail or refused.public_detail)  # compiled code takes no other class for text
        entry.code, entry.detail = refused.code, self._masked(detail)
        entry.target, entry.client = self.exchange.target, self.exchange.client
        self.code, self.outcome = refused.code, Outcome.CUT if self.tape and self.tape.begun else Outcome.REFUSED
        if self.principal is not None and not self.open and self.unwritten is None:
            entry.principal = who_is(self.principal)  # no other line names who called
        if self.unwritten is not None:
            await self.write(self.unwritten, entry)
        else:
            await self._taker.take(entry, None)

    def _masked(self, detail: str) -> str:
        """A detail may quote what the caller sent (a path, say), so it is masked as arguments are."""
        try:
            masker = self.snapshot.maskers(self.call.function if self.call is not None else "")
            return str(msgspec.json.decode(masker.mask_args(msgspec.json.encode(detail)))) if detail else ""
        except Exception:
            return "(a detail that could not be masked)"

    def end(self) -> None:
        """The last entry: outcome, timing, what was masked. Without waiting: nothing depends on it any more."""
        decision, code, tape = _DECISIONS[type(self.decision)], self.code, self.tape
        if tape is None:
            status, counts, recorded = 0, _NOTHING, 0
        else:
            status, counts, recorded = tape.reply.status, tape.masked.counts, tape.recorded
        known_as = code or ("" if tape is not None else self.outcome)
        times = self._tally.over(self.exchange.target, decision, known_as, self.marks, counts)
        if self.open:
            call_id, version = self.exchange.call_id, self.snapshot.version
            self._taker.put_down(ended(
                call_id, self.call, self.approval, self.decision, version, self.outcome, code, times, status, counts, recorded,
            ))  # fmt: skip


_NOTHING: dict[str, int] = {}
_DECISIONS: Mapping[type, str] = {Allow: "allow", Deny: "deny", RequireApproval: "ask", type(None): "none"}


def _masked_patience(patience: Patience, masker: Masker) -> Patience:
    """What approvers are told of the fields that go along is masked as arguments are."""
    if not patience.fields:
        return patience
    fields = tuple(
        map(str, msgspec.json.decode(masker.mask_args(msgspec.json.encode(patience.fields)), type=list[str]))
    )
    return msgspec.structs.replace(patience, fields=fields)


def _known(call: Call | None) -> Call:
    if call is None:
        raise TypeError("no call to hold")
    return call


def _same(call: Call, principal: Principal) -> Principal:
    """The principal as verified now. Its groups may have changed; whoever it is must not have."""
    before = call.principal
    if (before.issuer, before.subject, before.acts_for, before.actor) != (
        principal.issuer, principal.subject, principal.acts_for, principal.actor,
    ):  # fmt: skip
        raise Refused(Code.IDENTITY_INVALID, private_detail="the token names somebody else by now")
    return principal


def _denied(passage: Passage, decision: Deny) -> Refused:
    if not isinstance(decision, Deny):
        raise TypeError("what decides brought no decision")  # whatever it is, it is no Allow
    passage.decision = decision
    return Refused(decision.code, private_detail=decision.reason)


async def _mask_large(masker: Masker, reply: Reply, lease: Lease) -> Masked:
    """A stream that has to be seen whole is collected first (its own limit is `max_response`); else it is masked as it goes,
    line by line where it consists of lines.

    Attack: an answer dense with hits, megabytes of it, would hold up everybody's calls while it is masked; a thread does not.
    """
    if reply.stream is not None:
        if reply.lines:
            return Streamed(masker, reply, lease)
        if not masker.collecting(reply):
            return masker.mask_reply(reply, lease)
        reply.body, reply.stream = b"".join([piece async for piece in reply.stream]), None
        if len(reply.body) <= _SMALL:
            return masker.mask_reply(reply, lease)
    return await asyncio.to_thread(masker.mask_reply, reply, lease)


def _broken(error: Exception) -> Refused:
    return Refused(Code.GATEWAY_ERROR, private_detail=f"{type(error).__name__} in {_where(error)}")


def _where(error: BaseException) -> str:
    """File and line where an exception arose; never its text, which may hold a value of the call."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{trace.tb_frame.f_code.co_filename.rsplit('funcgate/', 1)[-1]}:{trace.tb_lineno}"


# This text is compiled, too, with types (_gateway.pxd): it is the same way.
if not TYPE_CHECKING and __name__ == "funcgate.gateway" and (_native := half("funcgate._gateway")) is not None:
    globals().update(Gateway=_native.Gateway, Passage=_native.Passage)

__all__ = ["Gateway", "Passage", "Reply", "Snapshot"]
