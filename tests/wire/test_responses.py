"""The response reader: what an answer is, and which answers are refused because a target may be hostile or broken."""

import pytest

from funcgate.wire.http1.limits import HeadLimits, Malformed
from funcgate.wire.http1.responses import ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def read(data: bytes, *, head_only: bool = False, cut: int = 0, closed: bool = False) -> ResponseReader:
    reader = ResponseReader(HeadLimits(max_bytes=1000))
    reader.expect(head_only=head_only)
    for at in range(0, len(data), cut or len(data)):
        piece = data[at : at + (cut or len(data))]
        body = reader.feed(piece)
        if body is not None:
            reader.pieces.append(body)
    if closed:
        reader.end_of_stream()
    return reader


WHOLE = {
    "length": (OK + b"Content-Length: 3\r\n\r\nabc", b"abc"),
    "chunks": (OK + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 3\r\n\r\nabc",
        b"abc",
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "not modified with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", b""),
}


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_is_the_same_wherever_it_is_cut(name: str) -> None:
    data, body = WHOLE[name]
    for cut in [0, 1, 5]:
        reader = read(data, cut=cut)
        assert reader.complete
        assert b"".join(reader.pieces) == body


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    reader = read(OK + b"\r\nabc")
    assert not reader.complete
    reader.end_of_stream()
    assert reader.complete


def test_the_answer_to_a_head_request_has_no_body_and_the_connection_goes_on() -> None:
    reader = read(OK + b"Content-Length: 3\r\n\r\n", head_only=True)
    assert reader.complete
    reader.expect(head_only=False)
    body = reader.feed(OK + b"Content-Length: 3\r\n\r\nabc")
    assert reader.complete
    assert (body or b"".join(reader.pieces)) == b"abc"


def test_trailers_are_kept_apart() -> None:
    reader = read(OK + CHUNKED + b"\r\n3\r\nabc\r\n0\r\nDigest: x\r\n\r\n")
    assert reader.response is not None
    assert reader.response.trailers == [(b"digest", b"x")]


@pytest.mark.parametrize("name", [b"Set-Cookie", b"Connection", b"Transfer-Encoding", b"Upgrade", b"Funcgate-Call-Id"])
def test_a_trailer_brings_nothing_that_a_head_may_not(name: bytes) -> None:
    reader = read(OK + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n%b: x\r\nX-Sum: 1 \r\n\r\n" % name)
    assert reader.response is not None
    assert reader.response.trailers == [(b"x-sum", b"1")]


REFUSED = {
    "length and coding": OK + b"Content-Length: 3\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "unknown coding": OK + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "status above 599": b"HTTP/1.1 999 OK\r\n\r\n",
    "folded line": OK + b"X: a\r\n b\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "NUL in a value": OK + b"X: a\x00b\r\n\r\n",
    "no HTTP at all": b"220 mail.example ESMTP\r\n",
    "a second answer": OK + b"Content-Length: 0\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
    "more than it declared": OK + b"Content-Length: 3\r\n\r\nabcdef",
    "two content types": OK + b"Content-Type: text/plain\r\nContent-Type: application/json\r\n\r\n",
    "a head that never ends": OK + b"X: " + b"a" * 5000,
    "chunk extensions that never end": OK + CHUNKED + b"\r\n3;" + b"a" * 5000,
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_that_could_be_read_in_two_ways_is_refused(name: str) -> None:
    for cut in [0, 1]:
        with pytest.raises(Malformed):
            read(REFUSED[name], cut=cut)


@pytest.mark.parametrize("data", [OK + b"Content-Length: 5\r\n\r\nabc", OK + CHUNKED + b"\r\n3\r\nabc\r\n", OK[:9], OK])
def test_an_answer_that_stops_short_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data, closed=True)


def test_bytes_that_nobody_asked_for_are_refused() -> None:
    reader = ResponseReader(HeadLimits())
    with pytest.raises(Malformed):
        reader.feed(OK + b"Content-Length: 0\r\n\r\n")


def test_a_body_after_the_answer_to_a_head_request_is_refused() -> None:
    with pytest.raises(Malformed):
        read(OK + b"Content-Length: 3\r\n\r\nabc", head_only=True)


def test_fields_of_the_connection_and_cookies_stay_behind() -> None:
    reader = read(
        OK + b"Content-Length: 0\r\nSet-Cookie: a=b\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-Ok: yes\r\n\r\n"
    )
    assert reader.response is not None
    assert reader.response.fields == [(b"X-Ok", b"yes")]
    assert not reader.response.keep_alive
