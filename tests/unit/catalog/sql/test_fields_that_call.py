"""A function of one argument written as a field of its argument: ``(value).f`` is ``f(value)``, for PostgreSQL's own too."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from funcgate.catalog.sql import RELATIONS_SQL, Relations, Statement, load_sql, origins
from funcgate.catalog.sql.statement import Described
from support.postgres import Database, SqlGate

TABLES = """
CREATE SCHEMA IF NOT EXISTS fields_that_call; SET search_path = fields_that_call, public;
CREATE TABLE spent (id int, note text); INSERT INTO spent VALUES (1, 'a'); CREATE SEQUENCE counted;
CREATE FUNCTION wipe_row(spent) RETURNS int LANGUAGE sql AS 'DELETE FROM fields_that_call.spent; SELECT 1';
CREATE FUNCTION wipe_any(anyelement) RETURNS int LANGUAGE sql AS 'DELETE FROM fields_that_call.spent; SELECT 1';
CREATE FUNCTION note_of(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT note FROM fields_that_call.spent WHERE id = $1';
"""
CALLING = """
SELECT ('counted'::regclass).nextval
SELECT ('/etc/hostname'::text).pg_read_file
SELECT ($1::text).pg_read_file
SELECT s.nextval FROM to_regclass('counted') s
SELECT f.pg_read_file FROM concat('/etc/hostname') f
SELECT (ARRAY['counted'::regclass])[1].nextval
SELECT a[1].nextval FROM (SELECT ARRAY['counted'::regclass] AS a) q
SELECT (0).pg_stat_get_activity
SELECT (spent).wipe_row FROM spent
SELECT ((SELECT spent FROM spent)).wipe_row
SELECT (ROW(1, 'x')::spent).wipe_row
SELECT (1).wipe_any
SELECT q.wipe_any FROM (SELECT 1) q
WITH q AS (SELECT 1 AS a) SELECT q.wipe_any FROM q
SELECT q.wipe_any FROM (VALUES (1)) q
SELECT c.wipe_any FROM pg_class c
SELECT t.wipe_any FROM information_schema.tables t
SELECT 1 FROM spent WHERE (note).wipe_any = 1
SELECT 1 FROM spent ORDER BY (id).wipe_any
EXPLAIN ANALYZE SELECT (1).wipe_any
COPY (SELECT (1).wipe_any) TO STDOUT
INSERT INTO spent SELECT (1).wipe_any
""".strip().splitlines()
READING = """
SELECT (s).note, (s.*).id, s.note FROM spent s
SELECT (e).key, e.value FROM jsonb_each('{}') e
SELECT (information_schema._pg_expandarray(ARRAY[1, 2])).n
SELECT q.total FROM (SELECT 1 AS total) q
SELECT q.note FROM (SELECT * FROM spent) q
SELECT ('a'::text).upper, (1).note_of
SELECT c.relname, c.oid, c.ctid FROM pg_class c
""".strip().splitlines()


@pytest.fixture(scope="module")
def relations(database: Database) -> Iterator[Relations]:
    with database.connect(user="root") as connection:
        connection.execute(TABLES)
        yield Relations(connection.execute(RELATIONS_SQL).fetchall())
        connection.execute("DROP SCHEMA fields_that_call CASCADE")


def read(sql: str) -> Statement:
    (statement,) = load_sql("shop", None, Path(), ()).analyse(sql)
    return statement


@pytest.mark.parametrize("sql", CALLING)
def test_a_call_that_looks_like_a_field_is_one(relations: Relations, sql: str) -> None:
    assert relations.hidden_calls(read(sql))


@pytest.mark.parametrize("sql", READING)
def test_a_field_is_none(relations: Relations, sql: str) -> None:
    assert relations.hidden_calls(read(sql)) == frozenset()


def test_nor_is_it_called_beside_a_function_that_may_be(relations: Relations) -> None:
    found = relations.disguised(
        read("SELECT wipe(), ('/etc/hostname'::text).pg_read_file, q.wipe_any FROM (SELECT 1) q")
    )
    assert found == {"pg_read_file as a field", "wipe_any as a field"}


def test_a_definition_shows_what_it_calls_that_way() -> None:
    dangers = read("CREATE TABLE d (a text DEFAULT ('/etc/hostname'::text).pg_read_file)").args["dangerous"]
    assert dangers == ["function pg_read_file"]


def test_policies_see_it_among_the_functions() -> None:
    assert read("SELECT ('a'::text).upper, q.lower FROM length('a') q").args["functions"] == [
        "length",
        "lower",
        "upper",
    ]


@pytest.mark.parametrize(
    "sql", ["SELECT (1).note_of", "SELECT ('a.b'::text).current_setting", "SELECT q.note_of FROM abs(1) q"]
)
def test_nobody_can_tell_where_its_result_is_from(relations: Relations, sql: str) -> None:
    assert origins(read(sql), [Described("x")], relations) == [None]
    assert origins(read(sql), [Described("x")], None) == [None]


@pytest.mark.parametrize("sql", ["SELECT (spent).wipe_row FROM spent", "SELECT q.wipe_any FROM (SELECT 1) q"])
@pytest.mark.parametrize("prepare", [False, True])
def test_it_does_not_run(
    make_sql_gate: Callable[..., SqlGate], database: Database, relations: Relations, sql: str, prepare: bool
) -> None:
    reading = [{"name": "read", "effect": "allow", "functions": ["shop.select"], "principals": ["*"]}]
    with database.connect(user="root") as direct:
        direct.execute("GRANT USAGE ON SCHEMA fields_that_call TO owner; GRANT ALL ON fields_that_call.spent TO owner")
        direct.execute("ALTER ROLE owner SET search_path = fields_that_call, public")
        try:
            with make_sql_gate(policies=reading).start().connect() as connection:
                assert connection.execute("SELECT (s).note FROM spent s", prepare=prepare).fetchall() == [("a",)]
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="policies cannot see"):
                    connection.execute(sql, prepare=prepare)  # type: ignore[call-overload]
        finally:
            direct.execute("ALTER ROLE owner RESET search_path")
        assert direct.execute("SELECT count(*) FROM fields_that_call.spent").fetchone() == (1,)
