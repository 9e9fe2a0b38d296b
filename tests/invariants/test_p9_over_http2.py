"""P9 when the caller speaks HTTP/2 and the target HTTP/1.1: nothing of one message becomes another on the way (smuggling)."""

import pytest

from support.gate import Gate, until
from support.h2frames import CONTINUATION, END_HEADERS, END_STREAM, HEADERS, Fields, block, data, frame, headers
from support.h2raw import H2Caller
from support.target import Target

ORDER = b'{"amount":5}'
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
IN_A_LINE = b"x\r\n\r\n" + SMUGGLED


def head(token: str, *more: tuple[bytes, bytes], **pseudo: bytes) -> Fields:
    whole = {"method": b"POST", "scheme": b"http", "path": b"/shop/orders", "authority": b"gate"} | pseudo
    fields = [(b":" + name.encode(), value) for name, value in whole.items()]
    return [*fields, (b"authorization", b"Bearer " + token.encode()), *more]


PSEUDO: dict[str, dict[str, bytes]] = {
    "a request in the path": {"path": b"/shop/items/7 HTTP/1.1\r\n" + SMUGGLED, "method": b"GET"},
    "a line in the path": {"path": b"/shop/items/7\r\nX-Injected: 1", "method": b"GET"},
    "a newline in the path": {"path": b"/shop/items/7\nX-Injected: 1", "method": b"GET"},
    "a version in the path": {"path": b"/shop/items/7 HTTP/1.1", "method": b"GET"},
    "a tab in the path": {"path": b"/shop/items/7\tHTTP/1.1", "method": b"GET"},
    "a NUL in the path": {"path": b"/shop/items/7\0", "method": b"GET"},
    "beyond ASCII": {"path": b"/shop/items/\xc4\x8d\xc4\x8a", "method": b"GET"},
    "dots": {"path": b"/shop/items/../smuggled", "method": b"GET"},
    "encoded dots": {"path": b"/shop/items/%2e%2e%2fsmuggled", "method": b"GET"},
    "two slashes": {"path": b"//shop/items/7", "method": b"GET"},
    "a fragment": {"path": b"/shop/items/7#x", "method": b"GET"},
    "an absolute path": {"path": b"http://gate/shop/items/7", "method": b"GET"},
    "no slash": {"path": b"shop/items/7", "method": b"GET"},
    "a star": {"path": b"*", "method": b"OPTIONS"},
    "a request in the method": {"method": b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\nPOST"},
    "a path in the method": {"method": b"GET /smuggled"},
    "a method in lower case": {"method": b"post"},
    "a method in disguise": {"method": b"POST\t"},
    "a request in the scheme": {"scheme": b"http\r\n\r\n" + SMUGGLED},
    "a path in the scheme": {"scheme": b"http://x/?"},
    "a request in the authority": {"authority": b"gate\r\n\r\n" + SMUGGLED},
    "a path in the authority": {"authority": b"gate/smuggled?"},
    "two authorities": {"authority": b"gate, other"},
    "a user in the authority": {"authority": b"gate@other"},
    "a port that is none": {"authority": b"gate:port"},
}


@pytest.mark.parametrize("name", PSEUDO)
def test_what_is_no_request_line_becomes_none(gate: Gate, target: Target, token: str, name: str) -> None:
    with H2Caller(gate.calls) as caller:
        caller.ask(1, head(token, (b"content-type", b"application/json"), **PSEUDO[name]), ORDER)
        assert caller.answer(1)[0] in (400, 403)
        marked(gate, caller, target, token, 0)


FIELDS: dict[str, tuple[bytes, bytes]] = {
    "a line in a value": (b"x-a", b"b\r\nX-Injected: 1"),
    "a newline in a value": (b"x-a", b"b\nX-Injected: 1"),
    "a bare CR in a value": (b"x-a", b"b\rX-Injected: 1"),
    "a request in a value": (b"x-a", IN_A_LINE),
    "a NUL in a value": (b"x-a", b"b\0c"),
    "a field in a name": (b"x-a: b\r\nx-injected", b"1"),
    "a colon in a name": (b"x-a:", b"1"),
    "a space in a name": (b"content-length ", b"0"),
    "upper case": (b"Content-Length", b"0"),
    "a chunked coding": (b"transfer-encoding", b"chunked"),
    "a coding with a space": (b"transfer-encoding", b" chunked"),
    "another length": (b"content-length", b"0"),
    "a larger length": (b"content-length", b"400"),
    "a length with a sign": (b"content-length", b"+12"),
    "a length in hexadecimal": (b"content-length", b"0xc"),
    "two lengths in one": (b"content-length", b"12, 12"),
    "connection": (b"connection", b"close, content-type"),
    "proxy-connection": (b"proxy-connection", b"keep-alive"),
    "upgrade": (b"upgrade", b"h2c"),
    "te": (b"te", b"trailers, chunked"),
    "another host": (b"host", b"other"),
    "a length for CGI": (b"content_length", b"0"),
    "a coding for CGI": (b"transfer_encoding", b"chunked"),
    "a pseudo-field too late": (b":path", b"/shop/read"),
    "a target for the framework": (b"x_original_url", b"/smuggled"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_no_field_becomes_none(gate: Gate, target: Target, token: str, name: str) -> None:
    with H2Caller(gate.calls) as caller:
        caller.ask(1, head(token, (b"content-type", b"application/json"), FIELDS[name]), ORDER)
        until(lambda: any(one.stream == 1 for one in caller.seen) or not caller.read())
        assert [int(fields[0][1]) for fields in caller.heads.get(1, [])] in ([], [400])  # or RST_STREAM alone
        marked(gate, caller, target, token, 0)


BODIES: dict[str, list[bytes]] = {
    "the end of chunks": [b'{"amount":5}', b"\r\n0\r\n\r\n" + SMUGGLED],
    "a request": [SMUGGLED],
    "chunks": [b"c\r\n" + ORDER + b"\r\n0\r\n\r\n"],
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_a_body(gate: Gate, target: Target, token: str, name: str) -> None:
    """None of these is JSON: refused as arguments. As a body without a schema they would be as long as they are."""
    with H2Caller(gate.calls) as caller:
        caller.send(headers(1, head(token, (b"content-type", b"application/json")), END_HEADERS))
        for at, piece in enumerate(BODIES[name], 1):
            caller.send(data(1, piece, end=at == len(BODIES[name])))
        assert caller.answer(1)[0] == 400
        marked(gate, caller, target, token, 0)


CUTS = [1, 2, 7, 40]


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("length", [b"", b"%d" % len(ORDER)], ids=["no length", "a length"])
def test_a_request_in_pieces_is_one_request(gate: Gate, target: Target, token: str, size: int, length: bytes) -> None:
    """Padding, frames without content, CONTINUATION and trailers leave no trace."""
    more = [(b"content-length", length)] if length else []
    whole = block(head(token, (b"content-type", b"application/json"), (b"x-own", b"1"), *more))
    with H2Caller(gate.calls) as caller:
        third = len(whole) // 3
        caller.send(frame(HEADERS, 0, 1, whole[:third]) + frame(CONTINUATION, 0, 1, whole[third : 2 * third]))
        caller.send(frame(CONTINUATION, END_HEADERS, 1, whole[2 * third :]))
        for at in range(0, len(ORDER), size):
            caller.send(frame(0, 8, 1, bytes([3]) + ORDER[at : at + size] + bytes(3)) + data(1, end=False))
        trailers = [(b"x-own", b"2"), (b"content-type", b"text/plain"), (b"funcgate-token", b"x")]
        caller.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(trailers)))
        assert caller.answer(1)[0] == 200
        marked(gate, caller, target, token, 1)
    (received,) = target.seen("/orders")
    assert received.body == ORDER
    assert [value for name, value in received.headers if name.lower() == "x-own"] == ["1"]
    assert received.header("content-length") == str(len(ORDER))
    assert received.header("transfer-encoding") is None


def marked(gate: Gate, caller: H2Caller, target: Target, token: str, calls: int) -> None:
    """After one more call over the same connection, and so over a connection to the target that may be the same: the target
    has seen that one and `calls` others, each of which the journal allowed."""
    caller.ask(99, head(token, path=b"/shop/items/marker", method=b"GET"))
    assert caller.answer(99)[0] == 200
    assert len(target.ledger) == calls + 1
    assert target.ledger[-1].path == "/items/marker"
    for received in target.ledger:
        assert received.header("x-injected") is None
        call_id = received.header("funcgate-call-id")
        assert call_id is not None
        assert "allowed" in [entry["kind"] for entry in until(lambda: gate.call_entries(call_id))]  # noqa: B023
