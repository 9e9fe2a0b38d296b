"""Enums and their arrays through a gateway that masks, in both formats, from drivers that ask for binary and others."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import asyncpg
import psycopg
import pytest

from support.postgres import Database, SqlGate

CARD = "4111 1111 1111 1111"
TABLES = f"""
CREATE TYPE feeling AS ENUM ('calm', 'merry', '{CARD}'); CREATE DOMAIN spirit AS feeling; CREATE DOMAIN word AS text;
CREATE TYPE feeling_pair AS (a feeling, b int); CREATE TABLE people (id int, ssn feeling);
CREATE TABLE feelings (id int, one feeling, many feeling[], own spirit, owns spirit[], words word[], pairs feeling_pair);
INSERT INTO feelings VALUES (1, 'calm', '{{calm,NULL,merry}}', 'merry', '{{calm}}', '{{a,b}}', ROW('calm', 1)),
  (2, '{CARD}', '{{calm,{CARD}}}', '{CARD}', '{{{CARD}}}', '{{a,{CARD}}}', NULL), (3, NULL, NULL, NULL, '{{}}', NULL, NULL);
INSERT INTO people VALUES (1, 'calm');
"""
COLUMNS = "one, many, own, owns, words"
SELECT = f"SELECT {COLUMNS} FROM feelings ORDER BY id"
SHOWN = ("calm", ["calm", None, "merry"], "merry", ["calm"], ["a", "b"])
ROWS = [SHOWN, (None,) * 5, (None, None, None, [], None)]


@pytest.fixture(autouse=True)
def feelings(database: Database) -> Iterator[None]:
    database.fill(TABLES)
    yield
    database.fill("DROP TABLE feelings, people; DROP TYPE feeling_pair; DROP DOMAIN spirit, word; DROP TYPE feeling")


@pytest.fixture
def gate(make_sql_gate: Callable[..., SqlGate]) -> SqlGate:
    masking = [{"functions": ["shop.*"], "detect": "all", "fields": ["people.ssn"]}]
    return make_sql_gate(masking=masking).start()


def by_asyncpg(gate: SqlGate, use: Callable[[asyncpg.Connection], Any]) -> None:
    async def run() -> None:
        login = gate.login()
        connection = await asyncpg.connect(database=login.pop("dbname"), **login)
        try:
            await use(connection)
        finally:
            await connection.close()

    asyncio.run(run())


def test_asyncpg_gets_what_no_detector_finds(gate: SqlGate) -> None:
    async def use(connection: asyncpg.Connection) -> None:
        for _ in range(3):  # prepared once, and run on the shorter ways then
            assert [tuple(row) for row in await connection.fetch(SELECT)] == ROWS
        assert [
            tuple(row) for row in await connection.fetch(f"SELECT {COLUMNS} FROM feelings WHERE one = $1", "calm")
        ] == [SHOWN]
        assert await connection.fetchval("SELECT $1::feeling[]", ["calm", "merry"]) == ["calm", "merry"]
        async with connection.transaction():
            cursor = connection.cursor("SELECT one, own FROM feelings ORDER BY id", prefetch=1)
            assert [tuple(row) async for row in cursor] == [("calm", "merry"), (None, None), (None, None)]

    by_asyncpg(gate, use)
    assert CARD not in str([entry for entry in gate.entries() if "body" in entry])


def test_so_does_a_pool_that_resets_its_sessions(make_sql_gate: Callable[..., SqlGate], database: Database) -> None:
    """With rules of detectors alone nothing is read anew for a text that names no table."""
    gate = make_sql_gate(masking=[{"functions": ["shop.*"], "detect": "all"}]).start()
    database.fill("CREATE FUNCTION feeling_now() RETURNS feeling LANGUAGE sql AS $$ SELECT 'calm'::feeling $$")

    async def run() -> list[Any]:
        login = gate.login()
        given = {"database": login.pop("dbname"), "min_size": 1, "max_size": 1, **login}
        async with asyncpg.create_pool(**given) as pool:
            texts = ["SELECT feeling_now()", "SELECT public.feeling_now()", "SELECT 'calm'::feeling"] * 2
            return [await pool.fetchval(text) for text in texts]

    assert asyncio.run(run()) == ["calm"] * 6
    database.fill("DROP FUNCTION feeling_now()")


def test_a_hidden_column_and_a_composite_stay_hidden(gate: SqlGate) -> None:
    async def use(connection: asyncpg.Connection) -> None:
        assert await connection.fetchval("SELECT id FROM people WHERE ssn = $1", "calm") == 1
        for sql in (
            "SELECT ssn FROM people",
            "SELECT ARRAY[ssn] FROM people",
            "SELECT pairs FROM feelings WHERE id = 1",
        ):
            assert await connection.fetchval(sql) is None
        # Beside one that is hidden, the message is written again by itself alone.
        row = await connection.fetchrow("SELECT ssn, one, many, pairs FROM people JOIN feelings USING (id)")
        assert tuple(row) == (None, *SHOWN[:2], None)

    by_asyncpg(gate, use)


def test_what_is_made_is_shown_from_then_on_by_whoever_made_it(gate: SqlGate, database: Database) -> None:
    """Another session has what it knows for up to 30 seconds: what it does not know is hidden."""

    async def use(connection: asyncpg.Connection) -> None:
        assert await connection.fetchval("SELECT one FROM feelings WHERE id = 1") == "calm"
        database.fill(
            "CREATE TYPE since AS ENUM ('new'); CREATE TABLE later (a since); INSERT INTO later VALUES ('new')"
        )
        assert await connection.fetchval("SELECT a FROM later") is None
        await connection.execute("DROP TABLE later; DROP TYPE since")
        await connection.execute("CREATE TYPE since AS ENUM ('newer'); CREATE TABLE later (a since, b since[])")
        await connection.execute("INSERT INTO later VALUES ('newer', '{newer}')")
        assert tuple(await connection.fetchrow("SELECT a, b FROM later")) == ("newer", ["newer"])
        assert await connection.fetchval("SELECT 'newer'::since") == "newer"
        async with connection.transaction():
            await connection.execute("ALTER TYPE since ADD VALUE 'newest'")
            assert await connection.fetchval("SELECT b FROM later") == ["newer"]
        assert await connection.fetchval("SELECT 'newest'::since") == "newest"
        await connection.execute("DROP TABLE later; DROP TYPE since")

    by_asyncpg(gate, use)


@pytest.mark.parametrize("binary", [False, True])
def test_psycopg_gets_the_same_in_both_formats(gate: SqlGate, binary: bool) -> None:
    with gate.connect() as connection, connection.cursor(binary=binary) as cursor:
        found = cursor.execute(
            "SELECT one, own, ssn FROM feelings LEFT JOIN people USING (id) ORDER BY id", prepare=True
        )
        shown = (b"calm", b"merry", None) if binary else ("calm", "merry", None)
        assert found.fetchall() == [shown, (None, None, None), (None, None, None)]
        cursor.execute("SELECT many, owns, words FROM feelings ORDER BY id")
        result = cursor.pgresult
        assert result is not None
        nothing = [result.get_value(1, at) for at in range(3)]
        assert nothing == [None] * 3
        assert [(result.get_value(0, at) or b"").count(b"calm") for at in range(3)] == [1, 1, 0]


def test_simple_queries_and_copies_are_as_they_were(gate: SqlGate) -> None:
    with gate.connect() as connection:
        result = connection.pgconn.exec_(SELECT.encode())
        assert [result.get_value(0, at) for at in range(2)] == [b"calm", b"{calm,NULL,merry}"]
        assert [result.get_value(1, at) for at in range(5)] == [None] * 5
        with connection.cursor().copy("COPY (SELECT one, many FROM feelings ORDER BY id) TO STDOUT") as copy:
            assert list(copy.rows())[0::2] == [("calm", "{calm,NULL,merry}"), (None, None)]
        with connection.cursor().copy("COPY (SELECT one FROM feelings) TO STDOUT") as copy:
            assert CARD not in str(list(copy.rows()))
        with (
            pytest.raises(psycopg.errors.SyntaxError, match="format binary"),
            connection.cursor().copy("COPY feelings TO STDOUT (FORMAT binary)") as copy,
        ):
            list(copy)
