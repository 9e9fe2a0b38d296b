"""Several processes that carry calls: connections are spread, and what they do is one record, of one gateway."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.authority import Authority
from support.gate import CANARY, Gate, until
from support.lines import Line, all_up, assert_one_record, console, funcgate, metrics, one_each, several
from support.load import Load
from support.target import Target
from support.workers import children_of

Make = Callable[..., Gate]
ASK = {
    "name": "orders", "effect": "require_approval", "functions": ["shop.order"], "principals": ["group:agents"],
    "approval": {"approvers": ["group:finance"], "expires": "10m"},
}  # fmt: skip


def test_connections_are_spread_evenly_and_their_calls_are_one_record(
    make_gate: Make, target: Target, token: str
) -> None:
    gate = make_gate(listen=several(3)).start()
    workers = all_up(gate)
    assert len(workers) == 3
    lines = [Line(gate, token) for _ in range(9)]
    assert Counter(line.worker for line in lines) == dict.fromkeys(workers, 3)
    with ThreadPoolExecutor(len(lines)) as callers:
        found = list(callers.map(lambda line: [line.call() for _ in range(20)], lines))
    assert {status for calls in found for status, _, _ in calls} == {200}
    ids = [call for calls in found for _, _, call in calls]
    assert len(set(ids)) == 9 * 20
    until(lambda: metrics(gate, "funcgate_calls_total") == 180)
    until(lambda: metrics(gate, "funcgate_open_connections") == 9)
    until(lambda: metrics(gate, "funcgate_open_calls") == 0)
    for line in lines[:4]:
        line.close()
    until(lambda: metrics(gate, "funcgate_open_connections") == 5)
    for line in lines[4:]:
        line.close()
    assert gate.stop() == 0
    assert_one_record(gate)
    assert sorted(received.header("funcgate-call-id") or "" for received in target.ledger) == sorted(ids)
    assert {received.header("authorization") for received in target.ledger} == {f"Bearer {CANARY}"}
    assert len(gate.logged("serving")) == 1


@pytest.mark.parametrize(
    "journal", [{"sync": "always"}, {"sync": "interval", "every": "5ms"}], ids=["always", "interval"]
)
def test_a_load_is_one_record(make_gate: Make, token: str, journal: dict[str, str]) -> None:
    gate = make_gate(listen=several(2), journal={**journal, "segment": "256KiB"}).start()
    load = Load(gate, token, 8)
    until(lambda: len(load.answered) > 1000, 60)
    load.stop()
    assert gate.stop() == 0
    entries = assert_one_record(gate)
    assert {entry["call"] for entry in entries if entry["kind"] == "chunk"} == set(load.answered)
    assert not load.refused


def test_a_worker_has_no_secret_in_its_environment(
    make_gate: Make, target: Target, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the target's, which it is told of over its link; and nowhere those that carry no call. Also after a reload that names
    another one."""
    for name in ("HOOK_KEY", "OTHER_KEY", "FUNCGATE_TOKEN"):
        monkeypatch.setenv(name, f"canary-of-24-bytes-{name}")
    people = [{"id": "a", "issuer": "corp", "subject": "alice"}]
    hook = {"name": "ops", "type": "webhook", "url": "http://127.0.0.1:1/", "secret": "env:HOOK_KEY", "people": people}
    gate = make_gate(listen=several(2), channels=[hook]).start()
    lines = one_each(gate, token)
    assert [line.call()[0] for line in lines] == [200, 200]
    for pid in gate.workers():
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PATH=" in environ
        assert CANARY.encode() not in environ
        assert b"canary-of-24-bytes" not in environ
    gate.file.write_text(gate.file.read_text().replace("env:SHOP_KEY", "env:OTHER_KEY"))
    until(lambda: gate.logged("configuration reloaded"))  # by all of them
    for line in lines:
        assert line.call()[0] == 200
        assert target.ledger[-1].header("authorization") == "Bearer canary-of-24-bytes-OTHER_KEY"
    assert gate.stop() == 0
    assert_one_record(gate)


def test_what_was_asked_at_one_worker_runs_at_another_once(
    make_gate: Make, target: Target, token: str, authority: Authority
) -> None:
    gate = make_gate(listen=several(2), policies=[ASK]).start()
    bob = authority.token("bob", ("finance",))
    one, other = one_each(gate, token)
    body = {"amount": 70, "note": "x"}
    status, said, _ = one.call("/shop/orders", body, prefer="wait=0")
    assert (status, said["code"]) == (403, "approval.pending")
    (asked,) = console(gate, bob, "GET", "approvals?state=pending")["approvals"]
    assert other.call("/shop/orders", body, prefer="wait=0")[1]["code"] == "approval.pending"
    assert len(console(gate, bob, "GET", "approvals?state=pending")["approvals"]) == 1  # it joined
    console(gate, bob, "POST", f"approvals/{asked['id']}/approve", json={"reason": "fine"})
    with ThreadPoolExecutor(2) as callers:
        statuses = sorted(callers.map(lambda line: line.call("/shop/orders", body, prefer="wait=0")[0], (one, other)))
    assert statuses == [200, 403]
    assert len(target.seen("/orders")) == 1
    for line in (one, other):
        line.close()
    assert gate.stop() == 0
    assert_one_record(gate)


