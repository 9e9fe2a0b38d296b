"""A policy that allows reading, and every way to write that we could think of: the database is the same before and after.

Each statement that the policy would let through is run, as a superuser, past the gateway: nothing but the judgement protects.
"""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from funcgate.catalog.sql import SqlCatalog, load_sql
from funcgate.config.presets import preset_policies
from funcgate.config.shape import PostgresTargetSpec
from funcgate.core.call import Call
from funcgate.core.decision import Allow
from funcgate.core.principal import Principal
from funcgate.core.refusal import Refused
from funcgate.policy import PolicySet, PolicySpec, compile_policies
from support.postgres import PASSWORD, Database, binaries

READING = ["shop.select", "shop.show", "shop.explain", "shop.copy_out", "shop.transaction", "shop.set"]
SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t SELECT i, 'x' || i FROM generate_series(1, 5) i;
CREATE TABLE u (id int, y text); CREATE SEQUENCE s; SELECT nextval('s');
CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (9);
CREATE VIEW v AS SELECT * FROM t; CREATE MATERIALIZED VIEW m AS SELECT * FROM t; CREATE INDEX i ON t (x);
CREATE TYPE e AS ENUM ('a');
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'DELETE FROM t; SELECT 1';
CREATE FUNCTION lower(n int) RETURNS text LANGUAGE sql AS 'DELETE FROM t; SELECT ''x''::text';
CREATE FUNCTION public.plus(a int, b int) RETURNS int LANGUAGE sql AS 'DELETE FROM t; SELECT 1';
CREATE OPERATOR public.<+> (LEFTARG = int, RIGHTARG = int, FUNCTION = public.plus);
CREATE FUNCTION public.count(text) RETURNS int LANGUAGE sql AS 'DELETE FROM t; SELECT 1';
CREATE PROCEDURE pr() LANGUAGE sql AS 'DELETE FROM t';
CREATE ROLE bob; SELECT lo_create(4711);
"""
WRITES = """
INSERT INTO t VALUES (10, 'a')
INSERT INTO v VALUES (10, 'a')
INSERT INTO t SELECT 11, 'b'
INSERT INTO t VALUES (1, 'b') ON CONFLICT (id) DO UPDATE SET x = 'c'
INSERT INTO t DEFAULT VALUES
UPDATE t SET x = 'z'
UPDATE ONLY t SET x = 'z' WHERE id = 1
UPDATE t SET (id, x) = (SELECT 20, 'r') WHERE id = 2
DELETE FROM t
DELETE FROM t WHERE id = 1 RETURNING *
DELETE FROM v
TRUNCATE t
TRUNCATE TABLE ONLY t, u RESTART IDENTITY CASCADE
MERGE INTO t USING u ON t.id = u.id WHEN NOT MATCHED THEN INSERT VALUES (30, 'm')
MERGE INTO t USING (VALUES (1)) n(id) ON t.id = n.id WHEN MATCHED THEN DELETE
WITH w AS (DELETE FROM t RETURNING *) SELECT * FROM w
WITH w AS (INSERT INTO t VALUES (40, 'w') RETURNING *) TABLE w
WITH w AS (UPDATE t SET x = 'w' RETURNING 1) SELECT count(*) FROM w
WITH w AS MATERIALIZED (DELETE FROM t RETURNING 1) SELECT 1
WITH a AS (SELECT 1), w AS (DELETE FROM u RETURNING 1) SELECT * FROM a
WITH w AS (SELECT 1) INSERT INTO t SELECT 50, 'w' FROM w
(WITH w AS (DELETE FROM t RETURNING *) SELECT * FROM w)
EXPLAIN ANALYZE DELETE FROM t
EXPLAIN (ANALYZE) DELETE FROM t
EXPLAIN (ANALYZE TRUE, COSTS OFF) INSERT INTO t VALUES (60, 'e')
EXPLAIN (analyze on) UPDATE t SET x = 'e'
EXPLAIN (ANALYZE 1) DELETE FROM t
EXPLAIN ANALYZE CREATE TABLE ea AS SELECT 1
EXPLAIN ANALYZE EXECUTE nothing
EXPLAIN ANALYZE SELECT f()
SELECT * INTO n1 FROM t
SELECT 1 AS a INTO TABLE n2
SELECT 1 AS a INTO UNLOGGED n3
CREATE TABLE n4 AS SELECT 1
CREATE TABLE n5 (id int)
CREATE TABLE n6 (LIKE t INCLUDING ALL)
CREATE TABLE IF NOT EXISTS n7 AS TABLE t
CREATE UNLOGGED TABLE n8 (id int)
CREATE TABLE n9 PARTITION OF p FOR VALUES FROM (9) TO (20)
CREATE VIEW n10 AS SELECT 1
CREATE RECURSIVE VIEW n11 (a) AS SELECT 1
CREATE MATERIALIZED VIEW n12 AS SELECT 1
REFRESH MATERIALIZED VIEW m
CREATE INDEX n13 ON t (id, x)
CREATE SEQUENCE n14
CREATE SCHEMA n15
CREATE SCHEMA n16 CREATE TABLE inner_one (id int)
CREATE TYPE n17 AS (a int)
CREATE TYPE n18 AS ENUM ('x')
CREATE DOMAIN n19 AS int
CREATE FUNCTION n20() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE PROCEDURE n21() LANGUAGE sql AS 'DELETE FROM t'
CREATE AGGREGATE n22 (int) (SFUNC = int4pl, STYPE = int)
CREATE OPERATOR public.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)
CREATE CAST (text AS e) WITH INOUT
CREATE RULE n23 AS ON INSERT TO u DO ALSO DELETE FROM t
CREATE TRIGGER n24 BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()
CREATE ROLE n25
CREATE USER n26
CREATE DATABASE n27
CREATE POLICY n28 ON t USING (true)
CREATE STATISTICS n29 ON id, x FROM t
CREATE PUBLICATION n30 FOR TABLE t
CREATE COLLATION n31 (LOCALE = 'C')
CREATE TEXT SEARCH CONFIGURATION n32 (COPY = simple)
CREATE EXTENSION IF NOT EXISTS dblink
CREATE EVENT TRIGGER n33 ON ddl_command_start EXECUTE FUNCTION nothing()
CREATE FOREIGN DATA WRAPPER n34
CREATE SERVER n35 FOREIGN DATA WRAPPER n34
ALTER TABLE t ADD COLUMN z int
ALTER TABLE t DROP COLUMN x
ALTER TABLE t RENAME COLUMN x TO y
ALTER TABLE t RENAME TO renamed
ALTER TABLE t OWNER TO bob
ALTER TABLE t ENABLE ROW LEVEL SECURITY
ALTER TABLE t SET SCHEMA pg_temp
ALTER INDEX i RENAME TO j
ALTER SEQUENCE s RESTART WITH 100
ALTER VIEW v RENAME TO w
ALTER TYPE e ADD VALUE 'b'
ALTER FUNCTION f() STABLE
ALTER ROLE bob SUPERUSER
ALTER ROLE bob SET search_path = x
ALTER DATABASE shop SET work_mem = '8MB'
ALTER SYSTEM SET work_mem = '9MB'
ALTER SYSTEM RESET ALL
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO bob
ALTER SCHEMA public RENAME TO private
COMMENT ON TABLE t IS 'written'
COMMENT ON COLUMN t.x IS 'written'
SECURITY LABEL ON TABLE t IS 'x'
GRANT ALL ON t TO bob
GRANT bob TO owner
REVOKE ALL ON t FROM owner
REASSIGN OWNED BY bob TO owner
DROP OWNED BY bob
DROP TABLE u
DROP TABLE IF EXISTS u, t CASCADE
DROP VIEW v
DROP SEQUENCE s
DROP FUNCTION f()
DROP SCHEMA public CASCADE
DROP ROLE bob
DROP INDEX i
DO $$ BEGIN DELETE FROM t; END $$
DO LANGUAGE plpgsql 'BEGIN EXECUTE ''DELETE FROM t''; END'
CALL pr()
SELECT f()
SELECT * FROM f()
SELECT * FROM ROWS FROM (f()) AS r
SELECT x FROM t WHERE id = f()
SELECT x FROM t ORDER BY f()
SELECT x FROM t GROUP BY x HAVING f() = 1
SELECT x FROM t LIMIT f()
SELECT count(*) FILTER (WHERE f() = 1) FROM t
SELECT sum(f()) OVER (ORDER BY f()) FROM t
SELECT (SELECT f())
SELECT CASE WHEN true THEN f() END
SELECT ARRAY[f()]
SELECT row(f())
SELECT coalesce(NULL, f())
VALUES (f())
SELECT 1 UNION SELECT f()
SELECT * FROM t JOIN LATERAL (SELECT f()) l ON true
SELECT * FROM t TABLESAMPLE system (f())
SELECT public.lower(1)
SELECT public.count('x')
SELECT 1 OPERATOR(public.<+>) 1
SELECT 1 <+> 1
SELECT 1 WHERE 1 <+> 1 = 1
SELECT x FROM t ORDER BY id USING OPERATOR(public.<+>)
SELECT nextval('s')
SELECT setval('s', 500)
SELECT pg_catalog.setval('s', 501)
SELECT "setval"('s', 502)
SELECT lo_create(4712)
SELECT lo_unlink(4711)
SELECT lo_from_bytea(4713, 'x')
SELECT lo_put(4711, 0, 'x')
SELECT lo_import('/etc/hostname')
SELECT lowrite(lo_open(4711, 131072), 'x')
SELECT pg_create_restore_point('x')
SELECT pg_switch_wal()
SELECT pg_reload_conf()
SELECT pg_rotate_logfile()
SELECT pg_stat_reset()
SELECT pg_logical_emit_message(false, 'a', 'b')
SELECT pg_create_physical_replication_slot('slot')
SELECT pg_import_system_collations('public')
SELECT pg_notify('channel', 'x')
SELECT set_config('work_mem', '7MB', false)
SELECT query_to_xml('DELETE FROM t RETURNING *', true, true, '')
SELECT table_to_xml('t', true, true, '')
SELECT cursor_to_xml('c', 1, true, true, '')
SELECT * FROM ts_stat('DELETE FROM t RETURNING to_tsvector(x)')
SELECT ts_rewrite('a'::tsquery, 'DELETE FROM t RETURNING ''a''::tsquery, ''a''::tsquery')
SELECT dblink('dbname=shop', 'DELETE FROM t')
SELECT pg_terminate_backend(1)
SELECT * FROM t FOR UPDATE
SELECT * FROM t FOR SHARE
SELECT * FROM (SELECT * FROM t FOR NO KEY UPDATE) q
LOCK TABLE t
PREPARE w AS DELETE FROM t
EXECUTE w
PREPARE r AS SELECT 1; EXECUTE r
DECLARE c CURSOR FOR SELECT f()
DECLARE c CURSOR WITH HOLD FOR SELECT f()
FETCH ALL FROM c
COPY t FROM '/etc/hostname'
COPY t FROM PROGRAM 'echo 70'
COPY t TO '/tmp/funcgate-must-not-be'
COPY (SELECT 1) TO '/tmp/funcgate-must-not-be'
COPY t TO PROGRAM 'touch /tmp/funcgate-must-not-be'
COPY (SELECT f()) TO STDOUT
COPY (DELETE FROM t RETURNING *) TO STDOUT
COPY (WITH w AS (DELETE FROM t RETURNING *) SELECT * FROM w) TO STDOUT
UPDATE pg_settings SET setting = '6MB' WHERE name = 'work_mem'
UPDATE pg_class SET relname = 'stolen' WHERE relname = 't'
DELETE FROM pg_largeobject
INSERT INTO pg_authid (rolname) VALUES ('x')
VACUUM FULL t
ANALYZE t
REINDEX TABLE t
CLUSTER t USING i
CHECKPOINT
LOAD 'auto_explain'
NOTIFY channel
SET ROLE bob
SET SESSION AUTHORIZATION bob
SET session_replication_role = replica
SET search_path = pg_temp, public
SET LOCAL standard_conforming_strings = off
RESET ROLE
BEGIN; DELETE FROM t; COMMIT
SELECT 1; DELETE FROM t
SELECT 1;;; /* harmless */ DELETE /* */ FROM t -- SELECT
/* SELECT 1 */ DELETE FROM t
-- SELECT 1
SELECT 1 \\; DELETE FROM t
SELECT 'a\\'; DELETE FROM t; --'
SELECT E'a\\'; SELECT 1; --'; DELETE FROM t
SELECT $$a$$; DELETE FROM t
SELECT $a$ $$ $a$; DELETE FROM t --$a$
SELECT U&'\\0027'; DELETE FROM t
seLEct 1; dELete FROM t
DELETE\tFROM\tt
PREPARE TRANSACTION 'two'
ROLLBACK PREPARED 'two'
IMPORT FOREIGN SCHEMA x FROM SERVER n35 INTO public
DISCARD SEQUENCES; SELECT setval('s', 900)
""".strip().splitlines()


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
            connection.execute(SCHEMA)
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


def state(server: Database) -> str:
    """All that a dump shows of the whole cluster, and the settings of the server."""
    dump = subprocess.run(
        [binaries() / "pg_dumpall", "-h", "127.0.0.1", "-p", str(server.port), "-U", "root"],
        env={"PGPASSWORD": PASSWORD, "PATH": "/usr/bin"}, capture_output=True, check=True, timeout=60,
    ).stdout.decode()  # fmt: skip
    kept = [line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict", "--"))]
    with server.connect(user="root") as connection:
        slots = connection.execute("SELECT slot_name FROM pg_replication_slots").fetchall()
    auto = (server.folder / "data" / "postgresql.auto.conf").read_text()
    return "\n".join([*kept, str(slots), auto, str(Path("/tmp/funcgate-must-not-be").exists())])


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
