"""Where columns come from, against a real server: nothing that comes from a hidden column is shown, whatever the query."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from funcgate.catalog.sql import RELATIONS_SQL, Described, Relations, load_sql, origins
from funcgate.core.refusal import Refused
from funcgate.masking.columns import LABEL, ColumnRules
from support.leaks import HIDDEN, LEAKS, PEOPLE, SHOWN
from support.postgres import Database

SECRET = "canary"  # in every SSN; every figure is 12345
RULES = ColumnRules(HIDDEN)


@pytest.fixture(scope="module")
def server() -> Iterator[psycopg.Connection]:
    database = Database().start()
    try:
        database.fill(PEOPLE)
        with database.connect() as connection:
            yield connection
    finally:
        database.stop()


@pytest.fixture(scope="module")
def relations(server: psycopg.Connection) -> Relations:
    return Relations(server.execute(RELATIONS_SQL).fetchall())


def shown(server: psycopg.Connection, relations: Relations | None, sql: str) -> tuple[list[int], str, str]:
    """Which columns are shown, all that is to be seen, and all that is there. The statement is run and taken back."""
    (statement,) = load_sql("shop", None, Path(), ()).analyse(sql)
    server.execute("BEGIN")
    try:
        result = server.pgconn.exec_(sql.encode())
        assert not result.error_message, result.error_message
        fields = [
            Described((result.fname(i) or b"").decode(), result.ftable(i), result.ftablecol(i))
            for i in range(result.nfields)
        ]
        labels = [RULES.label(of) for of in origins(statement, fields, relations)]
        rows = [[str(result.get_value(r, c)) for c in range(result.nfields)] for r in range(result.ntuples)]
        seen = [[v for v, label in zip(row, labels, strict=True) if label is None] for row in rows]
        return [i for i, label in enumerate(labels) if label is None], str(seen), str(rows)
    finally:
        server.execute("ROLLBACK")


@pytest.mark.parametrize("sql", LEAKS)
def test_a_hidden_column_is_hidden_wherever_it_goes(server: psycopg.Connection, relations: Relations, sql: str) -> None:
    _, seen, there = shown(server, relations, sql)
    if not sql.startswith("MERGE"):  # it returns nothing before PostgreSQL 17
        assert SECRET in there.lower() or "12345" in there, "the query shows nothing that could leak"
    assert SECRET not in seen.lower()
    assert "12345" not in seen


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT rank() OVER (ORDER BY ssn) FROM people",
        "SELECT rank() OVER w FROM people WINDOW w AS (ORDER BY ssn)",
        "SELECT rank() OVER (w ORDER BY id) FROM people WINDOW w AS (PARTITION BY ssn)",
        "SELECT rank() OVER v FROM people WINDOW w AS (PARTITION BY ssn), v AS (w ORDER BY id)",
        "SELECT r FROM (SELECT rank() OVER w AS r FROM people WINDOW w AS (ORDER BY ssn)) q",
        "SELECT r FROM ranked",
    ],
)
def test_what_is_ordered_by_a_hidden_column_is_hidden(
    server: psycopg.Connection, relations: Relations, sql: str
) -> None:
    assert shown(server, relations, sql)[0] == []


@pytest.mark.parametrize("sql", LEAKS)
def test_what_is_not_known_is_hidden(server: psycopg.Connection, sql: str) -> None:
    _, seen, _ = shown(server, None, sql)
    assert SECRET not in seen.lower()
    assert "12345" not in seen


@pytest.mark.parametrize("sql", SHOWN)
def test_what_is_not_hidden_is_shown(server: psycopg.Connection, relations: Relations, sql: str) -> None:
    assert shown(server, relations, sql)[0] == SHOWN[sql]


def test_a_table_that_was_made_since_is_hidden(server: psycopg.Connection, relations: Relations) -> None:
    server.execute("CREATE TABLE fresh AS SELECT ssn AS a FROM people")
    try:
        assert shown(server, relations, "SELECT a FROM fresh")[0] == []
        assert shown(server, relations, "SELECT max(a) FROM fresh")[0] == []
    finally:
        server.execute("DROP TABLE fresh")


@pytest.mark.parametrize(
    ("sql", "calls"),
    [
        ("SELECT * FROM trap", {"wipe"}),
        ("SELECT one FROM public.trap", {"wipe"}),
        ("SELECT * FROM (SELECT 1 FROM hr.behind) q", {"wipe"}),
        ("UPDATE sprung SET note = 'x'", {"wipe"}),
        ("DELETE FROM sprung WHERE id = 1", {"wipe"}),
        ("UPDATE hr.staff SET label = 'x'", set()),
        ("SELECT * FROM peeking", set()),
        ("SELECT p.ssn_of FROM people p", set()),
        ("SELECT p.wipe_of FROM people p", {"wipe_of as a column"}),
        ("SELECT public.people.wipe_of FROM people", {"wipe_of as a column"}),
        ("SELECT * FROM people p JOIN staff2 s ON s.id = p.id WHERE p.name = s.label", set()),
        ("SELECT p.ctid, p.* FROM people p", set()),
        ("SELECT c.relname FROM pg_class c", set()),
        ("SELECT x.y FROM (SELECT 1 AS y) x", set()),
        ("SELECT peeking.one FROM (SELECT 1 AS one) peeking", set()),
    ],
)
def test_functions_that_a_statement_does_not_show(relations: Relations, sql: str, calls: set[str]) -> None:
    (statement,) = load_sql("shop", None, Path(), ()).analyse(sql)
    assert relations.hidden_calls(statement) == calls


@pytest.mark.parametrize(
    "sql", ["SELECT current_setting('a.b')", "SHOW a.b", "SELECT setting FROM pg_settings LIMIT 1"]
)
def test_a_setting_may_hold_a_hidden_value(server: psycopg.Connection, relations: Relations, sql: str) -> None:
    server.execute("SELECT set_config('a.b', ssn, false) FROM people WHERE id = 1")
    columns, _, there = shown(server, relations, sql)
    assert columns == []
    assert "pg_settings" in sql or SECRET in there


def test_rules_speak_of_any_schema_unless_they_name_one() -> None:
    assert ColumnRules(["people.ssn"]).label([("hr", "people", "ssn")]) == LABEL
    assert ColumnRules(["hr.people.ssn"]).label([("public", "people", "ssn")]) is None
    assert ColumnRules(["ssn"]).label([("public", "people", "ssn")]) == LABEL
    assert ColumnRules(["**.ssn"]).label([("public", "people", "ssn")]) == LABEL
    assert ColumnRules(["people.*"]).label([("public", "people", "ssn")]) == LABEL
    assert ColumnRules(["people.ssn"]).label([("public", "people", "*")]) == LABEL
    assert ColumnRules(["people.ssn"]).label([("public", "people", "ssn2"), ("public", "orders", "ssn")]) is None
    assert ColumnRules(["people.ssn"]).label([]) is None
    assert ColumnRules(["people.ssn"]).label(None) == LABEL
    assert ColumnRules().label(None) is None


def test_a_dot_in_a_name_hides_nothing_from_a_rule() -> None:
    for column in (("public", "my.table", "ssn"), ("my.schema", "people", "ssn")):
        assert ColumnRules(["ssn"]).label([column]) == LABEL
    assert ColumnRules(["people.ssn"]).label([("my.schema", "people", "ssn")]) == LABEL
    assert ColumnRules(["my.table.ssn"]).label([("public", "my.table", "ssn")]) == LABEL
    assert ColumnRules(["people.address.street"]).label([("public", "people", "address.street")]) == LABEL
    assert ColumnRules(["people.address.street"]).label([("public", "people", "address.city")]) is None


@pytest.mark.parametrize(
    ("sql", "behind"),
    [
        ("SELECT id FROM people NATURAL JOIN (VALUES ('x')) v(ssn)", "public.people.ssn"),
        ("SELECT id FROM people p WHERE p::text LIKE '%x%'", "public.people.ssn"),
        ("SELECT id FROM people p WHERE (p).ssn = 'x'", "public.people.ssn"),
        ("SELECT id FROM people p(a, b, c) WHERE c = 'x'", "public.people.ssn"),
        ("SELECT id FROM staff2 WHERE up = 'x'", "public.people.ssn"),
        ("SELECT id FROM hr.staff ORDER BY number", "public.people.ssn"),
        ("SELECT a FROM made WHERE upper = 'x'", "public.made.ssn"),
        ("SELECT id FROM normed WHERE s = 'x'", "public.people.ssn"),
        ("SELECT 1 FROM hr.normed2 ORDER BY t", "public.people.ssn"),
        ("SELECT id FROM people p WHERE p.ssn_of = 'x'", "public.people.ssn"),
        ("SELECT id FROM people p ORDER BY p.to_jsonb", "public.people.ssn"),
        ("SELECT p.id, p.parts_of FROM people p", "public.people.ssn"),
        ("SELECT id, (ssn).parts FROM people", "people.ssn"),
        ("SELECT q.to_jsonb FROM (SELECT * FROM people) q ORDER BY 1", "public.people.ssn"),
    ],
)
def test_what_is_behind_a_condition(relations: Relations, sql: str, behind: str) -> None:
    (statement,) = load_sql("shop", None, Path(), ()).analyse(sql)
    behind_of = relations.behind(statement)
    columns, filters = behind_of.get("columns", []), behind_of.get("filter_columns", [])
    assert behind in filters
    assert behind in statement.args["columns"] + columns


@pytest.mark.parametrize("sql", [sql for sql in LEAKS if "peek" not in sql])
def test_whoever_looks_at_a_column_names_it(relations: Relations, sql: str) -> None:
    (statement,) = load_sql("shop", None, Path(), ()).analyse(sql)
    named = statement.args["columns"] + relations.behind(statement).get("columns", [])
    assert [name for name in named if name.endswith((".ssn", ".figure"))]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k FROM guessed",
        "SELECT count(*) FROM few",
        "SELECT 1 FROM hr.few2 LIMIT 1",
        "UPDATE few SET name = 'x'",
        "SELECT id FROM orders WHERE id IN (TABLE hr.few2)",
    ],
)
def test_what_decides_which_rows_a_view_has_is_looked_at(relations: Relations, sql: str) -> None:
    (statement,) = load_sql("shop", None, Path(), ()).analyse(sql)
    behind_of = relations.behind(statement)
    columns, filters = behind_of.get("columns", []), behind_of.get("filter_columns", [])
    assert "public.people.ssn" in columns
    assert "public.people.ssn" not in filters, "that is the view's condition, not the statement's"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id, label FROM staff2",
        "SELECT s.id FROM hr.staff s WHERE label > 'a'",
        "TABLE others",
        "TABLE plain",
        "SELECT count(*) FROM people",
        "SELECT EXISTS (SELECT 1 FROM people WHERE id = 1)",
        "SELECT note, total FROM orders o JOIN people p ON p.id = person ORDER BY total",
        "SELECT label, note FROM hr.staff s JOIN orders o ON o.person = s.id WHERE total > 1",
        "SELECT x.note FROM people p, (SELECT note FROM orders WHERE total > 1) x WHERE p.id = 1",
        "SELECT x.note FROM people p, LATERAL (SELECT note FROM orders WHERE person = p.id) x ORDER BY x.note",
        "SELECT g, name FROM people, generate_series(1, 2) g WHERE g > 1",
        "SELECT name, sum(total) AS t FROM people JOIN orders ON person = people.id GROUP BY name ORDER BY t",
        "UPDATE people SET name = note FROM orders WHERE person = people.id",
        "DELETE FROM orders USING people p WHERE p.id = person AND total > 20",
    ],
)
def test_other_columns_of_a_view_are_not_named(relations: Relations, sql: str) -> None:
    (statement,) = load_sql("shop", None, Path(), ()).analyse(sql)
    named = statement.args["columns"] + relations.behind(statement).get("columns", [])
    assert [name for name in named if name.endswith((".ssn", ".figure"))] == []


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("CREATE INDEX ON people (lower(ssn))", True),
        ("CREATE UNIQUE INDEX ON people (ssn)", True),
        ("CREATE INDEX ON people (id) WHERE ssn > 'x'", True),
        ("CREATE INDEX ON people (length(people::text))", True),
        ("CREATE INDEX ON people (length(people.ssn_of))", True),
        ("CREATE STATISTICS s ON ssn, name FROM people", True),
        ("ALTER TABLE people ADD CHECK (ssn <> 'x')", True),
        ("ALTER TABLE people ADD CONSTRAINT u UNIQUE (ssn)", True),
        ("ALTER TABLE people ADD EXCLUDE USING btree (ssn WITH =)", True),
        ("ALTER TABLE others ADD FOREIGN KEY (ssn2) REFERENCES people (ssn)", True),
        ("CREATE TABLE k (a text REFERENCES people (ssn))", True),
        ("ALTER TABLE people ALTER ssn TYPE int USING ssn::int", True),
        ("ALTER TABLE people ALTER ssn SET NOT NULL", True),
        ("ALTER TABLE people ADD COLUMN z text GENERATED ALWAYS AS (ssn) STORED", True),
        ("ALTER TABLE people RENAME COLUMN ssn TO x", True),
        ("ALTER TABLE people RENAME TO x", True),
        ("ALTER VIEW hr.staff RENAME TO x", True),
        ("ALTER VIEW hr.staff RENAME number TO x", True),
        ("CREATE INDEX ON people (lower(name), id)", False),
        ("ALTER TABLE people ADD COLUMN age int DEFAULT 1 CHECK (age > 0)", False),
        ("ALTER TABLE orders ADD FOREIGN KEY (person) REFERENCES people (id)", False),
        ("CREATE TABLE k (a int REFERENCES people, note text, CHECK (note > 'a'), UNIQUE (a, note))", False),
        ("CREATE TABLE k (LIKE people)", False),
        ("ALTER VIEW plain RENAME TO x", False),
        ("DROP TABLE people", False),
    ],
)
def test_definitions_name_the_columns_in_them(relations: Relations, sql: str, named: bool) -> None:
    (statement,) = load_sql("shop", None, Path(), ()).analyse(sql)
    columns = statement.args["columns"] + relations.behind(statement).get("columns", [])
    assert any(name.endswith(("people.ssn", "people.figure")) for name in columns) == named


def test_a_definition_with_too_many_names_is_refused() -> None:
    columns = ", ".join(f"c{i} int REFERENCES t{i} (k{i})" for i in range(1000))
    with pytest.raises(Refused):
        load_sql("shop", None, Path(), ()).analyse(f"CREATE TABLE k ({columns})")


def test_a_column_under_its_own_name_has_nothing_behind_it(relations: Relations) -> None:
    (statement,) = load_sql("shop", None, Path(), ()).analyse("SELECT id FROM people WHERE ssn = 'x' ORDER BY name")
    assert relations.behind(statement) == {}


@pytest.mark.parametrize("sql", ["SELECT p.ctid, p.id FROM people p WHERE p.name = 'x'", "SELECT (doc).a FROM people"])
def test_a_field_is_no_condition(relations: Relations, sql: str) -> None:
    (statement,) = load_sql("shop", None, Path(), ()).analyse(sql)
    assert "filter_columns" not in relations.behind(statement)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO people (id, ssn) VALUES (9, 'x')",
        "INSERT INTO people VALUES (9)",
        "INSERT INTO hr.staff VALUES (9, '', 'x')",
        "UPDATE hr.staff SET number = 'x'",
        "COPY people (id, ssn) FROM STDIN",
        "COPY people FROM STDIN",
        "MERGE INTO people p USING orders o ON o.id = p.id WHEN NOT MATCHED THEN INSERT VALUES (9)",
    ],
)
def test_what_is_written_is_named(relations: Relations, sql: str) -> None:
    (statement,) = load_sql("shop", None, Path(), ()).analyse(sql)
    named = statement.args["written_columns"] + relations.behind(statement).get("written_columns", [])
    assert [name for name in named if name.endswith("people.ssn")]


def test_a_view_with_a_dot_in_its_name_hides_no_write(relations: Relations) -> None:
    (statement,) = load_sql("shop", None, Path(), ()).analyse('SELECT * FROM "a.trap"')
    assert relations.hidden_calls(statement) == {"wipe"}
