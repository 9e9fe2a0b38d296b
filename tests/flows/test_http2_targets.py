"""HTTP/2 on the targets' side: plain calls over it, what a target may answer, what is refused, and what is sent twice."""

import asyncio
import json
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from conftest import FUNCTIONS
from support.authority import Authority
from support.certificates import Certificate, self_signed
from support.gate import CANARY, Gate, free_port, settings, until
from support.h2frames import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from support.h2target import HELLO, H2Request, H2Target, RawTarget, until_asked
from support.raw import connect, read_all
from support.target import Target
from support.workers import WORKERS, one_process

HASTY = {"timeout": "3s", "first_byte_timeout": "1s", "idle_timeout": "1s"}
LONG = {"max_response": "128MiB", "timeout": "60s", "first_byte_timeout": "30s", "idle_timeout": "30s"}
PATIENT = {"timeout": "30s", "first_byte_timeout": "30s"}
SMALL = {"max_request": "1MiB", "max_response": "1MiB", "connect_timeout": "2s", "idle_timeout": "10s"} | PATIENT
one_connection = one_process("its calls share one connection to the target; each worker has its own")
INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 2, 7, 8, 11
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE = 3, 4, 6

# Targets with a server each, for tests that count connections, or break them: what differs from SMALL.
PLACES: dict[str, dict[str, Any]] = {
    "hundred": PATIENT,
    "one-of-five": {"max_connections": 1, "connect_timeout": "30s"},
    "four-of-five": {"max_connections": 4, "connect_timeout": "30s"},
    "three": PATIENT | {"max_connections": 1, "max_streams": 3, "connect_timeout": "1s"},
    "slow": LONG | {"max_connections": 1, "max_streams": 12},
    "grows": {"max_response": "300KiB"},
    "coded": {"max_connections": 1, "max_streams": 2, "timeout": "60s"},
    "roomless": HASTY,
    "early": {},
    "leaves": {},
    "dies": {},
    "kept": {"http2": {"stream_window": "200KiB"}},
    "changed": PATIENT | {"http2": {"stream_window": "301KiB", "header_bytes": "20KiB"}},
}
SETTINGS_OF: dict[str, dict[int, int]] = {
    "one-of-five": {MAX_CONCURRENT_STREAMS: 5},
    "four-of-five": {MAX_CONCURRENT_STREAMS: 5},
    "roomless": {INITIAL_WINDOW_SIZE: 0},
    "early": {INITIAL_WINDOW_SIZE: 100},
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def served() -> Iterator[H2Target]:
    target = H2Target().start()
    yield target
    target.stop()


@pytest.fixture(scope="module")
def served_tls(certificate: Certificate) -> Iterator[H2Target]:
    target = H2Target(certificate.server("h2", "http/1.1")).start()
    yield target
    target.stop()


@pytest.fixture(scope="module")
def raw_target() -> Iterator[RawTarget]:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...

    target = RawTarget(nothing).start()
    yield target
    target.stop()


class Listener(RawTarget):
    """Speaks TLS, chooses what it likes, and keeps what it hears."""

    def __init__(self, certificate: Certificate, *protocols: str) -> None:
        super().__init__(self._listen)
        self.context = certificate.server(*protocols)
        self.heard = b""

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.heard += data


@pytest.fixture(scope="module")
def listeners(certificate: Certificate) -> Iterator[dict[str, Listener]]:
    found = {"no-alpn": Listener(certificate).start(), "old-alpn": Listener(certificate, "http/1.1").start()}
    yield found
    for one in found.values():
        one.stop()


@pytest.fixture(scope="module")
def silent_tls(certificate: Certificate) -> Iterator[H2Target]:
    """Speaks HTTP/2 over TLS without having chosen it."""
    target = H2Target(certificate.server()).start()
    yield target
    target.stop()


@pytest.fixture(scope="module")
def wary_tls(certificate: Certificate) -> Iterator[H2Target]:
    """Lets in who has a certificate."""
    context = certificate.server("h2")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate.cert)
    target = H2Target(context).start()
    yield target
    target.stop()


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, H2Target]]:
    found = {name: H2Target(settings=SETTINGS_OF.get(name)).start() for name in PLACES}
    yield found
    for one in found.values():
        one.stop()


@pytest.fixture
def raw(raw_target: RawTarget) -> RawTarget:
    raw_target.hang_up()
    return raw_target


@pytest.fixture
def target(served: H2Target) -> H2Target:
    served.forget()
    return served


