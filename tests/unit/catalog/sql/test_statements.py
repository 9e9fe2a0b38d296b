"""What a statement is said to be: its function and its arguments; and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from funcgate.catalog.sql import QuerySpec, SqlCatalog, SqlFunctionsSpec, load_sql, standing_for
from funcgate.core.problem import Unusable
from funcgate.core.refusal import Code, Refused
from support.statements import READS


def catalogue(*queries: QuerySpec) -> SqlCatalog:
    return load_sql("shop", SqlFunctionsSpec(queries=[*queries]), Path(), ("targets", 0, "functions"))


@pytest.mark.parametrize(
    ("sql", "function", "args"),
    [
        ("SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new", "select",
         {"functions": ["current_setting", "set_config"], "volatile_functions": [], "dangerous": []}),
        ("SELECT set_config('jit', $1, false)", "select", {"dangerous": []}),
        ("SELECT set_config('jit', a, false) FROM t", "call", {"dangerous": ["function set_config"]}),
        ("SELECT set_config('j' || 'it', 'off', false)", "call", {"dangerous": ["function set_config"]}),
        ("SELECT x.set_config('jit', 'off', false)", "call", {"volatile_functions": ["x.set_config"]}),
        ("SELECT a FROM t", "select",
         {"command": "SELECT", "tables": ["t"], "reads": ["t"], "writes": [], "columns": ["t.a"], "limit": -1}),
        ("SELECT 1 LIMIT 5", "select", {"limit": 5, "has_where": False}),
        ("SELECT 1 LIMIT ALL", "select", {"limit": -1}),
        ("SELECT 1 LIMIT $1", "select", {"limit": -1}),
        ("SELECT a FROM s.t x WHERE x.b = 1", "select",
         {"tables": ["s.t"], "columns": ["s.t.a", "s.t.b"], "filter_columns": ["s.t.b"]}),
        ("SELECT a FROM t, u", "select", {"columns": ["t.a", "u.a"]}),
        ("SELECT * FROM t JOIN u USING (k)", "select",
         {"columns": ["t.*", "t.k", "u.*", "u.k"], "filter_columns": ["t.k", "u.k"]}),
        ("SELECT a FROM t NATURAL JOIN u", "select", {"filter_columns": ["t.*", "u.*"]}),
        ("SELECT a AS b FROM t ORDER BY b", "select", {"filter_columns": ["t.a", "t.b"]}),
        ("SELECT a FROM t ORDER BY 1", "select", {"filter_columns": ["t.a"]}),
        ("SELECT a FROM t GROUP BY a HAVING max(c) > 1", "select", {"filter_columns": ["t.a", "t.c"]}),
        ("SELECT DISTINCT a FROM t", "select", {"filter_columns": ["t.a"]}),
        ("SELECT a FROM t EXCEPT SELECT b FROM u", "select", {"filter_columns": ["t.a", "u.b"]}),
        ("SELECT a FROM t UNION ALL SELECT b FROM u", "select", {"filter_columns": []}),
        ("SELECT a, regexp_matches(b, '^1') FROM t", "select", {"filter_columns": ["t.b"]}),
        ("SELECT 1 FROM t, unnest(t.b) u", "select", {"filter_columns": ["t.b"]}),
        ("SELECT 1 FROM generate_series(1, (SELECT ascii(b) FROM t)) g", "select", {"filter_columns": ["t.b"]}),
        ("SELECT count(DISTINCT a), max(b) FROM t", "select", {"filter_columns": ["t.a"]}),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT (b) DO NOTHING", "insert", {"filter_columns": ["t.b"]}),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING", "insert", {"filter_columns": ["t.a"]}),
        ("INSERT INTO t VALUES (1) ON CONFLICT ON CONSTRAINT k DO NOTHING", "insert", {"filter_columns": ["t.*"]}),
        ("SELECT DISTINCT ON (2) a, b FROM t", "select", {"filter_columns": ["t.a", "t.b"]}),
        ("SELECT a, count(*) FROM t GROUP BY ROLLUP (1)", "select", {"filter_columns": ["t.a"]}),
        ("SELECT a, count(*) FROM t GROUP BY GROUPING SETS ((1), ())", "select", {"filter_columns": ["t.a"]}),
        ("SELECT a, b FROM t GROUP BY (1, 2)", "select", {"filter_columns": ["t.a", "t.b"]}),
        ("SELECT a, (string_to_array(b, 'x')).unnest FROM t", "select", {"filter_columns": ["t.b"]}),
        ("SELECT (b).c FROM t", "select", {"filter_columns": []}),
        ("WITH RECURSIVE q(x) AS (SELECT a FROM t UNION ALL SELECT substr(x, 2) FROM q WHERE x < '1') SELECT 1 FROM q",
         "select", {"filter_columns": ["t.a"]}),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM t WHERE a = 1)", "select", {"filter_columns": ["t.a"], "tables": ["t"]}),
        ("SELECT count(*), lower('A')", "select", {"functions": ["count", "lower"], "volatile_functions": []}),
        ("SELECT random()", "select", {"volatile_functions": []}),
        ("SELECT f(1), s.g(2)", "call", {"functions": ["f", "s.g"], "volatile_functions": ["f", "s.g"]}),
        ("WITH w AS (SELECT 1) SELECT * FROM w", "select", {"tables": []}),
        ("WITH t AS (SELECT * FROM t) SELECT * FROM t", "select", {"tables": ["t"]}),
        ("SELECT (WITH t AS (SELECT 1 x) SELECT x FROM t), a FROM t", "select", {"tables": ["t"]}),
        ("INSERT INTO t (a) VALUES ($1)", "insert",
         {"writes": ["t"], "written_columns": ["t.a"], "verbs": ["insert", "select"]}),
        ("INSERT INTO t VALUES (nextval('s'))", "insert", {"volatile_functions": ["nextval"], "written_columns": ["t.*"]}),
        ("INSERT INTO t VALUES (f())", "mixed", {"volatile_functions": ["f"]}),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "insert", {}),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1", "upsert", {"written_columns": ["t.*", "t.b"]}),
        ("UPDATE t SET a = 1", "update", {"has_where": False, "written_columns": ["t.a"]}),
        ("UPDATE t SET a = 1 WHERE b", "update", {"has_where": True}),
        ("UPDATE t SET a = 1 WHERE true", "update", {"has_where": False}),
        ("UPDATE t SET a = 1 WHERE 1 = 1", "update", {"has_where": False}),
        ("DELETE FROM t WHERE a = $1", "delete", {"has_where": True}),
        ("WITH w AS (DELETE FROM t RETURNING *) SELECT * FROM w WHERE a", "delete", {"has_where": False, "writes": ["t"]}),
        ("WITH w AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM w", "mixed",
         {"verbs": ["delete", "insert", "select"]}),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN UPDATE SET b = 1", "merge",
         {"writes": ["t"], "written_columns": ["t.b"]}),
        ("SELECT * FROM t FOR UPDATE", "lock", {}),
        ("SELECT 1 INTO t", "ddl", {"writes": ["t"]}),
        ("COPY t TO STDOUT", "copy_out", {"reads": ["t"], "columns": ["t.*"]}),
        ("COPY t (a) FROM STDIN WITH (FORMAT csv)", "copy_in", {"reads": [], "writes": ["t"]}),
        ("COPY t TO '/x'", "copy_file", {"dangerous": ["COPY with a file"]}),
        ("EXPLAIN SELECT a FROM t", "explain", {"reads": ["t"]}),
        ("EXPLAIN (ANALYZE OFF) DELETE FROM t", "explain", {"writes": ["t"]}),
        ("EXPLAIN ANALYZE DELETE FROM t", "delete", {"command": "EXPLAIN ANALYZE"}),
        ("SHOW work_mem", "show", {"setting": "work_mem"}),
        ("SET work_mem = '1MB'", "set", {"setting": "work_mem", "value": "1mb", "dangerous": []}),
        ("SET ROLE bob", "set", {"setting": "role", "dangerous": ["setting role"]}),
        ("DISCARD ALL", "set", {"command": "DISCARD", "setting": "all"}),
        ("BEGIN", "transaction", {"command": "BEGIN"}),
        ("SAVEPOINT a", "transaction", {"command": "SAVEPOINT"}),
        ("SET TRANSACTION READ ONLY", "transaction", {"command": "SET TRANSACTION"}),
        ("LISTEN a", "listen", {"setting": "a"}),
        ("NOTIFY a", "notify", {"setting": "a"}),
        ("CALL p()", "call", {"functions": ["p"]}),
        ("DO ''", "do", {"dangerous": ["DO"]}),
        ("TRUNCATE t, s.u", "truncate", {"writes": ["s.u", "t"]}),
        ("VACUUM t", "maintain", {"command": "VACUUM"}),
        ("ANALYZE", "maintain", {"command": "ANALYZE"}),
        ("CREATE VIEW v AS SELECT a FROM t", "ddl", {"command": "CREATE VIEW", "reads": ["t"], "writes": ["v"]}),
        ("DROP TABLE s.t", "ddl", {"command": "DROP", "writes": ["s.t"]}),
        ("REVOKE SELECT ON t FROM x", "ddl", {"command": "REVOKE", "dangerous": ["REVOKE TABLE"]}),
    ],
)  # fmt: skip
def test_function_and_arguments(sql: str, function: str, args: dict[str, Any]) -> None:
    sqls = catalogue()
    (statement,) = sqls.analyse(sql)
    found = sqls.arguments(statement, ["1"] * statement.parameters)
    assert statement.function == function
    assert {name: found[name] for name in args} == args
    schema = sqls.functions[f"shop.{function}"].args_schema
    assert set(found) == set(schema["required"])


@pytest.mark.parametrize("sql", READS)
def test_what_only_reads_is_a_select(sql: str) -> None:
    (statement,) = catalogue().analyse(sql)
    assert (statement.function, statement.args["volatile_functions"], statement.args["dangerous"]) == ("select", [], [])


@pytest.mark.parametrize(
    ("sql", "args"),
    [
        ("SELECT nextval('s')::text || pg_read_file('x')", {"dangerous": ["function pg_read_file"]}),
        ("SELECT 1 WHERE f() AND EXISTS (SELECT FROM pg_authid)", {"dangerous": ["table pg_authid"]}),
        ("SELECT 1 FROM t WHERE f() OR b = 1", {"columns": ["t.b"], "filter_columns": ["t.b"]}),
        ("SELECT current_setting('x') FROM people WHERE ssn = '1'", {"filter_columns": ["people.ssn"]}),
        ("SELECT 1 FROM (SELECT current_setting('x') || ssn AS x FROM people) q WHERE x LIKE '1%'",
         {"filter_columns": ["people.ssn"]}),
        ("SELECT current_setting('x') || ssn AS x FROM people ORDER BY x", {"filter_columns": ["people.ssn", "people.x"]}),
        ("SELECT 1 FROM (SELECT current_setting('x') AS a, ssn FROM people) q JOIN t USING (ssn)",
         {"filter_columns": ["people.ssn", "t.ssn"]}),
        ("SELECT f(), a FROM t WHERE b = $2", {"filter_columns": ["t.b"]}),
        ("SELECT current_setting('x'), ssn FROM people WHERE id = 1", {"filter_columns": ["people.id"]}),
        ("SELECT a FROM t GROUP BY f(), a", {"filter_columns": ["t.a"]}),
    ],
)  # fmt: skip
def test_nothing_hides_behind_what_is_unknown(sql: str, args: dict[str, Any]) -> None:
    """A function that nobody knows stands before the thing that a policy is to see."""
    (statement,) = catalogue().analyse(sql)
    assert {name: statement.args[name] for name in args} == args


def test_parameters_behind_an_unknown_function_are_counted() -> None:
    (statement,) = catalogue().analyse("SELECT f() || $1 FROM t WHERE f() AND b = $2")
    assert statement.parameters == 2


def test_each_statement_of_a_text_is_one() -> None:
    statements = catalogue().analyse("SELECT 'é;' ; -- ;\n DELETE FROM t;;")
    assert [(s.function, s.sql, s.args["statements"]) for s in statements] == [
        ("select", "SELECT 'é;'", 2), ("delete", "DELETE FROM t", 2),
    ]  # fmt: skip
    assert catalogue().analyse(" ; -- nothing") == ()


def test_bound_values_are_arguments() -> None:
    sqls = catalogue()
    (statement,) = sqls.analyse("SELECT $1::int, $3")
    assert statement.parameters == 3
    assert sqls.arguments(statement, ["1", None, {"hex": "ff"}])["parameters"] == ["1", None, {"hex": "ff"}]
    with pytest.raises(Refused):
        sqls.arguments(statement, ["1", "2"])


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1", "SELECT 1; SELEC", "SELECT 'a", "SELECT 1\0; DELETE FROM t", "SELECT '\ud800'",
        "EXECUTE a(now())", "EXECUTE a((SELECT 1))", "EXECUTE a($1)", "DECLARE c BINARY CURSOR FOR SELECT 1",
        "PREPARE a AS CREATE TABLE t AS SELECT 1", "EXPLAIN DECLARE c CURSOR FOR SELECT 1",
        "CREATE RULE r AS ON INSERT TO t DO ALSO EXECUTE a",
        "PREPARE TRANSACTION 'a'", "COMMIT PREPARED 'a'", "ROLLBACK PREPARED 'a'", "CREATE TABLE t AS EXECUTE a",
        "EXPLAIN EXECUTE a",
        "EXPLAIN CREATE TABLE t AS SELECT 1", "EXPLAIN (ANALYZE maybe) SELECT 1",
        "SET standard_conforming_strings = off", "SET LOCAL standard_conforming_strings TO off", "SET backslash_quote = on",
        "SET client_encoding = 'SJIS'", "SET NAMES 'latin1'", "SET standard_conforming_strings FROM CURRENT",
        "COPY t TO STDOUT (FORMAT binary)", "COPY t TO STDOUT WITH BINARY", "COPY t TO STDOUT (ENCODING 'latin1')",
        "SELECT 1 FROM other.public.t", "SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "SELECT " + "1+" * 5_000 + "1",
        "SELECT 1" + " UNION SELECT 1" * 5_000, "SELECT 1;" * 101, "SELECT '" + "x" * 300_000 + "'",
    ],
)  # fmt: skip
def test_what_is_not_carried_is_refused(sql: str) -> None:
    with pytest.raises(Refused) as refused:
        catalogue().analyse(sql)
    assert refused.value.code is Code.REQUEST_INVALID


def test_a_cursor_is_its_query() -> None:
    sqls = catalogue()
    (made,) = sqls.analyse("DECLARE c CURSOR WITH HOLD FOR SELECT a AS b FROM t WHERE ssn = $1 LIMIT 9")
    assert (made.function, made.args["command"], made.outputs, made.parameters) == ("select", "DECLARE", (), 1)
    assert made.handle is not None
    assert made.handle.made is not None
    assert (made.handle.what, made.handle.name, made.handle.hold) == ("cursor", "c", True)
    (use,) = sqls.analyse("FETCH FORWARD 5 FROM c")
    fetched = standing_for(use, made.handle.made)
    assert (fetched.function, fetched.sql, fetched.parameters) == ("select", "FETCH FORWARD 5 FROM c", 0)
    assert [output.name for output in fetched.outputs] == ["b"]
    told = ("command", "limit", "tables", "filter_columns")
    assert [fetched.args[name] for name in told] == ["FETCH", 5, ["t"], ["t.ssn"]]
    assert "DECLARE c" in fetched.args["sql"]
    assert standing_for(sqls.analyse("MOVE 2 IN c")[0], made.handle.made).outputs == ()
    assert standing_for(sqls.analyse("FETCH ALL c")[0], made.handle.made).args["limit"] == 9
    assert sqls.analyse("DECLARE c CURSOR FOR SELECT f()")[0].function == "call"


def test_what_is_executed_is_what_was_prepared() -> None:
    sqls = catalogue()
    (made,) = sqls.analyse("PREPARE p(int, text) AS DELETE FROM t WHERE a = $1 AND b = $2 RETURNING a")
    assert (made.function, made.args["command"], made.parameters) == ("describe", "PREPARE", 0)
    assert made.handle is not None
    assert made.handle.made is not None
    (use,) = sqls.analyse("EXECUTE p(-1, 'x')")
    run = standing_for(use, made.handle.made)
    assert run.handle is not None
    assert (run.function, run.handle.values, run.args["command"], run.parameters) == (
        "delete",
        ("-1", "x"),
        "EXECUTE",
        2,
    )
    assert sqls.arguments(run, run.handle.values)["parameters"] == ["-1", "x"]
    assert sqls.analyse("EXECUTE p(NULL, true, -1.50, 0x10)")[0].handle.values == (None, "true", "-1.50", "16")  # type: ignore[union-attr]
    for value in ("B'01'", "1e3", ".5", "-0.0", "1_0.5", "0xFFFFFFFFFFFF", "'x'::text", "now()", "ARRAY[1]"):
        with pytest.raises(Refused):  # a parameter of the type text would get another text
            sqls.analyse(f"EXECUTE p({value})")
    with pytest.raises(Refused):
        standing_for(use, sqls.analyse("COMMIT")[0])
    with pytest.raises(Refused):
        sqls.arguments(use, ["1"])  # nobody looked up what it would run


def test_queries_in_queries_do_not_take_for_ever() -> None:
    """Each of them names the ones before it, and each is read again for the next: without a limit this takes days."""
    inner = "SELECT 1"
    for _ in range(12):
        inner = (
            "WITH RECURSIVE "
            + ", ".join(f"c{n} AS ({inner if n == 0 else 'SELECT 1'})" for n in range(8))
            + " SELECT 1"
        )
    with pytest.raises(Refused):
        catalogue().analyse(inner)


NAMED = QuerySpec(
    name="orders_of",
    sql="SELECT id FROM orders WHERE person = $1 AND paid = $2",
    args={"person": "integer", "paid": "boolean"},
)


def test_a_named_query_is_a_function_of_its_own() -> None:
    sqls = catalogue(NAMED)
    (statement,) = sqls.analyse("select  id from orders -- theirs\n where person=$1 and paid = $2;")
    assert statement.function == "orders_of"
    assert sqls.arguments(statement, ["7", "t"]) == {"person": 7, "paid": True}
    assert sqls.functions["shop.orders_of"].args_schema["required"] == ["person", "paid"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM orders WHERE person = $1 AND paid = $2 LIMIT 1",
        "SELECT ID FROM orders WHERE person = $2 AND paid = $1",
        'SELECT "Id" FROM orders WHERE person = $1 AND paid = $2', "SELECT id FROM orders WHERE person = $1 OR paid = $2",
        "SELECT id FROM orders WHERE person = $1 AND paid = $2; SELECT 1",
    ],
)  # fmt: skip
def test_what_differs_from_a_named_query_is_none(sql: str) -> None:
    assert catalogue(NAMED).analyse(sql)[0].function == "select"


@pytest.mark.parametrize("values", [["x", "t"], ["7", "maybe"], ["7"], ["7", "t", "1"], [{"hex": "00"}, "t"]])
def test_values_that_a_named_query_does_not_take(values: list[Any]) -> None:
    sqls = catalogue(NAMED)
    (statement,) = sqls.analyse(NAMED.sql)
    with pytest.raises(Refused):
        sqls.arguments(statement, values)


@pytest.mark.parametrize(
    ("query", "where"),
    [
        (QuerySpec(name="select", sql="SELECT 1"), "name"),
        (QuerySpec(name="a b", sql="SELECT 1"), "name"),
        (QuerySpec(name="a", sql="SELEC 1"), "sql"),
        (QuerySpec(name="a", sql="SELECT 1; SELECT 2"), "sql"),
        (QuerySpec(name="a", sql=""), "sql"),
        (QuerySpec(name="a", sql="SELECT $1"), "args"),
        (QuerySpec(name="a", sql="SELECT $1", args={"x": "decimal"}), "args"),
        (QuerySpec(name="a", sql="select id from orders where person = $1 and paid = $2",
                   args={"a": "integer", "b": "string"}), "sql"),
        (QuerySpec(name="orders_of", sql="SELECT 2"), "name"),
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_is_a_problem(query: QuerySpec, where: str) -> None:
    with pytest.raises(Unusable) as unusable:
        catalogue(NAMED, query)
    assert unusable.value.problems[0].where[:5] == ("targets", 0, "functions", "queries", 1)
    assert unusable.value.problems[0].where[5] == where


@pytest.mark.parametrize(
    ("sql", "options"),
    [
        ("COPY t TO STDOUT", ()),
        ("COPY t TO STDOUT (FORMAT csv, HEADER, DELIMITER 'N')", (("format", "csv"), ("header", ""), ("delimiter", "N"))),
        ("COPY t TO STDOUT CSV HEADER NULL AS ''", (("format", "csv"), ("header", "true"), ("null", ""))),
        ("COPY t TO STDOUT (HEADER 0, NULL '\\N')", (("header", "0"), ("null", "\\N"))),
        ("COPY t TO STDOUT (HEADER 1)", (("header", "1"),)),
        ("COPY t TO STDOUT (FORMAT csv, HEADER FALSE, FORCE_QUOTE *)",
         (("format", "csv"), ("header", "false"), ("force_quote", "(no text)"))),
    ],
)  # fmt: skip
def test_how_rows_are_copied(sql: str, options: tuple[tuple[str, str], ...]) -> None:
    (statement,) = catalogue().analyse(sql)
    assert statement.copy_options == options
