"""Heads of RPCs that are not as they should be, byte by byte; each is refused before anything reaches the target."""

import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.grpc_gate import GrpcGate
from support.ledger import SERVICE, LedgerTarget, new

PATH = f"/{SERVICE}/Transfer"


def framed(message: Any, flags: int = 0) -> bytes:
    data = message if isinstance(message, bytes) else message.SerializeToString()
    return struct.pack("!BI", flags, len(data)) + data


@pytest.fixture(scope="module")
def http(grpc_gate: GrpcGate) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=grpc_gate.url, http2=True, http1=False, timeout=20) as client:
        yield client


@pytest.fixture
def send(http: httpx.Client, grpc_gate: GrpcGate, ledger: LedgerTarget) -> Any:
    """Send a head and a body; the answer's head (a refusal has nothing else)."""

    def send(
        body: bytes = framed(new("TransferRequest")), method: str = "POST", path: str = PATH, **changes: Any
    ) -> Any:
        fields = [(str(name), str(value)) for name, value in grpc_gate.metadata()]
        fields += [("content-type", "application/grpc"), ("te", "trailers")]
        changed = {name.replace("__", "-"): value for name, value in changes.items()}
        fields = [field for field in fields if field[0] not in changed]
        for name, value in changed.items():
            fields += [(name, one) for one in (value if isinstance(value, list) else [value]) if one is not None]
        reply = http.request(method, path, content=body, headers=fields)
        assert not ledger.ledger
        return reply

    return send


@pytest.mark.parametrize(
    "changes",
    [
        {"grpc__timeout": "10"},
        {"grpc__timeout": "-1S"},
        {"grpc__timeout": "123456789S"},
        {"grpc__timeout": ["1S", "2S"]},
        {"authorization": ["Bearer a", "Bearer b"]},
        {"funcgate__target": ["ledger", "ledger"]},
        {"x__raw-bin": "not base64!"},
        {"x_forwarded_for": "10.0.0.1"},
        {"x-user": "a", "x_user": "b"},
        {"body": framed(b"", 1)},
        {"body": framed(b"", 2)},
        {"body": framed(b"", 0x80)},
        {"body": b""},
        {"body": framed(b"") + b"\x00"},
        {"body": framed(b"") * 2},
        {"body": framed(b"\x1f\x8b broken", 1), "grpc__encoding": "gzip"},
        {"path": PATH + "?a=b"},
        {"path": PATH + "%20"},
    ],
    ids=lambda changes: "-".join(f"{name}={value}"[:30] for name, value in changes.items()),
)
def test_what_is_refused(send: Any, changes: dict[str, Any]) -> None:
    reply = send(**changes)
    status = reply.headers.get("grpc-status")
    assert (reply.status_code, status) in ((200, "3"), (200, "7"), (400, None)), (reply.status_code, status)


def test_a_coding_that_is_not_known(send: Any) -> None:
    """The protocol asks for UNIMPLEMENTED, and for those that are known."""
    reply = send(grpc__encoding="zstd")
    assert reply.headers["grpc-status"] == "12"
    assert set(reply.headers["grpc-accept-encoding"].split(",")) == {"identity", "gzip", "deflate"}


def test_a_bomb(send: Any) -> None:
    """Attack: a few kilobytes that unpack to more than any message may have."""
    import gzip

    reply = send(framed(gzip.compress(b"\x0a" * (9 << 20)), 1), grpc__encoding="gzip")
    assert reply.headers["grpc-status"] == "8"


@pytest.mark.parametrize("media", ["application/grpc+json", "application/grpcx", "application/grpc+thrift; a=b"])
def test_messages_that_are_not_protobuf(send: Any, media: str) -> None:
    assert send(**{"content__type": media}).status_code == 415


def test_another_method_than_post(send: Any) -> None:
    assert send(b"", method="GET").status_code == 405


def test_a_token_that_is_far_too_long(send: Any) -> None:
    assert send(authorization="Bearer " + "a" * 17_000).headers.get("grpc-status") == "16"
