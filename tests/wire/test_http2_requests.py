"""A request over HTTP/2 is the `Request` that the same message gives over HTTP/1.1."""

import pytest

from funcgate.wire.http1.limits import HeadLimits, Malformed
from funcgate.wire.http1.requests import Request, RequestReader
from funcgate.wire.http2.requests import request_of
from support.h2frames import GET, Fields

HEAD = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a?b=c"), (b":authority", b"gate:8080")]
LIMITS = HeadLimits(max_line=100)


def both(fields: Fields) -> tuple[Request, Request]:
    old: list[Request] = []
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    RequestReader(LIMITS, old.append).feed(b"POST /a?b=c HTTP/1.1\r\nHost: gate:8080\r\n%b\r\n" % lines)
    return request_of([*HEAD, *fields], LIMITS), old[0]


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"content-type", b"application/json"), (b"x-own", b"1"), (b"x-own", b"2")],
        [(b"authorization", b"Bearer t"), (b"funcgate-session", b"s"), (b"prefer", b"wait=1"), (b"prefer", b"x")],
        [(b"x-forwarded-for", b"1.2.3.4"), (b"accept", b"*/*"), (b"accept-encoding", b"gzip"), (b"range", b"bytes=1-")],
        [(b"te", b"trailers"), (b"trailer", b"x"), (b"proxy-authorization", b"x"), (b"cookie", b"a=b")],
        [(b"x_own", b"1"), (b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")],
    ],
    ids=range(6),
)
def test_the_same_message_is_the_same_request(fields: Fields) -> None:
    new, old = both(fields)
    assert (new.method, new.target, new.known, new.fields) == (old.method, old.target, old.known, old.fields)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"authorization", b"Bearer t"), (b"authorization", b"Bearer u")],
        [(b"funcgate-token", b"t"), (b"funcgate-token", b"u")],
        [(b"content-type", b"a/b"), (b"content-type", b"a/c")],
        [(b"x-user", b"a"), (b"x_user", b"b")],
        [(b"x_user", b"a"), (b"x-user", b"b")],
        [(b"funcgate_token", b"a")],
        [(b"x_forwarded_for", b"a")],
    ],
    ids=range(7),
)
def test_what_http_1_refuses_is_refused(fields: Fields) -> None:
    with pytest.raises(Malformed) as refused:
        request_of([*HEAD, *fields], LIMITS)
    assert refused.value.status == 400
    with pytest.raises(Malformed):
        both(fields)


def test_too_long_a_path() -> None:
    with pytest.raises(Malformed) as refused:
        request_of([*GET[:2], (b":path", b"/" * 101), *GET[3:]], LIMITS)
    assert refused.value.status == 414


def test_too_long_a_method() -> None:
    """In HTTP/1.1 both stand in the request line."""
    with pytest.raises(Malformed) as refused:
        request_of([(b":method", b"G" * 97), *GET[1:]], LIMITS)
    assert refused.value.status == 414


def test_the_host_is_the_authority() -> None:
    assert request_of([*HEAD, (b"host", b"gate:8080")], LIMITS).known[b"host"] == b"gate:8080"
    assert request_of([*HEAD[:3], (b"host", b"gate:8080")], LIMITS).known[b"host"] == b"gate:8080"


def test_cookies_in_crumbs_are_joined() -> None:
    """RFC 9113, 8.2.3."""
    assert request_of([*HEAD, (b"cookie", b"a=b"), (b"cookie", b"c=d")], LIMITS).known[b"cookie"] == b"a=b; c=d"
