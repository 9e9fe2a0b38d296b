"""P1, P8 and P9 for gRPC: callers that write their streams as no client would. What the target gets was allowed, in its order."""

import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.gate import until
from support.grpc_gate import GrpcGate
from support.h2frames import DATA, END_STREAM, Fields, frame, rst
from support.h2raw import H2Caller
from support.ledger import SERVICE, LedgerTarget, new

DENIED = "not this one"
POLICIES = [
    {
        "name": "words", "effect": "allow", "functions": [f"ledger.{SERVICE}/*"], "principals": ["group:agents"],
        "when": f"!has(args.text) || args.text != '{DENIED}'",
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def gate(authority: Any, shared_ledger: LedgerTarget, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcGate]:
    limits = {"timeout": "20s", "max_request": "64KiB"}
    gate = GrpcGate(
        tmp_path_factory.mktemp("callers"), authority, shared_ledger, policies=POLICIES, target={"limits": limits}
    )
    gate.start()
    yield gate
    assert gate.stop() == 0


def head(gate: GrpcGate, method: str, *more: tuple[bytes, bytes], path: bytes = b"", media: bytes = b"") -> Fields:
    known = [(str(name).encode(), str(value).encode()) for name, value in gate.metadata()]
    return [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path or f"/{SERVICE}/{method}".encode()),
        (b":authority", b"gate"), (b"content-type", media or b"application/grpc"), (b"te", b"trailers"), *known, *more,
    ]  # fmt: skip


def framed(text: str, flags: int = 0) -> bytes:
    data = bytes(new("Event", text=text).SerializeToString())
    return struct.pack("!BI", flags, len(data)) + data


def status(caller: H2Caller, stream: int) -> str:
    caller.answer(stream)
    fields = {name: value for fields in caller.heads[stream] for name, value in fields}
    return fields.get(b"grpc-status", b":" + fields[b":status"]).decode()


@pytest.mark.parametrize("method", ["Import", "Chat", "Transfer"])
def test_a_stream_split_at_every_byte(gate: GrpcGate, ledger: LedgerTarget, method: str) -> None:
    texts = ["one", "", "three"] if method != "Transfer" else ["one"]
    body = b"".join(map(framed, texts)) if method != "Transfer" else struct.pack("!BI", 0, 2) + b"\x10\x05"
    with H2Caller(gate.calls) as caller:
        caller.ask(1, head(gate, method), end=False)
        caller.send(b"".join(frame(DATA, 0, 1, body[at : at + 1]) for at in range(len(body))))
        caller.send(frame(DATA, END_STREAM, 1))
        assert status(caller, 1) == "0"
    if method != "Transfer":
        assert [request.text for request in ledger.ledger[0].requests] == texts


def test_a_denied_message_among_many(gate: GrpcGate, ledger: LedgerTarget) -> None:
    """All in one frame: those before it may have been sent, it and those behind it never are."""
    for at in range(20):
        texts = [f"m-{number}" for number in range(20)]
        texts[at] = DENIED
        with H2Caller(gate.calls) as caller:
            caller.ask(1, head(gate, "Import"), b"".join(map(framed, texts)))
            assert status(caller, 1) == "7"
    assert until(lambda: all(seen.over for seen in ledger.ledger))
    for seen in ledger.ledger:
        got = [request.text for request in seen.requests]
        assert got == [f"m-{number}" for number in range(len(got))]
    assert len(ledger.ledger) <= 19
    entries = gate.of("Import")
    arrived = {entry["call"] for entry in entries if entry["kind"] == "arrived"}
    ended = [entry["call"] for entry in entries if entry["kind"] == "ended"]
    assert until(lambda: arrived <= {e["call"] for e in gate.of("Import") if e["kind"] == "ended"})
    assert len(ended) == len(set(ended))


def test_streams_cut_anywhere(gate: GrpcGate, ledger: LedgerTarget) -> None:
    """Random cuts, resets and nonsense: whatever reached the target is recorded as allowed, in its order."""
    dice = random.Random(5)
    sent: dict[str, int] = {}
    for round_ in range(40):
        texts = [f"r-{round_}-{number}" for number in range(dice.randrange(1, 30))]
        body = b"".join(map(framed, texts))
        with H2Caller(gate.calls) as caller:
            caller.ask(1, head(gate, dice.choice(["Import", "Chat"])), end=False)
            cut = dice.choice([len(body), dice.randrange(len(body) + 1)])
            at = 0
            while at < cut:
                size = min(dice.choice([1, 7, 50, 400]), cut - at)
                caller.send(frame(DATA, 0, 1, body[at : at + size]))
                at += size
            end = dice.choice(["end", "reset", "gone", "nonsense"])
            if end == "end":
                caller.send(frame(DATA, END_STREAM, 1))
                assert (status(caller, 1) == "0") is (cut == len(body)) or cut != len(body)
            elif end == "reset":
                caller.send(rst(1))
            elif end == "nonsense":
                caller.send(frame(DATA, END_STREAM, 1, b"\x07\xff\xff\xff\xff" * 3))
                status(caller, 1)
        sent |= {text: at for at, text in enumerate(texts)}
    until(lambda: _open(gate) == set())
    assert until(lambda: all(seen.over for seen in ledger.ledger))
    reached = [[request.text for request in seen.requests] for seen in ledger.ledger]
    entries = gate.entries()
    allowed = {entry["call"] for entry in entries if entry["kind"] == "allowed"}
    texts_allowed = {
        entry["args"].get("text") for entry in entries if entry["kind"] == "arrived" and entry["call"] in allowed
    }
    for got in reached:
        assert set(got) <= texts_allowed
        assert [sent[text] for text in got] == list(range(len(got)))


def _open(gate: GrpcGate) -> set[str]:
    entries = gate.entries()
    of: Callable[[str], set[str]] = lambda kind: {entry["call"] for entry in entries if entry["kind"] == kind}  # noqa: E731
    return of("arrived") - of("ended")


PATHS = [
    b"//bank.v1.Ledger/Transfer", b"/bank.v1.Ledger//Transfer", b"/bank.v1.Ledger/Transfer/", b"/bank.v1.Ledger%2FTransfer",
    b"/bank.v1.Ledger/%54ransfer", b"/BANK.v1.Ledger/Transfer", b"/bank.v1.Ledger/transfer", b"/bank.v1.Ledger/Transfer?x",
    b"/bank.v1.Ledger/Transfer#x", b"/x/../bank.v1.Ledger/Transfer", b"/bank.v1.Ledger/Transfer;x", b"*", b"/",
    b"http://gate/bank.v1.Ledger/Transfer", b"/ledger/bank.v1.Ledger/Transfer", b"/ledger.bank.v1.Ledger/Transfer",
    b"/bank.v1.Ledger/Transfer ", b"/.bank.v1.Ledger/Transfer", b"bank.v1.Ledger/Transfer", b"/bank.v1.Ledger\\Transfer",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=[path.decode() for path in PATHS])
def test_paths_that_are_nearly_a_method(gate: GrpcGate, ledger: LedgerTarget, path: bytes) -> None:
    with H2Caller(gate.calls) as caller:
        caller.ask(1, head(gate, "", path=path), b"\x00\x00\x00\x00\x00")
        assert status(caller, 1) not in ("0", ":200")
    assert not ledger.ledger


MEDIA = [
    b"application/grpc+json", b"application/grpc-web+json", b"application/grpc+proto2", b"application/grpcx",
    b"application/grpc/x", b"Application/Grpc", b"application/grpc, application/json", b"application/json, application/grpc",
    b"application/grpc-web-texts", b"application/grpc-webx", b"application/grpc+", b"application/x-protobuf",
]  # fmt: skip


@pytest.mark.parametrize("media", MEDIA, ids=[media.decode() for media in MEDIA])
def test_content_that_is_nearly_grpc(gate: GrpcGate, ledger: LedgerTarget, media: bytes) -> None:
    with H2Caller(gate.calls) as caller:
        caller.ask(1, head(gate, "Transfer", media=media), b"\x00\x00\x00\x00\x00")
        assert status(caller, 1) not in ("0", ":200")
    assert not ledger.ledger


MORE: dict[str, list[tuple[bytes, bytes]]] = {
    "two targets": [(b"funcgate-target", b"ledger")],
    "two kinds of content": [(b"content-type", b"application/grpc")],
    "two tokens": [(b"authorization", b"Bearer x")],
    "two deadlines": [(b"grpc-timeout", b"1S"), (b"grpc-timeout", b"2S")],
    "two codings": [(b"grpc-encoding", b"identity"), (b"grpc-encoding", b"gzip")],
    "a deadline without a unit": [(b"grpc-timeout", b"5")],
    "a deadline below nothing": [(b"grpc-timeout", b"-5S")],
    "a deadline of nine digits": [(b"grpc-timeout", b"999999999H")],
    "a deadline of nothing": [(b"grpc-timeout", b"0n")],
    "a deadline with a blank": [(b"grpc-timeout", b"5 S")],
    "an unknown coding": [(b"grpc-encoding", b"br")],
    "base64 that is none": [(b"x-bin", b"AA*A")],
    "base64 with too much padding": [(b"x-bin", b"AA===")],
    "a target by another spelling": [(b"funcgate_target", b"ledger")],
    "a deadline by another spelling": [(b"grpc_timeout", b"1S")],
    "a byte that is no ASCII": [(b"x-name", b"\xff")],
}


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_heads_that_two_would_read_in_two_ways(
    gate: GrpcGate, ledger: LedgerTarget, more: list[tuple[bytes, bytes]]
) -> None:
    with H2Caller(gate.calls) as caller:
        caller.ask(1, head(gate, "Transfer", *more), b"\x00\x00\x00\x00\x00")
        assert status(caller, 1) not in ("0", ":200")
    assert not ledger.ledger


def test_what_of_the_metadata_reaches_the_target(gate: GrpcGate, ledger: LedgerTarget) -> None:
    withheld = [
        (b"grpc-previous-rpc-attempts", b"3"), (b"grpc-trace-bin", b"AAAA"), (b"grpc-status", b"0"), (b"funcgate-x", b"1"),
        (b"funcgate-session", b"s-1"), (b"cookie", b"a=b"), (b"x-forwarded-for", b"1.2.3.4"), (b"forwarded", b"for=x"),
        (b"content-encoding", b"identity"), (b"accept-encoding", b"gzip"), (b"x-real-ip", b"1.2.3.4"),
    ]  # fmt: skip
    kept = [(b"x-one", b"1"), (b"x-one", b"2"), (b"x-raw-bin", b"AAE,/w=="), (b"user-agent", b"me/1")]
    with H2Caller(gate.calls) as caller:
        caller.ask(1, head(gate, "Transfer", *withheld, *kept), b"\x00\x00\x00\x00\x00")
        assert status(caller, 1) == "0"
    got = ledger.ledger[0].metadata
    names = {name for name, _ in got}
    assert names.isdisjoint({name.decode() for name, _ in withheld})
    assert [value for name, value in got if name == "x-one"] == ["1", "2"]
    assert b"".join(value for name, value in got if name == "x-raw-bin" and isinstance(value, bytes)) == b"\x00\x01\xff"
    token = dict(gate.metadata())["authorization"]
    assert token not in [value for _, value in got]
