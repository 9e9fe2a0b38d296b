"""The messages of one direction of one stream, whole and opened, one at a time. It reads no more than is asked for."""

import asyncio
from collections import deque
from typing import Protocol

from funcgate.wire.grpc import Frames, Malformed, Message, TextReader, TooLarge, opened

_LARGE = 64 << 10  # bytes; larger messages are opened beside the loop


class Readable(Protocol):
    """What messages are read from: a stream, or something like one."""

    @property
    def ended(self) -> bool: ...

    @property
    def held(self) -> int: ...

    async def read(self, limit: int = ...) -> bytes: ...


class Messages:
    """`coding` is what the head says of compressed messages, `max_bytes` what one may have, also when opened; `begun` was taken
    off the stream before.

    Reading raises `Malformed`, `TooLarge` (which is one), and whatever the stream raises.
    """

    __slots__ = ("_begun", "_coding", "_frames", "_max_bytes", "_stream", "_text", "_there", "packed")

    def __init__(
        self, stream: Readable, coding: str, max_bytes: int, text: TextReader | None = None, begun: bytes = b""
    ) -> None:
        self._stream = stream
        self._begun = begun
        self._coding = coding
        self._max_bytes = max_bytes
        self._frames = Frames(max_bytes)
        self._text = text
        self._there: deque[Message] = deque()
        self.packed = False  # whether the last one came compressed

    async def next(self) -> bytes | None:
        """The next message; None after the last one."""
        there, stream = self._there, self._stream
        while not there:
            data, self._begun = self._begun or await stream.read(), b""
            if not data:
                if self._text is not None:
                    self._text.finish()
                self._frames.finish()
                return None
            there.extend(self._frames.feed(data if self._text is None else self._text.feed(data)))
        message = there.popleft()
        self.packed = message.compressed
        if not message.compressed:
            return message.data
        if len(message.data) <= _LARGE:
            try:
                return opened(message.data, self._coding, min(self._max_bytes, _LARGE))
            except TooLarge:
                # Attack: some kilobytes that open to megabytes, again and again: they hold up nobody else's call.
                if self._max_bytes <= _LARGE:
                    raise
        return await asyncio.to_thread(opened, message.data, self._coding, self._max_bytes)

    async def only(self) -> bytes:
        """The one message that there has to be. Raises `Malformed` for none, and for more."""
        first = await self.next()
        # Attack: two messages where one is judged, and a target that takes the other one.
        if first is None or (await self.next()) is not None:
            raise Malformed("this method takes one message")
        return first

    @property
    def at_end(self) -> bool:
        """Whether it is known already that no message follows. Never waits."""
        if self._begun or self._there or not self._stream.ended or self._stream.held or self._frames.waiting:
            return False
        return self._text is None or not self._text.waiting

    @property
    def ready(self) -> bool:
        """Whether the next message is here already."""
        return bool(self._there)
