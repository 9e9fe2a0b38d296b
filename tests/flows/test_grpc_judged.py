"""Who may call which method with which arguments, and what those are told who may not; message by message."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from support.gate import until
from support.grpc_gate import GrpcGate, refused
from support.ledger import SERVICE, Ledger, LedgerTarget, new

TIMEOUT_S = 15
POLICIES = [
    {
        "name": "small ones", "effect": "allow", "functions": [f"ledger.{SERVICE}/Transfer"],
        "principals": ["group:agents"], "when": "args.amount <= 1000 && !args.note.startsWith('x')",
    },
    {
        "name": "polite words", "effect": "allow", "functions": [f"ledger.{SERVICE}/Chat", f"ledger.{SERVICE}/Import"],
        "principals": ["group:agents"], "when": "args.text != 'rude'",
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def gate(
    make_shared: Callable[..., GrpcGate],
) -> GrpcGate:
    return make_shared(policies=POLICIES)


@pytest.fixture(scope="module")
def make_shared(
    authority: Any, shared_ledger: LedgerTarget, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., GrpcGate]]:
    made: list[GrpcGate] = []

    def make(**changes: Any) -> GrpcGate:
        made.append(GrpcGate(tmp_path_factory.mktemp("gate"), authority, shared_ledger, **changes))
        made[-1].start()
        return made[-1]

    yield make
    for gate in made:
        gate.kill()


@pytest.fixture(scope="module")
def channel(gate: GrpcGate) -> Iterator[grpc.Channel]:
    with gate.channel() as channel:
        yield channel


@pytest.fixture
def client(channel: grpc.Channel, ledger: LedgerTarget) -> Ledger:
    return Ledger(channel)


def test_a_policy_reads_the_fields(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    request = new("TransferRequest", amount=1000)
    assert client.transfer(request, metadata=gate.metadata(), timeout=TIMEOUT_S).id == "t-1000"
    for amount, note in ((1001, ""), (5, "x")):
        request = new("TransferRequest", amount=amount, note=note)
        code, text, info, retry = refused(client.transfer, request, metadata=gate.metadata(), timeout=TIMEOUT_S)
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert (info.reason, info.domain, retry) == ("policy.denied", "funcgate", None)
        assert "small ones" not in text + str(info)  # nothing of the configuration
    assert len(ledger.ledger) == 1


def test_a_refusal_names_the_call(client: Ledger, gate: GrpcGate) -> None:
    *_, info, _ = refused(
        client.transfer, new("TransferRequest", amount=2000), metadata=gate.metadata(), timeout=TIMEOUT_S
    )
    entries = until(lambda: [e for e in gate.entries() if e["call"] == info.metadata["call_id"]])
    assert [e["kind"] for e in entries][:2] == ["arrived", "denied"]
    assert entries[1]["code"] == "policy.denied"


@pytest.mark.parametrize("path", ["Lookup", "History", "None", "transfer", "Transfer/"])
def test_a_method_that_nobody_allowed_or_that_is_not_there(
    channel: grpc.Channel, gate: GrpcGate, ledger: LedgerTarget, path: str
) -> None:
    """Callers cannot tell the two apart."""
    code, _, info, _ = refused(
        channel.unary_unary(f"/{SERVICE}/{path}"), b"", metadata=gate.metadata(), timeout=TIMEOUT_S
    )
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert info.reason in ("function.unknown", "policy.denied")
    assert not ledger.ledger


def test_a_target_that_is_not_there(channel: grpc.Channel, gate: GrpcGate) -> None:
    metadata = [pair for pair in gate.metadata() if pair[0] != "funcgate-target"]
    for more in ([], [("funcgate-target", "nothing")]):
        call = channel.unary_unary(f"/{SERVICE}/Transfer")
        code, _, info, _ = refused(call, b"", metadata=[*metadata, *more], timeout=TIMEOUT_S)
        assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "function.unknown")


def test_who_says_not_who_it_is(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    target = ("funcgate-target", "ledger")
    bad = {
        "identity.missing": [target],
        "identity.invalid": [target, ("authorization", "Bearer not.a.token")],
        "identity.expired": gate.metadata(exp=int(time.time()) - 1000),
    }
    for reason, metadata in bad.items():
        code, _, info, _ = refused(client.transfer, new("TransferRequest"), metadata=metadata, timeout=TIMEOUT_S)
        assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)
    assert not ledger.ledger


def test_a_token_beside_authorization(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    metadata = [
        ("funcgate-target", "ledger"),
        ("funcgate-token", gate.authority.token()),
        ("authorization", "Bearer mine"),
    ]
    client.transfer(new("TransferRequest"), metadata=metadata, timeout=TIMEOUT_S)
    assert "mine" not in str(ledger.ledger[0].metadata)


def test_unknown_fields_are_refused(channel: grpc.Channel, gate: GrpcGate, ledger: LedgerTarget) -> None:
    """Attack: a field of a number that is in no description, which the target's next version knows."""
    data = new("TransferRequest", amount=5).SerializeToString() + b"\xa2\x06\x03abc"  # field 100
    call = channel.unary_unary(f"/{SERVICE}/Transfer")
    code, _, info, _ = refused(call, data, metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "request.invalid")
    assert not ledger.ledger


