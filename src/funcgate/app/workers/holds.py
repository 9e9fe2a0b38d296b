"""The gateway's side of a worker's desk: what one worker has there, and its questions about it.

A worker is not trusted: it can name only what it holds itself, in the order in which calls go, and no more than so much.
What a caller can bring about is refused; what only a worker can is `Forged`.
"""

import asyncio
import time
from collections.abc import Callable
from enum import Enum
from math import inf, isnan
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Raw, structs

from funcgate.approval.desk import LARGE
from funcgate.core.call import Call
from funcgate.core.decision import Decision, Terms
from funcgate.core.ports import Desk
from funcgate.core.ports import Held as Hold
from funcgate.core.principal import Principal, make_principal
from funcgate.core.refusal import Code, Refused

from .args import unpack
from .desk import MAX_QUESTION_BYTES
from .messages import Caller, Done, Forged, Held, Open, Release, Use, Wait, encode

MOST = 10_000
MOST_BYTES = 512 << 20

_MOST_QUORUMS = 1_000
_MOST_SEATS = 100  # of a quorum
_MINUTES = 24 * 60

ForDesk = Open | Wait | Use | Release


class Step(Enum):
    """How far a call is at the desk. In this order, and no other: after a use it is not there any more."""

    OPENING = "opening"
    OPEN = "open"
    WAITING = "waiting"
    WAITED = "waited"
    USING = "using"


class _Kept:
    """One call of the worker's. `size` is what its question took, in bytes."""

    __slots__ = ("call", "hold", "size", "step")

    def __init__(self, size: int) -> None:
        self.size = size
        self.step = Step.OPENING
        self.call: Call | None = None
        self.hold: Hold | None = None


