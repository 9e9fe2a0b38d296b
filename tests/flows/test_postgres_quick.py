"""Plain statements beside the session's task, from the third of a kind on: cancelled, cut off, refused, held, pipelined."""

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from funcgate.wire.postgres.frames import frame
from support.gate import until
from support.pgwire import Raw, errors, kinds
from support.postgres import Database, SqlGate

SECRET = 5_551_234
ALLOW = {"name": "agents", "effect": "allow", "functions": ["shop.*"], "principals": ["group:agents"]}
DENY = {
    "name": "not that", "effect": "deny", "functions": ["shop.select"], "principals": ["group:agents"],
    "when": f'args.sql.contains("{SECRET}") || args.parameters.exists(p, p == "{SECRET}")',
}  # fmt: skip


@pytest.fixture
def slow(database: Database) -> Iterator[Database]:
    """With a table that can be kept locked."""
    database.fill("CREATE TABLE slow (id int); INSERT INTO slow VALUES (1)")
    yield database
    database.fill("DROP TABLE slow")


@contextlib.contextmanager
def locked(database: Database) -> Iterator[None]:
    with database.connect() as direct, direct.transaction():
        direct.execute("LOCK TABLE slow IN ACCESS EXCLUSIVE MODE")
        yield


def warmed(connection: psycopg.Connection[Any], *, prepare: bool) -> None:
    """From here on `read` is plain."""
    for number in range(4):
        read(connection, number, prepare=prepare)


def read(connection: psycopg.Connection[Any], number: int, *, prepare: bool) -> int:
    """It waits while the table is locked."""
    if prepare:
        found = connection.execute("SELECT id FROM slow WHERE id < %s", (number,), prepare=True)
    else:
        found = connection.execute(f"SELECT id FROM slow WHERE id < {number}")  # type: ignore[call-overload]
    return len(found.fetchall())


def waiting(database: Database) -> bool:
    with database.connect() as direct:
        sql = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Lock'"
        return direct.execute(sql).fetchone() is not None


def last_of(gate: SqlGate) -> dict[str, Any]:
    """The last entry of the last statement, once it is its end."""

    def ended() -> dict[str, Any] | None:
        last = gate.calls_of("shop.select")[-1][-1]
        return last if last["kind"] == "ended" else None

    return until(ended) or {}


@pytest.mark.parametrize("prepare", [False, True])
def test_the_caller_cancels_it(sql_gate: SqlGate, slow: Database, prepare: bool) -> None:
    with sql_gate.connect() as connection:
        warmed(connection, prepare=prepare)
        for _ in range(2):
            with locked(slow):
                threading.Thread(target=lambda: until(lambda: waiting(slow)) and connection.cancel()).start()
                with pytest.raises(psycopg.errors.QueryCanceled):
                    read(connection, 30, prepare=prepare)
            assert read(connection, 3, prepare=prepare) == 1


@pytest.mark.parametrize("prepare", [False, True])
def test_a_caller_that_goes_away_ends_it(sql_gate: SqlGate, slow: Database, prepare: bool) -> None:
    connection = sql_gate.connect()
    warmed(connection, prepare=prepare)
    with locked(slow), ThreadPoolExecutor(1) as callers:
        running = callers.submit(read, connection, 30, prepare=prepare)
        until(lambda: waiting(slow))
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)
        with pytest.raises(psycopg.OperationalError):
            running.result(60)
        until(lambda: not waiting(slow))
        assert last_of(sql_gate)["outcome"] == "cancelled"


@pytest.mark.parametrize("prepare", [False, True])
def test_a_database_that_goes_away_is_told(sql_gate: SqlGate, slow: Database, prepare: bool) -> None:
    with locked(slow), sql_gate.connect() as connection, ThreadPoolExecutor(1) as callers:
        running = callers.submit(lambda: [read(connection, 30, prepare=prepare) for _ in range(1)])
        until(lambda: waiting(slow))
        with slow.connect(user="root", dbname="postgres") as direct:
            direct.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            running.result(60)
    with sql_gate.connect() as connection, ThreadPoolExecutor(1) as callers:
        warmed(connection, prepare=prepare)
        with locked(slow):
            running = callers.submit(lambda: [read(connection, 30, prepare=prepare)])
            until(lambda: waiting(slow))
            with slow.connect(user="root", dbname="postgres") as direct:
                direct.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            with pytest.raises(psycopg.Error):
                running.result(60)
    assert last_of(sql_gate)


