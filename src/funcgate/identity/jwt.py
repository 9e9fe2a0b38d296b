"""The one order in which a token is verified (RFC 7515, RFC 7519, RFC 8725). Read it top to bottom.

Nothing of a token is believed before its signature; until then `iss` and `kid` only choose the key to try. No address,
key or certificate in a token's header is ever used.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from funcgate.core.principal import Principal, RawToken

from .claims import invalid, principal_of, verified
from .keys import ALGORITHMS, PublicKey
from .spec import ABSENT, Rules, bare_type
from .strictjson import NotJson, read_object

MAX_BYTES = 16 * 1024
MAX_KID = 1_024

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]+)")


class Keys(Protocol):
    """Where an issuer's keys are."""

    async def key_for(self, kid: str | None, alg: str) -> PublicKey:
        """The one key with this `kid` for `alg`. May wait for the provider. Raises `Refused`."""
        ...


class Trusted(NamedTuple):
    """An issuer: its rules and its keys."""

    rules: Rules
    keys: Keys


class Jws(NamedTuple):
    """The parts of a compact JWS (RFC 7515, 7.1), decoded; not yet verified."""

    alg: str
    kid: str | None
    header: Mapping[str, Any]
    payload: bytes
    signed: bytes
    signature: bytes


class Verdict(NamedTuple):
    """Who a token speaks for, until when it is accepted (Unix time, leeway included), and the key that says so."""

    principal: Principal
    until: float
    key: PublicKey


async def verify(token: RawToken, trusted: Mapping[str, Trusted], now: Callable[[], float]) -> Verdict:
    """Whether the token is good, and for whom. `trusted` is by issuer (`iss`). Raises `Refused`."""
    jws = read_jws(token.value)
    claims = _read_payload(jws)
    issuer = trusted.get(_unverified_issuer(claims))
    if issuer is None:
        raise invalid("iss is no configured issuer")
    rules, keys = issuer
    if jws.alg not in rules.algorithms:
        raise invalid(f"issuer {rules.name} may not sign with {jws.alg}")
    _check_type(jws.header, rules)
    key = await keys.key_for(jws.kid, jws.alg)
    check_signature(jws, key)
    proved, expires_at = verified(claims, rules, now())
    principal = principal_of(proved, rules, token.fingerprint, expires_at)
    return Verdict(principal, expires_at + rules.leeway_s, key)


def read_jws(value: bytes) -> Jws:
    """The parts of a token, strictly: compact form, base64url without padding, a header that means one thing.

    Raises `Refused`. Verifies nothing.
    """
    if len(value) > MAX_BYTES:
        raise invalid(f"the token is longer than {MAX_BYTES} bytes")
    parts = _COMPACT.fullmatch(value)
    if parts is None:
        raise invalid("the token is not three parts in base64url")
    encoded_header, encoded_payload, encoded_signature = parts.groups()
    try:
        header = read_object(_decode(encoded_header))
    except NotJson as why:
        raise invalid(f"the token's header {why}") from None
    return Jws(
        _algorithm(header),
        _key_id(header),
        header,
        _decode(encoded_payload),
        value[: parts.end(2)],
        _decode(encoded_signature),
    )


def check_signature(jws: Jws, key: PublicKey) -> None:
    """Raises `Refused` unless `key` may be used with the token's algorithm and signed these very bytes."""
    if not key.verify(jws.alg, jws.signed, jws.signature):
        raise invalid(f"the signature is not that of key {shown(jws.kid)} with {jws.alg}")


def shown(text: str | None) -> str:
    """A kid, alg or typ as a token's sender wrote it, made safe to print: at most 64 characters, printable ASCII."""
    if text is None:
        return "(none)"
    return "".join(char if " " < char < "\x7f" else "?" for char in text[:64])


def _decode(part: bytes) -> bytes:
    try:
        decoded = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        raise invalid("a part of the token is not base64url") from None
    # Attack: change the unused last bits, and one token has several spellings (RFC 4648, 3.5).
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise invalid("a part of the token is not in its one base64url spelling")
    return decoded


def _algorithm(header: Mapping[str, Any]) -> str:
    alg = header.get("alg")
    # Attack: "none" in any spelling, or HMAC keyed with the public key (RFC 8725, 2.1 and 3.2).
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise invalid(f"alg {shown(alg) if isinstance(alg, str) else ''} is no signature algorithm known here")
    # Attack: an extension that must be understood is ignored and the token means something else (RFC 7515, 4.1.11).
    if "crit" in header:
        raise invalid("the token has crit")
    # Attack: b64 false (RFC 7797): what is signed is not what is decoded.
    if header.get("b64", True) is not True:
        raise invalid("the token has b64 false")
    return alg


def _key_id(header: Mapping[str, Any]) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise invalid(f"kid is not a string of at most {MAX_KID} characters")
    return kid


def _read_payload(jws: Jws) -> dict[str, Any]:
    # Attack: a token within a token, verified by nobody (RFC 8725, 2.4).
    if "cty" in jws.header:
        raise invalid("the token has cty: nested tokens are not accepted")
    try:
        return read_object(jws.payload)
    except NotJson as why:
        raise invalid(f"the token's payload {why}") from None


def _unverified_issuer(claims: Mapping[str, Any]) -> str:
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise invalid("iss is missing or not a string")
    return issuer


def _check_type(header: Mapping[str, Any], rules: Rules) -> None:
    # Attack: a token made for something else (logout, DPoP proof, security event) used as a key (RFC 8725, 3.11).
    name = header.get("typ", ABSENT)
    if not isinstance(name, str) or ("typ" in header and name.lower() == ABSENT) or bare_type(name) not in rules.types:
        raise invalid(f"typ {shown(name) if isinstance(name, str) else ''} is not a type that is accepted")
