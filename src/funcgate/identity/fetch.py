"""The one place of this part that talks to the network: gets a provider's documents, small and in bounded time.

Follows no redirect and reads no proxy setting; the only credential it sends is one that it is given for this very address.
"""

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from .address import fault_of_url, is_plain_loopback
from .strictjson import NotJson, read_object

MAX_BYTES = 512 * 1024
TOTAL_TIMEOUT_S = 10.0
DISCOVERY = "/.well-known/openid-configuration"


class FetchFailed(Exception):
    """A document that could not be had. Its text is for the operator: it names the address, never the content."""


class Fetcher:
    """Gets documents of one provider. `ca_file` replaces the public certificate authorities."""

    def __init__(self, ca_file: Path | None = None) -> None:
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None

    async def get(self, url: str) -> bytes:
        """The body of a 200 answer, at most `MAX_BYTES`. Raises `FetchFailed`."""
        if why := fault_of_url(url):
            raise FetchFailed(f"{url} {why}")
        return await self._asked("GET", url)

    async def post(self, url: str, form: Mapping[str, str], user: tuple[str, str] | None = None) -> bytes:
        """As `get`, for a form that is posted; `user` is a name and a secret for HTTP Basic. Raises `FetchFailed`."""
        if why := fault_of_url(url):
            raise FetchFailed(f"{url} {why}")
        return await self._asked("POST", url, data=dict(form), auth=user)

    async def discover(self, issuer: str) -> str:
        """The address of the key set, from the issuer's OpenID configuration. Raises `FetchFailed`."""
        return endpoint(await self.configuration(issuer), "jwks_uri", issuer)

    async def configuration(self, issuer: str) -> dict[str, Any]:
        """The issuer's OpenID configuration (OpenID Connect Discovery 1.0, section 4). Raises `FetchFailed`."""
        url = issuer.removesuffix("/") + DISCOVERY
        try:
            document = read_object(await self.get(url))
        except NotJson as why:
            raise FetchFailed(f"{url} {why}") from None
        # Attack: a provider (or its tenant) that answers for another issuer's name (section 4.3).
        if document.get("issuer") != issuer:
            raise FetchFailed(f'the "issuer" in {url} is not the configured one, letter for letter')
        return document

    async def _asked(self, method: str, url: str, **content: Any) -> bytes:
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S), self._client() as client:
                return await _read(client, method, url, content)
        except TimeoutError:
            raise FetchFailed(f"{url} did not answer within {TOTAL_TIMEOUT_S:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise FetchFailed(f"{url} cannot be reached ({type(error).__name__})") from None

    def _client(self) -> httpx.AsyncClient:
        if self._tls is None:
            if self._ca_file is None:
                self._tls = httpx.create_ssl_context()
            else:
                self._tls = ssl.create_default_context(cafile=str(self._ca_file))
        return httpx.AsyncClient(verify=self._tls, follow_redirects=False, trust_env=False, timeout=TOTAL_TIMEOUT_S)


def endpoint(document: Mapping[str, Any], name: str, issuer: str) -> str:
    """An address out of an issuer's OpenID configuration. Raises `FetchFailed`."""
    address = document.get(name)
    where = issuer.removesuffix("/") + DISCOVERY
    if not isinstance(address, str) or fault_of_url(address):
        raise FetchFailed(f'{where} has no "{name}" with https://')
    # Attack: a remote document that sends the gateway to a port of its own machine.
    if is_plain_loopback(address) and not is_plain_loopback(issuer):
        raise FetchFailed(f'the "{name}" in {where} is plain HTTP')
    return address


async def _read(client: httpx.AsyncClient, method: str, url: str, content: Mapping[str, Any]) -> bytes:
    headers = {"accept": "application/json, application/jwk-set+json", "accept-encoding": "identity"}
    async with client.stream(method, url, headers=headers, **content) as answer:
        if answer.status_code != httpx.codes.OK:
            raise FetchFailed(f"{url} answered {answer.status_code}")
        body = bytearray()
        # Attack: an endless or compressed answer that fills the memory. Raw bytes are counted; none are unpacked.
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise FetchFailed(f"{url} answered more than {MAX_BYTES} bytes")
        return bytes(body)
