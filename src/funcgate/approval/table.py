"""What may become of a held call: every state, every event. Pure; whoever applies it keeps the result by compare-and-swap."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from funcgate.core.approval import Answer, Approval, State


class Event(StrEnum):
    """`yes` is an answer that is not enough yet, `full` the one that completes what the terms ask for."""

    YES = "yes"
    FULL = "full"
    NO = "no"
    ESCALATE = "escalate"
    EXPIRE = "expire"
    CANCEL = "cancel"
    USE = "use"


# What is not in the table is refused. REJECTED, EXPIRED, CANCELLED and USED are the end: nothing leads out of them.
TABLE: Mapping[tuple[State, Event], State] = {
    (State.PENDING, Event.YES): State.PENDING,
    (State.PENDING, Event.FULL): State.APPROVED,
    (State.PENDING, Event.NO): State.REJECTED,
    (State.PENDING, Event.ESCALATE): State.PENDING,
    (State.PENDING, Event.EXPIRE): State.EXPIRED,
    (State.PENDING, Event.CANCEL): State.CANCELLED,
    (State.APPROVED, Event.NO): State.REJECTED,
    (State.APPROVED, Event.EXPIRE): State.EXPIRED,
    (State.APPROVED, Event.CANCEL): State.CANCELLED,
    (State.APPROVED, Event.USE): State.USED,
}


class NotNow(Exception):
    """The event cannot happen in this state; the text names both."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"{event.value} while {state.value}")
        self.state = state


def after(
    approval: Approval, event: Event, now: float, *, answer: Answer | None = None, used_by: str = "", why: str = ""
) -> Approval:
    """The approval after the event, one revision on. Raises `NotNow`.

    `now` is Unix time: once `expires_at` has come only `expire` can happen, whether anybody has noticed yet or not.
    """
    state = TABLE.get((approval.state, event))
    # Attack: answer or use an approval in the moment between its end and the look that finds it ended.
    if state is None or (now >= approval.expires_at and event is not Event.EXPIRE):
        raise NotNow(approval.state if state is None else State.EXPIRED, event)
    if event is Event.EXPIRE and now < approval.expires_at:
        raise NotNow(approval.state, event)
    if event is Event.ESCALATE and approval.escalated:  # by another desk
        raise NotNow(approval.state, event)
    changes: dict[str, Any] = {"state": state, "revision": approval.revision + 1}
    if answer is not None:
        changes["answers"] = (*approval.answers, answer)
    if event is Event.ESCALATE:
        changes["escalated"] = True
    if used_by:
        changes["used_by"] = used_by
    if why:
        changes["why"] = why
    return msgspec.structs.replace(approval, **changes)
