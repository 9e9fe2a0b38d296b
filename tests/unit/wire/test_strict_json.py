"""JSON that every reader reads alike: the corpus of JSONTestSuite, and what I-JSON adds to it."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.wire.strict_json import MAX_DEPTH, MAX_INTEGER_DIGITS, NotJson, loads

CORPUS = Path(__file__).resolve().parents[4] / "shared/corpora/jsontestsuite/test_parsing"
# RFC 8259 allows duplicate names, RFC 7493 (I-JSON) does not: the only good files that are refused.
REFUSED_BY_CHOICE = {"y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"}


def files(kind: str) -> list[Path]:
    return sorted(CORPUS.glob(f"{kind}_*.json"))


@pytest.fixture(scope="module")
def _corpus() -> None:
    if not CORPUS.is_dir():
        pytest.skip("the JSON corpus is not beside the repository (../shared/corpora/jsontestsuite)")


@pytest.mark.usefixtures("_corpus")
def test_every_good_file_is_accepted_but_for_duplicate_names() -> None:
    assert len(files("y")) > 90
    refused = set()
    for path in files("y"):
        try:
            assert loads(path.read_bytes()) == json.loads(path.read_bytes()), path.name
        except NotJson:
            refused.add(path.name)
    assert refused == REFUSED_BY_CHOICE


@pytest.mark.usefixtures("_corpus")
def test_every_bad_file_is_refused() -> None:
    assert len(files("n")) > 180
    accepted = []
    for path in files("n"):
        try:
            loads(path.read_bytes())
        except NotJson:
            continue
        accepted.append(path.name)
    assert accepted == []


@pytest.mark.usefixtures("_corpus")
def test_of_the_rest_only_big_integers_are_accepted() -> None:
    accepted = []
    for path in files("i"):
        try:
            loads(path.read_bytes())
        except NotJson:
            continue
        accepted.append(path.name)
    assert accepted == [
        "i_number_too_big_neg_int.json",
        "i_number_too_big_pos_int.json",
        "i_number_very_big_negative_int.json",
    ]


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":{"a":1,"a":2}}',
        b'[{"a":1,"b":2,"a":3}]',
        b'{"a:":1,"a:":2}',
    ],
)
def test_duplicate_names_are_refused(body: bytes) -> None:
    with pytest.raises(NotJson, match="twice"):
        loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"NaN",
        b"-Infinity",
        b'{"a":Infinity}',
        b"\xef\xbb\xbf{}",
        b"\xef\xbb\xbf1",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'{"\\udead":1}',
        b'{"a":"\\ud83d"}',
        b"1e400",
        b"-1e400",
        b"1e-400",
        b"1.000000000000000001",
        b"10000.0000000000000001",
        b'{"a":0.1234567890123456789}',
        b"01",
        b"+1",
        b".5",
        b"1.",
        b"0x10",
        b'{"a":1}{"a":1}',
        b'{"a":1}\x00',
        b"[1]\x0b",
        b"'a'",
        b'{"a":1,}',
        b'{"a":[1,]}',
        b'{"a":[1],"a":[2]}',
        b'{"a":["x"],"a":{"b":"x"}}',
        b'{"a":[10000.0000000000000001]}',
        b'{"a":' + b"[" * 100_000,
        b"// c\n1",
        b'"\t"',
    ],
)
def test_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        loads(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b' \t\r\n{"a" : 1}\n', {"a": 1}),
        (b'{"a":9223372036854775808}', {"a": 9223372036854775808}),
        (b"-" + b"9" * (MAX_INTEGER_DIGITS - 1), -int("9" * (MAX_INTEGER_DIGITS - 1))),
        (b'{"a":null,"b":true,"c":"x:y"}', {"a": None, "b": True, "c": "x:y"}),
        (b'{"a":[1,"x",null,true],"b":[]}', {"a": [1, "x", None, True], "b": []}),
        (b'{"a":[[1],9223372036854775808,0.5]}', {"a": [[1], 9223372036854775808, 0.5]}),
        (b"1.7976931348623157e308", 1.7976931348623157e308),
        (b"0.10000000000000000000000000", 0.1),
        (b"0e-999", 0.0),
        ('{"a":"é","b":"😀"}'.encode(), {"a": "é", "b": "😀"}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"[]", []),
        (b'"a"', "a"),
    ],
)
def test_accepted_as_it_stands(body: bytes, value: object) -> None:
    found = loads(body)
    assert found == value
    assert type(found) is type(value)


def test_numbers_keep_their_kind() -> None:
    found = loads(b'{"a":1.0,"b":1,"c":1e2,"d":true}')
    assert [type(item) for item in found.values()] == [float, int, float, bool]
    assert math.copysign(1, loads(b"-0.0")) == -1


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_limited_and_never_exhausts_the_stack(opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    loads(opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH)
    for depth in (MAX_DEPTH + 1, 1000, 100_000):
        with pytest.raises(NotJson):
            loads(opening * depth + b"1" + closing * depth)
        with pytest.raises(NotJson):
            loads(opening * depth)


def test_brackets_in_strings_are_no_depth() -> None:
    text = '["' + "[" * 500 + '\\"{' + '", "]"]'
    assert loads(text.encode()) == json.loads(text)


def test_integers_are_bounded() -> None:
    with pytest.raises(NotJson, match="digits"):
        loads(b'{"a":' + b"9" * (MAX_INTEGER_DIGITS + 1) + b"}")


@pytest.mark.parametrize(
    "body", [b'{"token":"hunter2","token":1}', b'{"x":"hunter2"', b'"hunter2\xff"', b'["hunter2\\ud800"]']
)
def test_an_error_holds_nothing_of_the_body(body: bytes) -> None:
    with pytest.raises(NotJson) as caught:
        loads(body)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in repr(error) + repr(vars(error))
        error = error.__context__


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_what_is_written_is_read(value: object) -> None:
    for is_ascii in (True, False):
        text = json.dumps(value, ensure_ascii=is_ascii)
        try:
            body = text.encode()
        except UnicodeEncodeError:
            continue
        if "\\ud" not in text:
            assert loads(body) == value


@given(
    st.lists(st.sampled_from([*'{}[]":,1e-. \\u0an', '"a"', '"b"', "true", "null", "1.5", "\x00", "é"]), max_size=30)
)
def test_never_anything_but_a_value_or_notjson(pieces: list[str]) -> None:
    body = "".join(pieces).encode()
    try:
        found = loads(body)
    except NotJson:
        return
    assert found == json.loads(body)
