"""One connection to a target, up to its SETTINGS: no request goes to a place that does not speak HTTP/2.

How many there are, and who waits for them, is upstream.py's.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from funcgate.protocols.http.pool import Address

from .link import Http2Connection
from .owner import Owner
from .stream import Stream


class Pool(Protocol):
    """Who is told of the connection once it is in use."""

    def freed(self, connection: Http2Connection) -> None: ...

    def lost(self, connection: Http2Connection) -> None: ...


async def dial(
    pool: Pool, address: Address, timeout_s: float, make: Callable[[Owner], Http2Connection]
) -> Http2Connection:
    """A connection that was greeted. Raises `OSError` and `TimeoutError`; whatever it raises, nothing is left open."""
    loop = asyncio.get_running_loop()
    greeted: asyncio.Future[None] = loop.create_future()
    connection: Http2Connection | None = None
    try:
        async with asyncio.timeout(timeout_s):
            _, connection = await loop.create_connection(
                lambda: make(_Connected(pool, greeted)),
                address.host,
                address.port,
                ssl=address.ssl_context,
                server_hostname=address.server_name,
            )
            if address.ssl_context is not None:
                _check_alpn(connection)
            await greeted
        if connection.over:
            raise ConnectionError("it broke off at once")
    except BaseException:
        if connection is not None:
            connection.abort()
        raise
    return connection


class _Connected:
    """The owner of one connection (see `link.Owner`)."""

    alone = False  # nobody asks

    def __init__(self, pool: Pool, greeted: asyncio.Future[None]) -> None:
        self._pool = pool
        self._greeted = greeted
        self.freed = pool.freed

    def opened(self, stream: Stream) -> None:
        raise TypeError("a target opened a stream")  # the wire refuses it before (RFC 9113, 8.4)

    def settled(self, connection: Http2Connection) -> None:
        if not self._greeted.done():
            self._greeted.set_result(None)

    def lost(self, connection: Http2Connection, why: str) -> None:
        if not self._greeted.done():
            self._greeted.set_exception(ConnectionError(why))
        self._pool.lost(connection)


def _check_alpn(connection: Http2Connection) -> None:
    transport = connection.transport
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    if tls is None or tls.selected_alpn_protocol() != "h2":
        raise ConnectionError("it did not choose h2")  # RFC 9113, 3.2


def said(error: Exception) -> str:
    """What the target did, where it is we who noticed; what the system says of a socket is told by its type alone."""
    return f" ({error})" if type(error) is ConnectionError and str(error) else ""
