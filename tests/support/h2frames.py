"""HTTP/2 frames as bytes, right and wrong ones, written and read without a line of the code that is tested."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from hpack import Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 1
END_HEADERS, PADDED, WITH_PRIORITY = 4, 8, 32

NO_ERROR, PROTOCOL, INTERNAL, FLOW, SETTINGS_TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, COMPRESSION, CONNECT, CALM = range(
    12
)

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/shop/read"), (b":authority", b"gate")]
POST = [(b":method", b"POST"), *GET[1:2], (b":path", b"/shop/orders"), *GET[3:], (b"content-type", b"application/json")]

Fields = list[tuple[bytes, bytes]]


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def number(self) -> int:
        """The error code of RST_STREAM and GOAWAY; the increment of WINDOW_UPDATE."""
        return int.from_bytes(self.payload[4:8] if self.kind == GOAWAY else self.payload[:4], "big")


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """`_1=4096`, say: the setting's number and its value."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", int(name[1:]), value) for name, value in values.items()))


def block(fields: Fields) -> bytes:
    """A block that needs, and leaves, no state: nothing is indexed."""
    return b"".join(b"\x10" + _text(name) + _text(value) for name, value in fields)


def packed(encoder: Encoder, fields: Fields) -> bytes:
    return bytes(encoder.encode(fields))


def headers(stream: int, fields: Fields = GET, flags: int = END_STREAM | END_HEADERS) -> bytes:
    return frame(HEADERS, flags, stream, block(fields))


def data(stream: int, payload: bytes = b"", *, end: bool = True) -> bytes:
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def rst(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def goaway(last: int = 0, code: int = NO_ERROR) -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code))


OPENING = PREFACE + settings()


def frames(data: bytes) -> Iterator[Frame]:
    """The whole frames in the bytes."""
    at = 0
    while len(data) - at >= 9:
        size = int.from_bytes(data[at : at + 3], "big")
        kind, flags, stream = struct.unpack_from(">BBI", data, at + 3)
        if at + 9 + size > len(data):
            return
        yield Frame(kind, flags, stream, data[at + 9 : at + 9 + size])
        at += 9 + size


def _text(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes([size]) + text
    prefix, size = bytearray([127]), size - 127
    while size >= 128:
        prefix.append(128 | size & 127)
        size >>= 7
    return bytes([*prefix, size]) + text
