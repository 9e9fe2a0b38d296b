"""What a peer is, and the proof, before it is timed, that it carries, refuses and masks as its row in the table claims."""

import json
import socket
from collections.abc import Callable
from typing import NamedTuple

from .processes import BenchError
from .workload import CLEAN_PATH, Workload, clean_answer, make_body, make_request, sensitive_answer

READ_TIMEOUT_S = 10.0


class Peer(NamedTuple):
    """A running peer. `judges`: refuses a forged token, a caller of another group and an unknown path.
    `guards`: also judges arguments, checks the schema, masks, and injects the credential."""

    name: str
    does: str
    port: int
    pids: list[int]
    path: str
    judges: bool = True
    guards: bool = False


class Shot(NamedTuple):
    """The one request to time at a peer, and what its answer looks like."""

    request: bytes
    framing: bytes
    answer_bytes: int
    masked: int


class Heard(NamedTuple):
    """One answer: status, the header block as it came, body."""

    status: int
    head: bytes
    body: bytes


def preflight(peer: Peer, work: Workload, upstream_port: int) -> Shot:
    """Try what the peer claims. Raises `BenchError` at the first claim that does not hold."""
    host = f"127.0.0.1:{peer.port}"
    request = make_request(peer.path, work.good, make_body(), host)
    heard = ask(peer.port, request)
    _claim(peer, heard.status == 200, f"answers the good call with {heard.status}: {heard.body[:300]!r}")
    seen = json.loads(ask(upstream_port, b"GET /seen HTTP/1.1\r\nHost: upstream\r\n\r\n").body)
    if peer.judges:
        bad = ask(peer.port, make_request(peer.path, work.bad, make_body(), host)).status
        _claim(peer, bad == 401, f"answers a forged token with {bad}")
        outsider = ask(peer.port, make_request(peer.path, work.outsider, make_body(), host)).status
        _claim(peer, outsider == 403, f"answers a caller of another group with {outsider}")
        unknown = ask(peer.port, make_request(peer.path + "/x/y", work.good, make_body(), host)).status
        _claim(peer, unknown in (403, 404), f"answers an unknown path with {unknown}")
    if peer.guards:
        _guards(peer, work, heard, seen)
    else:
        plain = heard.body == sensitive_answer().body
        _claim(peer, plain, "changes the answer")
    return Shot(request, framing_of(heard), len(heard.body), heard.body.count(b"[REDACTED"))


def ask(port: int, request: bytes) -> Heard:
    """Send the bytes on a new connection and read one answer that says its length. Raises `BenchError`."""
    try:
        return _ask(port, request)
    except OSError as error:
        raise BenchError(f"port {port}: {error}") from error


def _ask(port: int, request: bytes) -> Heard:
    with socket.create_connection(("127.0.0.1", port), READ_TIMEOUT_S) as connection:
        connection.sendall(request)
        data = b""
        while True:
            head, found, body = data.partition(b"\r\n\r\n")
            if found and len(body) >= _length(head):
                return Heard(int(head.split(b" ", 2)[1]), head, body)
            chunk = connection.recv(65_536)
            if not chunk:
                raise BenchError(f"port {port}: the connection ended inside an answer: {data[:200]!r}")
            data += chunk


def framing_of(heard: Heard) -> bytes:
    """The content-length line as this peer spells it, with the line ends around it."""
    for line in heard.head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return b"\r\n" + line + b"\r\n"
    raise BenchError(f"an answer without Content-Length cannot be timed: {heard.head!r}")


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _guards(peer: Peer, work: Workload, heard: Heard, seen: dict[str, int]) -> None:
    answer = clean_answer() if peer.path.endswith(CLEAN_PATH) else sensitive_answer()
    host = f"127.0.0.1:{peer.port}"
    _claim(peer, bool(seen["credential"]), "does not inject the credential")
    _claim(peer, not seen["token"], "passes the caller's token on")
    leaked = [secret for secret in sensitive_answer().secrets if secret.encode() in heard.body]
    _claim(peer, not leaked, f"lets {len(leaked)} sensitive values through")
    _claim(peer, heard.body.count(b"[REDACTED") >= len(answer.secrets), "masks fewer values than there are")
    _claim(peer, bool(answer.secrets) or heard.body == answer.body, "changes an answer that has nothing to mask")
    tries: dict[str, tuple[bytes, Callable[[int], bool]]] = {
        "an amount above the policy's limit": (make_body(250_000), lambda status: status in (202, 403, 409, 425)),
        "an argument of another type": (make_body().replace(b'"EUR"', b"[1]"), lambda status: status == 400),
    }
    for what, (body, good) in tries.items():
        request = make_request(peer.path, work.good, body, host)
        status = ask(peer.port, request.replace(b"Accept:", b"Prefer: wait=0\r\nAccept:", 1)).status  # nobody approves
        _claim(peer, good(status), f"answers {what} with {status}")


def _claim(peer: Peer, holds: bool, otherwise: str) -> None:
    if not holds:
        raise BenchError(f"{peer.name} {otherwise}; it is not what its row in the table says")
