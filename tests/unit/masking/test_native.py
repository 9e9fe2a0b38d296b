"""The compiled half beside the pure one: what it takes it masks as the walk does, and it takes nothing that is no JSON."""

import json
import re
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from funcgate.core.native import half
from funcgate.masking.actions import replacement
from funcgate.masking.detectors import DETECTORS
from funcgate.masking.detectors.credit_card import is_card
from funcgate.masking.fields import NO_FIELDS
from funcgate.masking.lines import are_lines
from funcgate.masking.rules import Rules
from funcgate.masking.scanner import Scanner
from funcgate.masking.structured import check_json, mask_by_walk
from support.quick import examples

from .test_detectors import HITS, MISSES

native: Any = half("funcgate.masking._native")
pytestmark = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
CORPORA = Path(__file__).parents[4] / "shared" / "corpora"
SYNTHETIC = CORPORA / "presidio_synth_dataset_v2.json"


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


def both(raw: bytes, chosen: Rules) -> bool:
    """Whether the quick way was sure. What it takes is JSON for msgspec too, and masked as the walk does it, value by value."""
    counts: dict[str, int] = {}
    got = chosen.glance(raw, counts) if chosen.glance is not None else None
    if got is None:
        assert counts == {}
        return False
    check_json(raw)
    walked: dict[str, int] = {}
    assert (got, counts) == (mask_by_walk(raw, chosen, walked), walked), raw
    assert (got is raw) == (not counts)
    return True


@settings(max_examples=examples(300), deadline=None)
@given(VALUES, SPACING, st.sampled_from(RULES))
def test_any_json_is_masked_alike(value: Any, spacing: tuple[str, str], chosen: Rules) -> None:
    both(json.dumps(value, separators=spacing, ensure_ascii=False).encode(), chosen)


@pytest.mark.skipif(not SYNTHETIC.exists(), reason="the corpora are not beside the repository")
@pytest.mark.parametrize("chosen", RULES, ids=["redact", "partial", "hash"])
def test_texts_that_nobody_here_wrote_are_masked_alike(chosen: Rules) -> None:
    texts = [record["full_text"] for record in json.loads(SYNTHETIC.read_text())]
    for at in range(0, len(texts), 5):
        both(json.dumps(texts[at : at + 5], ensure_ascii=False).encode(), chosen)
        both(json.dumps({str(n): text.split() for n, text in enumerate(texts[at : at + 5])}).encode(), chosen)


BITS = ["a", "Z9", "-", "--", ".", "@", "_", "+", '"', "ab-c", "@x.org", "@a.b.co", "é", "!", " ", "1", "ç.ü"]
ADDRESSES = st.lists(st.sampled_from(BITS), max_size=8).map("".join)
EMAIL = Scanner([DETECTORS["email"]])


@settings(max_examples=examples(300), deadline=None)
@given(ADDRESSES | st.builds("{}@{}.{}".format, ADDRESSES, ADDRESSES, ADDRESSES))
@example("ada.b+c@x--y.example.org")
@example("a@b.c")
@example("a@b.cd")
@example("a@-b.cd")
@example("a@b.cd.e")
@example("a@b.c-d-.e")
@example("a@b@c.de, .x@y.zz")
def test_addresses_are_the_same_for_both(text: str) -> None:
    raw = text.encode()
    assert native.addresses(raw) == EMAIL.spans(raw, [0]), raw


@settings(max_examples=examples(250), deadline=None)
@given(st.from_regex(rb"(0604|81|82|9792|[0-9]?)[0-9]{8,18}", fullmatch=True))
def test_cards_are_the_same_for_both(body: bytes) -> None:
    for digit in b"0123456789":
        digits = body + bytes((digit,))
        assert native.is_card(digits) == (12 <= len(digits) <= 19 and is_card(digits)), digits


SSNS = st.from_regex(r"(000|666|9[0-9]{2}|[0-9]{3})[ -](00|[0-9]{2})[ -](0000|[0-9]{4})", fullmatch=True)
GROUPED = st.from_regex(r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}", fullmatch=True)


