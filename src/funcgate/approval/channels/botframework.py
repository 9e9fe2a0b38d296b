"""The two trusts of the Bot Framework: a token of the bot's own for what it sends, and the connector's token on what comes in.

A token in is a bearer token: it proves who sends, for an hour or so, and says nothing of the body. TLS has to keep it.
"""

import asyncio
import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard
from urllib.parse import quote, urlencode

import httpx
import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from msgspec import Struct

from funcgate.approval.spec import TeamsSpec
from funcgate.core.secret import Secret

from . import posting
from .channel import Forged, NotTold

SCOPE = "https://api.botframework.com/.default"
ISSUER = "https://api.botframework.com"
SKEW_S = 300.0  # as the documentation says
EARLY_S = 300.0  # before its end a token is not used any more
REFRESH_S = 86400.0  # as the documentation says
KEEP_S = 3 * 86400.0  # when the keys cannot be read again
COOLDOWN_S = 60.0
MAX_TOKEN_BYTES = 16 << 10
_TOKEN = re.compile(r"bearer ([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.IGNORECASE)
_MIN_KEY_BITS = 2048


class Own:
    """The bot's own token, by client credentials (RFC 6749, 4.4); asked for anew shortly before it ends."""

    def __init__(self, client: httpx.AsyncClient, spec: TeamsSpec, password: Secret) -> None:
        self._client = client
        self._url = f"{spec.login_url.rstrip('/')}/{quote(spec.tenant, safe='')}/oauth2/v2.0/token"
        self._app_id = spec.app_id
        self._password = password
        self._token = Secret("")
        self._until = 0.0

    async def token(self, now: float) -> Secret:
        """Raises `NotTold`."""
        if not self._token or now >= self._until:
            form = {"grant_type": "client_credentials", "client_id": self._app_id, "scope": SCOPE}
            body = urlencode({**form, "client_secret": self._password.reveal()}).encode()
            headers = {"content-type": "application/x-www-form-urlencoded"}
            answer = await posting.send(self._client, "POST", self._url, headers, body)
            said = answer.read()
            token, lasts_s = said.get("access_token"), said.get("expires_in")
            if answer.status != 200 or not isinstance(token, str) or not isinstance(lasts_s, int | float):
                why = str(said.get("error", ""))[:60] or answer.status
                raise NotTold(f"{posting.place(self._url)} gives no token: {why}", answer.pause_s)
            self._token, self._until = Secret(token), now + lasts_s - EARLY_S
        return self._token

    def drop(self) -> None:
        """The token was not accepted."""
        self._token = Secret("")


class _Key(Struct, frozen=True):
    """`channels` are those that the key may speak for."""

    key: RSAKey
    channels: tuple[str, ...] | None


class Connector:
    """Verifies the connector's tokens by its published keys."""

    def __init__(self, client: httpx.AsyncClient, spec: TeamsSpec) -> None:
        self._client = client
        self._url = spec.keys_url
        self._audience = spec.app_id
        self._keys: dict[str, _Key] = {}
        self._read_at = self._asked_at = -math.inf
        self._asking = asyncio.Lock()

    async def verify(self, authorization: str, channel: str, now: float) -> Mapping[str, Any]:
        """The claims of a token that is good now, and whose key may speak for the channel. Raises `Forged`."""
        parts = _TOKEN.fullmatch(authorization) if len(authorization) <= MAX_TOKEN_BYTES else None
        if parts is None:
            raise Forged("there is no token of the Bot Framework's form")
        header = _object(parts[1])
        # Attack: "none", or HMAC keyed with the public key (RFC 8725, 2.1); an extension that is not understood.
        if header.get("alg") != "RS256" or "crit" in header or header.get("b64", True) is not True:
            raise Forged("the token is not signed with RS256")
        key = await self._key(header.get("kid"), now)
        try:
            payload = jws.deserialize_compact(authorization[7:], key.key, algorithms=["RS256"]).payload
            claims = msgspec.json.decode(payload, type=dict[str, Any])
        except (JoseError, ValueError, TypeError, msgspec.MsgspecError):
            raise Forged("the token is not signed by the Bot Framework") from None
        self._judge(claims, now)
        # Attack: a key that Microsoft gave to some other channel speaks for this one.
        if key.channels is not None and channel not in key.channels:
            raise Forged(f"the token's key is not endorsed for {channel}")
        return claims

    def _judge(self, claims: Mapping[str, Any], now: float) -> None:
        if claims.get("iss") != ISSUER:
            raise Forged("the token is of another issuer")
        # Attack: a token that the Bot Framework gave to another bot, sent on by whoever runs that one.
        if claims.get("aud") != self._audience:
            raise Forged("the token is for another bot")
        until, since = claims.get("exp"), claims.get("nbf", 0)
        if not _is_time(until) or not _is_time(since) or not since - SKEW_S <= now < until + SKEW_S:
            raise Forged("the token has expired, or is not valid yet")

    async def _key(self, kid: Any, now: float) -> _Key:
        if not isinstance(kid, str) or not 0 < len(kid) <= 1024:
            raise Forged("the token does not name its key")
        async with self._asking:
            old = now - self._read_at
            # Attack: tokens with made-up keys, each one a request to Microsoft: there is one in a while.
            if (kid not in self._keys or old > REFRESH_S) and now - self._asked_at >= COOLDOWN_S:
                self._asked_at = now
                await self._read(now)
        if kid not in self._keys or now - self._read_at > KEEP_S:
            raise Forged("the token's key is not one of the Bot Framework's, or those cannot be read now")
        return self._keys[kid]

    async def _read(self, now: float) -> None:
        try:
            answer = await posting.send(self._client, "GET", self._url, {}, b"")
        except NotTold:
            return
        listed = answer.read().get("keys")
        found = dict(filter(None, map(_published, listed))) if isinstance(listed, list) else {}
        if answer.status == 200 and found:
            self._keys, self._read_at = found, now


def _published(jwk: Any) -> tuple[str, _Key] | None:
    """A key of the key set, if it can be used here."""
    if not isinstance(jwk, dict) or jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig":
        return None
    kid, channels = jwk.get("kid"), jwk.get("endorsements")
    try:
        key = RSAKey.import_key({name: jwk[name] for name in ("kty", "n", "e")})
        if not isinstance(kid, str) or key.raw_value.key_size < _MIN_KEY_BITS:
            return None
    except (JoseError, KeyError, ValueError, TypeError):
        return None
    return kid, _Key(key, tuple(map(str, channels)) if isinstance(channels, list) else None)


def _object(part: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError, msgspec.MsgspecError):
        found = None
    if not isinstance(found, dict):
        raise Forged("the token's header cannot be read")
    return found


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
