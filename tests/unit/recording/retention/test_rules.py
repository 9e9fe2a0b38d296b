"""Rules, times and ranges: properties, over anything that a configuration or a journal may say."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.recording.keeper.settings import KeepRule
from funcgate.recording.retention.orders import EXPIRED, MAX_NAMES, Gone, Key, Order, merged, order_in, split, without
from funcgate.recording.retention.rules import FOR_EVER, Class, Rules, day_of, end_of, seconds_of, time_of

_seconds = st.none() | st.floats(1, 1e9)
_rule = st.builds(
    KeepRule,
    targets=st.lists(st.sampled_from(["a", "b", "c", "*"]), min_size=1).map(tuple),
    content_s=_seconds,
    metadata_s=_seconds,
    decisions_s=_seconds,
)
_classes = st.sampled_from(["content", "metadata", "decisions"])
_times = st.floats(0, 4e9)
_ranges = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))), max_size=8)


@settings(deadline=None)
@given(st.lists(_rule, max_size=4), st.sampled_from(["a", "b", "d"]), _classes, _times)
def test_the_first_rule_that_names_a_target_counts(rules: list[KeepRule], target: str, kind: Class, at: float) -> None:
    first = next((rule for rule in rules if {target, "*"} & set(rule.targets)), None)
    said = None if first is None else getattr(first, f"{kind}_s")
    assert Rules(rules).due_at(target, kind, at) == (FOR_EVER if said is None else at + said)


@settings(deadline=None)
@given(st.lists(_rule, max_size=4), _classes)
def test_what_has_no_target_is_kept_as_long_as_any_decision(rules: list[KeepRule], kind: Class) -> None:
    kept = Rules(rules).kept_s("", kind)
    star = next((rule for rule in rules if "*" in rule.targets), None)
    if star is not None:
        assert kept == (FOR_EVER if star.decisions_s is None else star.decisions_s)
    else:
        assert all(kept >= (FOR_EVER if rule.decisions_s is None else rule.decisions_s) for rule in rules)
        assert rules or kept == FOR_EVER


@settings(deadline=None)
@given(_times)
def test_a_day_ends_after_everything_in_it(at: float) -> None:
    written = time_of(at)
    assert abs(seconds_of(written) - at) < 1e-5
    assert at < end_of(day_of(written)) <= at + 86400.0 + 1e-3


@pytest.mark.parametrize("day", ["", "2026-13-01", "yesterday"])
def test_what_is_no_day(day: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        end_of(day)


@settings(deadline=None)
@given(_ranges)
def test_ranges_are_joined_and_lose_nothing(ranges: list[tuple[int, int]]) -> None:
    joined = merged(ranges)
    assert _numbers(joined) == _numbers(ranges)
    assert all(first <= last for first, last in joined)
    assert all(one[1] + 1 < other[0] for one, other in pairwise(joined))


@settings(deadline=None)
@given(_ranges, st.tuples(st.integers(1, 60), st.integers(0, 20)))
def test_a_range_taken_out(ranges: list[tuple[int, int]], pair: tuple[int, int]) -> None:
    taken = (pair[0], sum(pair))
    assert _numbers(without(ranges, taken)) == _numbers(ranges) - _numbers([taken])


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 900))
def test_an_order_in_pieces_is_the_same_order(keys: int, objects: int, segments: int) -> None:
    order = Order(
        what=EXPIRED, cls="content", before="2026-01-01T00:00:00.000000Z", target="t",
        keys=tuple(Key(f"k{number}", "s", "2026-01-01") for number in range(keys)),
        objects=tuple(f"sha256:{number:064x}" for number in range(objects)),
        segments=tuple(Gone(f"{number:08d}.jsonl", number * 10 + 1, number * 10 + 10) for number in range(segments)),
    )  # fmt: skip
    read = [order_in(piece.change()) for piece in split(order)]
    assert all(piece is not None and len(piece.keys + piece.objects + piece.segments) <= MAX_NAMES for piece in read)
    for name in ("keys", "objects", "segments"):
        assert sum((getattr(piece, name) for piece in read), ()) == getattr(order, name)
    if segments:
        assert read[-1] is not None
        assert read[-1].gone == ((1, segments * 10),)


def test_an_order_of_a_newer_version_is_none() -> None:
    assert order_in({"what": EXPIRED, "class": "everything", "before": ""}) is None
    assert order_in({"what": EXPIRED}) is None
    assert order_in({"what": "hold"}) is None


def _numbers(ranges: object) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}  # type: ignore[attr-defined]
