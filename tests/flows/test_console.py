"""The console of a running gateway, its start and its end."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import forked
from support.authority import Authority
from support.gate import CANARY, Gate, settings, until
from support.target import Target, answer
from support.workers import WORKERS

Make = Callable[..., Gate]
TRACE = "0af7651916cd43dd8448eb211c80319c"


def get(gate: Gate, token: str = "", path: str = "/shop/read", **headers: str) -> httpx.Response:
    given = headers | ({"authorization": f"Bearer {token}"} if token else {})
    return httpx.get(gate.url + path, headers=given, trust_env=False, timeout=60)


def metrics(gate: Gate) -> dict[tuple[str, str], float]:
    """Every sample, by its name and its labels' values in the order of their names (code, decision, target)."""
    return {
        (sample.name, " ".join(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(gate.get_console("/metrics")[1])
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def counted(authority: Authority, shared_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gateway that logs the calls it refuses."""
    policies = [
        {"name": "agents", "effect": "allow", "functions": ["shop.read"], "principals": ["group:agents"]},
        {"name": "held", "effect": "require_approval", "functions": ["shop.item"], "principals": ["*"],
         "approval": {"approvers": ["group:finance"]}},
    ]  # fmt: skip
    functions = [{"name": "read", "http": "GET /read"}, {"name": "item", "http": "GET /items/{id}"}]
    changes: dict[str, Any] = {"logs": {"calls": "refused"}, "policies": policies}
    gate = Gate(tmp_path_factory.mktemp("counted"), settings(authority, shared_target.url, functions, **changes))
    yield gate.start()
    assert gate.stop() == 0


def test_what_is_counted(counted: Gate, target: Target, token: str) -> None:
    gate = counted
    assert [get(gate, token).status_code for _ in range(3)] == [200, 200, 200]
    assert get(gate, token, "/shop/items/1", prefer="wait=0").status_code == 403
    assert get(gate, token, "/shop/nowhere").status_code == 403
    assert get(gate).status_code == 401

    def counted_all() -> Any:  # a worker tells four times a second what it has counted
        found = metrics(gate)
        calls = sum(value for (name, _), value in found.items() if name == "funcgate_calls_total")
        return found if calls == 6 and found["funcgate_open_calls", ""] == 0 else None

    found = until(counted_all)
    assert found["funcgate_calls_total", " allow shop"] == 3
    assert found["funcgate_calls_total", "approval.pending ask shop"] == 1
    assert found["funcgate_calls_total", "function.unknown none shop"] == 1
    assert sum(value for (name, labels), value in found.items() if labels.startswith("identity.missing none")) == 1
    assert found["funcgate_step_seconds_count", "deliver"] == 3
    assert found["funcgate_step_seconds_count", "identify"] >= 4
    assert found["funcgate_config_info", json.loads(gate.get_console("/readyz")[1])["version"]] == 1
    assert found["funcgate_journal_queue", ""] >= 0
    assert CANARY not in gate.get_console("/metrics")[1]


def test_refused_calls_are_logged_when_it_is_asked_for(counted: Gate, token: str) -> None:
    refused = get(counted, token, "/shop/items/2", prefer="wait=0", traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    assert refused.status_code == 403
    call_id = refused.headers["funcgate-call-id"]
    (line,) = until(lambda: [line for line in counted.logged("call refused") if line["call_id"] == call_id])
    assert (line["code"], line["trace_id"]) == ("approval.pending", TRACE)
    assert token not in counted.log.read_text()


def test_one_data_dir_serves_one_gateway(counted: Gate) -> None:
    ended = serve(counted)
    assert ended.returncode == 1
    assert "is in use by" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_start_is_recorded_with_its_version(counted: Gate) -> None:
    version = json.loads(counted.get_console("/readyz")[1])["version"]
    (start,) = [e for e in counted.entries() if e["kind"] == "admin" and e.get("change", {}).get("what") == "start"]
    assert start["change"]["new"] == version


def test_the_console_tells_nothing_of_targets_or_policies(counted: Gate) -> None:
    gate = counted
    status, text = gate.get_console("/readyz")
    assert status == 200
    workers = {"workers": "ok"} if WORKERS > 1 else {}
    assert json.loads(text)["checks"] == {"journal": "ok", "keys": "ok", "draining": "ok", **workers}
    for path in ("/api/v1/policies", "/schema", "/", "/shop/read"):
        assert gate.get_console(path)[0] == 404


def test_it_is_not_ready_without_any_keys(make_gate: Make, token: str) -> None:
    gate = make_gate(issuers=[
        {"name": "corp", "issuer": "http://127.0.0.1:9", "audience": "funcgate"},
    ]).start(ready=False)  # fmt: skip
    status, text = gate.get_console("/readyz")
    assert (status, json.loads(text)["checks"]["keys"]) == (503, "no issuer's keys can be had")
    assert gate.get_console("/healthz")[0] == 200
    assert get(gate, token).status_code in (401, 503)


def test_the_end_waits_for_open_calls(make_gate: Make, target: Target, token: str) -> None:
    gate = make_gate().start()
    arrived, go_on = threading.Event(), threading.Event()

    async def slow(request: Any, writer: Any) -> None:
        arrived.set()
        await asyncio.to_thread(go_on.wait, 10)
        writer.write(answer())
        await writer.drain()

    target.answers["/read"] = slow
    answers: list[httpx.Response] = []
    calling = threading.Thread(target=lambda: answers.append(get(gate, token)))
    calling.start()
    assert arrived.wait(30)
    assert gate.process is not None
    gate.process.send_signal(signal.SIGTERM)
    until(lambda: gate.get_console("/readyz")[0] == 503)
    assert gate.process.poll() is None
    go_on.set()
    calling.join()
    assert answers[0].status_code == 200
    assert gate.process.wait(60) == 0
    assert gate.ended(answers[0].headers["funcgate-call-id"])["outcome"] == "complete"
    said = [
        line["event"] for line in map(json.loads, gate.log.read_text().splitlines()) if "keeper" not in line["event"]
    ]
    assert said == ["journal", "serving", "draining", "stopped"]  # and not a word about calls, unless asked for


def test_a_second_signal_does_not_wait(make_gate: Make, target: Target, token: str) -> None:
    gate = make_gate().start()
    arrived = threading.Event()

    async def never(request: Any, writer: Any) -> None:
        arrived.set()
        await asyncio.sleep(60)

    target.answers["/read"] = never
    failures: list[Exception] = []

    def call() -> None:
        try:
            get(gate, token)
        except httpx.HTTPError as error:
            failures.append(error)

    calling = threading.Thread(target=call)
    calling.start()
    assert arrived.wait(30)
    assert gate.process is not None
    gate.process.send_signal(signal.SIGTERM)
    until(lambda: gate.get_console("/readyz")[0] == 503)
    gate.process.send_signal(signal.SIGTERM)
    assert gate.process.wait(60) == 0
    calling.join()
    assert failures
    (ended,) = [entry for entry in gate.entries() if entry["kind"] == "ended"]
    assert ended["outcome"] == "cancelled"


def serve(gate: Gate) -> subprocess.CompletedProcess[str]:
    """A second process over the same file, which is expected to give up."""
    return forked.run("serve", "--config", gate.file, environment=os.environ | {"SHOP_KEY": CANARY}, timeout_s=90)


@pytest.mark.parametrize("place", ["calls", "console"])
def test_an_address_that_is_taken_is_named(make_gate: Make, place: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = serve(make_gate(listen={"calls": "127.0.0.1:0", "console": "127.0.0.1:0", place: address}))
    assert ended.returncode == 1
    assert f"listen.{place}: {address}: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_data_dir_that_cannot_be_made(make_gate: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = serve(make_gate(data_dir=str(tmp_path / "file" / "data")))
    assert ended.returncode == 1
    assert "Not a directory" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unusable_file_starts_nothing(make_gate: Make) -> None:
    gate = make_gate(policies=[])
    ended = serve(gate)
    assert ended.returncode == 2
    assert "there are no policies" in ended.stderr
    assert not gate.data.exists() or not (gate.data / "journal").exists()
