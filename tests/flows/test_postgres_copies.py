"""COPY both ways: masked by column and by detector in every layout, wherever messages are cut; limits, ends in the midst."""

import asyncio
import csv
import io
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import psycopg
import pytest

from support.gate import until
from support.pgwire import Raw, errors, kinds
from support.postgres import Database, SqlGate

MASKING = [{"functions": ["shop.*"], "detect": "all", "fields": ["people.ssn"]}]
ROWS = 2000
GIVEN_UP = b"given up"
MAIL, FIELD = "[REDACTED:email]", "[REDACTED:field]"


@pytest.fixture(autouse=True)
def people(database: Database) -> Iterator[None]:
    database.fill(
        f"""CREATE TABLE people AS SELECT i AS id, '123-45-' || lpad(i::text, 4, '0') AS ssn,
              CASE WHEN i % 7 = 0 THEN 'person' || i || '@example.com' ELSE E'no\\tbody "\\\\n' || chr(10) || 'ü' || i END mail,
              NULL::text AS nothing, '' AS empty FROM generate_series(1, {ROWS}) AS i;
            CREATE TABLE arrived (a text, b text, c text)"""
    )
    yield
    database.fill("DROP TABLE people, arrived")


def mail(at: int) -> str:
    return MAIL if at % 7 == 0 else f'no\tbody "\\n\nü{at}'


def write(connection: psycopg.Connection[Any], sql: str, *rows: bytes) -> None:
    with connection.cursor().copy(sql) as copy:  # type: ignore[arg-type]
        for row in rows:
            if row == GIVEN_UP:
                raise ValueError("the caller thinks better of it")
            copy.write(row)


def copied(connection: psycopg.Connection[Any], sql: str) -> bytes:
    with connection.cursor().copy(sql) as copy:  # type: ignore[arg-type]
        return b"".join(bytes(piece) for piece in copy)


