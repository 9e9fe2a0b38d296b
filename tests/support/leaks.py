"""Tables with secrets in them, queries that would show a hidden one, and queries that show what is not hidden."""

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
CREATE VIEW "a.trap" AS SELECT wipe() AS a;
CREATE VIEW sprung AS SELECT id, note FROM orders WHERE wipe() = 1;
CREATE TABLE "t.x" (id int, ssn text); INSERT INTO "t.x" VALUES (1, 'canary-t');
CREATE SCHEMA "s.x"; CREATE TABLE "s.x".logs (id int, ssn text); INSERT INTO "s.x".logs VALUES (1, 'canary-s');
CREATE TABLE made (a int, ssn text, upper text GENERATED ALWAYS AS (upper(ssn)) STORED); INSERT INTO made VALUES (1, 'canary-m');
CREATE VIEW peeking AS SELECT peek(1) AS seen, 1 AS one;
CREATE TABLE loud (a text, b text GENERATED ALWAYS AS (upper(a)) STORED); INSERT INTO loud VALUES ('q');
CREATE TABLE keyed (id int PRIMARY KEY, a text, b text); INSERT INTO keyed SELECT id, '', '' FROM people;
CREATE VIEW noted AS SELECT id, note AS n, upper(note) AS u, note AS again FROM orders;
CREATE FUNCTION norm(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lower(t); END';
CREATE VIEW normed AS SELECT id, norm(ssn) AS s FROM people; CREATE VIEW hr.normed2 AS SELECT s AS t FROM normed;
CREATE FUNCTION parts(t text) RETURNS SETOF text LANGUAGE sql STABLE AS $$SELECT string_to_table(t, 'a')$$;
CREATE FUNCTION parts_of(p people) RETURNS SETOF text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN QUERY SELECT parts(p.ssn); END';
CREATE VIEW guessed AS SELECT id, EXISTS (SELECT 1 FROM people p WHERE p.ssn = o.note) AS k FROM orders o;
CREATE VIEW few AS SELECT id, name FROM people WHERE ssn > 'c'; CREATE VIEW hr.few2 AS SELECT id FROM few;
CREATE VIEW ranked AS SELECT id, rank() OVER w AS r FROM people WINDOW w AS (ORDER BY ssn);
CREATE VIEW plain AS SELECT p.id, p.name, o.note FROM people p JOIN orders o ON o.person = p.id WHERE o.total > 0;
"""
HIDDEN = ["people.ssn", "people.figure", "logs.ssn", "t.x.ssn", "made.ssn"]
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
SELECT min(ssn) OVER w FROM people WINDOW w AS (ORDER BY id)
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
SELECT ssn FROM "s.x".logs
SELECT max(ssn) FROM "s.x".logs
SELECT ssn FROM "t.x"
SELECT upper(ssn) FROM "t.x"
SELECT upper FROM made
SELECT lower(upper) FROM made
SELECT * FROM made
WITH w AS (UPDATE orders SET note = ssn FROM people p WHERE p.id = orders.id RETURNING orders) SELECT (w.orders).note FROM w
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
INSERT INTO loud (a) SELECT ssn FROM people RETURNING b
UPDATE loud SET a = (SELECT max(ssn) FROM people) RETURNING loud.b
WITH w AS (INSERT INTO loud (a) SELECT ssn FROM people RETURNING b AS k) INSERT INTO others SELECT 1, k FROM w RETURNING ssn2
WITH w AS (UPDATE orders SET note = ssn FROM people RETURNING note) DELETE FROM others USING w RETURNING w.*
WITH w AS (UPDATE orders SET note = ssn FROM people RETURNING note), v AS (TABLE w) DELETE FROM others USING v RETURNING note
INSERT INTO keyed (id, a) SELECT id, ssn FROM people ON CONFLICT (id) DO UPDATE SET b = EXCLUDED.a RETURNING b
UPDATE noted SET n = ssn FROM people p WHERE p.id = noted.id RETURNING u
UPDATE noted SET n = ssn FROM people p WHERE p.id = noted.id RETURNING again
INSERT INTO noted (id, n) SELECT id, ssn FROM people RETURNING noted.u
WITH w AS (INSERT INTO orders (note) SELECT ssn FROM people RETURNING *) INSERT INTO others SELECT 1, note FROM w RETURNING ssn2
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
    "UPDATE people SET ssn = upper(ssn) RETURNING id, name": [0, 1],
    "INSERT INTO noted (id, n) SELECT id, name FROM people RETURNING id, u": [0, 1],
    "INSERT INTO loud (a) VALUES ('x') RETURNING a, b": [0, 1],
    "SELECT id, n, u FROM noted": [0, 1, 2],
    "SELECT *, 1 FROM noted": [0, 1, 2, 3, 4],
    "INSERT INTO others VALUES (7, 'x') RETURNING *": [0, 1],
    "SHOW server_version": [0],
    "EXPLAIN SELECT ssn FROM people": [0],
    "VALUES (1, 2)": [0, 1],
    "SELECT * FROM generate_series(1, 2) g": [0],
    "SELECT id FROM logs_1": [0],
    "SELECT a FROM made": [0],
}
