"""P4: a planted canary credential never appears in a reply, a log, a metric, a journal line or a traceback."""

import base64
import html
import json
import traceback
import urllib.parse
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from support.gate import CANARY, Gate, until
from support.raw import connect, read_all
from support.target import Target, answer, chunked

SPELLINGS: dict[str, bytes] = {
    "raw": CANARY.encode(),
    "header": f"Bearer {CANARY}".encode(),
    "base64": base64.b64encode(CANARY.encode()),
    "base64url": base64.urlsafe_b64encode(CANARY.encode()).rstrip(b"="),
    "percent": "".join(f"%{byte:02X}" for byte in CANARY.encode()).encode(),
    "quoted": urllib.parse.quote(CANARY, safe="").encode(),
    "html": html.escape(CANARY).encode(),
}


def get(gate: Gate, token: str, **arguments: Any) -> httpx.Response:
    return httpx.get(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"}, **arguments)


@pytest.fixture(params=["masked", "unmasked"])
def either_gate(request: pytest.FixtureRequest, gate: Gate, plain_gate: Gate) -> Gate:
    """With masking rules and without: the credential is scrubbed in both."""
    return gate if request.param == "masked" else plain_gate


@pytest.fixture(scope="module")
def plain_gate(authority: Any, shared_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from conftest import FUNCTIONS
    from support.gate import settings

    running = Gate(tmp_path_factory.mktemp("plain"), settings(authority, shared_target.url, FUNCTIONS)).start()
    yield running
    running.stop()


def nowhere(gate: Gate, *replies: bytes) -> None:
    for reply in replies:
        for spelling, needle in SPELLINGS.items():
            assert needle not in reply, f"{spelling} in a reply"
    journal = b"".join(path.read_bytes() for path in (gate.data / "journal").glob("*"))
    metrics = gate.get_console("/metrics")[1].encode()
    for where, text in {"journal": journal, "log": gate.log.read_bytes(), "metrics": metrics}.items():
        assert CANARY.encode() not in text, where
        assert SPELLINGS["base64"] not in text, where


def test_the_target_sees_the_credential(either_gate: Gate, target: Target, token: str) -> None:
    assert get(either_gate, token).status_code == 200
    assert target.ledger[0].header("authorization") == f"Bearer {CANARY}"


def test_the_caller_cannot_set_it(either_gate: Gate, target: Target, token: str) -> None:
    headers = {"Funcgate-Token": token, "Authorization": "Bearer mine"}
    assert httpx.get(f"{either_gate.url}/shop/read", headers=headers).status_code == 200
    (received,) = target.ledger
    assert [value for name, value in received.headers if name.lower() == "authorization"] == [f"Bearer {CANARY}"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("carrier", ["json", "json escaped", "text", "chunks", "header", "error", "key", "problem"])
def test_an_echo_is_scrubbed(either_gate: Gate, target: Target, token: str, spelling: str, carrier: str) -> None:
    needle = SPELLINGS[spelling]
    escaped = "".join(f"\\u{byte:04x}" for byte in needle).encode()
    cut = len(needle) // 2
    target.answers["/read"] = {
        "json": answer(b'{"seen":"' + needle + b'","n":1}'),
        "json escaped": answer(b'{"seen":"' + escaped + b'"}'),
        "text": answer(b"seen " + needle + b" there", media="text/plain"),
        "chunks": chunked([b"seen " + needle[:cut], needle[cut:] + b" there"], media="text/plain"),
        "header": answer(extra=b"X-Seen: " + needle + b"\r\nX-Kept: yes\r\n"),
        "error": answer(b'{"error":"bad key ' + needle + b'"}', status=401),
        "key": answer(b'{"' + needle + b'":1}'),
        "problem": answer(b'{"detail":"' + needle + b'"}', status=500, media="application/problem+json"),
    }[carrier]
    with connect(either_gate.calls) as sock:
        sock.sendall(
            f"GET /shop/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()
        )
        received = read_all(sock, quiet_s=5)
    assert received
    assert needle not in received
    if carrier == "json escaped" and received.startswith(b"HTTP/1.1 200 "):
        assert CANARY not in json.dumps(json.loads(received.partition(b"\r\n\r\n")[2]))
    nowhere(either_gate, received)


def test_it_is_in_no_refusal_whatever_goes_wrong(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    gate = make_gate(target={"limits": {"timeout": "10s"}}).start()
    for broken in [
        b"220 no HTTP " + CANARY.encode() + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00" + CANARY.encode() + b"\r\n\r\n",
    ]:
        target.answers["/read"] = broken
        reply = get(gate, token)
        assert reply.status_code == 502
        nowhere(gate, reply.content)


def test_it_is_in_no_repr_and_no_traceback() -> None:
    from funcgate.core.lease import Lease
    from funcgate.core.secret import Secret

    secret = Secret(CANARY)
    lease = Lease(headers=(("authorization", secret),), needles=(secret,))
    try:
        raise RuntimeError(f"{lease!r} {secret} {secret!r} {[secret]} {vars if False else ''}{secret:>40}")
    except RuntimeError:
        shown = traceback.format_exc()
    assert CANARY not in shown
    with pytest.raises(TypeError):
        __import__("pickle").dumps(secret)


def test_the_token_is_in_no_journal_line_and_no_log(gate: Gate, target: Target, token: str) -> None:
    reply = get(gate, token)
    until(lambda: gate.call_entries(reply.headers["funcgate-call-id"]))
    signature = token.rpartition(".")[2]
    assert signature not in json.dumps(gate.entries())
    assert signature not in gate.log.read_text()
