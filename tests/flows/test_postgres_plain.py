"""Plain statements, which go a short way: the second of a kind is judged, recorded, masked and refused as the first is."""

import time
from collections.abc import Callable

import psycopg
import pytest

from support.gate import until
from support.postgres import Database, SqlGate

LEEWAY_S = 30  # of the issuers, unless they say otherwise
HIDING = [{"functions": ["shop.*"], "detect": ["email"]}]


@pytest.mark.parametrize("prepare", [False, True])
def test_a_text_with_numbers_is_recorded_as_it_was_sent(sql_gate: SqlGate, prepare: bool) -> None:
    """Attack: a text that is judged by another one of the same kind, and recorded as that or as none."""
    with sql_gate.connect() as connection:
        for number in (41, 42, 43):
            for _ in range(3):
                sql = f"SELECT {number} + 1 AS found"
                assert connection.execute(sql, prepare=prepare).fetchone() == (number + 1,)  # type: ignore[call-overload]
                assert sql_gate.calls_of("shop.select")[-1][0]["args"]["sql"] == sql


@pytest.mark.parametrize("prepare", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_what_is_hidden_is_hidden_each_time(make_sql_gate: Callable[..., SqlGate], prepare: bool, binary: bool) -> None:
    gate = make_sql_gate(masking=HIDING).start()
    with gate.connect() as connection, connection.cursor(binary=binary) as cursor:
        for name, shown in (("ada", "ada"), ("ada@example.com", "[REDACTED:email]"), ("eve", "eve")) * 3:
            cursor.execute("SELECT %s::text AS name, 7 AS seven", (name,), prepare=prepare)
            assert cursor.fetchall() == [(shown, 7)]
    bodies = str([entry.get("body") for call in gate.calls_of("shop.select") for entry in call])
    assert bodies.count("[REDACTED:email]") == 3
    assert "ada@example.com" not in bodies


@pytest.mark.parametrize("prepare", [False, True])
def test_errors_end_transactions_and_leave_the_session(sql_gate: SqlGate, prepare: bool) -> None:
    with sql_gate.connect() as connection:
        for _ in range(3):
            connection.execute("BEGIN")
            assert connection.execute("SELECT 6 / 3", prepare=prepare).fetchone() == (2,)
            with pytest.raises(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 6 / 0", prepare=prepare)
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                connection.execute("SELECT 6 / 3", prepare=prepare)
            connection.execute("ROLLBACK")
            assert connection.execute("SELECT 6 / 3", prepare=prepare).fetchone() == (2,)


@pytest.mark.slow
@pytest.mark.parametrize("prepare", [False, True])
def test_a_token_that_runs_out_ends_what_was_plain(sql_gate: SqlGate, prepare: bool) -> None:
    """Attack: a plan that outlives the right to it."""
    token = sql_gate.authority.token(exp=int(time.time()) - LEEWAY_S + 5)
    with sql_gate.connect(password=token) as connection:
        assert connection.execute("SELECT 1 + 1", prepare=prepare).fetchone() == (2,)

        def refused() -> bool:
            try:
                connection.execute("SELECT 1 + 1", prepare=prepare)
            except psycopg.errors.InvalidAuthorizationSpecification as refusal:
                return "identity." in str(refusal.diag.message_detail)
            return False

        until(refused)


def test_tables_that_change_are_seen(sql_gate: SqlGate, database: Database) -> None:
    """Attack: a statement whose columns were described, then become others in the same session."""
    database.fill("CREATE TABLE plain (id int); INSERT INTO plain VALUES (1)")
    try:
        with sql_gate.connect() as connection:
            for _ in range(3):
                assert connection.execute("SELECT * FROM plain", prepare=False).fetchall() == [(1,)]
            database.fill("ALTER TABLE plain ADD more text DEFAULT 'x'")
            for _ in range(3):  # nobody knows yet where the new column comes from
                assert connection.execute("SELECT * FROM plain", prepare=False).fetchall() == [(1, "[REDACTED:field]")]
    finally:
        database.fill("DROP TABLE plain")
