"""A run through a real gateway: played back decrypted, held by an order in the inbox, watched by the keeper's retention."""

import json
import os
from collections.abc import Callable
from typing import Any

import httpx

from funcgate.recording.retention.state import State
from support import forked
from support.gate import Gate, until
from support.target import Target, answer

KEY = "5f" * 32


def _funcgate(gate: Gate, *arguments: str) -> Any:
    environment = os.environ | {"SHOP_KEY": "x", "RECORD_KEY": KEY}
    ran = forked.run("audit", *arguments, "--config", gate.file, "--json", environment=environment)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return json.loads(ran.stdout)


def test_a_run_is_replayed_held_and_watched(
    make_gate: Callable[..., Gate], target: Target, token: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv("RECORD_KEY", KEY)
    target.answers["/read"] = answer(b'{"stock":[1,2,3]}')
    gate = make_gate(
        journal={"encryption": {"key": "env:RECORD_KEY"}},
        retention=[{"targets": ["*"], "content": "30d", "metadata": "60d", "decisions": "90d"}],
    ).start()
    headers = {"Authorization": f"Bearer {token}", "Funcgate-Session": "nightly-42"}
    calls = [httpx.get(f"{gate.url}/shop/read", headers=headers).headers["funcgate-call-id"] for _ in range(2)]
    gate.ended(calls[-1])

    replayed = _funcgate(gate, "replay", "nightly-42")
    session = replayed["session"]["id"]
    assert session.startswith("nightly-42~")
    assert [call["record"]["id"] for call in replayed["calls"]] == calls
    assert [call["record"]["principal"]["subject"] for call in replayed["calls"]] == ["agent-1", "agent-1"]
    assert "stock" in json.dumps(replayed["calls"][0]["record"]["body"])

    ordered = _funcgate(gate, "hold", "add", "--session", session, "--reason", "dispute 17")["ordered"]
    until(lambda: [one for one in _funcgate(gate, "hold", "list")["holds"] if one["id"] == ordered])
    until(lambda: [one.id for one in State.copy_of(gate.data / "retention.db").holds] == [ordered])
    assert _funcgate(gate, "expire", "--dry-run")["due"] == []
    assert gate.stop() == 0
