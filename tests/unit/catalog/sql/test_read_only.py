"""A policy that allows reading, and every way to write that we could think of: the database is the same before and after.

Each statement that the policy would let through is run, as a superuser, past the gateway: nothing but the judgement protects.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from funcgate.catalog.sql import SqlCatalog, load_sql
from funcgate.config.presets import preset_policies
from funcgate.config.shape.postgres import PostgresTargetSpec
from funcgate.core.call import Call
from funcgate.core.decision import Allow
from funcgate.core.principal import Principal
from funcgate.core.refusal import Refused
from funcgate.policy import PolicySet, PolicySpec, compile_policies
from support.postgres import Database
from support.statements import READING, TABLES, WRITES, state


@pytest.fixture(scope="module")
def catalogue() -> SqlCatalog:
    return load_sql("shop", None, Path(), ())


@pytest.fixture(scope="module")
def policies(catalogue: SqlCatalog) -> PolicySet:
    reading = PolicySpec(name="read", effect="allow", functions=READING, principals=["*"])
    preset = preset_policies([PostgresTargetSpec(name="shop", url="postgres://x/shop")])
    return compile_policies([reading, *preset], catalogue.functions, "v1")


@pytest.fixture
def server() -> Iterator[Database]:
    database = Database().start()
    try:
        with database.connect(user="root") as connection:
            connection.execute(TABLES)
        yield database
    finally:
        database.stop()


def allowed(catalogue: SqlCatalog, policies: PolicySet, text: str) -> bool:
    """Whether every statement of the text is; all of them are judged before the first is sent."""
    try:
        return all(_allowed(catalogue, policies, statement) for statement in catalogue.analyse(text))
    except Refused:
        return False


def _allowed(catalogue: SqlCatalog, policies: PolicySet, statement: Any) -> bool:
    values: list[Any] = [None] * statement.parameters
    call = Call(
        id="c", target="shop", function=f"shop.{statement.function}", args=catalogue.arguments(statement, values),
        principal=Principal("i", "alice", frozenset(), {}, "t", 0.0, selectors=frozenset({"*"})),
        session="", digest="", received_at=0.0,
    )  # fmt: skip
    return isinstance(policies.decide(call), Allow)


def run(server: Database, text: str) -> None:
    with server.connect(user="root") as connection:
        connection.execute("SET statement_timeout = '5s'")
        connection.pgconn.exec_(text.encode())


def test_nothing_that_a_reader_may_do_changes_the_database(
    server: Database, catalogue: SqlCatalog, policies: PolicySet
) -> None:
    before = state(server)
    for text in WRITES:
        if allowed(catalogue, policies, text):
            run(server, text)
    assert state(server) == before


@pytest.mark.slow
def test_the_same_statements_do_change_it_when_nobody_judges(server: Database) -> None:
    """Or the test above would prove nothing."""
    digests = [hashlib.sha256(state(server).encode()).digest()]
    for text in (
        "DELETE FROM v",
        "SELECT f()",
        "SELECT 1 <+> 1",
        "SELECT public.lower(1)",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (99, 'e')",
    ):
        run(server, "TRUNCATE t; INSERT INTO t VALUES (1, 'a')")
        digests.append(hashlib.sha256(state(server).encode()).digest())
        run(server, text)
        digests.append(hashlib.sha256(state(server).encode()).digest())
        assert digests[-1] != digests[-2], text


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1", "SELECT * FROM t WHERE id = 1 ORDER BY x LIMIT 3", "SELECT count(*), max(lower(x)) FROM t", "TABLE t",
        "SHOW all",         "EXPLAIN DELETE FROM t", "EXPLAIN ANALYZE SELECT * FROM t", "COPY t TO STDOUT",
        "BEGIN READ ONLY", "COMMIT",
        "WITH w AS (SELECT * FROM t) SELECT * FROM w", "SET statement_timeout = 100", "SET NAMES 'UTF8'",
        "SELECT t.x, u.y FROM t JOIN u USING (id) WHERE t.x LIKE 'a%'", "SELECT now(), random(), current_user",
        "SELECT relname FROM pg_catalog.pg_class WHERE pg_catalog.pg_table_is_visible(oid)",
    ],
)  # fmt: skip
def test_a_reader_may_read(catalogue: SqlCatalog, policies: PolicySet, text: str) -> None:
    assert allowed(catalogue, policies, text)


def test_the_guarded_preset_denies_what_a_policy_allows(catalogue: SqlCatalog) -> None:
    everything = PolicySpec(name="all", effect="allow", functions=["shop.*"], principals=["*"])
    guarded = preset_policies([PostgresTargetSpec(name="shop", url="")])
    bare = preset_policies([PostgresTargetSpec(name="shop", url="", preset="none")])
    with_preset = compile_policies([everything, *guarded], catalogue.functions, "v1")
    without = compile_policies([everything, *bare], catalogue.functions, "v1")
    for text in DANGEROUS:
        assert not allowed(catalogue, with_preset, text), text
        assert allowed(catalogue, without, text), text
    for text in (
        "DELETE FROM t",
        "CREATE TABLE x (id int)",
        "SELECT f()",
        "SELECT nextval('s')",
        "DROP TABLE t",
        "VACUUM t",
    ):
        assert allowed(catalogue, with_preset, text), text


DANGEROUS = """
SELECT pg_read_file('/etc/passwd')
SELECT pg_catalog.pg_ls_dir('/')
SELECT lo_export(1, '/tmp/x')
SELECT * FROM dblink('', '') AS t(a int)
SELECT ext.dblink_exec('', '')
SELECT set_config('role', 'x', false)
SELECT pg_terminate_backend(1)
SELECT * FROM pg_shadow
SELECT most_common_vals FROM pg_stats
SELECT query FROM pg_stat_activity
UPDATE pg_settings SET setting = '1'
COPY t TO PROGRAM 'x'
COPY t FROM '/etc/passwd'
SET ROLE x
RESET ROLE
SET SESSION AUTHORIZATION x
SET search_path = x
SET application_name = 'x'
ALTER SYSTEM SET a = 1
LOAD 'x'
DO 'BEGIN END'
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE EXTENSION dblink
CREATE LANGUAGE plperl
CREATE ROLE x
ALTER ROLE x SUPERUSER
GRANT ALL ON t TO x
REVOKE ALL ON t FROM x
CREATE TRIGGER a BEFORE INSERT ON t EXECUTE FUNCTION f()
CREATE RULE a AS ON INSERT TO t DO NOTHING
ALTER TABLE t OWNER TO x
ALTER TABLE t DISABLE ROW LEVEL SECURITY
DROP FUNCTION f
DROP POLICY a ON t
CREATE SERVER a FOREIGN DATA WRAPPER b
CREATE SCHEMA a CREATE TRIGGER b BEFORE INSERT ON c EXECUTE FUNCTION f()
""".strip().splitlines()