@pytest.fixture(scope="module")
def gate(
    authority: Authority,
    certificate: Certificate,
    served: H2Target,
    served_tls: H2Target,
    raw_target: RawTarget,
    listeners: dict[str, Listener],
    silent_tls: H2Target,
    wary_tls: H2Target,
    places: dict[str, H2Target],
    shared_target: Target,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gate]:
    """One gateway: `shop` is masked, `hasty` the same place and short of time, `plain` without masking, the rest others."""

    def entry(name: str, url: str, limits: dict[str, Any], **more: Any) -> dict[str, Any]:
        secret = {"type": "bearer", "secret": "env:SHOP_KEY"}
        base = {"name": name, "protocol": "http", "url": url, "http2": True, "credential": secret}
        return base | {"functions": FUNCTIONS, "limits": limits} | more

    tls = {"ca": str(certificate.cert), "server_name": "localhost"}
    read = {"name": "read", "http": "GET /read", "args": {"key": "string", "x": "integer"}}
    secret = {"secret": "env:SHOP_KEY"}
    targets = [
        entry("shop", served.url, SMALL),
        entry("hasty", served.url, SMALL | HASTY),
        entry("plain", served.url, LONG),
        entry("raw", raw_target.url, SMALL | {"http2": {"stream_window": "64KiB"}}),
        entry("tls", served_tls.url, SMALL, tls=tls),
        entry("silent-tls", silent_tls.url, SMALL, tls=tls),
        entry("wary", wary_tls.url, SMALL, tls=tls | {"cert": str(certificate.cert), "key": str(certificate.key)}),
        entry("nameless", wary_tls.url, SMALL, tls=tls),
        entry("old", shared_target.url, SMALL),
        entry("nobody", f"http://127.0.0.1:{free_port()}", SMALL | {"connect_timeout": "1s"}),
        entry(
            "header", served.url, SMALL, functions=[read], credential=secret | {"type": "header", "name": "X_Shop_Key"}
        ),
        entry("query", served.url, SMALL, functions=[read], credential=secret | {"type": "query", "name": "key"}),
        *[entry(name, one.url, SMALL, tls=tls) for name, one in listeners.items()],
        *[entry(name, places[name].url, SMALL | more) for name, more in PLACES.items()],
    ]
    policy = {"name": "agents", "effect": "allow", "functions": ["*"], "principals": ["group:agents"]}
    changes: dict[str, Any] = {
        "targets": targets,
        "policies": [policy],
        "journal": {"record": "128MiB"},
        "masking": [{"functions": ["shop.*", "raw.*", "tls.*"], "detect": "all"}],
    }
    running = Gate(tmp_path_factory.mktemp("gate"), settings(authority, served.url, FUNCTIONS, **changes)).start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def line() -> Iterator[httpx.Client]:
    """One connection to the gateway: all its calls are at one worker, which holds back a target by itself."""
    with httpx.Client(timeout=60, trust_env=False) as client:
        yield client


def call(
    gate: Gate,
    token: str,
    path: str = "/shop/read",
    method: str = "GET",
    line: httpx.Client | None = None,
    **arguments: Any,
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} | arguments.pop("headers", {})
    if line is not None:
        return line.request(method, gate.url + path, headers=headers, **arguments)
    return httpx.request(method, gate.url + path, headers=headers, timeout=60, trust_env=False, **arguments)


def code(reply: httpx.Response) -> str:
    return str(reply.json()["code"])


def many(number: int, work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(work, range(number)))


# A call over HTTP/2.


@pytest.mark.parametrize("status", [200, 201, 204, 205, 301, 304, 400, 404, 418, 500, 503])
def test_every_status_comes_back(gate: Gate, target: H2Target, token: str, status: int) -> None:
    async def say(request: H2Request) -> None:
        await request.answer(status=status)

    target.answers["/read"] = say
    reply = call(gate, token)
    assert reply.status_code == status
    assert reply.content == (b"" if status in (204, 304) else b'{"ok":true}')


def test_what_is_sent_is_what_was_judged(gate: Gate, target: H2Target, token: str) -> None:
    reply = call(gate, token, "/shop/orders", "POST", json={"amount": 7})
    assert reply.status_code == 200
    assert call(gate, token, "/shop/items/a%20b?verbose=true").status_code == 200
    seen, other = target.ledger
    assert other.header(":path") == "/items/a%20b?verbose=true"
    assert [seen.header(name) for name in (":method", ":scheme", ":path")] == [
        "POST",
        "http",
        "/orders",
    ]
    assert seen.header(":authority") == target.url.removeprefix("http://")
    assert seen.header("host") is None
    assert seen.header("content-length") == str(len(seen.body))
    assert json.loads(seen.body) == {"amount": 7}
    assert seen.header("funcgate-call-id") == reply.headers["funcgate-call-id"]


def test_allowed_is_on_the_disk_before_the_target_hears_of_it(gate: Gate, target: H2Target, token: str) -> None:
    """P1, looked at from the target."""
    found: list[list[str]] = []

    async def look(request: H2Request) -> None:
        entries = gate.call_entries(request.header("funcgate-call-id") or "")
        found.append([entry["kind"] for entry in entries])
        await request.answer()

    target.answers["/read"] = look
    assert call(gate, token).status_code == 200
    assert found == [["arrived", "allowed"]]


def test_a_head_has_no_body(gate: Gate, target: H2Target, token: str) -> None:
    async def say(request: H2Request) -> None:
        await request.answer(b"x" * 100)

    target.answers["/read"] = say
    reply = call(gate, token, method="HEAD")
    assert (reply.status_code, reply.content) == (200, b"")
    assert target.ledger[0].method == "HEAD"


