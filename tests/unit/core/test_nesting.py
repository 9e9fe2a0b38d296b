"""The depth of JSON text, beside what a reader finds that goes down into it; as much for every Python, and no stack needed."""

import json
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.core import nesting
from funcgate.core.nesting import MAX_LEVELS, is_deeper

WORDS = st.text(st.sampled_from('[]{}"\\a\n,:é'), max_size=6)
VALUES = st.recursive(
    WORDS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=30,
)


def depth_of(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth_of, inside), default=0)


@given(VALUES, st.booleans())
def test_it_is_the_depth_that_a_reader_finds(value: Any, escaped: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode()
    depth = depth_of(value)
    assert is_deeper(text, depth) is False
    assert depth == 0 or is_deeper(text, depth - 1) is True


@given(VALUES, st.booleans(), st.integers(1, 9))
def test_where_it_is_cut_does_not_matter(value: Any, escaped: bool, size: int) -> None:
    text = json.dumps(value, ensure_ascii=escaped).encode()
    depth = depth_of(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nesting, "_PIECE", size)
        assert is_deeper(text, depth) is False
        assert depth == 0 or is_deeper(text, depth - 1) is True


def test_megabytes_are_summed_up_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attack: an answer of brackets, quotes or backslashes that keeps the interpreter from everybody until it was looked at."""
    summed: list[int] = []

    def watched(steps: Sequence[int]) -> Iterator[int]:
        summed.append(len(steps))
        return accumulate(steps)

    monkeypatch.setattr(nesting, "accumulate", watched)
    for dense in (b"[],", b'"[",[],', b'"\\\\\\"[",[],'):
        summed.clear()
        assert is_deeper(b"[" + dense * 300_000 + b"1]", 512) is False
        assert sum(summed) == 600_002
        assert max(summed) <= 64 << 10


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"[":', b"}"), (b'["\\"",', b"]")])
def test_text_of_any_depth_is_told_without_a_stack(opening: bytes, closing: bytes) -> None:
    for depth in (MAX_LEVELS, MAX_LEVELS + 1, 400_000):
        assert is_deeper(opening * depth + b"1" + closing * depth, MAX_LEVELS) is (depth > MAX_LEVELS)
        assert is_deeper(opening * depth, MAX_LEVELS) is (depth > MAX_LEVELS)


def test_many_beside_one_another_are_not_deep() -> None:
    assert is_deeper(b"[" + b'{"a":["]"]},' * 10_000 + b"{}]", 3) is False
    assert is_deeper(b"[" + b'{"a":["["]},' * 10_000 + b"{}]", 2) is True


def test_every_python_reads_what_is_not_too_deep() -> None:
    text = b"[" * MAX_LEVELS + b"]" * MAX_LEVELS
    assert msgspec.json.encode(msgspec.json.decode(text)) == json.dumps(json.loads(text)).encode() == text
