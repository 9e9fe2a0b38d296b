"""One side of a session as frames: a bounded buffer in front of the loop's transport. It knows framing and nothing else."""

import asyncio
import ssl
from collections.abc import Mapping

from funcgate.core.native import half
from funcgate.wire.postgres.backend import COPY_DATA
from funcgate.wire.postgres.frames import Frame, packet_size, size_of
from funcgate.wire.postgres.frontend import BIND, Bind, Run, read_run

from .stream import Alarm, Ended, Stream

_LEAST_RUN = 20
_native = half("funcgate.wire.postgres._native")
_copying = half("funcgate.wire.postgres._copying")

__all__ = ["Alarm", "Channel", "Ended"]


class Channel(Stream):
    """`limits` are the largest payloads by type. `on_lost` is done when the connection has ended."""

    def __init__(self, limits: Mapping[int, int]) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop, limits)
        self.on_lost: asyncio.Future[None] = loop.create_future()

    # What the loop calls.

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

    def query(self) -> tuple[str, bytes] | None:
        """The text and the bytes of a Query, if a plain one comes next that is all there, and is taken. None: see `poll`."""
        found = self.ahead()
        if found is not None:
            self.took(len(found[1]))
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

    def rows(self, most: int, kind: int) -> bytes:
        """What is there, at most so many bytes, if a message of that type comes next that is all in it; else nothing. It stays
        there."""
        buffer, at = self._buffer, self._at
        there = min(len(buffer) - at, most)
        if there < 5 or buffer[at] != kind or size_of(buffer, at, self._limits) > there:
            return b""
        return bytes(buffer[at : at + there])

    def copied(self, enough: int) -> bytes:
        """What the CopyData messages hold that come next and are all there, until it is enough; they are taken."""
        if _copying is None:
            return b""
        data, size = _copying.payloads(self._buffer, self._at, self._limits.get(COPY_DATA[0], 0), enough)
        if size:
            self.took(size)
        found: bytes = data
        return found

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
        self.took(size)
        return Frame(raw[:1], raw[head:], raw)

    def _end(self) -> None:
        self.ended = True
        self._alarm.off()
        if not self.on_lost.done():
            self.on_lost.set_result(None)
        self.wake()
