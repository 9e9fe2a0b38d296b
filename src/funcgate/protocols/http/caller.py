"""One caller's connection: reads requests and serves them in order. All waiting of a caller happens here.

It decides nothing about a call; it turns slowness, noise and silence of a caller into refusals.
"""

import asyncio
from collections import deque
from math import inf
from typing import cast

from funcgate.core.principal import Tokens
from funcgate.wire.http1.limits import Malformed
from funcgate.wire.http1.requests import Request, RequestReader
from funcgate.wire.http1.writing import CONTINUE
from funcgate.wire.http2.codes import PREFACE

from .answering import Http1Exchange
from .caller_end import CallerEnd, Phase
from .listening import Listening
from .refusals import broken, too_large
from .target import HttpSite

_UNASKED = 64 << 10  # body bytes taken before the call asks for its body
_HIGH_WATER = 256 << 10
_LINGER_S = 2.0
_GRPC_WEB = b"application/grpc-web"
_IDLE, _HEAD, _BODY, _CALL, _PROBE = Phase.IDLE, Phase.HEAD, Phase.BODY, Phase.CALL, Phase.PROBE


class CallerConnection(CallerEnd):
    """One connection from a caller; one task serves its requests, one after the other."""

    def __init__(self, listener: Listening, *, secure: bool) -> None:
        super().__init__(listener.limits)
        self._listener = listener
        self._secure = secure
        self._queue: deque[Request] = deque()
        self._reader = RequestReader(listener.limits.head, self._queue.append)
        self._broken: Malformed | None = None
        self._allowance = _UNASKED
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._eof = False
        self._discarding = False
        self._early = b""  # what may be the begin of HTTP/2's preface
        self.client = ""
        self.tokens = Tokens()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = connected = cast(asyncio.Transport, transport)
        peer = connected.get_extra_info("peername")
        self.client = peer[0] if isinstance(peer, tuple) else "local"
        connected.set_write_buffer_limits(high=_HIGH_WATER)
        http2 = self._secure and _speaks_http2(connected)
        if not self._listener.admit(self):
            if not http2:
                connected.write(self._listener.overloaded())
            connected.close()
            return
        if http2:
            self._become_http2(b"")
            return
        self._enter(_IDLE, self._limits.header_timeout_s)
        self._task = self._loop.create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        if self._discarding or self._broken is not None:
            return
        request = self._reader.first(data)
        if request is None:
            self._take(data)
            return
        queue = self._queue
        queue.append(request)
        if len(queue) >= self._limits.max_pipelined or (not request.complete and request.size > self._allowance):
            self._pause_reading()
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def _take(self, data: bytes) -> None:
        """Bytes that are anything but a plain request from its beginning."""
        reader = self._reader
        try:
            reader.feed(data)
        except Malformed as malformed:
            if self._is_preface(data):
                self._become_http2(self._early + data)
                return
            self._broken = malformed
        if reader.mid_head and (self._phase is _IDLE or self._early):
            if self._phase is _IDLE:
                self._enter(_HEAD, self._limits.header_timeout_s)
            self._early = self._early + data if self._is_preface(data) else b""
        current = reader.current
        if len(self._queue) >= self._limits.max_pipelined:
            self._pause_reading()
        if current is not None and not current.complete:
            if current.size > self._allowance:
                self._pause_reading()
            elif self._phase is _BODY and current is self._request and self._broken is None:
                return  # who waits for the body waits for all of it
        self._wake()

    def _is_preface(self, data: bytes) -> bool:
        """Whether all that came is, or may become, HTTP/2's preface: prior knowledge, in clear only (RFC 9113, 3.3)."""
        # HTTP/1.1 pays nothing for this: llhttp does not take the preface for a request, and only then is it looked for.
        came = self._early + data
        at_first = self._reader.current is None and not self._secure
        return at_first and (came.startswith(PREFACE) or PREFACE.startswith(came))

    def _become_http2(self, first: bytes) -> None:
        """The connection goes on as another protocol. Nothing of this one may touch it any more."""
        transport, self._transport = self._transport, None
        if self._task is not None:
            self._task.cancel()
        if transport is not None:
            self._listener.begin_http2(self, transport, first)

    def eof_received(self) -> bool:
        self._eof = True
        busy = self._request is not None or bool(self._queue)
        current = self._reader.current
        if self._broken is None and (self._reader.mid_head or (current is not None and not current.complete)):
            self._broken = Malformed("the connection ended inside a request")
        self._wake()
        if busy and self._phase is _CALL:
            self._probe()
        return busy and not self._secure

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        # Attack: connections, one after the other, each of which stays in memory until a collection that is rare.
        self._reader.forget()
        self._listener.dismiss(self)
        if self._task is not None and not self._task.done():
            self._task.cancel()  # an open call is cancelled, its request to the target with it

    def expire(self, now: float) -> None:
        """The sweeper found the deadline of the present phase passed."""
        if self._phase is _PROBE:
            self._probe()
            return
        self.deadline = inf
        if self._phase in (_HEAD, _BODY):
            # Attack: hold a connection open with one byte now and then (slowloris).
            self._broken = Malformed(f"the time for {self._phase.value} was over", 408)
            self._wake()
        elif self._phase is _IDLE:
            self.close()
        else:
            self.abort()

    # What the exchange uses.

    @property
    def site(self) -> HttpSite:
        return self._listener.site

    @property
    def may_stay(self) -> bool:
        """Whether this connection can serve another request after the present one."""
        request = self._request
        return request is not None and self.stays_after(request)

    def stays_after(self, request: Request) -> bool:
        """The same, where the present one is at hand."""
        return (
            request.keep_alive and request.complete and not self._eof
            and self._broken is None and not self._listener.draining
        )  # fmt: skip

    async def read_body(self, request: Request, limit: int) -> bytes:
        """The whole body. Raises `Refused` when it is larger than `limit`, too slow, or malformed."""
        if not request.complete:
            known, loop = request.known, self._loop
            if int(known.get(b"content-length", b"0")) > limit:
                raise too_large()
            if b"expect" in known and known[b"expect"].lower() == b"100-continue" and not request.size:
                self.write(CONTINUE)  # RFC 9110, 10.1.1
            self._allowance = limit
            self._phase, self.deadline = _BODY, loop.time() + self._limits.body_timeout_s
            if self._read_paused:
                self._resume_reading()
            while not request.complete and request.size <= limit:
                if self._broken is not None:
                    raise broken(self._broken)
                self._waiter = waiter = loop.create_future()
                await waiter
            self._allowance = _UNASKED
            self._phase, self.deadline = _CALL, inf
        if request.size > limit:
            raise too_large()
        return request.body

    def close_if_idle(self) -> None:
        """For draining: a connection between two requests has nothing to wait for."""
        if self._phase is _IDLE and self._request is None and not self._queue:
            self.close()

    # Serving.

    async def _serve(self) -> None:
        # One coroutine for all of it: whatever a call waits for, it is resumed through each that is between.
        listener, queue = self._listener, self._queue
        try:
            while True:
                while not queue and self._broken is None and not self._eof and not listener.draining:
                    await self._next()
                if not queue:
                    break
                self._request = request = queue.popleft()
                self._phase, self.deadline, self._answering = _CALL, inf, False
                site, grpc = listener.site, listener.grpc
                if grpc is not None and (
                    request.known.get(b"content-type", b"").startswith(_GRPC_WEB)
                    or (request.method == b"OPTIONS" and grpc.preflight(request) is not None)
                ):
                    await grpc.serve_request(self, request)
                else:
                    await listener.gateway.carry(Http1Exchange(self, request, site, None), site.snapshot)
                if not self.stays_after(request):
                    break
                self._request = None
            if self._broken is not None and self._request is None and self.writable:
                await self._refuse_broken(self._broken)
            self._finish()
        except Exception:
            # Whatever broke, the caller must not wait for ever, and nothing half-done may look whole.
            self._listener.broke()
            self.abort()

    async def _refuse_broken(self, malformed: Malformed) -> None:
        """Bytes that are no request are refused through the same gate, so that they are recorded."""
        request = Request(b"GET", b"/")
        request.keep_alive = False
        site = self._listener.site
        await self._listener.gateway.carry(Http1Exchange(self, request, site, broken(malformed)), site.snapshot)

    def _finish(self) -> None:
        """Close; if the caller is still sending, read on for a moment, or it would lose the answer to a reset (RFC 9112, 9.6)."""
        transport = self._transport
        if transport is None:
            return
        request = self._request
        unread = self._broken is not None or (request is not None and not request.complete)
        if not unread or self._eof or self._secure:
            transport.close()
            return
        self._discarding = True
        if not transport.is_closing():
            transport.write_eof()
        self._enter(Phase.LINGER, _LINGER_S)
        self._resume_reading()

    def _next(self) -> "asyncio.Future[None]":
        """Done when there is something new to look at: a request, or a reason why there will be none."""
        if self._phase is not _HEAD:
            self._phase, self.deadline = _IDLE, self._loop.time() + self._limits.idle_timeout_s
        if self._read_paused:
            self._resume_reading()
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _speaks_http2(transport: asyncio.Transport) -> bool:
    """Whether the TLS handshake agreed on it (RFC 7301)."""
    tls = transport.get_extra_info("ssl_object")
    return tls is not None and bool(tls.selected_alpn_protocol() == "h2")
