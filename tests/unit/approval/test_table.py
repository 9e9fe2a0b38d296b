"""Every state, every event."""

import msgspec
import pytest

from funcgate.approval.table import TABLE, Event, NotNow, after
from funcgate.core.approval import LIVE, Approval, State
from support.approvals import NOW, answer, approval

ENDS = set(State) - LIVE


def at(state: State) -> Approval:
    return approval(state=state)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_state_and_every_event(state: State, event: Event) -> None:
    now = NOW + 900 if event is Event.EXPIRE else NOW + 1
    expected = TABLE.get((state, event))
    if expected is None:
        with pytest.raises(NotNow):
            after(at(state), event, now)
    else:
        changed = after(at(state), event, now)
        assert (changed.state, changed.revision) == (expected, 2)


def test_the_table_itself() -> None:
    assert {state for state, _ in TABLE} == LIVE
    assert not any(state in ENDS for state, _ in TABLE)
    assert {state for state in State if (State.PENDING, Event.USE) in TABLE} == set()
    assert [state for (state, event), to in TABLE.items() if to is State.USED] == [State.APPROVED]
    assert [(state, event) for (state, event), to in TABLE.items() if to is State.APPROVED] == [
        (State.PENDING, Event.FULL)
    ]


@pytest.mark.parametrize("event", [event for event in Event if event is not Event.EXPIRE])
@pytest.mark.parametrize("state", sorted(LIVE))
def test_after_its_end_nothing_but_the_end_can_happen(state: State, event: Event) -> None:
    with pytest.raises(NotNow) as why:
        after(at(state), event, NOW + 900)
    if (state, event) in TABLE:
        assert why.value.state is State.EXPIRED
    assert after(at(state), Event.EXPIRE, NOW + 900).state is State.EXPIRED


def test_it_does_not_expire_early() -> None:
    with pytest.raises(NotNow):
        after(approval(), Event.EXPIRE, NOW + 899.9)


def test_what_happened_is_kept() -> None:
    first = after(approval(), Event.YES, NOW + 1, answer=answer("bob"))
    second = after(first, Event.FULL, NOW + 2, answer=answer("carol"))
    used = after(second, Event.USE, NOW + 3, used_by="CALL")
    assert [one.subject for one in used.answers] == ["bob", "carol"]
    assert (used.used_by, used.revision, used.state) == ("CALL", 4, State.USED)
    assert after(approval(), Event.ESCALATE, NOW + 1).escalated
    assert after(approval(), Event.CANCEL, NOW + 1, why="gone").why == "gone"
    assert msgspec.json.decode(msgspec.json.encode(used), type=Approval) == used