def test_over_tls(gate: Gate, served_tls: H2Target, token: str) -> None:
    served_tls.forget()
    assert [call(gate, token, "/tls/read").json() for _ in range(3)] == [{"ok": True}] * 3
    assert served_tls.ledger[0].header(":scheme") == "https"
    assert 1 <= served_tls.connections <= WORKERS


@pytest.mark.parametrize("name", ["no-alpn", "old-alpn"])
def test_a_target_that_does_not_choose_h2_gets_no_request(
    gate: Gate, listeners: dict[str, Listener], token: str, name: str
) -> None:
    reply = call(gate, token, f"/{name}/read")
    assert (reply.status_code, code(reply)) == (502, "target.unreachable")
    assert CANARY.encode() not in listeners[name].heard
    assert b"/read" not in listeners[name].heard


def test_http_2_over_tls_is_spoken_only_where_it_was_chosen(gate: Gate, silent_tls: H2Target, token: str) -> None:
    """RFC 9113, 3.2. Attack: a server for another protocol is made to read a request that it never asked for."""
    reply = call(gate, token, "/silent-tls/read")
    assert (reply.status_code, code(reply)) == (502, "target.unreachable")
    assert silent_tls.ledger == []


def test_the_gateways_certificate_is_shown_to_a_target_that_asks_for_one(
    gate: Gate, wary_tls: H2Target, token: str
) -> None:
    assert call(gate, token, "/wary/read").json() == {"ok": True}
    assert len(wary_tls.ledger) == 1
    reply = call(gate, token, "/nameless/read")
    assert (reply.status_code, code(reply)) == (502, "target.unreachable")
    assert len(wary_tls.ledger) == 1


def test_a_target_that_speaks_http_1_gets_no_request(gate: Gate, shared_target: Target, token: str) -> None:
    shared_target.forget()
    reply = call(gate, token, "/old/read")
    assert (reply.status_code, code(reply)) == (502, "target.unreachable")
    assert [seen for seen in shared_target.ledger if seen.method != "PRI"] == []


def test_interim_answers_are_not_the_answer(gate: Gate, target: H2Target, token: str) -> None:
    async def say(request: H2Request) -> None:
        request.head([(":status", "103"), ("link", "</a>")])
        request.head([(":status", "100")])
        await request.answer()

    target.answers["/read"] = say
    assert call(gate, token).json() == {"ok": True}


