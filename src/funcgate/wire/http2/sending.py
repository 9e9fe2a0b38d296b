"""The sending half of a connection beyond heads and DATA: greetings, farewells, and streams that are reset.

It sends what it is told; when, and how much may pile up, is its driver's to know.
"""

from .codes import (
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PREFACE,
    SMALLEST_MAX_FRAME,
    ErrorCode,
)
from .flow import Flow
from .frames import goaway, ping, rst_stream, settings, window_update
from .limits import Http2Limits
from .streams import Stream, Was

_LATE_HEADS = 3  # an interim one, a head and trailers may be under way when a stream is reset


class Sending(Flow):
    """What both roles share for sending."""

    def __init__(self, client: bool, limits: Http2Limits) -> None:
        super().__init__(client, limits)
        self._late_bytes = self._late_heads = 0  # what may still come for streams that we reset

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    def begin(self) -> None:
        """The preface and our SETTINGS (RFC 9113, 3.4)."""
        limits = self.limits
        values = [(ENABLE_PUSH, 0)] if self.client else [(MAX_CONCURRENT_STREAMS, limits.max_streams)]
        values += [
            (INITIAL_WINDOW_SIZE, limits.stream_window),
            (MAX_HEADER_LIST_SIZE, limits.head.max_bytes + 32 * limits.head.max_fields),
        ]
        if limits.max_frame != SMALLEST_MAX_FRAME:
            values.append((MAX_FRAME_SIZE, limits.max_frame))
        if self.client:
            self._out.append(PREFACE)
        self._out.append(settings(values))
        if limits.connection_window > DEFAULT_WINDOW:
            self._out.append(window_update(0, limits.connection_window - DEFAULT_WINDOW))

    def reset(self, stream: int, code: int) -> None:
        known = self._streams.pop(stream, None)
        if known is not None:
            self._reset_here(stream, known.receive_window, code)

    def away(self, code: int = ErrorCode.NO_ERROR) -> None:
        """GOAWAY: streams that are open go on, new ones are refused."""
        self.closing = True
        self._out.append(goaway(self._last_taken, code))

    def ping(self) -> None:
        self._out.append(ping(b"funcgate", ack=False))

    def _update(self, stream: int, increment: int) -> None:
        self._out.append(window_update(stream, increment))

    def _refused(self, stream: Stream) -> None:
        """RFC 9113, 8.1.1: a malformed request is a stream error, also after an answer that says why."""
        self._streams.pop(stream.id, None)
        code = ErrorCode.PROTOCOL_ERROR if stream.bad == 400 else ErrorCode.NO_ERROR
        self._reset_here(stream.id, stream.receive_window, code)

    def _reset_here(self, stream: int, window: int, code: int) -> None:
        """RST_STREAM. What the peer sent before it knew fits into the stream's window (RFC 9113, 5.1, "closed")."""
        self._gone.remember(stream, Was.RESET_HERE)
        self._late_bytes += max(0, window)
        self._late_heads += _LATE_HEADS
        self._out.append(rst_stream(stream, code))
