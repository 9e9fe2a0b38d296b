"""Compressed messages: gzip and deflate, opened up to a limit. It refuses codings that it does not know."""

import zlib

from .messages import Malformed, TooLarge

_WINDOWS = {"gzip": 31, "deflate": 15}
CODINGS = tuple(_WINDOWS)
_LEVEL = 6


class UnknownCoding(Malformed):
    """A coding that is not known here: UNIMPLEMENTED to the caller, with `CODINGS` as grpc-accept-encoding."""


def opened(data: bytes, coding: str, max_bytes: int) -> bytes:
    """The message. Raises `Malformed`, `TooLarge` for more than `max_bytes`, `UnknownCoding`."""
    if coding == "identity" or not coding:
        # gRPC: the flag without a coding is an error. Attack: two readers, one of which takes the bytes as they are.
        raise Malformed("a compressed message without a coding")
    stream = zlib.decompressobj(_window(coding))
    try:
        out = stream.decompress(data, max_bytes + 1)
        # Attack: a kilobyte that unpacks to gigabytes.
        if len(out) > max_bytes:
            raise TooLarge("a message larger than the limit when decompressed")
    except zlib.error:
        raise Malformed("a damaged compressed message") from None
    # Attack: bytes after the end, or a second member, which some readers append and others drop.
    if not stream.eof or stream.unused_data:
        raise Malformed("a compressed message that is cut, or has bytes after its end")
    return out


def packed(data: bytes, coding: str) -> bytes:
    """Raises `UnknownCoding`."""
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _window(coding))
    return stream.compress(data) + stream.flush()


def _window(coding: str) -> int:
    window = _WINDOWS.get(coding)
    if window is None:
        raise UnknownCoding("a coding of messages that is not known")
    return window
