"""The quick way: what it takes it masks as the walk does; what it is not sure of it leaves to others, uncounted."""

import pytest

from funcgate.masking.actions import replacement
from funcgate.masking.detectors import DETECTORS
from funcgate.masking.fields import NO_FIELDS
from funcgate.masking.rules import Rules
from funcgate.masking.structured import mask_by_walk

RULES = Rules([(d, replacement("redact", d, b"k" * 32)) for d in DETECTORS.values()], NO_FIELDS)


def quick(raw: bytes) -> tuple[bytes | None, dict[str, int]]:
    counts: dict[str, int] = {}
    return RULES.values.mask(raw, RULES.scanner.gate(raw), counts), counts


@pytest.mark.parametrize(
    "raw",
    [
        b'{"card":"4111 1111 1111 1111","mail":"ada@example.com","ssn":"123-45-6789","n":1730800000000}',
        b'["4111111111111111","5555-5555-5555-4444","123 45 6789"]',
        b'{"a": "call 202-555-0143 or ada@example.com, or b@example.com",\n        "b": "at 10.0.0.1"}',
        b'{"a":"9792 0301 2345 6788 is it?","b":"x@y","c":"2026-11-21"}',
        b'{"a":"1.2.3.4.5@10.20.30.40.example.com","b":"+1-202-555-0143"}',
        b'{"a":"order 4111111111111111","b":12345678}',
        b'["202-555-0143 x12; 4111 1111 1111 1111"]',
    ],
)
def test_plain_values_are_taken(raw: bytes) -> None:
    walked: dict[str, int] = {}
    assert (mask_by_walk(raw, RULES, walked), walked) == quick(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"4111 1111 1111 1111":1}', b'{"ada@example.com" : 1}', b'{"n":4111111111111111}', b'[1, 4111111111111111, 2]',
        b"4111111111111111", b'"4111 1111 1111 1111"', b'["123-45-6789"]        ',
        b'["4111 1111 1111 1112","5555 5555 5555 4444"]', b'["000-45-6789"]',
        b'["202-555-0143@example.com"]', b'["ada@example.com","::1"]', b'["202-555-0143 x12 4111 1111 1111 1111"]',
        b'["ada@example.com","GB82WEST12345698765432"]', b'["ada@example.com","\\u0040"]', b'["1","ada@example.com",4e15]',
        '["ada@example.com","4111\u00a01111\u00a01111\u00a01111"]'.encode(),
    ],
)  # fmt: skip
def test_what_is_not_sure_is_left_to_others(raw: bytes) -> None:
    assert quick(raw) == (None, {})


@pytest.mark.parametrize("raw", [b"a@b @", b'"a@b.cd @', b'["a@b.cd"] c@d.ef@', b"1234567@a @", b'"1234567@x.org @'])
def test_what_is_no_json_comes_to_an_end(raw: bytes) -> None:
    """It went on for ever from the last @ of a text without a quote after it."""
    for end in range(len(raw) + 1):
        for text in (raw[:end], raw[:end] + b"@", b"@" + raw[:end], raw[:end] + b'"', raw[:end] * 2):
            assert quick(text)[0] != b"" or not text


def test_what_holds_nothing_is_the_very_object() -> None:
    raw = b'{"a":"2026-11-21 03:00","b":"x@ y","c":1234567890}'
    assert quick(raw)[0] is raw


def test_a_batch_of_cards_is_judged_as_each_one_is() -> None:
    whole, single = DETECTORS["credit_card"].whole, DETECTORS["credit_card"].refine
    assert whole is not None
    assert single is not None
    good = [f"4{number:014d}" for number in range(0, 10**14, 7 * 10**11)]
    digits = [body + str(check) for body in good for check in range(10)]
    cards = [text for text in digits if list(single(text.encode(), 0, 16))]
    assert len(cards) == len(good)
    for text in digits:
        assert whole.all_are(b'"%b",' % text.encode()) == (text in cards)
    joined = "".join(f'"{text[:4]} {text[4:8]}-{text[8:]}"}}' for text in cards).encode()
    assert whole.all_are(joined)
    assert not whole.all_are(joined + b'"4111111111111112",' + joined)
