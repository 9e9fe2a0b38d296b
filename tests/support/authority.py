"""An issuer of real tokens: an ES256 key, its key set in a file, and whatever claims a test wants."""

import json
import time
from pathlib import Path
from typing import Any

from joserfc import jwk, jwt

ISSUER = "https://idp.test"


class Authority:
    """Issues tokens for the issuer ``corp`` of the tests' configuration."""

    def __init__(self, folder: Path) -> None:
        self.key = jwk.ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"})
        self.jwks_file = folder / "jwks.json"
        self.jwks_file.write_text(json.dumps({"keys": [self.key.as_dict(private=False)]}))

    def token(self, subject: str = "agent-1", groups: tuple[str, ...] = ("agents",), **claims: Any) -> str:
        """A token that is good for an hour; `claims` add, replace, or (None) remove."""
        now = int(time.time())
        payload = {
            "iss": ISSUER,
            "aud": "funcgate",
            "sub": subject,
            "groups": list(groups),
            "iat": now,
            "exp": now + 3600,
        }
        payload |= claims
        kept = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode({"alg": "ES256", "kid": "k1", "typ": "JWT"}, kept, self.key)
