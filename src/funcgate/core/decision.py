"""What was decided: Allow, Deny or RequireApproval. Values, never exceptions or booleans."""

from msgspec import Struct

from .refusal import Code


class Quorum(Struct, frozen=True):
    """So many different people, each covered by one of these principal selectors."""

    approvers: tuple[str, ...]
    count: int = 1


class Hours(Struct, frozen=True, kw_only=True):
    """When answers count: on these weekdays (0 is Monday), from `begin_min` to before `end_min` (minutes of the day), in an
    IANA time zone. `end_min` not above `begin_min` reaches into the next day."""

    days: frozenset[int]
    begin_min: int
    end_min: int
    zone: str = "UTC"


class Terms(Struct, frozen=True, kw_only=True):
    """What it takes to let a held call run; times in seconds.

    Every one of `quorums` must be met, by different people. `escalate_to` may answer too, once the call has waited for
    `escalate_after_s`. `break_glass` are principals whose call runs at once when it gives a reason. `max_pending` is how many
    calls one principal may have waiting (0: any number). Grants of `grant_max_s` and `grant_max_calls` may be given with an
    approval (0: none).
    """

    quorums: tuple[Quorum, ...] = ()
    expires_s: float = 900.0
    reason_required: bool = False
    hours: Hours | None = None
    max_pending: int = 0
    escalate_after_s: float = 0.0
    escalate_to: tuple[str, ...] = ()
    break_glass: tuple[str, ...] = ()
    cancel_on_disconnect: bool = False
    grant_max_s: float = 0.0
    grant_max_calls: int = 0


class Allow(Struct, frozen=True):
    """The call may run. `policies` name those that decided."""

    policies: tuple[str, ...]
    version: str


class Deny(Struct, frozen=True):
    """The call may not run. `reason` is for the journal and the operator, never for the caller."""

    code: Code
    reason: str
    policies: tuple[str, ...]
    version: str


class RequireApproval(Struct, frozen=True):
    """The call may run once humans have said yes, on all of these terms."""

    terms: tuple[Terms, ...]
    policies: tuple[str, ...]
    version: str


Decision = Allow | Deny | RequireApproval
