"""gRPC-Web, by raw requests over HTTP/1.1 and HTTP/2, as bytes and as text."""

import base64
import struct
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from support.gate import until
from support.grpc_gate import GrpcGate
from support.ledger import SERVICE, LedgerTarget, new


def framed(*messages: Any) -> bytes:
    return b"".join(struct.pack("!BI", 0, m.ByteSize()) + m.SerializeToString() for m in messages)


def unframed(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """The messages, and the trailers behind them."""
    messages: list[bytes] = []
    while body:
        flags, length = struct.unpack_from("!BI", body)
        piece, body = body[5 : 5 + length], body[5 + length :]
        assert len(piece) == length
        if flags == 0x80:
            assert not body  # nothing follows the trailers
            lines = piece.decode().strip().split("\r\n")
            return messages, {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        assert flags == 0
        messages.append(piece)
    raise AssertionError("no trailers")


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def http(request: pytest.FixtureRequest, grpc_gate: GrpcGate) -> Iterator[httpx.Client]:
    two = request.param == "HTTP/2"
    with httpx.Client(base_url=grpc_gate.url, http2=two, http1=not two, timeout=20) as client:
        yield client


@pytest.fixture(params=["", "-text"], ids=["bytes", "text"])
def send(
    request: pytest.FixtureRequest, http: httpx.Client, grpc_gate: GrpcGate
) -> Callable[..., tuple[httpx.Response, list[bytes], dict[str, str]]]:
    """Call a method with a body of frames; what came back."""

    def send(method: str, body: bytes, **changes: str) -> tuple[httpx.Response, list[bytes], dict[str, str]]:
        media = f"application/grpc-web{request.param}+proto"
        headers = {str(name): str(value) for name, value in grpc_gate.metadata()}
        headers |= {"content-type": media, "x-grpc-web": "1"} | changes
        content = base64.b64encode(body) if request.param else body
        reply = http.post(f"/{SERVICE}/{method}", content=content, headers=headers)
        assert reply.http_version == ("HTTP/2" if http._transport._pool._http2 else "HTTP/1.1")  # type: ignore[attr-defined]
        assert reply.status_code == 200
        assert reply.headers["content-type"] == media
        data = b"".join(map(base64.b64decode, _pieces(reply.content))) if request.param else reply.content
        return reply, *unframed(data)

    return send


def _pieces(text: bytes) -> list[bytes]:
    """Padded base64, of which several follow one another."""
    found, at = [], 0
    while at < len(text):
        end = at + 4
        while end < len(text) and text[end - 1 : end] != b"=":
            end += 4
        found.append(text[at:end])
        at = end
    return found


def test_a_call(send: Callable[..., Any], ledger: LedgerTarget) -> None:
    reply, messages, trailers = send("Transfer", framed(new("TransferRequest", amount=5, note="web")))
    (message,) = messages
    assert new("TransferReply").FromString(message) == new("TransferReply", id="t-5", note="web")
    assert trailers["grpc-status"] == "0"
    assert len(reply.headers["funcgate-call-id"]) == 26
    assert [request.amount for request in ledger.ledger[0].requests] == [5]


def test_a_stream_of_the_target(send: Callable[..., Any], ledger: LedgerTarget) -> None:
    _, messages, trailers = send("History", framed(new("HistoryRequest", count=5)))
    assert [new("Event").FromString(message).number for message in messages] == [0, 1, 2, 3, 4]
    assert trailers["grpc-status"] == "0"


def test_several_messages_of_the_caller(send: Callable[..., Any], ledger: LedgerTarget) -> None:
    _, messages, trailers = send("Import", framed(*[new("Event", text=str(n)) for n in range(3)]))
    assert new("Imported").FromString(messages[0]).text == "0,1,2"
    assert trailers["grpc-status"] == "0"


def test_an_error_of_the_target(send: Callable[..., Any], ledger: LedgerTarget) -> None:
    ledger.behave["Transfer"] = lambda request, context, seen: context.abort(grpc.StatusCode.NOT_FOUND, "50 % gone")
    _, messages, trailers = send("Transfer", framed(new("TransferRequest")))
    assert messages == []
    assert (trailers["grpc-status"], trailers["grpc-message"]) == ("5", "50 %25 gone")


def test_a_refusal(send: Callable[..., Any], ledger: LedgerTarget) -> None:
    _, messages, trailers = send("Transfer", framed(new("TransferRequest")), authorization="Bearer no.such.token")
    assert messages == []
    assert trailers["grpc-status"] == str(grpc.StatusCode.UNAUTHENTICATED.value[0])
    details = trailers["grpc-status-details-bin"]
    status, info = Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4))), ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "identity.invalid"
    assert not ledger.ledger


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"\x00\x00\x00\x00\x05ab", b"\x80\x00\x00\x00\x00", b"\x02\x00\x00\x00\x00"]
)
def test_a_body_that_is_no_message(send: Callable[..., Any], ledger: LedgerTarget, body: bytes) -> None:
    _, messages, trailers = send("Transfer", body)
    assert messages == []
    assert trailers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
    assert not ledger.ledger


