"""The caller's end of a connection: what it waits for and how long, what is written to it, and whether anybody is there.

It reads no request and serves none.
"""

import asyncio
from enum import Enum
from math import inf

from funcgate.core.ports import CallerGone
from funcgate.wire.http1.requests import Request
from funcgate.wire.http1.writing import CONTINUE

from .limits import ListenerLimits

_PROBE_S = 0.5
_SILENT_S = 2.0  # between two pieces of an answer to a caller that closed its side


class Phase(Enum):
    """What the connection waits for; each has its own timeout."""

    IDLE = "a request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    CALL = "the call"
    PROBE = "the call, with the caller's side closed"
    REST = "the rest of the answer, with the caller's side closed"
    WRITE = "the caller to read"
    LINGER = "the caller to close"


_CALL, _PROBE, _REST = Phase.CALL, Phase.PROBE, Phase.REST


class CallerEnd(asyncio.Protocol):
    """A transport with phases, each of which has a deadline, and at most one request that is served now."""

    def __init__(self, limits: ListenerLimits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._drained: asyncio.Future[None] | None = None
        self._request: Request | None = None
        self._phase = Phase.IDLE
        self._read_paused = self._answering = False
        self.deadline = inf

    @property
    def writable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Raises `CallerGone` when the connection is closed."""
        if self._transport is None or self._transport.is_closing():
            raise CallerGone
        self._transport.write(data)
        if self._phase is _REST:
            self._enter(_REST, _SILENT_S)

    def write_answer(self, data: bytes) -> bool:
        """A whole answer, of which nothing was written before. Whether to `drain` after it. Raises `CallerGone`."""
        if self._phase is _PROBE:
            self._enter(_CALL, inf)
        transport = self._transport
        if transport is None or transport.is_closing():
            raise CallerGone
        transport.write(data)
        return self._drained is not None

    async def drain(self) -> None:
        """Wait until the caller has read enough. A caller that reads nothing for `write_timeout_s` is cut off."""
        drained = self._drained
        if drained is not None:
            half_closed = self._phase is _REST
            self._enter(Phase.WRITE, self._limits.write_timeout_s)
            await drained
            self._enter(*((_REST, _SILENT_S) if half_closed else (_CALL, inf)))

    def abort(self) -> None:
        """Cut the connection: the caller must not take what it has for the whole answer."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # Phases, and who is there.

    def _enter(self, phase: Phase, timeout_s: float) -> None:
        self._phase = phase
        self.deadline = inf if timeout_s == inf else self._loop.time() + timeout_s

    def _probe(self) -> None:
        """The caller closed its side. It may still read (a half-close) or be gone, and only a write can tell.

        An interim answer changes nothing for one that still reads (RFC 9110, 15.2); from one that is gone comes a reset.
        """
        request = self._request
        if self._transport is None or request is None or not request.version_1_1:
            return
        if self._answering:
            # Attack: close one's side in the middle of an answer: an interim one there would be bytes of its body. The answer
            # goes on while there is more of it to write; who is gone says so then, and is not waited for in silence.
            self._enter(_REST, _SILENT_S)
            return
        self._transport.write(CONTINUE)
        self._enter(_PROBE, _PROBE_S)

    def answer_began(self) -> None:
        """From now on no interim answer may be written."""
        self._answering = True
        if self._phase is _PROBE:
            self._enter(_CALL, inf)

    def _pause_reading(self) -> None:
        if not self._read_paused and self._transport is not None:
            self._read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused and self._transport is not None and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()
