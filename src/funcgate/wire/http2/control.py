"""Frames that carry no message (RFC 9113, 6.3 to 6.9): what they do to streams, windows and settings; and how streams end.

Each is counted before it is looked at. Reading frames, and the messages in them, is Link's.
"""

from struct import unpack_from

from . import codes
from .codes import ACK, HEADERS, RST_STREAM, WINDOW_UPDATE, Broken, ErrorCode
from .events import Away, Pong, Reset, Roomier, Settled
from .floods import PINGS, PRIORITIES, RESETS, SETTINGS, UPDATES
from .frames import SETTING, SETTINGS_ACK, ping
from .limits import Http2Limits
from .sending import Sending
from .streams import ABSENT, Stream, Then, Was

_LEAST_RETURNED = 512  # bytes by which a window is given back without being counted
_MOST_UNRETURNED = 64 << 20
_ERRORS = {Then.BREAK_PROTOCOL: ErrorCode.PROTOCOL_ERROR, Then.BREAK_CLOSED: ErrorCode.STREAM_CLOSED}


def protocol_error(why: str) -> Broken:
    return Broken(ErrorCode.PROTOCOL_ERROR, why)


class Control(Sending):
    """`_now` is that of the bytes that are being read."""

    def __init__(self, client: bool, limits: Http2Limits) -> None:
        super().__init__(client, limits)
        self._now = 0.0

    def _on_rst_stream(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of a wrong size")  # 6.4
        if not number:
            raise protocol_error("RST_STREAM without a stream")
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
                raise protocol_error("WINDOW_UPDATE by nothing")
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
            raise protocol_error("PRIORITY without a stream")  # 6.3
        stream = self._streams.get(number)
        wrong_size = len(payload) != 5
        if wrong_size or unpack_from(">L", payload)[0] & 0x7FFFFFFF == number:
            code = ErrorCode.FRAME_SIZE_ERROR if wrong_size else ErrorCode.PROTOCOL_ERROR
            if stream is None:
                raise Broken(code, "PRIORITY that is none")
            self._stream_error(stream, code)

    def _on_push_promise(self, flags: int, number: int, payload: bytes) -> None:
        raise protocol_error("PUSH_PROMISE, which nobody may send here")  # 6.6, 8.4

    # Frames without one.

    def _on_settings(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise protocol_error("SETTINGS of a stream")  # 6.5
        if len(payload) % 6 or (flags & ACK and payload):
            raise Broken(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        self._budgets.spend(SETTINGS, self._now)
        if flags & ACK:
            if not self._settled:
                raise protocol_error("the first frame is no SETTINGS")
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
                raise protocol_error("a frame size that may not be")
            self._peer_max_frame = min(value, 1 << 16)
        elif name == codes.HEADER_TABLE_SIZE:
            self._packer.resize(value)
        elif name == codes.MAX_CONCURRENT_STREAMS:
            self.peer_max_streams = value
        elif name == codes.ENABLE_PUSH and (value > 1 or (value and self.client)):
            raise protocol_error("a setting that may not be")

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
            raise protocol_error("PING of a stream")  # 6.7
        if len(payload) != 8:
            raise Broken(ErrorCode.FRAME_SIZE_ERROR, "PING of a wrong size")
        self._budgets.spend(PINGS, self._now)
        if flags & ACK:
            self._events.append(Pong())
        else:
            self._out.append(ping(payload, ack=True))

    def _on_goaway(self, flags: int, number: int, payload: bytes) -> None:
        if number:
            raise protocol_error("GOAWAY of a stream")  # 6.8
        if len(payload) < 8:
            raise Broken(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self._budgets.spend(SETTINGS, self._now)
        last, code = unpack_from(">LL", payload)
        if self.client:
            self.closing = True
        self._events.append(Away(last & 0x7FFFFFFF, code))

    # Ends.

    def _stream_error(self, stream: Stream, code: int) -> None:
        """RFC 9113, 5.4.2. Counted like a reset by the peer: it has the same cost, and the peer made it happen."""
        self._streams.pop(stream.id, None)
        self._reset_here(stream.id, stream.receive_window, code)
        self._events.append(Reset(stream.id, code, ours=True))
        self._budgets.spend(RESETS, self._now)

    def _absent(self, kind: int, number: int, size: int = 0) -> None:
        """A frame for a stream that is not there. `size` is that of DATA, 1 at least."""
        mine = bool(number & 1) == self.client
        idle = number >= self._next_id if mine else number > self._last_peer_id
        # Peers open no streams but clients at servers, so the others are idle for ever.
        how = Was.IDLE if idle or (self.client != mine) else self._gone.how(number)
        then = ABSENT.get((how, kind), Then.NOTHING)
        if then is Then.PASS_OVER:
            self._came_late(kind, size)
        elif then is Then.REFUSE:
            self._reset_here(number, 0, ErrorCode.STREAM_CLOSED)
            self._budgets.spend(RESETS, self._now)
        elif then is not Then.NOTHING:
            raise Broken(_ERRORS[then], "a frame for a stream that is not open")

    def _came_late(self, kind: int, size: int) -> None:
        # Attack: DATA, or fields to be unpacked, without end on a stream that nobody has any more, so that nobody sees them.
        self._late_bytes -= size
        if self._late_bytes < 0:
            raise Broken(ErrorCode.FLOW_CONTROL_ERROR, "more DATA for streams that were reset than their windows")
        if kind == HEADERS:
            self._late_heads -= 1
            if self._late_heads < 0:
                raise Broken(ErrorCode.ENHANCE_YOUR_CALM, "too many heads for streams that were reset")
