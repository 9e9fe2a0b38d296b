"""What was decided: Allow, Deny or RequireApproval. Values, never exceptions or booleans."""

from msgspec import Struct

from .refusal import Code


class Terms(Struct, frozen=True, kw_only=True):
    """Who may approve a held call, how many of them, and until when (seconds)."""

    approvers: tuple[str, ...] = ()
    count: int = 1
    expires_s: float = 900.0


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
    """The call may run once a human has said yes, on these terms."""

    terms: tuple[Terms, ...]
    policies: tuple[str, ...]
    version: str


Decision = Allow | Deny | RequireApproval
