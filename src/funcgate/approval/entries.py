"""How the desk tells the journal what becomes of held calls. Shapes only; desk.py says when."""

from funcgate.core.approval import Answer, Approval, Grant, State
from funcgate.core.call import Call
from funcgate.core.entry import Entry, Kind, Who


def entry_of(approval: Approval, call: str, *, outcome: str, detail: str = "") -> Entry:
    """An entry of that approval, in the record of that call."""
    asked = approval.asked
    return Entry(
        kind=Kind.ANSWERED, call=call, approval=approval.id, session=asked.session, function=asked.function,
        outcome=outcome, detail=detail,
    )  # fmt: skip


def cancelled(approval: Approval) -> Entry | None:
    """That it was cancelled, if it was."""
    if approval.state is not State.CANCELLED:
        return None
    return entry_of(approval, approval.asked.call, outcome="cancel", detail=approval.why)


def taken_by(approval: Approval, call: Call, answer: Answer) -> Entry:
    """That the call runs on an answer that was given to an earlier copy of it."""
    entry = entry_of(approval, call.id, outcome="taken")
    entry.session, entry.principal = call.session, _who(answer)
    entry.change = {"asked": approval.asked.call, "channel": answer.channel}
    return entry


def granted(grant: Grant, call: Call, answer: Answer) -> Entry:
    """That the call runs on an answer in which it was granted."""
    return Entry(
        kind=Kind.ANSWERED, call=call.id, session=call.session, function=call.function, approval=grant.approval,
        principal=_who(answer), outcome="granted", change={"grant": grant.id, "approval": grant.approval},
    )  # fmt: skip


def _who(answer: Answer) -> Who:
    return Who(answer.issuer, answer.subject, answer.groups)
