"""The quick way for flat bodies: what it takes the slow way takes too, as the same arguments; what is odd it leaves alone."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from funcgate.catalog.facts import Shapes
from funcgate.catalog.flat import OTHERS, flat, native, quick
from funcgate.catalog.schemas import Definitions
from funcgate.catalog.validate import Checks
from funcgate.wire import strict_json
from support.quick import examples

needs_native = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "all that is plain, and one member that is not",
    "required": ["amount", "name"],
    "properties": {
        "amount": {"type": "integer", "minimum": 1, "maximum": 1000},
        "name": {"type": "string", "minLength": 2, "maxLength": 6},
        "currency": {"type": "string", "enum": ["EUR", "USD", "Ünï"]},
        "fixed": {"type": "string", "const": "x"},
        "step": {"type": "integer", "enum": [1, 2, 4]},
        "open": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
        "rate": {"type": "number", "minimum": -1, "exclusiveMaximum": 2},
        "any": {"type": "number"},
        "urgent": {"type": "boolean"},
        "tags": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string", "maxLength": 3}},
        "many": {"type": "array", "items": {"type": "integer", "maximum": 9}},
        "odd": {"type": "string", "pattern": "^a"},
        "é": {"$ref": "#/$defs/Some"},
    },
}
DEFS = Definitions()
DEFS["Some"] = {"type": "integer", "minimum": 5}
CHECK = Checks(DEFS).compile(SCHEMA)
SHAPE = Shapes(DEFS).of(SCHEMA)
FLAT = quick(SCHEMA, DEFS)
NAMES = [*SCHEMA["properties"], "Amount", "other", "", 'a"b']
TEXTS = st.sampled_from(
    ["EUR", "USD", "x", "ab", "abcdef", "abcdefg", "", "Ünï", "a\nb", 'a"b', "\\", "\u00a0", "𝄞𝄞", "abc"]
)
NUMBERS = (
    st.integers(-2, 11) | st.sampled_from([999, 1000, 1001, 10**15, 10**18, 2**63, -(2**70), 0.5, 1.0, 2.0, -1.0, 1.9999, 1e22])
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
SCALARS = TEXTS | NUMBERS | st.booleans() | st.none()
VALUES = (
    SCALARS | st.lists(SCALARS, max_size=4) | st.lists(TEXTS, max_size=4) | st.dictionaries(TEXTS, SCALARS, max_size=1)
)
GOOD = {"amount": 5, "name": "abc"}
SPACING = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t"), ("\r\n,", ":")])


def slowly(body: bytes) -> dict[str, Any] | None:
    """What the slow way makes of a body: None where it refuses."""
    try:
        value = strict_json.loads(body)
    except ValueError:
        return None
    if type(value) is not dict or (SHAPE is not None and SHAPE.lookalike(value)) or not CHECK.is_valid(value):
        return None
    return value


def same(body: bytes) -> bool:
    """Whether the quick way took it."""
    found = FLAT.read(body)
    if found is None:
        return False
    wanted = slowly(body)
    assert wanted is not None, body
    assert (repr(found), list(map(type, found.values()))) == (repr(wanted), list(map(type, wanted.values()))), body
    return True


@needs_native
@settings(max_examples=examples(1500), deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5), SPACING, st.booleans(), st.booleans())
def test_what_it_takes_is_what_the_slow_way_takes(
    members: dict[str, Any], spacing: tuple[str, str], escaped: bool, good: bool
) -> None:
    value = GOOD | members if good else members
    same(json.dumps(value, separators=spacing, ensure_ascii=escaped).encode())
    if FLAT.fits(value):
        assert CHECK.is_valid(value), value


PIECES = [
    b"{", b"}", b"[", b"]", b",", b":", b'"amount"', b'"name"', b'"tags"', b'"rate"', b"5", b"05", b"-", b"-0", b"1.", b"1.5",
    b".5", b"1e1", b"123456789012345678", b'"abc"', b'"a\\u0062"', b'"\xff"', b'"\xed\xa0\x80"', b" ", b"\n", b"true",
    b"null", b'{"amount":5,"name":"abc"', b'"', b"\x00", b"\\",
]  # fmt: skip


@needs_native
@settings(max_examples=examples(1500), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=9).map(b"".join))
@example(b'{"amount":5,"name":"abc","rate":1.5}')
@example(b'{"amount":5,"name":"abc","amount":6}')
@example(b'{"amount":5,"name":"abc"},')
@example(b'{"amount":5,"name":"abc",}')
@example(b'{"amount":5,"name":"abc","tags":["a",]}')
@example(b'{"amount":05,"name":"abc"}')
@example(b'{"amount":5 5,"name":"abc"}')
@example(b'{"amount":5,"name":"\xff\xff"}')
@example(b'{"amount":5,"name":"a\x00b"}')
def test_pieces_of_bodies_are_read_alike(body: bytes) -> None:
    same(body)


@needs_native
def test_every_beginning_of_a_body_is_left_alone() -> None:
    body = b'{ "amount" : 12, "name":"abc", "tags":["a","b"], "rate": -0.25, "urgent":true, "\xc3\xa9": 7, "currency":"EUR" }'
    assert same(body)
    for end in range(len(body)):
        assert FLAT.read(body[:end]) is None


@needs_native
@pytest.mark.parametrize(
    "body",
    [
        b'{"amount":1000,"name":"ab"}', b'{"name":"abcdef","amount":1,"open":1}', b'{"amount":1,"name":"ab","many":[]}',
        b'{"amount":1,"name":"ab","any":-12345.6789,"step":4,"fixed":"x"}', b' {"amount":1,"name":"ab"}\r\n',
    ],
)  # fmt: skip
def test_plain_bodies_are_taken(body: bytes) -> None:
    assert same(body)


@needs_native
@pytest.mark.parametrize(
    "body",
    [
        b'{"amount":0,"name":"ab"}', b'{"amount":1001,"name":"ab"}', b'{"amount":1,"name":"a"}', b'{"amount":1,"name":"abcdefg"}',
        b'{"amount":1}', b'{"amount":1.0,"name":"ab"}', b'{"amount":true,"name":"ab"}', b'{"amount":1,"name":"ab","Amount":2}',
        b'{"amount":1,"name":"ab","open":0}', b'{"amount":1,"name":"ab","open":10}', b'{"amount":1,"name":"ab","rate":2}',
        b'{"amount":1,"name":"ab","rate":2.0}', b'{"amount":1,"name":"ab","tags":[]}', b'{"amount":1,"name":"ab","odd":"ab"}',
        b'{"amount":1,"name":"ab","tags":["a","a","a","a"]}', b'{"amount":1,"name":"ab","currency":"GBP"}', b"{}", b"", b"[]",
        b'{"amount":1,"name":"ab","fixed":null}', b'{"amount":1,"name":"ab","any":0.1234567890123456}',
    ],
)  # fmt: skip
def test_what_fails_or_is_odd_is_left_to_others(body: bytes) -> None:
    assert FLAT.read(body) is None


@pytest.mark.parametrize(
    "more",
    [
        {"minProperties": 1}, {"allOf": [{}]}, {"dependentRequired": {}}, {"not": {}}, {"$ref": "#/$defs/Some"},
        {"required": ["other"]}, {"type": ["object", "null"]}, {"properties": {}}, {"properties": {'a"b': {}}}, {"x-any": 1},
    ],
)  # fmt: skip
def test_a_schema_that_says_more_is_not_flat(more: dict[str, Any]) -> None:
    assert flat(SCHEMA | more, DEFS) is None


@pytest.mark.parametrize(
    "member",
    [
        True, {}, {"type": "string", "pattern": "a"}, {"type": ["string", "null"]}, {"type": "integer", "multipleOf": 2},
        {"type": "integer", "minimum": 0.5}, {"type": "integer", "exclusiveMinimum": True}, {"type": "string", "enum": [1]},
        {"type": "string", "enum": []}, {"type": "string", "enum": ["a"], "const": "b"}, {"type": "array", "uniqueItems": True},
        {"type": "array"}, {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, {"type": "object"},
        {"type": "number", "maximum": 2**60}, {"type": "integer", "enum": [True]}, {"type": "null"}, {"$ref": "#/$defs/Other"},
    ],
)  # fmt: skip
def test_a_member_that_says_more_is_the_validators(member: Any) -> None:
    found = flat({"type": "object", "properties": {"a": member}}, DEFS)
    assert found is not None
    assert found[0][0].kind == OTHERS


@needs_native
@pytest.mark.parametrize("word", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])
@pytest.mark.parametrize("bound", [at + sign * (1 << 63) for at in range(-2, 3) for sign in (-1, 1)])
def test_a_bound_at_the_edge_of_64_bits_loads_and_holds(word: str, bound: int) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", word: bound}}}
    check, quickly = Checks(DEFS).compile(schema), quick(schema, DEFS)
    for value in (bound - 1, bound, bound + 1, 0):
        assert check.is_valid({"a": value}) or not quickly.fits({"a": value})
