"""How a policy is spelled in the configuration. Shapes only; what is wrong in them is found in conditions.py."""

from typing import Literal

from msgspec import Struct

Effect = Literal["allow", "deny", "require_approval"]


class QuorumSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`count` different people out of `approvers`."""

    approvers: list[str]
    count: int = 1


class HoursSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When answers count: ``days: mon-fri`` (or ``[mon, wed]``), ``between: 08:00-18:00``, ``zone: Europe/Berlin``."""

    days: str | list[str] = "mon-sun"
    between: str = "00:00-24:00"
    zone: str = "UTC"


class EscalationSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After so long without an outcome, `to` (principal selectors) may answer too, and are told."""

    after: str | int | float
    to: list[str]


class GrantsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an approver may allow beyond the one call, at most: so many `calls`, for so long (`expires`)."""

    calls: int
    expires: str | int | float


class ApprovalSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who approves: `count` of `approvers` (principal selectors), or each of several groups in `all_of`.

    `expires` is a time (``15m``). `max_pending` 0 is any number. `break_glass` are selectors of principals whose call runs at
    once when it gives a reason.
    """

    approvers: list[str] = []
    count: int = 1
    all_of: list[QuorumSpec] = []
    expires: str | int | float = "15m"
    reason_required: bool = False
    hours: HoursSpec | None = None
    max_pending: int = 100
    escalate: EscalationSpec | None = None
    break_glass: list[str] = []
    on_disconnect: Literal["keep", "cancel"] = "keep"
    grants: GrantsSpec | None = None


class PolicySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One policy. `functions` are full names, ``*`` for any run of characters; `when` is a CEL condition."""

    name: str
    effect: Effect
    functions: list[str]
    principals: list[str]
    when: str | None = None
    approval: ApprovalSpec | None = None
