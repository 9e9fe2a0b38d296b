"""Calls found while the gateway runs: indexed by its keeper, plain or keyed, built anew on request."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import pytest

from funcgate.recording.index.database import NAME
from support import forked
from support.gate import Gate, until
from support.target import Target, answer

KEY = "6e" * 32


def funcgate(gate: Gate, *arguments: str) -> Any:
    environment = os.environ | {"SHOP_KEY": "x", "RECORD_KEY": KEY}
    ran = forked.run("audit", *arguments, "--config", gate.file, "--json", environment=environment)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return json.loads(ran.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("journal", [{}, {"encryption": {"key": "env:RECORD_KEY"}}], ids=["plain", "encrypted"])
def test_calls_are_found_while_the_gateway_runs(
    make_gate: Callable[..., Gate], target: Target, token: str, monkeypatch: pytest.MonkeyPatch, journal: dict[str, Any]
) -> None:
    monkeypatch.setenv("RECORD_KEY", KEY)
    target.answers["/read"] = answer(b'{"stock":"seven whales"}')
    gate = make_gate(journal=journal).start()
    headers = {"Authorization": f"Bearer {token}"}
    calls = [httpx.get(f"{gate.url}/shop/read", headers=headers).headers["funcgate-call-id"] for _ in range(3)]
    gate.ended(calls[-1])
    index = gate.data / NAME
    until(index.exists)

    def found(*options: str) -> list[str]:
        return [record["id"] for record in funcgate(gate, "list", *options)]

    until(lambda: found("--text", '"seven whales"', "--principal", "agent-1") == calls[::-1])
    with closing(sqlite3.connect(index, timeout=30)) as db:
        db.execute("CREATE TABLE old (x)")
    assert funcgate(gate, "reindex")["lines"] > 0
    with closing(sqlite3.connect(index)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'old'").fetchone() == (0,)
    assert found("--text", "whales") == calls[::-1]
    assert funcgate(gate, "show", calls[0])["body"] == {"stock": "seven whales"}
    assert [one["calls"] for one in funcgate(gate, "who", "shop.read")] == [3]
    assert gate.stop() == 0
    if journal:
        assert all(
            b"whales" not in file.read_bytes() and b"agent-1" not in file.read_bytes()
            for file in gate.data.glob(f"{NAME}*")
        )
    assert found("--text", "whales") == calls[::-1]  # and after it has stopped
