"""P5 when things break: two gateways on one store, and `kill -9` between the approval and the call."""

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from funcgate.core.entry import Kind
from funcgate.recording.reader import read_entries
from support.authority import Authority
from support.gate import Gate, until
from support.target import Target

POLICY = {
    "name": "orders", "effect": "require_approval", "functions": ["shop.order"], "principals": ["group:agents"],
    "approval": {"approvers": ["group:finance"], "expires": "10m", "max_pending": 0},
}  # fmt: skip


class People:
    """An agent that orders, and Bob who approves, by whichever gateway a test says."""

    def __init__(self, authority: Authority) -> None:
        self._agent = {"authorization": f"Bearer {authority.token('agent-7')}"}
        self._bob = {"authorization": f"Bearer {authority.token('bob', ('finance',))}"}
        self._client = httpx.Client(timeout=30, limits=httpx.Limits(max_connections=80))

    def order(self, gate: Gate, amount: int, wait: int = 0) -> httpx.Response | None:
        """The answer; None when the gateway died on the way."""
        headers = {**self._agent, "prefer": f"wait={wait}"}
        try:
            return self._client.post(f"{gate.url}/shop/orders", json={"amount": amount}, headers=headers)
        except httpx.TransportError:
            return None

    def approve(self, gate: Gate, approval: str) -> None:
        self._client.post(f"http://127.0.0.1:{gate.console}/api/v1/approvals/{approval}/approve", headers=self._bob)

    def pending(self, gate: Gate, amount: int) -> str:
        """The approval of the call that waits, "" if none does."""
        url = f"http://127.0.0.1:{gate.console}/api/v1/approvals?state=pending"
        found: list[dict[str, Any]] = self._client.get(url, headers=self._bob).json()["approvals"]
        return next((str(one["id"]) for one in found if one["args"]["amount"] == amount), "")


@pytest.fixture
def people(authority: Authority) -> People:
    return People(authority)


def test_two_gateways_on_one_store_run_it_once(
    make_gate: Callable[..., Gate], people: People, target: Target, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "policies": [POLICY], "state": str(tmp_path / "shared.db"), "target": {"limits": {"max_wait": "20s"}},
    }  # fmt: skip
    one, other = make_gate(**settings).start(), make_gate(**settings).start()
    with ThreadPoolExecutor(64) as callers:
        waiting = [callers.submit(people.order, gate, 7, 20) for _ in range(32) for gate in (one, other)]
        name = until(lambda: people.pending(other, 7))
        time.sleep(0.5)
        people.approve(other, name)
        answers = [each.result() for each in waiting]
    assert sum(answer is not None and answer.status_code == 200 for answer in answers) == 1
    assert len(target.ledger) == 1
    codes = {answer.json()["code"] for answer in answers if answer is not None and answer.status_code != 200}
    assert codes <= {"approval.used", "approval.pending"}
    # Asked by one, answered at the other, found by both.
    assert people.order(one, 8) is not None
    people.approve(other, people.pending(other, 8))
    answers = [people.order(gate, 8) for gate in (one, other)]
    assert sorted(answer.status_code for answer in answers if answer is not None) == [200, 403]
    assert len(target.ledger) == 2


def kill_around_an_approval(gate: Gate, people: People, amount: int, after_s: float) -> str:
    """Have a call held, approve it, and kill the gateway some time after; its approval."""
    gate.start()
    caller = threading.Thread(target=people.order, args=(gate, amount, 20))
    caller.start()
    name = until(lambda: people.pending(gate, amount))
    killer = threading.Timer(after_s, gate.kill)
    killer.start()
    with contextlib.suppress(httpx.TransportError):
        people.approve(gate, name)
    killer.join()
    caller.join()
    return name


def rounds(make_gate: Callable[..., Gate], people: People, target: Target, count: int) -> None:
    gate = make_gate(policies=[POLICY], target={"limits": {"max_wait": "20s"}})
    dice = random.Random(7)
    for amount in range(count):
        name = kill_around_an_approval(gate, people, amount, dice.uniform(0, 0.03))
        ran = [json.loads(request.body)["amount"] for request in target.ledger].count(amount)
        assert ran <= 1
        gate.start()
        again = people.order(gate, amount)
        assert again is not None
        ran_later = [json.loads(request.body)["amount"] for request in target.ledger].count(amount)
        assert ran_later <= 1, "the same approval let two calls run"
        entries = [entry for entry in read_entries(gate.data / "journal") if entry.approval == name]
        allowed = {entry.call for entry in entries if entry.kind is Kind.ALLOWED}
        # The record says which call ran: nothing reached the target that it does not name, and it names one at most.
        assert len(allowed) <= 1
        assert ran_later <= len(allowed)
        gate.kill()


def test_killed_between_the_approval_and_the_call_it_runs_once_at_most(
    make_gate: Callable[..., Gate], people: People, target: Target
) -> None:
    rounds(make_gate, people, target, 2)


@pytest.mark.slow
def test_killed_so_twenty_times(make_gate: Callable[..., Gate], people: People, target: Target) -> None:
    rounds(make_gate, people, target, 20)
