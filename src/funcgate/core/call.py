"""One use of a function, and the proof that it may run."""

from typing import Any

from msgspec import Struct

from .principal import Principal


class Call(Struct, kw_only=True):
    """One use of one function. Knows no protocol.

    `id` is unique and sorts by time. `function` is the full name. `digest` is ``sha256:HEX`` over the very
    bytes that will be forwarded. `received_at` is Unix time, UTC, in seconds. `trace` is the W3C trace id or "".
    """

    id: str
    target: str
    function: str
    args: dict[str, Any]
    principal: Principal
    session: str
    digest: str
    received_at: float
    client: str = ""
    trace: str = ""
    reason: str = ""

    def __repr__(self) -> str:
        return f"Call({self.id} {self.function})"


class Permit:
    """Proof that this very call may run, once. Only gateway.py makes one, after "allowed" is on the disk."""

    __slots__ = ("_spent", "call_id", "digest")

    def __init__(self, call_id: str, digest: str) -> None:
        self.call_id = call_id
        self.digest = digest
        self._spent = False

    def spend(self, digest: str) -> None:
        """Use the permit for the bytes that `digest` names. Raises `PermitError` for other bytes or a second use."""
        # Attack: approve one request, send another; or send the approved one twice.
        if self._spent or digest != self.digest:
            raise PermitError("the permit was spent, or is for other bytes")
        self._spent = True


class PermitError(RuntimeError):
    """A send without a permit for it: a programming error that must never reach a target."""
