"""The sending half of a connection: heads, DATA within both windows, and the bytes that wait to be written.

It sends what it is told; when, and how much may pile up, is its driver's to know.
"""

from .codes import (
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_STREAM,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    PREFACE,
    SMALLEST_MAX_FRAME,
    ErrorCode,
    NoStream,
)
from .events import Fields
from .floods import PINGS, RESETS, UPDATES, Budgets
from .frames import frame_head, goaway, headers, ping, rst_stream, settings, window_update
from .limits import Http2Limits
from .packing import Packer
from .streams import AFTER_OUR_END, CLOSED, ENDED_THERE, Gone, Stream, Was

_NO_SECRETS: frozenset[bytes] = frozenset()
_LAST_ID = 0x7FFFFFFF
_LATE_HEADS = 3  # an interim one, a head and trailers may be under way when a stream is reset
_WORTH = 256  # bytes; a smaller piece of DATA earns no credit against floods


class Sending:
    """What both roles share for sending. Streams that are gone raise `NoStream`, but for `reset` and `consumed`."""

    def __init__(self, client: bool, limits: Http2Limits) -> None:
        self.client = client
        self.limits = limits
        self.peer_max_streams = 1 << 31  # RFC 9113, 6.5.2: no limit until the peer names one
        self.closing = False  # one of both sides has said GOAWAY
        self._out: list[bytes] = []
        self._streams: dict[int, Stream] = {}
        self._gone = Gone()
        self._budgets = Budgets(limits)
        self._packer = Packer()
        self._next_id = 1
        self._last_peer_id = 0  # that was seen
        self._last_taken = 0  # that was not refused
        self._send_window = DEFAULT_WINDOW
        self._unreturned = 0  # bytes of windows that were used, and may be given back without being counted as a flood
        self._receive_window = limits.connection_window
        self._owed = 0
        self._late_bytes = self._late_heads = 0  # what may still come for streams that we reset
        self._peer_window = DEFAULT_WINDOW
        self._peer_max_frame = SMALLEST_MAX_FRAME

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

    def take(self) -> bytes:
        """What is to be written now."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def open(self, fields: Fields, end: bool, secret: frozenset[bytes] = _NO_SECRETS) -> int:
        """Client: a new stream's number. `secret` are lower-case names that are written never indexed."""
        if self.closing or len(self._streams) >= self.peer_max_streams or self._next_id > _LAST_ID:
            raise NoStream
        number = self._next_id
        self._next_id += 2
        stream = Stream(number, self._peer_window, self.limits.stream_window)
        stream.head_only = fields[0] == (b":method", b"HEAD")
        self._streams[number] = stream
        self._fields(stream, fields, end, secret)
        return number

    def head(self, stream: int, fields: Fields, end: bool, secret: frozenset[bytes] = _NO_SECRETS) -> None:
        """Server: the answer's head, also an interim one."""
        self._fields(self._known(stream), fields, end, secret)

    def trailers(self, stream: int, fields: Fields, secret: frozenset[bytes] = _NO_SECRETS) -> None:
        self._fields(self._known(stream), fields, True, secret)

    def room(self, stream: int) -> int:
        """Bytes of DATA that both windows allow now; 0 for a stream that is gone."""
        known = self._streams.get(stream)
        return 0 if known is None else max(0, min(known.send_window, self._send_window))

    def data(self, stream: int, data: bytes, end: bool) -> None:
        """Raises `ValueError` for more than `room`."""
        known = self._known(stream)
        size = len(data)
        if size > max(0, min(known.send_window, self._send_window)):
            raise ValueError("more DATA than the windows allow")
        known.send_window -= size
        self._send_window -= size
        self._unreturned += 2 * size
        most, out = self._peer_max_frame, self._out
        if size <= most:
            out.append(frame_head(size, DATA, END_STREAM if end else 0, stream))
            if size:
                out.append(data)
        else:
            for start in range(0, size, most):
                piece = data[start : start + most]
                last = end and start + most >= size
                out.append(frame_head(len(piece), DATA, END_STREAM if last else 0, stream))
                out.append(piece)
        if end:
            self._ended_here(known)
        if end or size >= _WORTH:
            self._worked()

    def consumed(self, stream: int, count: int) -> None:
        """`count` flow-controlled bytes were taken by the reader; the windows are given back, in steps as large as what is
        left of them: few frames while all is read, and no standstill when some streams are not."""
        self._give_back(count)
        known = self._streams.get(stream)
        if known is not None and known.state != ENDED_THERE:
            known.owed += count
            if known.owed >= known.receive_window:
                known.receive_window += known.owed
                self._out.append(window_update(stream, known.owed))
                known.owed = 0

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

    def _known(self, stream: int) -> Stream:
        known = self._streams.get(stream)
        if known is None:
            raise NoStream
        return known

    def _fields(self, stream: Stream, fields: Fields, end: bool, secret: frozenset[bytes]) -> None:
        self._out.append(headers(stream.id, self._packer.pack(fields, secret), self._peer_max_frame, end=end))
        if end:
            self._ended_here(stream)
        self._worked()

    def _worked(self) -> None:
        """The peer may acknowledge what it gets: one PING, and an update of each window."""
        self._budgets.earn(PINGS, 1)
        self._budgets.earn(UPDATES, 2)

    def _ended_here(self, stream: Stream) -> None:
        stream.state = AFTER_OUR_END[stream.state]
        if stream.bad:
            # RFC 9113, 8.1.1: a malformed request is a stream error, also after an answer that says why.
            self._streams.pop(stream.id, None)
            code = ErrorCode.PROTOCOL_ERROR if stream.bad == 400 else ErrorCode.NO_ERROR
            self._reset_here(stream.id, stream.receive_window, code)
        elif stream.state == CLOSED:
            self._ended(stream)

    def _ended(self, stream: Stream) -> None:
        """Both sides ended it, as it should be."""
        self._streams.pop(stream.id, None)
        self._gone.remember(stream.id, Was.ENDED)
        self._budgets.earn(RESETS, 1)

    def _reset_here(self, stream: int, window: int, code: int) -> None:
        """RST_STREAM. What the peer sent before it knew fits into the stream's window (RFC 9113, 5.1, "closed")."""
        self._gone.remember(stream, Was.RESET_HERE)
        self._late_bytes += max(0, window)
        self._late_heads += _LATE_HEADS
        self._out.append(rst_stream(stream, code))

    def _give_back(self, count: int) -> None:
        self._owed += count
        if self._owed >= self._receive_window:
            self._receive_window += self._owed
            self._out.append(window_update(0, self._owed))
            self._owed = 0