def test_a_call_that_waits_is_told_at_its_worker(
    make_gate: Make, target: Target, token: str, authority: Authority
) -> None:
    limits = {"limits": {"max_wait": "20s"}}
    gate = make_gate(listen=several(2), policies=[ASK], target=limits).start()
    bob = authority.token("bob", ("finance",))

    def pending() -> list[dict[str, Any]]:
        return list(console(gate, bob, "GET", "approvals?state=pending")["approvals"])

    with ThreadPoolExecutor(2) as callers:
        lines = one_each(gate, token)
        for verdict, status in (("approve", 200), ("reject", 403)):
            calls = [
                callers.submit(line.call, "/shop/orders", {"amount": 80 + number}, prefer="wait=20")
                for number, line in enumerate(lines)
            ]
            for asked in until(lambda: pending() if len(pending()) == 2 else []):
                console(gate, bob, "POST", f"approvals/{asked['id']}/{verdict}", json={"reason": "fine"})
            assert [call.result()[0] for call in calls] == [status, status]
    assert len(target.seen("/orders")) == 2


def test_open_calls_end_while_it_drains(make_gate: Make, target: Target, token: str) -> None:
    gate = make_gate(listen=several(2)).start()
    go, lines = threading.Event(), one_each(gate, token)
    hold_until(target, go)
    assert gate.process is not None
    with ThreadPoolExecutor(2) as callers:
        calls = [callers.submit(line.call) for line in lines]
        until(lambda: len(target.ledger) == 2)
        gate.process.terminate()
        until(lambda: gate.logged("draining"))
        until(lambda: refuses(gate))
        go.set()
        assert [call.result()[0] for call in calls] == [200, 200]
    assert gate.process.wait(20) == 0
    entries = assert_one_record(gate)
    assert [entry["outcome"] for entry in entries if entry["kind"] == "ended"] == ["complete", "complete"]
    assert entries[-1]["change"]["what"] == "stop"


def test_a_second_signal_cuts_what_is_open(make_gate: Make, target: Target, token: str) -> None:
    gate = make_gate(listen=several(2)).start()
    lines = one_each(gate, token)
    hold_until(target, go := threading.Event())
    assert gate.process is not None
    workers = gate.workers()
    with ThreadPoolExecutor(2) as callers:
        calls = [callers.submit(line.call) for line in lines]
        until(lambda: len(target.ledger) == 2)
        gate.process.terminate()
        until(lambda: gate.logged("draining"))
        gate.process.terminate()
        assert gate.process.wait(20) == 0
        assert all(call.exception(20) for call in calls)
    go.set()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    entries = assert_one_record(gate)
    assert [entry["outcome"] for entry in entries if entry["kind"] == "ended"] == ["cancelled", "cancelled"]


def hold_until(target: Target, go: threading.Event) -> None:
    async def held(_: Any, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(go.wait, 30)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    target.answers["/read"] = held


def refuses(gate: Gate) -> bool:
    try:
        socket.create_connection(("127.0.0.1", gate.calls), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.slow
def test_content_keys_of_all_workers_open_what_they_sealed(make_gate: Make, token: str, tmp_path: Path) -> None:
    """Answers go beside the journal, sealed; each worker makes keys in the same file."""
    (tmp_path / "key").write_text("6b" * 32)
    (tmp_path / "key").chmod(0o600)
    sealed = {"encryption": {"key": f"file:{tmp_path / 'key'}"}, "inline": 0}
    gate = make_gate(listen=several(3), journal=sealed).start()
    lines = one_each(gate, token)

    def runs(line: Line) -> list[tuple[int, dict[str, Any], str]]:
        return [line.call(**{"funcgate-session": f"run-{number}"}) for number in range(20)]

    with ThreadPoolExecutor(3) as callers:
        found = [call for calls in callers.map(runs, lines) for call in calls]
    assert {status for status, _, _ in found} == {200}
    for line in lines:
        line.close()
    assert gate.stop() == 0
    assert_one_record(gate)
    for _, _, call in found[::7]:
        assert "ok" in funcgate(gate, "audit", "show", call)


def test_secrets_are_in_no_command_and_the_keeper_is_one(make_gate: Make) -> None:
    gate = make_gate(listen=several(2)).start()
    assert gate.process is not None
    assert len(children_of(gate.process.pid, b"funcgate.cli.keep")) == 1
    for worker in gate.workers():
        assert CANARY.encode() not in Path(f"/proc/{worker}/cmdline").read_bytes()
        assert Path(f"/proc/{worker}/fd").is_dir()
