"""The gRPC target: its own process, raw asyncio and frames built beforehand, one answer. It judges nothing.

Run as `python -m bench.rpcupstream`; prints its port, ends when its stdin does. `Seen` tells what the last call carried.
"""

import asyncio
import gc
import struct
import sys
from typing import ClassVar, cast

import uvloop
from jh2._hazmat import Decoder, Encoder  # type: ignore[import-untyped,unused-ignore]

from .rpcwork import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    SEEN,
    SETTINGS,
    WINDOW_UPDATE,
    answer_message,
    frame,
    greeting,
    lengthened,
    message,
    read_head,
)
from .workload import TARGET_KEY

_HEAD = [(b":status", b"200", False), (b"content-type", b"application/grpc", False)]
_TAIL = [(b"grpc-status", b"0", False)]
_TOP_UP = 256 << 20
ANSWER = lengthened(answer_message())


class Upstream(asyncio.Protocol):
    """One connection: answers a stream when the caller has ended it."""

    last: ClassVar[list[tuple[bytes, bytes]]] = []

    def __init__(self) -> None:
        self._encoder, self._decoder = Encoder(), Decoder(65536)
        self._data = b""
        self._greeted = False
        self._given = 0
        self._paths: dict[int, bytes] = {}
        self._blocks = self._encode()
        self._steady = False

    def _encode(self) -> tuple[bytes, bytes]:
        return self._encoder.encode(_HEAD, True), self._encoder.encode(_TAIL, True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(greeting())

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        at, size, out = 0, len(data), []
        if not self._greeted:
            if size < len(PREFACE):
                self._data = data
                return
            self._greeted, at = True, len(PREFACE)
        while size - at >= 9:
            length, kind, flags, stream = read_head(data, at)
            end = at + 9 + length
            if end > size:
                break
            if kind == HEADERS:
                fields = [(name, value) for name, value, *_ in self._decoder.decode(data[at + 9 : end], True)]
                self._paths[stream] = next(value for name, value in fields if name == b":path")
                if self._paths[stream] != SEEN.encode():
                    Upstream.last = fields
            elif kind == DATA:
                self._given += length
            elif kind == SETTINGS and not flags & ACK:
                out.append(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                out.append(frame(PING, ACK, 0, data[at + 9 : end]))
            if flags & END_STREAM and kind in (DATA, HEADERS):
                out.append(self._answer(stream))
            at = end
        self._data = data[at:]
        if self._given > _TOP_UP:
            out.append(frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", self._given)))
            self._given = 0
        if out:
            self._transport.write(b"".join(out))

    def _answer(self, stream: int) -> bytes:
        head, tail = self._blocks
        if not self._steady:  # the first answer fills the peer's table, the others use it
            self._steady, self._blocks = True, self._encode()
        data = ANSWER if self._paths.pop(stream) != SEEN.encode() else _seen(Upstream.last)
        return (
            frame(HEADERS, END_HEADERS, stream, head)
            + frame(DATA, 0, stream, data)
            + frame(HEADERS, END_HEADERS | END_STREAM, stream, tail)
        )


def _seen(fields: list[tuple[bytes, bytes]]) -> bytes:
    joined = b"\n".join([value for _, value in fields])
    said = f"{int(TARGET_KEY.encode() in joined)} {int(b'eyJ' in joined)}"
    return lengthened(bytes(message("Records", next=said).SerializeToString()))


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    gc.disable()
    uvloop.run(_serve())
