"""What kinds of body there are, and how a compressed one is opened. It refuses to guess: what is in no table is unreadable."""

import zlib
from collections.abc import Iterator
from enum import Enum

from .tokens import Unreadable


class TooLarge(Unreadable):
    """The body is beyond the limit. Refused even where unreadable bodies pass: that is an attack, not a format."""


class Kind(Enum):
    JSON = "json"
    LINES = "lines"
    TEXT = "text"
    UNREADABLE = "unreadable"


_JSON = frozenset({"application/json", "text/json", "application/problem+json", "application/manifest+json"})
_LINES = frozenset({
    "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines", "application/x-jsonlines",
    "application/jsonlines", "application/json-seq",
})  # fmt: skip
_TEXT = frozenset({
    "application/xml", "application/javascript", "application/x-javascript", "application/ecmascript", "application/yaml",
    "application/x-yaml", "application/toml", "application/sql", "application/graphql", "application/x-sh",
    "application/x-www-form-urlencoded", "application/csv",
})  # fmt: skip
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
_SINGLE_BYTE = frozenset({"iso-8859-1", "latin-1", "latin1", "windows-1252", "iso-8859-15"})
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
READABLE_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_CHUNK = 1 << 18


def kind_of(media: str, charset: str) -> Kind:
    """How a body of this media type (bare, lower case) is read."""
    if media == "application/json" and not charset:
        return Kind.JSON
    charset = charset.lower()
    if media in _JSON or media.endswith("+json"):
        return Kind.JSON if charset in _CHARSETS else Kind.UNREADABLE
    if media in _LINES:
        return Kind.LINES if charset in _CHARSETS else Kind.UNREADABLE
    if media.startswith("text/") or media in _TEXT or media.endswith(("+xml", "+yaml")):
        return Kind.TEXT if charset in _CHARSETS or charset in _SINGLE_BYTE else Kind.UNREADABLE
    return Kind.UNREADABLE


def check_text(body: bytes, charset: str) -> None:
    """Raises `Unreadable` for text that is not in the charset, or that a reader may take for another one."""
    # Attack: UTF-16 under the name of UTF-8 puts a zero byte between all digits, and a browser reads it all the same.
    if b"\0" in body or body.startswith(_BYTE_ORDER_MARKS):
        raise Unreadable("text with zero bytes or a foreign byte order mark")
    if charset.lower() in _SINGLE_BYTE or body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        if charset:
            raise Unreadable("text that is not in its charset") from error


def opened(body: bytes, coding: str, limit: int) -> bytes:
    """The body without its Content-Encoding. Raises `Unreadable` for other codings, damage, and more than `limit` bytes."""
    opener = Opener(coding)
    out = bytearray()
    for piece in opener.feed(body):
        out += piece
        # Attack: a kilobyte that unpacks to gigabytes.
        if len(out) > limit:
            raise TooLarge("too large when decompressed")
    opener.close()
    return bytes(out)


class Opener:
    """Decompresses one body, piece by piece; a piece out is at most 256 KiB."""

    def __init__(self, coding: str) -> None:
        """Raises `Unreadable` for a coding that is not gzip or deflate."""
        if coding not in READABLE_CODINGS:
            raise Unreadable("an unknown content coding")
        self._window = 31 if coding != "deflate" else 15
        self._stream = zlib.decompressobj(self._window)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises `Unreadable` for damaged data, and for data after the end."""
        while data:
            if self._stream.eof:
                # RFC 1952, 2.2: a gzip body may have several members. Anything else after the end is garbage.
                if self._window != 31 or not data.startswith(b"\x1f"):
                    raise Unreadable("data after the compressed body")
                self._stream = zlib.decompressobj(self._window)
            if not self._begun:
                self._begin(data[0])
            try:
                piece = self._stream.decompress(data, _CHUNK)
            except zlib.error as error:
                raise Unreadable("a damaged compressed body") from error
            data = self._stream.unconsumed_tail or self._stream.unused_data
            if piece:
                yield piece

    def _begin(self, first: int) -> None:
        self._begun = True
        # RFC 9110, 8.4.1.2: some send deflate without its zlib wrapper, whose first byte has 8 in its low half.
        if self._window == 15 and first & 0x0F != 8:
            self._window = -15
            self._stream = zlib.decompressobj(self._window)

    def close(self) -> None:
        """Raises `Unreadable` when the body is cut."""
        if self._begun and not self._stream.eof:
            raise Unreadable("a cut compressed body")
