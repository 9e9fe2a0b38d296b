"""What RFC 9113 makes of each wrong frame, as h2spec asks it: one table from bytes to the end of a stream or of a connection."""

import struct

import pytest

from funcgate.wire.http2.events import Data, Event, Head, Malformed, Reset, Trailers
from funcgate.wire.http2.limits import Http2Limits
from funcgate.wire.http2.link import Broken, Link
from support.h2frames import (
    ACK,
    CALM,
    CANCEL,
    CLOSED,
    COMPRESSION,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW,
    GET,
    GOAWAY,
    HEADERS,
    NO_ERROR,
    OPENING,
    PADDED,
    PING,
    POST,
    PREFACE,
    PRIORITY,
    PROTOCOL,
    PUSH_PROMISE,
    REFUSED,
    RST_STREAM,
    SETTINGS,
    SIZE,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Fields,
    Frame,
    block,
    data,
    frame,
    frames,
    goaway,
    headers,
    rst,
    settings,
    update,
)

LIMITS = Http2Limits()
OPEN = END_HEADERS  # a head after which more follows


def server(limits: Http2Limits = LIMITS) -> Link:
    link = Link(False, limits)
    link.begin()
    link.take()
    return link


def run(link: Link, incoming: bytes) -> tuple[list[Event], list[Frame]]:
    """The events, and the frames that the link wrote, up to its end."""
    try:
        events = link.feed(incoming, 0.0)
    except Broken as broken:
        events = broken.events
    return events, list(frames(link.take()))


def ends(incoming: bytes, limits: Http2Limits = LIMITS) -> str:
    """How the connection took the bytes: ``goaway N``, ``reset STREAM N``, ``answered STATUS``, or ``fine``."""
    events, written = run(server(limits), incoming)
    for one in written:
        if one.kind == GOAWAY:
            return f"goaway {one.number}"
    for one in written:
        if one.kind == RST_STREAM:
            return f"reset {one.stream} {one.number}"
    for event in events:
        if isinstance(event, Malformed):
            return f"answered {event.status}"
    return "fine"


def dead(code: int) -> str:
    return f"goaway {code}"


def head(fields: Fields) -> bytes:
    return OPENING + headers(1, fields)


def with_length(length: bytes, *bodies: bytes) -> bytes:
    """A POST with this Content-Length and these frames of DATA, the last of which ends it."""
    parts = [data(1, body, end=at == len(bodies) - 1) for at, body in enumerate(bodies)]
    return OPENING + headers(1, [*POST, (b"content-length", length)], OPEN) + b"".join(parts)


LONG = struct.pack(">I", 1)
ENDED = OPENING + headers(1)  # half closed by the peer

