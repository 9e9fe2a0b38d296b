"""Length-prefixed messages: a byte of flags, four of length, the message. Bytes in, messages out.

A message that is larger than it may be is refused by its length, before its bytes are waited for.
"""

import struct
from typing import NamedTuple

_HEAD = struct.Struct("!BI")
_HEAD_SIZE = _HEAD.size
_COMPRESSED = 1


class Malformed(Exception):
    """Not gRPC. The text holds nothing of what was sent."""


class TooLarge(Malformed):
    """More than the limit, or more than the limit when decompressed."""


class Message(NamedTuple):
    """One message. `compressed` says that `data` is in the coding that the metadata name."""

    compressed: bool
    data: bytes


def frame(data: bytes, compressed: bool = False) -> bytes:
    return _HEAD.pack(compressed, len(data)) + data


def alone(data: bytes, max_bytes: int) -> bytes | None:
    """The message, where all that came is one message, not compressed; None for whatever else it is."""
    size = len(data) - _HEAD_SIZE
    return data[_HEAD_SIZE:] if 0 <= size <= max_bytes and data.startswith(_HEAD.pack(0, size)) else None


class Frames:
    """One direction of one stream. `max_bytes` is what one message may have on the wire."""

    __slots__ = ("_held", "_max_bytes", "_wanted")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._wanted = _HEAD_SIZE  # how many bytes of `_held` make the next step possible

    @property
    def waiting(self) -> int:
        """How many bytes of an unfinished message are held."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are whole now. Raises `Malformed` and `TooLarge`; then nothing more may be fed."""
        size = len(data)
        if not self._held and size >= _HEAD_SIZE:
            flags, length = _HEAD.unpack_from(data)
            if size == _HEAD_SIZE + length:  # nearly always: one message, whole
                return [Message(self._checked(flags, length), data[_HEAD_SIZE:])]
        self._held += data
        return self._whole() if len(self._held) >= self._wanted else []

    def _whole(self) -> list[Message]:
        held, at, found = self._held, 0, []
        with memoryview(held) as view:
            while len(held) - at >= _HEAD_SIZE:
                flags, length = _HEAD.unpack_from(held, at)
                compressed = self._checked(flags, length)
                end = at + _HEAD_SIZE + length
                if end > len(held):
                    break
                found.append(Message(compressed, bytes(view[at + _HEAD_SIZE : end])))
                at = end
        del held[:at]
        self._wanted = _HEAD_SIZE if len(held) < _HEAD_SIZE else _HEAD_SIZE + int(_HEAD.unpack_from(held)[1])
        return found

    def _checked(self, flags: int, length: int) -> bool:
        # Attack: a length of 4 GiB makes the receiver wait for it, or make room for it.
        if length > self._max_bytes:
            raise TooLarge("a message larger than the limit")
        # Attack: a flag that one reader ignores and another one acts upon; gRPC-Web's trailers among messages.
        if flags > _COMPRESSED:
            raise Malformed("a message with flags that are not known")
        return flags == _COMPRESSED

    def finish(self) -> None:
        """The stream has ended. Raises `Malformed` when a message was cut."""
        if self._held:
            raise Malformed("the stream ended within a message")
