"""Who has the first word in a stream of the caller's: its target, where no policy looks at messages; else the caller. The head
of the target's answer comes at once, also where its message is the last word."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from support.authority import Authority
from support.gate import until
from support.grpc_gate import GrpcGate, refused, said
from support.ledger import SERVICE, Ledger, LedgerTarget, new

TIMEOUT_S = 20
MAIL = "jane.roe@example.com"
CHAT = [f"ledger.{SERVICE}/Chat", f"ledger.{SERVICE}/Import"]
POLICIES = [
    {"name": "talk", "effect": "allow", "functions": CHAT, "principals": ["group:agents", "group:careful", "group:asked"]},
    {
        "name": "calls", "effect": "allow", "functions": [f"ledger.{SERVICE}/Transfer", f"ledger.{SERVICE}/History"],
        "principals": ["*"],
    },
    {
        "name": "hours", "effect": "deny", "functions": CHAT, "principals": ["group:agents"],
        "when": "call.reason == 'none' || principal.subject == 'mallory'",
    },
    {
        "name": "polite", "effect": "deny", "functions": CHAT, "principals": ["group:careful"],
        "when": "'text' in args && args.text == 'rude'",
    },
    {
        "name": "asked", "effect": "require_approval", "functions": CHAT, "principals": ["group:asked"],
        "approval": {"approvers": ["group:finance"]},
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def shared(
    authority: Authority, shared_ledger: LedgerTarget, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GrpcGate]:
    masking = [{"functions": ["ledger.*"], "detect": ["email"]}]
    gate = GrpcGate(tmp_path_factory.mktemp("gate"), authority, shared_ledger, policies=POLICIES, masking=masking)
    gate.start()
    yield gate
    assert gate.stop() == 0


@pytest.fixture
def gate(shared: GrpcGate, ledger: LedgerTarget) -> GrpcGate:
    shared.begin()
    return shared


@pytest.fixture
def client(gate: GrpcGate) -> Iterator[Ledger]:
    with gate.channel() as channel:
        yield Ledger(channel)


def ended(gate: GrpcGate, method: str, count: int) -> list[dict[str, Any]]:
    """The calls of the method, each by its kinds, once all have ended."""
    until(lambda: gate.kinds(method).count("ended") == count)
    entries = gate.of(method)
    assert gate.kinds(method).count("arrived") == count
    return entries


def test_the_target_speaks_first(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    recorded: list[list[str]] = []
    heard = threading.Event()

    def behave(requests: Iterator[Any], context: grpc.ServicerContext, seen: Any) -> Iterator[Any]:
        recorded.append(gate.kinds("Chat"))  # P1: what the journal says when the target hears of the RPC
        yield new("Event", text="who is there?")
        yield from requests

    def requests() -> Iterator[Any]:
        assert heard.wait(TIMEOUT_S)  # says nothing before it has been spoken to
        yield new("Event", text="me")

    ledger.behave["Chat"] = behave
    replies = client.chat(requests(), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert next(replies).text == "who is there?"
    heard.set()
    assert [event.text for event in replies] == ["me"]
    assert recorded == [["arrived", "allowed"]]
    assert [request.text for request in ledger.ledger[0].requests] == ["me"]
    entries = ended(gate, "Chat", 2)  # the opening, and the message
    assert [entry["args"].get("text") for entry in entries if entry["kind"] == "arrived"] == [None, "me"]
    assert all(entry["outcome"] == "complete" for entry in entries if entry["kind"] == "ended")


@pytest.mark.parametrize("group", ["careful", "asked"])
def test_where_messages_are_looked_at_the_first_one_opens(
    gate: GrpcGate, client: Ledger, ledger: LedgerTarget, group: str
) -> None:
    """Attack: an RPC that is opened for no message at all, where the policies look at messages, or a person does."""
    more = threading.Event()

    def requests() -> Iterator[Any]:
        assert more.wait(TIMEOUT_S)
        yield new("Event", text="rude")

    metadata = (*gate.metadata(groups=(group,)), ("prefer", "wait=0"))
    replies = client.chat(requests(), metadata=metadata, timeout=TIMEOUT_S)
    client.transfer(
        new("TransferRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S
    )  # what came before it is through
    assert [seen.method for seen in ledger.ledger] == ["Transfer"]
    assert "arrived" not in gate.kinds("Chat")
    more.set()
    *_, info, _ = refused(lambda: list(replies))
    assert info.reason == {"careful": "policy.denied", "asked": "approval.pending"}[group]
    assert [seen.method for seen in ledger.ledger] == ["Transfer"]
    arrived = [entry for entry in gate.of("Chat") if entry["kind"] == "arrived"]
    assert [entry["args"]["text"] for entry in arrived] == ["rude"]


def test_a_denial_that_looks_at_no_message(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    events = iter([new("Event", text="hello")])
    *_, info, _ = refused(client.chat, events, metadata=gate.metadata(subject="mallory"), timeout=TIMEOUT_S)
    assert info.reason == "policy.denied"
    assert not ledger.ledger


def test_a_first_message_that_cannot_be_read(gate: GrpcGate, ledger: LedgerTarget) -> None:
    """The RPC is open by then: the target hears of its end, and of no message."""
    with gate.channel() as channel:
        call = channel.stream_stream(f"/{SERVICE}/Chat")
        with pytest.raises(grpc.RpcError) as caught:
            list(call(iter([b"\xff\xff\xff"]), metadata=gate.metadata(), timeout=TIMEOUT_S))
    code, _, info, _ = said(caught.value)
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "request.invalid")
    until(lambda: all(seen.over for seen in ledger.ledger))
    assert [request for seen in ledger.ledger for request in seen.requests] == []
    until(lambda: "denied" in gate.kinds("Chat") and "ended" in gate.kinds("Chat"))


def test_a_stream_without_a_message_is_one_call(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    assert list(client.chat(iter([]), metadata=gate.metadata(), timeout=TIMEOUT_S)) == []
    ended(gate, "Chat", 1)


def test_the_head_comes_before_the_only_message(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    """Masked, and on the disk by then; the message follows when the caller has said all."""
    head = threading.Event()

    def behave(requests: Iterator[Any], context: grpc.ServicerContext, seen: Any) -> Any:
        first = next(requests)
        context.send_initial_metadata((("x-offer", "a-7"), ("x-mail", MAIL)))
        return new("Imported", text=",".join([first.text, *[one.text for one in requests]]))

    def requests() -> Iterator[Any]:
        yield new("Event", text="one")
        assert head.wait(TIMEOUT_S)  # says nothing more before it knows the target's head
        yield new("Event", text="two")

    ledger.behave["Import"] = behave
    call = client.import_.future(requests(), metadata=gate.metadata(), timeout=TIMEOUT_S)
    told = {key: value for key, value in call.initial_metadata() if key.startswith("x-")}
    recorded = [dict(entry["fields"]) for entry in gate.of("Import") if entry["kind"] == "chunk"]
    assert told["x-offer"] == "a-7"
    assert told["x-mail"] != MAIL
    assert recorded == [told]
    assert not call.done()
    head.set()
    assert call.result().text == "one,two"
    entries = ended(gate, "Import", 2)
    pieces = [entry for entry in entries if entry["kind"] == "chunk"]
    assert [(entry["piece"], "two" in entry["body"]) for entry in pieces] == [(1, False), (2, True)]
    assert "fields" not in pieces[1]


def test_p1_a_streams_head_is_recorded_before_it_leaves(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Iterator[Any]:
        context.send_initial_metadata((("x-offer", "a-8"),))
        ledger.release.wait(TIMEOUT_S)
        yield new("Event", text="late")

    ledger.behave["History"] = behave
    replies = client.history(new("HistoryRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert dict(replies.initial_metadata())["x-offer"] == "a-8"
    recorded = [entry["fields"] for entry in gate.of("History") if entry["kind"] == "chunk"]
    ledger.release.set()
    assert [event.text for event in replies] == ["late"]
    assert recorded == [[["x-offer", "a-8"]]]
    assert [entry.get("fields") for entry in ended(gate, "History", 1) if entry["kind"] == "chunk"] == [
        [["x-offer", "a-8"]],
        None,
    ]


def test_the_head_of_an_answer_that_fails_later(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    def behave(requests: Iterator[Any], context: grpc.ServicerContext, seen: Any) -> Any:
        context.send_initial_metadata((("x-offer", "a-9"),))
        list(requests)
        context.abort(grpc.StatusCode.OUT_OF_RANGE, f"ask {MAIL}")

    ledger.behave["Import"] = behave
    call = client.import_.future(iter([new("Event", text="one")]), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert dict(call.initial_metadata())["x-offer"] == "a-9"
    assert call.code() is grpc.StatusCode.OUT_OF_RANGE
    assert "ask" in call.details()
    assert MAIL not in call.details()
    ended(gate, "Import", 1)


def test_a_message_refused_behind_the_head(gate: GrpcGate, client: Ledger, ledger: LedgerTarget) -> None:
    """The head is out by then; the caller is told why in the trailers, and gets no message."""
    head = threading.Event()

    def behave(requests: Iterator[Any], context: grpc.ServicerContext, seen: Any) -> Any:
        texts = [next(requests).text]  # read before the head goes out: what a refusal cuts off may be lost unread
        context.send_initial_metadata((("x-offer", "a-10"),))
        return new("Imported", text=",".join(texts + [one.text for one in requests]))

    def requests() -> Iterator[Any]:
        yield new("Event", text="polite")
        assert head.wait(TIMEOUT_S)
        yield new("Event", text="rude")

    ledger.behave["Import"] = behave
    call = client.import_.future(requests(), metadata=gate.metadata(groups=("careful",)), timeout=TIMEOUT_S)
    assert dict(call.initial_metadata())["x-offer"] == "a-10"
    head.set()
    *_, info, _ = refused(call.result)
    assert info.reason == "policy.denied"
    until(lambda: all(seen.over for seen in ledger.ledger))
    assert [request.text for seen in ledger.ledger for request in seen.requests] == ["polite"]
    ended(gate, "Import", 2)
