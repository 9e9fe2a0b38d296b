"""P3 and P5 for gRPC while the world changes: what was allowed or approved in one world does not run in another."""

import shutil
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx

from support.gate import until
from support.grpc_gate import GrpcGate, refused
from support.ledger import PROTO, SERVICE, Ledger, LedgerTarget, new

APPROVAL = {"approvers": ["group:finance"], "expires": "10m"}
HELD = {
    "name": "held", "effect": "require_approval", "functions": [f"ledger.{SERVICE}/*"], "principals": ["group:agents"],
    "approval": APPROVAL,
}  # fmt: skip


def reload(gate: GrpcGate) -> None:
    assert gate.process is not None
    before = len(gate.logged("configuration reloaded"))
    gate.process.send_signal(signal.SIGHUP)
    until(lambda: len(gate.logged("configuration reloaded")) > before)


def test_an_approved_message_that_means_something_else_by_now(
    make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget, tmp_path: Path
) -> None:
    """Two fields change their numbers while a call is held: the same schema, the same bytes, other arguments."""
    proto = tmp_path / "ledger.proto"
    shutil.copy(PROTO, proto)
    gate = make_grpc_gate(
        policies=[HELD], target={"functions": {"proto": [str(proto)]}, "limits": {"max_wait": "20s"}}
    ).start()
    with gate.channel() as channel, ThreadPoolExecutor(1) as callers:
        request = new("HistoryRequest", count=1, fail_after=7)
        call = callers.submit(refused, Ledger(channel).history, request, metadata=gate.metadata(), timeout=30)
        gate.pending()
        text = proto.read_text()
        swapped = text.replace("int32 count = 1;\n  int32 fail_after = 2;", "int32 count = 2;\n  int32 fail_after = 1;")
        assert swapped != text
        proto.write_text(swapped)
        reload(gate)
        gate.decide(gate.pending()["id"])
        code, _, info, _ = call.result(30)
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "approval.expired")
    assert not ledger.ledger


def test_a_message_behind_one_that_is_held(make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    """It was allowed when it came. It is sent minutes later, and the policy that allowed it is gone by then."""

    def words(allowed: str) -> list[dict[str, Any]]:
        of = {"functions": [f"ledger.{SERVICE}/Chat"], "principals": ["group:agents"]}
        return [
            {"name": "words", "effect": "allow", "when": f"args.text != 'hold' && ({allowed})", **of},
            {
                "name": "careful",
                "effect": "require_approval",
                "when": "args.text == 'hold'",
                "approval": APPROVAL,
                **of,
            },
        ]

    gate = make_grpc_gate(policies=words("true"), target={"limits": {"max_wait": "20s"}}).start()
    approved = threading.Event()

    def body() -> Iterator[bytes]:
        yield framed("first")
        yield framed("hold") + framed("after")
        approved.wait(30)

    headers = {str(name): str(value) for name, value in gate.metadata()} | {"content-type": "application/grpc"}
    with httpx.Client(http2=True, http1=False, timeout=30) as http, ThreadPoolExecutor(1) as callers:
        call = callers.submit(http.post, f"{gate.url}/{SERVICE}/Chat", content=body(), headers=headers)
        gate.pending()
        until(lambda: sum(entry["kind"] == "allowed" for entry in gate.of("Chat")) == 2)  # "first" and "after"
        text = gate.file.read_text()
        assert "(true)" in text
        gate.file.write_text(text.replace("(true)", "args.text == 'first'"))
        until(lambda: gate.logged("configuration reloaded"))
        gate.decide(gate.pending()["id"])
        denied = until(lambda: [entry for entry in gate.of("Chat") if entry["kind"] == "denied"])
        approved.set()
        assert call.result(30).status_code == 200
    assert denied[0]["code"] == "policy.denied"
    assert until(lambda: ledger.ledger[0].over)
    assert "after" not in [request.text for request in ledger.ledger[0].requests]
    # P2: each has one end.
    until(lambda: [entry["kind"] for entry in gate.of("Chat")].count("ended") == 3)


def test_masking_that_is_added_in_the_middle_of_a_conversation(
    make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget
) -> None:
    """The answers of an open RPC are masked by the rules that it began with: it takes no message under other rules."""
    gate = make_grpc_gate(masking=[{"functions": [f"ledger.{SERVICE}/Import"], "detect": ["email"]}]).start()
    more = threading.Event()

    def requests() -> Iterator[Any]:
        yield new("Event", text="before@bank.example")
        more.wait(30)
        yield new("Event", text="after@bank.example")

    got: list[str] = []

    def rest(replies: Any) -> None:
        got.extend(reply.text for reply in replies)

    with gate.channel() as channel:
        replies = Ledger(channel).chat(requests(), metadata=gate.metadata(), timeout=30)
        assert next(replies).text == "before@bank.example"
        text = gate.file.read_text()
        assert f"{SERVICE}/Import" in text
        gate.file.write_text(text.replace(f"{SERVICE}/Import", f"{SERVICE}/Chat"))
        until(lambda: gate.logged("configuration reloaded"))
        more.set()
        code, _, info, _ = refused(rest, replies)
    assert got == []
    assert (code, info.reason) == (grpc.StatusCode.DATA_LOSS, "masking.refused")
    assert [request.text for request in ledger.ledger[0].requests] == ["before@bank.example"]


def framed(text: str) -> bytes:
    data = new("Event", text=text).SerializeToString()
    return struct.pack("!BI", 0, len(data)) + bytes(data)
