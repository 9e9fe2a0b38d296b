"""Whether the journal takes entries: its states, what may follow what, and what the operator is told."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct


class State(StrEnum):
    NEW = "new"
    HEALTHY = "healthy"
    LOW = "low"
    FAILED = "failed"
    CLOSED = "closed"


# From each state, those that may follow. LOW takes refusals and ends but no new calls, on a full disk from the reserve; FAILED,
# NEW and CLOSED take nothing.
MOVES: Mapping[State, frozenset[State]] = {
    State.NEW: frozenset({State.HEALTHY, State.LOW, State.CLOSED}),
    State.HEALTHY: frozenset({State.LOW, State.FAILED, State.CLOSED}),
    State.LOW: frozenset({State.HEALTHY, State.FAILED, State.CLOSED}),
    State.FAILED: frozenset({State.HEALTHY, State.LOW, State.CLOSED}),
    State.CLOSED: frozenset(),
}


class Status(Struct, frozen=True):
    """Whether calls can be recorded; `reason` says why not, for the operator."""

    state: State
    reason: str = ""

    @property
    def healthy(self) -> bool:
        return self.state is State.HEALTHY
