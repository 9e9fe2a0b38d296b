"""One caller's HTTP/2 connection: a task for each stream, no more of them than streams were offered.

It decides nothing about a call; what is plain HTTP and what is gRPC is told apart here, and nothing else.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from funcgate.core.principal import Tokens
from funcgate.gateway import Gateway
from funcgate.protocols.http.limits import ListenerLimits
from funcgate.protocols.http.listening import GrpcWeb
from funcgate.protocols.http.refusals import broken as broken_refusal
from funcgate.protocols.http.refusals import too_large
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http.target import HttpSite
from funcgate.wire.http1.limits import Malformed
from funcgate.wire.http1.requests import Request
from funcgate.wire.http2 import answers
from funcgate.wire.http2.codes import ErrorCode
from funcgate.wire.http2.events import Fields
from funcgate.wire.http2.requests import request_of

from .exchange import Http2Exchange
from .link import Http2Connection, Times
from .stream import Gone, Stream, Why


class Grpc(GrpcWeb, Protocol):
    """Who serves streams whose content is gRPC, too."""

    def serve(self, stream: Stream, fields: Fields, client: str, tokens: Tokens) -> Coroutine[Any, Any, None]: ...


class Listening(Protocol):
    """What a connection asks of the listener that accepted it."""

    limits: ListenerLimits
    site: HttpSite
    gateway: Gateway

    @property
    def grpc(self) -> Grpc | None: ...

    @property
    def alone(self) -> bool: ...

    def admit_stream(self) -> bool: ...

    def dismiss_stream(self) -> None: ...

    def dismiss(self, connection: "Http2Caller") -> None: ...

    def broke(self) -> None: ...


class Http2Caller:
    """Owns the connection. `abort` and `close_if_idle` are for the listener."""

    def __init__(self, listener: Listening, sweeper: Sweeper, client: str) -> None:
        limits = listener.limits
        times = Times(
            settle_s=limits.header_timeout_s,
            unfinished_s=limits.header_timeout_s,
            write_s=limits.write_timeout_s,
            idle_s=limits.idle_timeout_s,
            ping_after_s=limits.ping_after_s,
            ping_s=limits.ping_s,
        )
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._client = client
        self._tokens = Tokens()
        self._most = limits.http2.max_streams
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._connection = Http2Connection(self, sweeper, limits.http2, times, client=False)

    def begin(self, transport: asyncio.Transport, first: bytes, *, leave: bool) -> None:
        """Take the transport over; `first` are the bytes that came already."""
        transport.set_protocol(self._connection)
        self._connection.connection_made(transport)
        if leave:
            self._connection.leave()
        elif first:
            self._connection.data_received(first)

    def abort(self) -> None:
        self._connection.abort()

    def close_if_idle(self) -> None:
        """For draining: GOAWAY, and the end once the last stream has ended (RFC 9113, 6.8)."""
        self._connection.leave()

    # What the connection tells, and asks.

    @property
    def alone(self) -> bool:
        return self._listener.alone

    def opened(self, stream: Stream) -> None:
        # Attack: reset streams, or have us reset them, faster than their calls can be cancelled (CVE-2023-44487, CVE-2025-8671).
        if len(self._tasks) >= self._most or not self._listener.admit_stream():
            stream.reset(ErrorCode.REFUSED_STREAM)
            return
        caller = CallerStream(self._listener, stream, self._client, self._tokens, self._over)
        caller.task = task = self._loop.create_task(self._serve(caller))
        self._tasks[stream.number] = task
        stream.write_timeout_s = self._listener.limits.write_timeout_s
        stream.on_gone = caller.gone

    def settled(self, connection: Http2Connection) -> None:
        pass

    def freed(self, connection: Http2Connection) -> None:
        pass

    def lost(self, connection: Http2Connection, why: str) -> None:
        self._listener.dismiss(self)

    # Serving.

    def _over(self, stream: Stream) -> None:
        """The stream's task has ended, or never begins."""
        if self._tasks.pop(stream.number, None) is not None:
            self._listener.dismiss_stream()

    async def _serve(self, caller: "CallerStream") -> None:
        stream, listener = caller.stream, self._listener
        caller.begun = True
        try:
            fields = stream.fields
            if fields is not None and listener.grpc is not None and _is_grpc(fields):
                await listener.grpc.serve(stream, fields, self._client, self._tokens)
            else:
                await self._serve_http(caller, stream)
        except Exception:
            # Whatever broke, the caller must not wait for ever, and nothing half-done may look whole.
            listener.broke()
            stream.reset(ErrorCode.INTERNAL_ERROR)
        finally:
            if not stream.forgotten:
                stream.close()
            self._over(stream)
            # Attack: calls, one after the other. Stream and task would keep each other, and all of the call, until a collection
            # that is rare.
            stream.on_gone = caller.task = None

    async def _serve_http(self, caller: "CallerStream", stream: Stream) -> None:
        listener = self._listener
        try:
            if stream.malformed is not None:
                raise Malformed(stream.malformed.why, stream.malformed.status)
            request, broken = request_of(stream.fields or [], listener.limits.head), None
            whole = stream.whole()
            if whole is not None:
                request.pieces.append(whole)
                request.size = len(whole)
                request.complete = True
            grpc = listener.grpc
            if request.method == b"OPTIONS" and grpc is not None and (answer := grpc.preflight(request)) is not None:
                stream.head(answer, end=True)
                return
        except Malformed as malformed:
            # Refused through the same gate, so that it is recorded.
            request, broken = Request(b"GET", b"/"), broken_refusal(malformed)
        site = listener.site
        await listener.gateway.carry(Http2Exchange(caller, stream, request, site, broken), site.snapshot)