@settings(max_examples=examples(250), deadline=None)
@given(st.lists(SSNS | GROUPED, min_size=1, max_size=4), st.sampled_from(RULES))
def test_whole_strings_of_digits_are_judged_alike(texts: list[str], chosen: Rules) -> None:
    assert both(json.dumps(texts).encode(), chosen)
    both(json.dumps(dict.fromkeys(texts, 1)).encode(), chosen)


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_no_string_with_a_value_is_passed_over_for_lack_of_a_need(data: st.DataObject) -> None:
    """Each detector's gate made into texts, with neighbours: what the detector finds, the quick way does not miss."""
    detector = data.draw(st.sampled_from([*DETECTORS.values(), *(d.twin for d in DETECTORS.values() if d.twin)]))
    pattern = detector.gate.replace(b"\\b", b"").replace(b"^|", b"").replace(b'"', b"'")
    value = data.draw(st.from_regex(re.compile(pattern), fullmatch=data.draw(st.booleans())))
    around = st.sampled_from([b"", b" ", b"x", b"-", b"_", b".", b"text: "])
    text = (data.draw(around) + value + data.draw(around)).translate(None, b'"\\' + bytes(range(32)))
    alone = Rules([(detector, replacement("redact", detector, b"k" * 32))], NO_FIELDS)
    raw = b'["' + text + b'"]'
    for chosen in (RULES[0], alone):
        counts: dict[str, int] = {}
        got = chosen.glance(raw, counts) if chosen.glance is not None else None
        if got is not None:
            walked: dict[str, int] = {}
            assert (got, counts) == (mask_by_walk(raw, chosen, walked), walked), raw


@pytest.mark.parametrize("name", HITS)
def test_hits_and_near_misses_of_each_detector_are_masked_alike(name: str) -> None:
    """Alone, in a text, as a key, and beside what another detector finds; with all detectors and with this one only."""
    alone = Rules([(DETECTORS[name], replacement("redact", DETECTORS[name], b"k" * 32))], NO_FIELDS)
    for text in [*HITS[name], *MISSES.get(name, [])]:
        for shown in (
            text,
            f"see {text}, please",
            text[:-1],
            text[1:],
            text + "x",
            "x" + text,
            "_" + text,
            text + "-1",
        ):
            for value in ([shown], {"a": shown, "b": 1}, {shown: 1}, [shown, "ada@example.com", "4111111111111111"]):
                for chosen in (RULES[0], alone):
                    both(json.dumps(value, ensure_ascii=False).encode(), chosen)


