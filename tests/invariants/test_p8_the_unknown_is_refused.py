"""P8: a message that a codec does not know is refused, never dropped or passed on unseen. On HTTP, both ways."""

import pytest

from support.gate import Gate
from support.raw import exchange, statuses
from support.target import Target, answer

HOST = b"Host: gate\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"GET /shop/read HTTP/2.0\r\n" + HOST + b"\r\n",
        b"GET /shop/read HTTP/3.0\r\n" + HOST + b"\r\n",
        b"GET /shop/read\r\n",
        b"BREW /shop/read HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT gate:443 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /shop/read HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"GET /shop/read HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: br\r\n\r\n",
        b"GET /shop/read HTTP/1.1\r\n" + HOST + b"Expect: 200-maybe\r\n\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    ],
)
def test_what_is_no_known_request_is_refused(gate: Gate, target: Target, data: bytes) -> None:
    received = exchange(gate.calls, data)
    (status,) = statuses(received)
    assert 400 <= status <= 505
    assert target.ledger == []


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: br\r\n\r\nabc",
        answer(b"abc", extra=b"Content-Encoding: zstd\r\n"),
        answer(b"\x81\xa1a\x01", media="application/msgpack"),
        answer(b"\x00\x00\x00\x00\x02\x08\x01", media="application/grpc"),
        answer(b"--a\r\n\r\nb\r\n--a--", media="multipart/mixed; boundary=a"),
    ],
)
def test_what_is_no_known_answer_is_refused(gate: Gate, target: Target, token: str, reply: bytes) -> None:
    target.answers["/read"] = reply
    request = f"GET /shop/read HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    received = exchange(gate.calls, request)
    assert statuses(received) == [502]
    assert b'"code":"masking.refused"' in received


@pytest.mark.parametrize(
    "scheme", ["Basic YTpi", "Negotiate abc", "Bearer", "Bearer ", "bearer  ", "Digest username=a"]
)
def test_what_is_no_known_credential_is_refused(gate: Gate, target: Target, scheme: str) -> None:
    received = exchange(gate.calls, f"GET /shop/read HTTP/1.1\r\nHost: g\r\nAuthorization: {scheme}\r\n\r\n".encode())
    assert statuses(received) == [401]
    assert target.ledger == []
