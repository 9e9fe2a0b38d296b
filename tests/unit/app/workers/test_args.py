"""Arguments on their way to the gateway's own process: the very values come out, and the same approval is meant by them."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from funcgate.app.workers.args import pack, unpack
from funcgate.approval.canonical import key_of
from support.approvals import call
from support.quick import examples

TEXT = st.text(max_size=8)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 70), 1 << 70)
    | st.sampled_from(
        [(1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 63), -(1 << 63) - 1, 1 << 128, -(1 << 1024)]
    )
    | st.floats()
    | TEXT
    | st.binary(max_size=8)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(TEXT, inner, max_size=4)
    ),
    max_leaves=12,
)
ARGS = st.dictionaries(TEXT, VALUES, max_size=5)


def same(one: Any, other: Any) -> bool:
    """Equal in value, kind, sign and order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        pairs = zip(one.items(), other.items(), strict=True)
        return len(one) == len(other) and all(a == b and same(x, y) for (a, x), (b, y) in pairs)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other and repr(one) == repr(other))


def key(args: dict[str, Any]) -> str:
    """The approval's key; "" for what cannot be held."""
    try:
        return key_of(call(id="C" * 26, args=args), "also")
    except ValueError:
        return ""


@settings(max_examples=examples(400), deadline=None)
@given(ARGS)
@example({"": {"": [(), [], {}, [[]], ((),)]}})
@example({"a": [True, 1, 1.0, "1", b"1"], "b": [False], "c": (False,), "d": [[True]]})
@example({"z": -0.0, "a": float("nan"), "m": float("inf"), "n": -math.inf})
def test_what_crosses_is_what_was_judged(args: dict[str, Any]) -> None:
    crossed = unpack(pack(args))
    assert same(args, crossed)
    assert key(args) == key(crossed)
    assert list(args) == list(crossed)


@settings(max_examples=examples(200), deadline=None)
@given(ARGS, ARGS)
def test_what_is_two_is_two_on_the_other_side(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (pack(one) == pack(other)) == same(one, other) or any("nan" in repr(each) for each in (one, other))
    assert (key(one) == key(other)) == (key(unpack(pack(one))) == key(unpack(pack(other))))


class Text(str):
    pass


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1},
        frozenset(),
        bytearray(b"x"),
        memoryview(b"x"),
        1j,
        {1: 2},
        {None: 2},
        Text("x"),
        msgspec.Raw(b"1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_no_argument_is_does_not_cross(value: Any) -> None:
    for args in ({"a": value}, {"a": [{"b": (value,)}]}):
        with pytest.raises(ValueError, match="argument"):
            pack(args)


def test_the_deep_does_not_cross_and_does_no_harm() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="deep"):
        pack({"a": deep})
    while isinstance(deep, list) and deep:  # one by one: the end of it would be deep, too
        deep = deep.pop()


@pytest.mark.parametrize(
    "packed",
    [
        b"", b"\xc0", b"\x90", b"\x81\xa1a\x90", b"\x81\xa1a\x91\x01", b"\x81\xa1a\x92\xc0\x01", b"\x81\x01\x02",
        b"\x81\xa1a\xd6\xff\x00\x00\x00\x01", b"\x81\xa1a\xd4\x02\x00", b"\x81\xa1a\x81\xc0\xc0", b"\x80\x80",
        b"\x81\xa1a" + b"\x91" * 200_000, b"\x81\xa1a" + b"\x92\xc2" * 200_000 + b"\xc0", b"\x81\xa1\xff\xc0",
        b"\xdf\xff\xff\xff\xff", b"\x81\xa1a\xc9\xff\xff\xff\xff\x01",
    ],
    ids=lambda packed: packed[:8].hex(),
)  # fmt: skip
def test_what_no_worker_of_ours_packs_is_not_taken(packed: bytes) -> None:
    with pytest.raises(ValueError):  # msgspec's are its own; all that counts is that it is one
        unpack(packed)


@settings(max_examples=examples(500), deadline=None)
@given(
    st.binary(max_size=64)
    | ARGS.map(pack).flatmap(lambda made: st.binary(max_size=4).map(lambda more: made[1:] + more))
)
def test_rubbish_is_taken_for_arguments_or_not_at_all(packed: bytes) -> None:
    try:
        found = unpack(packed)
    except ValueError:
        return
    assert same(found, unpack(pack(found)))
