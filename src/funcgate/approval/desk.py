"""Where held calls wait for humans. One desk a process; several may share one store, and each call still runs once.

It decides nothing alone: table.py says what may follow what, quorum.py whose answers count, changing.py that a step is recorded
and taken once.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from funcgate.core.approval import Approval, ApprovalStore, Asked, State, StoreFailed, TooManyPending
from funcgate.core.call import Call
from funcgate.core.decision import Decision, RequireApproval
from funcgate.core.entry import who_is
from funcgate.core.ids import new_id
from funcgate.core.ports import Held, Journal, Patience
from funcgate.core.refusal import Code, Refused

from . import refusals
from .canonical import key_of, schema_of
from .changing import Changing
from .entries import cancelled, entry_of, granted, taken_by
from .grants import covers
from .hold import Hold
from .quorum import enough
from .table import Event, NotNow, after

LARGE = 64 << 10  # bytes of arguments
_MOST_RAN = 100_000


class HumanDesk(Changing):
    """`core.ports.Desk` over a store. `told` is called with each approval that is new or has changed, and must not wait.

    `now` is Unix time in seconds.
    """

    def __init__(
        self,
        store: ApprovalStore,
        journal: Journal,
        told: Callable[[Approval], None],
        *,
        now: Callable[[], float] = time.time,
        poll_s: float = 0.5,
    ) -> None:
        super().__init__(store, journal, told, now, poll_s)
        self._ran: dict[str, None] = {}  # what was used here; the store alone decides, unless somebody turned it back
        self._cancelling: set[asyncio.Task[None]] = set()

    # -- the port

    async def open(
        self, call: Call, decision: RequireApproval, args: Raw, schema: Mapping[str, Any], patience: Patience
    ) -> Hold:
        """Find the approval that this call joins, or make one. Nobody is told of it yet. Raises `Refused`."""
        now = self.now()
        if any(terms.reason_required for terms in decision.terms) and not call.reason.strip():
            raise Refused(Code.REQUEST_INVALID, "This call needs a reason: send it in the Funcgate-Reason field.")
        try:
            if len(bytes(args)) > LARGE:  # megabytes of arguments hold up nobody else's call
                key = await asyncio.to_thread(key_of, call, patience.also)
            else:
                key = key_of(call, patience.also)
        except ValueError as error:
            raise Refused(Code.REQUEST_INVALID, "This call cannot be held.", private_detail=str(error)) from None
        name = schema_of(schema)
        with _store_failures():
            if patience.approval:
                found = await self._named(patience.approval, key, now)
                return Hold(call=call, patience=patience, schema=name, approval=found)
            joined = await self._joined(key, name, decision, now, breaks=_breaks_glass(call, decision))
            if joined is not None:
                return Hold(call=call, patience=patience, schema=name, approval=joined)
            for grant in await self.store.grants(call.function, call.principal.subject, now=now):
                mine = covers(grant, call, name, now, patience.fields_digest)
                if mine and enough(decision.terms, grant.answers, escalated=True):
                    return Hold(call=call, patience=patience, schema=name, grant=grant)
            asked = Asked(
                call=call.id, function=call.function, target=call.target, principal=who_is(call.principal), args=args,
                masked=_is_masked(call, args), digest=call.digest, schema=name, version=decision.version,
                policies=decision.policies, reason=call.reason, session=call.session, client=call.client,
                fields=patience.fields, fields_digest=patience.fields_digest,
            )  # fmt: skip
            return await self._opened(asked, key, decision, now, patience, call)

    async def wait(self, held: Held) -> None:
        """Until the call may run. Raises `Refused(approval.…)` when it may not, or the caller's patience is over."""
        hold = _mine(held)
        approval = hold.approval
        if approval is None:
            return
        if hold.new:
            self.told(approval)
        if hold.broken_glass:
            await self._record_answer(approval, hold.call.id, outcome="break_glass", detail=hold.call.reason)
            return
        if hold.patience.detached and approval.state is State.PENDING:
            raise refusals.pending(approval, self.now(), accepted=True)
        try:
            with _store_failures():
                patient_s = min(hold.patience.wait_s, hold.patience.until - time.monotonic())
                hold.approval = approval = await self._waiting.until_answered(approval, patient_s, self.now)
        except asyncio.CancelledError:
            if all(terms.cancel_on_disconnect for terms in approval.terms) and not self._waiting.others(approval.id):
                self._begin_cancel(approval.id)
            raise
        if approval.state is not State.APPROVED:
            raise refusals.of(approval, self.now())

    async def use(self, held: Held, decision: Decision) -> None:
        """Take the approval for this call: once, whoever else tries. `decision` is what the policies say by now.

        Raises `Refused` when others were faster, or more is asked for than was given.
        """
        hold = _mine(held)
        with _store_failures():
            if hold.grant is not None:
                await self._use_grant(hold, decision)
            elif hold.approval is not None and not hold.broken_glass:
                await self._use(hold.approval.id, hold, decision)
            elif isinstance(decision, RequireApproval) and not _breaks_glass(hold.call, decision):
                raise Refused(Code.APPROVAL_EXPIRED, private_detail="this caller may not break the glass any more")

    # -- how a call comes to its approval

    async def _named(self, approval: str, key: str, now: float) -> Approval:
        found = await self.store.get(approval)
        # Attack: name somebody else's approval, or one's own for another call. What was approved is in the key.
        if found is None or found.key != key:
            raise Refused(Code.REQUEST_INVALID, "The approval that was named is not for this call.")
        if not found.live or now >= found.expires_at:
            raise refusals.of(found, now)
        return found

    async def _joined(
        self, key: str, schema: str, decision: RequireApproval, now: float, *, breaks: bool
    ) -> Approval | None:
        """The approval that the same call of the same caller has already; None if it needs a new one."""
        found = await self.store.latest(key)
        if found is None or now >= found.expires_at:
            return None
        if found.state is State.REJECTED:
            # Attack: ask again and again until somebody tires of saying no.
            raise refusals.of(found, now)
        if not found.live:
            return None
        why = ""
        if found.terms != decision.terms:
            why = "the policies changed"
        elif found.asked.schema != schema:
            why = "the function changed"
        elif breaks and found.state is State.PENDING:
            why = "its caller broke the glass"
        if not why:
            return found
        with contextlib.suppress(NotNow, KeyError):
            await self._cancel(found.id, why)
        return None

    async def _opened(
        self, asked: Asked, key: str, decision: RequireApproval, now: float, patience: Patience, call: Call
    ) -> Hold:
        terms = decision.terms
        broken_glass = _breaks_glass(call, decision)
        new = Approval(
            id=new_id(now), key=key, state=State.USED if broken_glass else State.PENDING, created_at=now,
            expires_at=now + min(each.expires_s for each in terms), asked=asked, terms=terms,
            used_by=call.id if broken_glass else "", why="break_glass" if broken_glass else "",
        )  # fmt: skip
        limits = [each.max_pending for each in terms if each.max_pending]
        try:
            kept = await self.store.open(new, min(limits, default=0))
        except TooManyPending:
            # Attack: so many questions that the approvers stop reading them.
            text = "Too many calls of this caller wait for an approval already."
            raise Refused(Code.APPROVAL_PENDING, text, status=429, retry_after_s=refusals.RETRY_AFTER_S) from None
        return Hold(
            call=call, patience=patience, schema=asked.schema, approval=kept, new=kept.id == new.id,
            broken_glass=broken_glass,
        )  # fmt: skip

    # -- how it is used

    async def _use(self, approval: str, hold: Hold, decision: Decision) -> None:
        call = hold.call
        if approval in self._ran:
            # Attack: copy the row of an approved call, sealed as it is, let it run, and put the copy back.
            raise Refused(Code.APPROVAL_USED, private_detail=f"approval {approval} was used: its row was put back")

        def used(found: Approval) -> Approval:
            # Attack: have a call approved, and send it again after a reload under which its arguments mean something else.
            if found.asked.schema != hold.schema:
                return after(found, Event.CANCEL, self.now(), why="the function changed")
            if isinstance(decision, RequireApproval) and not enough(
                decision.terms, found.answers, escalated=found.escalated, asked_at=found.created_at
            ):
                return after(found, Event.CANCEL, self.now(), why="the policies ask for more than was given")
            return after(found, Event.USE, self.now(), used_by=call.id)

        try:
            taken = await self.change(approval, used, cancelled)  # a use is told by the "allowed" that follows
        except (NotNow, KeyError):
            found = await self.store.get(approval)
            raise refusals.of(found, self.now()) if found is not None else Refused(Code.APPROVAL_EXPIRED) from None
        # Attack: copies of one approved call, sent at once: whoever is named here runs, and nobody else.
        if taken.used_by != call.id:
            raise refusals.of(taken, self.now())
        if len(self._ran) >= _MOST_RAN:
            del self._ran[next(iter(self._ran))]
        self._ran[approval] = None
        if taken.asked.call != call.id:
            # The answers are in the record of the call that asked first; this is the one that runs on them.
            entries = [taken_by(taken, call, answer) for answer in taken.answers if answer.yes]
            await self.journal.append(*entries)

    async def _use_grant(self, hold: Hold, decision: Decision) -> None:
        grant, call = hold.grant, hold.call
        if grant is None or not (
            isinstance(decision, RequireApproval) and enough(decision.terms, grant.answers, escalated=True)
        ):
            raise Refused(Code.APPROVAL_EXPIRED, private_detail="the policies changed since the grant was given")
        if not await self.store.use_grant(grant.id, self.now()):
            raise Refused(Code.APPROVAL_EXPIRED, "The standing approval is used up.")
        entries = [granted(grant, call, answer) for answer in grant.answers]
        await self.journal.append(*entries)

    async def _record_answer(self, approval: Approval, call: str, *, outcome: str, detail: str = "") -> None:
        await self.journal.append(entry_of(approval, call, outcome=outcome, detail=detail))

    def _begin_cancel(self, approval: str) -> None:
        async def cancel() -> None:
            with contextlib.suppress(NotNow, KeyError, StoreFailed, Refused):
                await self._cancel(approval, "the caller went away")

        task = asyncio.ensure_future(cancel())
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)


def _breaks_glass(call: Call, decision: RequireApproval) -> bool:
    """Whether the call runs at once: every one of the policies says that its caller may, and it gives a reason."""
    mine = call.principal.selectors
    allowed = [not mine.isdisjoint(each.break_glass) for each in decision.terms]
    return bool(call.reason.strip()) and bool(allowed) and all(allowed)


def _mine(held: Held) -> Hold:
    if not isinstance(held, Hold):
        raise TypeError("a hold of another desk")
    return held


def _is_masked(call: Call, shown: Raw) -> bool:
    """Whether approvers see less than what will run. In doubt they do."""
    try:
        return msgspec.json.encode(call.args) != bytes(shown)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return True


@contextlib.contextmanager
def _store_failures() -> Generator[None]:
    try:
        yield
    except StoreFailed as failed:
        # P3: a store that cannot be asked holds every call that needs it.
        raise Refused(Code.APPROVAL_UNAVAILABLE, private_detail=str(failed)) from None
