"""The asyncio side of one HTTP/2 connection, in either role: reads, writes once a turn, keeps the times, tells the streams.

What the bytes mean is judged by wire/http2/link.py; what a stream means, by whoever has it. There is no task per frame.
"""

import asyncio
from math import inf
from typing import cast

from funcgate.protocols.http.sweeper import Sweeper
from funcgate.wire.http2.codes import Broken, ErrorCode, NoStream
from funcgate.wire.http2.events import Away, Data, Event, Fields, Head, Malformed, Reset, Roomier, Settled, Trailers
from funcgate.wire.http2.limits import Http2Limits
from funcgate.wire.http2.limits import Times as Times
from funcgate.wire.http2.link import Link

from .incoming import Incoming
from .owner import Owner as Owner
from .stream import NOTHING, Gone, Stream, Why

_HIGH_WATER = 256 << 10  # bytes in the transport beyond which streams wait
_STALE_S = 5.0  # a connection that was silent for so long is asked for a sign of life with the next stream
_QUIET_GAP_S = 300.0  # between two pings while nothing is said: gRPC servers take no more of them


class Http2Connection(asyncio.Protocol):
    """States: greeting (until SETTINGS came) -> open -> leaving (no new streams) -> over."""

    def __init__(self, owner: Owner, sweeper: Sweeper, limits: Http2Limits, times: Times, *, client: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._sweeper = sweeper
        self._times = times
        self._wire = Link(client, limits)
        self._transport: asyncio.Transport | None = None
        self.flushing = False
        self._over = False
        self._unfinished = 0  # stands for the frame, or block, that has begun and is not whole
        self._why = ""
        self._began = self._heard = self._loop.time()
        self._unfinished_since = self._full_since = self._quiet_since = inf
        self._pinged_at = inf
        self._ping_gap = times.ping_after_s
        self._limits = limits
        self.streams: dict[int, Stream] = {}
        self.writers: set[Stream] = set()
        self.client = client
        self.window = limits.stream_window
        self.settled = self.leaving = self.full = False
        self.proven = False  # an answer began on it, or it was we who ended it (client role)
        self.unsent = 0
        self.used = 0  # streams that were opened, by either side
        self.deadline = -inf  # every sweep looks at it

    # What the owner uses.

    @property
    def free(self) -> int:
        """How many streams may be opened now (client role)."""
        if self.leaving or self._over or not self.settled:
            return 0
        return min(self._limits.max_streams, self._wire.peer_max_streams) - len(self.streams)

    @property
    def over(self) -> bool:
        return self._over

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._transport

    @property
    def alone(self) -> bool:
        """Whether what is written now need not wait for what others write in this turn of the loop."""
        return len(self.streams) == 1 if self.client else not self.streams and self._owner.alone

    def open(self, fields: Fields, *, end: bool, secret: frozenset[bytes] = NOTHING, body: bytes = b"") -> Stream:
        """A new stream (client role), and all of its body if there is room for it now: then it has `sent_end`. Raises `NoStream`
        when there can be none: look at `free`, or take another connection."""
        if self.leaving or self._over:
            raise NoStream
        now = self._loop.time()
        number = self._wire.open(fields, end, secret)
        stream = Stream(self, self._wire, number, self._loop)
        stream.sent_end = end
        if not self.streams and now - self._heard > _STALE_S and self._pinged_at == inf:
            self._ping(now)
        self._quiet_since = inf
        self.streams[number] = stream
        self.used += 1
        if body:
            self._write_at_once(stream, body)
        else:
            self.flush_soon()
        return stream

    def _write_at_once(self, stream: Stream, body: bytes) -> None:
        """Head and body together: at the end of the turn, or now where there is nothing to wait for."""
        soon = self.flushing
        self.flushing = True  # so that `write_now` leaves it to us
        wrote = False
        try:
            wrote = stream.write_now(body, end=True)
        finally:
            if self.flushing:  # else it was much, and is written
                self.flushing = soon
                if wrote and self.alone:
                    self.flush()
                else:
                    self.flush_soon()

    def leave(self, code: int = ErrorCode.NO_ERROR) -> None:
        """Begin no more streams; say so to the peer; close when the last one is over (RFC 9113, 6.8)."""
        if not self.leaving:
            self.leaving = self.proven = True
            self._wire.away(code)
        self.flush_soon()

    def abort(self) -> None:
        """End it at once, with whatever is open on it."""
        if self._transport is not None:
            self._transport.abort()
        self._end(Gone(Why.CLOSED))

    # What streams use.

    def flush(self) -> None:
        """Write what there is."""
        self.flushing = False
        self.unsent = 0
        transport = self._transport
        data = self._wire.take()
        if transport is None or transport.is_closing():
            return
        if data:
            transport.write(data)
            if self.full and transport.get_write_buffer_size() > self._limits.max_unread:
                # Attack: make us answer (PING, SETTINGS, resets) and read none of it, until our memory is full.
                self.abort()
                return
        if self.leaving and not self.streams:
            transport.close()

    def flush_soon(self) -> None:
        """Write at the end of this turn of the loop, all in one."""
        if not self.flushing:
            self.flushing = True
            self._loop.call_soon(self.flush)

    def forget(self, stream: Incoming) -> None:
        """The stream is over."""
        if self.streams.pop(stream.number, None) is not None:
            if not self.streams:
                self._quiet_since = self._loop.time()
                if self.leaving:
                    self.flush_soon()
            if self.client:
                self._owner.freed(self)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = connected = cast(asyncio.Transport, transport)
        connected.set_write_buffer_limits(high=_HIGH_WATER)
        self._sweeper.add(self)
        self._wire.begin()
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._heard = now = self._loop.time()
        self._pinged_at = inf
        wire = self._wire
        try:
            events = wire.feed(data, now)
        except Broken as broken:
            self._tell(broken.events)
            self._break(broken.why)
            return
        self._tell(events)
        unfinished = wire.unfinished
        if unfinished != self._unfinished:
            self._unfinished = unfinished
            self._unfinished_since = now if unfinished else inf
        if not self.flushing and (wire.waiting() or self.leaving):
            self.flush_soon()

    def eof_received(self) -> bool:
        return False  # an HTTP/2 connection has no half-closed state

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end(Gone(Why.CLOSED))

    def pause_writing(self) -> None:
        self.full = True
        self._full_since = self._loop.time()

    def resume_writing(self) -> None:
        self.full = False
        self._full_since = inf
        self._wake_writers()

    def expire(self, now: float) -> None:
        """The sweeper's turn: streams first, then the connection's own times."""
        for stream in list(self.streams.values()):
            stream.expire(now)
        times = self._times
        if not self.settled and now - self._began > times.settle_s:
            self._give_up("it did not say in time that it speaks HTTP/2")
        elif now - self._unfinished_since > times.unfinished_s:
            # Attack: hold a connection with a frame, or a header block, that comes byte by byte (slowloris).
            self._give_up("the rest of a frame or of a header block did not come in time")
        elif now - self._full_since > times.write_s:
            self._give_up("it does not read")
        elif now - self._pinged_at > times.ping_s:
            self._give_up("it gave no sign of life")
        elif self.streams and self._pinged_at == inf and now - self._heard > self._ping_gap:
            self._ping(now)
            self._ping_gap = _QUIET_GAP_S
            self.flush_soon()
        elif not self.leaving and (now - self._quiet_since > times.idle_s or now - self._began > times.age_s):
            self.leave()
            self._owner.freed(self)

    # What the frames mean for the streams.

    def _tell(self, events: list[Event]) -> None:
        streams = self.streams
        for event in events:
            if type(event) is Data:
                self._ping_gap = self._times.ping_after_s
                stream = streams.get(event.stream)
                data, counted = event.data, event.counted
                if stream is None:
                    self._wire.consumed(event.stream, counted)
                    continue
                if counted > len(data):  # padding: nobody reads it
                    self._wire.consumed(event.stream, counted - len(data))
                stream.came(data, event.end)
            elif type(event) is Head:
                self._head(event)
            elif type(event) is Trailers:
                stream = streams.get(event.stream)
                if stream is not None:
                    stream.trailers = event.fields
                    stream.came_all()
            else:
                self._rare(event)

    def _head(self, event: Head) -> None:
        self._ping_gap = self._times.ping_after_s
        if not self.client:
            number = event.stream
            self.streams[number] = stream = Stream(self, self._wire, number, self._loop)
            self.used += 1
            self._quiet_since = inf
            stream.fields = event.fields
            stream.never = event.never
            stream.ended = event.end
            self._owner.opened(stream)
            return
        found = self.streams.get(event.stream)
        if found is None:
            return
        if event.fields[0][1][:1] == b"1":  # RFC 9113, 8.1: the final answer follows
            found.interim += 1
            if found.interim > self._limits.max_interim:
                self._wire.reset(event.stream, ErrorCode.PROTOCOL_ERROR)
                found.lost(Gone(Why.UNREADABLE, ErrorCode.PROTOCOL_ERROR))
            return
        self.proven = True
        found.came_head(event.fields, event.end)

    def _rare(self, event: Event) -> None:
        match event:
            case Malformed():
                self.streams[event.stream] = stream = Stream(self, self._wire, event.stream, self._loop)
                self.used += 1
                self._quiet_since = inf
                stream.malformed = event
                self._owner.opened(stream)
            case Roomier(stream=0):
                self._wake_writers()
            case Roomier():
                found = self.streams.get(event.stream)
                if found is not None:
                    found.wake_writer()
            case Reset():
                self._was_reset(event)
            case Away():
                self._is_away(event)
            case Settled():
                if not self.settled:
                    self.settled = True
                    self._quiet_since = inf if self.streams else self._heard
                    self._owner.settled(self)
                self._owner.freed(self)
                self._wake_writers()
            case _:
                pass  # the answer to a PING: any byte is a sign of life

    def _was_reset(self, event: Reset) -> None:
        stream = self.streams.get(event.stream)
        if stream is None:
            return
        why = Why.UNPROCESSED if event.code == ErrorCode.REFUSED_STREAM else Why.RESET
        if event.ours:  # the wire found what it cannot read, and has said so to the peer
            why = Why.UNREADABLE
        stream.lost(Gone(why, event.code))

    def _is_away(self, event: Away) -> None:
        """GOAWAY: the peer begins nothing new. Streams of ours above `last` it did not look at (RFC 9113, 6.8)."""
        self.leaving = True
        if self.client:
            for stream in [stream for stream in self.streams.values() if stream.number > event.last]:
                stream.lost(Gone(Why.UNPROCESSED, event.code))
        self._owner.freed(self)

    # The end.

    def _ping(self, now: float) -> None:
        self._pinged_at = now
        self._wire.ping()

    def _wake_writers(self) -> None:
        for stream in list(self.writers):
            stream.wake_writer()

    def _give_up(self, why: str) -> None:
        """A time was over: nothing that we would write would be read."""
        self._why = why
        self.abort()

    def _break(self, why: str) -> None:
        """The peer broke the protocol. GOAWAY is written already; what is open ends as unreadable."""
        self._why = why
        self.flush()
        if self._transport is not None:
            self._transport.close()
        self._end(Gone(Why.UNREADABLE, ErrorCode.PROTOCOL_ERROR))

    def fail(self) -> None:
        """A fault of ours: end it, and say so."""
        self._wire.away(ErrorCode.INTERNAL_ERROR)
        self.flush()
        self.abort()

    def _end(self, gone: Gone) -> None:
        if self._over:
            return
        self._over = True
        self._sweeper.discard(self)
        for stream in list(self.streams.values()):
            stream.lost(gone)
        self._owner.lost(self, self._why)
