"""P8, P9, P10: whatever bytes a caller sends, nothing is sent to the database that was not judged, and the gateway stays up.

The policy lets callers read one table and nothing else; the database is compared before and after.
"""

import contextlib
import random
import socket
from collections.abc import Callable

import pytest

from funcgate.wire.postgres import frames
from support.pgwire import Raw
from support.postgres import Database, SqlGate

READERS = [{"name": "readers", "effect": "allow", "functions": ["shop.select"], "principals": ["group:agents"]}]
SNAPSHOT = "SELECT string_agg(id || name, ',' ORDER BY id) FROM kept"


def transcripts() -> list[list[tuple[bytes, bytes]]]:
    """Sound conversations, some of which are refused; to be mutated."""
    bind = b"\0\0" + b"\0" * 6
    run = [(b"B", bind), (b"D", b"P\0"), (b"E", b"\0\0\0\0\0"), (b"S", b"")]
    texts = [
        b"SELECT * FROM kept",
        b"DELETE FROM kept",
        b"INSERT INTO kept VALUES (9, 'x')",
        b"SELECT 1; DROP TABLE kept",
    ]
    found = [[(b"P", b"\0" + text + b"\0\0\0"), *run] for text in texts]
    found += [
        [(b"Q", text + b"\0")] for text in [*texts, b"COPY kept FROM STDIN", b"BEGIN; SELECT 1", b"COPY kept TO STDOUT"]
    ]
    found += [
        [
            (b"P", b"s\0DELETE FROM kept\0\0\0"),
            (b"H", b""),
            (b"P", b"s\0SELECT 1\0\0\0"),
            (b"B", b"\0s\0" + b"\0" * 6),
            *run[2:],
        ]
    ]
    found += [
        [(b"F", b"\0\0\0\1" + b"\0" * 6)],
        [(b"d", b"9\tx\n"), (b"c", b""), (b"S", b"")],
        [(b"C", b"Ss\0"), (b"S", b"")],
    ]
    return found


def mutated(noise: random.Random, messages: list[tuple[bytes, bytes]]) -> bytes:
    """Messages swapped, dropped, doubled, their bytes changed, their lengths made to lie."""
    chosen = list(messages)
    for _ in range(noise.randrange(3)):
        at = noise.randrange(len(chosen))
        chosen[at : at + 1] = noise.choice([[], [chosen[at]] * 2, [noise.choice(noise.choice(transcripts()))]]) or [
            chosen[at]
        ]
    data = bytearray(b"".join(frames.frame(kind, payload) for kind, payload in chosen))
    for _ in range(noise.choice([0, 1, 1, 2, 5])):
        data[noise.randrange(len(data))] = noise.choice([0, 1, 0x7F, 0xFF, noise.randrange(256)])
    return bytes(data)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_noise_changes_nothing(make_sql_gate: Callable[..., SqlGate], database: Database, seed: int) -> None:
    database.fill(
        "DROP TABLE IF EXISTS kept; CREATE TABLE kept (id int, name text); INSERT INTO kept VALUES (1, 'a'), (2, 'b')"
    )
    with database.connect() as direct:
        before = direct.execute(SNAPSHOT).fetchone()
        gate = make_sql_gate(policies=READERS).start()
        noise, token = random.Random(seed), gate.authority.token()
        for _ in range(150):
            with Raw(gate.port) as raw, contextlib.suppress(OSError):
                assert raw.log_in(token)[-1].kind == b"Z"
                for _ in range(4):
                    raw.socket.sendall(mutated(noise, noise.choice(transcripts())))
                raw.send(b"S")
                raw.socket.settimeout(0.05)
                while raw.socket.recv(65536):
                    pass
        with gate.connect() as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (2,)
        assert direct.execute(SNAPSHOT).fetchone() == before
        open_still = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'funcgate%' AND state <> 'idle'"
        assert direct.execute(open_still).fetchone() == (0,)
    assert gate.stop() == 0
    assert "Traceback" not in gate.log.read_text()
    assert {entry.get("code") for entry in gate.entries()}.isdisjoint({"gateway.error"})


def test_noise_before_the_login_reaches_nothing(make_sql_gate: Callable[..., SqlGate], database: Database) -> None:
    gate, noise = make_sql_gate(policies=READERS).start(), random.Random(7)
    packet = frames.startup({"user": "a", "database": "shop"})
    for _ in range(300):
        data = bytearray(
            noise.choice([packet, frames.SSL_PACKET + packet, frames.cancel(1, b"abcd"), packet + b"p\0\0\0\5\0"])
        )
        for _ in range(noise.randrange(4)):
            data[noise.randrange(len(data))] = noise.randrange(256)
        with socket.create_connection(("127.0.0.1", gate.port), timeout=2) as raw, contextlib.suppress(OSError):
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(4096):
                pass
    with gate.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert gate.stop() == 0
    assert {entry.get("code") for entry in gate.entries()}.isdisjoint({"gateway.error"})
