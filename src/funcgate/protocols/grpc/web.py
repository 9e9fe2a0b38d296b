"""gRPC-Web over HTTP/1.1: one request and its answer, to read and to write like a stream. Its body is read whole."""

import asyncio
from math import inf
from typing import Protocol

from funcgate.core.ports import CallerGone
from funcgate.protocols.http2.stream import Gone, Why
from funcgate.wire.http1 import writing
from funcgate.wire.http1.fields import NEVER_FORWARDED
from funcgate.wire.http1.requests import Request

Fields = list[tuple[bytes, bytes]]


class Connection(Protocol):
    """What is asked of the caller's connection (protocols/http/caller.py)."""

    client: str

    @property
    def may_stay(self) -> bool: ...

    async def read_body(self, request: Request, limit: int) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...

    def answer_began(self) -> None: ...

    def abort(self) -> None: ...


class WebStream:
    """`limit` is of the body. The connection has timeouts of its own, so those of a stream do nothing here."""

    def __init__(self, connection: Connection, request: Request, limit: int) -> None:
        self._connection = connection
        self._request = request
        self._limit = limit
        self._begun = self._over = False
        self._chunked = request.version_1_1
        self.ended = False
        self.held = 0
        self.loop = asyncio.get_running_loop()
        self.write_timeout_s = self.read_by = inf

    def whole(self) -> None:
        """It has to be read."""

    async def read(self, limit: int = 0) -> bytes:
        """All of the body at once, then b"". Raises `Refused`."""
        if self.ended:
            return b""
        self.ended = True
        return await self._connection.read_body(self._request, self._limit)

    def head(self, fields: Fields, end: bool = False) -> None:
        """See `answering.Back`."""
        status = next((int(value) for name, value in fields if name == b":status"), 200)
        lines = [writing.status_line(status), writing.fields_block(f for f in fields if f[0][:1] != b":")]
        bodiless = end and any(name == b"content-length" for name, _ in fields)
        self._chunked = self._chunked and not bodiless
        if not self._connection.may_stay or not (self._chunked or bodiless):
            self._request.keep_alive = False
            lines.append(b"Connection: close\r\n")
        if self._chunked:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        self._connection.answer_began()
        self._begun = True
        self._write(b"".join([*lines, b"\r\n"]))
        if end:
            self._end()

    def send_trailers(self, fields: Fields) -> None:
        """gRPC-Web has its trailers in the body."""
        raise TypeError("trailers of HTTP/1.1 are not used")

    async def write(self, data: bytes, end: bool = False) -> None:
        """See `answering.Back`."""
        if data:
            self._write(writing.chunk(data) if self._chunked else data)
        if end:
            self._end()
        await self._connection.drain()

    def answer_now(self, head: Fields, data: bytes, trailers: Fields) -> bool:
        """Never: it is written piece for piece."""
        return False

    def close(self) -> None:
        """An answer that was not ended must not look whole."""
        if not self._over:
            self._connection.abort()

    def _end(self) -> None:
        self._over = True
        if self._chunked:
            self._write(writing.LAST_CHUNK)

    def _write(self, data: bytes) -> None:
        try:
            self._connection.write(data)
        except CallerGone:
            raise Gone(Why.CLOSED) from None


def fields_of(request: Request) -> Fields:
    """The request's head as a stream has it."""
    known = request.known
    own = [(name, value) for name, value in known.items() if name in NEVER_FORWARDED]
    return [
        (b":method", request.method),
        (b":path", request.target),
        (b":authority", known.get(b"host", b"")),
        *own,
        *request.fields,
    ]
