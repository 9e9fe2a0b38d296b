"""P1, P8, P9, P10: a million mutated frames of gRPC over HTTP/2, half from callers, half from a target. No crash, no hang, no
memory growth, nothing forwarded that was not parsed and allowed, nothing handed out that is hidden.

Callers' frames all go through real sockets into a real gateway in front of a real target, whose own ledger is the witness.
A target's go without sockets into what reads them: connection, stream, message, mask; and some over real sockets, from a target
that lies to a real gateway, whose callers have a client of their own.
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.authority import Authority
from support.gate import CANARY as CREDENTIAL
from support.gate import until
from support.grpc_gate import GrpcGate
from support.grpcliar import LyingTarget, told
from support.grpclied import deceived
from support.grpclies import CANARY
from support.grpcnoise import assault
from support.ledger import SERVICE, Ledger, LedgerTarget, descriptors, new

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


LIES = 300_000
HIDDEN = ["id", "note", "text", "name", "email", "notes", "nickname", "raw", "number", "holder"]


@pytest.fixture
def liar() -> Iterator[LyingTarget]:
    running = LyingTarget(31, CREDENTIAL).start()
    yield running
    running.stop()


@pytest.mark.parametrize("many", [4_000, pytest.param(LIES, marks=pytest.mark.slow)])
def test_a_target_that_lies_over_sockets(authority: Authority, liar: LyingTarget, tmp_path: Path, many: int) -> None:
    (tmp_path / "ledger.binpb").write_bytes(descriptors())
    limits = {
        "max_response": "64KiB", "timeout": "5s", "first_byte_timeout": "2s", "idle_timeout": "2s", "stream_timeout": "5s",
        "stream_idle_timeout": "2s",
    }  # fmt: skip
    gate = GrpcGate(
        tmp_path, authority, liar,  # type: ignore[arg-type]
        target={"url": liar.url, "functions": {"descriptors": str(tmp_path / "ledger.binpb")}, "limits": limits},
        masking=[{"functions": ["ledger.*"], "fields": [f"**.{name}" for name in HIDDEN]}],
    )  # fmt: skip
    gate.start()
    try:
        counts, early = lied_to(gate, liar, many // 5), resident(gate)
        counts += lied_to(gate, liar, many * 3 // 5)
        half = resident(gate)
        counts += lied_to(gate, liar, many)
        late = resident(gate)
        liar.honest = True
        liar.hang_up()
        with gate.channel() as channel:  # an honest target is asked as ever
            call = channel.unary_unary(f"/{SERVICE}/Transfer")
            until(lambda: answers(call, gate))
    finally:
        status = gate.stop()
    assert status == 0
    memory = [resident_bytes >> 20 for resident_bytes in (early, half, late)]
    print(f"\nlying target: {dict(liar.counts)}; callers {dict(counts)}; MB {memory}")
    log = gate.log.read_text()
    assert "Traceback" not in log
    assert "bug" not in log
    kept = b"".join(segment.read_bytes() for segment in (gate.data / "journal").glob("*.jsonl"))
    assert not [needle for needle in (CANARY, CREDENTIAL) if needle in log or needle.encode() in kept]
    kinds, _, _ = journal(gate)
    assert kinds
    assert not [name for name in kinds if name.count("arrived") != 1 or name.count("ended") != 1]
    assert counts["OK"] > many // 100
    if many == LIES:
        assert late - half < 16 << 20


def lied_to(gate: GrpcGate, liar: LyingTarget, frames: int) -> Counter[str]:
    """Calls, until the target has sent so many frames in all."""
    token, found = gate.authority.token(), Counter[str]()
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as processes:
        while liar.counts["frames"] < frames:
            calls = min(2_000, (frames - liar.counts["frames"]) // 8 + CALLERS)
            futures = [
                processes.submit(told, gate.calls, token, liar.counts["frames"] + number, calls, CALLERS, CREDENTIAL)
                for number in range(PROCESSES)
            ]
            for future in futures:
                counts, trouble = future.result()
                assert trouble == []
                found += counts
    return found


def answers(call: Any, gate: GrpcGate) -> bool:
    try:
        call(b"", metadata=gate.metadata(), timeout=20)
    except grpc.RpcError:
        return False
    return True
