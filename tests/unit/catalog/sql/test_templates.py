"""Texts that differ in numbers: what is said of them is what a fresh look at each would say, or they are no template."""

from pathlib import Path

import pytest

from funcgate.catalog.sql import QuerySpec, SqlCatalog, SqlFunctionsSpec, load_sql
from support.statements import READS

SAME = [
    "SELECT a FROM t WHERE b = {};", "  SELECT a FROM t WHERE b = {} AND c <> {} ;\n", "SELECT a + {} FROM t", "SELECT {}",
    "SELECT a FROM t WHERE b IN ({}, {}) OR c BETWEEN {} AND {}", "INSERT INTO t (a, b) VALUES ({}, {}), (3, {})",
    "UPDATE t SET a = {}, b = b - {} WHERE c = {}", "DELETE FROM t WHERE a > {}", "SELECT a FROM t1 WHERE t1.b2 = {}",
    "WITH w AS (DELETE FROM t WHERE a = {} RETURNING *) SELECT * FROM w WHERE {} < a",
    "SELECT a FROM t JOIN u ON t.k = u.k + {} GROUP BY a HAVING count(*) > {}",
]  # fmt: skip
OWN = [
    "SELECT a FROM t LIMIT {}", "SELECT a FROM t OFFSET {}", "SELECT a, b FROM t ORDER BY {}", "SELECT a FROM t GROUP BY {}",
    "SELECT a::varchar({}) FROM t", "SELECT f({})", "SET statement_timeout = {}", "EXPLAIN (ANALYZE {}) SELECT 1 + 1",
    "SELECT 'x' FROM t WHERE a = {}", 'SELECT "x" FROM t WHERE a = {}', "SELECT a FROM t WHERE b = {} -- 5",
    "SELECT 1 + {}; SELECT 2",
    "SELECT a FROM t /* 1 */ WHERE b = {}", "SELECT $$x$$ FROM t WHERE a = {}", "SELECT a FROM t WHERE b = $1 + {}",
    "SELECT ä FROM t WHERE b = {}", "COPY (SELECT a FROM t WHERE b = {}) TO STDOUT", "FETCH {} FROM c", "SELECT a[{}] FROM t",
]  # fmt: skip
NUMBERS = ("7", "0", "999999999", "12", "007")


def catalogue(*queries: QuerySpec) -> SqlCatalog:
    return load_sql("shop", SqlFunctionsSpec(queries=[*queries]), Path(), ("targets", 0, "functions"))


def told(catalog: SqlCatalog, sql: str) -> object:
    """Everything that is said of a text."""
    try:
        return [
            (
                one.function, catalog.arguments(one, ["1"] * one.parameters, sql), one.outputs, one.control, one.copy,
                one.parameters, one.relations_change, one.fields,
            )
            for one in catalog.analyse(sql)
        ]  # fmt: skip
    except Exception as refused:
        return str(refused)


def filled(text: str, shift: int) -> str:
    parts = text.split("{}")
    return parts[0] + "".join(NUMBERS[(at + shift) % len(NUMBERS)] + part for at, part in enumerate(parts[1:]))


@pytest.mark.parametrize("text", SAME)
def test_one_analysis_for_all_of_them(text: str) -> None:
    catalog = catalogue()
    first = catalog.analyse(filled(text, 0))
    for shift in range(1, 5):
        sql = filled(text, shift)
        assert catalog.analyse(sql) is first
        assert told(catalog, sql) == told(catalogue(), sql)


@pytest.mark.parametrize("text", OWN)
def test_numbers_that_mean_something_and_texts_nobody_is_sure_of(text: str) -> None:
    catalog = catalogue()
    for shift in range(5):
        sql = filled(text, shift)
        assert told(catalog, sql) == told(catalogue(), sql)
    assert not any(catalog._templates.values())


@pytest.mark.parametrize("number", ["1234567890", "5.0", ".5", "5.", "5e3", "0x1F", "1_000", "5a", "-5", "5 5"])
def test_another_kind_of_number_is_another_text(number: str) -> None:
    catalog = catalogue()
    catalog.analyse("SELECT a FROM t WHERE b = 5")
    sql = f"SELECT a FROM t WHERE b = {number}"
    assert told(catalog, sql) == told(catalogue(), sql)


def test_every_statement_we_know_says_the_same_of_itself_after_others() -> None:
    catalog = catalogue()
    for _ in range(2):
        for sql in READS:
            assert told(catalog, sql) == told(catalogue(), sql)


def test_a_named_query_with_a_number_in_it_is_that_number() -> None:
    catalog = catalogue(QuerySpec(name="five", sql="SELECT a FROM t WHERE b = 5"))
    functions = [catalog.analyse(f"SELECT a FROM t WHERE b = {number}")[0].function for number in (4, 5, 6)]
    assert functions == ["select", "five", "select"]
