"""What every gRPC peer is asked: the call of workload.py as messages, its blocks of fields, its frames of HTTP/2."""

import functools
import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from jh2._hazmat import Encoder  # type: ignore[import-untyped,unused-ignore]

from .workload import make_body, sensitive_answer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
WIDE = (1 << 30) - 1  # a window that nobody has to wait for
_HEAD = struct.Struct("!IBI")  # length << 8 | type, flags, stream

METHOD = "/payments.v1.Payments/CreateTransfer"
SEEN = "/payments.v1.Payments/Seen"
PROTO = """
syntax = "proto3";
package payments.v1;
service Payments {
  rpc CreateTransfer(Transfer) returns (Records);
  rpc Seen(Transfer) returns (Records);
}
message Transfer {
  int64 amount = 1;
  string currency = 2;
  string recipient = 3;
  string reference = 4;
  bool urgent = 5;
  repeated string tags = 6;
  string memo = 7;
  string account = 8;
}
message Records {
  repeated Record items = 1;
  string next = 2;
  int32 total = 3;
}
message Record {
  string id = 1;
  string status = 2;
  int64 amount = 3;
  string currency = 4;
  string note = 5;
  string card = 6;
  string email = 7;
  string ssn = 8;
}
"""


class Blocks(msgspec.Struct, frozen=True):
    """A request, as the load generator sends it: the first one on a connection fills the tables, the others use them."""

    first: bytes
    again: bytes
    message: bytes


@functools.cache
def _pool() -> DescriptorPool:
    from grpc_tools import protoc  # late: only the harness itself needs it

    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "payments.proto", Path(folder) / "out.binpb"
        file.write_text(PROTO)
        if protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={out}", str(file)]):
            raise RuntimeError("protoc refused the sample")
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = DescriptorPool()
    for each in found.file:
        pool.AddSerializedFile(each.SerializeToString())
    return pool


def message(name: str, **fields: Any) -> Any:
    return GetMessageClass(_pool().FindMessageTypeByName(f"payments.v1.{name}"))(**fields)


def request_message(amount: int = 1250, **changes: Any) -> bytes:
    fields = json.loads(make_body(amount)) | {"account": "acct-20417"} | changes
    return bytes(message("Transfer", **fields).SerializeToString())


def answer_message() -> bytes:
    """The seven records with a card, an address and a number each, as a message."""
    answer = json.loads(sensitive_answer().body)
    records = [message("Record", **item) for item in answer["items"]]
    return bytes(message("Records", items=records, total=answer["total"]).SerializeToString())


def lengthened(data: bytes) -> bytes:
    """With gRPC's own prefix."""
    return struct.pack("!BI", 0, len(data)) + data


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return _HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def read_head(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Length, type, flags and stream of the frame there."""
    first, flags, stream = _HEAD.unpack_from(data, at)
    return first >> 8, first & 0xFF, flags, stream


def greeting() -> bytes:
    """SETTINGS and room for everything."""
    settings = struct.pack("!HIHI", 3, 1000, 4, WIDE)
    return frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", WIDE))


def blocks(path: str, token: str, authority: str, more: list[tuple[bytes, bytes]], data: bytes) -> Blocks:
    """As grpc's own clients send it."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", b"payments-agent/2.4 grpc"),
        (b"grpc-accept-encoding", b"identity, deflate, gzip"),
        (b"grpc-timeout", b"30S"),
        (b"authorization", f"Bearer {token}".encode()),
        *more,
    ]
    encoder = Encoder()
    first, again = (encoder.encode([(*field, False) for field in fields], True) for _ in range(2))
    return Blocks(first, again, lengthened(data))
