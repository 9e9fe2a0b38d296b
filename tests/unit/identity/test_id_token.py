"""ID tokens: each of what makes one somebody else's, alone."""

import asyncio
from typing import Any

import pytest
from joserfc import jwk, jwt

from funcgate.core.principal import Principal, RawToken
from funcgate.core.refusal import Refused
from funcgate.identity.id_token import verify_id_token
from funcgate.identity.keys import PublicKey
from funcgate.identity.spec import Rules

NOW = 1_800_000_000
KEY = jwk.ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
RULES = Rules(
    name="corp", issuer="https://idp.test", audience=frozenset({"funcgate"}), groups="groups", subject="sub",
    algorithms=frozenset({"ES256"}), types=frozenset({"at+jwt"}), leeway_s=30, refresh_s=300, cooldown_s=30, keep_s=300,
)  # fmt: skip


class Keys:
    async def key_for(self, kid: str | None, alg: str) -> PublicKey:
        return PublicKey(KEY.as_dict(private=False))


def verified(typ: str | None = "JWT", **changes: Any) -> Principal:
    claims = {
        "iss": "https://idp.test", "sub": "bob", "aud": "console", "iat": NOW, "exp": NOW + 300, "nonce": "n0nce",
        "groups": ["finance"], **changes,
    }  # fmt: skip
    kept = {name: value for name, value in claims.items() if value is not None}
    header = {"alg": "ES256", "kid": "k1"} | ({"typ": typ} if typ is not None else {})
    token = RawToken(jwt.encode(header, kept, KEY).encode())
    return asyncio.run(verify_id_token(token, RULES, Keys(), "console", "n0nce", lambda: float(NOW)))


@pytest.mark.parametrize(
    ("typ", "changes"),
    [
        ("JWT", {}), (None, {}), ("JWT", {"aud": ["console"]}), ("JWT", {"azp": "console"}),
        ("JWT", {"aud": ["other", "console"], "azp": "console"}),
    ],
)  # fmt: skip
def test_for_this_client(typ: str | None, changes: dict[str, Any]) -> None:
    found = verified(typ, **changes)
    assert (found.issuer, found.subject, found.groups) == ("corp", "bob", frozenset({"finance"}))


@pytest.mark.parametrize(
    ("typ", "changes", "why"),
    [
        ("JWT", {"nonce": "another"}, "nonce"),
        ("JWT", {"nonce": None}, "nonce"),
        ("JWT", {"nonce": ["n0nce"]}, "nonce"),
        ("JWT", {"aud": "funcgate"}, "aud"),
        ("JWT", {"aud": None}, "aud"),
        ("JWT", {"aud": ["console", "other"]}, "azp"),
        ("JWT", {"azp": "other"}, "azp"),
        ("JWT", {"azp": ["console"]}, "azp"),
        ("JWT", {"iss": "https://evil.example"}, "iss"),
        ("JWT", {"exp": NOW - 60}, "exp"),
        ("JWT", {"exp": None}, "exp"),
        ("JWT", {"iat": None}, "iat"),
        ("JWT", {"iat": NOW + 3600}, "iat"),
        ("JWT", {"sub": "bob\nroot"}, "subject"),
        ("JWT", {"sub": None}, "subject"),
        ("at+jwt", {}, "typ"),
        ("logout+jwt", {}, "typ"),
    ],
)
def test_for_something_else(typ: str, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused) as refused:
        verified(typ, **changes)
    assert why in refused.value.private_detail
