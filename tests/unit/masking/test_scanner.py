"""The scanner: the quick ways find what the patterns find, and a Set without an answer is no clean text."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from funcgate.masking.detector import Detector, Hit, Need
from funcgate.masking.detectors import DETECTORS
from funcgate.masking.scanner import ScanFailed, Scanner, merged
from funcgate.masking.stretches import all_plain
from support.quick import examples

DIGITAL = [detector for detector in DETECTORS.values() if detector.digits]
SCANNER = Scanner(DIGITAL)
PIECES = [
    "123-45-6789", "123 45 6789", "4111111111111111", "4111 1111 1111 1111", "3782-822463-10005", "5555555555554444",
    "+1-202-555-0143", "+44 (0)20 7946 0000", "(202) 555-0143", "202.555.0143", "07700 063 966", "001-518-640-0854",
    "2026-11-05", "05.11.2026", "12:30", "192.168.10.21", "1.2.3.4.5", "1250.75", "0", "00", "000", "1", "12", "4", "+", "(",
    ")", " ", " ", "-", "-", ".", "/", "x", "x12", " ext ", "a", ",", '"', "41111111111111", "180016070420458", "060426070011",
]  # fmt: skip


def by_patterns(text: bytes) -> list[Hit]:
    hits: list[Hit] = []
    for index in range(len(DIGITAL)):
        SCANNER._find(index, text, hits)
    return merged(sorted(hits)) if hits else []


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
@example("4111111111111111 4111 1111 1111 111100")
@example("415-555-2671 ext 0604 0044 20 7946 0958")
def test_shapes_find_what_the_patterns_find(text: str) -> None:
    raw = text.encode()
    assert all_plain(raw)
    assert SCANNER.spans(raw, range(len(DIGITAL))) == by_patterns(raw)


def test_shapes_find_what_the_patterns_find_in_long_soups() -> None:
    dice = random.Random(7)
    for _ in range(300):
        raw = "".join(dice.choice(PIECES) for _ in range(60)).encode()
        assert SCANNER.spans(raw, range(len(DIGITAL))) == by_patterns(raw)


ALL = [*DETECTORS.values(), *(detector.twin for detector in DETECTORS.values() if detector.twin)]
WHOLE = Scanner(ALL)
MORE = [
    *PIECES,
    *"0123456789",
    "\u00a0",
    "\u2011",
    "ada@x.com",
    "GB82WEST12345698765432",
    "::1",
    "sk-",
    "a:b@",
    "1:2:3:4:5:6:",
    "77.2.3.4",
]


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.sampled_from(MORE), max_size=8).map("".join))
@example("1:2:3:4:5:6:77.2.3.4")
def test_the_gates_never_hide_what_the_detectors_find(text: str) -> None:
    raw = text.encode()
    assert WHOLE.spans(raw, WHOLE.gate(raw)) == WHOLE.spans(raw, range(len(ALL)))


def test_a_set_that_runs_out_of_memory_is_not_a_clean_text() -> None:
    wide = Detector(name="wide", gate=rb"(?:a|b)*a(?:a|b){14}c", needs=(Need(upper=1),))
    dice = random.Random(3)
    text = bytes(dice.choices(b"ab", k=100_000)) + b"a" * 15 + b"c"
    outcomes = set()
    for kilobytes in (8, 10, 12, 16, 24, 32, 1 << 16):
        try:
            scanner = Scanner([wide], max_mem=kilobytes << 10)
        except ValueError:
            outcomes.add("refused at load")
            continue
        try:
            opened = scanner.gate(text)
        except ScanFailed:
            outcomes.add("failed")
        else:
            assert opened[0] == 0, "an answer is the right answer"
            outcomes.add("found")
    assert outcomes >= {"refused at load", "found"}


def test_an_empty_answer_of_the_set_is_a_failure() -> None:
    scanner = Scanner(DIGITAL)
    scanner._gate = lambda text: []
    with pytest.raises(ScanFailed):
        scanner.gate(b"x")


def test_the_automaton_of_all_detectors_fits_many_times_over() -> None:
    """Texts made to grow it: every gate's beginnings, shuffled; the Set must answer for each."""
    dice = random.Random(5)
    for _ in range(10):
        WHOLE.gate(bytes(dice.choices(b"0123456789 -.+()/abGBsk_ghpeyJAKIA:@%\\", k=50_000)))


def test_overlaps_become_one_hit_named_by_the_longest() -> None:
    assert merged([(0, 5, 1), (3, 20, 2), (19, 21, 3), (21, 22, 4)]) == [(0, 21, 2), (21, 22, 4)]
