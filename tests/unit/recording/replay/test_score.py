"""Playing back and comparing, without a terminal: beats in order, pieces at their times, calls aligned as a human would."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind
from funcgate.recording.calls import CallRecord
from funcgate.recording.replay.compare import MAX_CALLS, compare
from funcgate.recording.replay.score import Played, beats, played


def _entry(second: float, kind: Kind, call: str, **more: Any) -> Entry:
    return Entry(at=f"2026-11-21T10:00:{second:09.6f}Z", kind=kind, call=call, **more)


ENTRIES = [
    _entry(1.0, Kind.ARRIVED, "A", function="shop.buy"),
    _entry(1.5, Kind.ARRIVED, "B", function="shop.stream"),
    _entry(2.0, Kind.ASKED, "A", approval="P"),
    _entry(2.1, Kind.CHUNK, "B", body="one ", piece=1),
    _entry(2.2, Kind.ANSWERED, "", approval="P", outcome="approved"),
    _entry(4.1, Kind.CHUNK, "B", body="two", piece=2),
    _entry(4.2, Kind.ENDED, "B", outcome="complete"),
    _entry(5.0, Kind.ENDED, "A", outcome="complete"),
]


def test_beats_are_at_their_times_and_of_their_calls() -> None:
    found = [(round(beat.offset_s, 3), beat.call, round(beat.call_s, 3), beat.entry.kind) for beat in beats(ENTRIES)]
    assert found == [
        (0.0, 1, 0.0, "arrived"), (0.5, 2, 0.0, "arrived"), (1.0, 1, 1.0, "asked"), (1.1, 2, 0.6, "chunk"),
        (1.2, 1, 1.2, "answered"), (3.1, 2, 2.6, "chunk"), (3.2, 2, 2.7, "ended"), (4.0, 1, 4.0, "ended"),
    ]  # fmt: skip


def test_calls_come_whole_and_in_order() -> None:
    first, second = played(ENTRIES)
    assert (first.number, first.record.id, first.offset_s) == (1, "A", 0.0)
    assert (second.number, second.record.body, second.offset_s) == (2, "one two", 0.5)


def _calls(*given_: tuple[str, int], **more: Any) -> list[Played]:
    return [
        Played(number=number, offset_s=0.0, record=CallRecord(
            id=str(number), at="", function=function, args=Raw(b'{"n":%d}' % n), decision="allow", **more,
        ))
        for number, (function, n) in enumerate(given_, 1)
    ]  # fmt: skip


def _numbers(first: list[Played], second: list[Played]) -> list[tuple[int, int]]:
    return [(pair.first, pair.second) for pair in compare(first, second)]


def test_calls_correspond_by_arguments_first_and_then_by_function() -> None:
    first = _calls(("pay", 1), ("pay", 2), ("pay", 3), ("look", 1))
    assert _numbers(first, _calls(("pay", 1), ("pay", 3), ("look", 1))) == [(1, 1), (2, 0), (3, 2), (4, 3)]
    assert _numbers(first, _calls(("pay", 1), ("pay", 9), ("pay", 3), ("look", 1))) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert _numbers(first, _calls(("new", 1), ("pay", 1), ("pay", 2), ("pay", 3), ("look", 2)))[0] == (0, 1)
    assert _numbers([], first) == [(0, 1), (0, 2), (0, 3), (0, 4)]


def test_what_differs_is_named_as_small_as_it_is() -> None:
    (one,), (other,) = _calls(("pay", 1), body=Raw(b'{"a":[1,{"b":2}],"c":1}')), _calls(("pay", 1))
    other.record.body = Raw(b'{"a":[1,{"b":true}],"d":1}')
    other.record.decision, other.record.code, other.record.policy = "deny", "policy.denied", Decided(("late",), "v")
    (pair,) = compare([one], [other])
    assert [(found.what, found.first, found.second) for found in pair.differences] == [
        ("decision", "allow", "deny"), ("code", "(absent)", "policy.denied"), ("policies", "(absent)", "late"),
        ("answer.a[1].b", "2", "true"), ("answer.c", "1", "(absent)"), ("answer.d", "(absent)", "1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"), [(Raw(b"1"), Raw(b"true")), ("text", Raw(b'"text"')), (None, ""), (Raw(b"[1]"), Raw(b"[1,2]"))]
)
def test_answers_that_are_nearly_the_same(one: Any, other: Any) -> None:
    first, second = _calls(("pay", 1), body=one), _calls(("pay", 1), body=other)
    (pair,) = compare(first, second)
    assert not pair.same


_sessions = st.lists(st.tuples(st.sampled_from(["pay", "look"]), st.integers(0, 3)), max_size=12)


@settings(deadline=None)
@given(_sessions, _sessions)
def test_every_call_is_in_the_comparison_once_and_in_order(
    one: list[tuple[str, int]], other: list[tuple[str, int]]
) -> None:
    first, second = _calls(*one), _calls(*other)
    pairs = compare(first, second)
    assert [pair.first for pair in pairs if pair.first] == list(range(1, len(one) + 1))
    assert [pair.second for pair in pairs if pair.second] == list(range(1, len(other) + 1))
    assert all(pair.same for pair in pairs) == (one == other)
    for pair in pairs:
        if pair.first and pair.second:
            assert one[pair.first - 1][0] == other[pair.second - 1][0]


def test_long_sessions_end() -> None:
    first, second = (_calls(*(("pay", n % 7 + shift) for n in range(6000))) for shift in (0, 3))
    assert len(compare(first, first[:-1])) == 6000
    assert compare(first, second)
    with pytest.raises(ValueError, match="too long"):
        compare([first[0]] * (MAX_CALLS + 1), [])
