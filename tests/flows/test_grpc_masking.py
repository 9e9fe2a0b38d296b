"""What a target answers, masked inside its messages: by field, detector and annotation; in streams, errors and metadata."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from google.rpc.error_details_pb2 import BadRequest, DebugInfo
from google.rpc.status_pb2 import Status

from support.gate import CANARY, until
from support.grpc_gate import DETAILS, GrpcGate, refused
from support.ledger import SERVICE, Ledger, LedgerTarget, new

TIMEOUT_S = 15
CARD, MAIL = "4111 1111 1111 1111", "ada@mail.example.com"
SEEN_CARD, SEEN_MAIL, SEEN_FIELD = "[REDACTED:credit_card]", "[REDACTED:email]", "[REDACTED:field]"
MASKING = [{"functions": ["ledger.*"], "detect": "all", "fields": ["**.holder", "salary", "notes.secret"]}]


@pytest.fixture(scope="module")
def gate(authority: Any, shared_ledger: LedgerTarget, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcGate]:
    gate = GrpcGate(tmp_path_factory.mktemp("gate"), authority, shared_ledger, masking=MASKING)
    gate.start()
    yield gate
    assert gate.stop() == 0


@pytest.fixture(scope="module")
def channel(gate: GrpcGate) -> Iterator[grpc.Channel]:
    with gate.channel() as channel:
        yield channel


@pytest.fixture
def client(channel: grpc.Channel, ledger: LedgerTarget) -> Ledger:
    return Ledger(channel)


@pytest.fixture
def answers(ledger: LedgerTarget) -> Callable[..., None]:
    """Sets what Lookup answers."""

    def answer(**fields: Any) -> None:
        ledger.behave["Lookup"] = lambda request, context, seen: new("Person", **fields)

    return answer


def packed(message: Any) -> dict[str, Any]:
    """As google.protobuf.Any."""
    return {"type_url": f"type.googleapis.com/{message.DESCRIPTOR.full_name}", "value": message.SerializeToString()}


def look(client: Ledger, gate: GrpcGate) -> Any:
    return client.lookup(new("LookupRequest", name="ada"), metadata=gate.metadata(), timeout=TIMEOUT_S)


def test_strings(client: Ledger, gate: GrpcGate, answers: Callable[..., None]) -> None:
    answers(name=f"Ada {MAIL}", email=MAIL)
    person = look(client, gate)
    assert (person.name, person.email) == (f"Ada {SEEN_MAIL}", SEEN_MAIL)


def test_nested_and_repeated(client: Ledger, gate: GrpcGate, answers: Callable[..., None]) -> None:
    answers(name="Ada", cards=[new("Card", number=CARD, holder="Ada L"), new("Card", number="none", holder="")])
    person = look(client, gate)
    assert [card.number for card in person.cards] == [SEEN_CARD, "none"]
    assert person.cards[0].holder == SEEN_FIELD


def test_maps(client: Ledger, gate: GrpcGate, answers: Callable[..., None]) -> None:
    answers(notes={"a": "plain", "b": MAIL, "secret": "hidden"})
    assert dict(look(client, gate).notes) == {"a": "plain", "b": SEEN_MAIL, "secret": SEEN_FIELD}


def test_any_of_a_known_type(client: Ledger, gate: GrpcGate, answers: Callable[..., None]) -> None:
    answers(extra=packed(new("Card", number=CARD, holder="Ada L")))
    card = new("Card")
    assert look(client, gate).extra.Unpack(card)
    assert (card.number, card.holder) == (SEEN_CARD, SEEN_FIELD)


def test_any_of_an_unknown_type_is_refused(client: Ledger, gate: GrpcGate, answers: Callable[..., None]) -> None:
    answers(extra={"type_url": "type.googleapis.com/nobody.Knows", "value": b"\x0a\x03abc"})
    code, _, info, _ = refused(look, client, gate)
    assert (code, info.reason) == (grpc.StatusCode.DATA_LOSS, "masking.refused")


def test_wrappers_and_bytes(client: Ledger, gate: GrpcGate, answers: Callable[..., None]) -> None:
    answers(nickname={"value": MAIL}, raw=b"\xff\x00 " + MAIL.encode() + b" \xfe")
    person = look(client, gate)
    assert person.nickname.value == SEEN_MAIL
    assert person.raw == b"\xff\x00 " + SEEN_MAIL.encode() + b" \xfe"


def test_a_field_that_is_no_text(client: Ledger, gate: GrpcGate, answers: Callable[..., None]) -> None:
    answers(name="Ada", salary=120_000)
    person = look(client, gate)
    assert (person.name, person.salary) == ("Ada", 0)


def test_what_the_description_marks(client: Ledger, gate: GrpcGate, answers: Callable[..., None]) -> None:
    """`debug_redact` needs no rule."""
    answers(name="Ada", password="hunter2")
    person = look(client, gate)
    assert person.name == "Ada"
    assert "hunter2" not in str(person)
    assert "hunter2" not in "".join(map(str, gate.of("Lookup")))


def test_what_the_description_marks_in_a_request(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    request = new("TransferRequest", amount=1, pin="pin-of-hers")
    client.transfer(request, metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert ledger.ledger[0].requests == [request]  # the target gets it
    assert "pin-of-hers" not in "".join(map(str, gate.of("Transfer")))


def test_unknown_fields_in_an_answer_are_refused(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    data = b"\xa2\x06" + bytes([len(CARD)]) + CARD.encode()  # field 100
    ledger.behave["Lookup"] = lambda request, context, seen: new("Person").FromString(data)
    code, _, info, _ = refused(look, client, gate)
    assert (code, info.reason) == (grpc.StatusCode.DATA_LOSS, "masking.refused")


def test_a_stream(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    """Message by message, as they come: the first is there while the target still holds the RPC."""

    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Iterator[Any]:
        yield new("Event", number=1, text=CARD)
        ledger.release.wait(20)
        yield new("Event", number=2, text=MAIL)

    ledger.behave["History"] = behave
    events = client.history(new("HistoryRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert next(events).text == SEEN_CARD
    ledger.release.set()
    assert [event.text for event in events] == [SEEN_MAIL]
    until(lambda: gate.of("History")[-1]["kind"] == "ended")
    record = "".join(map(str, gate.of("History")))
    assert CARD not in record
    assert SEEN_CARD in record


def test_a_conversation(client: Ledger, gate: GrpcGate) -> None:
    events = client.chat(
        iter([new("Event", text=CARD), new("Event", text="plain")]), metadata=gate.metadata(), timeout=TIMEOUT_S
    )
    assert [event.text for event in events] == [SEEN_CARD, "plain"]
    record = "".join(map(str, until(lambda: gate.of("Chat"))))
    assert CARD not in record  # neither what was said nor what was answered


def test_a_compressed_answer(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        context.set_compression(grpc.Compression.Gzip)
        return new("Person", name=MAIL + " " * 5000)

    ledger.behave["Lookup"] = behave
    assert look(client, gate).name == SEEN_MAIL + " " * 5000


def _error(context: grpc.ServicerContext, text: str, *details: Any, **metadata: Any) -> None:
    status = Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message=text)
    for detail in details:
        status.details.add().Pack(detail)
    context.set_trailing_metadata([(DETAILS, status.SerializeToString()), *metadata.items()])
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)


def test_an_error(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    """Its text, and the details behind it."""

    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        violation = BadRequest.FieldViolation(field="card", description=f"{CARD} is not yours")
        _error(context, f"no card {CARD}", BadRequest(field_violations=[violation]), new("Card", holder="Ada L"))

    ledger.behave["Lookup"] = behave
    with pytest.raises(grpc.RpcError) as caught:
        look(client, gate)
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, f"no card {SEEN_CARD}")
    status = Status.FromString(dict(error.trailing_metadata())[DETAILS])
    bad, card = BadRequest(), new("Card")
    assert status.message == f"no card {SEEN_CARD}"
    assert status.details[0].Unpack(bad)
    assert bad.field_violations[0].description == f"{SEEN_CARD} is not yours"
    assert status.details[1].Unpack(card)
    assert card.holder == SEEN_FIELD


def test_details_that_nobody_can_read_stay_behind(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    """The status goes on without them."""

    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        context.set_trailing_metadata([(DETAILS, b"\xff\xff\xff" + CARD.encode())])
        context.abort(grpc.StatusCode.NOT_FOUND, "not here")

    ledger.behave["Lookup"] = behave
    with pytest.raises(grpc.RpcError) as caught:
        look(client, gate)
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "not here")
    assert DETAILS not in dict(error.trailing_metadata() or ())


def test_metadata(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        context.send_initial_metadata([("x-card", CARD), ("x-card-bin", CARD.encode())])
        context.set_trailing_metadata([("x-mail", MAIL), ("x-mail-bin", b"\x00" + MAIL.encode())])
        return new("Person", name="Ada")

    ledger.behave["Lookup"] = behave
    _, call = client.lookup.with_call(new("LookupRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S)
    head, tail = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert (head["x-card"], head["x-card-bin"]) == (SEEN_CARD, SEEN_CARD.encode())
    assert (tail["x-mail"], tail["x-mail-bin"]) == (SEEN_MAIL, b"\x00" + SEEN_MAIL.encode())
    until(lambda: gate.of("Lookup")[-1]["kind"] == "ended")
    assert CARD not in "".join(map(str, gate.of("Lookup")))


def test_structs(client: Ledger, gate: GrpcGate, answers: Callable[..., None]) -> None:
    inner = Struct()
    inner.update({"mail": MAIL, "deep": [{"card": CARD}], "n": 1})
    answers(extra=packed(inner))
    found = Struct()
    assert look(client, gate).extra.Unpack(found)
    assert dict(found)["mail"] == SEEN_MAIL
    assert found["deep"][0]["card"] == SEEN_CARD


def test_p4_the_credential_stays_inside(client: Ledger, gate: GrpcGate, ledger: LedgerTarget) -> None:
    """The target says its own credential, in every place where it can say something."""

    def unary(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        context.send_initial_metadata([("x-key", CANARY), ("x-key-bin", CANARY.encode())])
        context.set_trailing_metadata([("x-key", CANARY), ("x-key-bin", CANARY.encode())])
        notes, extra = {CANARY: CANARY, "k": CANARY}, packed(new("Card", number=CANARY))
        return new("Person", name=CANARY, raw=CANARY.encode(), notes=notes, extra=extra)

    def failing(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        _error(context, f"key {CANARY}", DebugInfo(stack_entries=[CANARY], detail=CANARY), new("Card", number=CANARY))

    def stream(request: Any, context: grpc.ServicerContext, seen: Any) -> Iterator[Any]:
        yield new("Event", text=CANARY)
        context.abort(grpc.StatusCode.INTERNAL, CANARY)

    ledger.behave = {"Lookup": unary, "Transfer": failing, "History": stream}
    person, call = client.lookup.with_call(new("LookupRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S)
    said = [str(person), str(call.initial_metadata()), str(call.trailing_metadata())]
    for method, request in ((client.transfer, "TransferRequest"), (client.history, "HistoryRequest")):
        with pytest.raises(grpc.RpcError) as caught:
            said.extend(map(str, method(new(request), metadata=gate.metadata(), timeout=TIMEOUT_S)))
        error: Any = caught.value
        said += [str(error.details()), str(error.trailing_metadata()), str(error)]
    until(lambda: gate.of("History")[-1]["kind"] == "ended")
    for where in (*said, gate.log.read_text(), str(gate.entries()), gate.get_console("/metrics")[1]):
        assert CANARY not in where


def test_p4_without_any_rule(grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        context.set_trailing_metadata([("x-key-bin", CANARY.encode())])
        return new("Person", name=f"a {CANARY} b", raw=CANARY.encode())

    ledger.behave["Lookup"] = behave
    with grpc_gate.channel() as channel:
        person, call = Ledger(channel).lookup.with_call(
            new("LookupRequest"), metadata=grpc_gate.metadata(), timeout=TIMEOUT_S
        )
    assert CANARY not in str(person) + str(call.trailing_metadata())
    assert CANARY not in str(grpc_gate.entries())


def test_p4_in_messages_that_nobody_can_read(make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    ledger.behave["Lookup"] = lambda request, context, seen: new("Person", name=f"a {CANARY} b")
    gate = make_grpc_gate(target={"functions": {"methods": [f"{SERVICE}/Lookup"]}}).start()
    with gate.channel() as channel:
        _, text, info, _ = refused(
            Ledger(channel).lookup,
            new("LookupRequest"),
            metadata=gate.metadata(),
            timeout=TIMEOUT_S,
        )
    assert info.reason == "masking.refused"
    assert CANARY not in text + str(info)
