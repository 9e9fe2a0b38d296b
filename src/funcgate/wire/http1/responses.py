"""Reads answers from a target's bytes. As strict as the request side: a target may be hostile, or broken.

HEAD, 1xx, 204 and 304 have no body whatever their fields say (RFC 9112, 6.3).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import cast

import httptools

from funcgate.wire.compiled import native, reading

from .body import AFTER_CHUNK, go_on
from .fields import NOT_RETURNED
from .limits import HeadLimits, Malformed


class Response:
    """One answer: head at once, body as it comes. `length` is the declared Content-Length, -1 when there is none."""

    __slots__ = ("fields", "head_only", "keep_alive", "known", "length", "status", "trailers")

    def __init__(self, status: int) -> None:
        self.status = status
        self.fields: list[tuple[bytes, bytes]] = []
        self.known: dict[bytes, bytes] = {}
        self.trailers: list[tuple[bytes, bytes]] = []
        self.length = -1
        self.keep_alive = True
        self.head_only = False


KNOWN = frozenset(
    {b"content-type", b"content-encoding", b"content-length", b"transfer-encoding", b"connection", b"location"}
)


def sort_fields(
    raw: list[tuple[bytes, bytes]], known: dict[bytes, bytes], fields: list[tuple[bytes, bytes]],
    read: frozenset[bytes], kept: frozenset[bytes],
) -> int:  # fmt: skip
    """Every field to where it belongs; the bytes of all, -1 when one that is read came twice. `kept` are not for the caller."""
    size = 0
    for name, raw_value in raw:
        size += len(name) + len(raw_value)
        lower, value = name.lower(), raw_value.strip(b" \t")
        if lower in read:
            if lower in known and lower != b"connection":
                return -1
            known[lower] = value
        if lower not in kept:
            fields.append((name, value))
    return size


pure_sort_fields = sort_fields
if native is not None:
    sort_fields = native.sort_response_fields


_Read = Callable[[bytes], tuple[Response, bytes, int, int] | None]
# What llhttp is fed, unheard, when a chunked body that it did not see stops being plain: then it stands where that body stands.
_STANDING = {
    keep: b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (b"" if keep else b"Connection: close\r\n")
    for keep in (True, False)
}


@lru_cache(maxsize=16)
def _in_one_piece(limits: HeadLimits) -> _Read | None:
    """What reads a plain answer in one pass, where that is compiled."""
    return None if reading is None else cast(_Read, reading.Responses(Response, KNOWN, NOT_RETURNED, limits).read)


class ResponseReader:
    """Feed it bytes. After each `feed` look at `response` (None until a final head is complete), `pieces` and `complete`, unless
    it brought the whole body.

    `expect(head_only)` starts the next answer. Bytes that come when nothing was asked raise `Malformed`.
    """

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._max_fields = limits.max_fields
        self._raw: list[tuple[bytes, bytes]] = []
        self._head_only = False
        self._asked = False
        self._untouched = False
        self._apart = False  # the body is read without llhttp, which stands before the message
        self._silent = False
        self._left = 0
        self._overhead = 0
        self._plain = _in_one_piece(limits)
        self.response: Response | None = None
        self.pieces: list[bytes] = []
        self.size = 0
        self.complete = False
        self._parser = httptools.HttpResponseParser(self)

    def expect(self, head_only: bool) -> None:
        if self._head_only:  # llhttp still waits for the body of the answer to a HEAD
            self._parser = httptools.HttpResponseParser(self)
        self._head_only = head_only
        self._asked = True
        before = self.response
        self._untouched = not head_only and self._plain is not None and (before is None or before.keep_alive)
        self._apart = False
        self._overhead = 0
        self.response = None
        self.pieces = []
        self.size = 0
        self.complete = False

    def feed(self, data: bytes) -> bytes | None:
        """Take the next bytes of the connection. Raises `Malformed`. The body, if the answer was all of them and is plain; it is
        not in `pieces` then."""
        if self._untouched:
            self._untouched = False
            found = None if self._plain is None else self._plain(data)
            if found is not None:  # llhttp stands between two messages, and knows nothing of this one
                return self._begin(found)
        elif self._apart:
            data = self._go_on(data)
            if not data:
                return None
        self._parse(data)
        return None

    def _begin(self, found: tuple[Response, bytes, int, int]) -> bytes | None:
        self.response, body, self._overhead, self._left = found
        self.size = len(body)
        if self._left < 0:
            self.complete = True
            return body
        self._apart = True
        if body:
            self.pieces.append(body)
        return None

    def _go_on(self, data: bytes) -> bytes:
        """More of a body that is read without llhttp; what is none of it, or is llhttp's from here on."""
        response = self.response
        if response is None:
            raise TypeError("a body without an answer")
        piece, taken, left = go_on(data, self._left, response.length < 0)
        if piece:
            self.pieces.append(piece)
            self.size += len(piece)
        self._left = left
        if taken != len(piece):
            self._count_overhead(taken - len(piece))
        if left < 0:
            self.complete, self._apart = True, False
        elif taken < len(data):
            self._apart, self._silent = False, True
            self._parser.feed_data(_STANDING[response.keep_alive] + AFTER_CHUNK[left])
            self._silent = False
        return data[taken:]

    def _parse(self, data: bytes) -> None:
        if not self._asked or (self.complete and self._head_only):
            # Attack: an answer sent ahead is taken for the answer to the next caller's request (response desync).
            raise Malformed("the target sent bytes that nobody asked for")
        if self.complete and self.response is not None and not self.response.keep_alive and data.strip(b"\r\n"):
            raise Malformed("Data after `Connection: close`")  # as llhttp says it, which may not have seen that field
        before = self.size
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Malformed("the target switched protocols") from None
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Malformed):
                raise error.__context__ from None
            raise Malformed(str(error)[:80]) from None
        self._count_overhead(len(data) - (self.size - before))

    def _count_overhead(self, more: int) -> None:
        self._overhead += more
        # Attack: a header line, a chunk extension or a trailer that never ends, in small pieces.
        if self._overhead > 2 * self._limits.max_bytes + 8 * self.size:
            raise Malformed("the target's header section is too large")

    def forget(self) -> None:
        """The connection is over; nothing is fed any more. llhttp and its user would keep each other until a collection."""
        del self._parser

    def end_of_stream(self) -> None:
        """The target closed. Completes an answer that is delimited by closing (RFC 9112, 6.3, rule 8); else `Malformed`."""
        response = self.response
        if self.complete:
            return
        if response is None or response.length >= 0 or b"transfer-encoding" in response.known:
            raise Malformed("the target closed before its answer was complete")
        self.complete = True

    # llhttp calls these, in the order of the message.

    def on_message_begin(self) -> None:
        if self.complete:
            raise Malformed("the target sent a second answer")
        self._raw = []

    def on_header(self, name: bytes, value: bytes) -> None:
        raw = self._raw
        raw.append((name, value))
        if len(raw) > self._max_fields:
            raise Malformed("the target sent too many header fields")

    def on_headers_complete(self) -> None:
        if self._silent:
            self._raw = []
            return
        parser = self._parser
        status = parser.get_status_code()
        if status < 200:
            if status == 101 or status < 100:
                raise Malformed("the target's status is not an answer")
            return  # 100, 102, 103: the final answer follows
        if status > 599:
            raise Malformed("the target's status is not an answer")
        self.response = response = Response(status)
        response.keep_alive = parser.should_keep_alive()
        response.head_only = self._head_only or status in (204, 304)
        self._sort_fields(response)
        self._raw = []
        if self._head_only:
            self.complete = True

    def on_body(self, body: bytes) -> None:
        if self._silent:
            return
        if self._head_only:
            raise Malformed("the target sent a body where there is none")
        self.pieces.append(body)
        self.size += len(body)

    def on_message_complete(self) -> None:
        if self.response is not None:
            if self._raw:
                # Attack: send as a trailer what may not cross in the head: a cookie, or a field of the next connection.
                trailers = [(name.lower(), value.strip(b" \t")) for name, value in self._raw]
                self.response.trailers = [field for field in trailers if field[0] not in NOT_RETURNED]
            self.complete = True

    def _sort_fields(self, response: Response) -> None:
        known, fields = response.known, response.fields
        size = sort_fields(self._raw, known, fields, KNOWN, NOT_RETURNED)
        if size < 0:
            raise Malformed("the target sent a field twice that may come once")
        if size > self._limits.max_bytes:
            raise Malformed("the target's header section is too large")
        coding = known.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or self._parser.get_http_version() != "1.1"):
            raise Malformed("the target used a transfer coding that is not understood")
        if b"content-length" in known:
            response.length = int(known[b"content-length"])
        connection = known.get(b"connection")
        if connection is not None and connection.lower() not in (b"close", b"keep-alive"):
            named = {option.strip(b" \t").lower() for option in connection.split(b",")}
            response.fields = [field for field in fields if field[0].lower() not in named]
