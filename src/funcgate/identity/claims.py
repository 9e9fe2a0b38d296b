"""Claims that a key vouches for, held against an issuer's rules, and made into a Principal.

Reads no token and no key. A claim that is missing or of the wrong kind refuses; none is guessed or repaired.
"""

from collections.abc import Mapping
from typing import Any

from funcgate.core.principal import Principal, VerifiedClaims, make_principal
from funcgate.core.refusal import Code, Refused

from .spec import Rules

MAX_GROUPS = 1_000
MAX_NAME = 2_048
LAST_DATE = 253_402_300_799  # the end of the year 9999


def verified(claims: Mapping[str, Any], rules: Rules, now: float) -> tuple[VerifiedClaims, float]:
    """The claims, checked, and their `exp`. Call it only after the signature was verified.

    RFC 7519 (4.1), RFC 8725 (3.8, 3.9). Raises `Refused`: `identity.expired` only if nothing else is wrong.
    """
    if claims.get("iss") != rules.issuer:
        raise invalid("iss is not the issuer whose key signed the token")
    _check_audience(claims.get("aud"), rules)
    expires_at = _date(claims, "exp")
    if expires_at is None:
        raise invalid("exp is missing: the token would never end")
    not_before, issued_at = _date(claims, "nbf"), _date(claims, "iat")
    if not_before is not None and not_before > now + rules.leeway_s:
        raise invalid("nbf is in the future")
    if issued_at is not None and issued_at > now + rules.leeway_s:
        raise invalid("iat is in the future")
    if now >= expires_at + rules.leeway_s:
        raise Refused(Code.IDENTITY_EXPIRED, private_detail="exp has passed")
    return VerifiedClaims(rules.name, claims), expires_at


def principal_of(verified: VerifiedClaims, rules: Rules, token: str, expires_at: float) -> Principal:
    """Who the claims are about. `token` is the fingerprint. Raises `Refused`.

    `subject` is the party the token is about (`sub`): policies name it. Where the token has an actor (`act`, RFC 8693,
    4.1), an agent presents it in that party's name: then `actor` is the agent and `acts_for` the party.
    """
    claims = verified.claims
    subject = _name(claims, rules.subject)
    if rules.subject == "email" and claims.get("email_verified") is not True:
        # Attack: register somebody else's address with the provider, never confirm it, and be them here.
        raise invalid("email names the subject, but email_verified is not true")
    actor = _actor(claims)
    groups = _groups(claims, rules.groups)
    acts_for = subject if actor else None
    return make_principal(rules.name, subject, groups, claims, token, expires_at, acts_for, actor)


def invalid(why: str) -> Refused:
    """The one refusal for a token that is not accepted; `why` goes to the journal and names no value of the token."""
    return Refused(Code.IDENTITY_INVALID, private_detail=why)


def _check_audience(audience: object, rules: Rules) -> None:
    # Attack: a token that the same provider issued for another service is replayed here.
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise invalid("aud is missing, or neither a string nor a list of strings")
    if rules.audience.isdisjoint(named):
        raise invalid("aud does not name this gateway")


def _date(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2), None if absent."""
    if name not in claims:
        return None
    value = claims[name]
    # Attack: true, "9999999999", NaN or 1e300 as a date, which some comparison takes for "not yet".
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_DATE:
        raise invalid(f"{name} is not a date")
    return float(value)


def _groups(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    groups = _at(claims, path)
    if groups is None:
        # Attack: so many memberships that the provider leaves them out, and with them the one that is denied.
        if path in _mapping(claims.get("_claim_names")):
            raise invalid("the groups are not in the token but elsewhere (_claim_names)")
        return frozenset()
    if isinstance(groups, str):
        # Attack: "a b" read as one group here and as two there.
        if " " in groups or "," in groups:
            raise invalid("the groups claim is one string with several names")
        groups = [groups]
    if not isinstance(groups, list) or len(groups) > MAX_GROUPS or not all(map(_is_name, groups)):
        raise invalid(f"the groups claim is not a list of at most {MAX_GROUPS} names")
    return frozenset(groups)


def _actor(claims: Mapping[str, Any]) -> str | None:
    """The current actor, the outermost `act`; those within are history (RFC 8693, 4.1)."""
    if "act" not in claims:
        return None
    actor = claims["act"]
    if not isinstance(actor, dict) or not _is_name(actor.get("sub")):
        raise invalid("act has no sub that is a name")
    return str(actor["sub"])


def _name(claims: Mapping[str, Any], path: str) -> str:
    value = _at(claims, path)
    if not isinstance(value, str) or not _is_name(value):
        raise invalid("the claim that names the subject is missing or is not a name")
    return value


def _is_name(value: object) -> bool:
    # Attack: a line feed in a name writes a second line into somebody's log.
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable()


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """What is at a path such as ``realm_access.roles``. A claim of exactly that name comes first."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = _mapping(value).get(name)
    return value


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
