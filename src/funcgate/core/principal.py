"""Who calls. The names carry the trust: RawToken (anyone can send one) -> VerifiedClaims -> Principal."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from .native import half

_native = half("funcgate.core._native")
_encode = msgspec.json.Encoder().encode


class RawToken:
    """Bytes that a caller sent as a token; nothing is known of them. Never printed."""

    __slots__ = ("digest", "value")

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.digest = hashlib.sha256(value).digest()

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the token's SHA-256: names the token without being it."""
        return self.digest[:8].hex()

    def __repr__(self) -> str:
        return f"RawToken({self.fingerprint})"


class Tokens:
    """What came on one connection: the same token again is the same `RawToken`, hashed once. It says nothing of its worth."""

    __slots__ = ("_hash", "_last")

    def __init__(self) -> None:
        self._hash = 0
        self._last: RawToken | None = None

    def of(self, value: bytes) -> RawToken:
        # Attack: guess, piece by piece, the token that came before on a connection which a proxy shares among callers, by how
        # long a comparison takes. Hashes (keyed, of this process) are compared; bytes only where these are equal.
        last, hashed = self._last, hash(value)
        if last is not None and hashed == self._hash and value == last.value:
            return last
        self._hash, self._last = hashed, RawToken(value)
        return self._last


if not TYPE_CHECKING and _native is not None:
    _Tokens, Tokens = Tokens, _native.Tokens


class VerifiedClaims(Struct, frozen=True):
    """Claims whose signature, issuer, audience and times were checked (RFC 7519, RFC 8725)."""

    issuer: str
    claims: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"VerifiedClaims(issuer={self.issuer!r})"


class Who(Struct, frozen=True, omit_defaults=True):
    """The principal as the journal shows it: no claims, no token."""

    issuer: str
    subject: str
    groups: tuple[str, ...] = ()
    acts_for: str | None = None
    token: str = ""
    actor: str | None = None


class Principal(Struct, frozen=True):
    """Who calls, and on whose behalf.

    `issuer` is the configured name (``corp``), not the URL. `expires_at` is Unix time, UTC, in seconds.
    `acts_for` is the subject behind an agent (the ``act`` chain of RFC 8693, section 4.1), if any; `actor` is that agent.
    `selectors` are the spellings under which policies may name this principal: ``user:SUBJECT``, ``group:G``, ``*``.
    `who` is what the journal shows of it, made once; use `who_is`. `shown` is the same as it stands in a line.
    """

    issuer: str
    subject: str
    groups: frozenset[str]
    claims: Mapping[str, Any]
    token: str
    expires_at: float
    acts_for: str | None = None
    selectors: frozenset[str] = frozenset()
    actor: str | None = None
    who: Who | None = None
    shown: bytes = b""

    def __repr__(self) -> str:
        return f"Principal({self.issuer}/{self.subject})"


def who_is(principal: Principal) -> Who:
    """The principal without claims."""
    if principal.who is not None:
        return principal.who
    groups = tuple(sorted(principal.groups))
    return Who(principal.issuer, principal.subject, groups, principal.acts_for, principal.token, principal.actor)


def make_principal(
    issuer: str,
    subject: str,
    groups: frozenset[str],
    claims: Mapping[str, Any],
    token: str,
    expires_at: float,
    acts_for: str | None = None,
    actor: str | None = None,
) -> Principal:
    """A Principal with its selectors worked out once, so that policies only compare strings, and what the journal shows of it."""
    selectors = frozenset({"*", f"user:{subject}", *(f"group:{group}" for group in groups)})
    who = Who(issuer, subject, tuple(sorted(groups)), acts_for, token, actor)
    try:
        shown = _encode(who)
    except UnicodeEncodeError:  # half a surrogate pair: the journal writes it in another form
        shown = b""
    return Principal(issuer, subject, groups, claims, token, expires_at, acts_for, selectors, actor, who, shown)
