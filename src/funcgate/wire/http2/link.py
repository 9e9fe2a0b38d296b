"""One HTTP/2 connection, either role: bytes in, events out; calls in, bytes out (RFC 9113). It waits for nothing.

Limits and budgets come before the parsing: what a frame may cost is known before anything is done with it.
"""

from struct import unpack_from

from . import codes
from .codes import ACK, DATA, END_HEADERS, END_STREAM, HAS_PRIORITY, HEADERS, PADDED, PREFACE, RST_STREAM, WINDOW_UPDATE
from .codes import Broken as Broken
from .codes import ErrorCode as ErrorCode
from .codes import NoStream as NoStream
from .events import Away, Data, Event, Fields, Head, Malformed, Pong, Reset, Roomier, Settled, Trailers
from .fields import Wrong, check_request, check_response, check_trailers
from .floods import EMPTY, PINGS, PRIORITIES, RESETS, SETTINGS, UNKNOWN, UPDATES
from .frames import FRAME_HEAD, SETTING, SETTINGS_ACK, goaway, ping, rst_stream
from .limits import Http2Limits
from .sending import Sending
from .streams import ABSENT, AFTER_THEIR_END, CLOSED, ENDED_THERE, Stream, Then, Was
from .unpacking import Unpacker

_HEAD_SIZE = 9
_LEAST_RETURNED = 512  # bytes by which a window is given back without being counted
_MOST_UNRETURNED = 64 << 20
_ERRORS = {Then.BREAK_PROTOCOL: ErrorCode.PROTOCOL_ERROR, Then.BREAK_CLOSED: ErrorCode.STREAM_CLOSED}


def _protocol(why: str) -> Broken:
    return Broken(ErrorCode.PROTOCOL_ERROR, why)


