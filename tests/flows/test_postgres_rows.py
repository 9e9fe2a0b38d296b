"""Many rows: they come while they are read, masked wherever they are cut; how many anybody may have."""

import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest

from support.gate import until
from support.pgwire import Raw, errors, kinds
from support.postgres import Database, SqlGate

MASKING = [{"functions": ["shop.*"], "detect": "all", "fields": ["people.ssn"]}]
ROWS = 3000


@pytest.fixture(autouse=True)
def people(database: Database) -> Iterator[None]:
    database.fill(
        f"""CREATE TABLE people AS SELECT i AS id, '123-45-' || lpad(i::text, 4, '0') AS ssn,
              CASE WHEN i % 7 = 0 THEN 'person' || i || '@example.com' ELSE 'nobody ' || i END AS mail, NULL::text AS nothing
              FROM generate_series(1, {ROWS}) AS i"""
    )
    yield
    database.fill("DROP TABLE people")


def budget(**more: object) -> dict[str, object]:
    return {"principals": ["group:agents"], "per": "1h", **more}


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("column", ["mail", "ssn"])
def test_every_row_is_masked_wherever_pieces_are_cut(sql_gate: SqlGate, column: str, binary: bool) -> None:
    with sql_gate.connect() as connection, connection.cursor(binary=binary) as cursor:
        found = cursor.execute(f"SELECT id, {column}, nothing FROM people ORDER BY id").fetchall()  # type: ignore[arg-type]
    hidden = {"mail": "[REDACTED:email]", "ssn": "[REDACTED:field]"}[column]
    assert found == [(i, hidden if column == "ssn" or i % 7 == 0 else f"nobody {i}", None) for i in range(1, ROWS + 1)]


def test_the_first_rows_come_before_the_last_are_there(sql_gate: SqlGate, database: Database) -> None:
    """With rules, too: nothing waits for the end of an answer."""
    with database.connect() as holder, Raw(sql_gate.port) as raw:
        holder.execute("SELECT pg_advisory_lock(7)")
        raw.log_in(sql_gate.authority.token())
        late = f"SELECT pg_advisory_xact_lock_shared(7)::text, {ROWS}"
        raw.send(b"Q", f"SELECT mail, id FROM people, generate_series(1, 5) UNION ALL {late}\0".encode())
        heard = raw.until(b"D")
        assert kinds(heard).endswith("TD")
        assert b"example.com" not in b"".join(message.raw for message in heard)
        holder.execute("SELECT pg_advisory_unlock(7)")
        rest = raw.until(b"Z")
        assert kinds(rest) == "D" * (5 * ROWS) + "CZ"
        assert b"@example.com" not in b"".join(message.raw for message in rest)


def test_a_statement_has_so_many_rows_and_no_more(make_sql_gate: Callable[..., SqlGate]) -> None:
    gate = make_sql_gate(target={"limits": {"max_rows": 100}}, masking=MASKING).start()
    with gate.connect() as connection:
        assert len(connection.execute("SELECT id FROM people LIMIT 100").fetchall()) == 100
        for count in (101, ROWS):
            with pytest.raises(psycopg.errors.ConfigurationLimitExceeded) as refused:
                connection.execute("SELECT id FROM people LIMIT %s", (count,))
            assert refused.value.diag.message_detail is not None
            assert refused.value.diag.message_detail.startswith("budget.exceeded call ")
        assert connection.execute("SELECT 1 + 1").fetchone() == (2,)

    def ends() -> list[str | None]:
        return [
            entry.get("code") for call in gate.calls_of("shop.select") for entry in call if entry["kind"] == "ended"
        ]

    until(lambda: len(ends()) == 4)
    assert ends().count("budget.exceeded") == 2


def test_a_statement_has_so_many_bytes_and_no_more(make_sql_gate: Callable[..., SqlGate]) -> None:
    gate = make_sql_gate(target={"limits": {"max_response": "16KiB"}}).start()
    with gate.connect() as connection:
        assert len(connection.execute("SELECT repeat('x', 15000)").fetchall()) == 1
        for sql in ("SELECT repeat('x', 17000)", "SELECT mail FROM people"):
            with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
                connection.execute(sql)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [{"rows": 1000}, {"bytes": "32KiB"}])
