"""gRPC's own Python client through the gateway: all kinds of calls, metadata, deadlines, cancelling, compression, size."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from support.gate import CANARY, until
from support.grpc_gate import GrpcGate, refused
from support.ledger import Ledger, LedgerTarget, new

TIMEOUT_S = 15


@pytest.fixture(scope="module")
def channel(grpc_gate: GrpcGate) -> Iterator[grpc.Channel]:
    large = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc_gate.channel(*large) as channel:
        yield channel


@pytest.fixture
def client(channel: grpc.Channel, ledger: LedgerTarget) -> Ledger:
    return Ledger(channel)


def test_a_unary_call(client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    request = new("TransferRequest", account="a-1", amount=5, note="for rent")
    reply, call = client.transfer.with_call(request, metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    assert (reply.id, reply.note) == ("t-5", "for rent")
    assert call.code() is grpc.StatusCode.OK
    head = dict(call.initial_metadata())
    assert len(head["funcgate-call-id"]) == 26
    assert head["server-timing"].startswith("funcgate;dur=")
    (seen,) = ledger.ledger
    assert seen.requests == [request]
    assert seen.header("funcgate-call-id") == head["funcgate-call-id"]
    assert seen.header("authorization") == f"Bearer {CANARY}"  # the target's credential, not the caller's token


def test_a_call_is_recorded(client: Ledger, grpc_gate: GrpcGate) -> None:
    note = "recorded once"
    client.transfer(new("TransferRequest", amount=7, note=note), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    arrived = next(e for e in until(lambda: grpc_gate.of("Transfer")) if e.get("args", {}).get("note") == note)
    entries = until(lambda: [e for e in grpc_gate.entries() if e["call"] == arrived["call"]][3:] and True) and [
        e for e in grpc_gate.entries() if e["call"] == arrived["call"]
    ]
    assert [e["kind"] for e in entries] == ["arrived", "allowed", "chunk", "ended"]
    assert entries[0]["function"] == "ledger.bank.v1.Ledger/Transfer"
    assert entries[0]["args"]["amount"] == 7
    assert entries[2]["body"] == {"id": "t-7", "note": note}
    assert (entries[3]["outcome"], entries[3]["status"]) == ("complete", 200)


def test_a_stream_from_the_target(client: Ledger, grpc_gate: GrpcGate) -> None:
    events = client.history(new("HistoryRequest", count=50), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    assert [event.number for event in events] == list(range(50))
    assert events.code() is grpc.StatusCode.OK


def test_each_message_of_a_stream_comes_as_it_is_sent(client: Ledger, grpc_gate: GrpcGate) -> None:
    """The target holds the RPC open: what it sent before must be there all the same."""
    events = client.history(new("HistoryRequest", count=2, hold=True), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    assert [next(events).number, next(events).number] == [0, 1]
    events.cancel()


def test_a_stream_from_the_caller(client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    sent = [new("Event", number=n, text=f"t{n}") for n in range(20)]
    reply = client.import_(iter(sent), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    assert (reply.count, reply.text) == (20, ",".join(f"t{n}" for n in range(20)))
    assert ledger.ledger[0].requests == sent


def test_a_stream_from_the_caller_without_any_message(client: Ledger, grpc_gate: GrpcGate) -> None:
    reply = client.import_(iter([]), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    assert reply.count == 0


def test_a_conversation(client: Ledger, grpc_gate: GrpcGate) -> None:
    """Each message is sent only once the answer to the one before it is there."""
    answered = threading.Semaphore(1)

    def requests() -> Iterator[Any]:
        for number in range(10):
            assert answered.acquire(timeout=TIMEOUT_S)
            yield new("Event", number=number)

    got = []
    for event in client.chat(requests(), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S):
        got.append(event.number)
        answered.release()
    assert got == list(range(1, 11))


def test_each_message_of_a_conversation_is_a_call_of_its_own(client: Ledger, grpc_gate: GrpcGate) -> None:
    texts = [f"said-{n}" for n in range(3)]
    replies = client.chat(
        iter([new("Event", text=text) for text in texts]), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S
    )
    assert [event.text for event in replies] == texts
    mine = [e["call"] for e in grpc_gate.of("Chat") if e["kind"] == "arrived" and e["args"].get("text") in texts]
    assert len(set(mine)) == 3
    for call in mine:
        entries = until(
            lambda call=call: [e for e in grpc_gate.entries() if e["call"] == call and e["kind"] == "ended"]
        )
        assert entries[0]["outcome"] == "complete"


def test_metadata_cross_in_both_directions(client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        context.send_initial_metadata([("x-head", "1"), ("x-head-bin", b"\x00\x01\xfe")])
        context.set_trailing_metadata([("x-tail", "2"), ("x-tail-bin", b"\xff\x00")])
        return new("TransferReply")

    ledger.behave["Transfer"] = behave
    sent = grpc_gate.metadata(("x-word", "a b"), ("x-twice", "1"), ("x-twice", "2"), ("x-raw-bin", b"\x00\xff\x80"))
    _, call = client.transfer.with_call(new("TransferRequest"), metadata=sent, timeout=TIMEOUT_S)
    (seen,) = ledger.ledger
    assert seen.header("x-word") == "a b"
    assert seen.header("x-raw-bin") == b"\x00\xff\x80"
    assert [value for key, value in seen.metadata if key == "x-twice"] == ["1", "2"]
    assert not [key for key, _ in seen.metadata if key.startswith("funcgate-") and key != "funcgate-call-id"]
    head, tail = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert (head["x-head"], head["x-head-bin"]) == ("1", b"\x00\x01\xfe")
    assert (tail["x-tail"], tail["x-tail-bin"]) == ("2", b"\xff\x00")


def test_an_error_of_the_target(client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        context.set_trailing_metadata([("x-why", "because")])
        context.abort(grpc.StatusCode.NOT_FOUND, "no such account: 100 % certain – ünïcode")

    ledger.behave["Transfer"] = behave
    with pytest.raises(grpc.RpcError) as caught:
        client.transfer(new("TransferRequest"), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "no such account: 100 % certain – ünïcode"
    assert dict(error.trailing_metadata())["x-why"] == "because"


def test_an_error_in_the_middle_of_a_stream(client: Ledger, grpc_gate: GrpcGate) -> None:
    request = new("HistoryRequest", count=9, fail_after=3)
    events = client.history(request, metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    got = []
    with pytest.raises(grpc.RpcError) as caught:
        got.extend(event.number for event in events)
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.OUT_OF_RANGE, "no more of them")


def test_the_deadline_goes_along(client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    client.transfer(new("TransferRequest"), metadata=grpc_gate.metadata(), timeout=9)
    assert ledger.ledger[0].left_s is not None
    assert 5 < ledger.ledger[0].left_s <= 9.5


def test_the_targets_own_limit_goes_along(client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    """The target's `timeout` is 20 s; a caller without a deadline does not have more."""
    client.transfer(new("TransferRequest"), metadata=grpc_gate.metadata())
    assert ledger.ledger[0].left_s is not None
    assert 10 < ledger.ledger[0].left_s <= 20.5


