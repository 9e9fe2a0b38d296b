"""Framing: a type byte, a length, a payload. Packets before the session have no type byte.

Nothing is read beyond a frame, and no frame is waited for that is larger than its type allows.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

MAX_STARTUP = 10_000  # as the server's own limit
PROTOCOL_3_0 = 3 << 16
CANCEL_REQUEST = 1234 << 16 | 5678
SSL_REQUEST = 1234 << 16 | 5679
GSSENC_REQUEST = 1234 << 16 | 5680

_LENGTH = struct.Struct("!I")
_HEAD = struct.Struct("!cI")


class Malformed(Exception):
    """Not a message of this protocol. The text holds nothing of what was sent."""


class Frame(NamedTuple):
    """One message: its type (one byte), its payload, and all of its bytes as they were."""

    kind: bytes
    payload: bytes
    raw: bytes


class Startup(NamedTuple):
    """A startup message: the version that was asked for and the parameters, in order."""

    minor: int
    parameters: Mapping[str, str]


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return _HEAD.pack(kind, len(payload) + 4) + payload


def size_of(head: bytes | bytearray, at: int, limits: Mapping[int, int]) -> int:
    """All bytes of the frame that begins at `at`, of which five are there. Raises `Malformed`.

    `limits` are the largest payloads by type; a type that is not in it is not known.
    """
    most = limits.get(head[at])
    if most is None:
        raise Malformed("a message of an unknown type")
    (length,) = _LENGTH.unpack_from(head, at + 1)
    # Attack: a length of 4 GiB makes the receiver wait for it, or make room for it.
    if length < 4 or length - 4 > most:
        raise Malformed("a message of a length that its type does not allow")
    return int(length) + 1


def packet_size(head: bytes | bytearray) -> int:
    """All bytes of the packet (startup, cancel, TLS), of which four are there. Raises `Malformed`."""
    (length,) = _LENGTH.unpack_from(head)
    if not 8 <= length <= MAX_STARTUP:
        raise Malformed("a startup packet of an impossible length")
    return int(length)


def packet_code(packet: bytes) -> int:
    return int.from_bytes(packet[4:8], "big")


def read_cancel(packet: bytes) -> tuple[int, bytes]:
    """Process id and secret. Raises `Malformed`."""
    if len(packet) != 16:
        raise Malformed("a cancel request of the wrong length")
    return int.from_bytes(packet[8:12], "big"), packet[12:16]


def read_startup(packet: bytes) -> Startup:
    """Raises `Malformed`, also for a version that is not 3.x."""
    code = packet_code(packet)
    if code >> 16 != 3:
        raise Malformed(f"protocol version {code >> 16}.{code & 0xFFFF} is not spoken here")
    body = packet[8:]
    if not body.endswith(b"\0\0") and body != b"\0":
        raise Malformed("a startup packet without its end")
    parts = body[:-1].split(b"\0")[:-1]
    if len(parts) % 2:
        raise Malformed("a startup parameter without a value")
    found: dict[str, str] = {}
    try:
        for name, value in zip(parts[::2], parts[1::2], strict=True):
            text = name.decode()
            if not text or text in found:
                raise Malformed("a startup parameter twice, or without a name")
            found[text] = value.decode()
    except UnicodeDecodeError:
        raise Malformed("a startup parameter that is not UTF-8") from None
    return Startup(code & 0xFFFF, found)


def startup(parameters: Mapping[str, str]) -> bytes:
    """A startup packet for version 3.0."""
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return struct.pack("!II", len(body) + 8, PROTOCOL_3_0) + body


def cancel(pid: int, secret: bytes) -> bytes:
    return struct.pack("!III", 16, CANCEL_REQUEST, pid) + secret


SSL_PACKET = struct.pack("!II", 8, SSL_REQUEST)
