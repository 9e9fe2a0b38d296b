"""Where callers connect: accepts, bounds and drains connections, and holds the site that they are served from."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from funcgate.core.ids import new_id
from funcgate.core.meter import Meter
from funcgate.core.refusal import Code, Refused
from funcgate.gateway import Gateway
from funcgate.protocols.http2.caller import Grpc, Http2Caller
from funcgate.wire.http1.writing import refusal

from .caller import CallerConnection
from .limits import ListenerLimits
from .sweeper import Sweeper
from .target import HttpSite


class Admitted(Protocol):
    """A connection, whatever is spoken on it."""

    def abort(self) -> None: ...

    def close_if_idle(self) -> None: ...


class HttpListener:
    """Serves callers. Assign `site` to swap everything that a configuration decides; open calls keep the old one."""

    def __init__(
        self, gateway: Gateway, meter: Meter, limits: ListenerLimits, site: HttpSite, sweeper: Sweeper
    ) -> None:
        self.gateway = gateway
        self.limits = limits
        self.site = site
        self.draining = False
        self.grpc: Grpc | None = None  # without it, gRPC is HTTP like any other
        self.port = 0
        self.on_closed: Callable[[], None] = lambda: None
        self._meter = meter
        self._sweeper = sweeper
        self._connections: set[Admitted] = set()
        self._streams = 0
        self._empty = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, ssl_context: ssl.SSLContext | None = None) -> None:
        """Begin to accept. Raises `OSError` when the address cannot be had. `port` 0 takes a free one: see `self.port`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: CallerConnection(self, secure=ssl_context is not None),
            host,
            port,
            ssl=ssl_context,
            ssl_handshake_timeout=self.limits.tls_handshake_timeout_s if ssl_context is not None else None,
            backlog=1024,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def take(self, connected: socket.socket, ssl_context: ssl.SSLContext | None = None) -> None:
        """Serve a connection that was accepted elsewhere. Raises `OSError` when it ends before anything is said."""
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: CallerConnection(self, secure=ssl_context is not None),
            connected,
            ssl=ssl_context,
            ssl_handshake_timeout=self.limits.tls_handshake_timeout_s if ssl_context is not None else None,
        )

    @property
    def open(self) -> int:
        """Connections that are open. `on_closed` is called whenever there are fewer."""
        return len(self._connections)

    def admit(self, connection: CallerConnection) -> bool:
        """Take the connection in. False when there are too many, or the gateway is going away."""
        if self.draining or len(self._connections) >= self.limits.max_connections:
            self.on_closed()
            return False
        self._connections.add(connection)
        self._sweeper.add(connection)
        self._meter.open_connections += 1
        return True

    def begin_http2(self, old: CallerConnection, transport: asyncio.Transport, first: bytes) -> None:
        """A connection that was admitted goes on as HTTP/2."""
        new = Http2Caller(self, self._sweeper, old.client)
        self._sweeper.discard(old)
        self._connections.discard(old)
        self._connections.add(new)
        new.begin(transport, first, leave=self.draining)

    def dismiss(self, connection: Admitted) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            if isinstance(connection, CallerConnection):
                self._sweeper.discard(connection)
            self._meter.open_connections -= 1
            self.on_closed()
            if not self._connections:
                self._empty.set()

    def admit_stream(self) -> bool:
        """One call more on an HTTP/2 connection, if there may be one: then `dismiss_stream` belongs to its end."""
        # Attack: a thousand connections with a hundred calls each, all of which hold a body.
        if self._streams >= self.limits.max_streams:
            self._meter.count("", "none", Code.GATEWAY_OVERLOADED)
            return False
        self._streams += 1
        return True

    def dismiss_stream(self) -> None:
        self._streams -= 1

    @property
    def alone(self) -> bool:
        """Whether at most one call over HTTP/2 is under way."""
        return self._streams <= 1

    def overloaded(self) -> bytes:
        """The answer to one connection too many. Counted, not recorded: nobody asked for anything yet."""
        self._meter.count("", "none", Code.GATEWAY_OVERLOADED)
        refused = Refused(Code.GATEWAY_OVERLOADED, retry_after_s=1)
        return refusal(refused, new_id(), keep_alive=False, head_only=False)

    def broke(self) -> None:
        """A connection ended by a fault of ours."""
        self._meter.count("", "none", Code.GATEWAY_ERROR)

    async def drain(self, timeout_s: float) -> bool:
        """Stop accepting, let open calls end, close. True when all ended in time; else the rest is cut, and recorded so."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close_if_idle()
        self._empty.clear()
        try:
            async with asyncio.timeout(timeout_s):
                while self._connections:
                    await self._empty.wait()
                    self._empty.clear()
        except TimeoutError:
            self.close()
            await asyncio.sleep(0)
            return False
        return True

    def close(self) -> None:
        """Cut everything that is open."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()