def test_a_deadline_passes(client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        ledger.release.wait(20)
        return new("TransferReply")

    ledger.behave["Transfer"] = behave
    code, *_ = refused(client.transfer, new("TransferRequest"), metadata=grpc_gate.metadata(), timeout=2)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert until(lambda: ledger.ledger and ledger.ledger[0].over)  # at the target, too


def test_a_caller_cancels(client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    events = client.history(new("HistoryRequest", count=1, hold=True), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    next(events)
    events.cancel()
    assert until(lambda: ledger.ledger[0].over)
    assert not ledger.ledger[0].answered
    call = [entry["call"] for entry in grpc_gate.of("History") if entry["kind"] == "arrived"][-1]
    ended = until(lambda: [e for e in grpc_gate.entries() if e["call"] == call and e["kind"] == "ended"])
    assert ended[0]["outcome"] == "cancelled"


def test_a_caller_cancels_while_it_waits_for_the_only_answer(
    client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget
) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        ledger.release.wait(20)
        return new("TransferReply")

    ledger.behave["Transfer"] = behave
    future = client.transfer.future(new("TransferRequest"), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    until(lambda: ledger.ledger)
    future.cancel()
    assert until(lambda: ledger.ledger[0].over)


def test_the_target_ends_a_conversation_first(client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    def behave(requests: Any, context: grpc.ServicerContext, seen: Any) -> Iterator[Any]:
        yield new("Event", number=next(requests).number)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")

    ledger.behave["Chat"] = behave
    more = threading.Event()

    def requests() -> Iterator[Any]:
        yield new("Event", number=1)
        more.wait(TIMEOUT_S)

    replies = client.chat(requests(), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    assert next(replies).number == 1
    code, text, *_ = refused(lambda: list(replies))
    more.set()
    assert (code, text) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


@pytest.mark.parametrize("coding", [grpc.Compression.Gzip, grpc.Compression.Deflate], ids=["gzip", "deflate"])
def test_compressed_messages_of_the_caller(
    client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget, coding: grpc.Compression
) -> None:
    note = "a" * 50_000
    reply = client.transfer(
        new("TransferRequest", note=note), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S, compression=coding
    )
    assert reply.note == note
    assert ledger.ledger[0].requests[0].note == note


@pytest.mark.parametrize("coding", [grpc.Compression.Gzip, grpc.Compression.Deflate], ids=["gzip", "deflate"])
def test_compressed_messages_of_the_target(
    client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget, coding: grpc.Compression
) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        context.set_compression(coding)
        return new("TransferReply", note="b" * 50_000)

    ledger.behave["Transfer"] = behave
    reply = client.transfer(new("TransferRequest"), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    assert reply.note == "b" * 50_000


def test_large_messages(client: Ledger, grpc_gate: GrpcGate) -> None:
    note = "0123456789abcdef" * (5 << 16)  # 5 MiB in each direction
    reply = client.transfer(new("TransferRequest", note=note), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
    assert reply.note == note


def test_a_message_that_is_too_large(client: Ledger, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    note = "x" * (9 << 20)
    code, _, info, _ = refused(
        client.transfer, new("TransferRequest", note=note), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S
    )
    assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "request.too_large")
    assert not ledger.ledger


def test_many_calls_at_once_on_one_connection(client: Ledger, grpc_gate: GrpcGate) -> None:
    metadata = grpc_gate.metadata()
    futures = [
        client.transfer.future(new("TransferRequest", amount=n), metadata=metadata, timeout=TIMEOUT_S)
        for n in range(200)
    ]
    assert [future.result().id for future in futures] == [f"t-{n}" for n in range(200)]


def test_keep_alive_pings(grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    options = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.keepalive_timeout_ms", 2000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with grpc_gate.channel(*options) as channel:
        client = Ledger(channel)
        request = new("HistoryRequest", count=1, hold=True)
        events = client.history(request, metadata=grpc_gate.metadata(), timeout=TIMEOUT_S)
        assert next(events).number == 0
        threading.Timer(1.0, ledger.release.set).start()
        assert list(events) == []  # the pings in between ended nothing


def test_asyncio(grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    async def run() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_gate.calls}") as channel:
            client, metadata = Ledger(channel), grpc_gate.metadata()
            assert (
                await client.transfer(new("TransferRequest", amount=3), metadata=metadata, timeout=TIMEOUT_S)
            ).id == "t-3"
            events = client.history(new("HistoryRequest", count=5), metadata=metadata, timeout=TIMEOUT_S)
            assert [event.number async for event in events] == [0, 1, 2, 3, 4]
            chat = client.chat(metadata=metadata, timeout=TIMEOUT_S)
            for number in range(3):
                await chat.write(new("Event", number=number))
                assert (await chat.read()).number == number + 1
            await chat.done_writing()
            assert await chat.read() is grpc.aio.EOF
            importing = client.import_(metadata=metadata, timeout=TIMEOUT_S)
            for number in range(3):
                await importing.write(new("Event", number=number))
            await importing.done_writing()
            assert (await importing).count == 3
            # Cancelled from the caller's side, as asyncio does it.
            held = client.history(new("HistoryRequest", count=0, hold=True), metadata=metadata, timeout=TIMEOUT_S)
            reading = asyncio.ensure_future(held.read())
            await asyncio.get_running_loop().run_in_executor(None, until, lambda: ledger.ledger[-1].method == "History")
            reading.cancel()
            held.cancel()

    asyncio.run(run())
    assert until(lambda: ledger.ledger[-1].over)
