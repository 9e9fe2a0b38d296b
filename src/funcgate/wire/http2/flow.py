"""What nearly every frame needs, both ways: streams that begin and end, windows, and the bytes that wait to be written.

It exists twice: here, and compiled (`_native.pyx`), where it also reads plain frames. What is unusual is Control's and Link's.
"""

from .codes import DATA, DEFAULT_WINDOW, END_STREAM, SMALLEST_MAX_FRAME, NoStream
from .compiled import native
from .events import Event, Fields
from .floods import PINGS, RESETS, UPDATES, Budgets
from .frames import frame_head
from .limits import Http2Limits
from .packing import Packer
from .streams import AFTER_OUR_END, AFTER_THEIR_END, CLOSED, ENDED_THERE, Gone, Stream, Was
from .unpacking import Unpacker

_NO_SECRETS: frozenset[bytes] = frozenset()
_LAST_ID = 0x7FFFFFFF
_WORTH = 256  # bytes; a smaller piece of DATA earns no credit against floods


class Flow:
    """Streams that are gone raise `NoStream`, but for `consumed`. `_events` are those of the bytes that are being read."""

    def __init__(self, client: bool, limits: Http2Limits) -> None:
        self.client = client
        self.limits = limits
        self.peer_max_streams = 1 << 31  # RFC 9113, 6.5.2: no limit until the peer names one
        self.closing = False  # one of both sides has said GOAWAY
        self._settled = False
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self._streams: dict[int, Stream] = {}
        self._gone = Gone()
        self._budgets = Budgets(limits)
        self._packer = Packer()
        self._unpacker = Unpacker(limits.head)
        self._next_id = 1
        self._last_peer_id = 0  # that was seen
        self._last_taken = 0  # that was not refused
        self._block_stream = 0  # of the fields that CONTINUATION goes on with
        self._frames = 0
        self._send_window = DEFAULT_WINDOW
        self._unreturned = 0  # bytes of windows that were used, and may be given back without being counted as a flood
        self._receive_window = limits.connection_window
        self._owed = 0
        self._peer_window = DEFAULT_WINDOW
        self._peer_max_frame = SMALLEST_MAX_FRAME

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

    def whole(self, stream: int, head: Fields, data: bytes, trailers: Fields) -> bool:
        """Server: head, DATA and trailers, if there is room for all of it; else nothing."""
        known = self._known(stream)
        if len(data) > max(0, min(known.send_window, self._send_window)):
            return False
        self.head(stream, head, False)
        self.data(stream, data, False)
        self.trailers(stream, trailers)
        return True

    def waiting(self) -> bool:
        """Whether there is something to be written."""
        return bool(self._out)

    def consumed(self, stream: int, count: int) -> bool:
        """`count` flow-controlled bytes were taken by the reader; the windows are given back, in steps as large as what is
        left of them: few frames while all is read, and no standstill when some streams are not. Says whether something is
        to be written."""
        self._give_back(count)
        known = self._streams.get(stream)
        if known is not None and known.state != ENDED_THERE:
            known.owed += count
            if known.owed >= known.receive_window:
                known.receive_window += known.owed
                self._update(stream, known.owed)
                known.owed = 0
        return bool(self._out)

    def _update(self, stream: int, increment: int) -> None:
        raise NotImplementedError

    def _known(self, stream: int) -> Stream:
        known = self._streams.get(stream)
        if known is None:
            raise NoStream
        return known

    def _fields(self, stream: Stream, fields: Fields, end: bool, secret: frozenset[bytes]) -> None:
        self._out.append(self._packer.framed(fields, secret, stream.id, end, self._peer_max_frame))
        if end:
            self._ended_here(stream)
        self._worked()

    def _worked(self) -> None:
        """The peer may acknowledge what it gets: one PING, and an update of each window."""
        self._budgets.earn(PINGS, 1)
        self._budgets.earn(UPDATES, 2)

    def _give_back(self, count: int) -> None:
        self._owed += count
        if self._owed >= self._receive_window:
            self._receive_window += self._owed
            self._update(0, self._owed)
            self._owed = 0

    # How streams end.

    def _ended_here(self, stream: Stream) -> None:
        stream.state = AFTER_OUR_END[stream.state]
        if stream.bad:
            self._refused(stream)
        elif stream.state == CLOSED:
            self._ended(stream)

    def _ended_there(self, stream: Stream) -> None:
        stream.state = AFTER_THEIR_END[stream.state]
        if stream.state == CLOSED:
            self._ended(stream)

    def _ended(self, stream: Stream) -> None:
        """Both sides ended it, as it should be."""
        self._streams.pop(stream.id, None)
        self._gone.remember(stream.id, Was.ENDED)
        self._budgets.earn(RESETS, 1)

    def _refused(self, stream: Stream) -> None:
        raise NotImplementedError

    def _plain(self, data: bytes, at: int) -> int:
        """Reads frames up to the first one that is unusual, or not whole: where that one begins. Compiled only."""
        return at


if native is not None:
    Flow = native.Flow  # type: ignore[misc]
