"""SQL through the gate: a reader changes nothing, hidden columns stay hidden, named queries are functions."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import psycopg
import pytest

from support.leaks import HIDDEN, LEAKS, PEOPLE, SHOWN
from support.postgres import Database, SqlGate
from support.statements import IN_THE_PLACE, READING, TABLES, WRITES, state


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """One of its own: what is tried here may destroy it. The gateway comes as a superuser: only the judgement protects."""
    found = Database().start()
    try:
        yield found
    finally:
        found.stop()


Make = Callable[..., SqlGate]


def as_admin(make: Make, **changes: Any) -> SqlGate:
    gate = make(**changes)
    gate.file.write_text(gate.file.read_text().replace("user: owner", "user: root"))
    gate.start()
    return gate


def policy(functions: list[str]) -> list[dict[str, Any]]:
    return [{"name": "some", "effect": "allow", "functions": functions, "principals": ["group:agents"]}]


def run_all(gate: SqlGate, texts: list[str], *, extended: bool) -> None:
    """Each by itself, whatever the one before it did to the session."""
    connection = gate.connect()
    for text in texts:
        if extended:
            connection.pgconn.exec_params(text.encode(), None)
        else:
            connection.pgconn.exec_(text.encode())
        if connection.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.close()
            connection = gate.connect()
    connection.close()


@pytest.mark.parametrize("extended", [False, True])
def test_a_reader_changes_nothing(database: Database, make_sql_gate: Make, extended: bool) -> None:
    with database.connect(user="root") as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP ROLE IF EXISTS bob")
        connection.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
        connection.execute(TABLES)
        connection.execute("CREATE VIEW trap AS SELECT f() AS a")
        connection.execute("CREATE FUNCTION sweep(t) RETURNS int LANGUAGE sql AS 'DELETE FROM t; SELECT 1'")
    gate = as_admin(make_sql_gate, policies=policy(READING))
    before = state(database)
    unseen = [*IN_THE_PLACE, "SELECT * FROM trap", "SELECT t.sweep FROM t"]
    # The first statement takes the whole text to the database.
    texts = [f"{before}; {text}; COMMIT" for text in unseen for before in ("SELECT 1", "BEGIN")]
    texts += [f"PREPARE q_{name}({name}) AS SELECT $1; EXECUTE q_{name}('a')" for name in ("strict_text", "e")]
    run_all(gate, [*WRITES, *unseen, *texts], extended=extended)
    assert state(database) == before
    with gate.connect() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (5,)
        if extended:  # by the type of a bound value, which no text says
            named = connection.execute("SELECT oid, typarray FROM pg_type WHERE typname IN ('strict_text', 'e')")
            for oid in [one for both in named.fetchall() for one in both]:
                for sql, value in ((b"SELECT $1", b"a"), (b"SELECT $1::text", b"a"), (b"SELECT $1", b"{a}")):
                    connection.pgconn.prepare(b"", sql, [oid])
                    connection.pgconn.exec_prepared(b"", [value])
    assert state(database) == before


@pytest.fixture(scope="module")
def people(database: Database) -> None:
    with database.connect(user="root") as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS hr CASCADE")
        connection.execute(PEOPLE)


@pytest.mark.usefixtures("people")
def test_a_hidden_column_is_hidden_in_every_format(make_sql_gate: Make) -> None:
    masking = [{"functions": ["shop.*"], "fields": HIDDEN}]
    gate = as_admin(make_sql_gate, policies=policy(["shop.*"]), masking=masking)
    with gate.connect() as connection:
        for sql in LEAKS:
            for binary in (False, True):
                connection.pgconn.exec_(b"BEGIN")
                result = connection.pgconn.exec_params(sql.encode(), None, result_format=int(binary))
                seen = [*values(result), result.error_message]
                connection.pgconn.exec_(b"ROLLBACK")
                assert not any(b"canary" in value.lower() or b"12345" in value for value in seen), sql
                assert (12345).to_bytes(8) not in seen, sql
        for sql, columns in SHOWN.items():
            connection.pgconn.exec_(b"BEGIN")
            result = connection.pgconn.exec_(sql.encode())
            connection.pgconn.exec_(b"ROLLBACK")
            assert not result.error_message, sql
            hidden = [i for i in range(result.nfields) if result.get_value(0, i) in (None, b"[REDACTED:field]")]
            assert set(hidden).isdisjoint(columns), sql


TELLING = """
SELECT CAST(ssn AS int) FROM people
SELECT (ssn || 'x')::date FROM people
SELECT xmlparse(document '<' || ssn) FROM people
SELECT ssn::jsonb FROM people
SELECT ssn::regclass FROM people
SELECT ssn::regtype FROM people
SELECT (ssn || '(int,int)')::regoperator FROM people
SELECT has_table_privilege(ssn, 'select') FROM people
SELECT to_tsquery(ssn || ' & | (') FROM people
SELECT ('x"' || ssn || '"y')::int FROM people
COPY (SELECT ssn::regclass FROM people) TO STDOUT
COPY (UPDATE orders SET note = ssn FROM people p WHERE p.id = orders.id RETURNING orders) TO STDOUT
DO $$ BEGIN RAISE '%', (SELECT max(ssn) FROM people) USING ERRCODE = '23514', COLUMN = (SELECT max(ssn) FROM people); END $$
INSERT INTO people SELECT 1, '', ssn FROM people
INSERT INTO others SELECT ssn::int FROM people
COPY people TO STDOUT
COPY people (id, ssn) TO STDOUT (FORMAT csv)
COPY (SELECT ssn FROM people) TO STDOUT
COPY (SELECT id, upper(ssn) FROM people) TO STDOUT (FORMAT csv, DELIMITER ';')
DO $$ BEGIN RAISE NOTICE 'the number is %', (SELECT ssn FROM people LIMIT 1); END $$
DO $$ BEGIN RAISE EXCEPTION 'it is %', (SELECT ssn FROM people LIMIT 1) USING DETAIL = (SELECT max(ssn) FROM people); END $$
""".strip().splitlines()


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("extended", [False, True])
def test_who_may_not_look_at_a_column_looks_nowhere(make_sql_gate: Make, extended: bool) -> None:
    """Not even where it is not shown: what fails for some values tells them."""
    allowed = policy(["shop.*"])
    allowed[0]["when"] = "!args.columns.exists(c, c.endsWith('.ssn') || c.endsWith('.figure'))"
    gate = as_admin(make_sql_gate, policies=allowed)
    oracles = [
        "SELECT CASE WHEN number = 'canary-1' THEN 1 / 0 END FROM hr.staff",
        "SELECT 1 / strpos(up, 'Y') FROM staff2",
        "SELECT count(*) FILTER (WHERE up::int > 1) FROM staff2",
        "EXPLAIN ANALYZE SELECT CASE WHEN number = 'canary-1' THEN pg_sleep(0) END FROM hr.staff",
        "INSERT INTO keyed SELECT 10, number, '' FROM hr.staff",
        "UPDATE keyed SET a = s.up FROM staff2 s WHERE s.id = keyed.id",
        "COPY (SELECT number::int FROM hr.staff) TO STDOUT",
        "COPY people TO STDOUT",
        "COPY hr.staff TO STDOUT",
        "DECLARE c CURSOR WITH HOLD FOR SELECT up FROM staff2",
        "SELECT k FROM guessed",
        "SELECT 1 FROM hr.few2",
        "ALTER TABLE people ADD CHECK (ssn <> 'canary-1')",
        "CREATE UNIQUE INDEX ON people (ssn)",
        "ALTER VIEW hr.staff RENAME number TO harmless",
        "ALTER VIEW hr.staff RENAME TO harmless",
    ]
    with gate.connect() as connection:

        def state(text: str) -> str | None:
            sent = text.encode()
            found = connection.pgconn.exec_params(sent, None) if extended else connection.pgconn.exec_(sent)
            return (found.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()

        judged = {text: state(text) for text in [*LEAKS, *oracles] if "peek" not in text}
        assert {text: found for text, found in judged.items() if found != "42501"} == {}
        assert state("SELECT id, name FROM people") == ""
        assert state("SELECT label FROM staff2 WHERE id = 1") == ""
        assert state("TABLE others") == ""
        assert state("SELECT note, total FROM orders JOIN people p ON p.id = person WHERE total > 1") == ""
        assert state("PREPARE q AS SELECT number FROM hr.staff") == ""  # it runs nothing
        assert state("EXECUTE q") == "42501"


@pytest.mark.usefixtures("people")
def test_what_a_view_calls_where_it_is_written_to_is_not_run(database: Database, make_sql_gate: Make) -> None:
    gate = as_admin(make_sql_gate, policies=policy(["shop.update", "shop.delete"]))
    with gate.connect() as connection:
        for text in (b"UPDATE sprung SET note = 'x'", b"DELETE FROM sprung"):
            found = connection.pgconn.exec_(text)
            assert found.error_field(psycopg.pq.DiagnosticField.SQLSTATE) == b"42501"
        assert connection.execute("UPDATE hr.staff SET label = label").rowcount == 3
    with database.connect(user="root") as connection:
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (3,)


@pytest.mark.usefixtures("people")
def test_neither_errors_nor_notices_nor_copies_tell(make_sql_gate: Make) -> None:
    masking = [{"functions": ["shop.*"], "fields": ["people.ssn", "people.figure"]}]
    gate = as_admin(make_sql_gate, policies=policy(["shop.*"]), masking=masking, target={"preset": "none"})
    with gate.connect() as connection:
        for sql in TELLING:
            told = all_that_is_told(connection, sql)
            assert told, sql
            assert "canary" not in str(told).lower(), sql
        connection.execute("SELECT set_config('application_name', ssn, false) FROM people")
        assert connection.info.parameter_status("application_name") == "[REDACTED:field]"


def all_that_is_told(connection: psycopg.Connection, sql: str) -> list[str]:
    """Rows of a COPY, notices, and every field of an error."""
    told: list[str] = []

    def notice(found: psycopg.errors.Diagnostic) -> None:
        told.append(f"{found.message_primary} {found.message_detail} {found.context}")

    connection.add_notice_handler(notice)
    try:
        if sql.startswith("COPY"):
            with connection.cursor().copy(sql) as copy:
                told += [bytes(piece).decode() for piece in copy]
        else:
            connection.execute(sql)
    except psycopg.Error as error:
        told.append(
            f"{error} {error.diag.message_detail} {error.diag.context} {error.diag.internal_query} {error.diag.column_name}"
        )
    connection.remove_notice_handler(notice)
    return told


@pytest.mark.usefixtures("people")
def test_a_named_query_is_all_that_may_be_asked(make_sql_gate: Make) -> None:
    query = {"name": "name_of", "sql": "SELECT name FROM people WHERE id = $1", "args": {"id": "integer"}}
    rule = policy(["shop.name_of"])
    rule[0]["when"] = "args.id < 3"
    gate = as_admin(make_sql_gate, policies=rule, target={"functions": {"queries": [query]}})
    with gate.connect() as connection:
        assert connection.execute("select name from people where id = %s", [2]).fetchone() == ("name2",)
        for sql, value in (("SELECT name FROM people WHERE id = %s", 3), ("SELECT ssn FROM people WHERE id = %s", 2)):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql, [value])
    (call,) = (entries for entries in gate.calls_of("shop.name_of") if entries[-1].get("outcome") == "complete")
    assert call[0]["args"] == {"id": 2}


@pytest.mark.usefixtures("people")
def test_a_pool_of_readers_works(make_sql_gate: Make) -> None:
    gate = as_admin(make_sql_gate, policies=policy(["shop.select"]))
    login = gate.login()

    async def use() -> list[int]:
        given = {
            "host": login["host"],
            "port": login["port"],
            "user": "x",
            "password": login["password"],
            "database": "shop",
        }
        async with asyncpg.create_pool(min_size=1, max_size=1, ssl=False, **given) as pool:
            return [await pool.fetchval("SELECT id FROM people WHERE id = $1", at) for at in (1, 2, 3)]

    assert asyncio.run(use()) == [1, 2, 3]
    with gate.connect() as connection:
        for sql in ("RESET ALL", "DISCARD ALL", "CLOSE ALL", "UNLISTEN *", "DEALLOCATE ALL"):
            connection.execute(sql)
        for sql in ("SET work_mem = '8MB'", "RESET ROLE", "LISTEN a"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql)


def values(result: Any) -> list[bytes]:
    return [result.get_value(r, c) or b"" for r in range(result.ntuples) for c in range(result.nfields)]
