"""The compiled half of templates beside the pure one: the same holes, or none from both."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from funcgate.catalog.sql import SqlCatalog, template
from funcgate.catalog.sql import catalog as catalogs
from funcgate.core.native import half
from support.quick import examples

native: Any = half("funcgate.catalog.sql._native")
pytestmark = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
PIECES = [
    "SELECT", " ", "a", "1", "12", "123456789", "1234567890", "1.5", ".5", "5.", "1e3", "x1", "1x", "_1", "1_000", "(7)", "=-3",
    "--", "-", "/*", "/", "*/", "'", '"', "$1", "\\", "\0", "\x7f", "\x80", "ä", "٣", ";", ",", "\n", "\t",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _pure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "_native", None)


@settings(max_examples=examples(2000), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(max_size=20))
@example("SELECT abalance FROM pgbench_accounts WHERE aid = 4711;")
@example("1")
@example("a-1/2")
def test_any_text_has_the_same_template(sql: str) -> None:
    assert native.template_of(sql) == template.template_of(sql)


def test_a_text_that_is_longer_than_what_is_kept_has_a_template_too() -> None:
    for size in (8190, 8191, 8192, 8193, 20_000):
        sql = "SELECT 1, " + "a" * (size - 10)
        assert native.template_of(sql) == template.template_of(sql)
        assert len(sql) == size
        catalog = SqlCatalog("shop", [])
        assert catalog.recall(sql) is None


ASKED = st.lists(
    st.builds("{}{}{}".format, st.sampled_from(["", " ", ";"]), st.sampled_from([
        "SELECT a FROM t WHERE id = {}", "SELECT a FROM t WHERE id={}", "SELECT a FROM t LIMIT {}", "SELECT '{}'", "SELECT é{}",
        "SELECT a FROM t WHERE id = {} OR id = {}",
    ]), st.sampled_from(["", ";", " "])).flatmap(lambda sql: st.tuples(st.just(sql), st.sampled_from([1, 2, 77]))),
    max_size=8,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(ASKED, st.integers(1, 3))
def test_what_is_recalled_is_the_same(asked: list[tuple[str, int]], most: int) -> None:
    """Also where few templates are kept: what is recalled of one that was dropped means the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogs, "_KEPT_TEMPLATES", most)
        compiled = SqlCatalog("shop", [])
        patch.setattr(catalogs, "native", None)
        pure = SqlCatalog("shop", [])
        assert "recall" in vars(compiled)
        assert "recall" not in vars(pure)
        for text, number in asked:
            sql = text.format(number, number)
            found = [catalog.analyse(sql) for catalog in (compiled, pure)]
            assert found[0] == found[1] or found[0][0].template == found[1][0].template
            recalled = [catalog.recall(sql) for catalog in (compiled, pure)]
            assert all(known is not None for known in recalled)
            parts = [catalog.parts(known[0], [], sql) for catalog, known in zip((compiled, pure), recalled, strict=True) if known]
            assert parts[0][0] == parts[1][0]
            assert [shared.args for _, shared in parts if shared][0] == [shared.args for _, shared in parts if shared][1]


def test_a_template_s_text_is_shared_with_nobody() -> None:
    """Attack: have one text judged, and another one of its template recorded as that."""
    catalog = SqlCatalog("shop", [])
    for number in (1, 2):
        sql = f"SELECT a FROM t WHERE id = {number};"
        (statement,) = catalog.analyse(sql)
        own, shared = catalog.parts(statement, [], sql)
        assert statement.template
        assert own == {"sql": sql[:-1], "parameters": []}
        assert shared is not None
        assert "sql" not in shared.args
    (statement,) = catalog.analyse("SELECT 'a' FROM t")
    own, shared = catalog.parts(statement, [], "SELECT 'a' FROM t")
    assert own == {"parameters": []}
    assert shared is not None
    assert shared.args["sql"] == "SELECT 'a' FROM t"
