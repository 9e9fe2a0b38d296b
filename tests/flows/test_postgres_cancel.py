"""Cancel requests that take their time on the way to the database: who sent one is told when it has got there."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from support.gate import until
from support.pgwire import Raw, errors
from support.postgres import Database, SqlGate

CANCEL = struct.pack("!II", 16, 1234 << 16 | 5678)


class Relay:
    """In front of the database. A cancel request waits in it until `go` is set; `held` tells that one does."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self.held, self.go = threading.Event(), threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._door.accept()[0],), daemon=True).start()

    def _serve(self, here: socket.socket) -> None:
        first = here.recv(1 << 16)
        if first.startswith(CANCEL):
            self.held.set()
            assert self.go.wait(30)
        there = socket.create_connection(("127.0.0.1", self._to))
        there.sendall(first)
        back = threading.Thread(target=self._carry, args=(there, here), daemon=True)
        back.start()
        self._carry(here, there)
        back.join()
        here.close()
        there.close()

    def _carry(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(1 << 16):
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.go.set()
        self._door.close()


@pytest.fixture
def relay(database: Database) -> Iterator[Relay]:
    made = Relay(database.port)
    yield made
    made.close()


@pytest.fixture
def slow(make_sql_gate: Callable[..., SqlGate], relay: Relay) -> SqlGate:
    return make_sql_gate(target={"url": f"postgres://127.0.0.1:{relay.port}/shop"}).start()


def begun(database: Database, sql: str) -> None:
    running = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = %s"
    with database.connect() as direct:
        until(lambda: direct.execute(running, (sql,)).fetchone())


def sent(gate: SqlGate, key: bytes) -> socket.socket:
    asking = socket.create_connection(("127.0.0.1", gate.port), timeout=30)
    asking.sendall(CANCEL + key)
    return asking


@pytest.fixture
def busy(slow: SqlGate, database: Database) -> Iterator[tuple[Raw, bytes]]:
    """A session with a statement that runs for long, and its key."""
    with Raw(slow.port) as raw:
        heard = raw.log_in(slow.authority.token())
        raw.socket.settimeout(60)
        raw.send(b"Q", b"SELECT pg_sleep(47)\0")
        begun(database, "SELECT pg_sleep(47)")
        yield raw, next(message.payload for message in heard if message.kind == b"K")


def test_the_connection_of_a_cancel_request_ends_once_the_database_was_asked(
    slow: SqlGate, busy: tuple[Raw, bytes], relay: Relay
) -> None:
    """Else libpq takes it for done, sends its next statement, and that one is cancelled."""
    raw, key = busy
    with sent(slow, key) as asking:
        assert relay.held.wait(30)
        asking.setblocking(False)
        with pytest.raises(BlockingIOError):
            asking.recv(1)
        relay.go.set()
        asking.settimeout(30)
        assert asking.recv(1) == b""
    assert [fields["C"] for fields in errors(raw.until(b"Z"))] == ["57014"]
    raw.send(b"Q", b"SELECT 1\0")
    assert errors(raw.until(b"Z")) == []


def test_a_cancel_request_of_one_who_does_not_wait_gets_there_too(
    slow: SqlGate, busy: tuple[Raw, bytes], relay: Relay
) -> None:
    raw, key = busy
    sent(slow, key).close()
    assert relay.held.wait(30)
    relay.go.set()
    assert [fields["C"] for fields in errors(raw.until(b"Z"))] == ["57014"]
