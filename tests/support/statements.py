"""Statements to try a database with: those that write, those that would show what is hidden, and what the database is like."""

import subprocess
from pathlib import Path

from support.postgres import PASSWORD, Database, binaries

READING = ["shop.select", "shop.show", "shop.explain", "shop.copy_out", "shop.transaction", "shop.set"]
TABLES = """
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


PEOPLE = """
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text, figure bigint, boss int, doc jsonb);
INSERT INTO people SELECT i, 'name' || i, 'canary-' || i, 12345, 1, '{"a": 1}' FROM generate_series(1, 3) i;
CREATE TABLE orders (id int, person int, note text, total numeric);
INSERT INTO orders SELECT i, i, 'note' || i, i * 10 FROM generate_series(1, 3) i;
CREATE TABLE others (id int, ssn2 text); INSERT INTO others VALUES (1, 'other');
CREATE SCHEMA hr;
CREATE VIEW hr.staff AS SELECT p.id, p.name AS label, p.ssn AS number FROM people p;
CREATE VIEW staff2 AS SELECT id, upper(number) AS up, label FROM hr.staff;
CREATE VIEW totals AS SELECT person, sum(total) AS total FROM orders GROUP BY person;
CREATE MATERIALIZED VIEW cached AS SELECT id, ssn AS kept FROM people;
CREATE TABLE logs (id int, ssn text) PARTITION BY RANGE (id);
CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (10); INSERT INTO logs VALUES (1, 'canary-log');
CREATE FUNCTION ssn_of(p people) RETURNS text LANGUAGE sql STABLE AS 'SELECT p.ssn';
CREATE FUNCTION peek(n int) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM people WHERE id = n';
CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM people; SELECT 1';
CREATE FUNCTION wipe_of(p people) RETURNS int LANGUAGE sql AS 'DELETE FROM people; SELECT 1';
CREATE VIEW trap AS SELECT wipe() AS a, 1 AS one; CREATE VIEW hr.behind AS SELECT one FROM trap;
CREATE VIEW peeking AS SELECT peek(1) AS seen, 1 AS one;
"""
# Every one of them would show a hidden value.
LEAKS = """
SELECT ssn FROM people
SELECT p.ssn AS harmless FROM people p
SELECT public.people.ssn FROM public.people
SELECT * FROM people
SELECT p.*, 1 FROM people p
SELECT upper(ssn) FROM people
SELECT 'x' || ssn || 'y' FROM people
SELECT substr(ssn, 1, 7) FROM people
SELECT CASE WHEN id = 1 THEN ssn ELSE name END FROM people
SELECT coalesce(NULL, ssn) FROM people
SELECT a FROM (SELECT ssn AS a FROM people) x
SELECT x.b FROM (SELECT id, ssn FROM people) x(a, b)
SELECT * FROM (SELECT upper(ssn) FROM people) x
SELECT upper FROM (SELECT upper(ssn) FROM people) x
SELECT x.* FROM (SELECT id, lower(ssn) l, name FROM people) x
WITH p AS (SELECT ssn s FROM people) SELECT s FROM p
WITH p(z) AS (SELECT ssn FROM people) SELECT z FROM p
WITH p AS (SELECT * FROM people) SELECT * FROM p
WITH people AS (SELECT * FROM people) SELECT ssn FROM people
WITH a AS (SELECT ssn FROM people), b AS (SELECT ssn || '' AS q FROM a) SELECT q FROM b
WITH RECURSIVE r(n, t) AS (SELECT 1, ssn FROM people WHERE id = 1 UNION ALL SELECT n + 1, t FROM r WHERE n < 3) SELECT t FROM r
WITH RECURSIVE r(n, t, u) AS (SELECT 1, '', ssn FROM people UNION ALL SELECT n + 1, u, t FROM r WHERE n < 3) SELECT t FROM r
SELECT id::text FROM orders UNION SELECT ssn FROM people
SELECT note FROM orders UNION ALL SELECT ssn FROM people
SELECT n FROM (SELECT note AS n FROM orders UNION ALL SELECT ssn FROM people) q
SELECT * FROM (SELECT id, note FROM orders UNION ALL SELECT id, ssn FROM people) q
SELECT note FROM orders EXCEPT SELECT name FROM people UNION SELECT ssn FROM people
SELECT (SELECT ssn FROM people WHERE id = o.id) FROM orders o
SELECT o.id, (SELECT max(ssn) FROM people) AS m FROM orders o
SELECT ARRAY(SELECT ssn FROM people)
SELECT array_agg(ssn) FROM people
SELECT string_agg(ssn, ',' ORDER BY id) FROM people
SELECT max(ssn) FROM people
SELECT max(figure) FROM people
SELECT figure FROM people
SELECT figure + 0 FROM people
SELECT people FROM people
SELECT p FROM people p
SELECT (p).ssn FROM people p
SELECT (p).* FROM people p
SELECT ROW(p.*) FROM people p
SELECT row_to_json(p) FROM people p
SELECT to_jsonb(people) ->> 'ssn' FROM people
SELECT json_agg(q) FROM (SELECT id, ssn FROM people) q
SELECT json_build_object('a', ssn) FROM people
SELECT q FROM (SELECT ssn FROM people) q
SELECT p::text FROM people p
SELECT (SELECT p FROM people p LIMIT 1)
SELECT o.id, p.ssn FROM orders o JOIN people p ON p.id = o.person
SELECT o.id, ssn FROM orders o JOIN people p USING (id)
SELECT * FROM orders NATURAL JOIN people
SELECT * FROM orders o, people p WHERE o.id = p.id
SELECT j.* FROM (orders o JOIN people p ON p.id = o.person) j
SELECT y FROM (orders o JOIN people p ON p.id = o.person) j(a, b, c, d, e, f, y)
SELECT l.s FROM orders o, LATERAL (SELECT ssn AS s FROM people WHERE id = o.id) l
SELECT x FROM people, LATERAL (SELECT ssn AS x) l
SELECT u FROM people, unnest(ARRAY[ssn]) u
SELECT u FROM people, LATERAL unnest(ARRAY[ssn]) AS t(u)
SELECT v.column1 FROM people, LATERAL (VALUES (ssn)) v
SELECT first_value(ssn) OVER (ORDER BY id) FROM people
SELECT lag(ssn) OVER w FROM people WINDOW w AS (ORDER BY id)
SELECT DISTINCT ssn FROM people
SELECT DISTINCT ON (id) ssn FROM people
SELECT ssn FROM people GROUP BY ssn
SELECT min(ssn) FROM people GROUP BY name HAVING max(ssn) > ''
SELECT ssn COLLATE "C" FROM people
SELECT CAST(ssn AS varchar(20)) FROM people
SELECT GREATEST(ssn, '') FROM people
SELECT NULLIF(ssn, '') FROM people
SELECT format('%s', ssn) FROM people
SELECT regexp_replace(ssn, 'x', 'y') FROM people
SELECT (ARRAY[ssn])[1] FROM people
SELECT xmlelement(name a, ssn) FROM people
TABLE people
SELECT ssn FROM ONLY people
SELECT ssn FROM people TABLESAMPLE BERNOULLI (100)
SELECT number FROM hr.staff
SELECT s.* FROM hr.staff s
SELECT up FROM staff2
SELECT * FROM staff2
SELECT lower(up) FROM staff2
SELECT kept FROM cached
SELECT ssn FROM logs
SELECT ssn FROM logs_1
SELECT max(ssn) FROM logs_1
SELECT p.ssn_of FROM people p
SELECT ssn_of(p) FROM people p
SELECT peek(1)
SELECT * FROM peek(1)
SELECT seen FROM peeking
UPDATE orders SET note = ssn FROM people p WHERE p.id = orders.id RETURNING note
UPDATE orders SET note = ssn FROM people p WHERE p.id = orders.id RETURNING *
UPDATE people SET name = ssn RETURNING name
UPDATE people SET name = name RETURNING ssn
INSERT INTO others (id, ssn2) SELECT id, ssn FROM people RETURNING ssn2
INSERT INTO others SELECT id, ssn FROM people RETURNING others.*
INSERT INTO people VALUES (9, 'n', 'canary-9') RETURNING people.*
INSERT INTO people (id, ssn) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = people.ssn RETURNING name
INSERT INTO others VALUES (1, (SELECT ssn FROM people WHERE id = 1)) RETURNING ssn2
DELETE FROM people RETURNING ssn
DELETE FROM orders USING people p WHERE p.id = orders.id RETURNING p.ssn
WITH w AS (UPDATE orders SET note = ssn FROM people p WHERE p.id = orders.id RETURNING note) SELECT note FROM w
WITH w AS (UPDATE orders SET note = ssn FROM people p WHERE p.id = orders.id RETURNING *) SELECT * FROM w
WITH d AS (DELETE FROM people RETURNING *) SELECT ssn FROM d
MERGE INTO orders o USING people p ON o.id = p.id WHEN MATCHED THEN UPDATE SET note = p.ssn
""".strip().splitlines()
# And these show what they say: what is not hidden stays to be seen.
SHOWN = {
    "SELECT id, name FROM people": [0, 1],
    "SELECT id, ssn, name FROM people": [0, 2],
    "SELECT * FROM people": [0, 1, 4, 5],
    "SELECT 1, p.* FROM people p": [0, 1, 2, 5, 6],
    "SELECT count(*) FROM people WHERE ssn > ''": [0],
    "SELECT upper(name) FROM people": [0],
    "SELECT name AS ssn FROM people": [0],
    "SELECT ssn2 FROM others": [0],
    "SELECT x.a FROM (SELECT id AS a, ssn AS b FROM people) x": [0],
    "WITH p AS (SELECT id, ssn FROM people) SELECT id FROM p": [0],
    "SELECT label FROM hr.staff": [0],
    "SELECT id, label FROM staff2": [0, 1],
    "SELECT * FROM totals": [0, 1],
    "SELECT sum(total) FROM orders": [0],
    "SELECT o.note, p.name FROM orders o JOIN people p ON p.id = o.person": [0, 1],
    "SELECT id FROM cached": [0],
    "SELECT current_date, now(), version()": [0, 1, 2],
    "SELECT one FROM peeking": [0],
    "SELECT relname FROM pg_class LIMIT 1": [0],
    "SELECT EXISTS (SELECT 1 FROM people)": [0],
    "UPDATE orders SET note = 'x' RETURNING id, note": [0, 1],
    "INSERT INTO others VALUES (7, 'x') RETURNING *": [0, 1],
    "SHOW server_version": [0],
    "EXPLAIN SELECT ssn FROM people": [0],
    "VALUES (1, 2)": [0, 1],
    "SELECT * FROM generate_series(1, 2) g": [0],
    "SELECT id FROM logs_1": [0],
}


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
