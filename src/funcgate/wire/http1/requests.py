"""Reads requests from a connection's bytes. Strict: what two readers could read differently is refused (RFC 9112, 11.2).

llhttp finds the frames; the rules that it leaves to its user are here. Nothing waits and nothing is written.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import cast

import httptools

from funcgate.wire.compiled import native, reading

from .body import AFTER_CHUNK, go_on
from .fields import NEVER_FORWARDED, ONCE, ROLES, SINGLE, WITHHELD
from .limits import HeadLimits, Malformed

_VERSIONS = {"1.1": True, "1.0": False}
# What llhttp is fed, unheard, when a chunked body that it did not see stops being plain: then it stands where that body stands.
_STANDING = {
    keep: b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (b"" if keep else b"Connection: close\r\n")
    for keep in (True, False)
}


class Request:
    """One request: its head at once, its body as it comes.

    `fields` are the end-to-end fields in order, names in lower case, those that must not cross already gone; `known` holds
    the fields that the gateway reads itself. `pieces` collect the body; `complete` says that all of it is there, `left` what
    is not, where llhttp does not read it (`_reading.pyx`).
    """

    __slots__ = (
        "complete",
        "fields",
        "keep_alive",
        "known",
        "left",
        "method",
        "pieces",
        "size",
        "target",
        "version_1_1",
    )

    def __init__(self, method: bytes, target: bytes) -> None:
        self.method = method
        self.target = target
        self.version_1_1 = True
        self.keep_alive = True
        self.fields: list[tuple[bytes, bytes]] = []
        self.known: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.size = 0
        self.left = 0
        self.complete = False

    @property
    def body(self) -> bytes:
        pieces = self.pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def sort_fields(
    raw: list[tuple[bytes, bytes]],
    known: dict[bytes, bytes],
    fields: list[tuple[bytes, bytes]],
    roles: dict[bytes, int],
) -> list[bytes] | None:
    """Every field to where it belongs: names with an underscore that mean nothing here; None when one that may come once
    came twice."""
    underscored: list[bytes] = []
    for raw_name, raw_value in raw:
        name, value = raw_name.lower(), raw_value.strip(b" \t")
        role = roles.get(name)
        if role is None:
            if b"_" in name:
                underscored.append(name)
            fields.append((name, value))
            continue
        if name not in known:
            known[name] = value
        elif role & ONCE:
            return None
        else:
            known[name] += b", " + value
        if not role & WITHHELD:
            fields.append((name, value))
    return underscored


pure_sort_fields = sort_fields
if native is not None:
    sort_fields = native.sort_request_fields


@lru_cache(maxsize=16)
def _in_one_piece(limits: HeadLimits) -> Callable[[bytes], Request | None] | None:
    """What reads a plain request in one pass, where that is compiled."""
    if reading is None:
        return None
    return cast(Callable[[bytes], Request | None], reading.Requests(Request, ROLES, WITHHELD, limits).read)


class RequestReader:
    """Feed it bytes; it calls `on_request` once a head is complete and fills the request's body afterwards.

    `on_request` may raise `Malformed` to stop the connection. After `feed` has raised, the reader is of no more use.
    """

    def __init__(self, limits: HeadLimits, on_request: Callable[[Request], None]):
        self._limits = limits
        self._max_fields = limits.max_fields
        self._announce = on_request
        self._plain = _in_one_piece(limits)
        self._raw: list[tuple[bytes, bytes]] = []
        self._url = b""
        self._overhead = 0
        self._began = False
        self._large = False
        self.mid_head = False  # a head has begun and is not complete: for the header timeout
        self._skip = 0
        self._apart = False  # the body of `current` is read without llhttp, which stands before the message
        self._silent = False
        self.current: Request | None = None
        self._parser = httptools.HttpRequestParser(self)

    def first(self, data: bytes) -> Request | None:
        """The next request, if the next bytes of the connection are one plain head, what there is of its body, and nothing else.
        It is not announced; if it is not complete, `feed` what comes. Else None, and nothing was taken: `feed` them."""
        current = self.current
        if self._plain is None or self.mid_head:
            return None
        if current is not None and not (current.complete and current.keep_alive):
            return None
        request = self._plain(data)  # llhttp stands between two messages, and knows nothing of this one
        if request is not None:
            self.current = request
            self._overhead = 0
            self._apart = not request.complete
        return request

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the connection. Raises `Malformed`."""
        if self._apart:
            data = self._go_on(data)
        elif self._skip:
            data = self._take_plain(data)
        if not data or self._ended():
            return
        self._began = False
        self._large = self.mid_head or len(data) > self._limits.max_bytes  # else a head in it cannot be too large
        before = 0 if self.current is None else self.current.size
        self._parse(data)
        if not self._began:
            self._count_overhead(len(data), before)

    def forget(self) -> None:
        """The connection is over; nothing is fed any more. llhttp and its user would keep each other until a collection."""
        del self._parser

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._after_upgrade(data, upgrade.args[0])
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, Malformed):
                raise cause from None
            if self._ended():
                return
            raise Malformed(str(error)[:80]) from None

    def _go_on(self, data: bytes) -> bytes:
        """More of a body that is read without llhttp; what is none of it, or is llhttp's from here on."""
        request = self.current
        if request is None:
            raise TypeError("a body without a request")
        before = request.size
        piece, taken, left = go_on(data, request.left, b"transfer-encoding" in request.known)
        request.left = left
        if piece:
            request.pieces.append(piece)
            request.size = before + len(piece)
        if left < 0:
            request.complete, self._apart = True, False
            if not request.keep_alive:
                self._count_overhead(len(data), before)
                return b""
        if taken != len(piece):
            self._count_overhead(taken, before)
        if left >= 0 and taken < len(data):
            self._apart, self._silent = False, True
            self._parser.feed_data(_STANDING[request.keep_alive] + AFTER_CHUNK[left])
            self._silent = False
        return data[taken:]

    def _ended(self) -> bool:
        """Whether the last request of the connection is complete: bytes after its "Connection: close" are nobody's."""
        return self.current is not None and self.current.complete and not self.current.keep_alive

    def _count_overhead(self, taken: int, before: int) -> None:
        """Bytes that are no body: of the head, of chunk framing, of trailers."""
        size = 0 if self.current is None or self.mid_head else self.current.size
        self._overhead += taken - max(0, size - before)
        # Attack: a header line, a chunk extension or a trailer that never ends, in small pieces.
        if self._overhead > self._limits.max_bytes + self._limits.max_line + 8 * size:
            raise Malformed("the header section is too large", 431)

    # llhttp calls these, in the order of the message.

    def on_message_begin(self) -> None:
        if self._silent:
            return
        self.mid_head = self._began = True
        self._overhead = 0
        self._url = b""
        self._raw = []

    def on_url(self, url: bytes) -> None:
        if self._silent:
            return
        self._url += url
        if len(self._url) > self._limits.max_line:
            raise Malformed("the request target is too long", 414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._silent:
            return
        raw = self._raw
        raw.append((name, value))
        if len(raw) > self._max_fields:
            raise Malformed("there are too many header fields", 431)

    def on_headers_complete(self) -> None:
        if self._silent:
            self._raw = []
            return
        self.mid_head = False
        parser = self._parser
        request = Request(parser.get_method(), self._url)
        version = parser.get_http_version()
        if version not in _VERSIONS:
            raise Malformed("the HTTP version is not supported", 505)
        request.version_1_1 = _VERSIONS[version]
        request.keep_alive = parser.should_keep_alive()
        self._sort_fields(request)
        self._check_framing(request)
        self._raw = []
        self.current = request
        self._announce(request)

    def on_body(self, body: bytes) -> None:
        request = self.current
        if request is not None and not self._silent:
            request.pieces.append(body)
            request.size += len(body)

    def on_message_complete(self) -> None:
        if self.current is not None and not self._skip:
            self.current.complete = True

    def _sort_fields(self, request: Request) -> None:
        underscored = sort_fields(self._raw, request.known, request.fields, ROLES)
        if underscored is None:
            raise Malformed("a header field that may come once came twice")
        if self._large and sum([len(name) + len(value) for name, value in self._raw]) > self._limits.max_bytes:
            raise Malformed("the header section is too large", 431)
        if underscored:
            self._check_underscores(underscored)
        if b"connection" in request.known:
            self._drop_connection_options(request, request.known[b"connection"])

    def _check_underscores(self, underscored: list[bytes]) -> None:
        # Attack: CGI, WSGI and PHP read X_User and X-User as one variable, so one may shadow the other.
        names = {name.lower() for name, _ in self._raw}
        for name in underscored:
            dashed = name.replace(b"_", b"-")
            if dashed in NEVER_FORWARDED or dashed in SINGLE or dashed in names:
                raise Malformed("two header fields would be read as one")

    def _drop_connection_options(self, request: Request, options: bytes) -> None:
        # RFC 9110, 7.6.1: fields named here end at this hop. Attack: name a field that was judged, so that it is lost on the way.
        named = {option.strip(b" \t").lower() for option in options.split(b",")}
        if named & (SINGLE - {b"upgrade"}):
            raise Malformed("the Connection field names a field that must not be dropped")
        if len(named) > 1 or not named <= {b"close", b"keep-alive"}:
            request.fields = [field for field in request.fields if field[0] not in named]

    def _check_framing(self, request: Request) -> None:
        known = request.known
        coding = known.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or not request.version_1_1):
            # Attack: request smuggling by a coding that only one of two readers knows (RFC 9112, 6.1).
            raise Malformed("only the chunked transfer coding is understood", 501)
        if request.version_1_1 and b"host" not in known:
            raise Malformed("the Host field is missing")  # RFC 9112, 3.2
        if request.method == b"CONNECT":
            raise Malformed("CONNECT is not offered here", 501)
        upgrade = known.get(b"upgrade")
        if upgrade is not None and self._parser.should_upgrade():
            if b"websocket" in upgrade.lower():
                raise Malformed("WebSocket is not offered here", 501)
            # RFC 9110, 7.8: an upgrade may be ignored. llhttp stops at the head, so the body is counted here.
            if coding is not None:
                raise Malformed("an upgrade with a chunked body is not understood", 501)
            self._skip = int(known.get(b"content-length", b"0"))

    def _after_upgrade(self, data: bytes, offset: int) -> None:
        rest = data[offset:]
        self._parser = httptools.HttpRequestParser(self)
        if self._skip:
            self.feed(rest)
        else:
            if self.current is not None:
                self.current.complete = True
            if rest:
                self.feed(rest)

    def _take_plain(self, data: bytes) -> bytes:
        piece, rest = data[: self._skip], data[self._skip :]
        if self.current is not None and piece:
            self._skip -= len(piece)
            self.on_body(piece)
            self.current.complete = self._skip == 0
        return rest
