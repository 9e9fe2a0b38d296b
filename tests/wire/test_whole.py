"""Messages that are read in one compiled pass, beside what llhttp makes of the same bytes: never another, never one more."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.wire.compiled import reading
from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http1.requests import RequestReader
from funcgate.wire.http1.responses import ResponseReader
from support.h1read import (
    BARE,
    EMPTY,
    GET,
    IN_CHUNKS,
    LAST,
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
)  # fmt: skip
from support.quick import examples

pytestmark = pytest.mark.skipif(reading is None, reason="not built, or FUNCGATE_PURE is set")


@pytest.mark.parametrize("data", [POST, GET, IN_CHUNKS, LAST])
def test_a_plain_request_is_read_in_one_pass(data: bytes) -> None:
    request = RequestReader(HeadLimits(), lambda _: None).first(data)
    assert request is not None
    assert request.complete
    assert is_alike(requests, [data, data], HeadLimits())


@pytest.mark.parametrize(("data", "body"), [(OK, b"abc"), (EMPTY, b""), (OK_CHUNKS, b"0123456789x"), (BARE, b"")])
def test_a_plain_answer_is_read_in_one_pass(data: bytes, body: bytes) -> None:
    reader = ResponseReader(HeadLimits())
    reader.expect(head_only=False)
    assert reader.feed(data) == body
    assert is_alike(answers, [data, data], HeadLimits())


def spoiled(data: bytes) -> Iterator[bytes]:
    """Every octet replaced by, and every place filled with, what readers take in different ways."""
    for at in range(len(data) + 1):
        for odd in ODD:
            yield data[:at] + odd + data[at:]
            yield data[:at] + odd + data[at + 1 :]


@pytest.mark.parametrize(("read", "data"), PLAIN, ids=NAMES)
def test_a_message_that_is_spoiled_anywhere_is_the_same_or_refused_alike(read: Read, data: bytes) -> None:
    wrong = [case for case in spoiled(data) if not is_alike(read, [case, data], HeadLimits())]
    assert wrong == []


@pytest.mark.parametrize(("read", "data"), PLAIN, ids=NAMES)
def test_every_cut_of_two_messages_gives_the_same(read: Read, data: bytes) -> None:
    two = data + data
    cuts = [(one, other) for one in range(len(two) + 1) for other in range(one, min(one + len(data) + 3, len(two) + 1))]
    wrong = [
        cut for cut in cuts if not is_alike(read, [two[: cut[0]], two[cut[0] : cut[1]], two[cut[1] :]], HeadLimits())
    ]
    assert wrong == []


BETWEEN = [b"\r", b"\n", b"\r\n", b"\r\n" * 300, b"x", b"\r\nx", b"GET", b"HTTP/1.1 200 OK\r\n", b" "]


@pytest.mark.parametrize(("read", "data"), PLAIN, ids=NAMES)
@pytest.mark.parametrize("first", range(len(PLAIN)))
def test_what_comes_between_two_messages_changes_nothing(read: Read, data: bytes, first: int) -> None:
    other = PLAIN[first][1]
    for between in BETWEEN:
        for pieces in ([data, between, data], [between, data, data], [between, between, data], [other, between, data]):
            assert is_alike(read, pieces, HeadLimits()), pieces
            assert is_alike(read, pieces, TIGHT), pieces


@pytest.mark.parametrize(("read", "data"), PLAIN, ids=NAMES)
def test_limits_are_kept_alike(read: Read, data: bytes) -> None:
    for value in (1, 30, 60, 100, 150, 200, 400):
        for line in (b"X-B: %b\r\n" % (b"a" * value), b"X: y\r\n" * (value // 10), b"%b: y\r\n" % (b"n" * value)):
            spot = data.index(b"\r\n") + 2
            assert is_alike(read, [data[:spot] + line + data[spot:], data], TIGHT)
    long = b"GET /%b HTTP/1.1\r\nHost: g\r\n\r\n"
    for value in range(30, 50):
        assert is_alike(requests, [long % (b"a" * value)], TIGHT)


def test_an_answer_to_head_and_the_one_after_it_are_read_alike() -> None:
    for data in (OK, EMPTY, OK[:-3]):
        for after in (OK, EMPTY):
            assert answers([data, after], HeadLimits(), True, head_only=True) == answers(
                [data, after], HeadLimits(), False, head_only=True
            )


def test_after_the_last_request_of_a_connection_nothing_is_read() -> None:
    last = POST.replace(b"Host:", b"Connection: close\r\nHost:")
    reader = RequestReader(HeadLimits(), lambda _: None)
    reader.feed(last)
    assert reader.first(GET) is None
    assert is_alike(requests, [last, GET], HeadLimits())


KNOWN = (
    b"Host,host,Content-Length,Transfer-Encoding,Connection,Upgrade,Expect,TE,X_A,X-A,Cookie,Authorization,content-type"
)
KNOWN += (
    b",Location,Keep-Alive,Proxy-Connection,X-Forwarded-For,Content-Encoding,Funcgate-Token,,X!,Trailer,HTTP2-Settings"
)
VALUES = b"g||0|3|03|3 | 3|+3|4|chunked|close|keep-alive|keep-alive, x"
ENDS = [*[b"\r\n"] * 12, b"\n", b"\r", b"\r\n ", b" \r\n", b""]
FIELDS = st.lists(
    st.tuples(
        st.sampled_from(KNOWN.split(b",")) | st.binary(max_size=4),
        st.sampled_from([b":", b": ", b":\t ", b" :", b""]),
        st.sampled_from(VALUES.split(b"|")) | st.binary(max_size=6),
        st.sampled_from(ENDS),
    ),
    max_size=7,
)
FIRSTS = (
    b"GET / HTTP/1.1|POST /a?b HTTP/1.1|PUT /a#b HTTP/1.1|HEAD * HTTP/1.1|DELETE http://g/ HTTP/1.1|OPTIONS / HTTP/1.0"
)
FIRSTS += b"|PATCH /\xff HTTP/1.1|CONNECT g:1 HTTP/1.1|PRI * HTTP/2.0|GET  / HTTP/1.1|GETS / HTTP/1.1"
STATUSES = (
    b"1.1 200 OK|1.1 200 |1.1 200|1.0 200 OK|1.1 204 N|1.1 304 N|1.1 599 X|1.1 101 S|1.1 100 C|1.1 600 X|1.1 2000 X"
)
STATUSES += b"|1.1 200 \xff|1.1 200  OK\t|1.1  200 OK|1.1 20 OK"
FIRST = st.sampled_from(FIRSTS.split(b"|"))
STATUS = st.sampled_from([b"HTTP/" + each for each in STATUSES.split(b"|")])
BODIES = st.sampled_from([b"", b"abc", b"abc", b"abcGET / HTTP/1.1\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"\r\n"])


def message(first: bytes, fields: list[tuple[bytes, ...]], body: bytes) -> bytes:
    return first + b"\r\n" + b"".join(map(b"".join, fields)) + b"\r\n" + body


@settings(max_examples=examples(400), deadline=None)
@given(FIRST, FIELDS, BODIES, st.sampled_from([HeadLimits(), TIGHT]))
def test_requests_of_any_kind_are_read_alike(
    first: bytes, fields: list[tuple[bytes, ...]], body: bytes, limits: HeadLimits
) -> None:
    plain = message(first, [(b"Host", b":", b" g", b"\r\n"), *fields], body)
    assert is_alike(requests, [plain, GET, plain], limits)
    assert is_alike(requests, [GET, message(first, fields, body), GET], limits)


@settings(max_examples=examples(400), deadline=None)
@given(STATUS, FIELDS, BODIES, st.sampled_from([HeadLimits(), TIGHT]))
def test_answers_of_any_kind_are_read_alike(
    first: bytes, fields: list[tuple[bytes, ...]], body: bytes, limits: HeadLimits
) -> None:
    plain = message(first, [*fields, (b"Content-Length", b":", b" %d" % len(body), b"\r\n")], body)
    assert is_alike(answers, [plain, OK, plain], limits)
    assert is_alike(answers, [OK, message(first, fields, body), OK], limits)