def test_trailers_come_through(gate: Gate, target: H2Target, token: str) -> None:
    async def say(request: H2Request) -> None:
        await request.answer(b"abc", media="application/octet-stream", trailers=[("x-sum", "900150983cd2")])

    target.answers["/read"] = say
    with connect(gate.calls) as sock:
        sock.sendall(f"GET /plain/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        received = read_all(sock, last=b"x-sum: ")
    assert b"x-sum: 900150983cd2\r\n" in received


def test_the_callers_credentials_and_hop_fields_stay_behind(gate: Gate, target: H2Target, token: str) -> None:
    private = {
        "Cookie": "session=1", "X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4", "X-Original-URL": "/admin",
        "Proxy-Authorization": "Basic YTpi", "Funcgate-Session": "run-1", "Range": "bytes=0-3", "TE": "trailers",
        "Connection": "keep-alive, X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=5",
    }  # fmt: skip
    assert call(gate, token, headers=private | {"X-Kept": "yes", "Accept-Encoding": "gzip, br"}).status_code == 200
    (seen,) = target.ledger
    names = {name for name, _ in seen.headers}
    assert names.isdisjoint({name.lower() for name in private})
    assert (seen.header("x-kept"), seen.header("accept-encoding")) == ("yes", "identity")
    assert token not in json.dumps(seen.headers)


def test_redirects_are_never_followed_and_lead_back_to_the_gateway(gate: Gate, target: H2Target, token: str) -> None:
    async def say(request: H2Request) -> None:
        await request.answer(status=302, extra=[("location", f"{target.url}/items/7"), ("set-cookie", "a=1")])

    target.answers["/read"] = say
    reply = call(gate, token)
    assert (reply.status_code, reply.headers["location"]) == (302, "/shop/items/7")
    assert "set-cookie" not in reply.headers
    assert [seen.path for seen in target.ledger] == ["/read"]


# The credential (P4).


def test_the_credential_is_the_gateways_and_in_no_header_table(gate: Gate, target: H2Target, token: str) -> None:
    for _ in range(3):  # a second time a table would be used
        headers = {"Funcgate-Token": token, "Authorization": "Bearer mine"}
        assert httpx.get(f"{gate.url}/shop/read", headers=headers, trust_env=False).status_code == 200
    for seen in target.ledger:
        assert [value for name, value in seen.headers if name == "authorization"] == [f"Bearer {CANARY}"]
        assert "authorization" in seen.never


@pytest.mark.parametrize("credential", ["header", "query"])
def test_other_kinds_of_credentials(gate: Gate, target: H2Target, token: str, credential: str) -> None:
    for _ in range(2):
        reply = call(gate, token, f"/{credential}/read?key=mine&x=1", headers={"X-Shop-Key": "mine"})
        assert reply.status_code == 200
    for seen in target.ledger:
        if credential == "header":
            assert [value for key, value in seen.headers if "shop" in key] == [CANARY]
            assert "x_shop_key" in seen.never
        else:
            assert seen.header(":path") == f"/read?x=1&key={CANARY}"
            assert ":path" in seen.never


@pytest.mark.parametrize("place", ["shop", "plain"])
@pytest.mark.parametrize("carrier", ["json", "text", "frames", "header", "error", "trailer"])
def test_an_echo_is_scrubbed(gate: Gate, target: H2Target, token: str, place: str, carrier: str) -> None:
    needle = CANARY.encode()

    async def say(request: H2Request) -> None:
        match carrier:
            case "json":
                await request.answer(b'{"seen":"' + needle + b'"}')
            case "text":
                await request.answer(b"seen " + needle, media="text/plain")
            case "frames":
                request.head([(":status", "200"), ("content-type", "text/plain")])
                for byte in b"seen " + needle + b" there":
                    await request.write(bytes([byte]))
                await request.write(b".", end=True)
            case "header":
                await request.answer(extra=[("x-seen", CANARY)])
            case "error":
                await request.answer(b'{"error":"bad key ' + needle + b'"}', status=401)
            case "trailer":
                await request.answer(b"abc", media="text/plain", trailers=[("x-seen", CANARY)])

    target.answers["/read"] = say
    with connect(gate.calls) as sock:
        head = f"GET /{place}/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        sock.sendall(head.encode())
        received = read_all(sock, quiet_s=5)
    assert received.startswith(b"HTTP/1.1 ")
    assert needle not in received
    journal = b"".join(path.read_bytes() for path in (gate.data / "journal").glob("*"))
    assert needle not in journal
    assert needle not in gate.log.read_bytes()


# Many calls, few connections.


@one_connection
def test_a_hundred_calls_at_once_on_one_connection(gate: Gate, places: dict[str, H2Target], token: str) -> None:
    target = places["hundred"]
    together = asyncio.Event()

    async def wait_for_all(request: H2Request) -> None:
        if len(target.ledger) == 100:
            together.set()
        await together.wait()
        await request.answer(request.path.encode(), media="text/plain")

    target.default = wait_for_all
    replies = many(100, lambda n: call(gate, token, f"/hundred/items/{n}"))
    assert [reply.text for reply in replies] == [f"/items/{n}" for n in range(100)]
    assert target.connections == 1
    assert target.peak == 100


@pytest.mark.parametrize(("name", "connections"), [("one-of-five", 1), ("four-of-five", 4)])
def test_the_targets_own_limit_of_streams_is_kept(
    gate: Gate, places: dict[str, H2Target], token: str, name: str, connections: int
) -> None:
    target = places[name]

    async def slow(request: H2Request) -> None:
        await asyncio.sleep(0.02)
        await request.answer()

    target.default = slow
    assert [reply.status_code for reply in many(40, lambda _: call(gate, token, f"/{name}/read"))] == [200] * 40
    assert target.peak <= 5
    assert 1 <= target.connections <= connections * WORKERS


@one_connection
def test_streams_on_a_connection_to_a_target_are_bounded(gate: Gate, places: dict[str, H2Target], token: str) -> None:
    """Our own limit, where the target names none; the next calls wait, and are told after `connect_timeout`."""
    target = places["three"]
    go_on = asyncio.Event()

    async def held(request: H2Request) -> None:
        await go_on.wait()
        await request.answer()

    target.default = held
    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(call, gate, token, "/three/read") for _ in range(3)]
        until(lambda: len(target.ledger) == 3)
        late = call(gate, token, "/three/read")
        assert (late.status_code, code(late)) == (502, "target.unreachable")
        target.run(go_on.set)
        assert [one.result().status_code for one in first] == [200] * 3
    assert (target.peak, target.connections) == (3, 1)
    assert call(gate, token, "/three/read").status_code == 200


@one_connection
def test_a_reload_keeps_a_connection_unless_its_limits_change(
    gate: Gate, places: dict[str, H2Target], token: str
) -> None:
    """`limits.http2` is what the target is told, from the next connection on; a call that is under way goes on."""
    kept, changed = places["kept"], places["changed"]
    go_on = asyncio.Event()

    async def held(request: H2Request) -> None:
        await go_on.wait()
        await request.answer(b"old", media="text/plain")

    changed.answers["/items/1"] = held
    assert call(gate, token, "/kept/read").status_code == 200
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(call, gate, token, "/changed/items/1")
        until(lambda: changed.ledger)
        text = gate.file.read_text()
        gate.file.write_text(text.replace("301KiB", "401KiB").replace("name: agents", "name: other"))
        assert gate.process is not None
        gate.process.send_signal(signal.SIGHUP)
        until(lambda: _policy(gate, token) == ["other"])
        assert [call(gate, token, f"/{name}/read").status_code for name in ("kept", "changed")] == [200, 200]
        changed.run(go_on.set)
        assert under_way.result().text == "old"
    assert (kept.connections, changed.connections) == (1, 2)
    told = [dict(one.state.remote_settings) for one in (*kept.live, *changed.live)]
    assert [one[INITIAL_WINDOW_SIZE] >> 10 for one in told] == [200, 301, 401]
    assert [one[MAX_HEADER_LIST_SIZE] - 32 * 100 for one in told] == [64 << 10, 20 << 10, 20 << 10]  # RFC 9113, 6.5.2


