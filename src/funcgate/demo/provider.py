"""A development OpenID provider: discovery, keys, tokens. Real HTTP, real ES256 signatures, keys made at start.

It refuses to be more: everyone's password is public, it listens on the loopback interface only, and it forgets all
when it ends. `python -m funcgate.demo.provider --port N` runs it alone.
"""

import hmac
import json
import time
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey
from litestar import Controller, Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery
from msgspec import Struct

from .loopback import serve_main
from .sign_in import Codes, sign_in_page

LIFETIME_S = 3600
MAX_LIFETIME_S = 30 * 86400


class Person(Struct, frozen=True, kw_only=True):
    """Someone who can ask for a token: a program (client_credentials) or a human (password).

    `secret` is what to prove it with; the default is as public as this file.
    """

    groups: tuple[str, ...] = ()
    email: str = ""
    secret: str = "demo"  # noqa: S105  # public on purpose: a development provider


DEMO_PEOPLE: Mapping[str, Person] = {
    "payments-agent": Person(groups=("payments-agents",)),
    "support-agent": Person(groups=("support",)),
    "nightly-job": Person(groups=("payments-agents", "ci")),
    "finance-lead": Person(groups=("finance",), email="finance-lead@example.com"),
}


class KeyRing:
    """The provider's signing keys. The newest signs; older ones stay published until they are dropped."""

    def __init__(self) -> None:
        self._keys: list[ECKey] = []
        self.rotate(drop=True)

    def rotate(self, *, drop: bool) -> str:
        """Sign with a new key from now on. With `drop` the old keys are no longer published. Returns the new key's id."""
        kid = f"dev-{token_hex(4)}"
        key = ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": "ES256"})
        self._keys = [key] if drop else [key, *self._keys]
        return kid

    def published(self) -> dict[str, Any]:
        """The JWK Set (RFC 7517, section 5): public halves only."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}

    def sign(self, claims: dict[str, Any], typ: str) -> str:
        """A compact JWS over the claims by the newest key."""
        key = self._keys[0]
        return jwt.encode({"alg": "ES256", "kid": key.kid, "typ": typ}, claims, key, ["ES256"])


class TokenDesk:
    """Proves people and writes their access tokens (RFC 9068)."""

    def __init__(self, issuer: str, people: Mapping[str, Person], ring: KeyRing) -> None:
        self.issuer = issuer
        self._people = people
        self._ring = ring

    def prove(self, subject: str, secret: str) -> Person | None:
        """The person, if the secret is theirs."""
        person = self._people.get(subject)
        if person is None or not hmac.compare_digest(person.secret.encode(), secret.encode()):
            return None
        return person

    def token(self, subject: str, person: Person, form: Mapping[str, str]) -> dict[str, Any]:
        """The token answer (RFC 6749, section 5.1). Raises `ValueError` for a lifetime that is no number of seconds.

        `lifetime` may be negative: it makes a token that has already expired, for tests. `act` names an agent that
        acts for the subject (RFC 8693, section 4.1).
        """
        lifetime = int(form.get("lifetime", LIFETIME_S))
        if abs(lifetime) > MAX_LIFETIME_S:
            raise ValueError("lifetime")
        now = int(time.time())
        issued = min(now, now + lifetime - 1)
        claims = {
            "iss": self.issuer, "sub": subject, "aud": form.get("audience", "funcgate"), "iat": issued, "nbf": issued,
            "exp": now + lifetime, "jti": token_hex(8), "client_id": form.get("client_id", subject),
            "groups": list(person.groups),
        }  # fmt: skip
        if person.email:
            claims |= {"email": person.email, "email_verified": True}
        if "act" in form:
            claims["act"] = {"sub": form["act"]}
        return {"access_token": self._ring.sign(claims, "at+jwt"), "token_type": "Bearer", "expires_in": lifetime}

    def signed_in(self, subject: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """The token answer at the end of a sign-in (OpenID Connect Core 1.0, section 3.1.3.3). `asked` is what began it."""
        person, now = self._people[subject], int(time.time())
        answer = self.token(subject, person, {"client_id": asked["client_id"], "audience": asked["client_id"]})
        claims: dict[str, Any] = {
            "iss": self.issuer, "sub": subject, "aud": asked["client_id"], "iat": now, "exp": now + LIFETIME_S,
            "auth_time": now, "groups": list(person.groups),
        }  # fmt: skip
        if person.email:
            claims |= {"email": person.email, "email_verified": True}
        if "nonce" in asked:
            claims["nonce"] = asked["nonce"]
        return {**answer, "id_token": self._ring.sign(claims, "JWT")}


class ProviderRoutes(Controller):
    """The provider's HTTP side."""

    @get("/.well-known/openid-configuration", sync_to_thread=False)
    def discovery(self, desk: NamedDependency[TokenDesk]) -> dict[str, Any]:
        return {
            "issuer": desk.issuer,
            "jwks_uri": f"{desk.issuer}/jwks",
            "token_endpoint": f"{desk.issuer}/token",
            "authorization_endpoint": f"{desk.issuer}/authorize",
            "grant_types_supported": ["client_credentials", "password", "authorization_code"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    @get("/jwks", sync_to_thread=False)
    def jwks(self, ring: NamedDependency[KeyRing]) -> Response[bytes]:
        return Response(json.dumps(ring.published()).encode(), media_type="application/jwk-set+json")

    @post("/token", status_code=200)
    async def token(
        self, request: Request[Any, Any, State], desk: NamedDependency[TokenDesk], codes: NamedDependency[Codes]
    ) -> Response[dict[str, Any]]:
        """Grants `client_credentials`, `password` and `authorization_code` (RFC 6749, sections 4.4, 4.3 and 4.1); errors as in
        section 5.2."""
        form = {name: value for name, value in (await request.form()).items() if isinstance(value, str)}
        names = {"client_credentials": ("client_id", "client_secret"), "password": ("username", "password")}
        grant = form.get("grant_type", "")
        if grant == "authorization_code":
            redeemed = codes.redeem(form)
            return _refusal(400, "invalid_grant") if redeemed is None else _fresh(desk.signed_in(*redeemed))
        if grant not in names:
            return _refusal(400, "unsupported_grant_type")
        subject, secret = (form.get(name, "") for name in names[grant])
        person = desk.prove(subject, secret)
        if person is None:
            return _refusal(401, "invalid_client") if grant == "client_credentials" else _refusal(400, "invalid_grant")
        try:
            answer = desk.token(subject, person, form)
        except ValueError:
            return _refusal(400, "invalid_request")
        return _fresh(answer)

    @post("/rotate", status_code=200, sync_to_thread=False)
    def rotate(self, ring: NamedDependency[KeyRing], drop: FromQuery[bool] = False) -> dict[str, str]:
        """Make a new signing key; with `?drop=true` unpublish the old ones at once."""
        return {"kid": ring.rotate(drop=drop)}


def make_provider(issuer_url: str, people: Mapping[str, Person] | None = None) -> Litestar:
    """The provider as an ASGI application. `issuer_url` is where callers reach it, without a slash at the end."""
    ring = KeyRing()
    known = DEMO_PEOPLE if people is None else people
    desk, codes = TokenDesk(issuer_url, known, ring), Codes()
    return Litestar(
        route_handlers=[
            ProviderRoutes,
            *sign_in_page(issuer_url, {name: each.groups for name, each in known.items()}, codes),
        ],
        dependencies={
            "ring": Provide(lambda: ring, sync_to_thread=False),
            "desk": Provide(lambda: desk, sync_to_thread=False),
            "codes": Provide(lambda: codes, sync_to_thread=False),
        },
        openapi_config=None,
    )


def _fresh(answer: dict[str, Any]) -> Response[dict[str, Any]]:
    return Response(answer, headers={"Cache-Control": "no-store"})


def _refusal(status: int, error: str) -> Response[dict[str, Any]]:
    return Response({"error": error}, status_code=status, headers={"Cache-Control": "no-store"})


if __name__ == "__main__":
    serve_main("The development OpenID provider", 8091, make_provider)
