"""Which pages may call gRPC-Web: preflights, answers and refusals, as requests that a browser makes; and in a real browser."""

import functools
import http.server
import struct
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.authority import Authority
from support.chromium import Chromium
from support.grpc_gate import GrpcGate
from support.ledger import SERVICE, LedgerTarget, new

PAGE, OTHER = "https://app.example", "https://evil.example"
PATH = f"/{SERVICE}/Transfer"
ASKS = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,funcgate-target,x-grpc-web,x-tenant",
}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page at an origin of its own."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text("<!doctype html><title>page</title><main>page</main>")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def gate(
    authority: Authority, shared_ledger: LedgerTarget, page: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GrpcGate]:
    cors = {"origins": [PAGE, page], "headers": ["X-Tenant"], "expose": ["x-room"], "max_age": "5m"}
    listen = {"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "cors": cors}
    gate = GrpcGate(tmp_path_factory.mktemp("gate"), authority, shared_ledger, listen=listen)
    gate.start()
    yield gate
    assert gate.stop() == 0


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def client(request: pytest.FixtureRequest, gate: GrpcGate) -> Iterator[httpx.Client]:
    two = request.param == "HTTP/2"
    with httpx.Client(base_url=gate.url, http2=two, http1=not two, timeout=20, trust_env=False) as client:
        yield client


def headers(gate: GrpcGate, origin: str, **token: Any) -> dict[str, str]:
    given = {str(name): str(value) for name, value in gate.metadata(**token)}
    return given | {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": origin}


def body() -> bytes:
    data = new("TransferRequest", amount=5).SerializeToString()
    return struct.pack("!BI", 0, len(data)) + data


def cors_of(reply: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}


def test_a_preflight_of_a_page_that_may(client: httpx.Client, ledger: LedgerTarget) -> None:
    for _ in range(2):  # on one connection
        reply = client.options(PATH, headers={"origin": PAGE} | ASKS)
        assert (reply.status_code, reply.content) == (200, b"")
        found = cors_of(reply)
        assert found["access-control-allow-origin"] == PAGE
        assert found["access-control-allow-methods"] == "POST"
        allowed = set(found["access-control-allow-headers"].split(", "))
        assert {"authorization", "content-type", "funcgate-target", "x-grpc-web", "x-tenant"} <= allowed
        assert found["access-control-max-age"] == "300"
        assert "access-control-allow-credentials" not in found
        assert "origin" in reply.headers["vary"]
    assert not ledger.ledger


@pytest.mark.parametrize(
    ("path", "given"),
    [
        (PATH, {"origin": OTHER} | ASKS), (PATH, {"origin": "null"} | ASKS), (PATH, ASKS), (PATH, {"origin": PAGE}),
        (PATH, {"origin": PAGE + "."} | ASKS), (PATH, {"origin": PAGE.upper()} | ASKS), (PATH, {"origin": f"{PAGE}:443"} | ASKS),
        (PATH, {"origin": PAGE} | ASKS | {"access-control-request-method": "DELETE"}),
        (PATH, {"origin": PAGE} | ASKS | {"access-control-request-headers": "x-tenant"}),
        ("/ledger", {"origin": PAGE} | ASKS), ("/a/b/c", {"origin": PAGE} | ASKS),
    ],
)  # fmt: skip
def test_any_other_is_a_request_like_any(client: httpx.Client, path: str, given: dict[str, str]) -> None:
    reply = client.options(path, headers=given)
    assert reply.status_code == 401
    assert cors_of(reply) == {}


def test_two_origins_are_none(gate: GrpcGate) -> None:
    """Attack: one origin for the gateway, another one for what stands in front of it."""
    with httpx.Client(base_url=gate.url, trust_env=False) as client:
        reply = client.options(PATH, headers=[("origin", OTHER), ("origin", PAGE), *ASKS.items()])
    assert reply.status_code in (400, 401)
    assert cors_of(reply) == {}


def test_answers_and_refusals_can_be_read_by_the_page(
    client: httpx.Client, gate: GrpcGate, ledger: LedgerTarget
) -> None:
    def behave(request: Any, context: Any, seen: Any) -> Any:
        # Attack: a target that lets every page in.
        context.send_initial_metadata(
            (("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true"))
        )
        return new("TransferReply", id="t")

    ledger.behave["Transfer"] = behave
    good = client.post(PATH, content=body(), headers=headers(gate, PAGE))
    assert b"grpc-status: 0" in good.content
    late = client.post(PATH, content=body(), headers=headers(gate, PAGE, exp=1))
    assert b"grpc-status: 16" in late.content
    missing = client.post(PATH, headers={"origin": PAGE, "content-type": "application/grpc-web+proto"})
    wrong = client.post(PATH, headers=headers(gate, PAGE) | {"content-type": "application/grpc-web+json"})
    assert wrong.status_code == 415
    for reply in (good, late, missing, wrong):
        found = cors_of(reply)
        assert set(found) == {"access-control-allow-origin", "access-control-expose-headers"}
        assert found["access-control-allow-origin"] == PAGE
        assert {"grpc-status", "grpc-message", "funcgate-call-id", "x-room"} <= set(
            found["access-control-expose-headers"].split(", ")
        )
        assert reply.headers["vary"] == "origin"
    other = client.post(PATH, content=body(), headers=headers(gate, OTHER))
    assert b"grpc-status: 0" in other.content  # tokens decide, not origins; but the browser shows it to nobody
    assert cors_of(other) == {}


def test_nothing_by_default(grpc_gate: GrpcGate) -> None:
    with httpx.Client(base_url=grpc_gate.url, trust_env=False) as client:
        assert client.options(PATH, headers={"origin": PAGE} | ASKS).status_code == 401
        reply = client.post(PATH, content=body(), headers=headers(grpc_gate, PAGE))
    assert b"grpc-status: 0" in reply.content
    assert cors_of(reply) == {}


CALL = """
const [url, token, bytes] = arguments;
const headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "funcgate-target": "ledger",
  "authorization": "Bearer " + token};
return fetch(url, {method: "POST", headers, body: new Uint8Array(bytes)}).then(
  async reply => [reply.status, reply.headers.get("funcgate-call-id"), await reply.text()],
  failure => "failed: " + failure.message);
"""


@pytest.mark.slow  # it installs a browser where there is none
def test_in_a_real_browser(gate: GrpcGate, grpc_gate: GrpcGate, page: str, ledger: LedgerTarget) -> None:
    browser = Chromium()
    try:
        browser.open(page)
        assert browser.reads("main", "page")
        token = gate.authority.token()
        status, call, text = browser.evaluate(CALL, gate.url + PATH, token, list(body()))
        assert (status, bool(call)) == (200, True)
        assert "grpc-status: 0" in text
        status, _, text = browser.evaluate(CALL, gate.url + PATH, "not.a.token", list(body()))
        assert "grpc-status: 16" in text  # the page learns why
        count = len(ledger.ledger)
        assert "failed" in browser.evaluate(
            CALL, grpc_gate.url + PATH, token, list(body())
        )  # no origin is allowed there
        assert len(ledger.ledger) == count
    finally:
        browser.close()