class Link(Sending):
    """Feed it what comes, write what `take` gives after each call of any method. See `events` for what comes out."""

    def __init__(self, client: bool, limits: Http2Limits) -> None:
        super().__init__(client, limits)
        self._unpacker = Unpacker(limits.head)
        self._events: list[Event] = []
        self._now = 0.0
        self._rest = bytearray()
        self._need = 0 if client else len(PREFACE)
        self._prefaced = client
        self._settled = False
        self._dead = False
        self._block_stream = 0  # of the fields that CONTINUATION goes on with
        self._block_end = False
        self._block: list[bytes] = []
        self._block_size = 0
        self._frames = 0
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
            self._read(data)
        except Broken as broken:
            self._dead = self.closing = True
            self._rest.clear()
            self._block.clear()
            self._out.append(goaway(self._last_taken, broken.code))
            broken.events = events
            raise
        return events

    @property
    def unfinished(self) -> int:
        """0 if no frame and no block of fields has begun without being whole; else a number that is this one's alone."""
        return self._frames + 1 if self._rest or self._block_stream else 0

    def _read(self, data: bytes) -> None:
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._need and self._prefaced:
                return
            data = bytes(rest)
            rest.clear()
        at, end = 0, len(data)
        if not self._prefaced:
            if not PREFACE.startswith(data[: len(PREFACE)]):
                raise _protocol("the preface is none")  # RFC 9113, 3.4
            if end < len(PREFACE):
                rest += data
                return
            self._prefaced, at = True, len(PREFACE)
            self._frames += 1
        most, self._need = self.limits.max_frame, _HEAD_SIZE
        while end - at >= _HEAD_SIZE:
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
                raise _protocol("another frame within a block of fields")  # 6.10
            if not self._settled and kind != codes.SETTINGS:
                raise _protocol("the first frame is no SETTINGS")  # 3.4
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
            raise _protocol("DATA without a stream")  # 6.1
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
            self._absent(DATA, number)
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
            raise _protocol("HEADERS without a stream")  # 6.2
        if flags & PADDED:
            payload = _unpadded(payload, flags)
        if flags & HAS_PRIORITY:
            if len(payload) < 5:
                raise Broken(ErrorCode.FRAME_SIZE_ERROR, "a priority that is cut")
            if unpack_from(">L", payload)[0] & 0x7FFFFFFF == number:
                raise _protocol("a stream that depends on itself")
            payload = payload[5:]
        if flags & END_HEADERS:
            self._on_block(number, payload, bool(flags & END_STREAM))
            return
        self._block_stream, self._block_end = number, bool(flags & END_STREAM)
        self._block, self._block_size = [payload], len(payload)

    def _on_continuation(self, flags: int, number: int, payload: bytes) -> None:
        if not self._block_stream:
            raise _protocol("CONTINUATION of nothing")  # 6.10
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
            raise _protocol("a stream with a number that is the server's")  # 5.1.1
        self._last_peer_id = number
        if self.closing or len(self._streams) >= self.limits.max_streams:
            # Attack: more streams at once than were offered (5.1.2).
            self._gone.remember(number, Was.RESET_HERE)
            self._out.append(rst_stream(number, ErrorCode.REFUSED_STREAM))
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

    def _on_rst_stream(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of a wrong size")  # 6.4
        if not number:
            raise _protocol("RST_STREAM without a stream")
        if not self.client:
            # Attack: open and reset, as fast as it goes, without ever having a stream open (CVE-2023-44487).
            self._budgets.spend(RESETS, self._now)
        stream = self._streams.pop(number, None)
        if stream is None:
            self._absent(RST_STREAM, number)
            return
        self._gone.remember(number, Was.RESET_THERE)
        self._events.append(Reset(number, unpack_from(">L", payload)[0]))

    def _on_window_update(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")  # 6.9
        increment = unpack_from(">L", payload)[0] & 0x7FFFFFFF
        # Attack: give the window back byte by byte, so that each byte is a frame (CVE-2019-9511); or what was never used.
        if _LEAST_RETURNED <= increment <= self._unreturned:
            self._unreturned = min(self._unreturned, _MOST_UNRETURNED) - increment
        else:
            self._budgets.spend(UPDATES, self._now)
        if not number:
            if not increment:
                raise _protocol("WINDOW_UPDATE by nothing")
            self._send_window += increment
            if self._send_window > codes.LARGEST_WINDOW:
                raise Broken(ErrorCode.FLOW_CONTROL_ERROR, "a window larger than windows may be")  # 6.9.1
            self._events.append(Roomier(0))
            return
        stream = self._streams.get(number)
        if stream is None:
            self._absent(WINDOW_UPDATE, number)
            return
        stream.send_window += increment
        if not increment or stream.send_window > codes.LARGEST_WINDOW:
            self._stream_error(stream, ErrorCode.FLOW_CONTROL_ERROR if increment else ErrorCode.PROTOCOL_ERROR)
            return
        self._events.append(Roomier(number))

    def _on_priority(self, flags: int, number: int, payload: bytes) -> None:
        """Read, and without effect (5.3)."""
        self._budgets.spend(PRIORITIES, self._now)
        if not number:
            raise _protocol("PRIORITY without a stream")  # 6.3
        stream = self._streams.get(number)
        wrong_size = len(payload) != 5
        if wrong_size or unpack_from(">L", payload)[0] & 0x7FFFFFFF == number:
            code = ErrorCode.FRAME_SIZE_ERROR if wrong_size else ErrorCode.PROTOCOL_ERROR
            if stream is None:
                raise Broken(code, "PRIORITY that is none")
            self._stream_error(stream, code)

    def _on_push_promise(self, flags: int, number: int, payload: bytes) -> None:
        raise _protocol("PUSH_PROMISE, which nobody may send here")  # 6.6, 8.4

    # Frames without one.

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise _protocol("SETTINGS of a stream")  # 6.5
        if len(payload) % 6 or (flags & ACK and payload):
            raise Broken(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        self._budgets.spend(SETTINGS, self._now)
        if flags & ACK:
            if not self._settled:
                raise _protocol("the first frame is no SETTINGS")
            return
        # Attack: a frame full of settings costs as much as many frames.
        if len(payload) > 6 * 64:
            raise Broken(ErrorCode.ENHANCE_YOUR_CALM, "too many settings at once")
        for name, value in SETTING.iter_unpack(payload):
            self._set(name, value)
        self._out.append(SETTINGS_ACK)
        self._settled = True
        self._events.append(Settled())

    def _set(self, name: int, value: int) -> None:
        """RFC 9113, 6.5.2. Unknown settings are ignored."""
        if name == codes.INITIAL_WINDOW_SIZE:
            if value > codes.LARGEST_WINDOW:
                raise Broken(ErrorCode.FLOW_CONTROL_ERROR, "a window larger than windows may be")
            self._resize_windows(value)
        elif name == codes.MAX_FRAME_SIZE:
            if not codes.SMALLEST_MAX_FRAME <= value <= codes.LARGEST_MAX_FRAME:
                raise _protocol("a frame size that may not be")
            self._peer_max_frame = min(value, 1 << 16)
        elif name == codes.HEADER_TABLE_SIZE:
            self._packer.resize(value)
        elif name == codes.MAX_CONCURRENT_STREAMS:
            self.peer_max_streams = value
        elif name == codes.ENABLE_PUSH and (value > 1 or (value and self.client)):
            raise _protocol("a setting that may not be")

    def _resize_windows(self, value: int) -> None:
        more, self._peer_window = value - self._peer_window, value
        for stream in self._streams.values():
            stream.send_window += more  # may become negative (6.9.2)
            if stream.send_window > codes.LARGEST_WINDOW:
                raise Broken(ErrorCode.FLOW_CONTROL_ERROR, "a window larger than windows may be")
        if more > 0 and self._streams:
            self._events.append(Roomier(0))

    def _on_ping(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise _protocol("PING of a stream")  # 6.7
        if len(payload) != 8:
            raise Broken(ErrorCode.FRAME_SIZE_ERROR, "PING of a wrong size")
        self._budgets.spend(PINGS, self._now)
        if flags & ACK:
            self._events.append(Pong())
        else:
            self._out.append(ping(payload, ack=True))

    def _on_goaway(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise _protocol("GOAWAY of a stream")  # 6.8
        if len(payload) < 8:
            raise Broken(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self._budgets.spend(SETTINGS, self._now)
        last, code = unpack_from(">LL", payload)
        if self.client:
            self.closing = True
        self._events.append(Away(last & 0x7FFFFFFF, code))

    # Ends.

    def _ended_there(self, stream: Stream) -> None:
        stream.state = AFTER_THEIR_END[stream.state]
        if stream.state == CLOSED:
            self._ended(stream)

    def _stream_error(self, stream: Stream, code: int) -> None:
        """RFC 9113, 5.4.2. Counted like a reset by the peer: it has the same cost, and the peer made it happen."""
        self._streams.pop(stream.id, None)
        self._gone.remember(stream.id, Was.RESET_HERE)
        self._out.append(rst_stream(stream.id, code))
        self._events.append(Reset(stream.id, code, ours=True))
        self._budgets.spend(RESETS, self._now)

    def _absent(self, kind: int, number: int) -> None:
        """A frame for a stream that is not there."""
        mine = bool(number & 1) == self.client
        idle = number >= self._next_id if mine else number > self._last_peer_id
        # Peers open no streams but clients at servers, so the others are idle for ever.
        how = Was.IDLE if idle or (self.client != mine) else self._gone.how(number)
        then = ABSENT.get((how, kind), Then.NOTHING)
        if then is Then.REFUSE:
            self._gone.remember(number, Was.RESET_HERE)
            self._out.append(rst_stream(number, ErrorCode.STREAM_CLOSED))
            self._budgets.spend(RESETS, self._now)
        elif then is not Then.NOTHING:
            raise Broken(_ERRORS[then], "a frame for a stream that is not open")


def _unpadded(payload: bytes, flags: int) -> bytes:
    """RFC 9113, 6.1: the padding's length comes first."""
    if not payload:
        raise Broken(ErrorCode.FRAME_SIZE_ERROR, "a padding that is cut")
    padding = payload[0]
    if padding >= len(payload):
        raise _protocol("more padding than frame")
    return payload[1 : len(payload) - padding]
