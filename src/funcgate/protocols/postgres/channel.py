"""One side of a session as frames: a bounded buffer in front of the loop's transport. It knows framing and nothing else."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Protocol, cast

from funcgate.core.native import half
from funcgate.wire.postgres.backend import DATA_ROW
from funcgate.wire.postgres.frames import Frame, packet_size, size_of
from funcgate.wire.postgres.frontend import BIND, QUERY, Bind, Run, read_run

_HIGH_WATER = 256 << 10
_LEAST_RUN = 20
_COMPACT = 64 << 10
_READY = b"Z\0\0\0\5"
_native = half("funcgate.wire.postgres._native")


class Ended(Exception):
    """The other side is gone, or was cut."""


class Waiter(Protocol):
    """What a future can, as far as something is waited for with it."""

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...

    def __await__(self) -> Generator[object, None, None]: ...


class Drive(Protocol):
    """See `_drive.pyx`."""

    def armed(self) -> Waiter: ...


class Alarm:
    """Ends waits that take too long with `TimeoutError`. The loop's timer outlives the waits: one for many of them."""

    __slots__ = ("_at", "_loop", "_timer", "_until", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._at = self._until = 0.0
        self._waiter: Waiter | None = None

    def watch(self, waiter: Waiter, within_s: float) -> None:
        """Let this be the wait from here on, and the only one."""
        self._waiter = waiter
        self._until = until = self._loop.time() + within_s
        if self._timer is None or self._at > until:
            self.off()
            self._set(until)

    def rest(self) -> None:
        """Nothing is waited for."""
        self._waiter = None

    def off(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, at: float) -> None:
        self._at = at
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._waiter = None
        elif self._loop.time() < self._until:
            self._set(self._until)
        else:
            waiter.set_exception(TimeoutError())


class Channel(asyncio.Protocol):
    """`limits` are the largest payloads by type. `on_lost` is done when the connection has ended."""

    def __init__(self, limits: Mapping[int, int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._buffer = bytearray()
        self._at = 0
        self._wanted = 0
        self._paused = False
        self.waiter: Waiter | None = None  # to be done when something arrives, or the connection ends
        self.taker: Callable[[], bool] | None = None  # is asked first when something arrives: whether it sees to it
        self.prompt: Drive | None = None  # what to wait with, instead of a future
        self._drained: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport | None = None
        self._alarm = Alarm(self._loop)
        self.ended = False
        self.on_lost: asyncio.Future[None] = self._loop.create_future()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        # Attack: messages sent faster than they are carried, until the memory is gone.
        there = len(self._buffer) - self._at
        if there > _HIGH_WATER and there > self._wanted and self.transport and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        if self.taker is None or not self.taker():
            self.wake()

    def eof_received(self) -> bool:
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # What a session calls.

    @property
    def empty(self) -> bool:
        """Whether nothing unread is there."""
        return len(self._buffer) == self._at

    def poll(self) -> Frame | None:
        """The next frame, if all of it is there. Raises `Malformed`."""
        buffer, at = self._buffer, self._at
        there = len(buffer) - at
        if there < 5:
            if self._paused:
                self._later()
            return None
        size = size_of(buffer, at, self._limits)
        if there < size:
            self._wanted = size
            self._later()
            return None
        return self._take(size)

    async def next(self, within_s: float = 0.0) -> Frame:
        """Raises `Ended`, `Malformed`, and `TimeoutError` when nothing comes for so long (0.0: as long as it takes)."""
        while (found := self.poll()) is None:
            await self.more(within_s)
        return found

    def whole(self, most: int) -> bytes:
        """All that is there, if it is not more than that and ends as a ReadyForQuery does; else nothing. It stays there."""
        buffer, at = self._buffer, self._at
        if buffer[-6:-1] == _READY and len(buffer) - at <= most:
            return bytes(buffer) if not at else bytes(buffer[at:])
        return b""

    def kind(self) -> int:
        """The type of the next message, -1 if nothing is there."""
        at = self._at
        return self._buffer[at] if at < len(self._buffer) else -1

    def query(self) -> tuple[str, bytes] | None:
        """The text and the bytes of a Query, if a plain one comes next that is all there, and is taken. None: see `poll`."""
        found = self.ahead()
        if found is not None:
            self._taken(self._at + len(found[1]))
        return found

    def ahead(self) -> tuple[str, bytes] | None:
        """As `query`; it stays there."""
        if _native is None:
            return None
        found: tuple[str, bytes] | None = _native.query(self._buffer, self._at, self._limits.get(QUERY[0], 0))
        return found

    def run(self) -> Run | None:
        """What `read_run` finds, if a Bind comes next. It stays there. Raises `Malformed`."""
        buffer, at = self._buffer, self._at
        if _native is not None:
            found = _native.run(buffer, at, self._limits.get(BIND[0], 0))
            if found is not None:
                name, formats, values, results, described, raw = found
                return Run(Bind("", name, formats, values, results), described, raw)
        if len(buffer) - at < _LEAST_RUN or buffer[at] != BIND[0]:
            return None
        size = size_of(buffer, at, self._limits)
        return read_run(buffer, at, size) if at + size < len(buffer) else None

    def rows(self, most: int) -> bytes:
        """What is there, at most so many bytes, if a DataRow comes next that is all in it; else nothing. It stays there."""
        buffer, at = self._buffer, self._at
        there = min(len(buffer) - at, most)
        if there < 5 or buffer[at] != DATA_ROW[0] or size_of(buffer, at, self._limits) > there:
            return b""
        return bytes(buffer[at : at + there])

    def took(self, size: int) -> None:
        """So many bytes of what is there have been read."""
        self._wanted = 0
        if self._at + size == len(self._buffer):
            self._buffer.clear()
            self._at = 0
        else:
            self._taken(self._at + size)

    def expect(self, limits: Mapping[int, int]) -> None:
        """From here on other messages may come."""
        self._limits = limits

    def follows(self, raw: bytes) -> bool:
        """Whether these bytes come next."""
        return self._buffer.startswith(raw, self._at)

    async def packet(self) -> bytes:
        """A packet without a type: startup, cancel, TLS. Raises `Ended` and `Malformed`."""
        while len(self._buffer) - self._at < 4:
            await self.more()
        size = packet_size(self._buffer[self._at : self._at + 4])
        while len(self._buffer) - self._at < size:
            await self.more()
        return self._take(size).raw

    async def byte(self) -> bytes:
        """One byte: the answer to a request for TLS."""
        while self.empty:
            await self.more()
        return self._take(1, head=0).raw

    async def more(self, within_s: float = 0.0) -> None:
        """Wait until there is more to read. Raises `Ended`, and `TimeoutError` when nothing comes for so long."""
        await self.arrival(within_s)

    def arrival(self, within_s: float = 0.0) -> Awaitable[None]:
        """As `more`."""
        if self.ended:
            raise Ended
        prompt = self.prompt
        waiter: Waiter = self._loop.create_future() if prompt is None else prompt.armed()
        self.waiter = waiter
        if within_s:
            self._alarm.watch(waiter, within_s)
        return waiter

    def wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def write(self, data: bytes) -> None:
        """Raises `Ended`."""
        if self.transport is None or self.ended:
            raise Ended
        self.transport.write(data)

    @property
    def quiet(self) -> bool:
        """Whether nothing unread is there, more may come, and it may be written to."""
        return len(self._buffer) == self._at and not (self._paused or self.ended or self._drained is not None)

    @property
    def full(self) -> bool:
        """Whether the other side does not read as fast as is written."""
        return self._drained is not None

    async def drain(self) -> None:
        while self._drained is not None:
            await self._drained
        if self.ended:
            raise Ended

    async def secure(self, context: ssl.SSLContext, *, server_name: str | None, timeout_s: float) -> None:
        """TLS from here on; `server_name` None on the server's side. Raises `OSError` and `Ended`."""
        if self.transport is None:
            raise Ended
        found = await self._loop.start_tls(
            self.transport, self, context, server_side=server_name is None, server_hostname=server_name,
            ssl_handshake_timeout=timeout_s,
        )  # fmt: skip
        if found is None:
            raise Ended
        self.connection_made(found)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        self._end()

    def _later(self) -> None:
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()

    def _take(self, size: int, head: int = 5) -> Frame:
        at = self._at
        raw = bytes(self._buffer[at : at + size])
        self._taken(at + size)
        return Frame(raw[:1], raw[head:], raw)

    def _taken(self, at: int) -> None:
        """What is before this place has been read."""
        self._wanted = 0
        if at == len(self._buffer):
            self._buffer.clear()
            at = 0
        elif at > _COMPACT:
            del self._buffer[:at]
            at = 0
        self._at = at

    def _end(self) -> None:
        self.ended = True
        self._alarm.off()
        if not self.on_lost.done():
            self.on_lost.set_result(None)
        self.wake()
