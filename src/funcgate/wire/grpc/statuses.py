"""gRPC's status codes, how they and their messages are written, and what HTTP's statuses mean among them."""

import re
from collections.abc import Mapping
from enum import IntEnum
from urllib.parse import unquote_to_bytes

from .messages import Malformed

_DIGITS = re.compile(rb"[0-9]|1[0-6]")
_SAFE = frozenset(range(0x20, 0x7F)) - {0x25}
_ESCAPED = [bytes([byte]) if byte in _SAFE else b"%%%02X" % byte for byte in range(256)]
_PLAIN = re.compile(rb"[ -$&-~]*")
_LONGEST = 4096


class Status(IntEnum):
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# What a client makes of an HTTP answer that is not gRPC (the protocol's own table).
_FROM_HTTP: Mapping[int, Status] = {
    400: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    429: Status.UNAVAILABLE,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}


def from_http(status: int) -> Status:
    return _FROM_HTTP.get(status, Status.UNKNOWN)


def read_status(value: bytes) -> int:
    """grpc-status. Raises `Malformed` for what is not 0 to 16 in decimal."""
    # Attack: "00" or "+0" is a success for one reader and a failure for another.
    if _DIGITS.fullmatch(value) is None:
        raise Malformed("a grpc-status that is not 0 to 16")
    return int(value)


def write_message(text: str) -> bytes:
    """grpc-message: UTF-8, percent-encoded but for printable ASCII other than ``%``; cut at 4 KiB of text."""
    raw = text.encode("utf-8", "replace")
    if len(raw) > _LONGEST:
        raw = raw[:_LONGEST].decode("utf-8", "ignore").encode()
    return raw if _PLAIN.fullmatch(raw) else b"".join([_ESCAPED[byte] for byte in raw])


def read_message(value: bytes) -> str:
    """The text. As the protocol asks, what is badly encoded is read as well as can be, never refused."""
    raw = value if b"%" not in value else unquote_to_bytes(value)
    return raw.decode("utf-8", "replace")
