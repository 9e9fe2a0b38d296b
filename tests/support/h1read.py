"""Both readers of HTTP/1.1 side by side: with the compiled half, and with llhttp alone."""

from collections.abc import Callable
from typing import Any

from funcgate.wire.http1.limits import HeadLimits, Malformed
from funcgate.wire.http1.requests import Request, RequestReader
from funcgate.wire.http1.responses import Response, ResponseReader

TIGHT = HeadLimits(max_line=40, max_fields=6, max_bytes=160)
POST = (
    b"POST /a?b=c%20 HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer a.b\r\nX-A: 1\t2 \r\nContent-Length: 3\r\n\r\nabc"
)
GET = b"GET /a/b HTTP/1.1\r\nHost: gate\r\nConnection: Keep-Alive\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nSet-Cookie: a=b\r\nX-A:  1 2\t\r\nContent-Length: 3\r\n\r\nabc"
EMPTY = b"HTTP/1.1 404 Not Found\r\nKeep-Alive: 5\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"

ODD = [
    b"",
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\x00",
    b"\x0b",
    b"\x1f",
    b"\x7f",
    b"\x80",
    b"\xff",
    b":",
    b"_",
    b"0",
    b"9",
    b"A",
    b"/",
    b"#",
]
ODD += [b"\r\n\r\n", b"\r\nX: y\r\n", b"\r\n y", b"\r\nContent-Length: 3\r\n", b"\r\nTransfer-Encoding: chunked\r\n"]


def state(one: Request | Response | None) -> list[Any]:
    """Everything but in which pieces a body came, and what llhttp knows and nobody else."""
    if one is None:
        return []
    names = sorted({*type(one).__slots__} - {"left"})
    return [getattr(one, name) if name != "pieces" else b"".join(one.pieces) for name in names]  # type: ignore[union-attr]


def requests(pieces: list[bytes], limits: HeadLimits, compiled: bool) -> list[Any]:
    """What is known after each piece."""
    came: list[Request] = []
    reader = RequestReader(limits, came.append)
    if not compiled:
        reader._plain = None
    seen: list[Any] = []
    for piece in pieces:
        try:
            request = reader.first(piece)
            if request is not None:
                came.append(request)
            else:
                reader.feed(piece)
        except Malformed as malformed:
            return [*seen, malformed.reason, malformed.status]
        here = [reader.current is came[-1], reader._overhead] if came else [reader.current]
        seen.append((reader.mid_head, here, [state(one) for one in came]))
    return seen


def answers(pieces: list[bytes], limits: HeadLimits, compiled: bool, *, head_only: bool = False) -> list[Any]:
    """The same of answers, each of which is asked for once the one before is there, until one is the last."""
    reader = ResponseReader(limits)
    if not compiled:
        reader._plain = None
    reader.expect(head_only=head_only)
    seen: list[Any] = []
    for piece in pieces:
        if reader.complete and reader.response is not None and reader.response.keep_alive and len(seen) < 2:
            reader.expect(head_only=False)
        try:
            body = reader.feed(piece)
        except Malformed as malformed:
            return [*seen, malformed.reason]
        if body is None:
            body = b"".join(reader.pieces)
            reader.pieces.clear()
        seen.append((reader.complete, reader.size, reader._overhead, body, state(reader.response)))
    try:
        reader.end_of_stream()
    except Malformed as malformed:
        return [*seen, malformed.reason]
    return [*seen, reader.complete]


Read = Callable[[list[bytes], HeadLimits, bool], list[Any]]


def is_alike(read: Read, pieces: list[bytes], limits: HeadLimits) -> bool:
    return read(pieces, limits, True) == read(pieces, limits, False)


CHUNKS = b"a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n"
IN_CHUNKS = POST.replace(b"Content-Length: 3", b"Transfer-Encoding: chunked")[:-3] + CHUNKS
LAST = POST.replace(b"X-A: 1\t2 ", b"Connection: Close")
OK_CHUNKS = OK.replace(b"Content-Length: 3", b"Transfer-Encoding: chunked")[:-3] + CHUNKS
OK_LAST = OK.replace(b"Set-Cookie: a=b", b"Connection: close")
LAST_CHUNKS = OK_CHUNKS.replace(b"X-A:  1 2\t", b"Connection: CLOSE")
BARE = b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"
PLAIN: list[tuple[Read, bytes]] = [
    (requests, POST), (requests, GET), (requests, IN_CHUNKS), (requests, LAST),
    (answers, OK), (answers, EMPTY), (answers, OK_CHUNKS), (answers, OK_LAST), (answers, LAST_CHUNKS), (answers, BARE),
]  # fmt: skip
NAMES = ["post", "get", "chunked", "last", "ok", "empty", "ok-chunked", "ok-last", "ok-last-chunked", "bare"]
