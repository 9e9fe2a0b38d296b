"""Callers of a gateway with several workers: each has one connection that it keeps, and knows which worker serves it."""

import http.client
import json
import os
from collections import Counter
from typing import Any

import httpx

from funcgate.recording.folder import lines
from support import forked
from support.gate import CANARY, Gate, until
from support.workers import worker_of

ADDRESSES = {"calls": "127.0.0.1:0", "console": "127.0.0.1:0"}


def several(workers: int, **more: Any) -> dict[str, Any]:
    """The section ``listen``."""
    return {**ADDRESSES, "workers": workers, **more}


class Line:
    """`worker` is the process id of the one that has the connection."""

    def __init__(self, gate: Gate, token: str) -> None:
        assert gate.process is not None
        self._connection = http.client.HTTPConnection("127.0.0.1", gate.calls, timeout=30)
        self._connection.connect()
        self._token = token
        port, gateway = self._connection.sock.getsockname()[1], gate.process.pid
        self.worker = until(lambda: worker_of(gateway, port))

    def call(
        self, path: str = "/shop/read", body: dict[str, Any] | None = None, **headers: str
    ) -> tuple[int, dict[str, Any], str]:
        """Status, body, the call's id."""
        given = {"authorization": f"Bearer {self._token}", **headers}
        if body is None:
            self._connection.request("GET", path, headers=given)
        else:
            given["content-type"] = "application/json"
            self._connection.request("POST", path, json.dumps(body), given)
        reply = self._connection.getresponse()
        return reply.status, json.loads(reply.read()), reply.headers["Funcgate-Call-Id"]

    def code(self, **headers: str) -> str:
        """What a call is refused with; "" when it is not."""
        return str(self.call(**headers)[1].get("code", ""))

    def close(self) -> None:
        self._connection.close()


def line_to(gate: Gate, token: str, worker: int) -> Line:
    """A new connection that went to this worker; those that went elsewhere are closed."""
    others: list[Line] = []

    def try_it() -> Line | None:
        others.append(Line(gate, token))  # kept meanwhile: the next one goes to who has fewer
        return others[-1] if others[-1].worker == worker else None

    try:
        found = until(try_it)
    finally:
        for other in others:
            if other.worker != worker:
                other.close()
    assert found is not None
    return found


def one_each(gate: Gate, token: str) -> list[Line]:
    """A connection to each worker."""
    return [line_to(gate, token, worker) for worker in all_up(gate)]


def all_up(gate: Gate) -> list[int]:
    """The workers, once all of them serve."""
    until(lambda: "worker" not in " ".join(json.loads(gate.get_console("/readyz")[1])["warnings"]))
    return gate.workers()


def metrics(gate: Gate, name: str) -> float:
    """The sum over all labels."""
    lines = gate.get_console("/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def console(gate: Gate, token: str, method: str, path: str, **more: Any) -> Any:
    url = f"http://127.0.0.1:{gate.console}/api/v1/{path}"
    headers = {"authorization": f"Bearer {token}"}
    reply = httpx.request(method, url, headers=headers, trust_env=False, timeout=30, **more)
    assert reply.is_success, reply.text
    return reply.json()


def assert_one_record(gate: Gate) -> list[dict[str, Any]]:
    """No gap, no two ends, and nothing that `audit verify` finds."""
    entries = [json.loads(line.line) for line in lines(gate.data / "journal")]  # those that are compressed, too
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    kinds = Counter((entry["call"], entry["kind"]) for entry in entries if entry["call"])
    arrived = {call for call, kind in kinds if kind == "arrived"}
    assert {call for (call, kind), count in kinds.items() if kind == "ended" and count == 1} == arrived
    order: dict[str, list[str]] = {}
    for entry in entries:
        if entry["kind"] != "answered":  # that comes when somebody answers, perhaps when the call is long over
            order.setdefault(entry["call"], []).append(entry["kind"])
    assert all(order[call][0] == "arrived" and order[call][-1] == "ended" for call in arrived)
    assert all(
        order[call][1] == "allowed" for call in arrived if "allowed" in order[call] and "asked" not in order[call]
    )
    funcgate(gate, "audit", "verify")
    return entries


def funcgate(gate: Gate, *arguments: str) -> str:
    """What a command says of this gateway's record; it must succeed."""
    done = forked.run(*arguments, "--config", gate.file, environment=os.environ | {"SHOP_KEY": CANARY})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
