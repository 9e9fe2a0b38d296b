"""How an answer, or a refusal, is written to a caller that speaks HTTP/1.1, or 1.0."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from funcgate.core.ports import CallerGone
from funcgate.core.refusal import Refused
from funcgate.core.reply import Reply
from funcgate.wire.http1 import writing
from funcgate.wire.http1.requests import Request

from .exchange import Caller, HttpExchange, pieces_of

_BODILESS = frozenset({204, 304})
_CLOSE = (b"Connection", b"close")


class WrittenTo(Caller, Protocol):
    """What is asked of a connection besides."""

    @property
    def may_stay(self) -> bool:
        """Whether the connection can serve another request after this one."""
        ...

    def stays_after(self, request: Request) -> bool:
        """The same, for the request that is served now."""
        ...

    def write(self, data: bytes) -> None: ...

    def write_answer(self, data: bytes) -> bool:
        """A whole answer, of which nothing was written before. Whether to `drain` after it."""
        ...

    async def drain(self) -> None: ...


class Http1Exchange(HttpExchange):
    """An exchange over one connection, in its turn."""

    __slots__ = ()
    _connection: WrittenTo

    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`."""
        connection, request, body = self._connection, self.request, reply.body
        if (
            body is not None and not reply.trailers and request.version_1_1 and reply.status not in _BODILESS
            and request.method != b"HEAD"
        ):  # fmt: skip
            self._began = True
            spent_s = self._spent_s()
            fields = reply.headers if connection.stays_after(request) else [*reply.headers, _CLOSE]
            if connection.write_answer(writing.whole_answer(reply.status, fields, self.call_id, spent_s, body)):
                await connection.drain()
        else:
            await self._deliver_otherwise(reply)

    async def _deliver_otherwise(self, reply: Reply) -> None:
        """An answer in pieces, or without a body, or to a caller that speaks HTTP/1.0."""
        connection, request = self._connection, self.request
        head = [
            writing.status_line(reply.status),
            writing.fields_block(reply.headers),
            writing.own_fields(self.call_id, self._spent_s()),
        ]
        streamed = reply.body is None or bool(reply.trailers)
        if not connection.may_stay or (streamed and not request.version_1_1):
            head.append(b"Connection: close\r\n")
        elif not request.version_1_1:
            head.append(b"Connection: keep-alive\r\n")
        if request.method == b"HEAD" or reply.status in _BODILESS:
            self._begin()
            head.append(b"\r\n")
            connection.write(b"".join(head))
        elif reply.body is not None and not streamed:
            self._begin()
            head.append(b"Content-Length: %d\r\n\r\n" % len(reply.body))
            head.append(reply.body)
            connection.write(b"".join(head))
        else:
            await self._deliver_pieces(head, reply)
        await connection.drain()

    async def _answer_no(self, refused: Refused) -> None:
        connection = self._connection
        data = writing.refusal(
            refused,
            self.call_id,
            keep_alive=connection.may_stay,
            head_only=self.request.method == b"HEAD",
            spent_s=self._spent_s(),
            approval_url=self._approval_url(refused),
        )
        try:
            connection.write(data)
        except CallerGone:
            return
        await connection.drain()

    async def _deliver_pieces(self, head: list[bytes], reply: Reply) -> None:
        async with aclosing(pieces_of(reply)) as pieces:
            await self._deliver_each(head, reply, pieces)

    async def _deliver_each(self, head: list[bytes], reply: Reply, pieces: AsyncGenerator[bytes, None]) -> None:
        connection = self._connection
        # Before the head: an answer that is collected to be masked is refused here, while a refusal can still be told.
        piece = await anext(pieces, b"")
        self._begin()
        chunked = self.request.version_1_1
        if chunked:
            head.append(b"Transfer-Encoding: chunked\r\n\r\n")
        else:
            self.request.keep_alive = False
            head.append(b"\r\n")  # HTTP/1.0: the end of the connection ends the body
        connection.write(b"".join(head))
        while piece:
            connection.write(writing.chunk(piece) if chunked else piece)
            await connection.drain()
            piece = await anext(pieces, b"")
        if chunked:
            connection.write(writing.last_chunk(reply.trailers))
