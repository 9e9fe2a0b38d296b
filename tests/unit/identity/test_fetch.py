"""How documents are fetched: TLS with the right authority only, in bounded time, from addresses that can be trusted."""

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from funcgate.identity import fetch
from funcgate.identity.address import fault_of_url, is_plain_loopback
from funcgate.identity.fetch import Fetcher, FetchFailed


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """A self-signed certificate for `host` and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test provider")])
    now = datetime.datetime.now(datetime.UTC)
    alternative: x509.GeneralName = x509.DNSName(host)
    if host[0].isdigit():
        alternative = x509.IPAddress(ipaddress.ip_address(host))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{host}.pem", folder / f"{host}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


class Server:
    """A site that answers every GET with what `answer` makes, over TLS if it has a certificate."""

    def __init__(self, answer: Any, pair: tuple[Path, Path] | None = None) -> None:
        self._answer = answer
        self._tls = None
        if pair is not None:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._tls.load_cert_chain(*pair)

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        assert site._server is not None
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


async def hello(_: web.Request) -> web.StreamResponse:
    return web.Response(body=b"hello")


async def failure(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(FetchFailed) as caught:
        await fetcher.get(url)
    return str(caught.value)


def test_tls_needs_an_authority_that_is_trusted_and_the_right_name(tmp_path: Path) -> None:
    async def story() -> None:
        right, wrong = certificate(tmp_path, "127.0.0.1"), certificate(tmp_path, "idp.example")
        async with Server(hello, right) as url:
            assert await Fetcher(right[0]).get(url + "/keys") == b"hello"
            assert "cannot be reached" in await failure(Fetcher(), url)
            assert "cannot be reached" in await failure(Fetcher(wrong[0]), url)
        async with Server(hello, wrong) as url:
            assert "cannot be reached" in await failure(Fetcher(wrong[0]), url)

    asyncio.run(story())


def test_a_remote_document_cannot_point_into_this_machine(tmp_path: Path) -> None:
    pair = certificate(tmp_path, "127.0.0.1")

    async def configuration(request: web.Request) -> web.StreamResponse:
        issuer = f"https://{request.host}"
        keys = {"https": issuer + "/keys", "http": f"http://{request.host}/keys"}[scheme]
        return web.json_response({"issuer": issuer, "jwks_uri": keys})

    async def story() -> None:
        nonlocal scheme
        async with Server(configuration, pair) as url:
            assert await Fetcher(pair[0]).discover(url) == url + "/keys"
            scheme = "http"
            with pytest.raises(FetchFailed, match="plain HTTP"):
                await Fetcher(pair[0]).discover(url)

    scheme = "https"
    asyncio.run(story())


@pytest.mark.parametrize("way", ["silence", "headers only", "drops"])
def test_a_provider_has_a_bounded_time(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TOTAL_TIMEOUT_S", 0.2)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if way != "silence":
            await response.prepare(request)
        while True:
            await asyncio.sleep(0.01)
            if way == "drops":
                await response.write(b" ")

    async def story() -> None:
        async with asyncio.timeout(5), Server(answer) as url:
            assert "0.2 s" in await failure(Fetcher(), url)

    asyncio.run(story())


def test_no_answer_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["accept-encoding"] == "identity"
        assert not {"authorization", "cookie"} & {name.lower() for name in request.headers}
        return web.Response(body=b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip", "Set-Cookie": "a=b"})

    async def story() -> None:
        async with Server(answer) as url:
            fetcher = Fetcher()
            for _ in range(2):
                assert await fetcher.get(url) == b"\x1f\x8b\x08"

    asyncio.run(story())


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def story() -> None:
        async with Server(hello) as url:
            assert await Fetcher().get(url) == b"hello"

    asyncio.run(story())


@pytest.mark.parametrize(
    "url",
    ["http://idp.example/", "ftp://127.0.0.1/", "file:///etc/passwd", "//idp.example", "", "https://", "http://0.0.0.0/",
     "http://127.0.0.1@idp.example/", "https://a@idp.example/", "http://localhost.example/", "http://10.0.0.1/",
     "https://idp.example/#x", "https://idp.example/a b", "https://idp.example/\x7f", "https://idp.éxample/", "http://[::2]/"],
)  # fmt: skip
def test_addresses_that_are_refused(url: str) -> None:
    assert fault_of_url(url)
    assert not is_plain_loopback(url)
    assert asyncio.run(failure(Fetcher(), url))


@pytest.mark.parametrize(
    "url", ["https://idp.example/a?b=c", "https://idp.example:8443", "http://[::1]:80/", "http://LOCALHOST"]
)
def test_addresses_that_are_fine(url: str) -> None:
    assert fault_of_url(url) == ""
