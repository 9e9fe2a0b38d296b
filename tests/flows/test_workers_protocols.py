"""gRPC and PostgreSQL through several workers: spread, recorded as one, cancelled and counted wherever the caller comes."""

import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import psycopg
import pytest

from support.gate import Gate, until
from support.grpc_gate import GrpcGate
from support.ledger import Ledger, LedgerTarget, new
from support.lines import all_up, assert_one_record, several
from support.postgres import Database, SqlGate
from support.workers import cpu_s, worker_of

ALONE = [("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture
def slow(database: Database) -> Iterator[Database]:
    """With a table that can be kept locked, and one of many rows."""
    database.fill("CREATE TABLE slower (id int); INSERT INTO slower VALUES (1)")
    yield database
    database.fill("DROP TABLE slower")


def gateway(gate: Gate) -> int:
    assert gate.process is not None
    return gate.process.pid


def served_by(gate: SqlGate, connection: psycopg.Connection[Any]) -> int:

    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        port = int(same.getsockname()[1])
    return until(lambda: worker_of(gateway(gate), port))


def test_grpc_calls_go_through_all_workers(make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    gate = make_grpc_gate(listen=several(2)).start()
    before = {worker: cpu_s(worker) for worker in all_up(gate)}
    channels = [gate.channel(*ALONE) for _ in range(4)]
    for channel in channels:
        assert isinstance(gate, GrpcGate)
        client = Ledger(channel)
        for amount in range(100):
            client.transfer(new("TransferRequest", amount=amount), metadata=gate.metadata(), timeout=20)
    spent = {worker: cpu_s(worker) - before[worker] for worker in gate.workers()}
    for channel in channels:
        channel.close()
    assert min(spent.values()) > 0.25 * max(spent.values()), spent
    assert gate.stop() == 0
    entries = assert_one_record(gate)
    assert sum(entry["kind"] == "allowed" for entry in entries) == 400
    assert len(ledger.ledger) == 400


def test_a_worker_asks_no_target_what_it_is(make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    """What the target said of itself to the gateway's own process is what workers serve."""
    gate = make_grpc_gate(listen=several(3), target={"functions": {"reflection": True}}).start()
    with gate.channel(*ALONE) as channel:
        Ledger(channel).transfer(new("TransferRequest", amount=1), metadata=gate.metadata(), timeout=20)
    with pytest.raises(grpc.RpcError), gate.channel(*ALONE) as channel:
        Ledger(channel).transfer(new("TransferRequest", amount=1), timeout=20)


def test_sessions_are_spread_and_recorded_as_one(make_sql_gate: Callable[..., SqlGate]) -> None:
    gate = make_sql_gate(listen={"workers": 3}).start()
    assert len(all_up(gate)) == 3
    connections = [gate.connect() for _ in range(6)]
    assert set(Counter(served_by(gate, each) for each in connections).values()) == {2}
    for number in range(20):
        for connection in connections:
            assert connection.execute(f"SELECT {number}").fetchone() == (number,)  # type: ignore[call-overload]
    for connection in connections:
        connection.close()
    assert gate.stop() == 0
    assert_one_record(gate)
    assert len(gate.calls_of("shop.select")) == 120


def test_a_cancel_request_finds_its_session_at_another_worker(
    make_sql_gate: Callable[..., SqlGate], slow: Database
) -> None:
    gate = make_sql_gate(listen={"workers": 2}).start()
    all_up(gate)
    with slow.connect() as direct, gate.connect() as connection, direct.transaction():
        direct.execute("LOCK TABLE slower IN ACCESS EXCLUSIVE MODE")
        for _ in range(2):  # the worker with the session has a connection, so the request goes to the other one
            threading.Thread(target=lambda: until(lambda: waits(slow)) and connection.cancel()).start()
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute("SELECT id FROM slower")
    with slow.connect() as direct, gate.connect() as mine, gate.connect() as other:
        direct.execute("BEGIN")
        direct.execute("LOCK TABLE slower IN ACCESS EXCLUSIVE MODE")
        done = threading.Event()

        def read() -> None:
            mine.execute("SELECT id FROM slower")
            done.set()

        reading = threading.Thread(target=read)
        reading.start()
        until(lambda: waits(slow))
        for _ in range(5):
            other.cancel()  # of a session that does nothing
        assert not done.wait(0.5)
        assert other.execute("SELECT 1").fetchone() == (1,)
        direct.execute("COMMIT")
        reading.join(20)
        assert done.is_set()


def waits(database: Database) -> bool:
    with database.connect() as direct:
        sql = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND wait_event_type = 'Lock'"
        return direct.execute(sql).fetchone() is not None


def test_budgets_are_of_all_workers_together(make_sql_gate: Callable[..., SqlGate]) -> None:
    budget = {"principals": ["*"], "rows": 100, "per": "1h"}
    gate = make_sql_gate(listen={"workers": 2}, target={"budgets": [budget]}).start()
    all_up(gate)
    with gate.connect() as one, gate.connect() as other:
        assert served_by(gate, one) != served_by(gate, other)
        assert len(one.execute("SELECT * FROM generate_series(1, 60)").fetchall()) == 60
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            other.execute("SELECT * FROM generate_series(1, 60)").fetchall()


def test_sessions_of_a_target_are_divided(make_sql_gate: Callable[..., SqlGate]) -> None:
    gate = make_sql_gate(listen={"workers": 2}, target={"limits": {"max_connections": 5}}).start()
    all_up(gate)
    connections = [gate.connect() for _ in range(4)]
    with pytest.raises(psycopg.OperationalError, match="too many connections"):
        gate.connect()
    for connection in connections:
        connection.close()
