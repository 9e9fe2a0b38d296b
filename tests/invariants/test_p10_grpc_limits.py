"""P10 for gRPC: each phase of an RPC ends, and nothing of it grows without end."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest

from support.authority import Authority
from support.gate import until
from support.grpc_gate import GrpcGate, refused, said
from support.ledger import SERVICE, Ledger, LedgerTarget, new

TIMEOUT_S = 20


@pytest.fixture(scope="module")
def gate(
    authority: Authority, shared_ledger: LedgerTarget, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GrpcGate]:
    """Everything is short and small."""
    listen = {
        "calls": "127.0.0.1:0", "console": "127.0.0.1:0",
        "limits": {"body_timeout": "1s", "write_timeout": "1s"},
    }  # fmt: skip
    limits = {
        "max_request": "4KiB", "max_response": "64KiB", "timeout": "4s", "first_byte_timeout": "1s", "idle_timeout": "1s",
        "stream_timeout": "4s", "stream_idle_timeout": "1s",
    }  # fmt: skip
    gate = GrpcGate(
        tmp_path_factory.mktemp("gate"), authority, shared_ledger, listen=listen, target={"limits": limits},
        journal={"record": "1MiB"},
    )  # fmt: skip
    gate.start()
    yield gate
    assert gate.stop() == 0


@pytest.fixture
def client(gate: GrpcGate, ledger: LedgerTarget) -> Iterator[Ledger]:
    with gate.channel(("grpc.max_receive_message_length", -1)) as channel:
        yield Ledger(channel)


def hold(ledger: LedgerTarget) -> Callable[..., Any]:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        ledger.release.wait(30)
        return new("TransferReply")

    return behave


def test_a_caller_that_sends_its_message_byte_by_byte(gate: GrpcGate, ledger: LedgerTarget) -> None:
    def slowly() -> Iterator[bytes]:
        yield b"\x00\x00\x00\x01\x00"
        for _ in range(20):
            time.sleep(0.1)
            yield b"\x00"

    headers = {str(name): str(value) for name, value in gate.metadata()} | {"content-type": "application/grpc"}
    with httpx.Client(http2=True, http1=False, timeout=20) as http:
        reply = http.post(f"{gate.url}/{SERVICE}/Transfer", content=slowly(), headers=headers)
    assert reply.headers["grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
    assert not ledger.ledger


def test_a_target_that_says_nothing(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    ledger.behave["Transfer"] = hold(ledger)
    code, _, info, _ = refused(client.transfer, new("TransferRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "target.timeout")
    assert until(lambda: ledger.ledger[0].over)


def test_a_stream_that_falls_silent(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    request = new("HistoryRequest", count=1, hold=True)
    events = client.history(request, metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert next(events).number == 0
    code, _, info, _ = refused(lambda: list(events))
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "target.timeout")
    assert until(lambda: ledger.ledger[0].over)


@pytest.mark.slow
def test_a_conversation_that_does_not_end(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    """The time for the whole RPC, however busy it is."""

    def requests() -> Iterator[Any]:
        end = time.monotonic() + TIMEOUT_S
        while time.monotonic() < end:
            yield new("Event", text="still here")
            time.sleep(0.2)

    replies = client.chat(requests(), metadata=gate.metadata(), timeout=TIMEOUT_S)
    code, _, info, _ = refused(lambda: list(replies))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert info.reason in ("target.timeout", "")  # the target knows the deadline, and may say it first
    assert until(lambda: ledger.ledger[0].over)


def test_a_caller_that_does_not_read(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    sent = []

    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Iterator[Any]:
        while context.is_active():
            sent.append(1)
            yield new("Event", text="x" * 30_000)

    ledger.behave["History"] = behave
    headers = {str(name): str(value) for name, value in gate.metadata()} | {"content-type": "application/grpc"}
    with (
        httpx.Client(http2=True, http1=False, timeout=20) as http,
        http.stream("POST", f"{gate.url}/{SERVICE}/History", content=b"\x00" * 5, headers=headers) as reply,
    ):
        assert reply.status_code == 200
        assert until(lambda: ledger.ledger and ledger.ledger[0].over)  # cut off, and at the target too
    assert len(sent) * 30_000 < 64 << 20  # nothing piled up


def test_a_message_of_the_target_that_is_too_large(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    ledger.behave["Transfer"] = lambda request, context, seen: new("TransferReply", note="x" * 70_000)
    code, _, info, _ = refused(client.transfer, new("TransferRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert (code, info.reason) == (grpc.StatusCode.DATA_LOSS, "masking.refused")


def test_a_message_of_the_caller_that_is_too_large(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    for request in (new("TransferRequest", note="x" * 5_000), new("TransferRequest", note="x" * 500_000)):
        code, _, info, _ = refused(client.transfer, request, metadata=gate.metadata(), timeout=TIMEOUT_S)
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "request.too_large")
    assert not ledger.ledger


def test_a_later_message_that_is_too_large(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    sent = [new("Event", text="small"), new("Event", text="x" * 5_000)]
    code, _, info, _ = refused(client.import_, iter(sent), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "request.too_large")
    until(lambda: all(seen.over for seen in ledger.ledger))
    assert {request.text for seen in ledger.ledger for request in seen.requests} <= {"small"}


def test_a_stream_that_is_more_than_may_be_recorded(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Iterator[Any]:
        for number in range(100):
            yield new("Event", number=number, text="x" * 30_000)

    ledger.behave["History"] = behave
    events = client.history(new("HistoryRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S)
    got = []
    with pytest.raises(grpc.RpcError) as caught:
        got.extend(event.number for event in events)
    code, _, info, _ = said(caught.value)
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "journal.too_large")
    assert until(lambda: ledger.ledger[0].over)
    ended = until(lambda: [entry for entry in gate.of("History") if entry.get("code") == "journal.too_large"])
    assert ended
