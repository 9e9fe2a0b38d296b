"""The entries that a call's plain way consists of, made of what is known of the call. Four a call, so made quickly.

What is unusual (a refusal, a stream's piece, an answer that is no JSON) is made where it comes up.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Raw

from funcgate.core.call import Call
from funcgate.core.decision import Decision
from funcgate.core.entry import Decided, Drawn, Entry, Kind, who_is
from funcgate.core.meter import STEPS
from funcgate.core.native import half
from funcgate.core.reply import Outcome, Reply

_native = half("funcgate.recording._native")


def _arrival(call: Call, args: bytes | Raw | None) -> Entry:
    return Entry(
        kind=Kind.ARRIVED, call=call.id, session=call.session, principal=who_is(call.principal), function=call.function,
        target=call.target, args=None if args is None else Raw(args), digest=call.digest, client=call.client,
        trace=call.trace, reason=call.reason,
    )  # fmt: skip


def _step(kind: Kind, call_id: str, call: Call | None, approval: str, decision: Decision | None, version: str) -> Entry:
    return Entry(
        kind=kind,
        call=call_id,
        session="" if call is None else call.session,
        function="" if call is None else call.function,
        approval=approval,
        policy=None if decision is None else Decided(decision.policies, version),
    )


def _answer(
    call: Call,
    reply: Reply,
    fields: tuple[tuple[str, str], ...],
    counts: Mapping[str, int],
    body: Raw | str | None,
    media: str,
) -> Entry:
    return Entry(
        kind=Kind.CHUNK, call=call.id, session=call.session, function=call.function, status=reply.status, fields=fields,
        body=body, body_bytes=len(reply.body or b""), media=media, masked=counts,
    )  # fmt: skip


@runtime_checkable
class Marked(Protocol):
    """The marks of a call that is over, as the compiled meter has them."""

    def times(self, names: Sequence[str]) -> Mapping[str, int]: ...


def _ended(
    call_id: str,
    call: Call | None,
    approval: str,
    decision: Decision | None,
    version: str,
    outcome: Outcome,
    code: str,
    times: Mapping[str, int] | Marked,
    status: int,
    counts: Mapping[str, int],
    recorded: int,
) -> Entry:
    entry = _step(Kind.ENDED, call_id, call, approval, decision, version)
    entry.outcome, entry.code = outcome, code
    entry.timing_us = times.times(STEPS) if isinstance(times, Marked) else times
    entry.status, entry.masked, entry.body_bytes = status, counts, recorded
    return entry


# By the place of their arguments, as the compiled half takes them. It gives a `Drawn` for what is plain; only steps other than
# "allowed" are always an `Entry`.
arrival: Callable[[Call, bytes | Raw | None], Entry | Drawn] = _arrival if _native is None else _native.arrival
step: Callable[[Kind, str, Call | None, str, Decision | None, str], Entry | Drawn] = (
    _step if _native is None else _native.step
)
answer: Callable[
    [Call, Reply, tuple[tuple[str, str], ...], Mapping[str, int], Raw | str | None, str], Entry | Drawn
] = _answer if _native is None else _native.answer
ended: Callable[
    [str, Call | None, str, Decision | None, str, Outcome, str, Mapping[str, int] | Marked, int, Mapping[str, int], int],
    Entry | Drawn,
] = _ended if _native is None else _native.ended  # fmt: skip