RULES: dict[str, tuple[bytes, str]] = {
    # 3.4: the preface
    "3.4 right": (OPENING, "fine"),
    "3.4 wrong preface": (b"INVALID CONNECTION PREFACE\r\n\r\n", dead(PROTOCOL)),
    "3.4 a preface that goes wrong late": (PREFACE[:-1] + b"X", dead(PROTOCOL)),
    "3.4 first frame is no SETTINGS": (PREFACE + frame(PING, 0, 0, bytes(8)), dead(PROTOCOL)),
    "3.4 first frame is an acknowledgement": (PREFACE + frame(SETTINGS, ACK), dead(PROTOCOL)),
    "3.4 first frame is a head": (PREFACE + headers(1), dead(PROTOCOL)),
    # 4.1, 4.2: frames
    "4.1 unknown type": (OPENING + frame(0x16, 0, 0, bytes(8)), "fine"),
    "4.1 undefined flags": (OPENING + frame(PING, 0x16, 0, bytes(8)), "fine"),
    "4.1 reserved bit": (OPENING + frame(PING, 0, 1 << 31, bytes(8)), "fine"),
    "4.2 the largest DATA": (OPENING + headers(1, POST, OPEN) + data(1, bytes(1 << 14)), "fine"),
    "4.2 too large DATA": (OPENING + headers(1, POST, OPEN) + data(1, bytes((1 << 14) + 1)), dead(SIZE)),
    "4.2 too large HEADERS": (OPENING + frame(HEADERS, 5, 1, bytes((1 << 14) + 1)), dead(SIZE)),
    "4.2 too large, of no type": (OPENING + frame(0x16, 0, 0, bytes((1 << 14) + 1)), dead(SIZE)),
    # 4.3: compression
    "4.3 a block that is none": (OPENING + frame(HEADERS, 5, 1, b"\x80"), dead(COMPRESSION)),
    "4.3 PRIORITY within a block": (
        OPENING + frame(HEADERS, 1, 1, block(GET)) + frame(PRIORITY, 0, 1, bytes(4) + b"\1"), dead(PROTOCOL),
    ),
    "4.3 another stream's head within a block": (
        OPENING + frame(HEADERS, 1, 1, block(GET)) + headers(3), dead(PROTOCOL),
    ),
    "4.3 an unknown frame within a block": (OPENING + frame(HEADERS, 1, 1, block(GET)) + frame(0x16), dead(PROTOCOL)),
    # 5.1: states
    "5.1 idle: DATA": (OPENING + data(1, b"x"), dead(PROTOCOL)),
    "5.1 idle: RST_STREAM": (OPENING + rst(1), dead(PROTOCOL)),
    "5.1 idle: WINDOW_UPDATE": (OPENING + update(1, 100), dead(PROTOCOL)),
    "5.1 idle: CONTINUATION": (OPENING + frame(CONTINUATION, 4, 1, block(GET)), dead(PROTOCOL)),
    "5.1 idle: PRIORITY": (OPENING + frame(PRIORITY, 0, 1, bytes(4) + b"\1"), "fine"),
    "5.1 ended there: DATA": (ENDED + data(1, b"x"), f"reset 1 {CLOSED}"),
    "5.1 ended there: HEADERS": (ENDED + headers(1), f"reset 1 {CLOSED}"),
    "5.1 ended there: CONTINUATION": (ENDED + frame(CONTINUATION, 4, 1, block(GET)), dead(PROTOCOL)),
    "5.1 ended there: WINDOW_UPDATE, PRIORITY": (
        ENDED + update(1, 5) + frame(PRIORITY, 0, 1, bytes(4) + b"\1"), "fine",
    ),
    "5.1 reset there: DATA": (OPENING + headers(1, POST, OPEN) + rst(1) + data(1, b"x"), f"reset 1 {CLOSED}"),
    "5.1 reset there: HEADERS": (OPENING + headers(1, POST, OPEN) + rst(1) + headers(1), f"reset 1 {CLOSED}"),
    "5.1 reset there: CONTINUATION": (
        OPENING + headers(1, POST, OPEN) + rst(1) + frame(CONTINUATION, 4, 1, block(GET)), dead(PROTOCOL),
    ),
    "5.1 reset there: more resets, updates": (OPENING + headers(1, POST, OPEN) + rst(1) + rst(1) + update(1, 5), "fine"),
    "5.1.1 a server's number": (OPENING + headers(2), dead(PROTOCOL)),
    "5.1.1 a smaller number": (OPENING + headers(5) + headers(3), dead(PROTOCOL)),
    "5.1.1 HEADERS without a number": (OPENING + headers(0), dead(PROTOCOL)),
    "5.1.2 one stream too many": (
        OPENING + b"".join(headers(1 + 2 * n, POST, OPEN) for n in range(LIMITS.max_streams + 1)), f"reset 201 {REFUSED}",
    ),
    # 5.3, 6.3: PRIORITY
    "6.3 without a stream": (OPENING + frame(PRIORITY, 0, 0, bytes(5)), dead(PROTOCOL)),
    "6.3 wrong size": (ENDED + frame(PRIORITY, 0, 1, bytes(4)), f"reset 1 {SIZE}"),
    "6.3 wrong size, idle": (OPENING + frame(PRIORITY, 0, 1, bytes(4)), dead(SIZE)),
    "5.3.1 a stream that depends on itself": (ENDED + frame(PRIORITY, 0, 1, LONG + b"\1"), f"reset 1 {PROTOCOL}"),
    "5.3.1 a head that depends on itself": (
        OPENING + frame(HEADERS, 5 | WITH_PRIORITY, 1, LONG + b"\1" + block(GET)), dead(PROTOCOL),
    ),
    # 6.1: DATA
    "6.1 without a stream": (OPENING + data(0, b"x"), dead(PROTOCOL)),
    "6.1 padded": (OPENING + headers(1, POST, OPEN) + frame(DATA, 9, 1, b"\x02x\0\0"), "fine"),
    "6.1 nothing but padding": (OPENING + headers(1, POST, OPEN) + frame(DATA, 9, 1, b"\x02\0\0"), "fine"),
    "6.1 more padding than frame": (OPENING + headers(1, POST, OPEN) + frame(DATA, 9, 1, b"\x03\0\0"), dead(PROTOCOL)),
    "6.1 padding that is cut": (OPENING + headers(1, POST, OPEN) + frame(DATA, 9, 1), dead(SIZE)),
    # 6.2: HEADERS
    "6.2 padded": (OPENING + frame(HEADERS, 5 | PADDED, 1, b"\x01" + block(GET) + b"\0"), "fine"),
    "6.2 more padding than frame": (OPENING + frame(HEADERS, 5 | PADDED, 1, b"\xff" + block(GET)), dead(PROTOCOL)),
    "6.2 with a priority": (OPENING + frame(HEADERS, 5 | WITH_PRIORITY, 1, bytes(4) + b"\x10" + block(GET)), "fine"),
    "6.2 a priority that is cut": (OPENING + frame(HEADERS, 5 | WITH_PRIORITY, 1, bytes(4)), dead(SIZE)),
    # 6.4: RST_STREAM
    "6.4 without a stream": (OPENING + rst(0), dead(PROTOCOL)),
    "6.4 wrong size": (ENDED + frame(RST_STREAM, 0, 1, bytes(3)), dead(SIZE)),
    # 6.5: SETTINGS
    "6.5 acknowledged with a payload": (OPENING + frame(SETTINGS, ACK, 0, b"\0"), dead(SIZE)),
    "6.5 of a stream": (OPENING + frame(SETTINGS, 0, 1), dead(PROTOCOL)),
    "6.5 wrong size": (OPENING + frame(SETTINGS, 0, 0, bytes(3)), dead(SIZE)),
    "6.5.2 ENABLE_PUSH": (OPENING + settings(_2=2), dead(PROTOCOL)),
    "6.5.2 INITIAL_WINDOW_SIZE": (OPENING + settings(_4=1 << 31), dead(FLOW)),
    "6.5.2 MAX_FRAME_SIZE too small": (OPENING + settings(_5=(1 << 14) - 1), dead(PROTOCOL)),
    "6.5.2 MAX_FRAME_SIZE too large": (OPENING + settings(_5=1 << 24), dead(PROTOCOL)),
    "6.5.2 unknown": (OPENING + settings(_255=1), "fine"),
    "6.5 hundreds at once": (OPENING + frame(SETTINGS, 0, 0, bytes(6 * 65)), dead(CALM)),
    # 6.6: PUSH_PROMISE
    "8.4 PUSH_PROMISE of a client": (OPENING + frame(PUSH_PROMISE, 4, 1, LONG + block(GET)), dead(PROTOCOL)),
    # 6.7: PING
    "6.7 right": (OPENING + frame(PING, 0, 0, bytes(8)), "fine"),
    "6.7 of a stream": (OPENING + frame(PING, 0, 1, bytes(8)), dead(PROTOCOL)),
    "6.7 wrong size": (OPENING + frame(PING, 0, 0, bytes(6)), dead(SIZE)),
    # 6.8: GOAWAY
    "6.8 right": (OPENING + goaway(), "fine"),
    "6.8 of a stream": (OPENING + frame(GOAWAY, 0, 1, bytes(8)), dead(PROTOCOL)),
    "6.8 wrong size": (OPENING + frame(GOAWAY, 0, 0, bytes(7)), dead(SIZE)),
    # 6.9: WINDOW_UPDATE
    "6.9 by nothing": (OPENING + update(0, 0), dead(PROTOCOL)),
    "6.9 by nothing, of a stream": (ENDED + update(1, 0), f"reset 1 {PROTOCOL}"),
    "6.9 wrong size": (OPENING + frame(WINDOW_UPDATE, 0, 0, bytes(3)), dead(SIZE)),
    "6.9.1 too large": (OPENING + update(0, (1 << 31) - 1), dead(FLOW)),
    "6.9.1 too large, of a stream": (ENDED + update(1, (1 << 31) - 1), f"reset 1 {FLOW}"),
    "6.9.2 too large by a setting": (ENDED + update(1, 1 << 30) + settings(_4=(1 << 31) - 1), dead(FLOW)),
    # 6.10: CONTINUATION
    "6.10 in pieces": (
        OPENING + frame(HEADERS, 1, 1, block(GET[:1])) + frame(CONTINUATION, 0, 1, block(GET[1:2]))
        + frame(CONTINUATION, 4, 1, block(GET[2:])), "fine",
    ),
    "6.10 DATA within": (OPENING + frame(HEADERS, 0, 1, block(POST)) + data(1, b"x"), dead(PROTOCOL)),
    "6.10 without a stream": (OPENING + frame(HEADERS, 1, 1, block(GET)) + frame(CONTINUATION, 4), dead(PROTOCOL)),
    "6.10 after an end": (OPENING + headers(1, POST, OPEN) + frame(CONTINUATION, 4, 1, block(GET)), dead(PROTOCOL)),
    # 8.1: messages
    "8.1 a second head that does not end": (OPENING + headers(1, POST, OPEN) + headers(1, [], OPEN), f"reset 1 {PROTOCOL}"),
    "8.1 trailers": (OPENING + headers(1, POST, OPEN) + data(1, b"x", end=False) + headers(1, [(b"a", b"b")]), "fine"),
    "8.1 pseudo-field in trailers": (
        OPENING + headers(1, POST, OPEN) + headers(1, [(b":path", b"/x")]), f"reset 1 {PROTOCOL}",
    ),
    # 8.1.1: lengths
    "8.1.1 right length": (with_length(b"3", b"ab", b"c"), "fine"),
    "8.1.1 less than said": (with_length(b"4", b"ab", b"c"), f"reset 1 {PROTOCOL}"),
    "8.1.1 more than said": (with_length(b"2", b"ab", b"c"), f"reset 1 {PROTOCOL}"),
    "8.1.1 nothing at all": (OPENING + headers(1, [*POST, (b"content-length", b"1")]), "answered 400"),
    "8.1.1 less, then trailers": (
        OPENING + headers(1, [*POST, (b"content-length", b"2")], OPEN) + data(1, b"x", end=False)
        + headers(1, [(b"a", b"b")]), f"reset 1 {PROTOCOL}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_a_frame_ends_what_it_has_to(name: str) -> None:
    incoming, expected = RULES[name]
    assert ends(incoming) == expected


REQUESTS: dict[str, tuple[Fields, str]] = {
    "right": (GET, "fine"),
    "with te": ([*GET, (b"te", b"trailers")], "fine"),
    "the host as well": ([*GET, (b"host", b"gate")], "fine"),
    "only the host": ([*GET[:3], (b"host", b"gate")], "fine"),
    "the whole server": ([(b":method", b"OPTIONS"), GET[1], (b":path", b"*"), GET[3]], "fine"),
    "8.2 upper case": ([*GET, (b"X-Test", b"ok")], "answered 400"),
    "8.2.1 empty name": ([*GET, (b"", b"ok")], "answered 400"),
    "8.2.1 space in a name": ([*GET, (b"a b", b"ok")], "answered 400"),
    "8.2.1 colon in a name": ([*GET, (b"a:b", b"ok")], "answered 400"),
    "8.2.1 line end in a name": ([*GET, (b"a\nb", b"ok")], "answered 400"),
    "8.2.1 line end in a value": ([*GET, (b"a", b"b\r\nx: y")], "answered 400"),
    "8.2.1 newline in a value": ([*GET, (b"a", b"b\nc")], "answered 400"),
    "8.2.1 NUL in a value": ([*GET, (b"a", b"b\0")], "answered 400"),
    "8.2.1 space before a value": ([*GET, (b"a", b" b")], "answered 400"),
    "8.2.1 space behind a value": ([*GET, (b"a", b"b\t"), (b"c", b"d")], "answered 400"),
    "8.2.1 space behind the last value": ([*GET, (b"a", b"b ")], "answered 400"),
    "8.2.1 DEL in a value": ([*GET, (b"a", b"b\x7f")], "answered 400"),
    "8.2.2 connection": ([*GET, (b"connection", b"close")], "answered 400"),
    "8.2.2 proxy-connection": ([*GET, (b"proxy-connection", b"close")], "answered 400"),
    "8.2.2 keep-alive": ([*GET, (b"keep-alive", b"1")], "answered 400"),
    "8.2.2 transfer-encoding": ([*GET, (b"transfer-encoding", b"chunked")], "answered 400"),
    "8.2.2 upgrade": ([*GET, (b"upgrade", b"h2c")], "answered 400"),
    "8.2.2 te": ([*GET, (b"te", b"trailers, deflate")], "answered 400"),
    "8.3 unknown pseudo-field": ([*GET, (b":test", b"ok")], "answered 400"),
    "8.3 unknown pseudo-field first": ([(b":test", b"ok"), *GET], "answered 400"),
    "8.3 a pseudo-field of answers": ([*GET, (b":status", b"200")], "answered 400"),
    "8.3 a pseudo-field behind others": ([*GET[:3], (b"a", b"b"), GET[3]], "answered 400"),
    "8.3.1 empty path": ([*GET[:2], (b":path", b""), GET[3]], "answered 400"),
    "8.3.1 no method": (GET[1:], "answered 400"),
    "8.3.1 no scheme": ([GET[0], *GET[2:]], "answered 400"),
    "8.3.1 no path": ([*GET[:2], GET[3]], "answered 400"),
    "8.3.1 no host": (GET[:3], "answered 400"),
    "8.3.1 two methods": ([GET[0], *GET], "answered 400"),
    "8.3.1 two schemes": ([*GET, GET[1]], "answered 400"),
    "8.3.1 two paths": ([*GET[:3], *GET[2:]], "answered 400"),
    "8.3.1 two authorities": ([*GET, GET[3]], "answered 400"),
    "8.3.1 another host": ([*GET, (b"host", b"other")], "answered 400"),
    "8.3.1 two hosts": ([*GET[:3], (b"host", b"gate"), (b"host", b"gate")], "answered 400"),
    "8.3.1 a user in the authority": ([*GET[:3], (b":authority", b"me@gate")], "answered 400"),
    "8.3.1 another scheme": ([GET[0], (b":scheme", b"ftp"), *GET[2:]], "answered 400"),
    "8.3.1 a whole URL as the path": ([*GET[:2], (b":path", b"http://gate/shop/read"), GET[3]], "answered 400"),
    "8.3.1 a space in the path": ([*GET[:2], (b":path", b"/a HTTP/1.1"), GET[3]], "answered 400"),
    "8.3.1 a star, but no OPTIONS": ([*GET[:2], (b":path", b"*"), GET[3]], "answered 400"),
    "a method with a space": ([(b":method", b"GET /x"), *GET[1:]], "answered 400"),
    "8.5 CONNECT": ([(b":method", b"CONNECT"), (b":authority", b"gate")], "answered 501"),
    "two lengths": ([*POST, (b"content-length", b"0"), (b"content-length", b"0")], "answered 400"),
    "a length with a sign": ([*POST, (b"content-length", b"+0")], "answered 400"),
    "an empty length": ([*POST, (b"content-length", b"")], "answered 400"),
    "nothing": ([], "answered 400"),
    "too many fields": ([*GET, *[(b"a%d" % n, b"") for n in range(100)]], "answered 431"),
    "too large fields": ([*GET, (b"a", bytes(b"v" * 16000)), (b"b", bytes(b"v" * 17000))], "answered 431"),
}


def in_frames(stream: int, fields: Fields) -> bytes:
    """A head in as many frames as it needs."""
    whole = block(fields)
    parts = [whole[at : at + 16000] for at in range(0, len(whole), 16000)] or [b""]
    made = [frame(CONTINUATION, 0, stream, part) for part in parts]
    made[0] = frame(HEADERS, END_STREAM, stream, parts[0])
    last = bytearray(made[-1])
    last[4] |= END_HEADERS
    return b"".join([*made[:-1], bytes(last)])


@pytest.mark.parametrize("name", REQUESTS)
def test_fields_make_a_request_or_do_not(name: str) -> None:
    fields, expected = REQUESTS[name]
    link = server()
    events, _ = run(link, OPENING + in_frames(1, fields))
    assert [f"answered {event.status}" for event in events if isinstance(event, Malformed)] == (
        [] if expected == "fine" else [expected]
    )
    assert any(isinstance(event, Head) for event in events) == (expected == "fine")


@pytest.mark.parametrize("name", [name for name in REQUESTS if REQUESTS[name][1] == "answered 400"])
def test_a_malformed_request_is_reset_once_it_is_answered(name: str) -> None:
    link = server()
    run(link, OPENING + in_frames(1, REQUESTS[name][0]))
    link.head(1, [(b":status", b"400")], False)
    link.data(1, b"no", True)
    kinds = [(one.kind, one.number if one.kind == RST_STREAM else None) for one in frames(link.take())]
    assert kinds == [(HEADERS, None), (DATA, None), (RST_STREAM, PROTOCOL)]
    assert link.open_streams == 0
    events, _ = run(link, headers(3))
    assert [type(event) for event in events] == [Head]  # the connection goes on, and so does its header compression


ENDED_WHOLE = {
    "DATA": data(1, b"x"),
    "HEADERS": headers(1),
}


@pytest.mark.parametrize("name", ENDED_WHOLE)
def test_a_frame_behind_the_end_of_a_stream_ends_the_connection(name: str) -> None:
    link = server()
    run(link, ENDED)
    link.head(1, [(b":status", b"200")], True)
    link.take()
    _, written = run(link, ENDED_WHOLE[name])
    assert [(one.kind, one.number) for one in written] == [(GOAWAY, CLOSED)]


def test_late_frames_of_a_stream_that_we_reset_are_passed_over_and_given_back() -> None:
    link = server()
    run(link, OPENING)
    given = 0
    streams = range(1, 4 * LIMITS.connection_window // LIMITS.stream_window, 2)
    for stream in streams:  # twice the connection's window in all
        run(link, headers(stream, POST, OPEN))
        link.reset(stream, CANCEL)
        link.take()
        for _ in range(LIMITS.stream_window // 16384):
            events, written = run(link, data(stream, bytes(16384), end=False))
            assert events == []
            assert {one.kind for one in written} <= {WINDOW_UPDATE}
            given += sum(one.number for one in written)
    assert given >= LIMITS.connection_window
    last = streams[-1]
    events, _ = run(link, headers(last, [(b"late", b"trailer")]) + rst(last) + headers(last + 2))
    assert [type(event) for event in events] == [Head]


def test_after_goaway_open_streams_go_on_and_new_ones_are_refused() -> None:
    link = server()
    run(link, OPENING + headers(1, POST, OPEN))
    link.away(NO_ERROR)
    (away,) = frames(link.take())
    assert (away.kind, away.payload) == (GOAWAY, struct.pack(">II", 1, NO_ERROR))
    events, written = run(link, headers(3) + data(1, b"x"))
    assert [type(event) for event in events] == [Data]
    assert [(one.kind, one.stream, one.number) for one in written] == [(RST_STREAM, 3, REFUSED)]
    link.head(1, [(b":status", b"200")], True)
    assert link.open_streams == 0
    events, _ = run(link, data(3, b"late") + headers(5))
    assert events == []


def test_nothing_is_read_behind_the_end_of_a_connection() -> None:
    link = server()
    run(link, OPENING + update(0, 0))
    assert link.feed(headers(1), 0.0) == []
    assert link.take() == b""


def client() -> tuple[Link, int]:
    """A client with one stream open, after the greeting."""
    link = Link(True, LIMITS)
    link.begin()
    link.feed(settings(), 0.0)
    stream = link.open(GET, True)
    link.take()
    return link, stream


OK = [(b":status", b"200")]
ANSWERS: dict[str, tuple[bytes, str]] = {
    "right": (headers(1, OK), "fine"),
    "an interim one first": (headers(1, [(b":status", b"103")], OPEN) + headers(1, OK), "fine"),
    "with a length": (headers(1, [*OK, (b"content-length", b"1")], OPEN) + data(1, b"x"), "fine"),
    "trailers": (headers(1, OK, OPEN) + headers(1, [(b"a", b"b")]), "fine"),
    "PING at any time": (frame(PING, 0, 0, bytes(8)), "fine"),
    "DATA before the head": (data(1, b"x"), f"reset 1 {PROTOCOL}"),
    "an interim one that ends": (headers(1, [(b":status", b"103")]), f"reset 1 {PROTOCOL}"),
    "DATA after an interim one": (headers(1, [(b":status", b"100")], OPEN) + data(1, b"x"), f"reset 1 {PROTOCOL}"),
    "101": (headers(1, [(b":status", b"101")], OPEN), f"reset 1 {PROTOCOL}"),
    "no status": (headers(1, [(b"a", b"b")]), f"reset 1 {PROTOCOL}"),
    "two statuses": (headers(1, [*OK, *OK]), f"reset 1 {PROTOCOL}"),
    "a status that is none": (headers(1, [(b":status", b"2x0")]), f"reset 1 {PROTOCOL}"),
    "a status above all": (headers(1, [(b":status", b"600")]), f"reset 1 {PROTOCOL}"),
    "a pseudo-field of requests": (headers(1, [*OK, (b":path", b"/")]), f"reset 1 {PROTOCOL}"),
    "connection": (headers(1, [*OK, (b"connection", b"close")]), f"reset 1 {PROTOCOL}"),
    "less than its length": (headers(1, [*OK, (b"content-length", b"2")], OPEN) + data(1, b"x"), f"reset 1 {PROTOCOL}"),
    "a length and nothing": (headers(1, [*OK, (b"content-length", b"2")]), f"reset 1 {PROTOCOL}"),
    "204 with a body": (headers(1, [(b":status", b"204")], OPEN) + data(1, b"x"), f"reset 1 {PROTOCOL}"),
    "304 with a length": (headers(1, [(b":status", b"304"), (b"content-length", b"5")]), "fine"),
    "an answer to nothing": (headers(3, OK), dead(PROTOCOL)),
    "a stream of the server's": (headers(2, OK), dead(PROTOCOL)),
    "a push": (frame(PUSH_PROMISE, 4, 1, LONG + block(GET)), dead(PROTOCOL)),
    "ENABLE_PUSH of a server": (settings(_2=1), dead(PROTOCOL)),
    "behind the end": (headers(1, OK) + data(1, b"x"), dead(CLOSED)),
    "too large fields": (headers(1, [*OK, *[(b"a%d" % n, b"") for n in range(100)]]), f"reset 1 {PROTOCOL}"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_right_or_ends_its_stream(name: str) -> None:
    link, _ = client()
    incoming, expected = ANSWERS[name]
    events, written = run(link, incoming)
    found = [
        f"goaway {one.number}" if one.kind == GOAWAY else f"reset {one.stream} {one.number}"
        for one in written
        if one.kind in (GOAWAY, RST_STREAM)
    ]
    assert found == ([] if expected == "fine" else [expected])
    if expected.startswith("reset"):
        assert [event for event in events if isinstance(event, Reset)] == [Reset(1, PROTOCOL, ours=True)]


def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    for body, expected in ((b"", []), (b"x", [RST_STREAM])):
        link = Link(True, LIMITS)
        link.begin()
        link.feed(settings(), 0.0)
        link.open([(b":method", b"HEAD"), *GET[1:]], True)
        link.take()
        _, written = run(link, headers(1, [*OK, (b"content-length", b"5")], OPEN) + data(1, body))
        assert [one.kind for one in written] == expected


def test_the_windows_bound_what_is_sent_and_settings_move_them() -> None:
    """RFC 9113, 6.9.2: windows of open streams move with the setting, below zero as well."""
    link = server()
    run(link, PREFACE + settings(_4=10) + headers(1))
    link.head(1, OK, False)
    assert link.room(1) == 10
    link.data(1, bytes(10), False)
    with pytest.raises(ValueError, match="window"):
        link.data(1, b"x", False)
    run(link, settings(_4=4))
    assert link.room(1) == 0
    run(link, update(1, 5))
    assert link.room(1) == 0
    run(link, update(1, 2))
    assert link.room(1) == 1
    run(link, settings(_4=1 << 20))
    assert link.room(1) == 65_535 - 10  # the connection's is left
    link.data(1, b"", True)


def test_data_is_cut_into_frames_that_the_peer_takes() -> None:
    link = server()
    run(link, OPENING + headers(1))
    link.head(1, OK, False)
    link.data(1, bytes(40_000), True)
    sizes = [(len(one.payload), one.flags) for one in frames(link.take()) if one.kind == DATA]
    assert sizes == [(16384, 0), (16384, 0), (40_000 - 32768, END_STREAM)]


def test_a_long_head_is_cut_into_frames_that_the_peer_takes() -> None:
    link = server()
    run(link, OPENING + headers(1))
    link.head(1, [*OK, *[(b"a%d" % n, b"v" * 1000) for n in range(40)]], False)
    written = list(frames(link.take()))
    assert [(one.kind, one.flags) for one in written] == [(HEADERS, 0), (CONTINUATION, 0), (CONTINUATION, END_HEADERS)]
    assert max(len(one.payload) for one in written) == 16384


def test_trailers_end_the_stream_with_their_fields() -> None:
    events, _ = run(server(), OPENING + headers(1, POST, OPEN) + headers(1, [(b"sum", b"1")]))
    assert events[-1] == Trailers(1, [(b"sum", b"1")])
