"""The request reader: what is one message, and what is refused because two readers could take it for two."""

import itertools

import pytest

from funcgate.wire.http1.limits import HeadLimits, Malformed
from funcgate.wire.http1.requests import Request, RequestReader

HOST = b"Host: gate\r\n"


def read(data: bytes, *, limits: HeadLimits | None = None, cut: int = 0) -> list[Request]:
    """The requests in the bytes, fed at once, or in pieces of `cut` bytes."""
    requests: list[Request] = []
    reader = RequestReader(limits or HeadLimits(), requests.append)
    for at in range(0, len(data), cut or len(data)):
        piece = data[at : at + (cut or len(data))]
        request = reader.first(piece)
        if request is None:
            reader.feed(piece)
        else:
            requests.append(request)
    return requests


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST /a HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


WHOLE = {
    "no body": (b"GET /a?b=c HTTP/1.1\r\nHost: gate\r\n\r\n", b""),
    "length": (post(b"Content-Length: 3\r\n", b"abc"), b"abc"),
    "length with blanks": (post(b"Content-Length:   3  \r\n", b"abc"), b"abc"),
    "chunks": (post(b"Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), b"abc"),
    "chunk extension": (post(b"Transfer-Encoding: chunked\r\n", b"3;a=b\r\nabc\r\n0\r\n\r\n"), b"abc"),
    "trailers": (post(b"Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\nX: y\r\n\r\n"), b"abc"),
    "coding in capitals": (post(b"Transfer-Encoding: Chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"), b"abc"),
    "HTTP/1.0": (b"GET /a HTTP/1.0\r\n\r\n", b""),
    "length and close": (post(b"Connection: close\r\nContent-Length: 3\r\n", b"abc"), b"abc"),
    "chunks and close": (
        post(b"Connection: close\r\nTransfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
        b"abc",
    ),
    "h2c upgrade ignored": (
        post(
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nContent-Length: 3\r\n",
            b"abc",
        ),
        b"abc",
    ),
    "h2c upgrade ignored, no body": (b"GET /a HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b""),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_message_is_the_same_wherever_it_is_cut(name: str) -> None:
    data, body = WHOLE[name]
    for cut in [0, 1, 2, 3, 7]:
        (request,) = read(data, cut=cut)
        assert request.complete
        assert request.body == body


def test_every_cut_into_two_reads_the_same() -> None:
    data = WHOLE["trailers"][0] * 2
    for at in range(1, len(data)):
        requests: list[Request] = []
        reader = RequestReader(HeadLimits(), requests.append)
        reader.feed(data[:at])
        reader.feed(data[at:])
        assert [request.body for request in requests] == [b"abc", b"abc"]


def test_pipelined_requests_come_in_order() -> None:
    data = b"".join(b"GET /%d HTTP/1.1\r\nHost: g\r\n\r\n" % i for i in range(5))
    assert [request.target for request in read(data)] == [b"/0", b"/1", b"/2", b"/3", b"/4"]


def test_a_request_after_an_ignored_upgrade_is_read() -> None:
    data = WHOLE["h2c upgrade ignored"][0] + b"GET /next HTTP/1.1\r\nHost: g\r\n\r\n"
    for cut in [0, 1, 5]:
        assert [request.target for request in read(data, cut=cut)] == [b"/a", b"/next"]


def test_nothing_is_read_after_connection_close() -> None:
    data = b"GET /a HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: g\r\n\r\n"
    for cut in [0, 1]:
        assert [request.target for request in read(data, cut=cut)] == [b"/a"]


CHUNKED = b"Transfer-Encoding: chunked\r\n"
REFUSED = {
    "length and coding": post(b"Content-Length: 3\r\n" + CHUNKED, b"0\r\n\r\n"),
    "coding and length": post(CHUNKED + b"Content-Length: 3\r\n", b"0\r\n\r\n"),
    "two equal lengths": post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"),
    "two lengths": post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abcd"),
    "a list of lengths": post(b"Content-Length: 3, 3\r\n", b"abc"),
    "signed length": post(b"Content-Length: +3\r\n", b"abc"),
    "hexadecimal length": post(b"Content-Length: 0x3\r\n", b"abc"),
    "empty length": post(b"Content-Length:\r\n"),
    "negative length": post(b"Content-Length: -1\r\n"),
    "huge length": post(b"Content-Length: 99999999999999999999999\r\n"),
    "another coding": post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "coding last but not chunked": post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"),
    "unknown coding": post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "coding twice": post(CHUNKED * 2, b"0\r\n\r\n"),
    "coding behind a vertical tab": post(b"Transfer-Encoding:\x0bchunked\r\n", b"0\r\n\r\n"),
    "coding in HTTP/1.0": b"POST /a HTTP/1.0\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "folded line": post(b"X: a\r\n b\r\n"),
    "folded line with a tab": post(b"X: a\r\n\tb\r\n"),
    "folded first line": b"GET /a HTTP/1.1\r\n Host: g\r\n\r\n",
    "space before the colon": post(b"Content-Length : 3\r\n", b"abc"),
    "tab before the colon": post(b"X\t: 3\r\n"),
    "bare LF after a field": post(b"X: a\nY: b\r\n"),
    "bare CR in a field": post(b"X: a\rb\r\n"),
    "bare LF after the request line": b"GET /a HTTP/1.1\nHost: g\n\n",
    "NUL in a value": post(b"X: a\x00b\r\n"),
    "control character in a value": post(b"X: a\x01b\r\n"),
    "DEL in a value": post(b"X: a\x7fb\r\n"),
    "non-ASCII name": post(b"X\x80: a\r\n"),
    "no name": post(b": a\r\n"),
    "no colon": post(b"abc\r\n"),
    "chunk size with a sign": post(CHUNKED, b"+3\r\nabc\r\n0\r\n\r\n"),
    "chunk size with 0x": post(CHUNKED, b"0x3\r\nabc\r\n0\r\n\r\n"),
    "chunk size with a blank": post(CHUNKED, b"3 \r\nabc\r\n0\r\n\r\n"),
    "chunk size empty": post(CHUNKED, b"\r\nabc\r\n0\r\n\r\n"),
    "chunk size too large": post(CHUNKED, b"fffffffffffffffff\r\nabc"),
    "chunk without its end": post(CHUNKED, b"3\r\nabcX\r\n0\r\n\r\n"),
    "chunk with bare LF": post(CHUNKED, b"3\nabc\n0\n\n"),
    "chunk extension with LF": post(CHUNKED, b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    "length in a trailer": post(CHUNKED, b"0\r\nContent-Length: 5\r\n\r\n"),
    "two hosts": b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "two authorizations": post(b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"),
    "two content types": post(b"Content-Type: a/b\r\nContent-Type: a/c\r\n"),
    "HTTP/0.9": b"GET /a\r\n\r\n",
    "HTTP/2.0": b"GET /a HTTP/2.0\r\nHost: g\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET /a HTTP/1.2\r\nHost: g\r\n\r\n",
    "unknown method": b"FOO /a HTTP/1.1\r\nHost: g\r\n\r\n",
    "method in lower case": b"get /a HTTP/1.1\r\nHost: g\r\n\r\n",
    "blank after the version": b"GET /a HTTP/1.1 \r\nHost: g\r\n\r\n",
    "tab in the target": b"GET /a\tb HTTP/1.1\r\nHost: g\r\n\r\n",
    "non-ASCII target": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: g\r\n\r\n",
    "CONNECT": b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    "WebSocket": b"GET /a HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "underscores that collide": post(b"X-User: a\r\nX_User: b\r\n"),
    "underscores that imitate": post(b"Content_Length: 3\r\n"),
    "underscores that impersonate": post(b"X_Forwarded_For: 1.2.3.4\r\n"),
    "Connection that drops the token": post(b"Authorization: Bearer a\r\nConnection: close, authorization\r\n"),
    "Connection that drops the length": post(b"Connection: content-length\r\nContent-Length: 3\r\n", b"abc"),
    "TLS to a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(name: str) -> None:
    for cut in [0, 1]:
        with pytest.raises(Malformed) as caught:
            read(REFUSED[name] + b"GET /next HTTP/1.1\r\nHost: g\r\n\r\n", cut=cut)
        assert 400 <= caught.value.status < 600


LIMITS = HeadLimits(max_line=100, max_fields=5, max_bytes=300)
TOO_LARGE = {
    "target": (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\n", 414),
    "fields": (post(b"".join(b"X%d: a\r\n" % i for i in range(9))), 431),
    "one field": (post(b"X: " + b"a" * 400 + b"\r\n"), 431),
    "a field that never ends": (post(b"")[:-2] + b"X: " + b"a" * 1000, 431),
    "a chunk extension that never ends": (post(CHUNKED, b"3;" + b"a" * 1000), 431),
    "a trailer that never ends": (post(CHUNKED, b"0\r\nX: " + b"a" * 1000), 431),
    "trailers": (post(CHUNKED, b"0\r\n" + b"".join(b"X%d: a\r\n" % i for i in range(9)) + b"\r\n"), 431),
}


@pytest.mark.parametrize(("name", "cut"), list(itertools.product(TOO_LARGE, [1, 50])))
def test_every_part_of_a_head_has_a_limit(name: str, cut: int) -> None:
    data, status = TOO_LARGE[name]
    with pytest.raises(Malformed) as caught:
        read(data, limits=LIMITS, cut=cut)
    assert caught.value.status == status


def test_fields_that_must_not_cross_are_gone() -> None:
    (request,) = read(
        post(
            b"Authorization: Bearer t\r\nCookie: a=b\r\nX-Forwarded-For: 1.1.1.1\r\nX-Http-Method-Override: DELETE\r\n"
            b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nFuncgate-Token: t\r\nRange: bytes=0-3\r\nX-Ok: yes\r\n"
        )
    )
    assert request.fields == [(b"x-ok", b"yes")]
    assert request.known[b"authorization"] == b"Bearer t"
