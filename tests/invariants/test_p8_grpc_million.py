"""P1, P8, P9, P10: a million mutated frames of gRPC over HTTP/2, half from callers, half from a target. No crash, no hang, no
memory growth, nothing forwarded that was not parsed and allowed, nothing handed out that is hidden.

Callers' frames all go through real sockets into a real gateway in front of a real target, whose own ledger is the witness.
A target's go without sockets into what reads them: connection, stream, message, mask.
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.gate import until
from support.grpc_gate import GrpcGate
from support.grpclied import CANARY, deceived
from support.grpcnoise import assault
from support.ledger import SERVICE, Ledger, LedgerTarget, new

MANY = 500_000
PROCESSES, CALLERS = 2, 8
TALKING = [f"ledger.{SERVICE}/Chat", f"ledger.{SERVICE}/Import"]
POLICIES: list[dict[str, Any]] = [
    {"name": "all", "effect": "allow", "functions": ["ledger.*"], "principals": ["group:agents"]},
    {
        "name": "polite", "effect": "deny", "functions": TALKING, "principals": ["*"],
        "when": "'text' in args && args.text == 'rude'",
    },
]  # fmt: skip


@pytest.mark.parametrize("many", [5_000, pytest.param(MANY, marks=pytest.mark.slow)])
def test_half_a_million_from_callers(make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget, many: int) -> None:
    limits = {"max_request": "64KiB", "timeout": "10s", "stream_timeout": "20s", "stream_idle_timeout": "10s"}
    listen = {
        "calls": "127.0.0.1:0", "console": "127.0.0.1:0", "limits": {"header_timeout": "1s", "body_timeout": "2s"},
    }  # fmt: skip
    gate = make_grpc_gate(target={"limits": limits}, listen=listen, policies=POLICIES).start()
    counts = assaulted(gate, many // 10, 0)
    early = resident(gate)
    counts += assaulted(gate, many * 45 // 100, 1)
    half = resident(gate)
    counts += assaulted(gate, many * 45 // 100, 2)
    late = resident(gate)
    assert counts["frames"] >= many
    with gate.channel() as channel:  # an honest caller is served as ever
        reply = Ledger(channel).transfer(new("TransferRequest", amount=3), metadata=gate.metadata(), timeout=20)
        assert reply.id == "t-3"
    until(lambda: all(seen.over for seen in ledger.ledger))
    assert gate.stop() == 0
    assert "Traceback" not in gate.log.read_text()
    assert "bug" not in gate.log.read_text()
    reached = Counter(key(seen.method, shown(request)) for seen in ledger.ledger for request in seen.requests)
    kinds, allowed, rude = journal(gate)
    memory = [resident_bytes >> 20 for resident_bytes in (early, half, late)]
    print(f"\ncallers: {dict(counts)}; calls {sum(kinds.values())}, reached {reached.total()}, MB {memory}")
    print(f"calls by what became of them: {dict(kinds)}")
    assert reached.total() > many // 200
    assert not rude
    assert reached - allowed == Counter()  # each message that reached the target was allowed as it arrived there
    assert not [name for name in kinds if "ended" not in name and "allowed" in name]
    if many == MANY:
        assert late - half < 16 << 20


def shown(request: Any) -> dict[str, Any]:
    """The fields as a policy sees them; a PIN, which the journal hides, as the journal has it."""
    return {field.name: getattr(request, field.name) for field in request.DESCRIPTOR.fields if field.name != "pin"}


def key(method: str, args: dict[str, Any]) -> str:
    """One spelling for the target and the journal, which hides a number that may be a card's."""
    said = [(name, "a card?" if name == "amount" and _long(value) else value) for name, value in sorted(args.items())]
    return f"{method} {said}"


def _long(value: Any) -> bool:
    return isinstance(value, str) or 12 <= len(str(abs(value))) <= 19


def journal(gate: GrpcGate) -> tuple[Counter[str], Counter[str], list[str]]:
    """Calls by their kinds of entries; the arguments of those that were allowed; the rude ones among these."""
    kinds: dict[str, list[str]] = {}
    args: dict[str, str] = {}
    rude: list[str] = []
    for entry in gate.entries():
        call, kind = entry["call"], entry["kind"]
        if not call:
            continue
        if kind != "chunk":
            kinds.setdefault(call, []).append(kind)
        if kind == "arrived":
            args[call] = key(
                entry["function"].rpartition("/")[2], {k: v for k, v in entry["args"].items() if k != "pin"}
            )
            if entry["args"].get("text") == "rude":
                rude.append(call)
    found = [call for call, of in kinds.items() if "allowed" in of]
    return (
        Counter("+".join(of) for of in kinds.values()),
        Counter(args[call] for call in found),
        [c for c in rude if c in found],
    )


def assaulted(gate: GrpcGate, frames: int, seed: int) -> Counter[str]:
    token, each = gate.authority.token(), -(-frames // PROCESSES // CALLERS)
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as processes:
        futures = [
            processes.submit(assault, gate.calls, token, PROCESSES * seed + number, each, CALLERS)
            for number in range(PROCESSES)
        ]
        found = [future.result() for future in futures]
    assert [trouble for _, troubles in found for trouble in troubles] == []
    return sum((counts for counts, _ in found), Counter())


def resident(gate: GrpcGate) -> int:
    assert gate.process is not None
    return int(Path(f"/proc/{gate.process.pid}/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("many", [10_000, pytest.param(MANY, marks=pytest.mark.slow)])
def test_half_a_million_from_a_target(many: int) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes:
        found = list(processes.map(deceived, (many, many + 1), (many // 2 + 1,) * 2))
    for counts, trouble, early, late in found:
        print(f"\ntarget: {dict(counts)}; MB {early >> 20} {late >> 20}")
        assert trouble == []
        assert late - early < 16 << 20
        assert counts["delivered"] > many // 200
    assert sum(counts["frames"] for counts, *_ in found) >= many


def test_a_value_that_is_not_hidden_is_noticed() -> None:
    assert deceived(1, 2_000, hide=False)[1]
    assert CANARY