def test_a_principal_has_so_much_in_all_its_sessions(
    make_sql_gate: Callable[..., SqlGate], limit: dict[str, object]
) -> None:
    gate = make_sql_gate(target={"budgets": [budget(**limit)]}, masking=MASKING).start()
    had = 0
    for _ in range(2):  # another connection is no other principal
        with gate.connect() as connection:
            for _ in range(20):
                try:
                    had += len(connection.execute("SELECT id, mail FROM people LIMIT 150").fetchall())
                except psycopg.errors.ConfigurationLimitExceeded:
                    break
            else:
                raise AssertionError("nothing was refused")
    assert 150 <= had <= (1000 if "rows" in limit else 1600)
    with gate.connect(password=gate.authority.token("agent-2")) as connection:
        assert len(connection.execute("SELECT id, mail FROM people LIMIT 150").fetchall()) == 150
    denied = [entry for call in gate.calls_of("shop.select") for entry in call if entry["kind"] == "denied"]
    assert {entry["code"] for entry in denied} == {"budget.exceeded"}


def test_who_has_had_everything_can_still_end_a_transaction(
    make_sql_gate: Callable[..., SqlGate], database: Database
) -> None:
    gate = make_sql_gate(target={"budgets": [budget(rows=10)]}).start()
    with gate.connect(autocommit=False) as connection:
        connection.execute("UPDATE people SET mail = 'changed' WHERE id = 1")
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
            connection.execute("SELECT id FROM people LIMIT 11")
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
        connection.rollback()
        connection.execute("SET timezone TO 'UTC'")
        connection.commit()
    with database.connect() as direct:
        assert direct.execute("SELECT mail FROM people WHERE id = 1").fetchone() == ("nobody 1",)


def test_what_is_copied_out_counts_too(make_sql_gate: Callable[..., SqlGate]) -> None:
    gate = make_sql_gate(target={"limits": {"max_rows": 100}}).start()
    with gate.connect() as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded), cursor.copy("COPY people TO STDOUT") as copy:
            list(copy)
        with cursor.copy("COPY (SELECT id FROM people LIMIT 100) TO STDOUT") as copy:
            assert len(list(copy)) == 100


@pytest.mark.parametrize("described", [False, True])
@pytest.mark.parametrize("first", ["statement", "nothing"])
def test_a_run_in_one_piece_and_byte_by_byte(sql_gate: SqlGate, described: bool, first: str) -> None:
    """Bind, Execute and Sync are taken in one step when they are all there: nothing else may come of it."""
    heard = []
    for split in (False, True):
        with Raw(sql_gate.port) as raw:
            raw.log_in(sql_gate.authority.token())
            raw.parse("s", "SELECT id, mail, ssn FROM people WHERE id < 15 ORDER BY id")
            if first == "statement":
                raw.send(b"D", b"Ss\0")
            raw.send(b"S")
            raw.until(b"Z")
            run = b"B\0\0\0\x0d\0s\0\0\0\0\0\0\0" + (b"D\0\0\0\6P\0" if described else b"")
            run += b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\4"
            for data in [bytes([byte]) for byte in run] if split else [run]:
                raw.socket.sendall(data)
            heard.append([message.raw for message in raw.until(b"Z")])
    assert heard[0] == heard[1]
    assert b"[REDACTED:email]" in b"".join(heard[0])
    assert b"example.com" not in b"".join(heard[0])
    assert b"-45-" not in b"".join(heard[0])


def test_a_run_about_a_statement_that_is_not_there(sql_gate: SqlGate) -> None:
    with Raw(sql_gate.port) as raw:
        raw.log_in(sql_gate.authority.token())
        raw.socket.sendall(b"B\0\0\0\x0d\0s\0\0\0\0\0\0\0" + b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\4")
        heard = raw.until(b"Z")
        assert kinds(heard) == "EZ"
        assert errors(heard)[0]["C"] == "26000"


def test_a_statement_that_waits_for_a_lock_is_cancelled_and_the_session_goes_on(
    sql_gate: SqlGate, database: Database
) -> None:
    with database.connect() as holder, sql_gate.connect() as connection:
        holder.execute("SELECT pg_advisory_lock(8)")
        raised: list[str | None] = []

        def wait() -> None:
            try:
                connection.execute("SELECT pg_advisory_xact_lock(8)")
            except psycopg.errors.QueryCanceled as canceled:
                raised.append(canceled.sqlstate)

        waiting = threading.Thread(target=wait)
        waiting.start()
        blocked = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: holder.execute(blocked).fetchone() == (1,))
        connection.cancel()
        waiting.join(10)
        assert raised == ["57014"]
        assert connection.execute("SELECT 1 + 1").fetchone() == (2,)