@pytest.mark.parametrize("column", ["mail", "ssn"])
@pytest.mark.parametrize("options", ["", "DELIMITER ';'", "NULL '', DELIMITER '-'", "NULL 'none'", "DELIMITER '@'"])
def test_text_in_every_layout(sql_gate: SqlGate, options: str, column: str) -> None:
    sql = f"COPY (SELECT id, {column}, nothing FROM people ORDER BY id) TO STDOUT ({options})" if options else None
    sql = sql or f"COPY (SELECT id, {column}, nothing FROM people ORDER BY id) TO STDOUT"
    with sql_gate.connect() as connection:
        told = copied(connection, sql)
    assert b"example" not in told
    assert b"-45-" not in told
    assert told.count(FIELD.encode() if column == "ssn" else MAIL.encode()) == (ROWS if column == "ssn" else ROWS // 7)


@pytest.mark.parametrize("column", ["mail", "ssn"])
@pytest.mark.parametrize(
    "options",
    ["", "DELIMITER ';', HEADER", "QUOTE '''', FORCE_QUOTE *", "QUOTE '@'", "ESCAPE '\\', NULL 'none', HEADER true"],
)
def test_csv_in_every_layout(sql_gate: SqlGate, options: str, column: str) -> None:
    with sql_gate.connect() as connection:
        told = copied(
            connection,
            f"COPY (SELECT id, {column}, nothing FROM people ORDER BY id) TO STDOUT (FORMAT csv, {options or 'HEADER 0'})",
        )
    assert b"example" not in told
    quote = "'" if "''" in options else "@" if "@" in options else '"'
    escaped = {"escapechar": "\\", "doublequote": False} if "ESCAPE" in options else {}
    found = list(
        csv.reader(io.StringIO(told.decode()), delimiter=";" if ";" in options else ",", quotechar=quote, **escaped)
    )  # type: ignore[arg-type]
    if "HEADER" in options:
        assert found.pop(0) == ["id", column, "nothing"]
    nothing = "none" if "none" in options else ""
    assert found == [[str(at), FIELD if column == "ssn" else mail(at), nothing] for at in range(1, ROWS + 1)]


def test_what_nothing_was_hidden_in_passes_as_it_came(sql_gate: SqlGate, database: Database) -> None:
    sql = "COPY (SELECT id, nothing, empty, 'ü\"' || chr(9) || chr(10) || chr(92) FROM people ORDER BY id) TO STDOUT"
    for layout in ("", " (FORMAT csv)", " (FORMAT csv, FORCE_QUOTE *, HEADER)", " (DELIMITER '|', NULL '')"):
        with sql_gate.connect() as connection, database.connect() as direct:
            assert copied(connection, sql + layout) == copied(direct, sql + layout)


def test_the_record_has_rows(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        copied(
            connection, "COPY (SELECT id, mail, nothing, empty FROM people WHERE id = 7) TO STDOUT (FORMAT csv, HEADER)"
        )
        with connection.cursor().copy("COPY arrived FROM STDIN") as copy:
            copy.write(b"1\tann@exa")
            copy.write(b"mple.com\t\\N\n2\t\\t\\x41\t")
            copy.write(b"x\n")
    out = sql_gate.calls_of("shop.copy_out")[-1]
    body = "".join(str(entry.get("body", "")) for entry in out)
    assert body == (
        '{"copy":"out"}\n{"columns":["id","mail","nothing","empty"]}\n["7","'
        + MAIL
        + '",null,""]\n{"copied":2}\n{"tag":"COPY 1"}\n'
    )
    into = sql_gate.calls_of("shop.copy_in")[-1]
    body = "".join(str(entry.get("body", "")) for entry in into)
    assert body == '["1","' + MAIL + '",null]\n["2","\\tA","x"]\n{"tag":"COPY 2"}\n'


PIECES = [
    b"1\tann@example.com\t\\N\n",
    b'2\t"\\\\\\t\t\\x41\n',
    "3\tü\t-\n".encode(),
    b"4\t" + b"y" * 300_000 + b"\t\n",
]
QUOTED = [b'1,"ann@example.com",\r\n', b'2,"a ""quoted""\nline",\r\n', b'"3",' + b"z" * 100_000 + b",-\r\n"]


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("layout", ["", "(FORMAT csv)"])
def test_rows_arrive_wherever_they_are_cut(sql_gate: SqlGate, database: Database, layout: str, size: int) -> None:
    data = b"".join(QUOTED if layout else PIECES)
    if size == 1:
        data = data[:100].rpartition(b"\n")[0] + b"\n"
    with sql_gate.connect() as connection, database.connect() as direct:
        for to in (direct, connection):
            with to.cursor().copy(f"COPY arrived FROM STDIN {layout}") as copy:  # type: ignore[arg-type]
                for at in range(0, len(data), size):
                    copy.write(data[at : at + size])
        found = direct.execute("SELECT a, b, c, count(*) FROM arrived GROUP BY 1, 2, 3").fetchall()
    assert len(found) >= 2
    assert {count for *_, count in found} == {2}
    call = sql_gate.calls_of("shop.copy_in")[-1]
    body = "".join(str(entry.get("body", "")) for entry in call)
    assert "ann" not in body
    assert body.count(MAIL) == 1


def test_binary_and_strange_layouts_are_refused(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        for options in ("FORMAT binary", "DELIMITER 'ä'", "ENCODING 'latin1'"):
            with pytest.raises(psycopg.Error), connection.cursor().copy(f"COPY people TO STDOUT ({options})") as copy:  # type: ignore[arg-type]
                list(copy)
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("options", ["DELIMITER *", 'DELIMITER (";")', "FORMAT csv, QUOTE *, FORCE_QUOTE *"])
def test_marks_that_are_no_text(sql_gate: SqlGate, options: str) -> None:
    """Attack: a delimiter that the server reads and others do not, so that a value comes in another column's place."""
    for before in ("", "a?"):
        sql = f"COPY (SELECT '{before}', ssn, '?q?r' FROM people) TO STDOUT ({options})"
        told = b""
        with sql_gate.connect() as connection, pytest.raises(psycopg.Error):
            told = copied(connection, sql)
        assert b"-45-" not in told


def test_a_table_without_columns(sql_gate: SqlGate, database: Database) -> None:
    database.fill("CREATE TABLE bare (); INSERT INTO bare DEFAULT VALUES; INSERT INTO bare DEFAULT VALUES")
    try:
        with sql_gate.connect() as connection:
            for layout in ("", "(FORMAT csv)"):
                assert copied(connection, f"COPY bare TO STDOUT {layout}") == b"\n\n"
    finally:
        database.fill("DROP TABLE bare")


def test_limits_of_both_ways(make_sql_gate: Callable[..., SqlGate]) -> None:
    limits = {"max_rows": 100, "max_request": "16KiB", "max_response": "16KiB"}
    gate = make_sql_gate(target={"limits": limits}, masking=MASKING).start()
    with gate.connect() as connection:
        for sql in (
            "COPY people TO STDOUT",
            "COPY (SELECT repeat('x', 1000) FROM people LIMIT 50) TO STDOUT (FORMAT csv)",
        ):
            with pytest.raises(psycopg.errors.ConfigurationLimitExceeded):
                copied(connection, sql)
        with pytest.raises(psycopg.Error, match="too large"):
            write(connection, "COPY arrived FROM STDIN", *[b"x" * 1000] * 40)
        assert connection.execute("SELECT count(*) FROM arrived").fetchone() == (0,)


def test_an_error_in_the_midst(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            copied(connection, f"COPY (SELECT 1 / (id - {ROWS - 1}), mail FROM people ORDER BY id) TO STDOUT")
        with pytest.raises(psycopg.errors.BadCopyFileFormat):
            write(connection, "COPY arrived FROM STDIN", *[b"1\tx\ty\n"] * 5000, b"one\ttoo\tmany\tfields\n")
        assert connection.execute("SELECT count(*) FROM arrived").fetchone() == (0,)
        with pytest.raises(ValueError, match="better"):
            write(connection, "COPY arrived FROM STDIN", b"1\tx\ty\n", GIVEN_UP)
        assert connection.execute("SELECT count(*) FROM arrived").fetchone() == (0,)


def cancelled(connection: psycopg.Connection[Any], sql: str) -> None:
    with connection.cursor().copy(sql) as copy:  # type: ignore[arg-type]
        for at, _ in enumerate(copy):
            if at == 10:
                connection.cancel()


@pytest.fixture
def wide(make_sql_gate: Callable[..., SqlGate]) -> SqlGate:
    limits = {"max_rows": 1_000_000_000, "max_response": "100GiB"}
    return make_sql_gate(target={"limits": limits}, journal={"record": "1GiB"}, masking=MASKING).start()


def test_a_copy_is_cancelled_in_the_midst(wide: SqlGate) -> None:
    endless = "COPY (SELECT mail FROM people, generate_series(1, 100000)) TO STDOUT"
    with wide.connect() as connection:
        with pytest.raises(psycopg.errors.QueryCanceled):
            cancelled(connection, endless)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_caller_that_does_not_read_holds_the_database_back(wide: SqlGate, database: Database) -> None:
    """Rows are not read faster than they go: the gateway's memory stays flat."""
    with Raw(wide.port) as raw:
        raw.log_in(wide.authority.token())
        raw.send(b"Q", b"COPY (SELECT id, repeat('x', 1000) FROM people, generate_series(1, 100000)) TO STDOUT\0")
        raw.until(b"d")
        with database.connect(user="root", dbname="postgres") as direct:
            asked = "SELECT wait_event FROM pg_stat_activity WHERE query LIKE 'COPY (SELECT id%' AND pid != pg_backend_pid()"
            until(lambda: direct.execute(asked).fetchone() == ("ClientWrite",))  # type: ignore[arg-type]


def test_messages_of_hostile_lengths_and_kinds(sql_gate: SqlGate) -> None:
    for message in (b"d\0\0\0\0", b"d\0\0\0\3", b"d\x7f\xff\xff\xff", b"d\xff\xff\xff\xff", b"?\0\0\0\4"):
        with Raw(sql_gate.port) as raw:
            raw.log_in(sql_gate.authority.token())
            raw.send(b"Q", b"COPY arrived FROM STDIN\0")
            raw.until(b"G")
            raw.socket.sendall(b"d\0\0\0\x0a1\t2\t3\n" + message + b"\0" * 100)
            assert "E" in kinds(raw.until(b"Z"))
    with Raw(sql_gate.port) as raw:
        raw.log_in(sql_gate.authority.token())
        raw.send(b"Q", b"COPY arrived FROM STDIN\0")
        raw.until(b"G")
        raw.send(b"d", b"1\t2\t3\n")
        raw.send(b"d", b"")
        raw.send(b"Q", b"SELECT 1\0")
        assert errors(raw.until(b"Z"))


def test_asyncpg(sql_gate: SqlGate) -> None:
    async def run() -> None:
        login = sql_gate.login()
        connection = await asyncpg.connect(
            host=login["host"],
            port=login["port"],
            user=login["user"],
            password=login["password"],
            database="shop",
            ssl=False,
        )
        out = io.BytesIO()
        await connection.copy_from_query(
            "SELECT id, ssn, mail FROM people ORDER BY id", output=out, format="csv", header=True
        )
        found = list(csv.reader(io.StringIO(out.getvalue().decode())))
        assert found == [["id", "ssn", "mail"], *([str(at), FIELD, mail(at)] for at in range(1, ROWS + 1))]
        source = io.BytesIO(b"".join(b"%d,a,b\n" % at for at in range(10_000)))
        assert await connection.copy_to_table("arrived", source=source, format="csv") == "COPY 10000"
        assert await connection.fetchval("SELECT count(*) FROM arrived") == 10_000
        await connection.close()

    asyncio.run(run())


def test_psql(sql_gate: SqlGate) -> None:
    login = sql_gate.login()
    environ = os.environ | {"PGPASSWORD": login["password"], "PGSSLMODE": "disable"}
    command = ["psql", "-X", "-h", login["host"], "-p", str(login["port"]), "-U", "agent", "shop"]
    out = subprocess.run(
        [*command, "-c", "\\copy (SELECT id, ssn FROM people ORDER BY id LIMIT 3) TO STDOUT CSV HEADER"],
        env=environ, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert out.stdout.decode() == f"id,ssn\n1,{FIELD}\n2,{FIELD}\n3,{FIELD}\n"
    subprocess.run(
        [*command, "-c", "\\copy arrived FROM STDIN"], input=b"1\t2\t3\n\\.\n", env=environ, timeout=60, check=True
    )
    with sql_gate.connect() as connection:
        assert connection.execute("SELECT count(*) FROM arrived").fetchone() == (1,)