@pytest.mark.parametrize(
    "data", [b"\x08", b"\xff" * 20, b"\x0a\x05ab", b"\x0a\x02\xff\xfe"], ids=["cut", "ff", "short", "utf8"]
)
def test_what_is_no_message_is_refused(
    channel: grpc.Channel, gate: GrpcGate, ledger: LedgerTarget, data: bytes
) -> None:
    call = channel.unary_unary(f"/{SERVICE}/Transfer")
    code, _, info, _ = refused(call, data, metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "request.invalid")
    assert not ledger.ledger


def test_a_field_given_twice_is_judged_as_it_is_sent(
    channel: grpc.Channel, gate: GrpcGate, ledger: LedgerTarget
) -> None:
    """P9. Attack: amount 5 and amount 5000, for two readers of which one takes the first and one the last."""
    first, last = (new("TransferRequest", amount=n).SerializeToString() for n in (5000, 5))
    channel.unary_unary(f"/{SERVICE}/Transfer")(first + last, metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert [request.amount for request in ledger.ledger[0].requests] == [5]
    assert ledger.ledger[0].requests[0].ByteSize() == len(last)
    call = channel.unary_unary(f"/{SERVICE}/Transfer")
    assert (
        refused(call, last + first, metadata=gate.metadata(), timeout=TIMEOUT_S)[0] is grpc.StatusCode.PERMISSION_DENIED
    )


def test_two_messages_where_one_is_taken(channel: grpc.Channel, gate: GrpcGate, ledger: LedgerTarget) -> None:
    call = channel.stream_unary(f"/{SERVICE}/Transfer")
    sent = [new("TransferRequest", amount=n).SerializeToString() for n in (5, 5000)]
    code, _, info, _ = refused(call, iter(sent), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "request.invalid")
    assert not ledger.ledger


def test_a_refused_message_ends_the_stream(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    said = ["hello", "how are you", "rude", "sorry"]
    went = threading.Event()

    def requests() -> Iterator[Any]:
        for text in said:
            yield new("Event", text=text)
        went.wait(TIMEOUT_S)

    replies = client.chat(requests(), metadata=gate.metadata(), timeout=TIMEOUT_S)
    got = []
    code, _, info, _ = refused(lambda: got.extend(event.text for event in replies))
    went.set()
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "policy.denied")
    assert set(got) <= {"hello", "how are you"}
    until(
        lambda: all(seen.over for seen in ledger.ledger)
    )  # there may be none: it was cancelled before the method began
    reached = [request.text for seen in ledger.ledger for request in seen.requests]
    assert reached == said[: len(reached)]
    assert len(reached) <= 2  # none after it; a target that is told of the end may leave unread what it was sent before


def test_a_refused_first_message_opens_nothing(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    code, *_ = refused(client.import_, iter([new("Event", text="rude")]), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    # A stream of a test before, which ended at once, may come to the target's own code as late as now.
    assert [seen.method for seen in ledger.ledger if seen.method != "Chat"] == []


def test_a_token_that_expires_ends_the_stream(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    """Each message is judged by the token as it is by then."""
    expires_at = int(time.time()) - 30 + 4  # half a minute of grace for clocks that differ

    def requests() -> Iterator[Any]:
        yield new("Event", text="early")
        until(lambda: time.time() > expires_at + 31)
        yield new("Event", text="late")

    metadata = gate.metadata(exp=expires_at, iat=expires_at - 100)
    got = []
    code, _, info, _ = refused(
        lambda: got.extend(event.text for event in client.chat(requests(), metadata=metadata, timeout=TIMEOUT_S))
    )
    assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "identity.expired")
    assert got == ["early"]


def test_a_call_by_host_name(make_shared: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    gate = make_shared(target={"hosts": ["ledger.example"]})
    metadata = [pair for pair in gate.metadata() if pair[0] != "funcgate-target"]
    with gate.channel(("grpc.default_authority", "ledger.example:8080")) as channel:
        assert (
            Ledger(channel).transfer(new("TransferRequest", amount=1), metadata=metadata, timeout=TIMEOUT_S).id == "t-1"
        )


def test_methods_without_a_description(make_shared: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    """Nothing but the method can be judged: a policy about arguments denies, as they are not there."""
    listed = {"functions": {"methods": [f"{SERVICE}/Transfer", f"{SERVICE}/Lookup", f"{SERVICE}/Chat"]}}
    policies = [
        {
            "name": "p", "effect": "allow", "principals": ["group:agents"],
            "functions": [f"ledger.{SERVICE}/Transfer", f"ledger.{SERVICE}/Chat"],
        }
    ]  # fmt: skip
    gate = make_shared(target=listed, policies=policies)
    with gate.channel() as channel:
        client = Ledger(channel)
        reply = client.transfer(new("TransferRequest", amount=4), metadata=gate.metadata(), timeout=TIMEOUT_S)
        assert reply.id == "t-4"
        chat = client.chat(
            iter([new("Event", number=n) for n in range(3)]), metadata=gate.metadata(), timeout=TIMEOUT_S
        )
        assert [event.number for event in chat] == [1, 2, 3]
        code, *_ = refused(client.lookup, new("LookupRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S)
        assert code is grpc.StatusCode.PERMISSION_DENIED
        code, *_ = refused(client.history, new("HistoryRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S)
        assert code is grpc.StatusCode.PERMISSION_DENIED
    assert [entry["args"] for entry in gate.of("Transfer") if entry["kind"] == "arrived"] == [{}]


def test_masking_of_a_method_without_a_description(make_shared: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    listed = {"functions": {"methods": [f"{SERVICE}/Transfer"]}}
    masking = [{"functions": ["ledger.*"], "detect": "all"}]
    gate = make_shared(target=listed, masking=masking)
    with gate.channel() as channel:
        code, _, info, _ = refused(
            Ledger(channel).transfer, new("TransferRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S
        )
    assert info.reason == "masking.refused"
    assert code is grpc.StatusCode.DATA_LOSS
    assert not ledger.ledger  # before it ran


def test_messages_that_come_together_are_sent_in_their_order(
    client: Ledger, gate: GrpcGate, ledger: LedgerTarget
) -> None:
    texts = [f"n{n}" for n in range(300)]
    sent = [new("Event", text=text) for text in texts]
    assert client.import_(iter(sent), metadata=gate.metadata(), timeout=TIMEOUT_S).text == ",".join(texts)


@pytest.mark.parametrize("at", [1, 2, 7, 16, 17, 40])
def test_nothing_after_a_refused_message_is_sent(client: Ledger, gate: GrpcGate, ledger: LedgerTarget, at: int) -> None:
    """However many of them are judged at the same time."""
    texts = [f"a{at}-{n}" for n in range(60)]
    sent = [new("Event", text="rude" if n == at else text) for n, text in enumerate(texts)]
    code, *_ = refused(client.import_, iter(sent), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    until(lambda: all(seen.over for seen in ledger.ledger))
    reached = [request.text for seen in ledger.ledger for request in seen.requests]
    assert reached == texts[: len(reached)]
    assert len(reached) <= at
    ended = until(lambda: _ended(gate, texts))
    assert set(ended.values()) == {1}  # each that arrived has one end


def _ended(gate: GrpcGate, texts: list[str]) -> dict[str, int]:
    """How often each call with one of these texts ended; nothing while one is open."""
    found: dict[str, int] = {}
    for entry in gate.of("Import"):
        if entry["kind"] == "arrived" and entry["args"].get("text") in texts:
            found[entry["call"]] = 0
        elif entry["kind"] == "ended" and entry["call"] in found:
            found[entry["call"]] += 1
    return found if found and all(found.values()) else {}
