"""Tokens, callers and sessions that are refused though nothing else is wrong with them: what stands, and what is kept of it.

It decides on no call, and knows no store and no clock.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import Struct

from .principal import Principal

Marks = frozenset[str]


class Revocation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Either `token` (a fingerprint), or `issuer` and `subject`, or `session` says what is refused.

    Times are Unix time, UTC, in seconds; without `until` it stands until it is lifted. `by` and `lifted_by` are
    ``ISSUER/SUBJECT``.
    """

    id: str
    at: float
    by: str
    reason: str
    token: str = ""
    issuer: str = ""
    subject: str = ""
    session: str = ""
    until: float | None = None
    lifted_at: float | None = None
    lifted_by: str = ""

    def stands(self, now: float) -> bool:
        return self.lifted_at is None and (self.until is None or now < self.until)

    @property
    def mark(self) -> str:
        """What it is looked up by."""
        if self.token:
            return self.token
        # Attack: a subject that reads like a session, or the other way round, so that one is revoked for the other.
        return _caller(self.issuer, self.subject) if self.subject else f"\0{self.session}"


def marks_of(principal: Principal) -> Marks:
    """Whatever of a principal may be revoked: its token, its subject, and the agent that acts for it."""
    marks = {principal.token, _caller(principal.issuer, principal.subject)}
    if principal.actor:
        # Attack: an agent that is revoked goes on in the name of one more person.
        marks.add(_caller(principal.issuer, principal.actor))
    return frozenset(marks)


class Revoked:
    """The revocations that stand now, as the data path looks at them. Replaced whole; one for the process."""

    __slots__ = ("_found", "marks", "sessions")

    def __init__(self) -> None:
        self._found: dict[str, Revocation] = {}
        self.marks: Marks = frozenset()
        self.sessions: frozenset[str] = frozenset()

    def replace(self, standing: Iterable[Revocation]) -> None:
        self._found = {each.mark: each for each in standing}
        self.marks = frozenset(mark for mark, each in self._found.items() if not each.session)
        self.sessions = frozenset(each.session for each in self._found.values() if each.session)

    def among(self, marks: Marks) -> Revocation | None:
        """The revocation that one of these falls under."""
        return next((self._found[mark] for mark in marks if mark in self._found), None)

    def of_caller(self, issuer: str, subject: str) -> Revocation | None:
        return self._found.get(_caller(issuer, subject)) if self._found else None

    def of_session(self, session: str) -> Revocation | None:
        return self._found.get(f"\0{session}") if self._found else None


def _caller(issuer: str, subject: str) -> str:
    return f"{issuer}\0{subject}"


class RevocationStore(Protocol):
    """Keeps revocations, for ever. Everything raises `core.approval.StoreFailed` when it cannot be used."""

    async def add(self, revocation: Revocation) -> None: ...

    async def get(self, revocation: str) -> Revocation | None: ...

    async def lift(self, revocation: str, by: str, at: float) -> bool:
        """False when there is none that stands at `at`."""
        ...

    async def standing(self, now: float) -> Sequence[Revocation]:
        """All that stand, in the order of their ids."""
        ...

    async def find(
        self, standing_at: float | None = None, *, before: str = "", limit: int = 50
    ) -> Sequence[Revocation]:
        """The newest first, from below the id `before`; all, or those that stand at a time."""
        ...

    async def changes(self) -> int:
        """A number that every `add` and `lift` raises."""
        ...
