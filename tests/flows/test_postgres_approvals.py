"""Statements that wait for a person: approved, rejected, forgotten, cancelled; in a transaction and out of it."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from support import forked
from support.gate import until
from support.postgres import OWNER, Database, SqlGate

POLICIES = [
    {"name": "reads", "effect": "allow", "functions": ["shop.select", "shop.transaction"], "principals": ["group:agents"]},
    {
        "name": "writes", "effect": "require_approval", "functions": ["shop.update"], "principals": ["group:agents"],
        "approval": {"approvers": ["group:finance"], "expires": "10m"},
    },
]  # fmt: skip
UPDATE = "UPDATE money SET amount = %s WHERE id = %s"


@pytest.fixture
def gate(make_sql_gate: Callable[..., SqlGate], database: Database) -> Iterator[SqlGate]:
    database.fill("CREATE TABLE money (id int PRIMARY KEY, amount int); INSERT INTO money VALUES (1, 10)")
    yield make_sql_gate(policies=POLICIES, target={"limits": {"max_wait": "20s"}}).start()
    database.fill("DROP TABLE money")


def cli(gate: SqlGate, *command: str) -> str:
    token = gate.authority.token("bob", ("finance",))
    where = ["--url", f"http://127.0.0.1:{gate.console}", "--token", token]
    done = forked.run("approvals", *command, *where)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pending(gate: SqlGate) -> dict[str, Any]:
    found = until(lambda: json.loads(cli(gate, "list", "--state", "pending", "--json"))["approvals"])
    return dict(found[0])


def amount(database: Database) -> int:
    with database.connect() as direct:
        found = direct.execute("SELECT amount FROM money").fetchone()
    assert found is not None
    return int(found[0])


def test_an_approved_statement_runs_within_its_transaction(gate: SqlGate, database: Database) -> None:
    with ThreadPoolExecutor(1) as callers, gate.connect(autocommit=False) as connection:
        assert connection.execute("SELECT amount FROM money").fetchone() == (10,)
        waiting = callers.submit(connection.execute, UPDATE, (25, 1))
        one = pending(gate)
        assert amount(database) == 10
        card = cli(gate, "show", one["id"])
        assert "shop.update" in card
        assert "25" in card
        assert "UPDATE money SET amount = $1 WHERE id = $2" in card
        cli(gate, "approve", one["id"])
        assert waiting.result(60).rowcount == 1
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        connection.commit()
    assert amount(database) == 25
    steps = [entry["kind"] for entry in gate.calls_of("shop.update")[0]]
    assert steps[:4] == ["arrived", "asked", "answered", "allowed"]


def test_a_rejected_statement_leaves_the_session_usable(gate: SqlGate, database: Database) -> None:
    with ThreadPoolExecutor(1) as callers, gate.connect() as connection:
        waiting = callers.submit(connection.execute, UPDATE, (25, 1))
        cli(gate, "reject", pending(gate)["id"], "--reason", "no")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"approval\.rejected call"):
            waiting.result(60)
        assert connection.execute("SELECT amount FROM money").fetchone() == (10,)


@pytest.mark.parametrize("sql", ["UPDATE money SET amount = 25", "SELECT 1; UPDATE money SET amount = 25; SELECT 2"])
def test_a_statement_that_waits_can_be_cancelled(gate: SqlGate, database: Database, sql: str) -> None:
    with ThreadPoolExecutor(1) as callers, gate.connect() as connection:
        waiting = callers.submit(connection.execute, sql)  # type: ignore[arg-type]
        pending(gate)
        threading.Thread(target=connection.cancel).start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            waiting.result(60)
        assert connection.execute("SELECT amount FROM money").fetchone() == (10,)


@pytest.mark.slow
@pytest.mark.parametrize("autocommit", [False, True])
def test_the_database_does_not_end_a_session_that_waits(gate: SqlGate, database: Database, autocommit: bool) -> None:
    """It would, after six seconds: the caller is told before that, and goes on in the same session."""
    setting = "idle_session_timeout" if autocommit else "idle_in_transaction_session_timeout"
    database.fill(f"ALTER ROLE {OWNER} IN DATABASE shop SET {setting} = '6s'")
    try:
        with gate.connect(autocommit=autocommit) as connection:
            connection.execute("SELECT amount FROM money")
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="This call waits for an approval"):
                connection.execute(UPDATE, (25, 1))
            connection.rollback()
            assert connection.execute("SELECT amount FROM money").fetchone() == (10,)
            connection.rollback()
            cli(gate, "approve", pending(gate)["id"])
            assert connection.execute(UPDATE, (25, 1)).rowcount == 1
            connection.commit()
    finally:
        database.fill(f"ALTER ROLE {OWNER} IN DATABASE shop RESET {setting}")
    assert amount(database) == 25


@pytest.mark.slow
def test_nobody_answers(make_sql_gate: Callable[..., SqlGate], gate: SqlGate, database: Database) -> None:
    hasty = make_sql_gate(policies=POLICIES, target={"limits": {"max_wait": "1s"}}).start()
    with hasty.connect() as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="This call waits for an approval") as told:
            connection.execute(UPDATE, (25, 1))
        one = pending(hasty)
        assert one["id"] in (told.value.diag.message_hint or "")
        cli(hasty, "approve", one["id"])
        assert connection.execute(UPDATE, (25, 1)).rowcount == 1  # the very same statement, sent again
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(UPDATE, (25, 1))
    assert amount(database) == 25
