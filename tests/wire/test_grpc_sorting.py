"""The fields of heads: sorted alike by both halves, and what is remembered of a target's heads."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.native import half
from funcgate.core.refusal import Refused
from funcgate.protocols.grpc.heads import head_of, success
from funcgate.protocols.grpc.opening import _ROLES
from funcgate.wire.grpc import alone, frame
from funcgate.wire.grpc.sorting import ONCE, TWICE, UNDERSCORED, WITHHELD, Fields, pure_sort_head, roles_of, sort_head
from support.quick import examples

NAMES = st.sampled_from([
    *_ROLES, b"", b"a", b"a_b", b"a-bin", b"_-bin", b":path", b":odd", b"grpc-timeout", b"grpc-x", b"funcgate-x", b"funcgate",
    b"x-y", b"te", b"\xff",
]) | st.binary(max_size=6)  # fmt: skip
VALUES = st.sampled_from([b"", b"a", b"a,b", b" a ,\tb", b",", b"\x00"]) | st.binary(max_size=6)


@pytest.mark.skipif(half("funcgate.wire.grpc._native") is None, reason="not built, or FUNCGATE_PURE is set")
@settings(max_examples=examples(500), deadline=None)
@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_both_halves_sort_alike(fields: Fields) -> None:
    results: list[Any] = []
    for sort in (half("funcgate.wire.grpc._native").sort_head, pure_sort_head):
        known: dict[bytes, bytes] = {}
        crossing: Fields = []
        results.append((sort(fields, known, crossing, _ROLES), list(known.items()), crossing))
    assert results[0] == results[1]


@pytest.mark.parametrize("sort", [sort_head, pure_sort_head], ids=["what runs", "pure"])
def test_what_is_said_of_a_head(sort: Any) -> None:
    roles = roles_of(frozenset({b"one"}), frozenset({b"here"}))
    assert roles == {b"one": ONCE, b"here": WITHHELD}
    known: dict[bytes, bytes] = {}
    crossing: Fields = []
    fields = [(b"one", b"1"), (b"here", b"2"), (b"one", b"3"), (b"a_b", b"4"), (b"x-bin", b"QQ, QQ"), (b":x", b"5")]
    assert sort(fields, known, crossing, roles) == TWICE | UNDERSCORED
    assert known == {b"one": b"3", b"here": b"2", b"a_b": b"4", b"x-bin": b"QQ, QQ", b":x": b"5"}
    assert crossing == [(b"one", b"1"), (b"one", b"3"), (b"a_b", b"4"), (b"x-bin", b"QQ"), (b"x-bin", b"QQ")]
    assert sort([(b"here_", b""), (b"grpc-_", b"")], {}, [], roles) == UNDERSCORED


@pytest.mark.parametrize("data", [b"", b"a", b"\x00" * 5, b"x" * 100])
def test_one_message_at_once(data: bytes) -> None:
    whole = frame(data)
    assert alone(whole, 100) == data
    for end in range(len(whole)):
        assert alone(whole[:end], 100) is None
    assert alone(whole + b"\x00", 100) is None
    assert alone(whole * 2, 500) is None
    assert alone(frame(data, compressed=True), 100) is None
    if data:
        assert alone(whole, len(data) - 1) is None


HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc+proto")]


def test_heads_are_not_mixed_up() -> None:
    for number in range(300):  # more than are remembered
        head = head_of([*HEAD, (b"x-number", b"%d" % number)])
        assert head == head_of([*HEAD, (b"x-number", b"%d" % number)])
        assert head.metadata == [(b"x-number", b"%d" % number)]
        assert (head.http_status, head.is_grpc, head.has_status, head.coding) == (200, True, False, "identity")
    long = b"x" * 2000
    assert head_of([*HEAD, (b"x-long", long)]).metadata == [(b"x-long", long)]
    assert head_of([*HEAD, (b"grpc-encoding", b"gzip"), (b"grpc-status", b"0")]).has_status
    assert head_of([*HEAD, (b"x-bin", b"QQ,Qg")]).metadata == [(b"x-bin", b"A"), (b"x-bin", b"B")]
    with pytest.raises(Refused):
        head_of([*HEAD, (b"x-bin", b"?")])


def test_only_a_plain_success_is_one() -> None:
    assert success([(b"grpc-status", b"0")]) == []
    assert success([(b"grpc-status", b"0"), (b"grpc-message", b""), (b"x-a", b"b")]) == [(b"x-a", b"b")]
    for number in range(300):
        assert success([(b"grpc-status", b"0"), (b"x-n", b"%d" % number)]) == [(b"x-n", b"%d" % number)]
    for trailers in ([], [(b"grpc-status", b"5")], [(b"grpc-status", b"00")], [(b"grpc-status", b"0")] * 2):
        assert success(trailers) is None
        assert success(trailers) is None
    assert success([(b"grpc-status", b"0"), (b"grpc-status", b"5")]) is None
