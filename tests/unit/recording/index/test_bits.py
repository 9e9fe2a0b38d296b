"""Sets of calls: the same members whatever their number, form and order of change."""

import random

import pytest

from funcgate.recording.index.bits import CHUNK, between, changed, load, newest_first


def members(data: bytes) -> set[int]:
    return set(newest_first(load(data)))


@pytest.mark.parametrize("count", [0, 1, 2, 255, 256, 257, 1000, CHUNK - 1, CHUNK])
def test_as_many_as_there_are(count: int) -> None:
    dice = random.Random(count)
    wanted = dice.sample(range(CHUNK), count)
    data, half = b"", count // 2
    for some in (wanted[:half], wanted[half:]):
        data = changed(data, some)
    assert members(data) == set(wanted)
    assert list(newest_first(load(data))) == sorted(wanted, reverse=True)
    assert changed(data, wanted) == data
    left = changed(data, [], wanted[:half])
    assert members(left) == set(wanted[half:])
    assert changed(left, [], wanted) == b""


def test_few_take_few_bytes_and_many_no_more_than_a_bitmap() -> None:
    assert len(changed(b"", [7])) == 2
    assert len(changed(b"", range(CHUNK))) == CHUNK // 8


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, CHUNK - 1), (5, 9), (9, 5), (CHUNK - 1, CHUNK - 1)])
def test_ranges(low: int, high: int) -> None:
    assert set(newest_first(between(low, high))) == set(range(low, high + 1))
