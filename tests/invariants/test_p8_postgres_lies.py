"""P8, P10: a database whose bytes are changed on their way is believed nothing that cannot be read; the gateway stays up."""

import contextlib
import random
import socket
import threading
from collections.abc import Callable

import psycopg
import pytest

from support.gate import until
from support.postgres import Database, SqlGate


class Liar:
    """Stands between the gateway and the database, and changes some of what the database says."""

    def __init__(self, database: Database, seed: int) -> None:
        self._to = ("127.0.0.1", database.port)
        self._noise = random.Random(seed)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.lying = False
        self.lies = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._to)
                threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket, may_lie: bool) -> None:
        with contextlib.suppress(OSError):
            while data := bytearray(source.recv(65536)):
                if may_lie and self.lying and self._noise.random() < 0.4:
                    self.lies += 1
                    for _ in range(self._noise.choice([1, 1, 3])):
                        lie = self._noise.choice([0, 1, 0x5A, 0xFF, self._noise.randrange(256)])
                        data[self._noise.randrange(len(data))] = lie
                to.sendall(data)
        for each in (source, to):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.close()


def serves(gate: SqlGate) -> bool:
    with contextlib.suppress(psycopg.OperationalError), gate.connect() as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)
    return False


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 9))])
def test_a_database_that_lies(make_sql_gate: Callable[..., SqlGate], database: Database, seed: int) -> None:
    liar = Liar(database, seed)
    limits = {"timeout": "400ms", "first_byte_timeout": "200ms", "idle_timeout": "200ms", "connect_timeout": "1s"}
    changes = {"url": f"postgres://127.0.0.1:{liar.port}/shop", "limits": limits}
    gate = make_sql_gate(target=changes, masking=[{"functions": ["shop.*"], "detect": "all"}]).start()
    try:
        for at in range(16):
            liar.lying = at % 4 == 0  # lies from the login on, or only later
            with contextlib.suppress(psycopg.Error, ValueError), gate.connect(connect_timeout=5) as connection:
                liar.lying = True
                connection.execute(
                    "SELECT g, 'text', now(), array[1, 2] FROM generate_series(1, 30) g WHERE g > %s", (3,)
                )
                connection.cursor(binary=True).execute("SELECT g::numeric, 'text' FROM generate_series(1, 30) g")
                connection.execute("SELECT 1; SELECT 2")
                with connection.cursor().copy("COPY (SELECT 1) TO STDOUT") as copy:
                    list(copy)
        assert liar.lies > 5
        liar.lying = False
        until(lambda: serves(gate))  # a busy machine may take longer than these limits now and then
        assert gate.stop() == 0
        assert "Traceback" not in gate.log.read_text()
        assert {entry.get("code") for entry in gate.entries()}.isdisjoint({"gateway.error"})
    finally:
        liar.close()
