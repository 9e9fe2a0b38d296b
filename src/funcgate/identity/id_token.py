"""ID tokens (OpenID Connect Core 1.0, section 3.1.3.7): who has just signed in, as told to this client and for this sign-in.

The same order of verification as for calls (jwt.py), with rules of its own: an access token is no ID token, nor the reverse.
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from funcgate.core.principal import Principal, RawToken

from .claims import invalid
from .jwt import Keys, Trusted, verify
from .spec import ABSENT, Rules

TYPES = frozenset({"jwt", ABSENT})


async def verify_id_token(
    token: RawToken, rules: Rules, keys: Keys, client_id: str, nonce: str, now: Callable[[], float]
) -> Principal:
    """Who signed in. Raises `Refused`."""
    # Attack: an access token, or an ID token for another client, is handed in as the proof of a sign-in here.
    mine = msgspec.structs.replace(rules, audience=frozenset({client_id}), types=TYPES)
    verdict = await verify(token, {rules.issuer: Trusted(mine, keys)}, now)
    claims = verdict.principal.claims
    _check_party(claims, client_id)
    sent = claims.get("nonce")
    # Attack: put the ID token of another sign-in (overheard, or of another browser) into this one.
    if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), nonce.encode()):
        raise invalid("nonce is not that of this sign-in")
    if "iat" not in claims:
        raise invalid("iat is missing")
    return verdict.principal


def _check_party(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    several = isinstance(audience, list) and len(audience) > 1
    # Attack: a token that was issued to another client, which names this one as well.
    if claims.get("azp", None if several else client_id) != client_id:
        raise invalid("azp is not this client")
