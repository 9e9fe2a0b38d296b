"""The connections to one target that speaks HTTP/2: few, shared by many calls, and held back from one that does not answer.

A request is sent twice only when the target did nothing with it (RFC 9113, 8.7), or may be (RFC 9110, 9.2.2): once, then.
"""

import asyncio
from collections import deque
from math import inf

from funcgate.core.function import Limits
from funcgate.core.refusal import Code, Refused
from funcgate.protocols.http.pool import Address
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.wire.http2.codes import NoStream
from funcgate.wire.http2.events import Fields
from funcgate.wire.http2.limits import Http2Limits, Times

from .dialing import dial, said
from .link import Http2Connection
from .owner import Owner
from .refusing import refusal as refusal
from .refusing import unreachable
from .stream import NOTHING, Gone, Stream, Why

_FAILURES_TO_HOLD = 3
_HOLD_S = 1.0


class Http2Pool:
    """Opens streams. One for a target; it outlives a reload that does not change it."""

    def __init__(self, address: Address, limits: Limits, wire: Http2Limits, times: Times, sweeper: Sweeper) -> None:
        self.address = address
        self.limits = limits
        self._wire_limits = wire
        self._times = times
        self._sweeper = sweeper
        self._connections: list[Http2Connection] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self._starting = 0  # how many of these are not through yet
        self._promised = 0  # turns that have come, and were not taken yet
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._usual = wire.max_streams  # streams that the last connection took: how many a new one is expected to take
        self._failures = 0
        self._held_until = -inf
        self._closed = False

    @property
    def healthy(self) -> bool:
        """False while connections to the target keep failing, or breaking before an answer."""
        return self._failures < _FAILURES_TO_HOLD

    async def ask(
        self,
        fields: Fields,
        body: bytes,
        *,
        secret: frozenset[bytes],
        idempotent: bool,
        deadline: float = inf,
        silence_s: float = 0.0,
    ) -> Stream:
        """Send a request and bring the stream with its answer's head. `close` it afterwards. Raises `Refused`."""
        again = False
        while True:
            stream = await self.open(
                fields, end=not body, secret=secret, deadline=deadline, silence_s=silence_s, body=body
            )
            try:
                if not stream.sent_end:
                    await _send(stream, body)
                if stream.fields is None:
                    await stream.answer()
            except Gone as gone:
                fresh = stream.carrier.used == 1
                stream.close()
                may = gone.why is Why.UNPROCESSED or (idempotent and gone.why is Why.CLOSED and not fresh)
                if again or not may:
                    raise refusal(gone) from None
                again = True
            except BaseException:
                stream.close()
                raise
            else:
                stream.read_timeout_s = silence_s or self.limits.idle_timeout_s
                return stream

    async def open(
        self,
        fields: Fields,
        *,
        end: bool,
        secret: frozenset[bytes] = NOTHING,
        deadline: float = inf,
        silence_s: float = 0.0,
        body: bytes = b"",
    ) -> Stream:
        """A new stream with this head, and with `body` as `Http2Connection.open` takes it. `deadline` (the loop's clock) is for
        all of it; without one, `timeout_s` from now on.
        `silence_s`, if it is set, is for each wait for the target, also that for its head.

        Raises `Refused(target.unreachable)` when there is none in `connect_timeout_s`, `target.timeout` at the deadline.
        """
        limits = self.limits
        while True:
            connection = None if self._waiting or self._promised else self._free()
            if connection is None:
                connection = await self._wait(deadline)
            try:
                stream = connection.open(fields, end=end, secret=secret, body=body)
            except NoStream:
                connection.leave()  # its stream numbers are used up
                continue
            if deadline == inf:
                deadline = asyncio.get_running_loop().time() + limits.timeout_s
            stream.deadline = deadline
            stream.read_timeout_s = silence_s or limits.first_byte_timeout_s
            stream.write_timeout_s = limits.first_byte_timeout_s
            return stream

    def close(self) -> None:
        """Close what is idle, now; what is under way closes when its last stream is over."""
        self._closed = True
        for connection in list(self._connections):
            self._leave_if_closed(connection)

    # Waiting for a connection that has room.

    def _free(self) -> Http2Connection | None:
        for connection in self._connections:
            if connection.free > 0:
                return connection
        return None

    async def _wait(self, deadline: float) -> Http2Connection:
        """Until a connection has room for a stream. First come, first served."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.limits.connect_timeout_s
        first = False
        while True:
            turn: asyncio.Future[None] = loop.create_future()
            (self._waiting.appendleft if first else self._waiting.append)(turn)
            try:
                self._connect_if_needed()
                self._wake()
                async with asyncio.timeout_at(min(until, deadline)):
                    await turn
                self._promised -= 1
                connection = self._free()
            except TimeoutError:
                self._pass_on(turn)
                if deadline <= until:
                    why = "the time was over before a connection was free"
                    raise Refused(Code.TARGET_TIMEOUT, private_detail=why) from None
                raise unreachable("all connections to the target are in use") from None
            except asyncio.CancelledError:
                self._pass_on(turn)
                raise
            finally:
                if turn in self._waiting:
                    self._waiting.remove(turn)
            if connection is not None:
                return connection
            first = True

    def _pass_on(self, turn: "asyncio.Future[None]") -> None:
        """If it was the turn of one that gave up, it is the next one's now."""
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            self._promised -= 1
            self._wake()

    def _connect_if_needed(self) -> None:
        """Start as many connections as those who wait can be expected to fill. Raises `Refused` while the target is held back."""
        starting = self._starting
        if starting * self._usual >= len(self._waiting) or self._free() is not None:
            return
        most, leaving = self.limits.max_connections, sum(connection.leaving for connection in self._connections)
        # Attack: a target that says GOAWAY and keeps its streams open. Only so many connections may be on their way out.
        if starting + len(self._connections) - min(leaving, most) >= most:
            return
        loop = asyncio.get_running_loop()
        if not self.healthy and loop.time() < self._held_until:
            raise unreachable("the target is held back after failed connections")
        self._starting += 1
        task = loop.create_task(self._connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        try:
            connection = await dial(self, self.address, self.limits.connect_timeout_s, self._made)
        except (OSError, TimeoutError) as error:  # `ssl.SSLError` is one
            self._starting -= 1
            self._failed(f"connecting to the target failed: {type(error).__name__}{said(error)}")
            return
        except BaseException:
            self._starting -= 1
            raise
        self._starting -= 1
        self._usual = max(1, connection.free)
        self._connections.append(connection)
        self._wake()
        self._leave_if_closed(connection)

    def _made(self, owner: Owner) -> Http2Connection:
        return Http2Connection(owner, self._sweeper, self._wire_limits, self._times, client=True)

    def _failed(self, why: str) -> None:
        self._failures += 1
        self._held_until = asyncio.get_running_loop().time() + _HOLD_S
        if not self._connections and not self._starting:
            self._refuse_waiting(why)

    def _refuse_waiting(self, why: str) -> None:
        """There is nothing to wait for."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(unreachable(why))

    def _leave_if_closed(self, connection: Http2Connection) -> None:
        if self._closed and not (self._waiting or self._promised or connection.streams):
            connection.leave()

    def _wake(self) -> None:
        """As many as there is room for."""
        if not self._waiting:
            return
        room = sum(max(0, connection.free) for connection in self._connections) - self._promised
        while self._waiting and room > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._promised += 1
                room -= 1

    # What the connections tell, once they are in use.

    def freed(self, connection: Http2Connection) -> None:
        if connection.proven:
            self._failures = 0
        if self._waiting:
            self._wake()
        elif self._closed:
            self._leave_if_closed(connection)

    def lost(self, connection: Http2Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        if not connection.proven:
            # Attack: greet, and break off: connections without end for calls that wait for one.
            self._failed("the target broke the connection off before an answer")
        if self._waiting:
            try:
                self._connect_if_needed()
            except Refused as refused:
                if not self._connections and not self._starting:
                    self._refuse_waiting(refused.private_detail)


async def _send(stream: Stream, body: bytes) -> None:
    try:
        await stream.write(body, end=True)
    except Gone as gone:
        if gone.why is not Why.ANSWERED:  # RFC 9113, 8.1: an answer may come before it was all read
            raise
