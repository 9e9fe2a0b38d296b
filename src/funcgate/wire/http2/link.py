"""One HTTP/2 connection, either role: bytes in, events out; calls in, bytes out (RFC 9113). It waits for nothing.

Limits and budgets come before the parsing: what a frame may cost is known before anything is done with it.
"""

from struct import unpack_from

from . import codes
from .codes import DATA, END_HEADERS, END_STREAM, HAS_PRIORITY, HEADERS, PADDED, PREFACE
from .codes import Broken as Broken
from .codes import ErrorCode as ErrorCode
from .codes import NoStream as NoStream
from .compiled import native
from .control import Control, protocol_error
from .events import Data, Event, Fields, Head, Malformed, Trailers
from .fields import Wrong, check_request, check_response, check_trailers
from .floods import EMPTY, RESETS, UNKNOWN
from .frames import FRAME_HEAD, goaway
from .limits import Http2Limits
from .streams import ENDED_THERE, Stream

_HEAD_SIZE = 9
_COMPILED = native is not None


class Link(Control):
    """Feed it what comes, write what `take` gives after each call of any method. See `events` for what comes out."""

    def __init__(self, client: bool, limits: Http2Limits) -> None:
        super().__init__(client, limits)
        self.unfinished = (
            0  # no frame and no block of fields has begun without being whole; else a number that is this one's alone
        )
        self._rest = bytearray()
        self._need = 0 if client else len(PREFACE)
        self._prefaced = client
        self._dead = False
        self._block_end = False
        self._block: list[bytes] = []
        self._block_size = 0
        self._on = (
            self._on_data, self._on_headers, self._on_priority, self._on_rst_stream, self._on_settings,
            self._on_push_promise, self._on_ping, self._on_goaway, self._on_window_update, self._on_continuation,
        )  # fmt: skip

    def feed(self, data: bytes, now: float) -> list[Event]:
        """What the bytes meant. Raises `Broken` once, with GOAWAY ready to be taken; after that, bytes mean nothing.

        `now` is any clock that goes forward, in seconds: the budgets are counted by it.
        """
        if self._dead:
            return []
        self._now = now
        events: list[Event] = []
        self._events = events
        try:
            at = self._plain(data, 0) if _COMPILED and self._prefaced and not self._rest else 0
            if at < len(data):
                self._read(data, at)
        except Broken as broken:
            self._dead = self.closing = True
            self._rest.clear()
            self._block.clear()
            self.unfinished = self._frames + 1 if self._block_stream else 0
            self._out.append(goaway(self._last_taken, broken.code))
            broken.events = events
            raise
        self.unfinished = self._frames + 1 if self._rest or self._block_stream else 0
        return events

    def _read(self, data: bytes, at: int) -> None:
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._need and self._prefaced:
                return
            data = bytes(rest)
            rest.clear()
        end = len(data)
        if not self._prefaced:
            if not PREFACE.startswith(data[: len(PREFACE)]):
                raise protocol_error("the preface is none")  # RFC 9113, 3.4
            if end < len(PREFACE):
                rest += data
                return
            self._prefaced, at = True, len(PREFACE)
            self._frames += 1
        most, self._need = self.limits.max_frame, _HEAD_SIZE
        while end - at >= _HEAD_SIZE:
            if _COMPILED:
                at = self._plain(data, at)
                if end - at < _HEAD_SIZE:
                    break
            high, low, kind, flags, stream = FRAME_HEAD.unpack_from(data, at)
            size = high << 8 | low
            if size > most:
                raise Broken(ErrorCode.FRAME_SIZE_ERROR, "a frame larger than was offered")  # 4.2
            stop = at + _HEAD_SIZE + size
            if stop > end:
                self._need = _HEAD_SIZE + size
                break
            stream &= 0x7FFFFFFF
            if self._block_stream and (kind != codes.CONTINUATION or stream != self._block_stream):
                raise protocol_error("another frame within a block of fields")  # 6.10
            if not self._settled and kind != codes.SETTINGS:
                raise protocol_error("the first frame is no SETTINGS")  # 3.4
            if kind < 10:
                self._on[kind](flags, stream, data[at + _HEAD_SIZE : stop])
            else:
                self._budgets.spend(UNKNOWN, self._now)  # 5.5: ignored
            if not self._block_stream:
                self._frames += 1
            at = stop
        if at < end:
            rest += data[at:] if at else data

    # Frames with a stream.

    def _on_data(self, flags: int, number: int, payload: bytes) -> None:
        if not number:
            raise protocol_error("DATA without a stream")  # 6.1
        counted = len(payload)
        self._receive_window -= counted
        if self._receive_window < 0:
            # Attack: send more than was offered, so that it has to be kept.
            raise Broken(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window")
        data = _unpadded(payload, flags) if flags & PADDED else payload
        end = bool(flags & END_STREAM)
        if not data and not end:
            # Attack: frames that carry nothing, each to be looked at (CVE-2019-9518).
            self._budgets.spend(EMPTY, self._now)
        stream = self._streams.get(number)
        if stream is None:
            self._give_back(counted)
            self._absent(DATA, number, max(1, counted))
            return
        if stream.bad:
            self._give_back(counted)
        elif code := self._fault_of_data(stream, counted, len(data), end):
            self._give_back(counted)
            self._stream_error(stream, code)
            return
        else:
            self._events.append(Data(number, data, counted, end))
        if end:
            self._ended_there(stream)

    def _fault_of_data(self, stream: Stream, counted: int, size: int, end: bool) -> int:
        if stream.state == ENDED_THERE:
            return ErrorCode.STREAM_CLOSED  # 5.1
        stream.receive_window -= counted
        if stream.receive_window < 0:
            return ErrorCode.FLOW_CONTROL_ERROR
        if not stream.headed:
            return ErrorCode.PROTOCOL_ERROR
        if stream.left >= 0:
            # Attack: a length that says another thing than the frames is believed by the next reader (8.1.1).
            stream.left -= size
            if stream.left < 0 or (end and stream.left):
                return ErrorCode.PROTOCOL_ERROR
        return 0

    def _on_headers(self, flags: int, number: int, payload: bytes) -> None:
        if not number:
            raise protocol_error("HEADERS without a stream")  # 6.2
        if flags & PADDED:
            payload = _unpadded(payload, flags)
        if flags & HAS_PRIORITY:
            if len(payload) < 5:
                raise Broken(ErrorCode.FRAME_SIZE_ERROR, "a priority that is cut")
            if unpack_from(">L", payload)[0] & 0x7FFFFFFF == number:
                raise protocol_error("a stream that depends on itself")
            payload = payload[5:]
        if flags & END_HEADERS:
            self._on_block(number, payload, bool(flags & END_STREAM))
            return
        self._block_stream, self._block_end = number, bool(flags & END_STREAM)
        self._block, self._block_size = [payload], len(payload)

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        if not self._block_stream:
            raise protocol_error("CONTINUATION of nothing")  # 6.10
        self._block.append(payload)
        self._block_size += len(payload)
        limits = self.limits
        # Attack: a block of fields that never ends (CONTINUATION flood, CVE-2024-27316).
        if len(self._block) > 1 + limits.max_continuations or self._block_size > 2 * limits.head.max_bytes:
            raise Broken(ErrorCode.ENHANCE_YOUR_CALM, "a block of fields that does not end")
        if not payload:
            self._budgets.spend(EMPTY, self._now)
        if flags & END_HEADERS:
            block, number = b"".join(self._block), self._block_stream
            self._block, self._block_stream = [], 0
            self._on_block(number, block, self._block_end)

    def _on_block(self, number: int, block: bytes, end: bool) -> None:
        """A whole block. It is unpacked whatever becomes of it: the tables of both sides must stay the same (4.3)."""
        if len(block) > 2 * self.limits.head.max_bytes:
            raise Broken(ErrorCode.ENHANCE_YOUR_CALM, "a block of fields that is too large")
        fields = self._unpacker.unpack(block)
        stream = self._streams.get(number)
        if stream is None:
            if self.client or number <= self._last_peer_id:
                self._absent(HEADERS, number)
            else:
                self._request(number, fields, end)
        elif stream.bad and stream.state != ENDED_THERE:
            if end:
                self._ended_there(stream)
        elif stream.state == ENDED_THERE:
            self._stream_error(stream, ErrorCode.STREAM_CLOSED)  # 5.1
        elif stream.headed:
            self._trailers(stream, fields, end)
        else:
            self._answer(stream, fields, end)

    def _request(self, number: int, fields: Fields, end: bool) -> None:
        if not number & 1:
            raise protocol_error("a stream with a number that is the server's")  # 5.1.1
        self._last_peer_id = number
        if self.closing or len(self._streams) >= self.limits.max_streams:
            # Attack: more streams at once than were offered (5.1.2).
            self._reset_here(number, self.limits.stream_window, ErrorCode.REFUSED_STREAM)
            self._budgets.spend(RESETS, self._now)
            return
        self._last_taken = number
        stream = Stream(number, self._peer_window, self.limits.stream_window)
        stream.headed = True
        self._streams[number] = stream
        try:
            if self._unpacker.oversized:
                raise Wrong("the fields are too large", 431)
            stream.left = check_request(fields)
            if end and stream.left > 0:
                raise Wrong("a length, and no body")
            self._events.append(Head(number, fields, end, self._unpacker.never))
        except Wrong as wrong:
            # Attack: malformed requests by the thousand, each to be reset by us (CVE-2025-8671).
            self._budgets.spend(RESETS, self._now)
            stream.bad = wrong.status
            self._events.append(Malformed(number, wrong.why, wrong.status))
        if end:
            self._ended_there(stream)

    def _answer(self, stream: Stream, fields: Fields, end: bool) -> None:
        try:
            if self._unpacker.oversized:
                raise Wrong("the fields are too large")
            status, length = check_response(fields)
            if status < 200:
                if end:
                    raise Wrong("an interim answer that ends")
                self._budgets.spend(EMPTY, self._now)
            else:
                stream.headed = True
                stream.left = 0 if stream.head_only or status in (204, 304) else length
                if end and stream.left > 0:
                    raise Wrong("a length, and no body")
        except Wrong:
            self._stream_error(stream, ErrorCode.PROTOCOL_ERROR)
            return
        self._events.append(Head(stream.id, fields, end, self._unpacker.never))
        if end:
            self._ended_there(stream)

    def _trailers(self, stream: Stream, fields: Fields, end: bool) -> None:
        try:
            if not end or self._unpacker.oversized or stream.left > 0:
                raise Wrong("trailers that do not end, or end too early")  # 8.1
            check_trailers(fields)
        except Wrong:
            self._stream_error(stream, ErrorCode.PROTOCOL_ERROR)
            return
        self._events.append(Trailers(stream.id, fields))
        self._ended_there(stream)


def _unpadded(payload: bytes, flags: int) -> bytes:
    """RFC 9113, 6.1: the padding's length comes first."""
    if not payload:
        raise Broken(ErrorCode.FRAME_SIZE_ERROR, "a padding that is cut")
    padding = payload[0]
    if padding >= len(payload):
        raise protocol_error("more padding than frame")
    return payload[1 : len(payload) - padding]
