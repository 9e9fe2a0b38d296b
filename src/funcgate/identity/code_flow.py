"""Signing in at an issuer with a browser: the authorization code flow (OpenID Connect Core 1.0, 3.1) with PKCE (RFC 7636).

It knows no cookie and no session: whoever uses it keeps an `Attempt` for the browser it was made for, and gives it back once.
"""

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Mapping
from secrets import token_urlsafe
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec
from msgspec import Struct

from funcgate.core.principal import Principal, RawToken
from funcgate.core.secret import Secret

from .claims import invalid
from .fetch import Fetcher, FetchFailed, endpoint
from .id_token import verify_id_token
from .issuers import Issuers, Known
from .spec import IssuerSpec
from .strictjson import NotJson, read_object

FRESH_S = 300.0
FAILED_S = 5.0
AT_ONCE = 8  # codes that are exchanged at the same time


class Client(Struct, frozen=True, kw_only=True):
    """What the issuer knows this console as. Without `authorize_url` and `token_url` they are found by discovery; no `secret`:
    a public client."""

    issuer: str
    client_id: str
    redirect_url: str
    secret: Secret = msgspec.field(default_factory=lambda: Secret(""))
    authorize_url: str = ""
    token_url: str = ""
    scopes: tuple[str, ...] = ("openid",)


class Place(Struct, frozen=True):
    """The issuer's endpoints. `basic`: it takes the client's secret by HTTP Basic; `names_itself`: it promises to put its name
    into its answer (RFC 9207)."""

    authorize_url: str
    token_url: str
    basic: bool = True
    names_itself: bool = False


class Attempt(Struct, frozen=True, kw_only=True):
    """One sign-in that has begun: three secrets that are used once. `url` is where the browser goes."""

    state: str
    nonce: str
    verifier: str
    url: str
    place: Place

    def __repr__(self) -> str:
        return "Attempt(…)"


class NoSignIn(Exception):
    """Nobody can sign in now. The text is for the operator and holds no secret."""


class CodeFlow:
    """The flow, for one client. `issuers` gives those of the configuration that serves now."""

    def __init__(self, client: Client, issuers: Callable[[], Issuers], now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._issuers = issuers
        self._now = now
        self._found: tuple[float, IssuerSpec, Place | FetchFailed] | None = None
        self._looking = asyncio.Lock()
        self._exchanging = asyncio.Semaphore(AT_ONCE)
        self._fetcher: tuple[IssuerSpec, Fetcher] | None = None

    async def begin(self) -> Attempt:
        """A new attempt. Raises `NoSignIn`."""
        client = self._client
        place = await self._place(self._known())
        state, nonce, verifier = token_urlsafe(32), token_urlsafe(32), token_urlsafe(48)
        asked = {
            "response_type": "code", "client_id": client.client_id, "redirect_uri": client.redirect_url,
            "scope": " ".join(client.scopes), "state": state, "nonce": nonce,
            "code_challenge": challenge(verifier), "code_challenge_method": "S256",
        }  # fmt: skip
        url = f"{place.authorize_url}{'&' if '?' in place.authorize_url else '?'}{urlencode(asked)}"
        return Attempt(state=state, nonce=nonce, verifier=verifier, url=url, place=place)

    async def finish(self, attempt: Attempt, code: str, issuer: str | None) -> Principal:
        """Who signed in, for the code that the browser brought back, and the `iss` beside it. Raises `Refused` and `NoSignIn`."""
        known, client = self._known(), self._client
        # Attack: mix-up (RFC 9207): the answer of one provider is taken for another's, and its code sent there.
        if issuer != known.rules.issuer and (issuer is not None or attempt.place.names_itself):
            raise invalid("the answer is not of the issuer that was asked")
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": client.redirect_url,
            "code_verifier": attempt.verifier,
        }  # fmt: skip
        user = None
        if client.secret and attempt.place.basic:  # RFC 6749, section 2.3.1: both are form-encoded first
            user = (quote_plus(client.client_id), quote_plus(client.secret.reveal()))
        else:
            form["client_id"] = client.client_id
            if client.secret:
                form["client_secret"] = client.secret.reveal()
        try:
            async with self._exchanging:
                answer = read_object(await self._fetching(known).post(attempt.place.token_url, form, user))
        except FetchFailed as why:
            raise invalid(f"the code is not accepted: {why}") from None
        except NotJson as why:
            raise invalid(f"the token endpoint's answer {why}") from None
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise invalid("the token endpoint's answer has no id_token")
        raw = RawToken(token.encode("utf-8", "replace"))
        principal = await verify_id_token(raw, known.rules, known.keys, client.client_id, attempt.nonce, self._now)
        self._issuers().check(principal)
        return principal

    def _known(self) -> Known:
        known = self._issuers().known(self._client.issuer)
        if known is None:
            raise NoSignIn(f"there is no issuer {self._client.issuer} any more")
        return known

    async def _place(self, known: Known) -> Place:
        """As configured, or as the issuer says (asked again after five minutes, after a failure in five seconds)."""
        if self._client.authorize_url:
            return Place(self._client.authorize_url, self._client.token_url)
        # Attack: begin sign-ins without end, each of which asks the provider, or waits for one that is down.
        async with self._looking:
            found, now = self._found, self._now()
            if found is None or found[1] != known.spec or not 0 <= now - found[0] < _fresh_s(found[2]):
                self._found = found = (self._now(), known.spec, await self._asked(known))
        if isinstance(found[2], FetchFailed):
            raise NoSignIn(str(found[2]))
        return found[2]

    async def _asked(self, known: Known) -> Place | FetchFailed:
        try:
            return _read(await self._fetching(known).configuration(known.spec.issuer), known.spec.issuer)
        except FetchFailed as why:
            return why

    def _fetching(self, known: Known) -> Fetcher:
        """One for all, as long as the issuer's settings are the same: to read its authorities takes time."""
        if self._fetcher is None or self._fetcher[0] != known.spec:
            place = known.base / known.spec.ca_file if known.spec.ca_file is not None else None
            self._fetcher = (known.spec, Fetcher(place))
        return self._fetcher[1]


def _fresh_s(found: Place | FetchFailed) -> float:
    return FRESH_S if isinstance(found, Place) else FAILED_S


def _read(document: Mapping[str, Any], issuer: str) -> Place:
    methods = document.get("token_endpoint_auth_methods_supported")
    return Place(
        endpoint(document, "authorization_endpoint", issuer),
        endpoint(document, "token_endpoint", issuer),
        not isinstance(methods, list) or "client_secret_basic" in methods,
        document.get("authorization_response_iss_parameter_supported") is True,
    )


def challenge(verifier: str) -> str:
    """RFC 7636, section 4.2, S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
