"""P4 and P8 for gRPC: a target that lies, or tells what it was told, frame by frame. Nothing of it is taken for a success."""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.authority import Authority
from support.gate import CANARY
from support.grpc_gate import GrpcGate
from support.h2frames import DATA, Fields
from support.h2raw import H2Caller
from support.h2target import H2Request, H2Target
from support.ledger import SERVICE, descriptors, new

OK = {
    "Transfer": new("TransferReply", id="t-1"), "Import": new("Imported", text="i-1"), "History": new("Event", text="e-1"),
    "Chat": new("Event", text="e-1"),
}  # fmt: skip
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
METHODS = [*OK]


def framed(message: Any, flags: int = 0) -> bytes:
    data = message if isinstance(message, bytes) else bytes(message.SerializeToString())
    return struct.pack("!BI", flags, len(data)) + data


@pytest.fixture(scope="module")
def liar() -> Iterator[H2Target]:
    running = H2Target().start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def gate(authority: Authority, liar: H2Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcGate]:
    folder = tmp_path_factory.mktemp("lies")
    file = folder / "ledger.binpb"
    file.write_bytes(descriptors())
    target = {"url": liar.url, "functions": {"descriptors": str(file)}, "limits": {"timeout": "10s"}}
    gate = GrpcGate(folder, authority, liar, target=target)  # type: ignore[arg-type]
    gate.start()
    yield gate
    assert gate.stop() == 0


Told = tuple[dict[str, str], bytes]
Ask = Callable[[str, Any], Told]


@pytest.fixture
def ask(gate: GrpcGate, liar: H2Target) -> Iterator[Ask]:
    """Call a method of the target that behaves so: what the caller is told in head and trailers, and the messages."""
    liar.forget()
    with H2Caller(gate.calls) as caller:
        streams = iter(range(1, 99, 2))

        def ask(method: str, behave: Any) -> Told:
            liar.answers[f"/{SERVICE}/{method}"] = behave
            number = next(streams)
            known = [(str(name).encode(), str(value).encode()) for name, value in gate.metadata()]
            head: Fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", f"/{SERVICE}/{method}".encode())]
            head += [(b":authority", b"gate"), (b"content-type", b"application/grpc"), (b"te", b"trailers"), *known]
            caller.ask(number, head, framed(b""))
            caller.answer(number)
            told = {name.decode(): value.decode() for fields in caller.heads[number] for name, value in fields}
            assert all(one.stream != number or one.kind != DATA or one.payload for one in caller.seen)
            return told, caller.bodies.get(number, b"")

        yield ask


def says(*pieces: bytes, head: Any = HEAD, trailers: Any = (("grpc-status", "0"),)) -> Any:
    async def behave(request: H2Request) -> None:
        await request.whole.wait()
        request.head(list(head), end=not pieces and not trailers)
        for at, piece in enumerate(pieces):
            await request.write(piece, end=not trailers and at == len(pieces) - 1)
        if trailers:
            request.connection.state.send_headers(request.stream, list(trailers), end_stream=True)
            request.connection.flush()

    return behave


@pytest.mark.parametrize("method", METHODS)
def test_the_liar_can_tell_the_truth(ask: Ask, method: str) -> None:
    told, body = ask(method, says(framed(OK[method])))
    assert told["grpc-status"] == "0"
    assert body == framed(OK[method])


