"""The narrow doors between the gateway and its parts. Each has one contract suite that every adapter passes."""

from collections.abc import Awaitable, Mapping
from math import inf
from typing import Any, Protocol

from msgspec import Raw, Struct

from .call import Call, Permit
from .decision import Decision, RequireApproval
from .entry import Drawn, Entry
from .lease import Lease
from .principal import Principal, RawToken
from .refusal import Refused
from .reply import Reply


class Journal(Protocol):
    """The record. What it announces may happen only once `append` has been awaited."""

    def append(self, *entries: Entry | Drawn) -> Awaitable[None]:
        """Write the entries, in this order, in one batch; the awaitable is done when they are durable.

        Raises `Refused(journal.unavailable)` while the disk fails and `Refused(journal.overloaded)` when the queue is
        full, at once or when awaited. An entry that was refused is not in the file.
        """
        ...

    def note(self, *entries: Entry | Drawn) -> None:
        """Write the entries without waiting; they reach the disk with the next batch. Never raises for a full
        queue or a failing disk: a call that `note` could not close is closed as `unknown` at the next start."""
        ...


class Identity(Protocol):
    """Token to Principal."""

    def recall(self, token: RawToken) -> Principal | None:
        """The Principal of a token that was verified before and is still valid, without waiting; else None.

        Raises `Refused(identity.revoked)`."""
        ...

    async def identify(self, token: RawToken | None) -> Principal:
        """Verify the token. Raises `Refused(identity.…)`."""
        ...

    def check(self, principal: Principal) -> None:
        """Raises `Refused(identity.revoked)` for somebody who was verified before, however long ago, and is revoked."""
        ...


class Policies(Protocol):
    """Call to Decision. Pure and bounded in time."""

    def decide(self, call: Call) -> Decision: ...

    def blind(self, call: Call) -> bool:
        """Whether every call of this function by this caller is judged without a look at its arguments."""
        ...


class Masker(Protocol):
    """What one function's rules hide. One masker serves many calls, from any thread.

    `collects` says that nothing passes unseen: what cannot be read is not shown. `hides` is equal for two maskers that hide the
    same.
    """

    collects: bool
    hides: object

    def collecting(self, reply: Reply) -> bool:
        """Whether this reply's stream has to be collected before it can be masked."""
        ...

    def mask_args(self, encoded_args: bytes) -> bytes:
        """JSON of the arguments in, masked JSON (one line, no raw newline) out; for the journal. Never raises:
        what cannot be masked is replaced whole."""
        ...

    def mask_reply(self, reply: Reply, lease: Lease) -> "Masked":
        """The reply as the caller may see it. The lease's needles are scrubbed from everything, rules or not.

        Raises `Refused(masking.refused)` for what cannot be read.
        """
        ...


class Masked(Protocol):
    """A reply that is safe to deliver, and what was masked in it so far (by detector name).

    `json` says that the body is known to be one valid JSON text.
    """

    reply: Reply
    counts: dict[str, int]
    json: bool


class Broker(Protocol):
    """Target to Lease."""

    def at_hand(self, target: str) -> Lease | None:
        """The same as `lease` where it stays the same and is there without waiting; else None."""
        ...

    async def lease(self, target: str) -> Lease:
        """A credential for one use of the target. Raises `Refused(target.unreachable)` when the source fails."""
        ...


class Patience(Struct, frozen=True):
    """How a caller wants to be held: for `wait_s` seconds at most, and not beyond `until` (of `time.monotonic`), as nobody
    would be there to be told; `detached`: not at all, it asks again. `approval` names one
    that the call is to join, "" if it does not say. `also` stands for what the target gets beside the bytes in the call's
    digest, such as header fields: another one is another call. `fields` are those fields, as approvers are told them,
    `fields_digest` stands for their names and values."""

    wait_s: float = 0.0
    detached: bool = False
    approval: str = ""
    also: str = ""
    fields: tuple[str, ...] = ()
    fields_digest: str = ""
    until: float = inf


class Held(Protocol):
    """A call at the desk. `id` is the approval's."""

    @property
    def id(self) -> str: ...


class Desk(Protocol):
    """Where held calls wait. Every step raises `Refused(approval.…)` for a call that may not go on."""

    async def open(
        self, call: Call, decision: RequireApproval, args: Raw, schema: Mapping[str, Any], patience: Patience
    ) -> Held:
        """Find or make the approval of this call. `args` is the masked JSON that approvers see, `schema` the function's."""
        ...

    async def wait(self, held: Held) -> None:
        """Ask, and wait until the call is approved."""
        ...

    async def use(self, held: Held, decision: Decision) -> None:
        """Take the approval, once and for all; `decision` is what the policies say after the wait."""
        ...


class Exchange(Protocol):
    """One call on its wire: the protocol's side of the one way through. Used by gateway.py, once, top to bottom."""

    call_id: str
    client: str
    target: str

    @property
    def token(self) -> RawToken | None:
        """What the caller sent as its token. Raises `Refused` when the message cannot even be read."""
        ...

    @property
    def patience(self) -> Patience:
        """How the caller wants to be held, should it come to that. Raises `Refused` for what cannot be read."""
        ...

    def renew(self) -> bool:
        """After a wait: whether the message still means the same function at the same place, under the configuration that
        serves now. Sending goes by that configuration from here on."""
        ...

    async def resolve(self, principal: Principal) -> Call:
        """Read the message and name the function and its typed arguments. Raises `Refused`."""
        ...

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        """Forward the very bytes that `resolve` judged. Raises `Refused(target.…)`."""
        ...

    async def deliver(self, reply: Reply) -> None:
        """Hand the masked reply to the caller. Raises `CallerGone` when nobody is there to take it."""
        ...

    async def refuse(self, refused: Refused) -> None:
        """Tell the caller no, in the protocol's words."""
        ...


class CallerGone(Exception):
    """The caller went away before the answer was delivered."""
