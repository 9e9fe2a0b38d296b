"""TLS on both sides: versions, certificates, names (RFC 8446, RFC 9325)."""

import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from support.certificates import Certificate, self_signed
from support.gate import Gate
from support.raw import connect, read_answer
from support.target import Target


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"))


def listening(certificate: Certificate) -> dict[str, Any]:
    tls = {"cert": str(certificate.cert), "key": str(certificate.key)}
    return {"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "tls": tls}


def test_callers_over_tls(make_gate: Callable[..., Gate], certificate: Certificate, target: Target, token: str) -> None:
    gate = make_gate(listen=listening(certificate)).start()
    trusting = ssl.create_default_context(cafile=str(certificate.cert))
    reply = httpx.get(
        f"https://localhost:{gate.calls}/shop/read", headers={"Authorization": f"Bearer {token}"}, verify=trusting
    )
    assert reply.json() == {"ok": True}
    assert gate.stop() == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_below_1_2_is_refused(make_gate: Callable[..., Gate], certificate: Certificate) -> None:
    gate = make_gate(listen=listening(certificate)).start()
    old = ssl.create_default_context(cafile=str(certificate.cert))
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(gate.calls, context=old)


def test_plain_http_on_a_tls_port_gets_nothing(
    make_gate: Callable[..., Gate], certificate: Certificate, target: Target
) -> None:
    gate = make_gate(listen=listening(certificate)).start()
    with connect(gate.calls) as sock:
        sock.sendall(b"GET /shop/read HTTP/1.1\r\nHost: g\r\n\r\n")
        assert not read_answer(sock).startswith(b"HTTP/")
    assert target.ledger == []


class TlsTarget:
    """A target behind TLS: Python's own HTTP server."""

    def __init__(self, certificate: Certificate, maximum: ssl.TLSVersion | None = None) -> None:
        import http.server
        import threading

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *arguments: object) -> None: ...

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert, certificate.key)
        if maximum is not None:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = maximum
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "trust", "maximum", "status"),
    [
        ("localhost", True, None, 200),
        ("localhost", False, None, 502),
        ("wrong.localhost", True, None, 502),
        ("localhost", True, ssl.TLSVersion.TLSv1_1, 502),
    ],
)
def test_targets_over_tls(
    make_gate: Callable[..., Gate],
    certificate: Certificate,
    token: str,
    name: str,
    trust: bool,
    maximum: ssl.TLSVersion | None,
    status: int,
) -> None:
    served = TlsTarget(certificate, maximum)
    tls: dict[str, str] = {"server_name": name} | ({"ca": str(certificate.cert)} if trust else {})
    gate = make_gate(target={"url": f"https://127.0.0.1:{served.port}", "tls": tls}).start()
    reply = httpx.get(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"}, timeout=60)
    served.server.shutdown()
    assert reply.status_code == status
    if status == 502:
        assert reply.json()["code"] == "target.unreachable"
