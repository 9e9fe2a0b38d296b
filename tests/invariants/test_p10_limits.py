"""P10: every buffer has a limit and every phase a timeout.

Each field of the limits' types is named here with the test that passes it; a new limit without a test fails this one.
"""

import ast
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import httpx
import pytest

from funcgate.core.function import Limits
from funcgate.protocols.http.limits import ListenerLimits
from funcgate.wire.http1.limits import HeadLimits
from support.gate import Gate, until
from support.raw import connect, read_all, read_answer, statuses
from support.target import Target, answer
from support.workers import WORKERS

TESTS = Path(__file__).parents[1]
SHOWN_BY: dict[type, dict[str, str]] = {
    HeadLimits: {
        "max_line": "test_too_long_a_target",
        "max_fields": "test_too_many_header_fields",
        "max_bytes": "test_too_many_header_bytes",
    },
    ListenerLimits: {
        "head": "test_every_part_of_a_head_has_a_limit",
        "max_connections": "test_connections_are_bounded",
        "max_pipelined": "test_a_flood_of_pipelined_requests_is_not_taken_in",
        "header_timeout_s": "test_a_head_that_never_ends_is_timed_out",
        "body_timeout_s": "test_a_body_that_never_ends_is_timed_out",
        "idle_timeout_s": "test_an_idle_connection_is_closed_without_a_word",
        "write_timeout_s": "test_a_caller_that_reads_nothing_is_cut_off",
        "tls_handshake_timeout_s": "test_a_tls_handshake_that_never_ends_is_cut_off",
        "http2": "test_every_http2_limit_has_a_test",
        "max_streams": "test_streams_of_all_connections_are_bounded",
        "ping_after_s": "test_a_caller_that_makes_us_answer_and_reads_nothing_is_cut_off",
        "ping_s": "test_a_caller_that_makes_us_answer_and_reads_nothing_is_cut_off",
    },
    Limits: {
        "max_request": "test_too_large_a_body",
        "max_response": "test_an_answer_that_cannot_be_read_is_refused",
        "timeout_s": "test_an_answer_that_drips_is_cut_at_the_total_timeout",
        "connect_timeout_s": "test_a_target_that_does_not_accept_is_unreachable",
        "first_byte_timeout_s": "test_no_first_byte",
        "idle_timeout_s": "test_an_answer_that_stalls_is_timed_out",
        "max_connections": "test_connections_to_a_target_are_bounded",
        # Nothing waits until there is a desk; then this needs a test that passes the limit itself.
        "max_rows": "test_a_statement_has_so_many_rows_and_no_more",
        "stream_timeout_s": "test_a_stream_that_is_never_silent_ends_when_its_time_is_over",
        "stream_idle_timeout_s": "test_silence_on_both_sides_ends_a_stream",
        "end_with_token": "test_a_stream_ends_with_the_token_of_its_caller",
        "max_wait_s": "test_what_waits_for_an_approval_is_told_so_at_once",
    },
}


@cache
def all_tests() -> set[str]:
    return {
        node.name
        for path in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("limits", SHOWN_BY, ids=lambda kind: kind.__name__)
def test_every_limit_has_a_test(limits: type) -> None:
    there = all_tests()
    fields = set(limits.__struct_fields__)  # type: ignore[attr-defined]
    assert fields == set(SHOWN_BY[limits])
    assert set(SHOWN_BY[limits].values()) <= there


def request(token: str, path: str = "/shop/read") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def listen(**limits: object) -> dict[str, object]:
    return {"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "limits": limits}


def test_connections_are_bounded(make_gate: Callable[..., Gate], token: str) -> None:
    gate = make_gate(listen=listen(connections=3)).start()
    held = [connect(gate.calls) for _ in range(3 * WORKERS)]
    for sock in held:
        sock.sendall(request(token))
        assert read_answer(sock).startswith(b"HTTP/1.1 200 ")
    with connect(gate.calls) as sock:
        refused = read_all(sock)
    assert statuses(refused) == [503]
    assert b'"code":"gateway.overloaded"' in refused
    assert b"retry-after: 1\r\n" in refused.lower()
    held.pop().close()
    until(lambda: httpx.get(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"}).status_code == 200)


def test_a_flood_of_pipelined_requests_is_not_taken_in(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    """A caller that sends and sends while its first call is slow must be held back by the transport, not by memory."""
    import asyncio

    from support.target import Received

    release = threading.Event()

    async def held(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(release.wait, 30)
        writer.write(answer())

    target.answers["/read"] = held
    gate = make_gate(listen=listen(pipelined=4)).start()
    with connect(gate.calls, 1.0) as sock:
        sent = 0
        piece = request(token) * 50
        try:
            while sent < 64 << 20:
                sent += sock.send(piece)
        except TimeoutError:
            pass
        release.set()
    assert sent < 32 << 20


def test_a_caller_that_reads_nothing_is_cut_off(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    target.answers["/read"] = answer(b"x" * (12 << 20), media="application/octet-stream")
    gate = make_gate(listen=listen(write_timeout="500ms")).start()
    with connect(gate.calls) as sock:
        sock.sendall(request(token))
        entry = until(lambda: next((e for e in gate.entries() if e["kind"] == "ended"), None))
    assert entry["outcome"] in ("cancelled", "cut")


def test_a_tls_handshake_that_never_ends_is_cut_off(make_gate: Callable[..., Gate], tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tls = {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    gate = make_gate(listen=listen(tls_handshake_timeout="500ms") | {"tls": tls}).start()
    with connect(gate.calls) as sock:
        sock.sendall(b"\x16\x03\x01")
        assert sock.recv(100) == b""


def test_a_target_that_does_not_accept_is_unreachable(make_gate: Callable[..., Gate], token: str) -> None:
    """A listening socket whose queue is full answers nothing at all."""
    import socket

    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        gate = make_gate(target={"url": f"http://127.0.0.1:{port}", "limits": {"connect_timeout": "500ms"}}).start()
        reply = httpx.get(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"})
        for sock in waiting:
            sock.close()
    assert (reply.status_code, reply.json()["code"]) == (502, "target.unreachable")


def test_an_answer_that_stalls_is_timed_out(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    import asyncio

    from support.target import Received

    async def stalls(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
        await asyncio.sleep(60)

    target.answers["/read"] = stalls
    gate = make_gate(target={"limits": {"idle_timeout": "300ms"}}).start()
    reply = httpx.get(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"})
    assert (reply.status_code, reply.json()["code"]) == (504, "target.timeout")


def test_what_waits_for_an_approval_is_told_so_at_once(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    """Until there is a desk, nothing waits: the held call is refused as pending, and never sent."""
    held = {
        "name": "ask",
        "effect": "require_approval",
        "functions": ["shop.*"],
        "principals": ["group:agents"],
        "approval": {"approvers": ["group:finance"]},
    }
    gate = make_gate(policies=[held], approval_url="https://approve.example/calls").start()
    began = time.monotonic()
    reply = httpx.get(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}", "Prefer": "wait=1"})
    assert (reply.status_code, reply.json()["code"]) == (403, "approval.pending")
    assert reply.json()["approval_url"].startswith("https://approve.example/calls")
    assert int(reply.headers["retry-after"]) > 0
    assert time.monotonic() - began < 30
    assert target.ledger == []
