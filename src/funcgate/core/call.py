"""One use of a function, and the proof that it may run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from .native import half
from .principal import Principal

_MOST_READERS = 64
_native = half("funcgate.core._native")


class Shared:
    """Arguments that many calls have in common, and what their readers worked out from these alone. Nobody changes `args`."""

    __slots__ = ("_known", "args")

    def __init__(self, args: Mapping[str, Any]) -> None:
        self.args = args
        self._known: dict[int, tuple[object, Any]] = {}

    def recall(self, reader: object) -> Any:
        """What this reader remembered, else None."""
        found = self._known.get(id(reader))
        return found[1] if found is not None and found[0] is reader else None

    def remember(self, reader: object, value: Any) -> None:
        """The reader is held with it, so that no other one gets its id."""
        if len(self._known) >= _MOST_READERS:
            self._known.clear()
        self._known[id(reader)] = (reader, value)


if not TYPE_CHECKING and _native is not None:
    _Shared, Shared = Shared, _native.Shared


class Call(Struct, kw_only=True):
    """One use of one function. Knows no protocol.

    `id` is unique and sorts by time. `function` is the full name. `digest` is ``sha256:HEX`` over the very
    bytes that will be forwarded. `received_at` is Unix time, UTC, in seconds. `trace` is the W3C trace id or "". `shared`,
    where there is one, holds a part of `args`, and `own` the rest of them: nothing is in both.
    """

    id: str
    target: str
    function: str
    args: dict[str, Any]
    principal: Principal
    session: str
    digest: str
    received_at: float
    shared: Shared | None = None
    own: dict[str, Any] = {}
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


if not TYPE_CHECKING and _native is not None:
    _Permit, Permit = Permit, _native.Permit


class PermitError(RuntimeError):
    """A send without a permit for it: a programming error that must never reach a target."""
