"""Compiled and pure: the same lines, or none and the same mending."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from funcgate.core.crc import crc_holds
from funcgate.core.entry import Decided, Entry, Kind
from funcgate.core.native import half
from funcgate.stores import lines

pytestmark = pytest.mark.skipif(half("funcgate.stores._native") is None, reason="not built, or FUNCGATE_PURE is set")
AT = "2026-11-21T09:30:00.123456Z"
CONTENT = st.sampled_from(
    [
        b"{}",
        b'{"a":1}',
        b'"x"',
        b"",
        b"not json",
        b'{"a":\n1}',
        b'1,"kind":"allowed"',
        b"\xff",
        b'"' + b"y" * 3000 + b'"',
    ]
)
TEXT = st.text(max_size=5) | st.sampled_from(["\ud800", "\n", "\x00", "ü"])
ENTRIES = st.lists(
    st.builds(
        lambda kind, call, args, detail, odd: Entry(
            kind=kind, call=call, args=None if args is None else Raw(args), detail=detail, change={"x": odd},
            policy=Decided((detail,), "v"),
        ),
        st.sampled_from(Kind), TEXT, CONTENT | st.none(), TEXT, st.sampled_from([1, 2.5, "x", object, 1 << 70, float("nan")]),
    ),
    max_size=4,
)  # fmt: skip


def written(monkeypatch: pytest.MonkeyPatch, entries: Any, before: bytes, pure: bool) -> tuple[int, bytes]:
    buffer = bytearray(before)
    with monkeypatch.context() as patch:
        if pure:
            patch.setattr(lines, "_native", None)
        return lines.add_lines(buffer, entries, 41, AT), bytes(buffer)


@settings(max_examples=400, deadline=None)
@given(ENTRIES, st.sampled_from([b"", b"{}\n", b"x" * 5000 + b"\n"]))
def test_the_same_lines(entries: list[Entry], before: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        pure = written(patch, entries, before, True)
        assert written(patch, entries, before, False) == pure
        assert written(patch, tuple(entries), before, False) == pure
    assert pure[0] == 41 + len(entries)
    assert all(crc_holds(line) for line in pure[1][len(before) :].splitlines())


def test_what_is_no_entry_is_refused_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    for pure in (True, False):
        with pytest.raises(AttributeError):
            written(monkeypatch, [5], b"", pure)
