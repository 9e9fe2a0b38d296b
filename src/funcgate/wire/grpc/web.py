"""gRPC-Web: which kind a content type names, trailers as a last message, and the text form in base64.

Refuses base64 that is not canonical. The messages themselves are those of gRPC (messages.py).
"""

import base64
import binascii
import re
import struct
from collections.abc import Iterable

from msgspec import Struct

from .messages import Malformed

_KIND = re.compile(rb"application/grpc-web(-text)?(\+[a-z0-9.-]+)?")
_TRAILERS = 0x80
_WHITE = re.compile(rb"[\r\n\t ]")
_UNWRITABLE = re.compile(rb"[\x00\r\n]")


class WebKind(Struct, frozen=True):
    """`text`: base64, for clients that cannot read bytes. `subtype` is ``+proto`` or ``""``."""

    text: bool
    subtype: bytes

    @classmethod
    def of(cls, content_type: bytes) -> "WebKind | None":
        """None when it is not gRPC-Web. Parameters are left aside."""
        found = _KIND.fullmatch(content_type.partition(b";")[0].strip().lower())
        return cls(found[1] is not None, found[2] or b"") if found else None

    @property
    def content_type(self) -> bytes:
        return b"application/grpc-web" + (b"-text" if self.text else b"") + self.subtype


def trailer_frame(trailers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The last message of an answer: the trailers as an HTTP/1.1 block, names in lower case. Raises `Malformed`."""
    block = b""
    for name, value in trailers:
        # Attack: a line feed in what the target sent, so that one trailer becomes two.
        if _UNWRITABLE.search(name + value) or not name or b":" in name:
            raise Malformed("a trailer that cannot be written on one line")
        block += b"%b: %b\r\n" % (name.lower(), value)
    return struct.pack("!BI", _TRAILERS, len(block)) + block


def text(data: bytes) -> bytes:
    """Base64 with padding: pieces may follow one another."""
    return base64.b64encode(data)


class TextReader:
    """A body in the text form, piece for piece: padded base64, of which several may follow one another."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    @property
    def waiting(self) -> int:
        """How many letters of an unfinished group are held."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """The bytes that are known now. Raises `Malformed`."""
        held = self._held + (_WHITE.sub(b"", data) if _WHITE.search(data) else data)
        whole = len(held) - len(held) % 4
        self._held = held[whole:]
        return b"".join([_decoded(part) for part in _PARTS.findall(held[:whole])]) if whole else b""

    def finish(self) -> None:
        """Raises `Malformed` when the last piece was cut."""
        if self._held:
            raise Malformed("the text form ended within a group of four")


_PARTS = re.compile(rb"[^=]+={0,2}|=+")


def _decoded(part: bytes) -> bytes:
    try:
        found = base64.b64decode(part, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("a text form that is not base64") from None
    # Attack: bits after the last byte, which one reader drops and another one keeps.
    if base64.b64encode(found) != part:
        raise Malformed("a text form that is not base64 as it is written")
    return found
