"""Real clients in front of a real PostgreSQL: what they get through the gateway is what they get from the server."""

import asyncio
import datetime
import io
import os
import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pg8000.dbapi
import psycopg
import pytest
import sqlalchemy

from support.postgres import Database, SqlGate, binaries

_TABLE = """
CREATE TABLE IF NOT EXISTS kinds (
    id int PRIMARY KEY, name text, price numeric(12, 4), active boolean, born date, seen timestamptz, tags text[],
    counts int[], data jsonb, raw bytea, key uuid, ratio float8, large bigint
)
"""
_ROW = (
    7, "Zoë", Decimal("12.5000"), True, datetime.date(2024, 2, 29),
    datetime.datetime(2024, 2, 29, 12, 30, 15, 123456, datetime.UTC), ["a", "b,c", 'd"e'], [1, 2, 3], {"a": [1, {"b": None}]},
    b"plain", UUID("12345678-1234-5678-1234-567812345678"), 0.1, 9_007_199_254_740_993,
)  # fmt: skip


@pytest.fixture(autouse=True)
def kinds(database: Database) -> Iterator[None]:
    database.fill(_TABLE)
    with database.connect() as direct:
        values = [psycopg.types.json.Jsonb(v) if isinstance(v, dict) else v for v in _ROW]
        direct.execute(f"INSERT INTO kinds VALUES ({', '.join(['%s'] * len(values))})", values)  # type: ignore[arg-type]
    yield
    database.fill("DROP TABLE kinds")


@pytest.mark.parametrize("binary", [False, True])
def test_psycopg_reads_each_kind_of_value_as_directly(sql_gate: SqlGate, database: Database, binary: bool) -> None:
    columns = "id, name, price, active, born, seen, tags, counts, data, key, ratio, large"
    for connect in (sql_gate.connect, database.connect):
        with connect() as connection:
            found = connection.cursor(binary=binary).execute(f"SELECT {columns} FROM kinds").fetchone()  # type: ignore[call-overload]
        assert found == tuple(value for value in _ROW if value != b"plain")


