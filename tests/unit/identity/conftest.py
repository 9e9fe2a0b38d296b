"""Real keys, real tokens and a real HTTP provider on loopback. `Signer` can also sign what no library would."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from funcgate.core.principal import Principal, RawToken
from funcgate.core.refusal import Refused
from funcgate.identity import Issuers, IssuerSpec

ISSUER = "https://idp.example"
NOW = 1_800_000_000


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """A private key, its public JWK, and tokens signed with it."""

    def __init__(self, kid: str | None, alg: str = "ES256", **jwk: Any) -> None:
        makers: dict[str, Callable[[], Any]] = {
            "ES256": lambda: ECKey.generate_key("P-256"),
            "ES384": lambda: ECKey.generate_key("P-384"),
            "ES512": lambda: ECKey.generate_key("P-521"),
            "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
            "Ed25519": lambda: OKPKey.generate_key("Ed25519"),
            "Ed448": lambda: OKPKey.generate_key("Ed448"),
        }
        self.alg = alg
        self.kid = kid
        self.key = makers.get(alg, lambda: RSAKey.generate_key(2048))()
        self.public = self.key.as_dict(private=False)
        self.public.pop("kid", None)
        self.public |= ({} if kid is None else {"kid": kid}) | jwk

    def header(self, **more: Any) -> dict[str, Any]:
        made = {"alg": self.alg, "typ": "JWT"} | ({} if self.kid is None else {"kid": self.kid}) | more
        return {name: value for name, value in made.items() if value is not None}

    def sign(self, header: bytes, payload: bytes, alg: str | None = None) -> RawToken:
        signed = f"{b64(header)}.{b64(payload)}"
        signature = JWSRegistry.algorithms[alg or self.alg].sign(signed.encode(), self.key)
        return RawToken(f"{signed}.{b64(signature)}".encode())

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> RawToken:
        """A good token, changed by `header` and `claims`; a claim that is `...` is left out."""
        made = {"iss": ISSUER, "aud": "funcgate", "sub": "alice", "iat": NOW - 5, "exp": NOW + 600, "groups": ["staff"]}
        made = {name: value for name, value in (made | claims).items() if value is not ...}
        return self.sign(json.dumps(self.header(**(header or {}))).encode(), json.dumps(made).encode())


class Clock:
    """Unix time that stands still until it is moved."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def key_set(*signers: Signer) -> bytes:
    return json.dumps({"keys": [signer.public for signer in signers]}).encode()


def identify(issuers: Issuers, token: RawToken | None) -> Principal:
    return asyncio.run(issuers.identify(token))


def refusal(issuers: Issuers, token: RawToken | None) -> Refused:
    """The refusal of a token; it must be one, and must quote nothing of it."""
    with pytest.raises(Refused) as caught:
        identify(issuers, token)
    if token is not None:
        for part in token.value.decode("latin-1").split("."):
            assert len(part) < 8 or part not in caught.value.private_detail
        assert issuers.recall(token) is None
    assert caught.value.public_detail == ""
    return caught.value


class Provider:
    """A small OpenID provider: discovery, key set, and a token endpoint for client credentials (RFC 6749, 4.4)."""

    def __init__(self) -> None:
        self.signers: list[Signer] = []
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, Callable[[], Any]] = {}
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/keys", self._keys)
        app.router.add_post("/token", self._token)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> "Provider":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _configuration(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(
            request, lambda: web.json_response({"issuer": self.url, "jwks_uri": self.url + "/keys"})
        )

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(
            request, lambda: web.Response(body=key_set(*self.signers), content_type="application/jwk-set+json")
        )

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        made = self.signers[-1].token(iss=self.url, sub=str(form["client_id"]), aud=str(form["audience"]))
        return web.json_response({"access_token": made.value.decode(), "token_type": "Bearer", "expires_in": 600})

    async def _answer(self, request: web.Request, usual: Callable[[], Any]) -> web.StreamResponse:
        self.asked[request.path] += 1
        answer = self.answers.get(request.path, usual)()
        return await answer if asyncio.iscoroutine(answer) else answer


async def until(condition: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait until `condition` holds; fail if it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # what is waited for is another server's doing
            await asyncio.sleep(0.005)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer("k1")


@pytest.fixture(scope="session")
def rsa() -> Signer:
    return Signer("rsa", "RS256")


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Callable[..., Issuers]:
    """Issuers with one issuer, whose keys are in a file."""

    def made(*signers: Signer, **spec: Any) -> Issuers:
        (tmp_path / "keys.json").write_bytes(key_set(*signers))
        fields = {"name": "corp", "issuer": ISSUER, "audience": "funcgate", "jwks_file": "keys.json"} | spec
        return Issuers([IssuerSpec(**fields)], base=tmp_path, now=clock)

    return made


@pytest.fixture
def kit() -> SimpleNamespace:
    """The names above, for tests: a conftest cannot be imported."""
    return SimpleNamespace(
        Signer=Signer, Clock=Clock, Provider=Provider, key_set=key_set, identify=identify, refusal=refusal, b64=b64,
        until=until, NOW=NOW, ISSUER=ISSUER,
    )  # fmt: skip
