"""One connection to a target: writes a request, reads its answer, one at a time.

It never follows a redirect and never sends twice; what the pool may do about a connection that died is the pool's.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from math import inf
from typing import Protocol, cast

from msgspec import Struct

from funcgate.core.refusal import Code, Refused
from funcgate.wire.http1.limits import HeadLimits, Malformed
from funcgate.wire.http1.responses import Response, ResponseReader

from .sweeper import Sweeper

WHOLE_UP_TO = 256 << 10  # an answer of a declared length up to this is handed over in one piece
_HIGH_WATER = 256 << 10  # a stream stops reading from the target when the caller is this far behind


class Answer(Struct):
    """An answer's head, and its body: `body` when it is whole, else the connection to `stream` it from."""

    response: Response
    body: bytes | None
    connection: "UpstreamConnection"


class Asker(Protocol):
    """Who asked, as far as it matters how its answer is handed over."""

    @property
    def collects(self) -> bool:
        """Whether a JSON answer is masked as a whole: then nobody waits for its first piece."""
        ...


class Died(Exception):
    """The connection ended before a single byte of the answer: nothing tells whether the target saw the request."""


class UpstreamConnection(asyncio.Protocol):
    """States: idle -> asked (`ask`) -> answered (head there; body whole, or streaming) -> idle or closed."""

    def __init__(
        self, sweeper: Sweeper, limits: HeadLimits, first_byte_timeout_s: float, idle_timeout_s: float
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._sweeper = sweeper
        self._reader = ResponseReader(limits)
        self._first_byte_timeout_s = first_byte_timeout_s
        self._idle_timeout_s = self._silence_s = idle_timeout_s
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._more: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._pieces: deque[bytes] = deque()
        self._taken = 0
        self._buffered = 0
        self._paused = False
        self._write_paused = False
        self._total_deadline = inf
        self._whole_up_to = WHOLE_UP_TO
        self._got_byte = False
        self._asker: Asker | None = None
        self._gathers = self._was_cut = False
        self.deadline = inf
        self.used = 0
        self.idle_since = 0.0

    # What the pool and the exchange use.

    def is_usable(self) -> bool:
        """Whether another request may be sent on this connection."""
        transport = self._transport
        if transport is None or self._error is not None or self._write_paused or transport.is_closing():
            return False
        reader = self._reader
        response = reader.response
        return response is None or (reader.complete and response.keep_alive)

    def ask(
        self, data: bytes, head_only: bool, total_timeout_s: float, whole_up_to: int, asker: Asker | None = None
    ) -> asyncio.Future[Answer]:
        """Write a request. The future brings the answer's head, and its body where that is whole already, or is waited for: up
        to `whole_up_to`, when its length is known or the `asker` collects it.

        It raises `Died`, or `Refused` (`target.timeout`, `target.unreachable`, `masking.refused` for an unreadable answer).
        """
        transport = self._transport
        if transport is None:
            raise Died
        now = self.now()
        self._total_deadline = total = now + total_timeout_s
        first = now + self._first_byte_timeout_s
        self.deadline = first if first < total else total
        self._whole_up_to, self._asker, self._gathers = whole_up_to, asker, False
        self._silence_s = self._idle_timeout_s
        self._got_byte = False
        if self._pieces:
            self._pieces.clear()
            self._buffered = 0
        self.used += 1
        self._reader.expect(head_only)
        self._answer = answer = self._loop.create_future()
        transport.write(data)
        return answer

    def lasts(self, timeout_s: float, idle_timeout_s: float) -> None:
        """The rest of this answer may take as long, and be silent for as long."""
        self._total_deadline, self._silence_s = self.now() + timeout_s, idle_timeout_s
        if self.deadline != inf:  # it is not over yet
            self._touch()

    def cut(self, refused: Refused) -> None:
        """The answer ends here, for this reason; nothing of it goes out any more."""
        # Attack: all of it has come and some of it was dropped here: what is left would look whole to its caller.
        self._was_cut = True
        self._pieces.clear()
        self._fail(refused)
        self._abort()

    async def stream(self) -> AsyncIterator[bytes]:
        """The body, piece by piece. Raises `Refused` when the target fails on the way."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._buffered -= len(piece)
                if self._paused and self._buffered < _HIGH_WATER // 2:
                    self._resume()
                yield piece
            if self._reader.complete and not self._was_cut:
                return
            if self._error is not None:
                raise self._error
            self._more = self._loop.create_future()
            await self._more

    def close(self) -> None:
        """End it at once. Anything that waits on it gets `Died`."""
        if self._transport is not None:
            self._transport.abort()
        self._fail(Died())

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._sweeper.add(self)

    def data_received(self, data: bytes) -> None:
        self._got_byte = True
        try:
            body = self._reader.feed(data)
        except Malformed as malformed:
            self._was_cut = bool(self._reader.pieces)  # they are not passed on, even if they end the answer
            self._fail(_unreadable(malformed))
            self._abort()
            return
        if body is None:
            self._advance()
            return
        answer, self._answer = self._answer, None
        self._asker, self.deadline = None, inf
        if answer is not None and not answer.done():
            answer.set_result(Answer(cast(Response, self._reader.response), body, self))

    def eof_received(self) -> bool:
        self._ended()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._sweeper.discard(self)
        self._ended()
        self._transport = None
        self._reader.forget()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False

    def expire(self, now: float) -> None:
        """The sweeper found the deadline passed."""
        what = "the answer" if now >= self._total_deadline else "the next byte" if self._got_byte else "the first byte"
        self._fail(Refused(Code.TARGET_TIMEOUT, private_detail=f"the time for {what} of the target was over"))
        self._abort()

    # How an answer moves on.

    def _advance(self) -> None:
        reader = self._reader
        response = reader.response
        if response is None:
            return
        if self._answer is not None:
            if reader.complete:
                self._hand_over(response, reader.pieces[0] if len(reader.pieces) == 1 else b"".join(reader.pieces))
            elif not 0 <= response.length <= self._whole_up_to and not self._collects(response):
                self._take_pieces()
                self._hand_over(response, None)
            else:
                self._touch()
            return
        self._take_pieces()
        if reader.complete:
            self.deadline = inf
        else:
            self._touch()
        self._wake()

    def _collects(self, response: Response) -> bool:
        """Whether more of an answer of unknown length is waited for."""
        if response.length >= 0 or self._reader.size > self._whole_up_to:
            return False
        asker, self._asker = self._asker, None  # asked once, when the head is there
        if asker is not None:
            media = response.known.get(b"content-type", b"").partition(b";")[0]
            self._gathers = media == b"application/json" and asker.collects
        return self._gathers

    def _hand_over(self, response: Response, body: bytes | None) -> None:
        answer, self._answer, self._asker = self._answer, None, None
        if body is None:
            self._touch()
        else:
            self.deadline = inf
        if answer is not None and not answer.done():
            answer.set_result(Answer(response, body, self))

    def _take_pieces(self) -> None:
        reader = self._reader
        for piece in reader.pieces:
            self._pieces.append(piece)
            self._buffered += len(piece)
        reader.pieces.clear()
        if self._buffered > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        self._touch()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _touch(self) -> None:
        # While reading is paused it is the caller who is slow, and the caller's side has a timeout of its own.
        self.deadline = min(self._total_deadline, inf if self._paused else self._loop.time() + self._silence_s)

    def _ended(self) -> None:
        reader = self._reader
        if self._error is not None or (self._answer is None and (reader.complete or reader.response is None)):
            return
        if not self._got_byte:
            self._fail(Died())
            return
        try:
            reader.end_of_stream()
        except Malformed as malformed:
            self._fail(_unreadable(malformed))
        else:
            self._advance()

    def _fail(self, error: Exception) -> None:
        self.deadline = inf
        if self._error is None:
            self._error = error
        answer, self._answer, self._asker = self._answer, None, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
        self._wake()

    def _wake(self) -> None:
        more, self._more = self._more, None
        if more is not None and not more.done():
            more.set_result(None)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _unreadable(malformed: Malformed) -> Refused:
    return Refused(Code.MASKING_REFUSED, private_detail=f"the target's answer cannot be read: {malformed.reason}")
