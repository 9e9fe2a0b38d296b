"""Messages whose body comes later, or in chunks, read without llhttp: never another than what llhttp makes of the same bytes."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.wire.compiled import reading
from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http1.requests import Request, RequestReader
from funcgate.wire.http1.responses import ResponseReader
from support.h1read import (
    GET,
    IN_CHUNKS,
    NAMES,
    ODD,
    OK,
    OK_CHUNKS,
    PLAIN,
    POST,
    TIGHT,
    Read,
    answers,
    is_alike,
    requests,
)
from support.quick import examples

pytestmark = pytest.mark.skipif(reading is None, reason="not built, or FUNCGATE_PURE is set")


def llhttp_reads(reader: RequestReader | ResponseReader) -> list[bytes]:
    """What the reader gives llhttp from now on."""
    given: list[bytes] = []

    class Told:
        def feed_data(self, data: bytes) -> None:
            given.append(data)

    reader._parser = Told()  # type: ignore[assignment]
    return given


def head_and_cuts(data: bytes) -> Iterator[int]:
    """The end of the head, and each place in the body but those within the line of a chunk's size."""
    head = data.index(b"\r\n\r\n") + 4
    lines = {at for line in (b"a\r\n0", b"1\r\nx", b"0\r\n\r\n") if (at := data.find(line, head)) >= 0}
    within = {at + more for at in lines for more in (1, 2)} | {len(data) - more for more in (1, 2, 3, 4)}
    return (at for at in range(head, len(data)) if b"chunked" not in data[:head] or at not in within)


@pytest.mark.parametrize(("read", "data"), PLAIN, ids=NAMES)
def test_a_body_that_comes_later_is_read_without_llhttp(read: Read, data: bytes) -> None:
    for at in head_and_cuts(data):
        if read is requests:
            reader = RequestReader(HeadLimits(), lambda _: None)
            given = llhttp_reads(reader)
            request = reader.first(data[:at])
            assert request is not None
            assert not request.complete
            reader.feed(data[at:])
            assert (request.complete, given) == (True, []), data[:at]
        else:
            answering = ResponseReader(HeadLimits())
            answering.expect(head_only=False)
            given = llhttp_reads(answering)
            assert answering.feed(data[:at]) is None
            assert answering.feed(data[at:]) is None
            assert (answering.complete, given) == (True, []), data[:at]


@pytest.mark.parametrize(("read", "data"), PLAIN, ids=NAMES)
def test_octet_by_octet_is_the_same(read: Read, data: bytes) -> None:
    assert is_alike(read, [bytes([octet]) for octet in data + data], HeadLimits())
    assert is_alike(read, [bytes([octet]) for octet in data + data], TIGHT)


ODDER = [
    *ODD,
    b"x",
    b"a",
    b"A",
    b"f",
    b"00",
    b";",
    b";a=b",
    b" ;",
    b"\r\r\n",
    b"-",
    b"+",
    b"0x",
    b"FFFFFFFFFFFFFFFFF",
    b"7fffffff",
]


@pytest.mark.parametrize(("read", "data"), PLAIN, ids=NAMES)
def test_a_body_that_is_spoiled_and_comes_later_is_the_same_or_refused_alike(read: Read, data: bytes) -> None:
    head = data.index(b"\r\n\r\n") + 4
    wrong: list[list[bytes]] = []
    for spot in range(head, len(data) + 1):
        for odd in ODDER:
            for case in (data[:spot] + odd + data[spot:], data[:spot] + odd + data[spot + 1 :]):
                for cut in range(head, len(case) + 1):
                    pieces = [case[:cut], case[cut:], data]
                    if not is_alike(read, pieces, HeadLimits()):
                        wrong.append(pieces)
    assert wrong == []


