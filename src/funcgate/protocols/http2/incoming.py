"""What came on one stream of an HTTP/2 connection and waits to be read, in either role.

The peer gets room only for what was read (RFC 9113, 5.2): nothing piles up here. What goes the other way is stream.py's.
"""

import asyncio
from math import inf

from funcgate.wire.http2.events import Fields

from .carrying import Carrier, Wire
from .gone import Gone


class Incoming:
    """One half of a `Stream`, which fills it in.

    `fields` are the peer's head, pseudo-fields first (None until it came); `trailers` are there once `ended` is true.
    `read_timeout_s` bounds each wait for the peer, `read_by` all of them together; after these, the stream still stands.
    """

    __slots__ = (
        "_held", "_pieces", "_read_until", "_reader", "_wire", "carrier", "ended", "error", "fields", "forgotten",
        "loop", "number", "read_by", "read_timeout_s", "sent_end", "trailers",
    )  # fmt: skip

    carrier: Carrier
    number: int
    fields: Fields | None
    trailers: Fields
    ended: bool  # the peer has sent all
    sent_end: bool  # so have we
    forgotten: bool  # the connection has it no more
    error: Gone | None
    read_by: float
    read_timeout_s: float
    loop: asyncio.AbstractEventLoop
    _wire: Wire
    _pieces: list[bytes]
    _held: int
    _reader: asyncio.Future[None] | None
    _read_until: float

    async def answer(self) -> Fields:
        """The peer's head, once it is there. Raises `Gone`."""
        if self.error is not None:
            raise self.error
        while self.fields is None:
            await self._wait_for_more()
        return self.fields

    async def read(self, limit: int = 1 << 18) -> bytes:
        """The next bytes, `limit` at most; b"" at the end. What was taken makes room for the peer. Raises `Gone`."""
        pieces = self._pieces
        while not pieces:
            if self.ended:
                # Attack: what was not read yet was dropped; what was read would look like all of it.
                if self.error is not None:
                    raise self.error
                return b""
            await self._wait_for_more()
        if self._held <= limit:
            return self._take_all()
        piece = pieces.pop(0)
        if len(piece) > limit:
            pieces.insert(0, piece[limit:])
            piece = piece[:limit]
        self._took(len(piece))
        return piece

    async def gather(self, limit: int) -> bytes | None:
        """All there is, once the peer has sent all. None as soon as that is more than `limit`; it can be read then."""
        limit = min(limit, self.carrier.window // 2)  # for sure the peer has room for that, even if nothing is read
        while not self.ended and self._held <= limit:
            await self._wait_for_more()
        return self.whole() if self._held <= limit else None

    def whole(self) -> bytes | None:
        """Takes everything that was not read yet, when the peer has sent all; else None. Waits for nothing."""
        if not self.ended or self.error is not None:
            return None
        pieces = self._pieces
        if len(pieces) != 1:
            return self._take_all()
        data = pieces[0]
        self._pieces = []
        self._held = 0
        if self._wire.consumed(self.number, len(data)) and not self.carrier.flushing:
            self.carrier.flush_soon()
        if self.sent_end and not self.forgotten:
            self._leave()
        return data

    @property
    def held(self) -> int:
        """Bytes that are here and were not read yet."""
        return self._held

    def stir(self) -> None:
        """Something went the other way: the wait for the peer begins anew."""
        if self._reader is not None:
            self._read_until = min(self.read_by, self.loop.time() + self.read_timeout_s)

    # Inside.

    async def _wait_for_more(self) -> None:
        if self.error is not None:
            raise self.error
        self._reader = waiter = self.loop.create_future()
        self._read_until = min(self.read_by, self.loop.time() + self.read_timeout_s)
        try:
            await waiter
        finally:
            self._reader = None
            self._read_until = inf
        if self.error is not None:
            raise self.error

    def _take_all(self) -> bytes:
        pieces = self._pieces
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._took(len(data))
        return data

    def _took(self, size: int) -> None:
        self._held -= size
        if self._wire.consumed(self.number, size):
            self.carrier.flush_soon()
        if self.ended and self.sent_end and not self._held:
            self._leave()

    def _leave(self) -> None:
        if not self.forgotten:
            self.forgotten = True
            self.carrier.forget(self)

    def _drop(self) -> None:
        """Bytes that nobody will read make room all the same: the connection's window is shared."""
        if self._held:
            self._wire.consumed(self.number, self._held)
            self._pieces.clear()
            self._held = 0

    def _wake_reader(self) -> None:
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)
