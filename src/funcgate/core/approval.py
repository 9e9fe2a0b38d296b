"""A held call as it is kept until humans have judged it, and the store that keeps it.

Values only: what may follow what is a table in approval/table.py, who may answer is judged in approval/quorum.py.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec
from msgspec import Struct

from .decision import Terms
from .entry import Who


class State(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"


LIVE = frozenset({State.PENDING, State.APPROVED})


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one person said. `at` is Unix time; `groups` are those that the person was verified to be in at that time.
    `wish` is the standing grant that the person asked for with it, as JSON, "" for none."""

    issuer: str
    subject: str
    groups: tuple[str, ...] = ()
    yes: bool
    at: float
    channel: str
    reason: str = ""
    wish: str = ""


class Asked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What will run, for whom. `args` is masked JSON, `masked` counts what was masked in it. `digest` is over the very bytes
    that will be forwarded, `schema` over the function's argument schema, `version` is the configuration's. `fields` are what
    the target gets beside the arguments (``name: value``, masked), `fields_digest` stands for names and values."""

    call: str
    function: str
    target: str
    principal: Who
    args: msgspec.Raw
    masked: bool = False
    digest: str
    schema: str
    version: str
    policies: tuple[str, ...] = ()
    reason: str = ""
    session: str = ""
    client: str = ""
    fields: tuple[str, ...] = ()
    fields_digest: str = ""


class Approval(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One held call. `key` is the same for the same call of the same caller (approval/canonical.py). Times are Unix, UTC, in
    seconds. `revision` rises with each change; `used_by` is the call that ran; `why` is why it ended otherwise."""

    id: str
    key: str
    state: State
    created_at: float
    expires_at: float
    asked: Asked
    terms: tuple[Terms, ...]
    answers: tuple[Answer, ...] = ()
    escalated: bool = False
    used_by: str = ""
    why: str = ""
    revision: int = 1

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def attention_at(self) -> float | None:
        """When it expires, or wants to be escalated before; None once it has ended."""
        if not self.live:
            return None
        climbs = self.state is State.PENDING and not self.escalated
        escalations = [self.created_at + terms.escalate_after_s for terms in self.terms if terms.escalate_to and climbs]
        return min([self.expires_at, *escalations])


class Grant(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A standing approval, always narrow: this principal, this function, arguments within `args` (JSON, see approval/grants.py),
    at most `calls` uses, until `expires_at` (Unix). `approval` is the one it was given with."""

    id: str
    issuer: str
    subject: str
    acts_for: str = ""
    actor: str = ""
    function: str
    args: msgspec.Raw
    fields_digest: str = ""
    schema: str
    calls: int
    used: int = 0
    created_at: float
    expires_at: float
    approval: str
    answers: tuple[Answer, ...]
    revoked: bool = False
    revision: int = 1


class Ticket(Struct, frozen=True, kw_only=True):
    """A link that was sent to one recipient, and opens one approval's page once. `digest` is the SHA-256 of its secret part, in
    hex: the secret itself is kept nowhere. `expires_at` is Unix time."""

    digest: str
    approval: str
    recipient: str
    expires_at: float
    used: bool = False


class ApprovalStore(Protocol):
    """Keeps approvals and grants; every change is durable on return, and is one step for everybody who shares the store.

    All methods raise `StoreFailed` when the store cannot be used.
    """

    async def open(self, approval: Approval, max_pending: int = 0) -> Approval:
        """Keep a new pending approval; or the live one that has its key already, which is returned instead.

        Raises `TooManyPending` when the principal has `max_pending` (above 0) of them waiting.
        """
        ...

    async def get(self, approval: str) -> Approval | None: ...

    async def latest(self, key: str) -> Approval | None:
        """The newest approval with this key, whatever its state."""
        ...

    async def swap(self, approval: Approval) -> bool:
        """Keep the changed approval if the kept one is exactly one revision older; False, and nothing is changed, if not."""
        ...

    async def states(self, approvals: Iterable[str]) -> dict[str, int]:
        """Of these, the revision of each."""
        ...

    async def due(self, now: float, limit: int = 100) -> Sequence[Approval]:
        """Live approvals that expire at or before `now`, or want to be escalated by then."""
        ...

    async def find(self, state: State | None = None, *, before: str = "", limit: int = 50) -> Sequence[Approval]:
        """Newest first; `before` is the id of the last one seen."""
        ...

    async def forget(self, before: float, limit: int = 500) -> int:
        """Delete what has ended and would have expired before then: approvals, what channels told of them, and grants.

        Returns how many approvals were deleted, `limit` at most. The journal is the record of them.
        """
        ...

    async def add_grant(self, grant: Grant) -> None: ...

    async def grants(self, function: str = "", subject: str = "", *, now: float = 0.0) -> Sequence[Grant]:
        """Grants that are neither revoked nor used up nor expired at `now`; of this function and subject, if given."""
        ...

    async def use_grant(self, grant: str, now: float) -> bool:
        """Count one use. False when there is none left, or it is revoked or expired."""
        ...

    async def revoke_grant(self, grant: str) -> bool: ...

    async def untold(self, channel: str, since: str, limit: int = 50) -> Sequence[tuple[Approval, str]]:
        """Approvals from the id `since` on that have changed since the channel told of them; with where its message is, "" if
        there is none yet."""
        ...

    async def told(self, channel: str, approval: str, revision: int, reference: str) -> None:
        """The channel has told of that revision; its message is at `reference`."""
        ...

    async def add_ticket(self, ticket: Ticket, now: float) -> None:
        """Keep it. Those that had expired at `now` are forgotten."""
        ...

    async def ticket(self, digest: str) -> Ticket | None: ...

    async def use_ticket(self, digest: str) -> bool:
        """True for the first use, and for no other."""
        ...


class StoreFailed(Exception):
    """The store cannot be used now. The text is for the operator."""


class StoreLocked(StoreFailed):
    """It is encrypted, and its key is not the one that is configured."""


class TooManyPending(Exception):
    """The principal has as many calls waiting as it may."""