def test_text_that_is_no_base64(http: httpx.Client, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    headers = {str(name): str(value) for name, value in grpc_gate.metadata()} | {
        "content-type": "application/grpc-web-text"
    }
    reply = http.post(f"/{SERVICE}/Transfer", content=b"AAAA*###", headers=headers)
    _, trailers = unframed(base64.b64decode(reply.content))
    assert trailers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
    assert not ledger.ledger


def test_messages_as_json_are_refused(http: httpx.Client, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    headers = {str(name): str(value) for name, value in grpc_gate.metadata()} | {
        "content-type": "application/grpc-web+json"
    }
    assert http.post(f"/{SERVICE}/Transfer", content=b"{}", headers=headers).status_code == 415
    assert not ledger.ledger


def test_a_connection_goes_on_afterwards(http: httpx.Client, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    headers = {str(name): str(value) for name, value in grpc_gate.metadata()} | {"content-type": "application/grpc-web"}
    for amount in range(5):
        reply = http.post(
            f"/{SERVICE}/Transfer", content=framed(new("TransferRequest", amount=amount)), headers=headers
        )
        assert unframed(reply.content)[1]["grpc-status"] == "0"
    assert len(ledger.ledger) == 5


def test_a_caller_that_goes_away(http: httpx.Client, grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    headers = {str(name): str(value) for name, value in grpc_gate.metadata()} | {"content-type": "application/grpc-web"}
    body = framed(new("HistoryRequest", count=1, hold=True))
    with http.stream("POST", f"/{SERVICE}/History", content=body, headers=headers) as reply:
        assert next(reply.iter_raw()).startswith(b"\x00")
    http.close()
    assert until(lambda: ledger.ledger[0].over)
    assert not ledger.ledger[0].answered


@pytest.mark.parametrize("rest", [b"A", b"AAA", b"AAA*", b"AB=="])
def test_text_with_letters_left_over(
    http: httpx.Client, grpc_gate: GrpcGate, ledger: LedgerTarget, rest: bytes
) -> None:
    """Behind the only message of a stream: whatever it was to be, it is not left out without a word."""
    headers = {str(name): str(value) for name, value in grpc_gate.metadata()}
    headers["content-type"] = "application/grpc-web-text+proto"
    content = base64.b64encode(framed(new("Event", text="one"))) + rest
    reply = http.post(f"/{SERVICE}/Import", content=content, headers=headers)
    _, trailers = unframed(b"".join(map(base64.b64decode, _pieces(reply.content))))
    assert trailers["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
    until(lambda: all(seen.over for seen in ledger.ledger))
    assert all(seen.cancelled for seen in ledger.ledger)
