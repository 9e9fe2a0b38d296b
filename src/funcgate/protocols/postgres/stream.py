"""What is done to a channel for each message: what came is kept and looked at, and somebody woken. `_stream.pxi` does the same.

It knows where messages begin, and nothing of what they mean.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Protocol, cast

from funcgate.core.native import half
from funcgate.wire.postgres.frontend import QUERY

HIGH_WATER = 256 << 10
_COMPACT = 64 << 10
_READY = b"Z\0\0\0\5"
_messages = half("funcgate.wire.postgres._native")
_native = half("funcgate.protocols.postgres._drive")


class Ended(Exception):
    """The other side is gone, or was cut."""


class Waiter(Protocol):
    """What a future can, as far as something is waited for with it."""

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...

    def set_exception(self, error: BaseException, /) -> None: ...

    def __await__(self) -> Generator[object, None, None]: ...


class Prompt(Protocol):
    """See `_drive.pyx`."""

    def armed(self) -> Waiter: ...


class Alarm:
    """Ends waits that take too long with `TimeoutError`. The loop's timer outlives the waits: one for many of them."""

    __slots__ = ("_at", "_loop", "_timer", "_until", "_waiter", "since")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._at = self._until = self.since = 0.0  # `since`: when the last wait began, of the monotonic clock
        self._waiter: Waiter | None = None

    def watch(self, waiter: Waiter, within_s: float) -> None:
        """Let this be the wait from here on, and the only one."""
        self._waiter = waiter
        self.since = self._loop.time()
        self._until = until = self.since + within_s
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


class Stream(asyncio.Protocol):
    """`limits` are the largest payloads by type. `taker` is asked first when something arrives: whether it sees to it. `prompt`
    is what to wait with, instead of a future. `waiter` is done when something arrives, or the connection ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Mapping[int, int]) -> None:
        self._loop = loop
        self._limits = limits
        self._buffer = bytearray()
        self._at = 0
        self._wanted = 0
        self._paused = False
        self._drained: asyncio.Future[None] | None = None
        self._alarm = Alarm(loop)
        self.waiter: Waiter | None = None
        self.taker: Callable[[], bool] | None = None
        self.prompt: Prompt | None = None
        self.transport: asyncio.Transport | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        # Attack: messages sent faster than they are carried, until the memory is gone.
        there = len(self._buffer) - self._at
        if there > HIGH_WATER and there > self._wanted and self.transport and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        if self.taker is None or not self.taker():
            self.wake()

    def wake(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    @property
    def empty(self) -> bool:
        """Whether nothing unread is there."""
        return len(self._buffer) == self._at

    @property
    def quiet(self) -> bool:
        """Whether nothing unread is there, more may come, and it may be written to."""
        return len(self._buffer) == self._at and not (self._paused or self.ended or self._drained is not None)

    @property
    def full(self) -> bool:
        """Whether the other side does not read as fast as is written."""
        return self._drained is not None

    def kind(self) -> int:
        """The type of the next message, -1 if nothing is there."""
        at = self._at
        return self._buffer[at] if at < len(self._buffer) else -1

    def whole(self, most: int) -> bytes:
        """All that is there, if it is not more than that and ends as a ReadyForQuery does; else nothing. It stays there."""
        buffer, at = self._buffer, self._at
        if buffer[-6:-1] == _READY and len(buffer) - at <= most:
            return bytes(buffer) if not at else bytes(buffer[at:])
        return b""

    def ahead(self) -> tuple[str, bytes] | None:
        """The text and the bytes of a Query, if a plain one comes next that is all there. It stays there. None: see `poll`."""
        if _messages is None:
            return None
        found: tuple[str, bytes] | None = _messages.query(self._buffer, self._at, self._limits.get(QUERY[0], 0))
        return found

    def took(self, size: int) -> None:
        """So many bytes of what is there have been read."""
        self._wanted = 0
        at = self._at + size
        if at == len(self._buffer):
            self._buffer.clear()
            at = 0
        elif at > _COMPACT:
            del self._buffer[:at]
            at = 0
        self._at = at

    def arrival(self, within_s: float = 0.0) -> Awaitable[None]:
        """To be awaited, until there is more to read. Raises `Ended`, and `TimeoutError` when nothing comes for so long."""
        if self.ended:
            raise Ended
        prompt = self.prompt
        waiter: Waiter = self._loop.create_future() if prompt is None else prompt.armed()
        self.waiter = waiter
        if within_s:
            self._alarm.watch(waiter, within_s)
        return waiter

    def write(self, data: bytes) -> None:
        """Raises `Ended`."""
        if self.transport is None or self.ended:
            raise Ended
        self.transport.write(data)


PureStream = Stream  # also where the compiled one has its name
if not TYPE_CHECKING and _native is not None:
    _native.ended_is(Ended)
    Alarm, Stream = _native.Alarm, _native.Stream