_GRPC = b"application/grpc"


def _is_grpc(fields: Fields) -> bool:
    for name, value in fields:  # noqa: SIM110 - a generator would cost as much again for each field
        if name == b"content-type" and value.startswith(_GRPC):
            return True
    return False


class CallerStream:
    """One stream, as an exchange sees its caller."""

    __slots__ = ("_listener", "_over", "_reading", "begun", "client", "stream", "task", "tokens")

    def __init__(
        self, listener: Listening, stream: Stream, client: str, tokens: Tokens, over: Callable[[Stream], None]
    ) -> None:
        self._listener = listener
        self._over = over
        self._reading = False
        self.begun = False
        self.client = client
        self.tokens = tokens
        self.stream = stream
        self.task: asyncio.Task[None] | None = None

    @property
    def site(self) -> HttpSite:
        return self._listener.site

    def gone(self) -> None:
        """The stream is over before its time: so is the call, and its request to the target with it."""
        error = self.stream.error
        if self._reading and error is not None and error.why is Why.UNREADABLE:
            return  # the reader is told, and the refusal recorded
        if self.task is not None:
            self.task.cancel()
            if not self.begun:
                # Attack: a head and its reset in one packet. A task that is cancelled before its first step never takes one.
                self._over(self.stream)

    async def read_body(self, request: Request, limit: int) -> bytes:
        """The whole body. Raises `Refused` when it is larger than `limit`, too slow, or malformed."""
        limits = self._listener.limits
        if max(request.size, int(request.known.get(b"content-length", b"0"))) > limit:
            raise too_large()
        stream = self.stream
        self._reading = True
        stream.read_by = asyncio.get_running_loop().time() + limits.body_timeout_s
        try:
            if request.known.get(b"expect", b"").lower() == b"100-continue" and not request.size:
                stream.head(answers.CONTINUE)  # RFC 9110, 10.1.1
            while piece := await stream.read():
                request.pieces.append(piece)
                request.size += len(piece)
                if request.size > limit:
                    raise too_large()
        except Gone as gone:
            if gone.why is Why.LATE:
                raise broken_refusal(Malformed("the time for the rest of a body was over", 408)) from None
            raise broken_refusal(Malformed("the body is not what was announced")) from None
        finally:
            self._reading = False
        request.complete = True
        return request.body

    def answer_began(self) -> None:
        pass

    def abort(self) -> None:
        """The caller must not take what it has for the whole answer (RFC 9113, 8.1)."""
        self.stream.reset(ErrorCode.INTERNAL_ERROR)
