"""Forwarding from a running gateway, with its content encrypted: three destinations and a dead one; exports beside it."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import forked
from support.gate import Gate, until
from support.receivers import Collector, Hook, SyslogReceiver
from support.target import Target, answer

SECRET = "hook-secret-canary"


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook(SECRET.encode())
    yield hook
    hook.stop()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


def keeper_of(gate: Gate) -> int:
    assert gate.process is not None
    out = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(gate.process.pid)], capture_output=True, text=True)
    found = [line.split()[0] for line in out.stdout.splitlines() if "funcgate.cli.keep" in line]
    return int(found[0]) if found else 0


def calls(gate: Gate, token: str, count: int) -> list[str]:
    made = []
    for number in range(count):
        headers = {"Authorization": f"Bearer {token}"}
        reply = httpx.post(f"{gate.url}/shop/orders", json={"amount": number, "note": "canary-note"}, headers=headers)
        assert reply.status_code == 200
        made.append(reply.headers["funcgate-call-id"])
    return made


@pytest.mark.slow
def test_every_call_reaches_every_destination_that_lives(
    make_gate: Callable[..., Gate], target: Target, token: str, tmp_path: Path, hook: Hook, collector: Collector
) -> None:
    target.answers["/orders"] = answer(b'{"answer":"canary-answer"}')
    syslog = SyslogReceiver()
    files = {"key": b"k" * 32, "secret": SECRET.encode()}
    for name, content in files.items():
        (tmp_path / name).write_text(content.hex() if name == "key" else content.decode())
        (tmp_path / name).chmod(0o600)
    forward: list[dict[str, Any]] = [
        {"name": "siem", "type": "syslog", "address": f"tcp://127.0.0.1:{syslog.port}"},
        {
            "name": "hook",
            "type": "webhook",
            "url": f"http://127.0.0.1:{hook.port}/",
            "secret": f"file:{tmp_path}/secret",
        },
        {"name": "otel", "type": "otlp", "url": f"http://127.0.0.1:{collector.port}/v1/logs"},
        {"name": "dead", "type": "syslog", "address": "tcp://127.0.0.1:9"},
    ]
    gate = make_gate(journal={"encryption": {"key": f"file:{tmp_path}/key"}}, forward=forward).start()
    made = calls(gate, token, 20)
    os.kill(until(lambda: keeper_of(gate)), signal.SIGKILL)
    made += calls(gate, token, 20)
    for receiver in (syslog, hook, collector):
        until(lambda known=receiver: set(known.ids()) >= set(made), 60)
    assert syslog.wrong == hook.wrong == []
    event = next(event for event in hook.events if event["id"] == made[0])
    assert (event["principal"]["subject"], event["function"], event["outcome"]) == ("agent-1", "shop.order", "complete")
    assert b"canary" not in b"".join(body for _, body in hook.requests + collector.requests)
    assert not any(b"canary" in message.text for message in syslog.messages)
    until(lambda: 'funcgate_keeper_lag_entries{chore="forward-dead"}' in gate.get_console("/metrics")[1])

    exported = export(gate, tmp_path)
    assert exported == made
    until(
        lambda: (
            [event["change"]["state"] for event in hook.events if event.get("what") == "export"]
            == ["begun", "complete"]
        )
    )
    assert gate.stop() == 0


def export(gate: Gate, folder: Path) -> list[str]:
    """The calls that `audit export` gives while the gateway runs, with their content."""
    out = folder / "out.jsonl"
    what = ["--format", "ocsf", "--function", "shop.order", "--out", str(out)]
    ran = forked.run("audit", "export", *what, "--config", gate.file)
    assert ran.returncode == 0, ran.stderr
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(event["api"]["request"]["data"]["note"] == "canary-note" for event in events)
    assert all(event["api"]["response"]["data"] == {"answer": "canary-answer"} for event in events)
    return [event["metadata"]["uid"] for event in events]
