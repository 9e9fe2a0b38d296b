"""P1 and P2 for gRPC: what reached the target was recorded before, each message of each stream; a gateway killed in the middle
of streams leaves no call without an end.
"""

import collections
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from support.gate import until
from support.grpc_gate import GrpcGate
from support.ledger import Ledger, LedgerTarget, new

TIMEOUT_S = 20


def test_each_message_is_recorded_before_it_is_sent(grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    """The target looks into the journal at the moment in which a message arrives."""
    allowed: list[bool] = []

    def behave(requests: Iterator[Any], context: grpc.ServicerContext, seen: Any) -> Iterator[Any]:
        for request in requests:
            entries = grpc_gate.entries()
            arrived = [
                e["call"]
                for e in entries
                if e["kind"] == "arrived" and (e.get("args") or {}).get("text") == request.text
            ]
            allowed.append(any(e["kind"] == "allowed" and e["call"] in arrived for e in entries))
            yield request

    ledger.behave["Chat"] = behave
    with grpc_gate.channel() as channel:
        sent = [new("Event", text=f"p1-{n}") for n in range(10)]
        replies = list(Ledger(channel).chat(iter(sent), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S))
    assert [reply.text for reply in replies] == [event.text for event in sent]
    assert allowed == [True] * 10


def test_each_message_of_an_answer_is_recorded_before_it_leaves(grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    with grpc_gate.channel() as channel:
        events = Ledger(channel).history(
            new("HistoryRequest", count=5), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S
        )
        for event in events:
            recorded = "".join(str(entry.get("body")) for entry in grpc_gate.of("History") if entry["kind"] == "chunk")
            assert event.text in recorded


@pytest.mark.slow
def test_kill_9_in_the_middle_of_streams(make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    gate = make_grpc_gate().start()
    for _ in range(3):
        over = threading.Event()

        def talk(over: threading.Event = over, gate: GrpcGate = gate) -> None:
            def requests() -> Iterator[Any]:
                number = 0
                while not over.is_set():
                    number += 1
                    yield new("Event", number=number, text=f"k-{number}")

            with gate.channel() as channel:
                client, metadata = Ledger(channel), gate.metadata()
                held = client.history(new("HistoryRequest", count=1, hold=True), metadata=metadata, timeout=TIMEOUT_S)
                try:
                    next(held)
                    for _ in client.chat(requests(), metadata=metadata, timeout=TIMEOUT_S):
                        pass
                except grpc.RpcError:
                    return

        before = len(ledger.ledger)
        talkers = [threading.Thread(target=talk) for _ in range(3)]
        for talker in talkers:
            talker.start()
        until(lambda before=before: sum(len(seen.requests) for seen in ledger.ledger[before:]) > 60)  # type: ignore[misc]
        gate.kill()
        over.set()
        for talker in talkers:
            talker.join(TIMEOUT_S)
        ledger.release.set()
        ledger.release = threading.Event()
        gate.start()  # what the crash left open is closed now
    assert gate.stop() == 0
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    recorded: set[str] = set()
    for entry in gate.entries():
        kinds[entry["call"]].append(entry["kind"])
        if entry["kind"] == "arrived" and "text" in (entry.get("args") or {}):
            recorded.add(entry["args"]["text"])
    calls = {call: of for call, of in kinds.items() if call and "arrived" in of}
    assert len(calls) > 60
    assert {call: of for call, of in calls.items() if of.count("arrived") != 1 or of.count("ended") != 1} == {}
    assert any(entry.get("outcome") == "unknown" for entry in gate.entries())
    assert {request.text for seen in ledger.ledger if seen.method == "Chat" for request in seen.requests} <= recorded