BROKEN = [
    b"", b" ", b"[", b"]", b"{", b"[1,]", b"[,1]", b"{,}", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a" 1}', b'{1:2}', b"[1 2]",
    b"01", b"-", b"-01", b"1.", b".5", b"+1", b"tru", b"nul", b"falsee", b"truefalse", b'"', b'"a', b'"a\n"', b'"\x00"', b'["a]',
    b"[1}", b'{"a":1]', b"\xef\xbb\xbf1", b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', b"[\xa0]", b"NaN", b"[1]x", b'""""', b"'a'",
    b"[1]\x00", b"\x00", b'["a"\x00]', b'["a\x00"]', b"]" * 70, b"1 2", b"[" * 70, b"{]", b"[}",
    b"1e", b'"\\u004"', b'"\\ud800"', b'"\\ud800\\u0041"', b'"\\udc00"', b'"\\x41"', b'"\\', b'"\\"', b'"\\u00',
    b'"\\n\n"', b'"\\n\xff"', b'"\\n\xc3"', b"1e+", b"1.e5", b'"\\v"', b'"\\U0041"', b'"\\u+041"',
]  # fmt: skip


@pytest.mark.parametrize("raw", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_json_is_never_taken(raw: bytes) -> None:
    assert not both(raw, RULES[0])


def test_the_suite_is_taken_where_it_is_sound_only() -> None:
    """Every text of the corpus, and every beginning of the short ones."""
    paths = sorted((CORPORA / "jsontestsuite" / "test_parsing").glob("*.json"))
    if not paths:
        pytest.skip("jsontestsuite is not beside the repository (../shared/corpora)")
    taken = [path.name for path in paths if both(path.read_bytes(), RULES[0])]
    assert not [name for name in taken if name.startswith("n_")]
    assert len([name for name in taken if name.startswith("y_")]) > 30
    for path in paths:
        raw = path.read_bytes()[:60]
        for end in range(len(raw)):
            both(raw[:end], RULES[0])


SOUND = [
    b"1", b"0", b"-0", b"-1.50", b'""', b" [ ] ", b"{}", b'\t{ "a" : [ 1 , { } , [ ] , null , true , false ] }\r\n',
    b'"' + b"x" * 200 + b'"', b"[" * 60 + b"]" * 60, '["Ünï \u00a0"]'.encode(), b'{"a":{"a":{"a":[[[{"b":0.25}]]]}}}',
    b'"%"', b'"&"', b'"100% of it & more"',
]  # fmt: skip


@pytest.mark.parametrize("raw", SOUND, ids=range(len(SOUND)))
def test_plain_json_is_taken(raw: bytes) -> None:
    assert both(raw, RULES[0])


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(st.sampled_from([
    b"{", b"}", b"[", b"]", b",", b":", b'"', b'"a"', b"1", b"-", b"0", b".", b"e", b"true", b"null", b"false", b" ", b"\n",
    b"\\", b"\xc3\xa9", b"\xff", b"a",
]), max_size=12).map(b"".join))  # fmt: skip
def test_what_the_quick_way_takes_is_json(raw: bytes) -> None:
    both(raw, RULES[0])


@pytest.mark.parametrize("length", [1, 62, 63, 64, 65, 126, 127, 128, 189, 190, 1000])
def test_counts_do_not_overflow_in_long_strings(length: int) -> None:
    """Seven bits each: what is beyond stays at the most."""
    for byte in b"09AZ_-.:@%&":
        for tail in (b"", b" ada@example.com", b" 4111 1111 1111 1111", b" 123-45-6789", b" 10.0.0.1"):
            both(b'["' + bytes((byte,)) * length + tail + b'"]', RULES[0])


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_cut_text_is_no_text(cut: int) -> None:
    raw = b'{"a":["4111 1111 1111 1111","ada@example.com",{"b":-12.5}]}'
    assert both(raw, RULES[0])
    assert not both(raw[:-cut], RULES[0]) or cut >= len(raw)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.lists(st.binary(min_size=7, max_size=40), min_size=1, max_size=6), st.binary(max_size=40), st.binary(max_size=40)
)
def test_words_are_never_missed(words: list[bytes], before: bytes, after: bytes) -> None:
    look = native.Words(words)
    for word in words:
        for shift in range(4):
            assert look.may_be_in(b"x" * shift + before + word + after)
    assert not look.may_be_in(b"")


def test_what_is_too_short_is_no_word() -> None:
    assert not native.Words([b"q7Zx-9fKw"]).may_be_in(b"a text of other words, of some length, again and again")
    with pytest.raises(ValueError, match="too short"):
        native.Words([b"secret"])


def test_the_credential_is_for_the_slow_way() -> None:
    words = native.Words([b"s3cr3t-credential"])
    glance = RULES[0].glance
    assert glance is not None
    assert glance(b'{"a":"my s3cr3t-credential"}', {}, words) is None
    assert glance(b'{"a":"my s3cr3t"}', {}, words) == b'{"a":"my s3cr3t"}'


@pytest.mark.parametrize("wrong", [None, "text", bytearray(b"x"), memoryview(b"x"), 5])
def test_what_is_no_bytes_is_refused(wrong: Any) -> None:
    glance: Any = RULES[0].glance
    for function in (
        native.is_card,
        native.addresses,
        native.decoded,
        native.undone,
        native.encoded,
        native.is_utf8,
        native.is_spelled,
        lambda text: native.is_in(text, b"x"),
        lambda text: native.is_in(b"x", text),
        lambda text: glance(text, {}),
    ):
        with pytest.raises(TypeError):
            function(wrong)


LINES = st.lists(VALUES, min_size=1, max_size=5)
BREAKS = st.lists(st.tuples(st.integers(0, 200), st.sampled_from([b"\n", b" ", b"\n\n", b"\x1e", b"\r"])), max_size=2)


@settings(max_examples=examples(300), deadline=None)
@given(LINES, st.booleans(), BREAKS, st.sampled_from(RULES))
@example([["ada@example.com"], {"a": "x"}, 4111], True, [], RULES[0])
@example([[1, 2]], False, [(3, b"\n")], RULES[0])
def test_lines_are_masked_one_by_one(
    values: list[Any], ended: bool, breaks: list[tuple[int, bytes]], chosen: Rules
) -> None:
    """Attack: a text over two lines, or two on one: the reader of the lines would see others than were looked at."""
    text = b"\n".join(
        json.dumps(value, ensure_ascii=at % 2 > 0).replace(" ", "").encode() for at, value in enumerate(values)
    )
    text += b"\n" if ended else b""
    for at, byte in breaks:
        text = text[: at % (len(text) + 1)] + byte + text[at % (len(text) + 1) :]
    counts: dict[str, int] = {}
    found = native.Glance(chosen).mask(text, counts, None, True)
    if found is None:
        assert not counts
        return
    assert are_lines(text)
    wanted: dict[str, int] = {}
    lines = text.removesuffix(b"\n").split(b"\n")
    masked = b"\n".join([mask_by_walk(line, chosen, wanted) for line in lines])
    assert found == masked + (b"\n" if text.endswith(b"\n") else b"")
    assert counts == wanted
    assert (found is text) == (found == text)


def test_plain_lines_are_taken() -> None:
    glance = native.Glance(RULES[0])
    for text in (b'["a"]\n["ada@example.com",12]\n{"tag":"SELECT 1"}\n', b"[]", b"1\n2", b'"x"\n'):
        assert glance.mask(text, {}, None, True) is not None
    for text in (
        b"",
        b"\n",
        b"[1]\n\n[2]",
        b"[1,\n2]",
        b"[1] [2]",
        b" [1]",
        b"[1] ",
        b'{"a"\n:1}',
        b'{"a" :1}',
        b"[1][2]",
        b"[\n",
    ):
        assert glance.mask(text, {}, None, True) is None


@settings(max_examples=examples(300), deadline=None)
@given(st.text("ab", max_size=5).map(str.encode), st.text("ab\\%&c", max_size=80).map(str.encode))
@example(b"", b"")
@example(b"a", b"")
@example(b'"ssn"', b"x" * 12 + b'"ssn"' + b"x" * 15)
def test_what_is_in_a_text_is_found(part: bytes, text: bytes) -> None:
    assert native.is_in(part, text) == (part in text)
    assert native.is_spelled(text) == any(byte in b"\\%&" for byte in text)


def test_a_part_is_found_at_every_place() -> None:
    for size in range(70):
        for at in range(size - 4):
            assert native.is_in(b'"ssn"', b"s" * at + b'"ssn"' + b'"' * (size - at - 5))
            assert native.is_spelled(b"x" * at + b"%" + b"x" * (size - at))
        assert not native.is_in(b'"ssn"', (b'"ss"sn' * 12)[:size])


@pytest.mark.parametrize("name", DETECTORS)
def test_the_shortest_that_is_a_value_is_none_too_short(name: str) -> None:
    alone = Rules([(DETECTORS[name], replacement("redact", DETECTORS[name], b"k" * 32))], NO_FIELDS)
    for text in HITS.get(name, ["postgres://ann:hunter22@db.example.org/x", "a://b:c@d"]):
        for end in range(len(text) + 1):
            for start in range(min(end, 12) + 1):
                for chosen in (alone, RULES[0]):
                    both(json.dumps([text[start:end]], ensure_ascii=False).encode(), chosen)


LONG = st.tuples(
    st.sampled_from(
        ["1", "A", "x", "-", "[^]", "_", "1A", "@", ".", "é", "%40", " ", "4111 1111 1111 1111", "a@b.example"]
    ),
    st.integers(1, 140),
).map(lambda pair: pair[0] * pair[1])


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(LONG | st.sampled_from(PIECES), min_size=1, max_size=5).map("".join), st.sampled_from(RULES))
@example("x" * 15 + "1" * 200 + "ada@example.com", RULES[0])
@example("A" * 65 + "_" * 70 + "ghp_" + "a" * 36, RULES[0])
def test_long_strings_are_counted_alike(text: str, chosen: Rules) -> None:
    both(json.dumps([text, text[:16], text[1:]], ensure_ascii=False).encode(), chosen)
