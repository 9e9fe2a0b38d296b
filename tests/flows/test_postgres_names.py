"""Names that sessions give to statements in SQL: cursors and prepared statements are judged and masked as what they stand for."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from support.pgwire import Raw, errors
from support.postgres import Database, SqlGate

SSN = "123-45-6789"


@pytest.fixture(autouse=True)
def people(database: Database) -> Iterator[None]:
    database.fill(
        "CREATE TABLE people (id int PRIMARY KEY, ssn text, note text);"
        f"INSERT INTO people SELECT n, '{SSN}', 'note ' || n FROM generate_series(1, 20) n;"
        "CREATE FUNCTION put_another(c refcursor) RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN CLOSE c; OPEN c FOR SELECT ssn AS id FROM people; RETURN 'done'; END $$"
    )
    yield
    database.fill("DROP TABLE people CASCADE; DROP FUNCTION put_another")


def fetched(connection: psycopg.Connection[Any], sql: str) -> list[Any]:
    return connection.execute(sql).fetchall()  # type: ignore[arg-type]


def test_psycopg_s_named_cursors_bring_masked_rows(sql_gate: SqlGate) -> None:
    with sql_gate.connect(autocommit=False) as connection, connection.cursor("mine", scrollable=True) as cursor:
        cursor.execute("SELECT id, ssn AS other FROM people WHERE id > %s ORDER BY id", (5,))
        assert cursor.fetchone() == (6, "[REDACTED:field]")
        assert [row[0] for row in cursor.fetchmany(3)] == [7, 8, 9]
        cursor.scroll(-2)
        assert [row[0] for row in cursor][:3] == [8, 9, 10]
    calls = [call for call in sql_gate.calls_of("shop.select") if call[0]["args"]["command"] == "FETCH"]
    assert calls[-1][0]["args"]["parameters"] == ["5"]
    assert calls[-1][0]["args"]["filter_columns"] == ["people.id"]
    assert "DECLARE" in calls[-1][0]["args"]["sql"]


@pytest.mark.parametrize("hold", ["", "WITH HOLD"])
def test_a_cursor_ends_with_its_transaction_unless_it_is_held(sql_gate: SqlGate, hold: str) -> None:
    with sql_gate.connect() as connection:
        connection.execute("BEGIN")
        connection.execute(f"DECLARE c CURSOR {hold} FOR SELECT id, ssn FROM people ORDER BY id")  # type: ignore[arg-type]
        assert fetched(connection, "FETCH 1 FROM c") == [(1, "[REDACTED:field]")]
        connection.execute("COMMIT")
        if hold:
            assert fetched(connection, "FETCH 1 FROM c") == [(2, "[REDACTED:field]")]
            connection.execute("CLOSE c")
        with pytest.raises(psycopg.Error, match="there is no cursor 'c'"):
            connection.execute("FETCH 1 FROM c")


def test_one_text_may_declare_fetch_and_close(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        cursor = connection.execute(
            "BEGIN; DECLARE c CURSOR FOR SELECT ssn FROM people; FETCH 2 FROM c; MOVE 1 IN c; FETCH 1 FROM c; CLOSE c; COMMIT"
        )
        rows = []
        while True:
            if cursor.description:
                rows.append(cursor.fetchall())
            if not cursor.nextset():
                break
        assert rows == [[("[REDACTED:field]",)] * 2, [("[REDACTED:field]",)]]
        with pytest.raises(psycopg.Error, match="there is no cursor 'c'"):
            connection.execute("BEGIN; DECLARE c CURSOR FOR SELECT 1; CLOSE c; FETCH 1 FROM c")


def test_a_delete_does_not_hide_behind_a_name(sql_gate: SqlGate, database: Database) -> None:
    with sql_gate.connect() as connection:
        connection.execute("PREPARE d(int) AS DELETE FROM people WHERE id = $1")
        with pytest.raises(psycopg.Error, match=r"policy\.denied|not allowed"):
            connection.execute("EXECUTE d(1)")
        connection.execute("PREPARE r(int) AS SELECT id, ssn FROM people WHERE id = $1")
        assert fetched(connection, "EXECUTE r(2)") == [(2, "[REDACTED:field]")]
        assert fetched(connection, "EXECUTE r('3')") == [(3, "[REDACTED:field]")]
        with pytest.raises(psycopg.Error, match="constants"):
            connection.execute("EXECUTE r(length(pg_read_file('/etc/hostname')))")
        connection.execute("DEALLOCATE r")
        with pytest.raises(psycopg.Error, match="there is no prepared statement 'r'"):
            connection.execute("EXECUTE r(1)")
    assert database.connect().execute("SELECT count(*) FROM people").fetchone() == (20,)
    calls = [call for call in sql_gate.calls_of("shop.select") if call[0]["args"]["command"] == "EXECUTE"]
    assert [call[0]["args"]["parameters"] for call in calls][-2:] == [["2"], ["3"]]


def test_names_of_the_protocol_and_of_sql_are_the_same(sql_gate: SqlGate) -> None:
    with Raw(sql_gate.port) as caller:
        caller.log_in(sql_gate.authority.token())
        caller.parse("p", "SELECT ssn FROM people WHERE id = 1")
        caller.send(b"S")
        caller.until(b"Z")
        for sql in ("EXECUTE p", "PREPARE q AS SELECT ssn FROM people WHERE id = 2"):
            caller.send(b"Q", sql.encode() + b"\0")
            heard = b"".join(message.raw for message in caller.until(b"Z"))
            assert SSN.encode() not in heard
            assert b"ERROR" not in heard
        caller.bind("", "q")
        caller.execute()
        caller.send(b"S")
        heard = b"".join(message.raw for message in caller.until(b"Z"))
        assert b"[REDACTED:field]" in heard
        caller.parse("f", "COMMIT")
        caller.send(b"S")
        caller.until(b"Z")
        caller.send(b"Q", b"EXECUTE f\0")
        assert "stands for something else" in str(errors(caller.until(b"Z")))


# Attacks: make the name mean one thing here and another one at the server.


def test_a_failed_declare_changes_nothing(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        connection.execute("DECLARE c CURSOR WITH HOLD FOR SELECT ssn AS id FROM people")
        with pytest.raises(psycopg.Error, match="there is a cursor 'c' already"):
            connection.execute("DECLARE c CURSOR WITH HOLD FOR SELECT id FROM people")
        assert fetched(connection, "FETCH 1 FROM c") == [("[REDACTED:field]",)]


def test_a_function_that_puts_another_cursor_in_its_place(sql_gate: SqlGate) -> None:
    with sql_gate.connect(autocommit=False) as connection:
        connection.execute("DECLARE c CURSOR FOR SELECT note AS id FROM people")
        assert fetched(connection, "FETCH 1 FROM c") == [("note 1",)]
        connection.execute("SELECT put_another('c')")
        with pytest.raises(psycopg.Error, match="there is no cursor 'c'"):
            connection.execute("FETCH 1 FROM c")


def test_a_savepoint_that_is_rolled_back_takes_the_cursors_with_it(sql_gate: SqlGate) -> None:
    with sql_gate.connect(autocommit=False) as connection:
        connection.execute("SAVEPOINT s")
        connection.execute("DECLARE c CURSOR FOR SELECT id FROM people")
        connection.execute("ROLLBACK TO s")
        with pytest.raises(psycopg.Error, match="there is no cursor 'c'"):
            connection.execute("FETCH 1 FROM c")


def test_a_portal_goes_on_with_the_cursor_that_it_began_with(sql_gate: SqlGate) -> None:
    with Raw(sql_gate.port) as caller:
        caller.log_in(sql_gate.authority.token())
        for sql in (b"BEGIN", b"DECLARE c CURSOR FOR SELECT ssn || '' AS note FROM people"):
            caller.send(b"Q", sql + b"\0")
            caller.until(b"Z")
        caller.parse("", "FETCH 5 FROM c")
        caller.bind("p", "")
        caller.send(b"E", b"p\0" + (1).to_bytes(4, "big"))
        caller.send(b"H")
        first = caller.until(b"s")
        for sql in ("CLOSE c", "DECLARE c CURSOR FOR SELECT note FROM people"):
            caller.parse("", sql)
            caller.bind("", "")
            caller.execute()
        caller.execute("p")
        caller.send(b"S")
        heard = b"".join(message.raw for message in [*first, *caller.until(b"Z")])
        assert heard.count(b"[REDACTED:field]") == 5, heard
        assert SSN.encode() not in heard


def test_a_prepared_fetch_does_not_remember_the_columns_of_another_cursor(sql_gate: SqlGate) -> None:
    with Raw(sql_gate.port) as caller:
        caller.log_in(sql_gate.authority.token())
        for sql in (b"BEGIN", b"DECLARE c CURSOR FOR SELECT note FROM people"):
            caller.send(b"Q", sql + b"\0")
            caller.until(b"Z")
        caller.parse("f", "FETCH 1 FROM c")
        caller.send(b"D", b"Sf\0")
        caller.send(b"S")
        caller.until(b"Z")
        for sql in (b"CLOSE c", b"DECLARE c CURSOR FOR SELECT ssn FROM people"):
            caller.send(b"Q", sql + b"\0")
            caller.until(b"Z")
        caller.bind("", "f")
        caller.execute()
        caller.send(b"S")
        heard = b"".join(message.raw for message in caller.until(b"Z"))
        assert b"[REDACTED:field]" in heard
        assert SSN.encode() not in heard


def test_what_is_executed_by_name_is_recorded_with_its_own_numbers(sql_gate: SqlGate) -> None:
    with Raw(sql_gate.port) as caller:
        caller.log_in(sql_gate.authority.token())
        for number in (11, 12):
            caller.parse(f"n{number}", f"SELECT note FROM people WHERE id = {number}")
        caller.send(b"S")
        caller.until(b"Z")
        caller.send(b"Q", b"EXECUTE n12\0")
        assert b"note 12" in b"".join(message.raw for message in caller.until(b"Z"))
    texts = [call[0]["args"]["sql"] for call in sql_gate.calls_of("shop.select")]
    assert [text for text in texts if "EXECUTE n12" in text] == [
        "EXECUTE n12\n/* SELECT note FROM people WHERE id = 12 */"
    ]


def test_an_approval_of_a_fetch_is_for_the_cursor_as_it_was_declared(make_sql_gate: Callable[..., SqlGate]) -> None:
    approval = {"approvers": ["group:finance"], "count": 1, "expires": "5m"}
    gate = make_sql_gate(
        policies=[
            {"name": "agents", "effect": "allow", "functions": ["shop.*"], "principals": ["*"],
             "when": "args.command != 'FETCH'"},
            {"name": "held", "effect": "require_approval", "functions": ["shop.select"], "principals": ["*"],
             "when": "args.command == 'FETCH'", "approval": approval},
        ],
        target={"limits": {"max_wait": "1ms"}},
    ).start()  # fmt: skip
    digests = []
    for value in (1, 2):
        with gate.connect(autocommit=False) as connection, connection.cursor("c") as cursor:
            cursor.execute("SELECT note FROM people WHERE id = %s", (value,))
            with pytest.raises(psycopg.Error, match="approval"):
                cursor.fetchone()
            connection.rollback()
    for call in gate.calls_of("shop.select"):
        if call[0]["args"]["command"] == "FETCH":
            digests.append(call[0]["digest"])
    assert len(set(digests)) == 2


def test_the_extended_protocol_executes_by_name_what_was_parsed(sql_gate: SqlGate) -> None:
    with Raw(sql_gate.port) as caller:
        caller.log_in(sql_gate.authority.token())
        caller.parse("t", "SELECT note FROM people WHERE id = 7")
        caller.parse("", "EXECUTE t")
        caller.bind("", "")
        caller.execute()
        caller.send(b"S")
        assert b"note 7" in b"".join(message.raw for message in caller.until(b"Z"))
