"""What the caller of a held call is told: words that a person or a model can act on. Who may approve is told, because the
caller has to find them; nothing else of the configuration is."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from funcgate.core.approval import Approval, State
from funcgate.core.refusal import Code, Refused

RETRY_AFTER_S = 30
_NEXT = "Send the very same call again to join the approval; with `Prefer: wait=SECONDS` it waits. It runs once, when approved."


def pending(approval: Approval, now: float, *, accepted: bool = False) -> Refused:
    """The call waits. Never a 2xx, unless the caller asked for one (`Prefer: respond-async`, RFC 7240, 4.1)."""
    left_s = max(int(approval.expires_at - now), 0)
    return Refused(
        Code.APPROVAL_PENDING,
        f"This call waits for an approval by {_approvers(approval)}. It expires in {_span(left_s)}. {_NEXT}",
        private_detail=f"waits for {_approvers(approval)}",
        status=202 if accepted else 0,
        retry_after_s=max(1, min(RETRY_AFTER_S, left_s)),
        public={"approval": _public(approval)},
    )


def of(approval: Approval, now: float) -> Refused:
    """Why a call with this approval does not run."""
    public = {"approval": _public(approval)}
    state = State.EXPIRED if approval.live and now >= approval.expires_at else approval.state
    if state in (State.PENDING, State.APPROVED):
        return pending(approval, now)
    if state is State.REJECTED:
        text = "An approver said no. Do not send this call again; ask the approvers, or do something else."
        return Refused(Code.APPROVAL_REJECTED, text, private_detail=approval.why or "rejected", public=public)
    if state is State.USED:
        text = "The approval was used by the same call, sent at the same time or before. Nothing ran twice."
        return Refused(Code.APPROVAL_USED, text, private_detail=f"used by {approval.used_by}", public=public)
    text = "The approval ended before it was used. Send the call again to ask anew."
    return Refused(Code.APPROVAL_EXPIRED, text, private_detail=approval.why or state.value, public=public)


def _public(approval: Approval) -> Mapping[str, Any]:
    return {
        "id": approval.id,
        "state": approval.state.value,
        "expires_at": datetime.fromtimestamp(approval.expires_at, UTC).isoformat(timespec="seconds"),
        "approvers": sorted(
            {name for terms in approval.terms for quorum in terms.quorums for name in quorum.approvers}
        ),
        "given": sum(answer.yes for answer in approval.answers),
    }


def _approvers(approval: Approval) -> str:
    asked = [
        f"{quorum.count} of {' or '.join(quorum.approvers)}" for terms in approval.terms for quorum in terms.quorums
    ]
    return " and ".join(dict.fromkeys(asked)) or "nobody"


def _span(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds >= 120 else f"{seconds} s"
