"""P1: nothing is sent to a target without a stored, durable "allowed", and nothing to a caller that is not in the journal.
P2: every "arrived" gets exactly one "ended".
"""

import ast
import collections
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from support.gate import Gate, until
from support.target import Target

SOURCE = Path(__file__).parents[2] / "src"


class Load:
    """Callers that keep calling until they are told to stop, whatever happens to the gateway."""

    def __init__(self, gate: Gate, token: str, callers: int = 8) -> None:
        self._stop = threading.Event()
        self.answered: list[str] = []
        self._threads = [threading.Thread(target=self._call, args=(gate, token)) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _call(self, gate: Gate, token: str) -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=5) as client:
            while not self._stop.is_set():
                try:
                    reply = client.post(f"{gate.url}/shop/orders", json={"amount": 1})
                except httpx.HTTPError:
                    time.sleep(0.01)
                    continue
                if reply.status_code == 200:
                    self.answered.append(reply.headers["funcgate-call-id"])

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def kinds(gate: Gate) -> dict[str, list[str]]:
    """The kinds of each call's entries, in order."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for entry in gate.entries():
        if entry["kind"] != "admin":
            found[entry["call"]].append(entry["kind"])
    return found


def forwarded(target: Target) -> list[str]:
    return [received.header("funcgate-call-id") or "" for received in target.ledger]


def test_kill_9_under_load_loses_no_forwarded_call(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    """The target's own ledger against the journal, three times over on one data folder; a hundred times in the slow tests."""
    gate = make_gate()
    chance = random.Random(4)
    answered: list[str] = []
    for _ in range(3):
        gate.start()
        load = Load(gate, token)
        until(lambda load=load: len(load.answered) > 20)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.1))
        gate.kill()
        load.stop()
        answered += load.answered
    gate.start()
    assert gate.stop() == 0
    recorded = kinds(gate)
    sent = forwarded(target)
    assert len(sent) > 60
    assert len(sent) == len(set(sent)), "a call was forwarded twice"
    for call in sent:
        assert recorded[call][:2] == ["arrived", "allowed"], call
    for call, found in recorded.items():
        if "arrived" in found:
            assert found.count("ended") == 1, (call, found)
            assert found[-1] == "ended"
    for call in answered:
        assert "chunk" in recorded[call], f"{call} was answered, and its answer is not in the journal"
    outcomes = collections.Counter(entry.get("outcome") for entry in gate.entries() if entry["kind"] == "ended")
    assert set(outcomes) <= {"complete", "unknown", "cancelled", "refused", "failed"}
    sequence = [entry["seq"] for entry in gate.entries()]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))


def test_every_end_is_written_whatever_the_end(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    """Allowed, denied, refused by the target's fault, cancelled by the caller, held: one `ended` each."""
    from support.raw import connect
    from support.target import Received, answer

    async def never(received: Received, writer: Any) -> None:
        import asyncio

        await asyncio.sleep(60)

    policies = [
        {"name": "all", "effect": "allow", "functions": ["shop.*"], "principals": ["group:agents"]},
        {
            "name": "no thirteen",
            "effect": "deny",
            "functions": ["shop.order"],
            "principals": ["*"],
            "when": "args.amount == 13",
        },
        {
            "name": "ask",
            "effect": "require_approval",
            "functions": ["shop.order"],
            "principals": ["*"],
            "when": "args.amount > 100",
            "approval": {"approvers": ["group:finance"]},
        },
    ]
    gate = make_gate(policies=policies, target={"limits": {"timeout": "2s", "max_wait": "100ms"}}).start()
    headers = {"Authorization": f"Bearer {token}"}
    target.answers["/items/broken"] = answer(b"{", media="application/json", extra=b"Content-Encoding: br\r\n")
    target.answers["/items/slow"] = never
    seen: dict[str, tuple[int, list[str]]] = {}
    requests: list[tuple[str, str, dict[str, int] | None]] = [
        ("GET", "/shop/read", None),
        ("POST", "/shop/orders", {"amount": 13}),
        ("POST", "/shop/orders", {"amount": 1000}),
        ("GET", "/shop/items/broken", None),
        ("GET", "/shop/items/slow", None),
    ]
    for method, path, body in requests:
        reply = httpx.request(method, gate.url + path, json=body, headers=headers)
        call = reply.headers["funcgate-call-id"]
        gate.ended(call)
        seen[f"{path} {body}"] = (reply.status_code, kinds(gate)[call])
    assert seen == {
        "/shop/read None": (200, ["arrived", "allowed", "chunk", "ended"]),
        "/shop/orders {'amount': 13}": (403, ["arrived", "denied", "ended"]),
        "/shop/orders {'amount': 1000}": (403, ["arrived", "asked", "denied", "ended"]),
        "/shop/items/broken None": (502, ["arrived", "allowed", "denied", "ended"]),
        "/shop/items/slow None": (504, ["arrived", "allowed", "denied", "ended"]),
    }
    sock = connect(gate.calls)
    sock.sendall(f"GET /shop/items/slow HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    received = until(lambda: target.seen("/items/slow")[1:])[0]
    sock.close()
    assert gate.ended(received.header("funcgate-call-id") or "")["outcome"] in ("cancelled", "refused")
    assert gate.stop() == 0
    for call, found in kinds(gate).items():
        if "arrived" in found:
            assert found.count("ended") == 1, (call, found)


def test_sigterm_lets_open_calls_end(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    import asyncio

    from support.target import Received, answer

    async def slow(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.7)
        writer.write(answer())

    target.answers["/read"] = slow
    gate = make_gate().start()
    replies: list[int] = []

    def call() -> None:
        replies.append(httpx.get(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"}).status_code)

    caller = threading.Thread(target=call)
    caller.start()
    until(lambda: target.ledger)
    assert gate.stop() == 0
    caller.join()
    assert replies == [200]
    assert [entry["outcome"] for entry in gate.entries() if entry["kind"] == "ended"] == ["complete"]


def test_only_the_gateway_makes_permits() -> None:
    """`send` takes a Permit; if another file made one, the order of the one way through would be no proof of anything."""
    makers = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Permit":
                makers.add(path.name)
    assert makers == {"gateway.py"}