# Bodies that two readers may end in two places (RFC 9112, 7.1 and 11.2), and fields that say so.
TRICKS = {
    "extension": b"3;a=b\r\nabc\r\n0\r\n\r\n",
    "extension with a line": b"3;a=\nabc\r\n0\r\n\r\n",
    "quoted extension": b'3;a="\r\n0\r\n\r\n"\r\nabc\r\n0\r\n\r\n',
    "blank before the size": b" 3\r\nabc\r\n0\r\n\r\n",
    "blank behind the size": b"3 \r\nabc\r\n0\r\n\r\n",
    "zeros before the size": b"0003\r\nabc\r\n0\r\n\r\n",
    "many zeros": b"00000000000000003\r\nabc\r\n0\r\n\r\n",
    "zeros at the end": b"3\r\nabc\r\n000\r\n\r\n",
    "hexadecimal with a prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "negative": b"-3\r\nabc\r\n0\r\n\r\n",
    "with a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "eight digits": b"00000003\r\nabc\r\n0\r\n\r\n",
    "huge": b"fffffff\r\nabc\r\n0\r\n\r\n",
    "larger": b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "overflowing": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "no number": b"x\r\nabc\r\n0\r\n\r\n",
    "an empty size": b"\r\nabc\r\n0\r\n\r\n",
    "bare LF": b"3\nabc\n0\n\n",
    "bare LF behind the data": b"3\r\nabc\n0\r\n\r\n",
    "bare CR": b"3\rabc\r0\r\r",
    "CR CR LF": b"3\r\r\nabc\r\n0\r\n\r\n",
    "too short": b"4\r\nabc\r\n0\r\n\r\n",
    "too long": b"2\r\nabc\r\n0\r\n\r\n",
    "a trailer": b"3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    "forbidden trailers": b"3\r\nabc\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\nHost: x\r\nSet-Cookie: a\r\n\r\n",
    "a trailer folded": b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
    "a trailer that is none": b"3\r\nabc\r\n0\r\nGET / HTTP/1.1\r\n\r\n",
    "another message behind": b"3\r\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: g\r\n\r\n",
    "another answer behind": b"3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "lines behind": b"3\r\nabc\r\n0\r\n\r\n\r\n\r\n",
    "two ends": b"3\r\nabc\r\n0\r\n\r\n0\r\n\r\n",
    "no end": b"3\r\nabc\r\n0\r\n",
    "none": b"0\r\n\r\n",
}
FRAMES = {
    "chunked": b"Transfer-Encoding: chunked\r\n",
    "chunked, the last one": b"Transfer-Encoding: chunked\r\nConnection: close\r\n",
    "a coding and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 13\r\n",
    "a length and a coding": b"Content-Length: 13\r\nTransfer-Encoding: chunked\r\n",
    "a length": b"Content-Length: 13\r\n",
    "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "codings": b"Transfer-Encoding: gzip, chunked\r\n",
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "chunked twice": b"Transfer-Encoding: chunked, chunked\r\n",
    "a coding, folded": b"Transfer-Encoding:\r\n chunked\r\n",
    "a coding behind a tab": b"Transfer-Encoding:\tchunked\r\n",
    "a coding before a tab": b"Transfer-Encoding: chunked\t\r\n",
    "a coding before a blank": b"Transfer-Encoding: chunked \r\n",
    "a coding in capitals": b"transfer-encoding: CHUNKED\r\n",
    "a name with a blank": b"Transfer-Encoding : chunked\r\n",
    "a name with an underscore": b"Transfer_Encoding: chunked\r\nContent-Length: 13\r\n",
    "a negative length": b"Content-Length: -1\r\n",
    "a huge length": b"Content-Length: 99999999999999999999\r\n",
    "ten digits": b"Content-Length: 9999999999\r\n",
    "no frame": b"",
    "close twice": b"Connection: close\r\nConnection: close\r\nContent-Length: 13\r\n",
    "close and keep": b"Connection: close, keep-alive\r\nContent-Length: 13\r\n",
    "close and a field": b"Connection: close, x-a\r\nX-A: b\r\nContent-Length: 13\r\n",
}
STARTS: list[tuple[Read, bytes]] = [
    (requests, b"POST /a HTTP/1.1\r\nHost: gate\r\n"),
    (requests, b"GET /a HTTP/1.1\r\nHost: gate\r\n"),
    (requests, b"POST /a HTTP/1.0\r\nHost: gate\r\n"),
    (answers, b"HTTP/1.1 200 OK\r\nX-B: c\r\n"),
    (answers, b"HTTP/1.0 200 OK\r\nX-B: c\r\n"),
    (answers, b"HTTP/1.1 204 No\r\nX-B: c\r\n"),
    (answers, b"HTTP/1.1 304 No\r\nX-B: c\r\n"),
    (answers, b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 200 OK\r\nX-B: c\r\n"),
]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_trick_is_the_same_or_refused_alike_wherever_it_is_cut(frame: str) -> None:
    wrong: list[list[bytes]] = []
    for read, start in STARTS:
        for body in TRICKS.values():
            data = start + FRAMES[frame] + b"\r\n" + body
            last = GET if read is requests else OK
            for cut in range(len(start), len(data) + 1):
                pieces = [data[:cut], data[cut:], last]
                if not is_alike(read, pieces, HeadLimits()):
                    wrong.append(pieces)
            octets = [data[: len(start)], *[bytes([octet]) for octet in data[len(start) :]], last]
            if not is_alike(read, octets, HeadLimits()):
                wrong.append(octets)
    assert wrong == []


def test_an_answer_to_head_in_pieces_is_read_alike() -> None:
    for data in (OK, OK_CHUNKS):
        for cut in range(len(data) + 1):
            pieces = [data[:cut], data[cut:], OK]
            assert answers(pieces, HeadLimits(), True, head_only=True) == answers(
                pieces, HeadLimits(), False, head_only=True
            )


CUTS = st.lists(st.integers(0, 400), max_size=5)
SIZES = [b"3", b"3", b"3", b"03", b"0", b"a", b"3;x", b"F", b"-1", b"3 ", b"10000000", b"fffffffff"]
CHUNK = st.tuples(
    st.sampled_from(SIZES), st.sampled_from([b"\r\n"] * 6 + [b"\n", b"\r"]),
    st.sampled_from([b"abc", b"abc", b"abc", b"", b"\r\n\r", b"0123456789"]), st.sampled_from([b"\r\n"] * 6 + [b"\n", b""]),
)  # fmt: skip
ENDS = st.sampled_from([b"0\r\n\r\n"] * 4 + [b"0\r\nX: y\r\n\r\n", b"00\r\n\r\n", b"0\n\n", b""])


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[one:other] for one, other in itertools.pairwise(places)]