def test_psycopg_binds_prepares_and_reads_in_both_formats(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        for at in range(4):
            found = connection.execute("SELECT id, %b::int4 FROM kinds WHERE name = %t", (at, "Zoë"), prepare=True)
            assert found.fetchone() == (7, at)


def test_psycopg_pipelines(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection, connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", (at,)) for at in range(50)]
        assert [cursor.fetchone() for cursor in cursors] == [(at,) for at in range(50)]


def test_psycopg_copies_in_and_out(sql_gate: SqlGate, database: Database) -> None:
    database.fill("DROP TABLE IF EXISTS copied; CREATE TABLE copied (a int, b text)")
    rows = [(at, f"tab\there {at} back\\slash\nline") for at in range(500)] + [(-1, None)]
    with sql_gate.connect() as connection:
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        with connection.cursor().copy("COPY (SELECT * FROM copied ORDER BY a) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            assert list(copy.rows()) == sorted(rows, key=lambda row: row[0])
    (entries,) = (call for call in sql_gate.calls_of("shop.copy_in") if "COPY copied" in str(call[0].get("args")))
    recorded = "".join(str(entry.get("body", "")) for entry in entries)
    assert all(f"here {at} back" in recorded for at in range(500))


def test_psycopg_streams_and_uses_several_results(sql_gate: SqlGate) -> None:
    with sql_gate.connect() as connection:
        assert sum(1 for _ in connection.cursor().stream("SELECT * FROM generate_series(1, 20000)")) == 20_000
        cursor = connection.execute("SELECT 1; SELECT 2 AS two, 3; SELECT 4")
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
        assert found == [[(1,)], [(2, 3)], [(4,)]]


def test_psycopg_async_with_transactions_and_savepoints(sql_gate: SqlGate) -> None:
    async def run() -> list[Any]:
        async with await psycopg.AsyncConnection.connect(**sql_gate.login()) as connection:
            async with connection.transaction():
                await connection.execute("UPDATE kinds SET name = 'in' WHERE id = 7")
                with pytest.raises(psycopg.errors.DivisionByZero):
                    async with connection.transaction():
                        await connection.execute("UPDATE kinds SET name = 'out', ratio = 1 / 0 WHERE id = 7")
            return await (await connection.execute("SELECT name FROM kinds")).fetchall()

    assert asyncio.run(run()) == [("in",)]


def test_asyncpg(sql_gate: SqlGate) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(**_other(sql_gate, "database"))
        row = await connection.fetchrow("SELECT id, name, price, seen, tags, data, key FROM kinds WHERE id = $1", 7)
        assert tuple(row)[:5] == (*_ROW[:3], _ROW[5], _ROW[6])
        async with connection.transaction():
            cursor = connection.cursor("SELECT * FROM generate_series(1, 7)", prefetch=3)
            assert [record[0] async for record in cursor] == [1, 2, 3, 4, 5, 6, 7]
        await connection.executemany(
            "INSERT INTO kinds (id, name) VALUES ($1, $2)", [(at, "m") for at in range(100, 110)]
        )
        assert await connection.fetchval("SELECT count(*) FROM kinds WHERE name = 'm'") == 10
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM kinds")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("DELETE FROM kinds WHERE id = $1", 7)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()

    asyncio.run(run())


def test_asyncpg_learns_types_of_the_databases_own(make_sql_gate: Callable[..., SqlGate], database: Database) -> None:
    """Before it asks for them it turns `jit` off, by set_config, and then on again."""
    gate = make_sql_gate(masking=[]).start()
    database.fill("DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('calm', 'merry')")

    async def run() -> None:
        connection = await asyncpg.connect(**_other(gate, "database"))
        assert await connection.fetchval("SELECT $1::mood", "merry") == "merry"
        assert await connection.fetchval("SELECT ARRAY['calm', 'merry']::mood[]") == ["calm", "merry"]
        assert await connection.fetchval("SELECT current_setting('jit')") == "on"
        await connection.close()

    asyncio.run(run())


def test_asyncpg_asks_simply_between_preparing_and_running(sql_gate: SqlGate) -> None:
    """It prepares with a Flush and no Sync, and may send a simple query next."""

    async def run() -> None:
        connection = await asyncpg.connect(**_other(sql_gate, "database"))
        prepared = await connection.prepare("SELECT $1::int")
        await connection.execute("SET statement_timeout = '10s'")
        assert await prepared.fetchval(5) == 5
        await connection.execute("DEALLOCATE ALL")
        with pytest.raises(asyncpg.InvalidSQLStatementNameError):
            await prepared.fetchval(5)
        await connection.close()

    asyncio.run(run())


def test_pg8000(sql_gate: SqlGate) -> None:
    connection = pg8000.dbapi.connect(**_other(sql_gate, "database"))
    cursor = connection.cursor()
    cursor.execute("SELECT id, name, price FROM kinds WHERE id = %s", (7,))
    assert tuple(cursor.fetchone()) == _ROW[:3]
    with pytest.raises(pg8000.dbapi.DatabaseError, match="42501"):
        cursor.execute("DELETE FROM kinds")
    connection.rollback()
    cursor.execute("SELECT count(*) FROM kinds")
    assert cursor.fetchone() == [1]
    connection.close()


def test_pg8000_copies_in_and_out(sql_gate: SqlGate) -> None:
    """It parses, describes and runs a COPY in batches of their own: each is answered."""
    connection = pg8000.dbapi.connect(**_other(sql_gate, "database"))
    cursor, found = connection.cursor(), io.BytesIO()
    cursor.execute("CREATE TEMP TABLE copied_by_8000 (a int, b text)")
    cursor.execute("COPY copied_by_8000 FROM STDIN (FORMAT csv)", stream=io.BytesIO(b"1,one\n2,two\n"))
    cursor.execute("COPY copied_by_8000 TO STDOUT (FORMAT csv)", stream=found)
    assert found.getvalue() == b"1,one\n2,two\n"
    connection.close()


@pytest.mark.parametrize("driver", ["psycopg", "pg8000"])
def test_sqlalchemy(sql_gate: SqlGate, driver: str) -> None:
    login = sql_gate.login()
    url = sqlalchemy.URL.create(f"postgresql+{driver}", "agent", login["password"], "127.0.0.1", login["port"], "shop")
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.begin() as connection:
            kinds = sqlalchemy.Table("kinds", sqlalchemy.MetaData(), autoload_with=connection)
            connection.execute(kinds.insert(), [{"id": at, "name": "s"} for at in range(20, 25)])
            query = sqlalchemy.select(kinds.c.id, kinds.c.price).where(kinds.c.name == "Zoë")
            assert connection.execute(query).all() == [(7, _ROW[2])]
            with pytest.raises(sqlalchemy.exc.DBAPIError), connection.begin_nested():
                connection.execute(kinds.delete())
            assert connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(kinds)) == 6
    finally:
        engine.dispose()


def test_psql(sql_gate: SqlGate) -> None:
    commands = ["SELECT id, name FROM kinds", "\\copy kinds (id) TO STDOUT", "DELETE FROM kinds", "SELECT 1/0"]
    found = _run(sql_gate, "psql", "-At", *[word for command in commands for word in ("-c", command)])
    assert found.stdout == "7|Zoë\n7\n"
    assert "ERROR:  This call is not allowed\nDETAIL:  policy.denied call " in found.stderr
    assert "ERROR:  division by zero" in found.stderr


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(sql_gate: SqlGate, mode: str, tmp_path: Any) -> None:
    script = tmp_path / "script.sql"
    script.write_text("\\set id random(1, 9)\nSELECT name FROM kinds WHERE id = :id;\n")
    found = _run(sql_gate, "pgbench", "-n", "-M", mode, "-c", "4", "-t", "50", "-f", str(script))
    assert found.returncode == 0, found.stderr
    assert "number of transactions actually processed: 200/200" in found.stdout
    assert "number of failed transactions: 0 " in found.stdout


def _run(gate: SqlGate, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    login = gate.login()
    settings = {"PGHOST": "127.0.0.1", "PGPORT": str(login["port"]), "PGUSER": "agent", "PGDATABASE": "shop"}
    return subprocess.run(
        [str(binaries() / program), *arguments],
        env=os.environ | settings | {"PGPASSWORD": login["password"]}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def _other(gate: SqlGate, name: str) -> dict[str, Any]:
    """The same under the name that another client has for the database."""
    login = gate.login()
    return {name: login.pop("dbname"), **login}
