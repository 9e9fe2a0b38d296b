"""`funcgate approvals` against a real gateway: a caller waits, a person answers from the command line."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from support import forked
from support.authority import Authority
from support.gate import Gate, until
from support.target import Target

POLICY = {
    "name": "orders", "effect": "require_approval", "functions": ["shop.order"], "principals": ["group:agents"],
    "approval": {"approvers": ["group:finance"], "expires": "10m", "grants": {"calls": 3, "expires": "1h"}},
}  # fmt: skip


@pytest.fixture
def gate(make_gate: Callable[..., Gate]) -> Gate:
    return make_gate(policies=[POLICY], target={"limits": {"max_wait": "20s"}}).start()


def cli(gate: Gate, token: str, *command: str, status: int = 0) -> str:
    where = ["--url", f"http://127.0.0.1:{gate.console}", "--token", token]
    done = forked.run("approvals", *command, *where)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def order(gate: Gate, token: str, body: dict[str, Any], wait: int = 0, reason: str = "") -> httpx.Response:
    headers = {"authorization": f"Bearer {token}", "prefer": f"wait={wait}", "funcgate-reason": reason}
    return httpx.post(f"{gate.url}/shop/orders", json=body, headers=headers, timeout=30)


def test_a_waiting_call_is_approved_from_the_command_line(gate: Gate, authority: Authority, target: Target) -> None:
    agent, bob = authority.token("agent-7"), authority.token("bob", ("finance",))
    with ThreadPoolExecutor(1) as callers:
        note = "pay \u202e00052\u202c now"
        waiting = callers.submit(order, gate, agent, {"amount": 250, "note": note}, 20, "invoice 7")
        (one,) = until(lambda: json.loads(cli(gate, bob, "list", "--state", "pending", "--json"))["approvals"])
        assert target.ledger == []
        card = cli(gate, bob, "show", one["id"])
        for text in (
            "agent-7",
            "shop.order",
            "invoice 7",
            "amount = 250",
            "pay ⟨U+202E⟩00052⟨U+202C⟩ now",
            "1 of group:finance",
            "waiting",
        ):
            assert text in card
        assert "approved by bob" in cli(gate, bob, "approve", one["id"], "--reason", "fine")
        assert waiting.result().status_code == 200
    assert "ran as" in cli(gate, bob, "show", one["id"])
    assert len(target.ledger) == 1
    assert one["id"] in cli(gate, bob, "list")


def test_a_reason_is_masked_and_the_record_says_who_approved_the_call_that_ran(
    make_gate: Callable[..., Gate], authority: Authority, target: Target
) -> None:
    gate = make_gate(policies=[POLICY], masking=[{"functions": ["shop.*"], "detect": ["credit_card"]}]).start()
    agent, bob, card = authority.token("agent-7"), authority.token("bob", ("finance",)), "4111 1111 1111 1111"
    held = order(gate, agent, {"amount": 250}, reason=f"refund to {card}").json()["approval"]["id"]
    shown = cli(gate, bob, "approve", held)
    assert "refund to" in shown
    ran = order(gate, agent, {"amount": 250}, reason=f"refund to {card}")
    assert ran.status_code == 200
    call = ran.headers["funcgate-call-id"]
    gate.ended(call)
    assert gate.stop() == 0
    why = forked.run("audit", "why", call, "--data-dir", gate.data, "--json")
    assert [each["who"] for each in json.loads(why.stdout)["approvals"]] == ["corp/bob"], why.stdout + why.stderr
    for text in (shown, gate.log.read_text(), *(each.read_text() for each in (gate.data / "journal").glob("*.jsonl"))):
        assert card not in text
    assert card.encode() not in (gate.data / "state.db").read_bytes()


def test_who_may_not_is_told_so(gate: Gate, authority: Authority) -> None:
    agent, eve, bob = (
        authority.token("agent-7"),
        authority.token("eve", ("marketing",)),
        authority.token("bob", ("finance",)),
    )
    name = order(gate, agent, {"amount": 1}).json()["approval"]["id"]
    assert "no such approval" in cli(gate, eve, "approve", name, status=1)
    assert "own call" in cli(gate, agent, "approve", name, status=1)
    assert "token" in cli(gate, "nonsense", "list", status=1)
    assert "rejected by bob" in cli(gate, bob, "reject", name, "--reason", "no")
    assert "already" in cli(gate, bob, "approve", name, status=1)
    assert order(gate, agent, {"amount": 1}).json()["code"] == "approval.rejected"
    missing = forked.run("approvals", "list", "--url", "http://127.0.0.1:1")
    assert (missing.returncode, "FUNCGATE_TOKEN" in missing.stderr) == (2, True)


@pytest.mark.slow
def test_a_grant_and_its_end(gate: Gate, authority: Authority, target: Target) -> None:
    agent, bob = authority.token("agent-7"), authority.token("bob", ("finance",))
    name = order(gate, agent, {"amount": 5}).json()["approval"]["id"]
    assert "At most 3 calls" in cli(gate, bob, "approve", name, "--calls", "4", "--for", "10m", status=1)
    cli(gate, bob, "approve", name, "--calls", "3", "--for", "10m", "--range", "amount=1..10")
    assert [order(gate, agent, {"amount": amount}).status_code for amount in (5, 7, 11)] == [200, 200, 403]
    (grant,) = json.loads(cli(gate, bob, "grants", "--json"))["grants"]
    assert grant["used"] == 1
    assert "from 1.0 to 10.0" in cli(gate, bob, "grants")
    cli(gate, bob, "revoke", grant["id"])
    assert order(gate, agent, {"amount": 7}).status_code == 403
    assert len(target.ledger) == 2


def test_what_is_pending_survives_a_restart(gate: Gate, authority: Authority, target: Target) -> None:
    agent, bob = authority.token("agent-7"), authority.token("bob", ("finance",))
    first, second = (order(gate, agent, {"amount": amount}).json()["approval"]["id"] for amount in (1, 2))
    cli(gate, bob, "approve", second)
    gate.kill()
    gate.start()
    assert order(gate, agent, {"amount": 1}).json()["approval"]["id"] == first
    assert [order(gate, agent, {"amount": 2}).status_code for _ in range(2)] == [200, 403]
    cli(gate, bob, "approve", first)
    assert order(gate, agent, {"amount": 1}).status_code == 200
    assert len(target.ledger) == 2
