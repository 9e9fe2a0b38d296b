"""A caller that writes any HTTP/2 frames at all, and reads what comes back."""

import socket
import ssl
import time

import hpack

from support.h2frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OPENING,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Fields,
    Frame,
    block,
    frame,
    frames,
)
from support.raw import connect


class H2Caller:
    """One connection. It acknowledges nothing and opens no windows by itself."""

    def __init__(
        self, port: int, *, opening: bytes = OPENING, context: ssl.SSLContext | None = None, buffer_bytes: int = 0
    ) -> None:
        self.sock = connect(port, context=context)
        if buffer_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self.seen: list[Frame] = []
        self.heads: dict[int, list[Fields]] = {}
        self.bodies: dict[int, bytes] = {}
        self.closed = False
        self._rest = b""
        self._decoder = hpack.Decoder()
        self.send(opening)

    def __enter__(self) -> "H2Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(self, stream: int, fields: Fields, body: bytes | None = None, *, end: bool = True) -> None:
        """A head and, unless None, one frame of DATA."""
        ended = body is None and end
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if ended else 0), stream, block(fields)))
        if body is not None:
            self.send(frame(DATA, END_STREAM if end else 0, stream, body))

    def read(self, timeout_s: float = 30.0) -> bool:
        """Take in what comes next. False when nothing comes any more, or nothing came in time."""
        self.sock.settimeout(timeout_s)
        try:
            piece = self.sock.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            piece = b""
        if not piece:
            self.closed = True
            return False
        self._rest += piece
        new = list(frames(self._rest))
        self._rest = self._rest[sum(9 + len(one.payload) for one in new) :]
        for one in new:
            self.seen.append(one)
            if one.kind == HEADERS:
                self.heads.setdefault(one.stream, []).append(list(self._decoder.decode(one.payload, raw=True)))
            elif one.kind == DATA:
                self.bodies[one.stream] = self.bodies.get(one.stream, b"") + one.payload
        return True

    def until(self, kind: int, stream: int | None = None, *, timeout_s: float = 30.0) -> Frame:
        """The first such frame, also one that came before."""
        end = time.monotonic() + timeout_s
        while True:
            for one in self.seen:
                if one.kind == kind and stream in (None, one.stream):
                    return one
            if not self.read(max(0.01, end - time.monotonic())):
                raise AssertionError(f"no frame of type {kind}: {self.told()}")

    def answer(self, stream: int) -> tuple[int, Fields, bytes]:
        """Status, fields and body of the final answer, once it is whole. Raises `AssertionError` when it never is."""
        end = time.monotonic() + 30
        while not any(one.stream == stream and one.kind in (DATA, HEADERS) and one.flags & 1 for one in self.seen):
            assert not any(one.kind == RST_STREAM and one.stream == stream for one in self.seen), "the stream was reset"
            assert self.read(max(0.01, end - time.monotonic())), f"no answer: {self.told()}"
        head = next(fields for fields in self.heads[stream] if not fields[0][1].startswith(b"1"))
        return int(head[0][1]), head, self.bodies.get(stream, b"")

    def read_all(self, timeout_s: float = 30.0) -> list[Frame]:
        """Everything until the gateway closes; fails when it does not."""
        end = time.monotonic() + timeout_s
        while self.read(max(0.01, end - time.monotonic())):
            pass
        assert self.closed, f"still open: {self.told()}"
        return self.seen

    def told(self) -> str:
        """What came, in few words, for a message."""
        last = [(one.kind, one.flags, one.stream, one.payload[:60]) for one in self.seen[-12:]]
        return f"{'closed' if self.closed else 'open'} after {len(self.seen)} frames, the last of them {last}"

    def settle(self) -> None:
        """Until everything that was sent before has been read by the gateway."""
        before = len([one for one in self.seen if one.kind == PING])
        self.send(frame(PING, 0, 0, b"settled?"))
        while len([one for one in self.seen if one.kind == PING]) == before:
            assert self.read(), self.told()


__all__ = ["ACK", "PREFACE", "SETTINGS", "H2Caller"]
