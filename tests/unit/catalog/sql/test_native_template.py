"""The compiled half of templates beside the pure one: the same holes, or none from both."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from funcgate.catalog.sql import template
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
