"""How a policy is spelled in the configuration. Shapes only; what is wrong in them is found in conditions.py."""

from typing import Literal

from msgspec import Struct

Effect = Literal["allow", "deny", "require_approval"]


class ApprovalSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who approves: `approvers` are principal selectors, `count` how many of them must, `expires` a time (``15m``)."""

    approvers: list[str]
    count: int = 1
    expires: str | int | float = "15m"


class PolicySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One policy. `functions` are full names, ``*`` for any run of characters; `when` is a CEL condition."""

    name: str
    effect: Effect
    functions: list[str]
    principals: list[str]
    when: str | None = None
    approval: ApprovalSpec | None = None