@settings(max_examples=examples(750), deadline=None)
@given(
    st.sampled_from([POST, IN_CHUNKS, OK, OK_CHUNKS]),
    st.lists(CHUNK, max_size=4),
    ENDS,
    CUTS,
    st.sampled_from([HeadLimits(), TIGHT]),
)
def test_chunks_of_any_kind_are_read_alike(
    like: bytes, chunks: list[tuple[bytes, ...]], end: bytes, cuts: list[int], limits: HeadLimits
) -> None:
    data = like[: like.index(b"\r\n\r\n") + 4] + b"".join(map(b"".join, chunks)) + end
    read, last = (requests, GET) if like.startswith(b"POST") else (answers, OK)
    assert is_alike(read, [*pieces_of(data, cuts), last], limits)


@pytest.mark.parametrize("trailers", [0, 3])
def test_what_llhttp_is_told_unheard_counts_for_nothing(trailers: int) -> None:
    """Many requests of one connection whose chunks are cut in their sizes; as many trailers of the one before as may be."""
    taken: list[Request] = []
    reader = RequestReader(HeadLimits(max_line=8, max_fields=3), taken.append)
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    for _ in range(12):
        request = reader.first(head)
        if request is None:
            reader.feed(head)
            request = taken.pop()
        reader.feed(b"3")
        reader.feed(b"\r\nabc\r\n0\r\n" + b"A: b\r\n" * trailers + b"\r\n")
        assert request.complete
        assert request.body == b"abc"