@pytest.mark.parametrize("prepare", [False, True])
def test_a_database_that_is_silent_for_too_long_is_cancelled(
    make_sql_gate: Callable[..., SqlGate], slow: Database, prepare: bool
) -> None:
    gate = make_sql_gate(target={"limits": {"first_byte_timeout": "2s"}}).start()
    with gate.connect() as connection:
        warmed(connection, prepare=prepare)
        with locked(slow):
            with pytest.raises(psycopg.errors.ConnectionFailure) as refused:
                read(connection, 30, prepare=prepare)
            assert "target.timeout" in str(refused.value.diag.message_detail)
            until(lambda: not waiting(slow))
        assert read(connection, 3, prepare=prepare) == 1


@pytest.mark.parametrize("prepare", [False, True])
def test_one_that_is_refused_fails_its_transaction(
    make_sql_gate: Callable[..., SqlGate], database: Database, prepare: bool
) -> None:
    """Attack: values that no policy would allow, in a statement that is known by now."""
    gate = make_sql_gate(policies=[ALLOW, DENY]).start()

    def ask(connection: psycopg.Connection[Any], number: int) -> Any:
        if prepare:
            return connection.execute("SELECT %s::text", (str(number),), prepare=True).fetchone()
        return connection.execute(f"SELECT {number} + 0").fetchone()  # type: ignore[call-overload]

    with gate.connect() as connection:
        for round_ in range(3):
            for number in range(4):
                assert ask(connection, number) is not None
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ask(connection, SECRET)
            assert ask(connection, round_) is not None
            connection.execute("BEGIN")
            assert ask(connection, 1) is not None
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ask(connection, SECRET)
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                ask(connection, 1)
            connection.execute("ROLLBACK")
    assert sum(entry["kind"] == "denied" for entry in gate.entries()) == 6
    with database.connect() as direct:
        seen = direct.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s", (f"SELECT {SECRET}%",)
        ).fetchone()
    assert seen == (0,)


def test_one_that_waits_for_a_person_may_be_cancelled(make_sql_gate: Callable[..., SqlGate]) -> None:
    held = {**DENY, "effect": "require_approval", "approval": {"approvers": ["group:finance"], "expires": "10m"}}
    gate = make_sql_gate(policies=[ALLOW, held], target={"limits": {"max_wait": "30s"}}).start()
    with gate.connect() as connection:
        for number in range(4):
            connection.execute(f"SELECT {number} + 0")  # type: ignore[call-overload]

        def asked() -> bool:
            return any(entry["kind"] == "asked" for entry in gate.entries())

        threading.Thread(target=lambda: until(asked) and connection.cancel()).start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute(f"SELECT {SECRET} + 0")  # type: ignore[call-overload]
        assert connection.execute("SELECT 7 + 0").fetchone() == (7,)


def test_many_in_one_packet_are_answered_in_order(sql_gate: SqlGate) -> None:
    """Attack: statements behind a plain one, to be sent unjudged or answered by the wrong answer."""

    def text(sql: str) -> bytes:
        return struct.pack("!cI", b"Q", len(sql) + 5) + sql.encode() + b"\0"

    with Raw(sql_gate.port) as raw:
        raw.log_in(sql_gate.authority.token())
        for turn in range(5):
            sent = [f"SELECT {turn * 10 + at} + 0" for at in range(6)]
            sent[3] = "SELECT 1; SELECT 2"  # none that is plain
            raw.socket.sendall(b"".join(map(text, sent)))
            for at in range(6):
                heard = raw.until(b"Z")
                assert not errors(heard)
                assert kinds(heard) == ("TDCTDCZ" if at == 3 else "TDCZ")
                if at != 3:
                    assert str(turn * 10 + at).encode() in next(each.payload for each in heard if each.kind == b"D")
        for cut in range(1, 24):  # a message in two pieces
            whole = text(f"SELECT {cut} + 0")
            raw.socket.sendall(whole[:cut])
            raw.socket.sendall(whole[cut:])
            assert kinds(raw.until(b"Z")) == "TDCZ"


