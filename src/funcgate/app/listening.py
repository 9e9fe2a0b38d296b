"""Where callers connect: all listeners of one gateway, started, swapped to a new version, and drained together."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from msgspec import structs

from funcgate.config.parts import Parts
from funcgate.config.settings import Address
from funcgate.core.budget import Spending
from funcgate.core.meter import Meter
from funcgate.gateway import Gateway
from funcgate.logs import logger
from funcgate.protocols.grpc.service import GrpcService
from funcgate.protocols.http.limits import ListenerLimits
from funcgate.protocols.http.listener import HttpListener
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.postgres.listener import PostgresListener
from funcgate.protocols.postgres.target import SessionLimits
from funcgate.wire.http1.limits import HeadLimits

from .building import Built, StartFailed

T = TypeVar("T")
HTTP, POSTGRES = b"h", b"p"  # the addresses of callers, where a connection comes from another process


class Listening:
    """HTTP and gRPC at one address, PostgreSQL at another one where there is such a target. `ready` is for health checks."""

    def __init__(
        self, gateway: Gateway, meter: Meter, sweeper: Sweeper, built: Built, ready: Callable[[], bool]
    ) -> None:
        self._parts = parts = built.parts
        self._tls = (parts.server_tls, parts.postgres_tls)
        limits = listener_limits(parts)
        self._http = HttpListener(gateway, meter, limits, built.site, sweeper)
        self._grpc = GrpcService(gateway, limits, built.grpc, ready)
        self._http.grpc = self._grpc
        self._postgres: PostgresListener | None = None
        if parts.postgres is not None:
            session = SessionLimits(
                max_connections=limits.max_connections,
                login_timeout_s=limits.header_timeout_s,
                tls_handshake_timeout_s=limits.tls_handshake_timeout_s,
                write_timeout_s=limits.write_timeout_s,
            )
            self._postgres = PostgresListener(gateway, meter, session, built.postgres)

    def among(
        self, number: int, of: int, accounts: Spending, elsewhere: Callable[[int, bytes], Awaitable[None]]
    ) -> None:
        """This is worker `number` of several: connections come by `take`, budgets are counted by `accounts`, and `elsewhere` gets
        PostgreSQL's cancel requests for sessions of the others."""
        if self._postgres is not None:
            self._postgres.share, self._postgres.elsewhere = (number, of), elsewhere
            self._postgres.accounts = accounts

    async def take(self, what: bytes, connected: socket.socket) -> None:
        """Serve a connection that was accepted elsewhere, at the address of this name. Raises `OSError` when it ends at once."""
        tls, postgres_tls = self._tls
        if what == HTTP:
            await self._http.take(connected, tls)
        elif what == POSTGRES and self._postgres is not None:
            await self._postgres.take(connected, postgres_tls)
        else:
            connected.close()

    def open_of(self, what: bytes) -> int:
        """Connections at that address that are open."""
        if what == HTTP:
            return self._http.open
        return self._postgres.open if self._postgres is not None else 0

    def on_closed(self, call: Callable[[], None]) -> None:
        """Have this called whenever there are fewer of them."""
        self._http.on_closed = call
        if self._postgres is not None:
            self._postgres.on_closed = call

    async def cancel(self, pid: int, secret: bytes) -> None:
        """A PostgreSQL cancel request that came elsewhere."""
        if self._postgres is not None:
            await self._postgres.cancel(pid, secret)

    async def start(self) -> None:
        """Begin to accept. Raises `StartFailed`."""
        parts, (tls, postgres_tls) = self._parts, self._tls
        await _or_fail("listen.calls", parts.calls, self._http.start(parts.calls.host, parts.calls.port, tls))
        if self._postgres is not None and parts.postgres is not None:
            host, port = parts.postgres
            await _or_fail("listen.postgres", parts.postgres, self._postgres.start(host, port, postgres_tls))

    @property
    def addresses(self) -> Mapping[str, str]:
        """Where callers connect, by the name in the configuration."""
        found = {"calls": str(Address(self._parts.calls.host, self._http.port))}
        if self._postgres is not None and self._parts.postgres is not None:
            found["postgres"] = str(Address(self._parts.postgres.host, self._postgres.port))
        return found

    def swap(self, built: Built) -> None:
        """Serve another version: each is one assignment, so that a call sees the old version or the new one, never both."""
        if self._postgres is not None:
            self._postgres.site = built.postgres
        self._grpc.site = built.grpc
        self._http.site = built.site
        self._renew_certificate(built.parts)

    async def drain(self, limit_s: float, hurry: asyncio.Event) -> bool:
        """Stop accepting and let open calls end, until `hurry` is set. True when all ended in time; else the rest is cut."""
        draining = asyncio.ensure_future(self._drain_all(limit_s))
        hurried = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not draining.done():
            self.close()
        return await draining

    def close(self) -> None:
        """Cut everything that is open."""
        self._http.close()
        if self._postgres is not None:
            self._postgres.close()

    async def end(self) -> None:
        """The same, where somebody waits for it."""
        self.close()

    async def _drain_all(self, limit_s: float) -> bool:
        waiting = [self._http.drain(limit_s)]
        if self._postgres is not None:
            waiting.append(self._postgres.drain(limit_s))
        return all(await asyncio.gather(*waiting))

    def _renew_certificate(self, parts: Parts) -> None:
        """The listeners keep their contexts; new connections get what is in the files now."""
        tls = parts.loaded.config.listen.tls
        if tls is None:
            return
        try:
            for context in self._tls:
                if context is not None:
                    context.load_cert_chain(parts.loaded.base / tls.cert, parts.loaded.base / tls.key, lambda: "")
        except OSError as error:  # they were good a moment ago, and the old ones are still there
            logger().error("the certificate cannot be renewed", exc_info=error)


def listener_limits(parts: Parts) -> ListenerLimits:
    """As they are configured."""
    limits = parts.limits
    head = HeadLimits(max_line=limits.request_line, max_fields=limits.headers, max_bytes=limits.header_bytes)
    return ListenerLimits(
        head=head,
        max_connections=limits.connections,
        max_pipelined=limits.pipelined,
        header_timeout_s=limits.header_timeout_s,
        body_timeout_s=limits.body_timeout_s,
        idle_timeout_s=limits.idle_timeout_s,
        write_timeout_s=limits.write_timeout_s,
        tls_handshake_timeout_s=limits.tls_handshake_timeout_s,
        http2=structs.replace(limits.http2, head=head),
        max_streams=limits.http2_streams,
        ping_after_s=limits.ping_after_s,
        ping_s=limits.ping_s,
    )


async def _or_fail(what: str, where: object, starting: Awaitable[T]) -> T:
    try:
        return await starting
    except OSError as error:
        raise StartFailed(f"{what}: {where}: {error.strerror or error}") from None
