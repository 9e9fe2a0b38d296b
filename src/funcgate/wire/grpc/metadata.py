"""Metadata: which names and values there may be, which are the protocol's own, and binary values.

Refuses names that another reader could take for another name. What crosses to whom is for protocols/grpc.
"""

import base64
import binascii
import re
from collections.abc import Iterable

from .messages import Malformed

_NAME = re.compile(rb"[0-9a-z_.-]+")
_VALUE = re.compile(rb"[\x20-\x7e]*")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*={0,2}")

# HTTP's own, and what frames the call: metadata of these names are none (gRPC over HTTP/2, "Call definition").
_OF_THE_CALL = frozenset({
    b"te", b"content-type", b"content-length", b"content-encoding", b"user-agent", b"connection", b"keep-alive",
    b"proxy-connection", b"transfer-encoding", b"upgrade", b"host", b"trailer",
})  # fmt: skip


def is_reserved(name: bytes) -> bool:
    """Whether the protocol owns the name: ``grpc-…``, pseudo-fields, and what frames the call."""
    return name.startswith((b"grpc-", b":")) or name in _OF_THE_CALL


def is_binary(name: bytes) -> bool:
    return name.endswith(b"-bin")


def check(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises `Malformed` for metadata that are none: names in lower case, values in printable ASCII, ``-bin`` in base64."""
    for name, value in fields:
        if _NAME.fullmatch(name) is None:
            raise Malformed("a metadata name with a character that it may not have")
        if name.endswith(b"-bin"):
            read_binary(value)
        # Attack: a line feed or a byte beyond ASCII is a field of its own, or another text, to whoever logs it.
        elif _VALUE.fullmatch(value) is None:
            raise Malformed("a metadata value with a character that it may not have")


def read_binary(value: bytes) -> list[bytes]:
    """The values of a ``-bin`` field: base64 with or without padding, several ones with commas between. Raises `Malformed`."""
    return [_decoded(part.strip(b" \t")) for part in value.split(b",")]


def _decoded(part: bytes) -> bytes:
    digits = part.rstrip(b"=")
    if _BASE64.fullmatch(part) is None or (digits != part and len(part) % 4):
        raise Malformed("binary metadata that are not base64")
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        raise Malformed("binary metadata that are not base64") from None


def write_binary(data: bytes) -> bytes:
    """Base64 without padding, as the protocol asks of those who write."""
    return base64.b64encode(data).rstrip(b"=")