class Holds:
    """All calls that one worker has at the desk. `owns` says whether the worker has a call of this name open in the record.

    `most` calls are held for it, whose questions take `most_bytes` together.
    """

    def __init__(
        self,
        desk: Desk,
        owns: Callable[[str], bool] = lambda call: True,
        *,
        most: int = MOST,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._desk = desk
        self._owns = owns
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[int, _Kept] = {}
        self._bytes = 0
        self._gone = False

    def __len__(self) -> int:
        return len(self._kept)

    async def answer(self, asked: ForDesk) -> bytes:
        """Raises `Refused` as the desk does, and `Forged`. Cancelling it is what a caller does who goes away."""
        if isinstance(asked, Open):
            return encode(await self._open(asked))
        if isinstance(asked, Wait):
            await self._wait(asked)
        elif isinstance(asked, Use):
            await self._use(asked)
        else:
            self._forget(asked.hold)
        return encode(Done())

    def gone(self) -> None:
        """The worker's link has ended, and with it every question that is being answered."""
        self._gone = True
        self._kept.clear()
        self._bytes = 0

    async def _open(self, asked: Open) -> Held:
        number, size = asked.hold, _size(asked)
        if number in self._kept or size > MAX_QUESTION_BYTES:
            raise Forged("a hold twice, or too large a one")
        # Attack: hold calls without end, until the gateway's own process has no memory left, and nobody has a desk.
        if self._gone or len(self._kept) >= self._most or self._bytes + size > self._most_bytes:
            raise Refused(Code.APPROVAL_UNAVAILABLE, private_detail="a worker holds as many calls as it may")
        kept = self._kept[number] = _Kept(size)
        self._bytes += size
        try:
            large = len(asked.args) + len(asked.shown) > LARGE  # these hold up nobody else's call
            call, schema = await asyncio.to_thread(_read, asked) if large else _read(asked)
            patience = structs.replace(asked.patience, until=time.monotonic() + asked.until_in_s)
            hold = await self._desk.open(call, asked.decision, Raw(asked.shown), schema, patience)
            if self._kept.get(number) is not kept:
                raise Refused(Code.APPROVAL_UNAVAILABLE, private_detail="the call ended while it was taken in")
        except BaseException:
            self._forget(number, kept)
            raise
        kept.call, kept.hold, kept.step = call, hold, Step.OPEN
        return Held(hold.id)

    async def _wait(self, asked: Wait) -> None:
        kept, call, hold = self._at(asked.hold, Step.OPEN, Step.WAITING)
        try:
            # Attack: what is said of this call lands in the record of another worker's.
            if not self._owns(call.id):
                raise Refused(Code.APPROVAL_UNAVAILABLE, private_detail="the call is not in the record")
            await self._desk.wait(hold)
        except BaseException:
            self._forget(asked.hold, kept)
            raise
        kept.step = Step.WAITED

    async def _use(self, asked: Use) -> None:
        decision = _decision(asked)
        kept, call, hold = self._at(asked.hold, Step.WAITED, Step.USING)
        try:
            # The desk looks at whoever was verified after the wait: groups may have changed.
            call.principal = _same(call.principal, _principal(asked.caller))
            await self._desk.use(hold, decision)
        finally:
            self._forget(asked.hold, kept)

    def _at(self, number: int, step: Step, then: Step) -> tuple[_Kept, Call, Hold]:
        """A call that is so far, and now further."""
        kept = self._kept.get(number)
        # Attack: use a call that nobody was asked about, or that somebody is still asked about; or use it twice.
        if kept is None or kept.step is not step or kept.call is None or kept.hold is None:
            raise Forged("a step out of its order")
        kept.step = then
        return kept, kept.call, kept.hold

    def _forget(self, number: int, kept: _Kept | None = None) -> None:
        """What is held under this number; only this one, if it is given."""
        found = self._kept.get(number)
        if found is not None and kept in (None, found):
            del self._kept[number]
            self._bytes -= found.size


def _read(asked: Open) -> tuple[Call, Any]:
    """The call, and its function's schema. Raises `Refused`: a caller may have brought about what cannot be read."""
    try:
        schema = msgspec.json.decode(asked.schema)
        msgspec.json.decode(asked.shown)  # attack: what is no JSON spoils the rows, and the pages, that it is shown in
        call = Call(
            id=asked.id, target=asked.target, function=asked.function, args=unpack(asked.args),
            principal=_principal(asked.caller), session=asked.session, digest=asked.digest,
            received_at=asked.received_at, client=asked.client, trace=asked.trace, reason=asked.reason,
        )  # fmt: skip
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        detail = f"what a worker sent: {type(error).__name__}"
        raise Refused(Code.REQUEST_INVALID, "This call cannot be held.", private_detail=detail) from None
    # Attack: times that are no times, by which everybody's approvals would be sorted.
    if not all(map(_sound, asked.decision.terms)) or isnan(asked.until_in_s) or isnan(asked.patience.wait_s):
        raise Refused(Code.POLICY_ERROR, private_detail="terms that no policy has")
    return call, schema


def _sound(terms: Terms) -> bool:
    """As policy/approval.py lets them through."""
    times = (terms.escalate_after_s, terms.grant_max_s)
    hours = terms.hours
    if hours is not None:
        try:
            ZoneInfo(hours.zone)
        except (LookupError, ValueError, OSError):
            return False
        if not hours.days <= set(range(7)) or min(hours.begin_min, hours.end_min) < 0:
            return False
        if max(hours.begin_min, hours.end_min) > _MINUTES:
            return False
    return (
        0 < terms.expires_s < inf
        and all(0 <= each < inf for each in times)
        and len(terms.quorums) <= _MOST_QUORUMS
        and all(0 < quorum.count <= _MOST_SEATS for quorum in terms.quorums)
        and min(terms.max_pending, terms.grant_max_calls) >= 0
    )


def _decision(asked: Use) -> Decision:
    found = asked.ask if asked.allow is None else asked.allow
    if found is None or (asked.allow is not None and asked.ask is not None):
        raise Forged("one decision, not none and not two")
    return found


def _principal(caller: Caller) -> Principal:
    groups = frozenset(caller.groups)
    return make_principal(caller.issuer, caller.subject, groups, {}, caller.token, 0.0, caller.acts_for, caller.actor)


def _same(before: Principal, now: Principal) -> Principal:
    # Attack: have one's own call held, and use it as somebody who may break the glass.
    if (before.issuer, before.subject, before.acts_for, before.actor) != (
        now.issuer, now.subject, now.acts_for, now.actor,
    ):  # fmt: skip
        raise Forged("another caller than the one that was held")
    return now


def _size(asked: Open) -> int:
    """About as many bytes as the question had."""
    texts = (asked.reason, asked.session, asked.client, asked.trace, asked.function, *asked.patience.fields)
    said = sum(map(len, texts)) + sum(map(len, asked.caller.groups))
    return len(asked.args) + len(asked.shown) + len(asked.schema) + said
