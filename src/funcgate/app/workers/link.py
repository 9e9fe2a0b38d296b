"""One end of the socket between the gateway and a worker: frames, questions, and their answers.

A frame is its payload's size (4 bytes, little-endian), its kind (1 byte), and the payload. Both ends are ours; what cannot be
read, or is larger than agreed, ends the link, and with it the worker.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from struct import Struct as Layout
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import Struct

from funcgate.core.native import half
from funcgate.core.refusal import Code, Refused

MAX_FRAME_BYTES = 256 << 20
MAX_UNREAD_BYTES = 256 << 20  # what waits for the other end to read it
MAX_ANSWERING = 20_000  # questions of the other end that are under way
_HEAD = Layout("<IB")
_NUMBER = Layout("<Q")
_AT_ONCE = 1 << 20
_MOST_REST = 4 << 20  # far more than a socket holds


class Kind(IntEnum):
    """`ASK` to `CANCEL` begin with the question's number; the payloads of the others are their readers'."""

    ASK = 0
    ANSWER = 1
    REFUSED = 2
    BROKE = 3
    CANCEL = 4
    LINES = 5  # worker to gateway: entries for the journal
    WRITTEN = 6  # gateway to worker: which of them are on the disk, or were refused
    JOURNAL = 7  # gateway to worker: the journal's state
    COUNTED = 8  # worker to gateway: what was counted
    CLOSED = 9  # worker to gateway: how many of the connections that it was passed are closed by now


_LINES = Kind.LINES.value


class Lost(Exception):
    """The other end is gone, or could not answer; the text says what broke there, never with what."""


class _No(Struct, frozen=True, array_like=True):
    """A `Refused`, as it crosses."""

    code: Code
    public_detail: str
    private_detail: str
    status: int
    retry_after_s: int
    public: dict[str, Any]


_no = msgspec.msgpack.Decoder(_No)


class Link(asyncio.Protocol):
    """`on` takes the payloads of the kinds from `LINES` on; `answer` is asked what the other end asks, and may raise `Refused`;
    `lost` is called once."""

    def __init__(
        self,
        on: Mapping[Kind, Callable[[bytes], None]],
        answer: Callable[[bytes], Awaitable[bytes]],
        lost: Callable[[], None],
        *,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        max_unread_bytes: int = MAX_UNREAD_BYTES,
        max_answering: int = MAX_ANSWERING,
    ) -> None:
        self._on = {kind.value: take for kind, take in on.items()}
        self._answer = answer
        self._lost = lost
        self._max = max_frame_bytes
        self._max_unread = max_unread_bytes
        self._max_answering = max_answering
        self._transport: asyncio.Transport | None = None
        self._in = bytearray()
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._answering: dict[int, asyncio.Task[None]] = {}
        self._number = 0
        self._over = False
        self._forged = False
        self.trouble = ""  # why this end closed the link, "" if it did not
        self.rest: socket.socket | None = (
            None  # a copy of the socket, to read what is left when a write found the end gone
        )

    def hear(self, kind: Kind, take: Callable[[bytes], None]) -> None:
        """Who takes what comes in frames of this kind from now on."""
        self._on[kind.value] = take

    # -- what this end says

    def send(self, kind: Kind, payload: bytes | bytearray) -> None:
        """Nothing, once the other end is gone: who waits learns it from `lost`."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(_HEAD.pack(len(payload), kind) + payload)  # in one piece: uvloop's shortest way to the socket
        # Attack: a worker that was taken over asks, and reads nothing of what it is told.
        if transport.get_write_buffer_size() > self._max_unread:
            self.give_up("the other end reads nothing")

    async def ask(self, question: bytes) -> bytes:
        """Raises `Refused` as the other end did, and `Lost`. Cancelling it cancels what the other end does for it."""
        if self._transport is None or self._transport.is_closing():
            raise Lost("the other end is gone")
        self._number = number = self._number + 1
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number] = waiting
        self.send(Kind.ASK, _NUMBER.pack(number) + question)
        try:
            return await waiting
        except asyncio.CancelledError:
            self.send(Kind.CANCEL, _NUMBER.pack(number))
            raise
        finally:
            del self._asked[number]

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def give_up(self, why: str, *, forged: bool = True) -> None:
        """End the link at once. `trouble` keeps the first reason. If nothing is `forged`, what was sent before is taken."""
        self.trouble = self.trouble or why
        if forged:
            self._forged = True
            self._in.clear()
        if self._transport is not None:
            self._transport.abort()

    # -- what the other end says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._gave_up():
            return
        held: bytes | bytearray = data
        if self._in:
            self._in += data
            held = self._in
        at, there = 0, len(held)
        while there - at >= _HEAD.size:
            size, kind = _HEAD.unpack_from(held, at)
            if size > self._max:
                self.give_up(f"a frame of {size} bytes")
                return
            end = at + _HEAD.size + size
            if end > there:
                break
            if held is data:
                payload = data[at + _HEAD.size : end]
            else:
                with memoryview(held) as view:
                    payload = bytes(view[at + _HEAD.size : end])
            at = end
            try:
                if kind >= _LINES:
                    self._on[kind](payload)
                else:
                    self._take(Kind(kind), payload)
            except Exception as error:
                # Attack: a worker that was taken over says what breaks the gateway. It loses its link, and its process.
                self.give_up(f"{type(error).__name__} in a frame of kind {kind}")
            if self._gave_up():
                return
        if held is data:
            self._in += data[at:]
        else:
            del self._in[:at]

    def _gave_up(self) -> bool:
        return self._forged

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        if self.rest is not None:
            self._take_rest(self.rest)
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(Lost("the other end is gone"))
        for task in self._answering.values():
            task.cancel()
        self._lost()

    def _take_rest(self, rest: socket.socket) -> None:
        """What the other end said before it ended: a loop that writes to an end that is gone reads no more of it."""
        left = _MOST_REST
        with rest, contextlib.suppress(OSError):
            rest.setblocking(False)
            # Attack: a worker that was taken over reads nothing more, which ends the link here, and writes on without end: the
            # loop, and with it the gateway, would stand still for as long as it likes.
            while left > 0 and not self._forged and (data := rest.recv(_AT_ONCE)):
                left -= len(data)
                self.data_received(data)

    def _take(self, kind: Kind, payload: bytes) -> None:
        if self._over:  # nobody waits for an answer any more
            return
        (number,) = _NUMBER.unpack_from(payload)
        rest = payload[_NUMBER.size :]
        if kind is Kind.ASK:
            # Attack: a worker that was taken over asks until the gateway's memory is gone, or takes back an answer's number.
            if number in self._answering or len(self._answering) >= self._max_answering:
                raise ValueError("too many questions, or one twice")
            task = asyncio.create_task(self._answered(number, rest))
            self._answering[number] = task
            task.add_done_callback(lambda _: self._answering.pop(number, None))
        elif kind is Kind.CANCEL:
            if number in self._answering:
                self._answering[number].cancel()
        elif (waiting := self._asked.get(number)) is not None and not waiting.done():
            if kind is Kind.ANSWER:
                waiting.set_result(rest)
            elif kind is Kind.REFUSED:
                waiting.set_exception(_refused(rest))
            else:
                waiting.set_exception(Lost(_broke(rest)))

    async def _answered(self, number: int, question: bytes) -> None:
        kind = Kind.ANSWER
        try:
            said = await self._answer(question)
        except Refused as refused:
            no = _No(
                refused.code, refused.public_detail, refused.private_detail, refused.status, refused.retry_after_s,
                dict(refused.public),
            )  # fmt: skip
            kind, said = Kind.REFUSED, msgspec.msgpack.encode(no)
        except (
            Exception,
            asyncio.CancelledError,
        ) as error:  # cancelled: by whoever asked, who then waits no more, or in there
            kind, said = Kind.BROKE, type(error).__name__.encode()
        self.send(kind, _NUMBER.pack(number) + said)


def _refused(payload: bytes) -> Refused:
    no = _no.decode(payload)
    return Refused(
        no.code,
        no.public_detail,
        private_detail=no.private_detail,
        status=no.status,
        retry_after_s=no.retry_after_s,
        public=no.public,
    )


def _broke(payload: bytes) -> str:
    # Attack: a worker that was taken over writes lines of its own into the log.
    name = payload[:100].decode("ascii", "replace")
    return name if name.isidentifier() else "it broke"


# This text is compiled, too: it is the same link.
if not TYPE_CHECKING and __name__.endswith(".link") and (_native := half("funcgate.app.workers._link")) is not None:
    globals().update(Kind=_native.Kind, Lost=_native.Lost, Link=_native.Link)
