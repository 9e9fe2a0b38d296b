"""One stream of an HTTP/2 connection, to read (incoming.py) and to write, in either role.

The peer gets as much as it gives room for (RFC 9113, 5.2), and time to take it: nothing piles up here. It knows neither HTTP's
fields nor gRPC's messages.
"""

import asyncio
from collections.abc import Callable
from math import inf

from funcgate.wire.http2.codes import ErrorCode
from funcgate.wire.http2.events import Fields, Malformed

from .carrying import Carrier, Wire
from .gone import Gone as Gone
from .gone import Why as Why
from .incoming import Incoming

NOTHING: frozenset[bytes] = frozenset()

_PIECE = 64 << 10  # bytes written at a time, so that one stream does not fill the transport before others had a turn
_SMALL = 1 << 10
_PROGRESS = 4 << 10  # bytes that a slow peer has to take before its time begins anew


class Stream(Incoming):
    """At `deadline` (of the loop's clock) the stream is reset, whatever it is doing. `write_timeout_s` bounds each wait for the
    peer to make room; after that, the stream still stands. `on_gone` is called when the peer, or the connection, ended the stream
    before both sides were through with it. A request with `malformed` may be answered, and not served.
    """

    __slots__ = (
        "_write_until", "_writer", "deadline", "interim", "malformed", "never", "on_gone", "write_timeout_s",
    )  # fmt: skip

    def __init__(self, carrier: Carrier, wire: Wire, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self.carrier = carrier
        self.number = number
        self.fields: Fields | None = None
        self.trailers: Fields = []
        self.ended = False  # the peer has sent all
        self.sent_end = False  # so have we
        self.forgotten = False  # the connection has it no more
        self.error: Gone | None = None
        self.never = NOTHING  # names of fields that the peer wants never indexed (RFC 7541, 6.2.3)
        self.malformed: Malformed | None = None
        self.interim = 0
        self.on_gone: Callable[[], None] | None = None
        self.deadline = self.read_by = self.read_timeout_s = self.write_timeout_s = inf
        self._wire = wire
        self.loop = loop
        self._pieces: list[bytes] = []
        self._held = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._read_until = self._write_until = inf

    # Writing.

    def head(self, fields: Fields, end: bool = False, secret: frozenset[bytes] = NOTHING) -> None:
        """An answer's head, or an interim one. Fields named in `secret` stay out of every HPACK table. Raises `Gone`."""
        if self.error is not None or self.sent_end or (self.ended and self.carrier.client):
            self._check_writable()
        self._wire.head(self.number, fields, end, secret)
        if end:
            self._sent_all()
        if not self.carrier.flushing:
            self.carrier.flush_soon()

    def send_trailers(self, fields: Fields) -> None:
        """Ends our side. Raises `Gone`."""
        if self.error is not None or self.sent_end or (self.ended and self.carrier.client):
            self._check_writable()
        self._wire.trailers(self.number, fields)
        self._sent_all()
        if not self.carrier.flushing:
            self.carrier.flush_soon()

    def answer_now(self, head: Fields, data: bytes, trailers: Fields) -> bool:
        """A whole answer, if the peer has room for it now; else nothing is written. Raises `Gone`."""
        if self.error is not None or self.sent_end:
            self._check_writable()
        carrier = self.carrier
        if len(data) > _PIECE or carrier.full or not self._wire.whole(self.number, head, data, trailers):
            return False
        carrier.unsent += len(data)
        self._sent_all()
        if carrier.unsent > _PIECE or carrier.alone:
            carrier.flush()
        elif not carrier.flushing:
            carrier.flush_soon()
        return True

    async def write(self, data: bytes, end: bool = False) -> None:
        """Waits until the peer has room for all of it. Raises `Gone`."""
        if not self.write_now(data, end):
            await self._write_slowly(data, end)

    def write_now(self, data: bytes, end: bool = False) -> bool:
        """`write`, if the peer has room for all of it now; else nothing is written. Raises `Gone`."""
        if self.error is not None or self.sent_end or (self.ended and self.carrier.client):
            self._check_writable()
        carrier, wire, size = self.carrier, self._wire, len(data)
        if size > _PIECE or carrier.full or size > wire.room(self.number):
            return False
        wire.data(self.number, data, end)
        carrier.unsent += size
        if end:
            self.sent_end = True
            if self.ended and not self._held:
                self._leave()
        if carrier.unsent > _PIECE:
            carrier.flush()
        elif not carrier.flushing:
            carrier.flush_soon()
        return True

    # Ending.

    def reset(self, code: int = ErrorCode.CANCEL) -> None:
        """End both sides at once. Nothing more comes, and nothing of what came is kept."""
        if self.error is None:
            self._end_with(Gone(Why.RESET, code), code)

    def close(self) -> None:
        """Done with it. A stream that is not over is reset: with NO_ERROR after an answer in full (RFC 9113, 8.1)."""
        if self.forgotten:
            return
        if self.ended and self.sent_end:
            self._drop()
            self._leave()
        else:
            self.reset(ErrorCode.CANCEL if self.carrier.client or not self.sent_end else ErrorCode.NO_ERROR)

    # What the connection tells.

    def came_head(self, fields: Fields, end: bool) -> None:
        """The answer's head (client role)."""
        self.fields = fields
        if end:
            self.came_all()
            return
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def came(self, data: bytes, end: bool) -> None:
        """DATA of the peer's."""
        if data:
            pieces = self._pieces
            if pieces and len(data) < _SMALL and len(pieces[-1]) < _SMALL:
                # Attack: a window full of frames of one byte, each of which is an object of forty.
                pieces[-1] += data
            else:
                pieces.append(data)
            self._held += len(data)
        if end:
            self.came_all()
            return
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def came_all(self) -> None:
        """The peer has sent all."""
        self.ended = True
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)
        if self._writer is not None and self.carrier.client:
            self.wake_writer()  # nobody reads on after an answer in full
        if self.sent_end and not self._held:
            self._leave()

    def lost(self, gone: Gone) -> None:
        """The peer, or the end of the connection, ended the stream."""
        if self.error is not None:
            return
        if self.carrier.client and self.ended:
            # An answer in full stays one (RFC 9113, 8.1: NO_ERROR may follow it); only nothing more is written.
            self.sent_end = True
            self.wake_writer()
            if not self._held:
                self._leave()
            return
        self._end_with(gone, None)
        if self.on_gone is not None:
            self.on_gone()

    def expire(self, now: float) -> None:
        """Whatever time was over at `now`: say so to who waits."""
        if now >= self.deadline:
            self._end_with(Gone(Why.LATE, ErrorCode.CANCEL, "the whole"), ErrorCode.CANCEL)
            if self.on_gone is not None:
                self.on_gone()
            return
        reader, writer = self._reader, self._writer
        if now >= self._read_until and reader is not None and not reader.done():
            reader.set_exception(
                Gone(Why.LATE, ErrorCode.CANCEL, "the first byte" if self.fields is None else "the next byte")
            )
        if now >= self._write_until and writer is not None and not writer.done():
            # Attack: ask for much, give room for none of it, and keep what waits to be sent in memory.
            writer.set_exception(Gone(Why.LATE, ErrorCode.CANCEL, "the peer to read"))

    def wake_writer(self) -> None:
        """There may be room now."""
        writer = self._writer
        if writer is not None and not writer.done():
            writer.set_result(None)

    # Inside.

    async def _write_slowly(self, data: bytes, end: bool) -> None:
        carrier, wire, number = self.carrier, self._wire, self.number
        at, told, size = 0, 0, len(data)
        try:
            while True:
                self._check_writable()
                piece = 0 if carrier.full else min(wire.room(number), size - at, _PIECE)
                if piece > 0 or (at == size and not carrier.full):
                    last = at + piece == size
                    wire.data(number, data[at : at + piece], end and last)
                    at += piece
                    carrier.flush()
                    if last:
                        break
                    if at - told >= _PROGRESS:
                        told, self._write_until = at, inf
                else:
                    await self._wait_for_room()
        finally:
            self._write_until = inf
        if end:
            self._sent_all()
        carrier.flush_soon()

    async def _wait_for_room(self) -> None:
        # Attack: take one byte now and then, so that the time never ends. It begins anew only with some progress.
        if self._write_until == inf:
            self._write_until = self.loop.time() + self.write_timeout_s
        self._writer = waiter = self.loop.create_future()
        writers = self.carrier.writers
        writers.add(self)
        try:
            await waiter
        finally:
            self._writer = None
            writers.discard(self)

    def _check_writable(self) -> None:
        if self.error is not None:
            raise self.error
        if self.sent_end or (self.ended and self.carrier.client):
            raise Gone(Why.ANSWERED)

    def _sent_all(self) -> None:
        self.sent_end = True
        if self.ended and not self._held:
            self._leave()

    def _end_with(self, gone: Gone, code: int | None) -> None:
        """Nothing more in either direction. With a code the peer is told so."""
        self.error = gone
        self._drop()
        if code is not None:
            self._wire.reset(self.number, code)
        self._wake_reader()
        self.wake_writer()
        self._leave()
        self.carrier.flush_soon()
