"""Statements to try a database with: those that write, those that only read; and what the database is like."""

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
CREATE FUNCTION public.joined(a text, b text) RETURNS text LANGUAGE sql AS 'DELETE FROM t; SELECT b';
CREATE AGGREGATE public.sum(text) (SFUNC = public.joined, STYPE = text);
CREATE AGGREGATE public.gathered(text) (SFUNC = public.joined, STYPE = text);
CREATE OPERATOR public.+ (LEFTARG = text, RIGHTARG = text, FUNCTION = public.joined);
CREATE FUNCTION public.same(a text, b point) RETURNS boolean LANGUAGE sql AS 'DELETE FROM t; SELECT true';
CREATE OPERATOR public.>= (LEFTARG = text, RIGHTARG = point, FUNCTION = public.same);
CREATE FUNCTION public.json_value(a text, b text) RETURNS text LANGUAGE sql AS 'DELETE FROM t; SELECT b';
CREATE FUNCTION public.json_scalar(a int) RETURNS text LANGUAGE sql AS 'DELETE FROM t; SELECT ''x''::text';
CREATE FUNCTION public.json_array(a int, b int) RETURNS text LANGUAGE sql AS 'DELETE FROM t; SELECT ''x''::text';
CREATE FUNCTION public.checked(a text) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN DELETE FROM t; RETURN true; END';
CREATE DOMAIN public.strict_text AS text CHECK (public.checked(VALUE));
CREATE FUNCTION public.told(a e) RETURNS text LANGUAGE sql AS 'DELETE FROM t; SELECT ''x''::text';
CREATE CAST (e AS text) WITH FUNCTION public.told(e);
CREATE VIEW v_lower AS SELECT lower(id) AS a FROM t; CREATE VIEW v_gathered AS SELECT gathered(x) AS a FROM t;
CREATE VIEW v_sum AS SELECT sum(x) AS a FROM t; CREATE VIEW v_plus AS SELECT x + x AS a FROM t;
CREATE VIEW v_strict AS SELECT x::strict_text AS a FROM t;
CREATE PROCEDURE pr() LANGUAGE sql AS 'DELETE FROM t';
CREATE ROLE bob; SELECT lo_create(4711);
"""
# Functions of the database's own in the place of PostgreSQL's: no text shows them, its catalogue does.
IN_THE_PLACE = [
    "SELECT lower(1)", "SELECT count('x'::text)", "SELECT x FROM t WHERE lower(id) = 'x'", "SELECT ('s'::regclass).nextval",
    "SELECT s.nextval FROM to_regclass('s') s", "SELECT (4711::oid).lo_unlink", "SELECT ('x'::text).count",
    "SELECT sum(x) FROM t", "SELECT sum('a'::text)", "SELECT sum(x) OVER () FROM t", "SELECT x + x FROM t",
    "SELECT 'a'::text + 'b'::text",
    "SELECT 1 WHERE 'a'::text BETWEEN '(1,1)'::point AND '(1,1)'::point", "SELECT json_value('a', 'b')",
    "SELECT * FROM json_value('a', 'b')", "SELECT json_scalar(1)", "SELECT json_array(1, 2)", "SELECT 'a'::strict_text",
    "SELECT strict_text 'a'", "SELECT CAST('a' AS public.strict_text)", "SELECT unnest(ARRAY['a']::strict_text[])",
    "SELECT * FROM json_to_record('{\"a\": \"b\"}') AS z(a strict_text)", "SELECT 'a'::e::text",
    "SELECT a FROM v_lower", "SELECT a FROM v_gathered", "TABLE v_sum", "SELECT a FROM v_plus", "SELECT a FROM v_strict",
]  # fmt: skip
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


# What only reads: each is `select`.
READS = """
SELECT 1 WHERE 2 BETWEEN 1 AND 3
SELECT 1 WHERE 2 NOT BETWEEN SYMMETRIC 1 AND 3
SELECT x IN (1,2), x NOT IN (3), x LIKE 'a' ESCAPE 'b', x ILIKE 'a', x SIMILAR TO 'y', x IS DISTINCT FROM 1 FROM t
SELECT substring(x from 1 for 2), substring(x similar 'a' escape '#'), trim(both 'x' from y), position('a' in b) FROM t
SELECT overlay(a placing b from 1) FROM t
SELECT extract(year from d), d AT TIME ZONE 'UTC', (a,b) OVERLAPS (c,d), x IS NORMALIZED, normalize(x) FROM t
SELECT collation for (x) FROM t
SELECT GROUPING(a), count(*) FROM t GROUP BY CUBE (a, b)
SELECT x IS JSON, x IS DOCUMENT, JSON_EXISTS(j, '$'), JSON_QUERY(j, '$') FROM t
SELECT x::text, CAST(a AS int), '2020-01-01'::date, interval '1 day', timestamp 'now', B'1', x'ff' FROM t
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a), string_agg(a, ',' ORDER BY b), mode() WITHIN GROUP (ORDER BY a) FROM t
SELECT row_number() OVER (), sum(a) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM t
SELECT a = ANY(ARRAY[1,2]), a > ALL(SELECT 1), b -> 'x', b ->> 'y', b @> '{}', b ? 'k', a || b, arr[1:2] FROM t
SELECT current_date, current_time, localtime, session_user, current_schema, current_catalog, user
SELECT coalesce(a, b), nullif(a, b), greatest(1,2), least(1,2) FROM t
SELECT * FROM unnest(ARRAY[1,2]) WITH ORDINALITY
SELECT * FROM generate_series(now(), now(), '1 day')
SELECT to_tsvector('a') @@ to_tsquery('b'), ts_rank(a, b), plainto_tsquery('x'), ts_headline('a', 'b'::tsquery) FROM t
SELECT array_position(a, 1), cardinality(a), array_length(a,1), width_bucket(1,2,3,4), date_trunc('day', d), age(d) FROM t
SELECT to_char(d,'x'), make_interval(1), justify_hours(i) FROM t
SELECT split_part(a,'b',1), initcap(a), lpad(a,1), repeat(a,2), reverse(a), translate(a,b,c), chr(1), ascii(a) FROM t
SELECT concat_ws(',',a), quote_ident(a), quote_literal(a), starts_with(a,b), regexp_count(a,b), regexp_substr(a,b) FROM t
SELECT round(1.5), ceil(a), floor(a), mod(1,2), abs(a), sign(a), trunc(a), ln(a), exp(a), pi(), sin(a), corr(a,b) FROM t
SELECT stddev(a), variance(a), bool_and(a), every(a), bit_and(a), json_agg(a), jsonb_object_agg(a,b), array_agg(a) FROM t
SELECT avg(a), min(a) FROM t
SELECT pg_size_pretty(pg_total_relation_size('t')), pg_get_indexdef(1), format_type(1,2), has_table_privilege('t','select')
SELECT to_regclass('t'), pg_get_constraintdef(1), shobj_description(1,'x')
SELECT * FROM a LEFT JOIN b ON a.x = b.x FULL OUTER JOIN c USING (y) CROSS JOIN d
SELECT t.* FROM t WHERE x ~ '^a' AND NOT y OR z IS NULL AND w IS NOT TRUE AND CASE a WHEN 1 THEN true ELSE false END
SELECT lower(r), upper(r), isempty(r), range_merge(a,b), int4range(1,2), r && s, multirange(r) FROM t
SELECT inet '1.1.1.1' << inet '1.1.1.0/24', host(i), masklen(i), network(i) FROM t
SELECT encode(a,'hex'), decode('a','hex'), md5(a), sha256(b), gen_random_uuid(), random(), get_byte(a,1) FROM t
SELECT convert_from(a,'utf8') FROM t
SELECT point(1,2) <-> point(3,4), box '(1,1),(2,2)'
SELECT xmlagg(x), xmlelement(name a), xmlforest(a), xpath('a', b), xmlconcat(a,b), xmlserialize(content x as text) FROM t
SELECT 1 FROM t WHERE d > now() - interval '1 day' AND d < clock_timestamp() AND a % 2 = 0 AND b ^ 2 > 1 AND c <> 1 AND e != 2
SELECT * FROM t1 TABLESAMPLE SYSTEM (1) REPEATABLE (2)
SELECT n.nspname OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default FROM pg_catalog.pg_namespace n
SELECT json_build_object('a',1), jsonb_set(a,'{b}',c), jsonb_pretty(a), json_typeof(a), jsonb_array_length(a) FROM t
SELECT jsonb_path_exists(a,'$'), row_to_json(t), jsonb_strip_nulls(a), jsonb_insert(a,'{b}','1') FROM t
SELECT json_array_elements_text(a), jsonb_object_keys(a), jsonb_extract_path_text(a,'x') FROM t
SELECT txid_current(), pg_backend_pid(), version(), current_setting('x'), inet_client_addr(), pg_is_in_recovery()
SELECT pg_postmaster_start_time()
SELECT string_to_array('a','b'), array_to_string(a,','), array_remove(a,1), array_cat(a,b), array_append(a,1) FROM t
SELECT array_prepend(1,a), unnest(a), generate_subscripts(a,1) FROM t
SELECT * FROM t WHERE (a, b) IN (SELECT 1, 2) ORDER BY a FETCH FIRST 3 ROWS WITH TIES
WITH RECURSIVE a AS (SELECT 1 n UNION SELECT n + 1 FROM a) SEARCH DEPTH FIRST BY n SET o CYCLE n SET c USING p TABLE a
SELECT pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c WHERE pg_catalog.pg_table_is_visible(c.oid)
SELECT n.nspname !~ '^pg_toast', n.nspname OPERATOR(pg_catalog.~) '^(x)$' COLLATE pg_catalog.default FROM pg_namespace n
""".strip().splitlines()


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
