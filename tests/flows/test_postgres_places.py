"""Which table a bare name means is asked of the session, before a policy sees it, whatever is done to the path."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from support.postgres import Database, SqlGate

OWN = '"public.orders"'  # a table whose name has a dot in it
TABLES = f"""
DROP SCHEMA IF EXISTS hr CASCADE; CREATE SCHEMA hr; DROP TABLE IF EXISTS public.orders, public.people, public.{OWN};
CREATE TABLE public.orders (id int); INSERT INTO public.orders VALUES (1);
CREATE TABLE hr.orders (id int); INSERT INTO hr.orders VALUES (7);
CREATE TABLE hr.staff (id int); CREATE TABLE public.people (id int); CREATE TABLE public.{OWN} (id int);
"""
AGENTS = {"principals": ["group:agents"]}
POLICIES = [
    {
        "name": "session", "effect": "allow", **AGENTS,
        "functions": ["shop.set", "shop.show", "shop.ddl", "shop.transaction", "shop.call", "shop.do"],
    },
    {
        "name": "public only", "effect": "allow", "functions": ["shop.select", "shop.insert", "shop.delete", "shop.copy_out"],
        **AGENTS, "when": "(args.relations_read + args.relations_written).all(t, t == 'public.orders' || t == 'public.people')",
    },
]  # fmt: skip


@pytest.fixture(scope="module")
def gate(database: Database, tmp_path_factory: pytest.TempPathFactory, authority: Any) -> Iterator[SqlGate]:
    gate = SqlGate(tmp_path_factory.mktemp("gate"), authority, database, policies=POLICIES, target={"preset": "none"})
    gate.start()
    yield gate
    assert gate.stop() == 0


@pytest.fixture
def session(gate: SqlGate, database: Database) -> Iterator[psycopg.Connection[Any]]:
    database.fill(TABLES)
    with gate.connect() as connection:
        yield connection
    database.fill(f"DROP SCHEMA IF EXISTS hr CASCADE; DROP TABLE IF EXISTS public.orders, public.people, public.{OWN}")


def refused(session: psycopg.Connection[Any], sql: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"not allowed|policies cannot see|known"):
        session.execute(sql)  # type: ignore[arg-type]


def told(gate: SqlGate, function: str) -> list[tuple[list[str], list[str]]]:
    """What was read and written by the calls of a function, in order."""
    arrived = [call[0]["args"] for call in gate.calls_of(function) if call[0]["kind"] == "arrived"]
    return [(args["relations_read"], args["relations_written"]) for args in arrived]


def test_bare_names_are_those_of_the_path(gate: SqlGate, session: psycopg.Connection[Any]) -> None:
    assert session.execute("SELECT id FROM orders").fetchall() == [(1,)]
    assert told(gate, "shop.select")[-1] == (["public.orders"], [])
    session.execute("INSERT INTO orders SELECT 2 FROM people")
    assert told(gate, "shop.insert")[-1] == (["public.people"], ["public.orders"])
    with session.cursor().copy("COPY orders TO STDOUT") as copied:
        assert len(list(copied)) == 1
    assert told(gate, "shop.copy_out")[-1] == (["public.orders"], [])
    refused(session, "SELECT * FROM hr.orders")
    assert told(gate, "shop.select")[-1] == (["hr.orders"], [])
    refused(session, "SELECT 1 FROM pg_class")
    assert told(gate, "shop.select")[-1] == (["pg_catalog.pg_class"], [])


@pytest.mark.parametrize(
    "moving",
    [
        "SET search_path = hr", "SET SCHEMA 'hr'", "SELECT set_config('search_path', 'hr', false)",
        "DO $$ BEGIN PERFORM set_config('search_path', 'hr, public', false); END $$", "SET search_path = hr, public",
    ],
)  # fmt: skip
def test_another_search_path_is_seen(gate: SqlGate, session: psycopg.Connection[Any], moving: str) -> None:
    """Attack: allowed for public.orders, and have the name mean another one."""
    session.execute("SELECT id FROM orders")
    session.execute(moving)  # type: ignore[arg-type]
    refused(session, "SELECT id FROM orders")
    refused(session, "DELETE FROM orders")
    assert told(gate, "shop.delete")[-1] == ([], ["hr.orders"])
    session.execute("RESET search_path")
    assert session.execute("SELECT id FROM orders").fetchall() == [(1,)]


def test_a_path_ends_with_its_transaction(session: psycopg.Connection[Any]) -> None:
    for ending in ("COMMIT", "ROLLBACK"):
        session.execute("BEGIN")
        session.execute("SET LOCAL search_path = hr")
        refused(session, "SELECT id FROM orders")
        session.execute("ROLLBACK")
        session.execute("BEGIN")
        session.execute("SET LOCAL search_path = hr")
        session.execute(ending)  # type: ignore[arg-type]
        assert session.execute("SELECT id FROM orders").fetchall() == [(1,)]


def test_a_path_that_was_set_in_vain(session: psycopg.Connection[Any]) -> None:
    """Attack: SET in a transaction that is rolled back to a savepoint: the path is what it was before."""
    session.execute("SET search_path = hr")
    session.execute("BEGIN; SAVEPOINT a")
    session.execute("SET search_path = public")
    session.execute("ROLLBACK TO a")
    refused(session, "SELECT id FROM orders")


def test_a_path_in_the_same_text(gate: SqlGate, session: psycopg.Connection[Any]) -> None:
    """Attack: all statements of a text are judged before the first one runs."""
    session.execute("SELECT 1 FROM orders")
    refused(session, "SET search_path = hr; SELECT id FROM orders")
    assert told(gate, "shop.select")[-1] == (["?.orders", "hr.orders", "public.orders"], [])
    refused(session, "CREATE TEMP TABLE orders (id int); INSERT INTO orders VALUES (1)")
    assert session.execute("SELECT id FROM orders").fetchall() == [(1,)]


def test_a_path_in_the_same_pipeline(gate: SqlGate, session: psycopg.Connection[Any]) -> None:
    """Nobody can ask the database before Sync: the name may be any."""
    session.execute("SELECT 1 FROM orders")

    def both() -> None:
        with session.pipeline():
            session.execute("SET search_path = hr")
            session.execute("DELETE FROM orders")

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        both()
    assert told(gate, "shop.delete")[-1] == ([], ["?.orders", "hr.orders", "public.orders"])
    assert session.execute("SELECT id FROM orders").fetchall() == [(1,)]


def test_a_temporary_table_in_the_place_of_another(gate: SqlGate, session: psycopg.Connection[Any]) -> None:
    session.execute("CREATE TEMP TABLE orders (id int)")
    assert told(gate, "shop.ddl")[-1] == ([], ["pg_temp.orders"])
    refused(session, "INSERT INTO orders VALUES (1)")
    assert told(gate, "shop.insert")[-1] == ([], ["pg_temp.orders"])
    refused(session, "INSERT INTO pg_temp.orders VALUES (1)")
    assert session.execute("SELECT id FROM public.orders").fetchall() == [(1,)]
    session.execute("DROP TABLE pg_temp.orders")
    session.execute("CREATE TEMP TABLE people ()")  # without a column
    refused(session, "DELETE FROM people")
    session.execute("DISCARD TEMP")
    session.execute("DELETE FROM people")
    assert told(gate, "shop.delete")[-1] == ([], ["public.people"])


def test_a_name_with_a_dot_in_it(gate: SqlGate, session: psycopg.Connection[Any]) -> None:
    """Attack: a table that is called ``public.orders``, to be taken for another one."""
    refused(session, f"DELETE FROM {OWN}")
    assert told(gate, "shop.delete")[-1] == ([], ['public."public.orders"'])


def test_what_is_made_is_made_in_the_path(gate: SqlGate, session: psycopg.Connection[Any]) -> None:
    session.execute("SET search_path = hr, public")
    session.execute("CREATE TABLE people (id int)")
    assert told(gate, "shop.ddl")[-1] == ([], ["hr.people", "public.people"])


def test_a_function_in_the_place_of_postgresqls_own(session: psycopg.Connection[Any], database: Database) -> None:
    """Attack: lower(integer) in public fits better than lower(text); pg_catalog behind a schema of one's own."""
    make = (
        "CREATE OR REPLACE FUNCTION {}({}) RETURNS text LANGUAGE sql AS 'DELETE FROM public.people; SELECT ''x''::text'"
    )
    with database.connect() as direct:
        direct.execute("INSERT INTO people VALUES (1)")
        for name, kind in (("public.upper", "integer"), ("hr.reverse", "text")):
            direct.execute(make.format(name, kind))  # type: ignore[arg-type]
    try:
        refused(session, "SELECT upper(1) FROM orders")
        refused(session, "SELECT upper(1)")
        assert session.execute("SELECT reverse('ab')").fetchone() == ("ba",)
        session.execute("SET search_path = pg_catalog, hr")
        assert session.execute("SELECT reverse('ab')").fetchone() == ("ba",)
        session.execute("SET search_path = hr, pg_catalog")
        refused(session, "SELECT reverse('ab')")
        with database.connect() as direct:
            assert direct.execute("SELECT count(*) FROM people").fetchone() == (1,)
    finally:
        database.fill("DROP FUNCTION public.upper(integer); DROP FUNCTION hr.reverse(text)")


def test_a_prepared_statement_means_what_the_path_says_when_it_runs(
    make_sql_gate: Callable[..., SqlGate], session: psycopg.Connection[Any]
) -> None:
    for _ in range(7):  # psycopg prepares it from the sixth time on
        assert session.execute("SELECT id FROM orders").fetchall() == [(1,)]
    session.execute("SET search_path = hr")
    refused(session, "SELECT id FROM orders")
