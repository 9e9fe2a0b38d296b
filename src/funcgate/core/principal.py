"""Who calls. The names carry the trust: RawToken (anyone can send one) -> VerifiedClaims -> Principal."""

import hashlib
from collections.abc import Mapping
from typing import Any

from msgspec import Struct


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


class VerifiedClaims(Struct, frozen=True):
    """Claims whose signature, issuer, audience and times were checked (RFC 7519, RFC 8725)."""

    issuer: str
    claims: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"VerifiedClaims(issuer={self.issuer!r})"


class Principal(Struct, frozen=True):
    """Who calls, and on whose behalf.

    `issuer` is the configured name (``corp``), not the URL. `expires_at` is Unix time, UTC, in seconds.
    `acts_for` is the subject behind an agent (the ``act`` chain of RFC 8693, section 4.1), if any; `actor` is that agent.
    `selectors` are the spellings under which policies may name this principal: ``user:SUBJECT``, ``group:G``, ``*``.
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

    def __repr__(self) -> str:
        return f"Principal({self.issuer}/{self.subject})"


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
    """A Principal with its selectors worked out once, so that policies only compare strings."""
    selectors = frozenset({"*", f"user:{subject}", *(f"group:{group}" for group in groups)})
    return Principal(issuer, subject, groups, claims, token, expires_at, acts_for, selectors, actor)