def _policy(gate: Gate, token: str) -> list[str]:
    reply = call(gate, token, "/kept/read")
    entries = until(lambda: gate.call_entries(reply.headers["funcgate-call-id"]))
    return next(entry["policy"]["names"] for entry in entries if entry["kind"] == "allowed")


# Large bodies, slow readers.


def test_a_large_answer_and_a_large_request(gate: Gate, target: H2Target, token: str) -> None:
    async def echo(request: H2Request) -> None:
        await request.whole.wait()
        await request.answer(request.body, media="application/octet-stream", length=False)

    target.answers["/upload"] = echo
    body = json.dumps({"data": {str(n): "x" * 1000 for n in range(900)}})
    reply = call(gate, token, "/plain/upload", "PUT", content=body, headers={"Content-Type": "application/json"})
    assert reply.content == body.encode()


def test_a_slow_reader_holds_back_its_own_stream_and_nothing_else(gate: Gate, target: H2Target, token: str) -> None:
    sent = 0
    total = 32 << 20

    async def flood(request: H2Request) -> None:
        nonlocal sent
        request.head([(":status", "200"), ("content-type", "application/octet-stream"), ("content-length", str(total))])
        piece = b"x" * 16384
        while sent < total:
            await request.write(piece, end=sent + len(piece) == total)
            sent += len(piece)

    target.answers["/read"] = flood
    with connect(gate.calls) as sock:
        sock.sendall(f"GET /plain/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        until(lambda: sent > 0)
        stalled = until(lambda: _steady(lambda: sent))
        assert stalled < total // 2, "the gateway took in what the caller did not read"
        assert call(gate, token, "/plain/items/1").status_code == 200  # on the same connection
        received = 0
        while received < stalled + (4 << 20):
            piece = sock.recv(1 << 20)
            assert piece
            received += len(piece)


def _steady(read: Callable[[], int]) -> int:
    """The value, once it has not changed for a while; 0 while it changes."""
    before = read()
    for _ in range(50):
        time.sleep(0.01)
        if read() != before:
            return 0
    return before


@one_connection
def test_slow_readers_cannot_use_up_the_connection(gate: Gate, places: dict[str, H2Target], token: str) -> None:
    """Each keeps the window of its stream full; what is left of the connection's is enough for everybody else."""
    target = places["slow"]
    sent: dict[int, int] = {}

    async def flood(request: H2Request) -> None:
        request.head([(":status", "200"), ("content-type", "application/octet-stream")])
        while True:
            await request.write(b"x" * 16384)
            sent[request.stream] = sent.get(request.stream, 0) + 16384

    async def large(request: H2Request) -> None:
        await request.answer(b"x" * 900_000, media="application/octet-stream")

    target.answers["/read"], target.answers["/items/1"] = flood, large
    held = [_small_reader(gate.calls) for _ in range(10)]
    try:
        for sock in held:
            sock.sendall(f"GET /slow/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        until(lambda: len(sent) == 10 and _steady(lambda: sum(sent.values())))
        for _ in range(4):  # more than the rest of the connection's window, unless it is given back
            assert len(call(gate, token, "/slow/items/1").content) == 900_000
    finally:
        for sock in held:
            sock.close()
    until(lambda: all(seen.gone.is_set() for seen in target.seen("/read")))
    assert {seen.reset_code for seen in target.seen("/read")} == {CANCEL}


def _small_reader(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    return sock


def test_an_answer_that_grows_too_large_is_refused(gate: Gate, places: dict[str, H2Target], token: str) -> None:
    target = places["grows"]

    async def grow(request: H2Request) -> None:
        request.head([(":status", "200"), ("content-type", "text/plain")])
        while True:
            await request.write(b"x" * 16384)

    target.answers["/read"] = grow
    with connect(gate.calls) as sock:
        sock.sendall(f"GET /grows/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        received = read_all(sock, quiet_s=3)
    assert not received.endswith(b"0\r\n\r\n"), "a cut answer must not look whole"
    assert len(received) < 400 << 10
    until(target.ledger[0].gone.is_set)
    assert target.ledger[0].reset_code == CANCEL


def test_an_answer_that_says_it_is_too_large(gate: Gate, target: H2Target, token: str) -> None:
    async def large(request: H2Request) -> None:
        request.head([(":status", "200"), ("content-type", "text/plain"), ("content-length", "99999999")])
        await request.gone.wait()

    target.answers["/read"] = large
    reply = call(gate, token)
    assert (reply.status_code, code(reply)) == (502, "masking.refused")
    until(target.ledger[0].gone.is_set)


def test_answers_that_are_refused_for_their_head_alone_use_up_no_stream(
    gate: Gate, places: dict[str, H2Target], token: str
) -> None:
    target = places["coded"]

    async def coded(request: H2Request) -> None:
        await request.answer(b"x" * 400_000, media="text/plain", extra=[("content-encoding", "br")])

    target.answers["/read"] = coded
    for _ in range(5):
        reply = call(gate, token, "/coded/read")
        assert (reply.status_code, code(reply)) == (502, "masking.refused")
    assert call(gate, token, "/coded/items/1").status_code == 200


# Timeouts.


def test_no_first_byte(gate: Gate, target: H2Target, token: str) -> None:
    async def silent(request: H2Request) -> None:
        await request.gone.wait()

    target.answers["/read"] = silent
    reply = call(gate, token, "/hasty/read")
    assert (reply.status_code, code(reply)) == (504, "target.timeout")
    until(target.ledger[0].gone.is_set)
    assert target.ledger[0].reset_code == CANCEL
    assert call(gate, token, "/shop/items/1").status_code == 200


@pytest.mark.parametrize("every_s", [0.05, 60.0], ids=["drips", "stalls"])
def test_an_answer_that_does_not_end(gate: Gate, target: H2Target, token: str, every_s: float) -> None:
    async def drip(request: H2Request) -> None:
        request.head([(":status", "200"), ("content-type", "text/plain"), ("content-length", "100000")])
        while True:
            await request.write(b"a")
            await asyncio.sleep(every_s)

    target.answers["/read"] = drip
    reply = call(gate, token, "/hasty/read")
    assert (reply.status_code, code(reply)) == (504, "target.timeout")
    until(target.ledger[0].gone.is_set)


def test_a_target_that_gives_no_room_for_a_request(gate: Gate, places: dict[str, H2Target], token: str) -> None:
    target = places["roomless"]
    assert call(gate, token, "/roomless/read").status_code == 200
    reply = call(gate, token, "/roomless/orders", "POST", json={"amount": 1})
    assert (reply.status_code, code(reply)) == (504, "target.timeout")
    assert target.seen("/orders")[0].body == b""
    until(target.seen("/orders")[0].gone.is_set)


def test_an_answer_may_come_before_the_request_is_read(gate: Gate, places: dict[str, H2Target], token: str) -> None:
    target = places["early"]

    async def early(request: H2Request) -> None:
        await request.answer(b'{"error":"no"}', status=413)

    target.default = early
    target.reads = False
    for _ in range(3):
        reply = call(gate, token, "/early/upload", "PUT", json={"data": {"x": "y" * 5000}})
        assert (reply.status_code, reply.json()) == (413, {"error": "no"})


# What a target does wrong, and what is sent twice.


def test_a_stream_that_the_target_resets(gate: Gate, target: H2Target, token: str) -> None:
    async def reset(request: H2Request) -> None:
        request.reset(INTERNAL_ERROR)

    target.answers["/read"] = target.answers["/orders"] = reset
    for arguments in ({}, {"path": "/shop/orders", "method": "POST", "json": {"amount": 1}}):
        reply = call(gate, token, **arguments)
        assert (reply.status_code, code(reply)) == (502, "target.unreachable")
    assert (len(target.seen("/read")), len(target.seen("/orders"))) == (1, 1)


@pytest.mark.parametrize(("refusals", "status"), [(1, 200), (2, 502)])
def test_what_the_target_did_not_look_at_is_sent_again_once(
    gate: Gate, target: H2Target, token: str, refusals: int, status: int
) -> None:
    async def refuse(request: H2Request) -> None:
        if len(target.ledger) <= refusals:
            request.reset(REFUSED_STREAM)
        else:
            await request.answer()

    target.answers["/orders"] = refuse
    reply = call(gate, token, "/shop/orders", "POST", json={"amount": 1})
    assert reply.status_code == status
    assert len(target.ledger) == 2
    entries = gate.call_entries(reply.headers["funcgate-call-id"])
    assert [entry["kind"] for entry in entries].count("allowed") == 1


@one_connection
def test_goaway_in_the_middle(gate: Gate, places: dict[str, H2Target], token: str) -> None:
    """What the target did look at is answered on the old connection; the rest is sent again on a new one."""
    target = places["leaves"]
    assert call(gate, token, "/leaves/read").status_code == 200
    go_on = asyncio.Event()

    async def first(request: H2Request) -> None:
        await go_on.wait()
        await request.answer(b"old", media="text/plain")

    async def second(request: H2Request) -> None:
        if request.connection is target.live[0]:
            request.connection.goaway(target.seen("/items/1")[0].stream)
            await request.gone.wait()
        else:
            await request.answer(b"new", media="text/plain")

    target.answers["/items/1"], target.answers["/orders"] = first, second
    with ThreadPoolExecutor(2) as pool:
        old = pool.submit(call, gate, token, "/leaves/items/1")
        until(lambda: target.seen("/items/1"))
        new = pool.submit(call, gate, token, "/leaves/orders", "POST", json={"amount": 1})
        assert new.result().text == "new"
        assert call(gate, token, "/leaves/read").status_code == 200
        target.run(go_on.set)
        assert old.result().text == "old"
    assert target.connections == 2
    assert [seen.connection is target.live[0] for seen in target.seen("/orders")] == [True, False]


@one_connection
def test_a_target_that_dies(gate: Gate, places: dict[str, H2Target], token: str) -> None:
    target = places["dies"]
    assert call(gate, token, "/dies/read").status_code == 200

    async def die(request: H2Request) -> None:
        if request.connection is target.live[0]:
            request.connection.writer.transport.abort()
        else:
            await request.answer()

    target.answers["/read"] = die
    assert (
        call(gate, token, "/dies/read").status_code == 200
    )  # a read, on a connection that was used before: sent again
    assert len(target.seen("/read")) == 3
    target.answers["/orders"] = _abort
    reply = call(gate, token, "/dies/orders", "POST", json={"amount": 1})
    assert (reply.status_code, code(reply)) == (502, "target.unreachable")
    assert len(target.seen("/orders")) == 1, "a POST must never be sent twice"


async def _abort(request: H2Request) -> None:
    request.connection.writer.transport.abort()


def test_a_target_that_dies_in_the_middle_of_its_answer(gate: Gate, target: H2Target, token: str) -> None:
    async def half(request: H2Request) -> None:
        request.head([(":status", "200"), ("content-type", "application/octet-stream")])
        await request.write(b"abc")
        request.connection.writer.transport.abort()

    target.answers["/read"] = half
    with connect(gate.calls) as sock:
        sock.sendall(f"GET /plain/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        received = read_all(sock, quiet_s=3)
    assert not received.endswith(b"0\r\n\r\n"), "a cut answer must not look whole"


def test_a_target_that_is_not_there(gate: Gate, token: str) -> None:
    for _ in range(5):
        reply = call(gate, token, "/nobody/read")
        assert (reply.status_code, code(reply)) == (502, "target.unreachable")
        assert "127.0.0.1" not in reply.text


def test_a_caller_that_goes_away_cancels_its_stream_only(gate: Gate, target: H2Target, token: str) -> None:
    async def silent(request: H2Request) -> None:
        await request.gone.wait()

    target.answers["/read"] = silent
    sock = connect(gate.calls)
    sock.sendall(f"GET /plain/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    until(lambda: target.ledger)
    before = target.connections
    sock.close()
    until(target.ledger[0].gone.is_set)
    assert target.ledger[0].reset_code == CANCEL
    call_id = target.ledger[0].header("funcgate-call-id") or ""
    assert gate.ended(call_id)["outcome"] == "cancelled"
    assert call(gate, token, "/plain/items/1").status_code == 200
    assert target.connections <= before + WORKERS - 1


# What no HTTP/2 peer sends (P8, P10): the call is refused, and nothing of it comes through.

OK = bytes([0x88])  # :status 200, from the static table (RFC 7541, appendix A)
LITERAL = b"\x00\x01a\x01b"  # a: b


def _answering(data: Callable[[int], bytes]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        stream = await until_asked(reader)
        writer.write(data(stream))
        await reader.read()  # until the gateway has hung up

    return script


WRONG: dict[str, Callable[[int], bytes]] = {
    "noise": lambda stream: b"\x00\xff" * 500,
    "http/1.1": lambda stream: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "a stream that nobody opened": lambda stream: frame(HEADERS, 5, stream + 2, OK),
    "an even stream": lambda stream: frame(HEADERS, 5, 2, OK),
    "a push": lambda stream: frame(PUSH_PROMISE, 4, stream, (2).to_bytes(4, "big") + OK),
    "DATA before the head": lambda stream: frame(DATA, 1, stream, b"x"),
    "no status": lambda stream: frame(HEADERS, 5, stream, LITERAL),
    "two statuses": lambda stream: frame(HEADERS, 5, stream, OK + OK),
    "a field in capitals": lambda stream: frame(HEADERS, 5, stream, OK + b"\x00\x01A\x01b"),
    "a line end in a value": lambda stream: frame(HEADERS, 5, stream, OK + b"\x00\x01a\x02\r\n"),
    "a connection field": lambda stream: frame(HEADERS, 5, stream, OK + b"\x00\x0aconnection\x05close"),
    "an unknown index": lambda stream: frame(HEADERS, 5, stream, b"\xff\xff\x7f"),
    "a cut block": lambda stream: frame(HEADERS, 5, stream, OK + b"\x00\x7f"),
    "too large a frame": lambda stream: frame(DATA, 1, stream, b"x" * 70_000),
    "more than the window": lambda stream: (  # or, if each piece is read before the next, more than an answer may have
        frame(HEADERS, 4, stream, OK) + b"".join([frame(DATA, 0, stream, b"x" * 16384)] * 80)
    ),
    "a length that lies": lambda stream: (
        frame(HEADERS, 4, stream, OK + b"\x0f\x0d\x015") + frame(DATA, 1, stream, b"abc")
    ),
    "trailers that do not end": lambda stream: frame(HEADERS, 4, stream, OK) + frame(HEADERS, 4, stream, LITERAL),
    "a status in the trailers": lambda stream: frame(HEADERS, 4, stream, OK) + frame(HEADERS, 5, stream, OK),
    "another frame in a block": lambda stream: frame(HEADERS, 0, stream, OK) + frame(PING, 0, 0, b"x" * 8),
    "CONTINUATION without end": lambda stream: (
        frame(HEADERS, 0, stream, OK) + b"".join([frame(CONTINUATION, 0, stream, LITERAL)] * 10_000)
    ),
    "a header bomb": lambda stream: (
        frame(HEADERS, 0, stream, OK + b"\x40\x01a\x7f\x81\x1e" + b"x" * 4000)
        + b"".join([frame(CONTINUATION, 0, stream, b"\xbe" * 16384)] * 4)
        + frame(CONTINUATION, 4, stream, b"\xbe" * 16384)
    ),
    "SETTINGS without end": lambda stream: frame(SETTINGS, 0, 0) * 10_000,
    "PING without end": lambda stream: frame(PING, 0, 0, b"x" * 8) * 10_000,
    "empty DATA without end": lambda stream: frame(HEADERS, 4, stream, OK) + frame(DATA, 0, stream) * 10_000,
    "updates without end": lambda stream: frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")) * 100_000,
    "a window beyond all bounds": lambda stream: frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "unknown frames without end": lambda stream: frame(0xFA, 0, 0, b"x") * 10_000,
    "interim answers without end": lambda stream: frame(HEADERS, 4, stream, b"\x08\x03103") * 1000,
    "a settings frame that is cut": lambda stream: frame(SETTINGS, 0, 0, b"x" * 5),
    "a frame size that may not be": lambda stream: frame(SETTINGS, 0, 0, b"\x00\x05" + (1).to_bytes(4, "big")),
    "push is allowed to it": lambda stream: frame(SETTINGS, 0, 0, b"\x00\x02" + (1).to_bytes(4, "big")),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_breaks_http_2_is_refused(gate: Gate, raw: RawTarget, token: str, line: httpx.Client, name: str) -> None:
    raw.script = _answering(WRONG[name])
    reply = call(gate, token, "/raw/read", line=line)
    assert (reply.status_code, code(reply)) == (502, "masking.refused")
    raw.script = _answering(lambda stream: frame(HEADERS, 5, stream, OK))
    raw.hang_up()  # what broke one stream only left the connection open
    assert call(gate, token, "/raw/read", line=line).status_code == 200, "the target mended, and is asked again"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        frame(PING, 0, 0, b"x" * 8),
        frame(GOAWAY, 0, 0, b"\0" * 8),
    ],
    ids=["nothing", "ssh", "http/1.1", "no settings", "goaway at once"],
)
def test_a_place_that_does_not_greet_gets_no_request(gate: Gate, raw: RawTarget, token: str, data: bytes) -> None:
    asked: list[int] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        asked.append(await until_asked(reader))

    raw.script = script
    reply = call(gate, token, "/raw/read")
    assert (reply.status_code, code(reply)) == (502, "target.unreachable")
    assert asked == []
    time.sleep(0)  # nothing to wait for: a refused connect does not go on in the background
    raw.script = _answering(lambda stream: frame(HEADERS, 5, stream, OK))
    until(lambda: call(gate, token, "/raw/read").status_code == 200)  # it may be held back for a second


def test_more_than_was_asked_reaches_no_other_caller(gate: Gate, raw: RawTarget, token: str) -> None:
    """A second answer on a stream that is over, or one sent ahead, is nobody's."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        while True:
            stream = await until_asked(reader)
            answer = frame(HEADERS, 4, stream, OK) + frame(DATA, 1, stream, b"%d" % stream)
            writer.write(answer + frame(DATA, 1, stream, b"smuggled") + frame(HEADERS, 4, stream + 2, OK))

    raw.script = script
    replies = [call(gate, token, f"/raw/items/{n}") for n in range(4)]
    assert all(b"smuggled" not in reply.content for reply in replies)


@one_connection
def test_resets_by_the_target_do_not_hold_up_others(gate: Gate, raw: RawTarget, token: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        while True:
            stream = await until_asked(reader)
            if stream % 4 == 1:
                writer.write(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))
            else:
                writer.write(frame(HEADERS, 5, stream, OK))

    raw.script = script
    found = sorted(call(gate, token, f"/raw/items/{n}").status_code for n in range(20))
    assert found == [200] * 10 + [502] * 10
