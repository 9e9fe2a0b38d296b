"""OAUTHBEARER beside the password: with libpq 18, which is PostgreSQL's own client, and with bytes of our own."""

import socket
import struct
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from support import libpq
from support.authority import ISSUER, Authority
from support.certificates import self_signed
from support.postgres import Database, SqlGate

WELL_KNOWN = f"{ISSUER.rstrip('/')}/.well-known/openid-configuration"
OAUTH: dict[str, Any] = {"user": "oauth", "password": None, "oauth_issuer": ISSUER, "oauth_client_id": "psql"}


@pytest.fixture(scope="module")
def gate(authority: Authority, database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlGate]:
    folder = tmp_path_factory.mktemp("gate")
    made = self_signed(folder)
    gate = SqlGate(
        folder, authority, database, target={"oauth": {"scope": "openid shop"}},
        listen={"tls": {"cert": str(made.cert), "key": str(made.key)}},
    )  # fmt: skip
    gate.start()
    yield gate
    assert gate.stop() == 0


def login(gate: SqlGate, **changes: Any) -> psycopg.Connection[Any]:
    return gate.connect(**(OAUTH | {"sslmode": "require"} | changes))


def test_libpq_18_logs_in(gate: SqlGate, authority: Authority) -> None:
    """It asks first where tokens are, and comes again with one."""
    assert libpq.version() >= 180000
    with libpq.token(authority.token()) as asked, login(gate, require_auth="oauth") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.info.parameter_status("server_version")
    assert asked[-1] == (WELL_KNOWN, "openid shop")
    (entries,) = [call for call in gate.calls_of("shop:connect") if call[0].get("args") is not None][-1:]
    assert entries[0]["principal"]["subject"] == "agent-1"


def test_who_has_the_address_already_asks_once(gate: SqlGate, authority: Authority) -> None:
    with (
        libpq.token(authority.token()) as asked,
        login(gate, oauth_issuer=WELL_KNOWN, oauth_scope="openid") as connection,
    ):
        assert connection.execute("SELECT 2").fetchone() == (2,)
    assert asked == [(WELL_KNOWN, "openid")]


def test_other_users_have_their_password(gate: SqlGate) -> None:
    with gate.connect(user="me", sslmode="require") as connection:
        assert connection.execute("SELECT 3").fetchone() == (3,)
    with pytest.raises(psycopg.OperationalError, match=r"oauth|OAuth|requires"):
        gate.connect(user="oauth", sslmode="require")  # with a password, which is not asked for


@pytest.mark.parametrize("claims", [{"exp": 1}, {"aud": "another"}], ids=["expired", "audience"])
def test_a_token_that_is_not_accepted(gate: SqlGate, authority: Authority, claims: dict[str, Any]) -> None:
    with libpq.token(authority.token(**claims)), pytest.raises(psycopg.OperationalError, match=r"token"):
        login(gate, oauth_issuer=WELL_KNOWN)


def test_a_client_that_was_sent_to_another_issuer_does_not_go(gate: SqlGate, authority: Authority) -> None:
    with libpq.token(authority.token()) as asked, pytest.raises(psycopg.OperationalError, match="issuer"):
        login(gate, oauth_issuer="https://evil.example")
    assert asked == []


# With bytes of our own, on a loopback address.


def begin(gate: SqlGate, user: str = "oauth") -> tuple[socket.socket, bytes]:
    raw = socket.create_connection(("127.0.0.1", gate.port), timeout=20)
    body = struct.pack("!I", 196608) + f"user\0{user}\0database\0shop\0\0".encode()
    raw.sendall(struct.pack("!I", len(body) + 4) + body)
    return raw, frame(raw)


def frame(raw: socket.socket) -> bytes:
    """The next message; b"" at the end."""
    head = exactly(raw, 5)
    return head[:1] + exactly(raw, int.from_bytes(head[1:], "big") - 4) if head else b""


def exactly(raw: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = raw.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data


def answer(raw: socket.socket, data: bytes, mechanism: str = "OAUTHBEARER") -> None:
    body = mechanism.encode() + b"\0" + struct.pack("!I", len(data)) + data
    raw.sendall(b"p" + struct.pack("!I", len(body) + 4) + body)


def test_what_is_offered(gate: SqlGate) -> None:
    raw, offered = begin(gate)
    raw.close()
    assert offered == b"R" + struct.pack("!I", 10) + b"OAUTHBEARER\0\0"
    raw, offered = begin(gate, "me")
    raw.close()
    assert offered == b"R" + struct.pack("!I", 3)


def test_the_token_is_taken_once(gate: SqlGate, authority: Authority) -> None:
    raw, _ = begin(gate)
    with raw:
        answer(raw, b"n,,\x01auth=bearer " + authority.token().encode() + b"\x01\x01")
        assert frame(raw) == b"R" + struct.pack("!I", 0)


def test_who_has_no_token_is_told_where_to_get_one(gate: SqlGate) -> None:
    raw, _ = begin(gate)
    with raw:
        answer(raw, b"n,,\x01auth=\x01\x01")
        told = frame(raw)
        assert told[:5] == b"R" + struct.pack("!I", 11)
        assert WELL_KNOWN.encode() in told
        assert b'"status":"invalid_token"' in told
        raw.sendall(b"p" + struct.pack("!I", 5) + b"\x01")
        refused = frame(raw)
        assert refused[:1] == b"E"
        assert b"C28000\0" in refused
        assert frame(raw) == b""


GOOD = b"n,,\x01auth=Bearer {}\x01\x01"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"n,,", b"n,,\x01\x01", b"n,,\x01auth=Bearer {}\x01", b"n,a=ada,\x01auth=Bearer {}\x01\x01",
        b"p=tls-unique,,\x01auth=Bearer {}\x01\x01", b"n,,\x01auth=Basic {}\x01\x01", b"n,,\x01auth=Bearer {} {}\x01\x01",
        b"n,,\x01auth=Bearer {}\x01auth=Bearer x\x01\x01", b"n,,\x01auth=Bearer {}\x01\x01\x01", b"n,,auth=Bearer {}\x01\x01",
        b"n,,\x01auth=Bearer {}\0\x01\x01", b"n,,\x01host=x\x01\x01", b"n,,\x01a b=x\x01auth=Bearer {}\x01\x01",
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_message_of_it(gate: SqlGate, authority: Authority, data: bytes) -> None:
    """Attack: a good token in a message that two readers take differently, or for somebody else."""
    raw, _ = begin(gate)
    with raw:
        answer(raw, data.replace(b"{}", authority.token().encode()))
        refused = frame(raw)
        assert refused[:1] == b"E"
        assert b"C08P01\0" in refused
        assert frame(raw) == b""


def test_another_mechanism_or_a_length_that_lies(gate: SqlGate, authority: Authority) -> None:
    good = GOOD.replace(b"{}", authority.token().encode())
    raw, _ = begin(gate)
    with raw:
        answer(raw, good, "SCRAM-SHA-256")
        assert frame(raw)[:1] == b"E"
    for length in (len(good) + 1, len(good) - 1, 0xFFFFFFFF):
        raw, _ = begin(gate)
        with raw:
            body = b"OAUTHBEARER\0" + struct.pack("!I", length) + good
            raw.sendall(b"p" + struct.pack("!I", len(body) + 4) + body)
            assert frame(raw)[:1] == b"E"
