"""What workers are told: revocations, reloads, and that one of them is gone. All of them, or the order is not carried out."""

import json
import os
import signal
from collections.abc import Callable

import pytest

from support.authority import Authority
from support.gate import Gate, until
from support.lines import console, one_each, several
from support.target import Target

Make = Callable[..., Gate]
READ = {"name": "agents", "effect": "allow", "functions": ["shop.read"], "principals": ["group:agents"]}
REFUSED = "configuration refused; the old one serves on"


def test_a_revocation_stands_at_all_workers_when_it_is_answered(
    make_gate: Make, token: str, authority: Authority, target: Target
) -> None:
    roles = {"admin": ["user:ada"]}
    gate = make_gate(listen=several(3), roles=roles).start()
    ada, lines = authority.token("ada", ("staff",)), one_each(gate, token)
    for _ in range(3):
        assert [line.code() for line in lines] == ["", "", ""]  # each worker knows the token by now
        made = console(
            gate, ada, "POST", "revocations", json={"issuer": "corp", "subject": "agent-1", "reason": "lost laptop"}
        )
        before = len(target.ledger)
        assert [line.code() for line in lines] == ["identity.revoked"] * 3
        assert len(target.ledger) == before
        console(gate, ada, "POST", f"revocations/{made['id']}/lift", json={"reason": "found again"})


@pytest.mark.slow
def test_a_worker_that_does_not_answer_a_revocation_lets_nobody_in(
    make_gate: Make, token: str, authority: Authority, target: Target
) -> None:
    gate = make_gate(listen=several(2), roles={"admin": ["user:ada"]}).start()
    lines = one_each(gate, token)
    assert [line.code() for line in lines] == ["", ""]
    stopped = lines[0].worker
    os.kill(stopped, signal.SIGSTOP)
    said = {"issuer": "corp", "subject": "agent-1", "reason": "lost laptop"}
    console(gate, authority.token("ada", ("staff",)), "POST", "revocations", json=said)
    assert stopped not in gate.workers()  # it is dead before the order is answered
    assert lines[1].code() == "identity.revoked"
    until(lambda: len(gate.workers()) == 2)
    assert [line.code() for line in one_each(gate, token)] == ["identity.revoked"] * 2  # the new one knows, too
    assert len(target.ledger) == 2


def test_a_reload_takes_effect_at_all_workers_or_at_none(make_gate: Make, token: str, target: Target) -> None:
    gate = make_gate(listen=several(3), policies=[READ]).start()
    lines, good = one_each(gate, token), gate.file.read_text()
    assert [line.code() for line in lines] == ["", "", ""]

    def hang_up(text: str) -> None:
        gate.file.with_suffix(".new").write_text(text)
        gate.file.with_suffix(".new").replace(gate.file)
        assert gate.process is not None
        gate.process.send_signal(signal.SIGHUP)

    hang_up(good.replace("effect: allow", "effect: alow"))
    until(lambda: gate.logged(REFUSED))
    assert [line.code() for line in lines] == ["", "", ""]
    denied = good.replace("shop.read", "shop.item")
    hang_up(denied)
    until(lambda: gate.logged("configuration reloaded"))
    assert [line.code() for line in lines] == ["policy.denied"] * 3
    hang_up(denied.replace("workers: 3", "workers: 2"))
    until(lambda: "a change of listen.workers needs a restart" in str(gate.logged(REFUSED)[-1]["problems"]))
    assert [line.code() for line in lines] == ["policy.denied"] * 3
    reloaded = len(gate.logged("configuration reloaded"))  # twice, if the watcher came before the signal
    hang_up(good)
    until(lambda: len(gate.logged("configuration reloaded")) > reloaded)
    assert [line.code() for line in lines] == ["", "", ""]
    changes = [entry for entry in gate.entries() if entry["kind"] == "admin" and entry.get("outcome") == "complete"]
    versions = [entry["change"]["new"] for entry in changes if entry["change"]["what"] == "configuration"]
    of_calls = {entry["policy"]["version"] for entry in gate.entries() if entry["kind"] in ("allowed", "denied")}
    assert of_calls <= set(versions)


@pytest.mark.slow
def test_a_worker_that_does_not_answer_a_reload_is_replaced(make_gate: Make, token: str, target: Target) -> None:
    gate = make_gate(listen=several(2), policies=[READ]).start()
    stopped, other = (line.worker for line in one_each(gate, token))
    os.kill(stopped, signal.SIGSTOP)
    text = gate.file.read_text().replace("shop.read", "shop.item")
    gate.file.write_text(text)
    assert gate.process is not None
    gate.process.send_signal(signal.SIGHUP)
    until(lambda: stopped not in gate.workers(), 60)  # it is looked at each 5 s, and given 30
    until(lambda: gate.logged("configuration reloaded") or gate.logged(REFUSED), 30)
    until(lambda: len(gate.workers()) == 2)
    if not gate.logged("configuration reloaded"):
        gate.process.send_signal(signal.SIGHUP)
        until(lambda: gate.logged("configuration reloaded"))
    assert other in gate.workers()
    assert [line.code() for line in one_each(gate, token)] == ["policy.denied"] * 2


@pytest.mark.slow
def test_ready_says_so_while_a_worker_is_missing(make_gate: Make, token: str) -> None:
    gate = make_gate(listen=several(2)).start()
    first, second = gate.workers()
    os.kill(first, signal.SIGKILL)
    until(lambda: "worker" in " ".join(json.loads(gate.get_console("/readyz")[1])["warnings"]))
    assert gate.get_console("/readyz")[0] == 200
    until(lambda: len(gate.workers()) == 2 and not json.loads(gate.get_console("/readyz")[1])["warnings"])
    assert second in gate.workers()
    for worker in gate.workers():
        os.kill(worker, signal.SIGKILL)
    until(lambda: gate.get_console("/readyz")[0] == 503)
    until(lambda: gate.get_console("/readyz")[0] == 200)
    assert [line.code() for line in one_each(gate, token)] == ["", ""]
