"""P1, the other way round: what a caller received is in the journal, whatever happened to the gateway in between."""

import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from funcgate.core.entry import Kind
from funcgate.recording.calls import record_of
from funcgate.recording.contents import Opener
from funcgate.recording.reader import read_entries
from support.authority import Authority
from support.gate import Gate, settings, until
from support.raw import connect
from support.target import Received, Target, answer

PIECES = 400
FUNCTIONS: list[dict[str, Any]] = [
    {"name": "read", "http": "GET /read"},
    {"name": "item", "http": "GET /items/{id}"},
    {"name": "order", "http": "POST /orders", "args": {"amount": "integer", "note": "string"}},
]


@pytest.fixture(scope="module")
def limited(authority: Authority, shared_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """At most 1 KiB of each call is recorded."""
    folder = tmp_path_factory.mktemp("limited")
    gate = Gate(folder, settings(authority, shared_target.url, FUNCTIONS, journal={"record": "1KiB"})).start()
    yield gate
    assert gate.stop() == 0


async def echo(received: Received, writer: asyncio.StreamWriter) -> None:
    """An answer that no other call gets."""
    writer.write(answer(json.dumps({"for": received.header("funcgate-call-id")}).encode()))


async def drip(received: Received, writer: asyncio.StreamWriter) -> None:
    """A stream in many small pieces, each of them another."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(PIECES):
        event = f"data: {number} {received.header('funcgate-call-id')}\n\n".encode()
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(0.001)
    writer.write(b"0\r\n\r\n")


class Reading:
    """Callers that read answers byte by byte as they come, and keep what they got."""

    def __init__(self, gate: Gate, token: str, path: str, callers: int = 6) -> None:
        self.received: list[bytes] = []
        self.bytes = 0
        self._stop = threading.Event()
        self._request = f"GET {path} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        self._threads = [threading.Thread(target=self._read, args=(gate.calls,)) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _read(self, port: int) -> None:
        while not self._stop.is_set():
            got = b""
            try:
                with connect(port) as sock:
                    sock.sendall(self._request)
                    while not got.endswith(b"}") and not got.endswith(b"\r\n0\r\n\r\n"):
                        piece = sock.recv(65536)
                        if not piece:
                            break
                        got += piece
                        self.bytes += len(piece)
            except OSError:
                time.sleep(0.005)
            if got:
                self.received.append(got)

    def stop(self) -> list[bytes]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.received


def taken_apart(data: bytes) -> tuple[int, str, bytes]:
    """Status, call and as much of the body as came."""
    head, _, rest = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    call = fields.get(b"funcgate-call-id", b"").decode().upper()
    if b"transfer-encoding" not in fields:
        return int(head[9:12] or 0), call, rest
    body = b""
    while (line := rest.partition(b"\r\n"))[1] and (size := int(line[0], 16)):
        body += line[2][:size]
        rest = line[2][size + 2 :]
    return int(head[9:12]), call, body


def to_the_end(sock: socket.socket) -> bytes:
    """All that comes until the gateway closes the connection; fails if it stays open."""
    received = b""
    try:
        while piece := sock.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def recorded(gate: Gate, calls: set[str], key: bytes | None = None) -> dict[str, Any]:
    found: dict[str, list[Any]] = {call: [] for call in calls}
    opener = Opener(gate.data, key)
    for entry in read_entries(gate.data / "journal"):
        if entry.call in found:
            opened = opener.look(entry)
            assert opened.lost == ()
            found[entry.call].append(opened.entry)
    return {call: entries for call, entries in found.items() if entries}


@pytest.mark.parametrize(
    ("path", "behaviour", "rounds", "beside"),
    [("/read", echo, 2, False), ("/items/stream", drip, 2, False), ("/read", echo, 2, True)],
)
def test_kill_9_never_leaves_a_caller_with_what_is_not_recorded(
    make_gate: Callable[..., Gate], target: Target, token: str, tmp_path: Path, path: str, behaviour: Any, rounds: int,
    beside: bool,
) -> None:  # fmt: skip
    """`beside`: every answer is a content object of its own, and encrypted."""
    key = bytes(range(32)) if beside else None
    (tmp_path / "key").write_text(bytes(range(32)).hex())
    journal = {"inline": "20B", "encryption": {"key": f"file:{tmp_path / 'key'}"}} if beside else {}
    target.answers[path] = behaviour
    gate = make_gate(journal=journal)
    chance = random.Random(7)
    received: list[bytes] = []
    for _ in range(rounds):
        gate.start()
        reading = Reading(gate, token, f"/shop{path}")
        until(lambda reading=reading: reading.bytes > 20_000)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.05))
        gate.kill()
        received += reading.stop()
    got = [one for one in map(taken_apart, received) if one[0] == 200 and one[2]]
    assert len(got) > 10
    entries = recorded(gate, {call for _, call, _ in got}, key)
    for _, call, body in got:
        assert call in entries, f"{call} was answered, and is not in the journal"
        pieces = [entry for entry in entries[call] if entry.kind is Kind.CHUNK]
        if behaviour is echo:
            (chunk,) = pieces
            assert bool(chunk.object) == beside
            assert bytes(chunk.body).startswith(body)
        else:
            assert [piece.piece for piece in pieces] == list(range(1, len(pieces) + 1))
            said = record_of(pieces).body
            assert isinstance(said, str)
            assert said.encode().startswith(body), call
    if behaviour is drip:
        assert any(body and not raw.endswith(b"0\r\n\r\n") for raw in received for body in [taken_apart(raw)[2]])


def test_tiny_pieces_leave_one_by_one_and_each_has_its_entry(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    """While the target is still at it: no piece waits for the next one, and none is shown before its entry is there."""
    more = threading.Event()

    async def step_by_step(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        for letter in b"!?~":  # no letter that the credential may begin with, which would be held back
            writer.write(b"1\r\n%c\r\n" % letter)
            await writer.drain()
            await asyncio.to_thread(more.wait, 30)
            more.clear()
        writer.write(b"0\r\n\r\n")

    target.answers["/read"] = step_by_step
    gate = make_gate().start()
    with httpx.stream("GET", f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"}) as reply:
        call = reply.headers["funcgate-call-id"]
        for number, piece in enumerate(reply.iter_raw(), 1):
            shown = [entry for entry in gate.call_entries(call) if entry["kind"] == "chunk"]
            assert [entry["piece"] for entry in shown] == list(range(1, number + 1))
            assert shown[-1]["body"] == piece.decode()
            more.set()
    assert gate.ended(call)["body_bytes"] == 3


@pytest.mark.parametrize(
    ("body", "status"), [(b"x" * 900, 200), (b"x" * 1100, 502), (b"y" * 100_000, 502), (b"z" * 400_000, 502)]
)
def test_an_answer_too_large_to_be_recorded_ends_the_call(
    limited: Gate, target: Target, token: str, body: bytes, status: int
) -> None:
    """Declared or streamed: refused where nothing has left yet."""
    target.answers["/read"] = answer(body, media="text/plain")
    reply = httpx.get(f"{limited.url}/shop/read", headers={"Authorization": f"Bearer {token}"})
    assert reply.status_code == status
    call = reply.headers["funcgate-call-id"]
    ended = limited.ended(call)
    kinds = [entry["kind"] for entry in limited.call_entries(call)]
    if status == 200:
        assert (kinds[2:], ended["body_bytes"]) == (["chunk", "ended"], len(body))
    else:
        assert reply.json()["code"] == "journal.too_large"
        assert (kinds[2:], ended["outcome"], ended["code"]) == (["denied", "ended"], "refused", "journal.too_large")
        assert body[:20] not in reply.content


def test_a_stream_too_large_to_be_recorded_is_cut(limited: Gate, target: Target, token: str) -> None:
    async def endless(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"64\r\n%b\r\n" % (b"s" * 100))
            await writer.drain()
            await asyncio.sleep(0.01)

    target.answers["/read"] = endless
    with connect(limited.calls) as sock:
        sock.sendall(f"GET /shop/read HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        received = to_the_end(sock)
    status, call, body = taken_apart(received)
    assert status == 200
    assert not received.endswith(b"0\r\n\r\n"), "a cut answer must not look whole"
    ended = limited.ended(call)
    assert (ended["outcome"], ended["code"]) == ("cut", "journal.too_large")
    entries = recorded(limited, {call})[call]
    said = record_of(entries)
    assert str(said.body).encode() == body
    assert ended["body_bytes"] == len(body) <= 1024


def test_arguments_too_large_to_be_recorded_never_reach_the_target(limited: Gate, target: Target, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    reply = httpx.post(f"{limited.url}/shop/orders", json={"amount": 1, "note": "n" * 1100}, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (413, "journal.too_large")
    assert not target.seen("/orders")
    call = reply.headers["funcgate-call-id"]
    limited.ended(call)
    arrived, denied, _ = limited.call_entries(call)
    assert (arrived["kind"], denied["kind"]) == ("arrived", "denied")
    assert "args" not in arrived
    assert arrived["principal"]["subject"]
    assert "arguments are larger" in denied["detail"]


@pytest.mark.parametrize("request_line", ["HEAD /shop/read", "GET /shop/items/none"])
def test_an_answer_without_a_body_needs_no_chunk(limited: Gate, target: Target, token: str, request_line: str) -> None:
    target.answers["/items/none"] = b"HTTP/1.1 204 No Content\r\n\r\n"
    with connect(limited.calls) as sock:
        sock.sendall(f"{request_line} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = sock.recv(65536)
    _, call, body = taken_apart(head)
    assert body == b""
    limited.ended(call)
    assert "chunk" not in [entry["kind"] for entry in limited.call_entries(call)]
