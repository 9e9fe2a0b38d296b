"""Frames as bytes (RFC 9113, sections 4 and 6), to be written. Reading them is `Link`'s: there limits come first."""

from struct import Struct

from .codes import (
    ACK,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)

FRAME_HEAD = Struct(">HBBBL")  # the length's high 16 and low 8 bits, type, flags, stream
SETTING = Struct(">HL")
_LONG = Struct(">L")
_TWO_LONGS = Struct(">LL")

SETTINGS_ACK = FRAME_HEAD.pack(0, 0, SETTINGS, ACK, 0)


def frame_head(size: int, kind: int, flags: int, stream: int) -> bytes:
    return FRAME_HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return frame_head(len(payload), kind, flags, stream) + payload


def settings(values: list[tuple[int, int]]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join([SETTING.pack(*value) for value in values]))


def window_update(stream: int, increment: int) -> bytes:
    return frame_head(4, WINDOW_UPDATE, 0, stream) + _LONG.pack(increment)


def rst_stream(stream: int, code: int) -> bytes:
    return frame_head(4, RST_STREAM, 0, stream) + _LONG.pack(code)


def goaway(last: int, code: int, debug: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, _TWO_LONGS.pack(last, code) + debug)


def ping(payload: bytes, *, ack: bool) -> bytes:
    return frame_head(8, PING, ACK if ack else 0, 0) + payload


def headers(stream: int, block: bytes, max_frame: int, *, end: bool) -> bytes:
    """HEADERS, with as many CONTINUATION as the peer's frame size makes necessary (RFC 9113, 6.10)."""
    flags = END_STREAM if end else 0
    if len(block) <= max_frame:
        return frame_head(len(block), HEADERS, flags | END_HEADERS, stream) + block
    parts = [frame(HEADERS, flags, stream, block[:max_frame])]
    for start in range(max_frame, len(block), max_frame):
        last = start + max_frame >= len(block)
        parts.append(frame(CONTINUATION, END_HEADERS if last else 0, stream, block[start : start + max_frame]))
    return b"".join(parts)
