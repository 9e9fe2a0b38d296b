"""JSON: what can hide a value from the raw bytes does not, keys stay apart, and splicing is the walk made quick."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.masking.actions import Action, field_replacement, replacement
from funcgate.masking.detectors import DETECTORS
from funcgate.masking.fields import NO_FIELDS, Fields
from funcgate.masking.rules import Rules
from funcgate.masking.structured import check_json, mask_by_walk, mask_json
from funcgate.masking.tokens import MAX_DEPTH, Unreadable
from support.quick import examples

ALL = Rules([(d, replacement("redact", d, b"k" * 32)) for d in DETECTORS.values()], NO_FIELDS)
CARD = "[REDACTED:credit_card]"


def mask(raw: str | bytes, rules: Rules = ALL) -> Any:
    return json.loads(mask_json(raw.encode() if isinstance(raw, str) else raw, rules, {}))


def with_fields(*paths: str) -> Rules:
    return Rules([], Fields({path: field_replacement("redact", b"k" * 32) for path in paths}))


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (r'"ada\u0040example.com"', "[REDACTED:email]"),
        (r'"\u0034111111111111111"', CARD),
        (r'"4111\u00201111\u00201111\u00201111"', CARD),
        (r'"4111\u00a01111\u00a01111\u00a01111"', CARD),
        (r'"x\n4111111111111111"', f"x\n{CARD}"),
        (r'"mail:\nada@example.com\t"', "mail:\n[REDACTED:email]\t"),
        (r'"\"ada@example.com\""', '"[REDACTED:email]"'),
        (r'"https:\/\/a:b@h"', "https://a:[REDACTED:url_password]@h"),
        ("4111111111111111", CARD),
        ("-4111111111111111", CARD),
        ("4111111111111111.0", CARD),
        ("4.111111111111111e15", CARD),
        ("4.111111111111111E+15", CARD),
        ("41111111111111110e-1", CARD),
        ("0.4111111111111111e16", CARD),
        ("4.111111111111111e" + "0" * 200 + "15", CARD),
        ("0." + "0" * 200 + "4111111111111111e+216", CARD),
        ('"https://x/?mail=ada%40example.com"', "https://x/?mail=[REDACTED:email]"),
        (r'"{\"mail\":\"ada\\u0040example.com\"}"', '{"mail":"[REDACTED:email]"}'),
        (r'"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"', "[REDACTED:pem_private_key]\n"),
        ('"\u00e9t\u00e9 4111111111111111 \U0001f600"', f"\u00e9t\u00e9 {CARD} \U0001f600"),
    ],
)
def test_a_value_is_found_however_it_is_spelled(raw: str, value: str) -> None:
    assert mask(raw) == value
    assert mask(f'{{"a":[1,{raw},"x"],"b":{raw}}}') == {"a": [1, value, "x"], "b": value}
    assert mask(f'{{\n  "a" : {raw} ,\n "b": true}}') == {"a": value, "b": True}


@pytest.mark.parametrize(
    "raw", ["1e999999999", "1e-999999999", "4e15", "1.5e3", "0.4242424242424242", "12345678901", "true"]
)
def test_other_numbers_stay_byte_for_byte(raw: str) -> None:
    text = f'{{"a": [{raw} , {raw}]}}'.encode()
    assert mask_json(text, ALL, {}) == text


@pytest.mark.parametrize(
    "raw",
    [
        '{"a@x.com":1,"b@x.com":2}',
        '{"a@x.com" : 1, "b@x.com":2}',
        r'{"a\u0040x.com":1,"b@x.com":2}',
        '{"a@x.com tail":1,"b@x.com tail":2}',
    ],
)
def test_masked_keys_stay_distinct(raw: str) -> None:
    masked = mask(raw)
    assert sorted(masked.values()) == [1, 2]
    assert all("@" not in key and key.startswith("[REDACTED:email]") for key in masked)


def test_a_masked_key_does_not_take_the_name_of_another() -> None:
    masked = mask('{"a@x.com":1,"[REDACTED:email]":2,"[REDACTED:email]#2":3}')
    assert masked == {"[REDACTED:email]": 2, "[REDACTED:email]#2": 3, "[REDACTED:email]#3": 1}


def test_the_same_name_in_two_objects_is_no_clash() -> None:
    assert mask('[{"a@x.com":1},{"b@x.com":2}]') == [{"[REDACTED:email]": 1}, {"[REDACTED:email]": 2}]


def test_duplicate_keys_are_masked_in_both_places() -> None:
    raw = mask_json(b'{"m":"a@x.com","m":"4111111111111111"}', ALL, {})
    assert raw == b'{"m":"[REDACTED:email]","m":"[REDACTED:credit_card]"}'
    raw = mask_json(b'{"p":"1","p":[2],"q":3}', with_fields("p"), {})
    assert raw == b'{"p":"[REDACTED:field]","p":"[REDACTED:field]","q":3}'


def test_only_what_changes_changes() -> None:
    raw = b'{ "a":1.10,\t"b":"\\u0041","c" : "ada@x.com","d":[ ] }\n'
    assert mask_json(raw, ALL, {}) == raw.replace(b"ada@x.com", b"[REDACTED:email]")


@pytest.mark.parametrize(
    ("paths", "raw", "masked"),
    [
        (["password"], '{"password":"x","a":{"password":"y"}}', '{"password":"F","a":{"password":"y"}}'),
        (["**.password"], '{"password":1,"a":[{"password":{"b":[1,"}"]}}]}', '{"password":"F","a":[{"password":"F"}]}'),
        (["a.b"], '{"a":{"b":[1,2]},"b":1}', '{"a":{"b":"F"},"b":1}'),
        (
            ["items[*].card"],
            '{"items":[{"card":1},{"card":null}],"card":2}',
            '{"items":[{"card":"F"},{"card":"F"}],"card":2}',
        ),
        (["[*].x"], '[{"x":1},{"y":{"x":2}}]', '[{"x":"F"},{"y":{"x":2}}]'),
        (["a.*"], '{"a":{"p":1,"q":[2]},"b":3}', '{"a":{"p":"F","q":"F"},"b":3}'),
        (["a[*]"], '{"a":[1,{"b":2},[3]]}', '{"a":["F","F","F"]}'),
        (["a[*][*]"], '{"a":[[1,2],[3],4]}', '{"a":[["F","F"],["F"],4]}'),
        (["**.a.b"], '{"a":{"a":{"b":1}},"x":[{"a":{"b":2}}]}', '{"a":{"a":{"b":"F"}},"x":[{"a":{"b":"F"}}]}'),
        (["a.**.z"], '{"a":{"z":1,"b":{"z":2}},"z":3}', '{"a":{"z":"F","b":{"z":"F"}},"z":3}'),
        (["password"], r'{"pass\u0077ord":"x"}', r'{"pass\u0077ord":"F"}'),
        (["Password"], '{"password":"x"}', '{"password":"x"}'),
        (["password"], '{"a":"password"}', '{"a":"password"}'),
        (["p"], '{"p":{"p":{"p":1}},"q":{"p":1}}', '{"p":"F","q":{"p":1}}'),
        (["p"], '{"p":[],"q":[{}]}', '{"p":"F","q":[{}]}'),
        (["n\u00e4me"], '{"n\u00e4me":1,"n\\u00e4me":2}', '{"n\u00e4me":"F","n\\u00e4me":"F"}'),
    ],
)
def test_fields_hide_the_whole_value(paths: list[str], raw: str, masked: str) -> None:
    out = mask_json(raw.encode(), with_fields(*paths), {}).decode()
    assert out == masked.replace('"F"', '"[REDACTED:field]"')


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b'{"a":1,}', b"[1]x", b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16"), b'"\xff"', b'{"\xc3":1}', b"NaN", b"'a'",
        b'"\n"', b'{"a":01}', b'"\xed\xa0\x80"', b'{"a":"\\x41"}', b"[" * 100_000 + b"]" * 100_000, b"[1,2", b"1 2", b"\x00",
        b'"\\ud800"', b'"\\udc00\\ud800"',
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        mask_json(raw, ALL, {})


@pytest.mark.parametrize("inside", [b'"a\\u0040x.com"', b'"a@x.com"', b'"nothing"', b""])
def test_nesting_beyond_the_limit_is_refused_by_every_way_through(inside: bytes) -> None:
    deep = b"[" * MAX_DEPTH + inside + b"]" * MAX_DEPTH
    assert mask_json(deep, ALL, {}).count(b"[REDACTED:email]") == inside.count(b"x.com")
    with pytest.raises(Unreadable):
        mask_json(b"[" + deep + b"]", ALL, {})


VALUES = [
    "4111111111111111", "4111 1111 1111 1111", "ada@example.com", "123-45-6789", "GB82WEST12345698765432", "192.168.10.21",
    "2001:db8::1", "+1-202-555-0143", "https://a:b@h/", "AKIAIOSFODNN7EXAMPLE", "a,b]:{}[", "::1", "41111111111111", "1.2",
    "4111 1111 1111 1112", "5555-5555-5555-4444", "012-34-5678", "000-45-6789", " x12", "::1.2.3.21a",
    "05 11", "x", "", "\u00e9", "4111-", "1111", "@", "x.com", "::", "//a:b", "@h", "+1 202 ", "202-555-", "0143",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from([*VALUES, " ", ",", ":", "-", "."]), max_size=4).map("".join)
NUMBERS = st.sampled_from(
    [0, -1, 1.5, 4111111111111111, -4111111111111111, 411111111111111, 5555555555554444, 123456789, 2.5e10]
)
DOCUMENTS = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


@settings(max_examples=examples(300), deadline=None)
@given(DOCUMENTS, SEPARATORS, st.booleans())
def test_splicing_gives_what_the_walk_gives(document: Any, separators: tuple[str, str], ascii_only: bool) -> None:
    raw = json.dumps(document, separators=separators, ensure_ascii=ascii_only).encode()
    quick: dict[str, int] = {}
    walked: dict[str, int] = {}
    assert mask_json(raw, ALL, quick) == mask_by_walk(raw, ALL, walked)
    assert quick == walked


@pytest.mark.parametrize("names", [["us_ssn", "phone_number"], ["phone_number", "us_ssn"], ["email", "credit_card"]])
@pytest.mark.parametrize("action", ["redact", "partial", "hash"])
def test_splicing_gives_what_the_walk_gives_for_other_choices(names: list[str], action: Action) -> None:
    rules = Rules([(DETECTORS[name], replacement(action, DETECTORS[name], b"k" * 32)) for name in names], NO_FIELDS)
    dice = random.Random(11)
    for _ in range(400):
        texts = ["".join(dice.choices(VALUES, k=dice.choice((1, 1, 2, 3)))) for _ in range(6)]
        raw = json.dumps({"a": texts[:2], texts[2]: texts[3], "b": {"c": texts[4], "d": texts[5]}}).encode()
        quick: dict[str, int] = {}
        walked: dict[str, int] = {}
        assert mask_json(raw, rules, quick) == mask_by_walk(raw, rules, walked)
        assert quick == walked


def escaped(text: str) -> str:
    return '"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"'


def respelled(document: Any) -> str:
    if isinstance(document, str):
        return escaped(document)
    if isinstance(document, list):
        return "[" + ",".join(respelled(item) for item in document) + "]"
    if isinstance(document, dict):
        return "{" + ",".join(f"{escaped(key)}:{respelled(item)}" for key, item in document.items()) + "}"
    return json.dumps(document)


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS)
def test_escapes_change_nothing(document: Any) -> None:
    plain = mask_by_walk(json.dumps(document, ensure_ascii=False).encode(), ALL, {})
    spelled = mask_json(respelled(document).encode(), ALL, {})
    assert json.loads(plain) == json.loads(spelled)
    check_json(plain)
