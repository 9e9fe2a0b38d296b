"""Revocations as they are ordered, lifted and kept in force. Every change is in the journal before it takes effect.

It judges no token: what stands here is looked at by `Issuers`, and for sessions where calls are decided.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct, structs

from funcgate.core.approval import StoreFailed
from funcgate.core.entry import Entry, Kind, who_is
from funcgate.core.ids import new_id
from funcgate.core.ports import Journal
from funcgate.core.principal import Principal
from funcgate.core.revocation import Revocation, RevocationStore

from .issuers import Issuers

TOKEN_S = 24 * 3600.0  # for a token that this gateway has not seen
LONGEST_S = 10 * 365 * 86400.0
MAX_STANDING = 100_000
MAX_NAME = 2_048
MAX_REASON = 1_000

_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an administrator asks for: one of a token's fingerprint, a caller, a session. `for_s` 0 is the default time."""

    reason: str
    token: str = ""
    issuer: str = ""
    subject: str = ""
    session: str = ""
    for_s: float = 0.0


class Unfit(Exception):
    """An order that cannot be carried out; the text says what is wrong with it."""


class Elsewhere(Protocol):
    """Other processes that let callers in."""

    async def revoke(self, standing: tuple[Revocation, ...]) -> None:
        """On return nobody lets anybody in who is revoked by these. Never raises."""
        ...

    async def ends(self, token: str) -> float | None:
        """When the token of this fingerprint ends at the latest (Unix time), as far as one of them remembers it."""
        ...


class Revocations:
    """One store's revocations, in force in `issuers().revoked`, and `elsewhere`. `now` is Unix time, UTC, in seconds.

    Methods raise `core.approval.StoreFailed`, and `Refused(journal.…)` when a change cannot be recorded: then it is not made.
    """

    def __init__(
        self,
        store: RevocationStore,
        journal: Journal,
        issuers: Callable[[], Issuers],
        now: Callable[[], float] = time.time,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._store = store
        self._elsewhere = elsewhere
        self._journal = journal
        self._issuers = issuers
        self._now = now
        self._kept: dict[str, Revocation] = {}
        self._changes = -1
        self._next_end = float("inf")
        self._lock = asyncio.Lock()  # attack: a look at the store that began before an order undoes it for a second

    async def order(self, order: Order, by: Principal) -> Revocation:
        """Revoke, from now on. Raises `Unfit`."""
        made = await self._lasting(self._made(order, by), order)
        async with self._lock:
            if len(self._kept) >= MAX_STANDING:
                raise Unfit(f"{MAX_STANDING} revocations stand already: lift some, or revoke a caller instead")
            await self._record("revoke", made, by, order.reason)
            try:
                await self._store.add(made)
            except StoreFailed:
                await self._record("revoke", made, by, "it could not be kept", outcome="failed")
                raise
            self._kept[made.id] = made
            await self._put_in_force()
        return made

    async def lift(self, revocation: str, by: Principal, reason: str) -> Revocation:
        """End one, from now on. Raises `Unfit`, and `KeyError` when none of this id stands."""
        _check_reason(reason)
        async with self._lock:
            found = await self._store.get(revocation)
            if found is None or not found.stands(self._now()):
                raise KeyError(revocation)
            await self._record("lift revocation", found, by, reason)
            if not await self._store.lift(found.id, _spelled(by), self._now()):
                raise KeyError(revocation)
            self._kept.pop(found.id, None)
            await self._put_in_force()
            return await self._store.get(revocation) or found

    async def refuse(self, what: str, by: Principal, why: str) -> None:
        """Record that somebody tried what is not theirs to do."""
        change = {"what": what, "channel": "api"}
        await self._journal.append(
            Entry(kind=Kind.ADMIN, call="", principal=who_is(by), outcome="refused", detail=why, change=change)
        )

    async def find(self, *, every: bool, before: str, limit: int) -> Sequence[Revocation]:
        """The newest first, from below the id `before`: those that stand, or `every` one."""
        return await self._store.find(None if every else self._now(), before=before, limit=limit)

    async def look(self) -> None:
        """Put in force what stands by now, whoever ordered it."""
        async with self._lock:
            changes = await self._store.changes()
            if changes != self._changes:
                self._kept = {each.id: each for each in await self._store.standing(self._now())}
                self._changes = changes
                await self._put_in_force()
            elif self._now() >= self._next_end:
                await self._put_in_force()

    async def _put_in_force(self) -> None:
        now = self._now()
        self._kept = {name: each for name, each in self._kept.items() if each.stands(now)}
        self._next_end = min(
            (each.until for each in self._kept.values() if each.until is not None), default=float("inf")
        )
        self._issuers().revoked.replace(self._kept.values())
        if self._elsewhere is not None:
            await self._elsewhere.revoke(tuple(self._kept.values()))

    def _made(self, order: Order, by: Principal) -> Revocation:
        _check_reason(order.reason)
        if bool(order.token) + bool(order.issuer or order.subject) + bool(order.session) != 1:
            raise Unfit("name one of: a token's fingerprint, an issuer with a subject, a session")
        if order.token and not _FINGERPRINT.fullmatch(order.token):
            # Attack: a whole token, sent by mistake, that would end up in the record.
            raise Unfit("a token is named by its fingerprint: 16 hexadecimal digits, as in the journal")
        if not order.token and not order.session:
            if not order.issuer or not order.subject:
                raise Unfit("a caller is named by issuer and subject, both")
            if self._issuers().known(order.issuer) is None:
                raise Unfit("no issuer of that name is configured: it would stop nobody")
        if max(len(order.subject), len(order.session)) > MAX_NAME:
            raise Unfit(f"a name has at most {MAX_NAME} characters")
        now = self._now()
        return Revocation(
            id=new_id(now), at=now, by=_spelled(by), reason=order.reason, token=order.token, issuer=order.issuer,
            subject=order.subject, session=order.session, until=self._until(order, now),
        )  # fmt: skip

    async def _lasting(self, made: Revocation, order: Order) -> Revocation:
        """Until the token ends by what is known elsewhere, too."""
        if self._elsewhere is None or not order.token or order.for_s:
            return made
        # Attack: a token that only another process has seen is let in again before it ends. And of one that was taken over:
        # it says that the token ends at once. So this makes the time longer, never shorter, and no longer than may be ordered.
        ends = await self._elsewhere.ends(order.token) or 0.0
        return structs.replace(made, until=max(made.until or 0.0, min(ends, self._now() + LONGEST_S)))

    def _until(self, order: Order, now: float) -> float | None:
        if order.for_s:
            if not 0 < order.for_s <= LONGEST_S:
                raise Unfit("the time is more than 0 and at most 10 years")
            return now + order.for_s
        if order.token:
            return self._issuers().ends(order.token) or now + TOKEN_S
        return None

    async def _record(self, what: str, which: Revocation, by: Principal, why: str, outcome: str = "complete") -> None:
        named = {name: value for name in ("token", "issuer", "subject", "session") if (value := getattr(which, name))}
        change = {"what": what, "revocation": which.id, **named, "until": which.until, "channel": "api"}
        entry = Entry(kind=Kind.ADMIN, call="", principal=who_is(by), outcome=outcome, detail=why, change=change)
        await self._journal.append(entry)


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > MAX_REASON:
        raise Unfit(f"a reason is needed, of at most {MAX_REASON} characters")


def _spelled(by: Principal) -> str:
    return f"{by.issuer}/{by.subject}"
