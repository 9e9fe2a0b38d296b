"""The connections to one target: kept alive, bounded, and held back from a target that does not answer.

The last one used is used next, so that a quiet pool shrinks by itself.
"""

import asyncio
import ssl
from collections import deque
from math import inf

from msgspec import Struct

from funcgate.core.function import Limits
from funcgate.core.refusal import Code, Refused
from funcgate.wire.http1.limits import HeadLimits

from .sweeper import Sweeper
from .upstream import UpstreamConnection

# Shorter than the 5 s after which common servers close an idle connection: a request must not meet that close half-way.
_IDLE_S = 4.0
_MAX_USES = 100_000
_FAILURES_TO_HOLD = 3
_HOLD_S = 1.0


class Address(Struct, frozen=True):
    """Where a target listens. `ssl_context` is None for plain text; `server_name` is what its certificate must name."""

    host: str
    port: int
    ssl_context: ssl.SSLContext | None = None
    server_name: str | None = None


class Pool:
    """Hands out connections, one call at a time each. One for a target; it outlives a reload that does not change it."""

    def __init__(self, address: Address, limits: Limits, head_limits: HeadLimits, sweeper: Sweeper) -> None:
        self.address = address
        self.limits = limits
        self._head_limits = head_limits
        self._sweeper = sweeper
        self._idle: list[UpstreamConnection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open = 0
        self._failures = 0
        self._held_until = -inf
        self._closed = False

    @property
    def healthy(self) -> bool:
        """False while connecting to the target keeps failing."""
        return self._failures < _FAILURES_TO_HOLD

    def idle(self) -> UpstreamConnection | None:
        """An open connection that is free now, without waiting."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if (
                connection.is_usable()
                and connection.used < _MAX_USES
                and connection.idle_since >= connection.now() - _IDLE_S
            ):
                return connection
            self._drop(connection)
        return None

    async def acquire(self, *, fresh: bool = False) -> UpstreamConnection:
        """A free connection, or a new one. Raises `Refused(target.unreachable)` when there is none in `connect_timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.limits.connect_timeout_s
        while True:
            connection = None if fresh else self.idle()
            if connection is not None:
                return connection
            if self._open < self.limits.max_connections:
                return await self._connect(deadline)
            await self._wait(deadline)

    def release(self, connection: UpstreamConnection) -> None:
        """Give it back after an answer that was read to its end; it is closed if it cannot serve another."""
        if connection.is_usable() and not self._closed:
            connection.idle_since = connection.now()
            self._idle.append(connection)
            if self._waiting:
                self._wake_one()
        else:
            self._drop(connection)

    def discard(self, connection: UpstreamConnection) -> None:
        """Close it: its answer was not read to the end, or it broke."""
        self._drop(connection)

    def close(self) -> None:
        """Close what is idle, now; what is under way closes when it is released."""
        self._closed = True
        while self._idle:
            self._drop(self._idle.pop())

    async def _connect(self, deadline: float) -> UpstreamConnection:
        loop = asyncio.get_running_loop()
        if not self.healthy and loop.time() < self._held_until:
            raise _unreachable("the target is held back after failed connections")
        address, limits = self.address, self.limits
        self._open += 1
        try:
            async with asyncio.timeout_at(deadline):
                _, connection = await loop.create_connection(
                    lambda: UpstreamConnection(
                        self._sweeper, self._head_limits, limits.first_byte_timeout_s, limits.idle_timeout_s
                    ),
                    address.host,
                    address.port,
                    ssl=address.ssl_context,
                    server_hostname=address.server_name,
                )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self._gone()
            self._failures += 1
            self._held_until = loop.time() + _HOLD_S
            raise _unreachable(f"connecting to the target failed: {type(error).__name__}") from None
        except BaseException:
            self._gone()
            raise
        self._failures = 0
        return connection

    async def _wait(self, deadline: float) -> None:
        """Until a connection is given back. First come, first served."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                # Attack: hang up just as one's turn comes, so that a free connection stays where it is and others wait for it.
                self._wake_one()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise _unreachable("all connections to the target are in use") from None
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _drop(self, connection: UpstreamConnection) -> None:
        connection.close()
        self._gone()

    def _gone(self) -> None:
        self._open -= 1
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


def _unreachable(why: str) -> Refused:
    return Refused(Code.TARGET_UNREACHABLE, private_detail=why, retry_after_s=1)
