"""How an answer, or a refusal, is written to a caller that speaks HTTP/2: on the call's own stream (RFC 9113, 8.1)."""

from contextlib import aclosing

from funcgate.core.ports import CallerGone
from funcgate.core.refusal import Refused
from funcgate.core.reply import Reply
from funcgate.protocols.http.exchange import Caller, HttpExchange, pieces_of
from funcgate.protocols.http.target import HttpSite
from funcgate.wire.http1.requests import Request
from funcgate.wire.http2 import answers
from funcgate.wire.http2.events import Fields

from .stream import Gone, Stream


class Http2Exchange(HttpExchange):
    """An exchange on one stream. All else is as in HTTP/1.1: the same request, the same rules."""

    __slots__ = ("_stream",)

    def __init__(
        self, caller: Caller, stream: Stream, request: Request, site: HttpSite, broken: Refused | None
    ) -> None:
        super().__init__(caller, request, site, broken)
        self._stream = stream

    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`."""
        stream = self._stream
        try:
            if self.request.method == b"HEAD" or reply.status in (204, 304):
                fields = self._head(reply)
                self._begin()
                stream.head(fields, end=True)
            elif reply.body is not None and not reply.trailers:
                fields = self._head(reply)
                fields.append((b"content-length", b"%d" % len(reply.body)))
                self._begin()
                await self._write(fields, reply.body)
            else:
                await self._deliver_pieces(reply)
        except Gone:
            raise CallerGone from None

    async def _deliver_pieces(self, reply: Reply) -> None:
        stream = self._stream
        async with aclosing(pieces_of(reply)) as pieces:
            # Before the head: an answer that is collected to be masked is refused here, while a refusal can still be told.
            piece = await anext(pieces, b"")
            self._begin()
            stream.head(self._head(reply))
            while piece:
                await stream.write(piece)
                piece = await anext(pieces, b"")
        if reply.trailers:
            stream.send_trailers(answers.trailers(reply.trailers))
        else:
            await stream.write(b"", end=True)

    async def _answer_no(self, refused: Refused) -> None:
        fields, body = answers.refusal(refused, self.call_id, self._spent_ms(), self._approval_url(refused))
        try:
            await self._write(fields, b"" if self.request.method == b"HEAD" else body)
        except Gone:
            return

    async def _write(self, fields: Fields, body: bytes) -> None:
        if body:
            self._stream.head(fields)
            await self._stream.write(body, end=True)
        else:
            self._stream.head(fields, end=True)

    def _head(self, reply: Reply) -> Fields:
        return answers.head(reply.status, reply.headers, self.call_id, self._spent_ms())