STATUSES = {
    "none": (("x-more", "1"),), "no trailers": (), "empty": (("grpc-status", ""),), "two digits": (("grpc-status", "00"),),
    "signed": (("grpc-status", "+0"),), "too high": (("grpc-status", "17"),), "words": (("grpc-status", "OK"),),
    "twice": (("grpc-status", "13"), ("grpc-status", "0")), "both": (("grpc-status", "0,13"),),
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trailers", STATUSES.values(), ids=STATUSES)
def test_an_end_that_is_not_a_clear_yes(ask: Ask, method: str, trailers: Any) -> None:
    told, _ = ask(method, says(framed(OK[method]), trailers=trailers))
    assert told["grpc-status"] not in ("", "0")


BODIES = {
    "cut in the head": framed(b"abc")[:3], "cut in the message": framed(b"\x0a\x03abc")[:-1], "flags": framed(b"", 2),
    "trailers of gRPC-Web": framed(b"grpc-status: 0\r\n", 0x80), "compressed, no coding": framed(b"", 1),
    "4 GiB": b"\x00\xff\xff\xff\xff", "not a message": framed(b"\xff\xff"), "a field nobody knows": framed(b"\x98\x06\x01"),
    "a group without an end": framed(b"\x0b"),
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_messages_that_are_none(ask: Ask, method: str, body: bytes) -> None:
    told, _ = ask(method, says(framed(OK[method]), body))
    assert told["grpc-status"] not in ("", "0")


@pytest.mark.parametrize("method", METHODS)
def test_a_head_that_says_how_it_ends_and_goes_on(ask: Ask, method: str) -> None:
    """Trailers-only is a head that ends the stream. One that does not is told apart, and no message is lost or out of order."""
    head = [*HEAD, ("grpc-status", "0")]
    told, body = ask(method, says(framed(OK[method]), head=head, trailers=()))
    assert told["grpc-status"] != "0" or body == framed(OK[method])
    told, body = ask(method, says(framed(OK[method]), head=head, trailers=(("grpc-status", "13"),)))
    assert told["grpc-status"] not in ("", "0")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, 2])
def test_as_many_messages_as_were_declared(ask: Ask, method: str, count: int) -> None:
    told, body = ask(method, says(*[framed(OK[method])] * count))
    assert (told["grpc-status"] == "0") is (method in ("History", "Chat"))
    assert method != "Import" or not body  # its head is out by then, and no message


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", ["204", "302", "401", "500"])
def test_an_answer_of_http(ask: Ask, method: str, status: str) -> None:
    head = [(":status", status), *HEAD[1:], ("grpc-status", "0"), ("location", f"http://x.example/{CANARY}")]
    told, body = ask(method, says(head=head, trailers=()))
    assert told["grpc-status"] not in ("", "0")
    assert CANARY not in str(told)
    assert body == b""


ESCAPED = "".join(f"%{byte:02x}" for byte in CANARY.encode())
DETAILS = base64.b64encode(b"\x08\x0d\x12" + bytes([len(CANARY)]) + CANARY.encode()).decode()
ECHOES: dict[str, Any] = {
    "message": [("grpc-message", f"your token {CANARY} is bad")],
    "message, escaped": [("grpc-message", ESCAPED)],
    "message, half escaped": [("grpc-message", ESCAPED[:9] + CANARY[3:])],
    "details": [("grpc-status-details-bin", DETAILS)],
    "details, padded": [("grpc-status-details-bin", DETAILS + "=" * (-len(DETAILS) % 4))],
    "details that are none": [("grpc-status-details-bin", base64.b64encode(CANARY.encode()).decode())],
    "metadata": [("x-echo", f"Bearer {CANARY}")],
    "metadata, binary": [("x-echo-bin", base64.b64encode(CANARY.encode()).decode())],
    "metadata, binary, of two": [("x-echo-bin", f"AA==,{base64.b64encode(CANARY.encode()).decode()}")],
    "name": [(f"x-{CANARY}", "1")],
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", ["0", "16"])
@pytest.mark.parametrize("fields", ECHOES.values(), ids=ECHOES)
def test_p4_the_credential_in_what_surrounds_the_messages(
    ask: Ask, gate: GrpcGate, method: str, status: str, fields: list[tuple[str, str]]
) -> None:
    answers = [
        says(framed(OK[method]), trailers=[("grpc-status", status), *fields]),
        says(framed(OK[method]), head=[*HEAD, *fields], trailers=[("grpc-status", status)]),
        says(head=[*HEAD, ("grpc-status", status), *fields], trailers=()),
    ]
    for answer in answers:
        told, body = ask(method, answer)
        assert not _holds(told, body)
    assert CANARY not in json.dumps(gate.entries())
    assert CANARY not in gate.log.read_text()


def _holds(told: dict[str, str], body: bytes) -> bool:
    """Whether the caller can read the credential, as it came or decoded."""
    needle = CANARY.encode()
    texts = [body]
    for name, value in told.items():
        texts += [name.encode(), value.encode()]
        if name.endswith("-bin"):
            texts += [base64.b64decode(part + "=" * (-len(part) % 4)) for part in value.split(",")]
    return any(needle in text for text in texts) or ESCAPED in str(told)