@pytest.mark.parametrize("begin", ["SELECT 1", "BEGIN"])
@pytest.mark.parametrize("described", [False, True])
def test_its_portal_is_there_for_the_messages_behind_it(sql_gate: SqlGate, begin: str, described: bool) -> None:
    """As behind the first one, which the session's task carries: to its end where a transaction goes on, else gone."""

    def behind(raw: Raw) -> list[tuple[str, list[str]]]:
        heard = []
        for kind, payload in ((b"D", b"P\0"), (b"E", b"\0" * 5), (b"C", b"P\0"), (b"E", b"\0" * 5)):
            raw.send(kind, payload)
            raw.send(b"S")
            told = raw.until(b"Z")
            heard.append((kinds(told), [error["M"] for error in errors(told)]))
        return heard

    def run(raw: Raw) -> str:
        asked = b"D\0\0\0\6P\0" if described else b""
        raw.socket.sendall(frame(b"B", b"\0s\0" + b"\0" * 6) + asked + frame(b"E", b"\0" * 5) + frame(b"S", b""))
        return kinds(raw.until(b"Z"))

    found = []
    for often in (1, 6):
        with Raw(sql_gate.port) as raw:
            raw.log_in(sql_gate.authority.token())
            raw.parse("s", "SELECT 7 + 0")
            raw.send(b"S")
            assert kinds(raw.until(b"Z")) == "1Z"
            raw.send(b"Q", begin.encode() + b"\0")
            assert not errors(raw.until(b"Z"))
            ran = {run(raw) for _ in range(often)}
            assert len(ran) == 1, ran
            found.append((ran, behind(raw)))
    assert found[0] == found[1]
    assert found[0][1][0][0] == ("TZ" if begin == "BEGIN" else "EZ")


def test_what_is_said_unasked_comes_with_the_next(sql_gate: SqlGate, database: Database) -> None:
    with sql_gate.connect() as connection:
        connection.execute("LISTEN quick")
        for number in range(4):
            connection.execute(f"SELECT {number} + 0")  # type: ignore[call-overload]
        with database.connect() as direct:
            direct.execute("NOTIFY quick, 'hello'")
        assert next(connection.notifies(timeout=60, stop_after=1)).channel == "quick"
        assert connection.execute("SELECT 8 + 0").fetchone() == (8,)


@pytest.mark.parametrize("prepare", [False, True])
def test_a_drain_lets_it_end(make_sql_gate: Callable[..., SqlGate], slow: Database, prepare: bool) -> None:
    gate = make_sql_gate().start()
    with gate.connect() as connection, ThreadPoolExecutor(2) as callers:
        warmed(connection, prepare=prepare)
        with locked(slow):
            running = callers.submit(read, connection, 30, prepare=prepare)
            until(lambda: waiting(slow))
            stopped = callers.submit(gate.stop)
            until(lambda: gate.logged("draining") or refuses(gate))
        assert running.result(60) == 1
        assert stopped.result(30) == 0


def refuses(gate: SqlGate) -> bool:
    try:
        gate.connect().close()
    except psycopg.OperationalError:
        return True
    return False


def test_a_caller_that_reads_nothing_is_waited_for(make_sql_gate: Callable[..., SqlGate], slow: Database) -> None:
    """Attack: ask for more and more, read nothing, and let the answers pile up in the gateway."""
    slow.fill("INSERT INTO slow SELECT 0 FROM generate_series(1, 3000)")
    gate = make_sql_gate().start()
    with Raw(gate.port) as raw:
        raw.log_in(gate.authority.token())
        sent = 0

        def text(number: int) -> bytes:
            sql = f"SELECT id FROM slow WHERE id < {number}"
            return struct.pack("!cI", b"Q", len(sql) + 5) + sql.encode() + b"\0"

        raw.socket.settimeout(2)
        try:
            while sent < 20_000:
                raw.socket.sendall(text(sent % 1000 + 5))
                sent += 1
        except TimeoutError:
            pass
        raw.socket.settimeout(30)
        for _ in range(min(sent, 100)):
            assert kinds(raw.until(b"Z"))[-2:] == "CZ"
    assert len(gate.calls_of("shop.select")) < 20_000
