"""The Python baseline: an aiohttp reverse proxy that verifies the token (cached by hash) and compares group and path.

Run as `python -m bench.aiohttp_proxy PORT UPSTREAM_PORT JWKS_FILE`. It masks nothing and records nothing.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from .workload import AUDIENCE, GROUP, ISSUER, PATH

_CLAIMS = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}
)


class Proxy:
    """Token, one comparison, forward, answer."""

    def __init__(self, upstream_port: int, keys: KeySet) -> None:
        self._url = f"http://127.0.0.1:{upstream_port}"
        self._keys = keys
        self._known: dict[bytes, Mapping[str, Any]] = {}

    async def open(self, _app: web.Application) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=0),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(30),
            auto_decompress=False,
        )

    async def close(self, _app: web.Application) -> None:
        await self._session.close()

    async def carry(self, request: web.Request) -> web.Response:
        claims = self.claims(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if claims is None:
            return web.Response(status=401)
        if GROUP not in claims["groups"] or request.path != PATH or request.method != "POST":
            return web.Response(status=403)
        body = await request.read()
        headers = {"Content-Type": request.headers["Content-Type"], "Accept": request.headers["Accept"]}
        async with self._session.post(self._url + request.path, data=body, headers=headers) as answer:
            return web.Response(
                status=answer.status, body=await answer.read(), headers={"Content-Type": answer.headers["Content-Type"]}
            )

    def claims(self, token: str) -> Mapping[str, Any] | None:
        return self._known.get(hashlib.sha256(token.encode()).digest()) or self._verify(token)

    def _verify(self, token: str) -> Mapping[str, Any] | None:
        try:
            verified = jwt.decode(token, self._keys, algorithms=["ES256"])
            _CLAIMS.validate(verified.claims)
        except (JoseError, ValueError):
            return None
        self._known[hashlib.sha256(token.encode()).digest()] = verified.claims
        return verified.claims


def main() -> None:
    port, upstream_port, jwks = int(sys.argv[1]), int(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
    proxy = Proxy(upstream_port, KeySet.import_key_set(jwks))
    app = web.Application()
    app.on_startup.append(proxy.open)
    app.on_cleanup.append(proxy.close)
    app.router.add_route("*", "/{path:.*}", proxy.carry)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
