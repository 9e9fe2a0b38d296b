"""gRPC calls that wait for a person, within the caller's deadline."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from support import forked
from support.authority import Authority
from support.gate import until
from support.grpc_gate import GrpcGate, refused
from support.ledger import SERVICE, Ledger, LedgerTarget, new

APPROVAL = {"approvers": ["group:finance"], "expires": "10m"}
POLICIES = [
    {
        "name": "big ones", "effect": "require_approval", "functions": [f"ledger.{SERVICE}/Transfer"],
        "principals": ["group:agents"], "approval": APPROVAL,
    },
    {
        "name": "words", "effect": "allow", "functions": [f"ledger.{SERVICE}/Chat"], "principals": ["group:agents"],
        "when": "args.text != 'hold'",
    },
    {
        "name": "careful words", "effect": "require_approval", "functions": [f"ledger.{SERVICE}/Chat"],
        "principals": ["group:agents"], "when": "args.text == 'hold'", "approval": APPROVAL,
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def whole_gate(
    authority: Authority, shared_ledger: LedgerTarget, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GrpcGate]:
    running = GrpcGate(
        tmp_path_factory.mktemp("gate"), authority, shared_ledger, policies=POLICIES,
        target={"limits": {"max_wait": "20s"}}, approval_url="https://gate.example/a",
    )  # fmt: skip
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def gate(whole_gate: GrpcGate) -> GrpcGate:
    whole_gate.begin()
    return whole_gate


@pytest.fixture
def client(gate: GrpcGate) -> Iterator[Ledger]:
    with gate.channel() as channel:
        yield Ledger(channel)


def cli(gate: GrpcGate, *command: str) -> str:
    token = gate.authority.token("bob", ("finance",))
    where = ["--url", f"http://127.0.0.1:{gate.console}", "--token", token]
    done = forked.run("approvals", *command, *where)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_call_is_held_and_runs_once_approved(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    with ThreadPoolExecutor(1) as callers:
        request = new("TransferRequest", amount=9000, note="big", pin="pin-of-hers")
        call = callers.submit(client.transfer, request, metadata=gate.metadata(("x-why", "rent")), timeout=30)
        approval = gate.pending()
        assert not ledger.ledger
        shown = cli(gate, "show", approval["id"])
        assert "9000" in shown
        assert "pin-of-hers" not in shown  # what the description marks
        assert "x-why: rent" in shown
        gate.decide(approval["id"])
        assert call.result(30).id == "t-9000"
    assert len(ledger.ledger) == 1
    assert gate.kinds("Transfer") == ["arrived", "asked", "answered", "allowed", "chunk", "ended"] or until(
        lambda: gate.kinds("Transfer") == ["arrived", "asked", "answered", "allowed", "chunk", "ended"]
    )


def test_the_deadline_comes_first(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    """The caller is told in time what to do, and joins the approval when it sends the same call again."""
    request = new("TransferRequest", amount=9001)
    code, text, info, retry = refused(client.transfer, request, metadata=gate.metadata(), timeout=3)
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "approval.pending")
    assert retry is not None
    assert retry.retry_delay.seconds > 0
    approval = gate.pending()
    assert info.metadata["approval_id"] == approval["id"]
    assert info.metadata["approval_url"] == f"https://gate.example/a/{approval['id']}"
    assert "group:finance" in text
    gate.decide(approval["id"])
    assert client.transfer(request, metadata=gate.metadata(), timeout=30).id == "t-9001"
    # It is told a third of the time, at most a second, before the deadline: of a short one a busy machine leaves nothing.
    code, _, info, _ = refused(client.transfer, request, metadata=gate.metadata(), timeout=3)
    assert (code, info.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "approval.pending",
    )  # another one needs another yes
    assert len(ledger.ledger) == 1


def test_no_wait(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    request = new("TransferRequest", amount=9002)
    code, _, info, _ = refused(client.transfer, request, metadata=gate.metadata(("prefer", "wait=0")), timeout=30)
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "approval.pending")


def test_a_rejected_call(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    with ThreadPoolExecutor(1) as callers:
        call = callers.submit(refused, client.transfer, new("TransferRequest"), metadata=gate.metadata(), timeout=30)
        gate.decide(gate.pending()["id"], "reject")
        code, _, info, _ = call.result(30)
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "approval.rejected")
    assert not ledger.ledger


def test_metadata_are_part_of_what_was_approved(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    """Attack: have a call approved, and send it with a field more that changes what the target does."""
    request = new("TransferRequest", amount=9003)
    refused(client.transfer, request, metadata=gate.metadata(("prefer", "wait=0")), timeout=30)
    gate.decide(gate.pending()["id"])
    other = gate.metadata(("prefer", "wait=0"), ("x-tenant", "other"))
    *_, info, _ = refused(client.transfer, request, metadata=other, timeout=30)
    assert info.reason == "approval.pending"
    assert not ledger.ledger


def test_a_message_in_a_conversation_is_held(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    said = threading.Event()

    def requests() -> Iterator[Any]:
        yield new("Event", text="first")
        yield new("Event", text="hold")
        said.wait(30)

    replies = client.chat(requests(), metadata=gate.metadata(), timeout=30)
    assert next(replies).text == "first"
    approval = gate.pending()
    assert [request.text for request in ledger.ledger[0].requests] == ["first"]
    gate.decide(approval["id"])
    assert next(replies).text == "hold"
    said.set()
    assert list(replies) == []


def test_a_caller_that_goes_away_while_it_is_held(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    future = client.transfer.future(new("TransferRequest", amount=9004), metadata=gate.metadata(), timeout=30)
    gate.pending()
    future.cancel()
    ended = until(lambda: [entry for entry in gate.of("Transfer") if entry["kind"] == "ended"])
    assert ended[0]["outcome"] == "cancelled"
    assert not ledger.ledger
