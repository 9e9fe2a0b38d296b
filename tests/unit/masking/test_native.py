"""The compiled half beside the pure one: the same answers to the same bytes, in the same order, or none from both."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from funcgate.core.native import half
from funcgate.masking.actions import replacement
from funcgate.masking.detectors import DETECTORS
from funcgate.masking.detectors.credit_card import all_cards, is_card
from funcgate.masking.detectors.email import STRING
from funcgate.masking.detectors.us_ssn import all_issued
from funcgate.masking.fields import NO_FIELDS
from funcgate.masking.rules import Rules

native: Any = half("funcgate.masking._native")
pytestmark = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
SYNTHETIC = Path(__file__).parents[4] / "shared" / "corpora" / "presidio_synth_dataset_v2.json"


def rules(action: Literal["redact", "partial", "hash"]) -> Rules:
    return Rules([(d, replacement(action, d, b"k" * 32)) for d in DETECTORS.values()], NO_FIELDS)


RULES = [rules("redact"), rules("partial"), rules("hash")]
PIECES = [
    "4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111", "4111 1111 1111 1112", "123-45-6789", "123 45 6789",
    "000-45-6789", "123-45-67890", "ada@example.com", "a.b+c@x-y.example.org", "x@y", "@", "a@b.c", "202-555-0143",
    "+1 (202) 555-0143", "10.0.0.1", "2026-11-21 03:00", "1234567", "12345678901234567890", " ", ",", "}", "]", ".", "-",
    "(", "/", ":", "x", "Ünï", "\u00a0", "0604 1234 5678 9012", "0000 0000 0000 0000", "1.2.3.4@example.com",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join) | st.sampled_from(PIECES)
LEAVES = TEXTS | st.integers(0, 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=20
)
SPACING = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t"), ("," + " " * 300, ":")])


def both(raw: bytes, chosen: Rules) -> None:
    opened = chosen.scanner.gate(raw)
    pure: dict[str, int] = {}
    compiled: dict[str, int] = {}
    wanted = chosen.values.mask(raw, opened, pure)
    got = native.Pass(chosen.values).mask(raw, opened, compiled)
    assert (got, list(compiled.items())) == (wanted, list(pure.items())), raw
    assert (got is raw) == (wanted is raw)


@settings(max_examples=600, deadline=None)
@given(VALUES, SPACING, st.sampled_from(RULES))
def test_any_json_is_masked_alike(value: Any, spacing: tuple[str, str], chosen: Rules) -> None:
    both(json.dumps(value, separators=spacing, ensure_ascii=False).encode(), chosen)


@pytest.mark.parametrize("chosen", RULES, ids=["redact", "partial", "hash"])
def test_texts_that_nobody_here_wrote_are_masked_alike(chosen: Rules) -> None:
    texts = [record["full_text"] for record in json.loads(SYNTHETIC.read_text())]
    for at in range(0, len(texts), 5):
        both(json.dumps(texts[at : at + 5], ensure_ascii=False).encode(), chosen)
        both(json.dumps({str(n): text.split() for n, text in enumerate(texts[at : at + 5])}).encode(), chosen)


BITS = ["a", "Z9", "-", "--", ".", "@", "_", "+", '"', "ab-c", "@x.org", "@a.b.co", "é"]
ADDRESSES = st.lists(st.sampled_from(BITS), max_size=6).map("".join)


@settings(max_examples=500, deadline=None)
@given(
    ADDRESSES | st.builds("{}@{}.{}".format, ADDRESSES, ADDRESSES, ADDRESSES), st.sampled_from(['"', ""]),
    st.sampled_from(['",', '"}', '"]', '":', '"', "x"]), st.integers(0, 3), st.integers(-2, 0),
)  # fmt: skip
@example("ada.b+c@x--y.example.org", '"', '",', 2, 0)
@example("a@b.c", '"', '",', 0, 0)
@example("a@b.cd", '"', '"}', 0, 0)
@example("a@-b.cd", '"', '"}', 0, 0)
@example("a@b.c-", '"', '"}', 0, 0)
def test_an_address_is_one_for_both(text: str, opening: str, closing: str, before: int, off: int) -> None:
    raw = b"x" * before + (opening + text + closing).encode()
    for at, end in ((before, len(raw)), (before, max(before, len(raw) + off)), (0, len(raw))):
        assert native.is_address(raw, at, end) == (STRING.fullmatch(raw, at, end) is not None), (raw, at, end)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.from_regex(r"[0-9]{15}", fullmatch=True), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_check_digits_are_the_same_sums(bodies: list[str], random: Any) -> None:
    strings = ""
    for body in bodies:
        good = next((d for d in "0123456789" if is_card((body + d).encode())), "0") if random.random() < 0.8 else "7"
        digits = body + good
        strings += random.choice(['"{}",', '"{}"}}', '"{}"]']).format(
            digits if random.random() < 0.5 else " ".join([digits[:4], digits[4:8], digits[8:12], digits[12:]])
        )
    assert native.all_cards(strings.encode()) == all_cards(strings.encode())


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.from_regex(r'"(000|666|[0-9]{3})[ -](00|[0-9]{2})[ -](0000|[0-9]{4})"[,}\]]', fullmatch=True), max_size=4
    ),
    st.sampled_from(["", "x", '"123-45-6789"', '"123-45-6789":', '"123.45-6789",', "\x00" * 14, '"123-45-678x",']),
)
def test_issued_numbers_are_the_same(strings: list[str], more: str) -> None:
    raw = "".join(strings).encode() + more.encode()
    assert native.all_issued(raw) == all_issued(raw)


@pytest.mark.parametrize("wrong", [None, "text", bytearray(b"x"), memoryview(b"x"), 5])
def test_what_is_no_bytes_is_refused(wrong: Any) -> None:
    for function in (native.all_cards, native.all_issued, lambda text: native.is_address(text, 0, 1)):
        with pytest.raises(TypeError):
            function(wrong)
    with pytest.raises(TypeError):
        native.Pass(RULES[0].values).mask(wrong, [RULES[0].scanner.end], {})
