"""Strings with escapes, numbers with exponents, hidden fields: the compiled half masks what it takes as the walk does.

`mask_json` is held against the walk as well, so that the tests say something where nothing is compiled.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from funcgate.core.native import half
from funcgate.masking.actions import field_replacement, replacement
from funcgate.masking.detectors import DETECTORS
from funcgate.masking.fields import NO_FIELDS, Fields
from funcgate.masking.needles import Needles
from funcgate.masking.rules import Rules
from funcgate.masking.spelling import View
from funcgate.masking.structured import check_json, mask_by_walk, mask_json
from funcgate.masking.tokens import Unreadable, decoded, encoded
from support.quick import examples

from .test_detectors import HITS, MISSES

native: Any = half("funcgate.masking._native")
compiled = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
SUITE = Path(__file__).parents[4] / "shared" / "corpora" / "jsontestsuite" / "test_parsing"
KEY = b"k" * 32
PATHS = ["**.password", "items[*].card", "a.b", "a.*", "**.x.y", "[*].n\u00e4me", "p"]


def rules(action: Literal["redact", "partial", "hash"], *paths: str) -> Rules:
    fields = Fields({path: field_replacement(action, KEY) for path in paths}) if paths else NO_FIELDS
    return Rules([(d, replacement(action, d, KEY)) for d in DETECTORS.values()], fields)


RULES = [rules("redact"), rules("partial"), rules("hash"), rules("redact", *PATHS), rules("hash", "**.password")]
ALONE = {name: Rules([(d, replacement("partial", d, KEY))], NO_FIELDS) for name, d in DETECTORS.items()}


def walked(raw: bytes, chosen: Rules) -> tuple[bytes, dict[str, int]]:
    counts: dict[str, int] = {}
    return mask_by_walk(raw, chosen, counts), counts


def both(raw: bytes, chosen: Rules) -> bool:
    """Whether the quick way was sure. It takes JSON only, and masks it as the walk does."""
    counts: dict[str, int] = {}
    try:
        check_json(raw)
    except Unreadable:
        assert chosen.glance is None or (chosen.glance(raw, counts) is None and not counts), raw
        return False
    wanted = walked(raw, chosen)
    assert (mask_json(raw, chosen, counts), counts) == wanted, raw
    if chosen.glance is None:
        return True
    counts = {}
    got = chosen.glance(raw, counts)
    if got is None:
        assert not counts
        return False
    assert (got, counts) == wanted, raw
    assert (got is raw) == (not counts)
    return True


SHORT = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def as_units(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def as_it_is(character: str) -> str:
    return SHORT.get(character) or (as_units(character) if character < " " else character)


def in_json(text: str) -> str:
    return "".join(map(as_it_is, text))


# How a character may stand in a JSON string, and be read as itself by somebody.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "itself": as_it_is,
    "short": lambda c: SHORT.get(c) or as_units(c),
    "\\u": as_units,
    "\\U": lambda c: as_units(c).upper().replace("U", "u"),
    "%": lambda c: f"%{ord(c):02x}" if c < "\x7f" else as_it_is(c),
    "%25": lambda c: f"%25{ord(c):02X}" if c < "\x7f" else as_it_is(c),
    "&#": lambda c: f"&#{ord(c):03d};",
    "&#x": lambda c: f"&#x{ord(c):x}",
    "\\\\u": lambda c: in_json(as_units(c)),
    "\\\\\\u": lambda c: in_json(in_json(as_units(c))),
    "\\\\x": lambda c: f"\\\\x{ord(c):02x}" if c < "\x7f" else as_it_is(c),
    "\\\\u{": lambda c: f"\\\\u{{{ord(c):04x}}}",
    "\\\\": lambda c: "\\\\" + as_it_is(c),
}  # fmt: skip
BESIDE = ["\\ud83d\\ude00", "\\n", "\\u0000", '\\"', "\\\\", "\\u00e9"]


def documents(string: str) -> list[bytes]:
    return [
        text.encode() for text in (f'["{string}"]', f'{{"a":"{string}","b":[1]}}', f'{{"{string}":1}}', f'"{string}"')
    ]


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if name != "itself"])
@pytest.mark.parametrize("name", HITS)
def test_each_character_of_each_example_in_another_spelling(name: str, spelling: str) -> None:
    for text in [*HITS[name], *MISSES.get(name, [])[:3]]:
        size = len(text)
        places = range(size) if size < 80 else [*range(30), *range(size - 30, size)]
        for at in [*places, -1]:
            said = [SPELLINGS[spelling](c) if at in (place, -1) else as_it_is(c) for place, c in enumerate(text)]
            shown = documents("".join(said))
            for raw in shown if at % 7 in (0, 6) else shown[:1]:
                both(raw, RULES[0])
                both(raw, ALONE[name])


@pytest.mark.parametrize("name", HITS)
def test_each_example_beside_an_escape(name: str) -> None:
    for text in [*HITS[name], *MISSES.get(name, [])]:
        for escape in BESIDE:
            plain = in_json(text)
            for string in (
                escape + plain,
                plain + escape,
                f"see {escape} {plain}, please",
                plain[:5] + escape + plain[5:],
            ):
                for raw in documents(string):
                    both(raw, RULES[0])
                    both(raw, ALONE[name])


PIECES = [
    "4111 1111 1111 1111", "4111111111111111", "4111 1111 1111 1112", "123-45-6789", "ada@example.com", "x@y", "@",
    "202-555-0143",
    "+1 (202) 555-0143", "10.0.0.1", "::1", "2026-11-21T03:00:00.125Z", "05.11.2026", "0049 30 1234567", "1234567", " ", ",", '"',
    "\\", "/", "%", "&", "#", ";", "x", "u", "00", "40", "\n", "\0", "\u00a0", "\u2013", "\u2019", "Ünï", "\U0001f600",
    "password",
    "GB82WEST12345698765432", "https://a:b@h/", "AKIAIOSFODNN7EXAMPLE", "-----BEGIN PRIVATE KEY-----", "'", "\x7f",
]  # fmt: skip
KEYS = ["password", "p", "a", "b", "x", "y", "items", "card", "n\u00e4me", "other", "ada@example.com"]
NUMBERS = st.sampled_from([
    "0", "-1", "1.5", "4111111111111111", "-4111111111111111", "4111111111111111.25", "59.699999999999996", "0.30000000000000004",
    "1e5", "6.02e23", "4.111111111111111e15", "1.6499999999999999e-06", "41111111111111110e-1", "true", "null",
]) | st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)  # fmt: skip


@st.composite
def strings(draw: st.DrawFn, pieces: list[str]) -> str:
    text = "".join(draw(st.lists(st.sampled_from(pieces), max_size=4)))
    kinds = draw(st.lists(st.sampled_from(list(SPELLINGS)), min_size=1, max_size=3))
    step = draw(st.integers(1, 9))
    return "".join(SPELLINGS[kinds[at % len(kinds)] if at % step == 0 else "itself"](c) for at, c in enumerate(text))


def leaves() -> st.SearchStrategy[str]:
    return strings(PIECES).map(lambda said: f'"{said}"') | NUMBERS


def inner(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    members = st.lists(st.tuples(strings(KEYS) | strings(PIECES) | st.sampled_from(KEYS), values), max_size=4)
    return st.lists(values, max_size=4).map(lambda found: f"[{', '.join(found)}]") | members.map(
        lambda found: "{" + ",".join(f'"{key}" : {value}' for key, value in found) + "}"
    )


@settings(max_examples=examples(200), deadline=None)
@given(st.recursive(leaves(), inner, max_leaves=12), st.sampled_from(RULES))
@example('{"pass\\u0077ord":{"a":[1,"\\u0041"]},"x":{"y":"ada@example.com"}}', RULES[3])
@example('{"items":[{"card":4111111111111111},{"card":[{}]}],"a":{"b":1,"c":[]}}', RULES[3])
@example('[{"n\\u00e4me":"\\ud83d\\ude00"},{"n\u00e4me":{"password":1}}]', RULES[3])
def test_any_spelling_is_masked_alike(text: str, chosen: Rules) -> None:
    both(text.encode(), chosen)


@settings(max_examples=examples(300), deadline=None)
@given(NUMBERS, st.sampled_from(RULES[:3]))
@example("1e-4111111111111111", RULES[0])
@example("1e4111111111111111", RULES[0])
@example("4111111111111111e-90", RULES[0])
@example("0.060412345670e-1", RULES[0])
@example("0.00411111111111111100e18", RULES[0])
def test_numbers_are_masked_alike(text: str, chosen: Rules) -> None:
    assert both(f"[{text}, {text}]".encode(), chosen)


CARDS = [
    "4111111111111111",
    "378282246310005",
    "060412345670",
    "5555555555554444",
    "4222222222222",
    "6304000000000000000",
]


@pytest.mark.parametrize("card", CARDS)
def test_no_card_hides_behind_an_exponent(card: str) -> None:
    for point in range(len(card) + 1):
        for power in range(-30, 31):
            for front, sign in (("", ""), ("-", "+"), ("", "000")):
                mantissa = (card[:point].lstrip("0") or "0") + ("." + card[point:] if card[point:] else "")
                both(f"[{front}{mantissa}e{sign if power >= 0 else ''}{power}]".encode(), RULES[0])


@pytest.mark.parametrize("chosen", RULES, ids=["redact", "partial", "hash", "fields", "password"])
def test_the_suite_is_masked_alike(chosen: Rules) -> None:
    paths = sorted(SUITE.glob("*.json"))
    if not paths:
        pytest.skip("jsontestsuite is not beside the repository (../shared/corpora)")
    for path in paths:
        raw = path.read_bytes()
        if len(raw) > 50_000:
            continue
        both(raw, chosen)
        both(re.sub(rb'(?<=["\w])([a-z@0-9])(?=[^"]*")', lambda c: b"\\u%04x" % ord(c[1]), raw), chosen)
        for end in range(min(len(raw), 80)):
            both(raw[:end], chosen)


@pytest.mark.parametrize("chosen", [RULES[0], RULES[3]], ids=["redact", "fields"])
def test_every_cut_and_every_other_byte(chosen: Rules) -> None:
    text = r'{"a":"x\n\u0040\ud83d\ude00\/","password":["\\u0061da@b.cd",1.5e3],"n":-4.2E+1,"\u0062":"ada\u0040example.com"}'
    raw = text.encode()
    assert both(raw, chosen)
    for at in range(len(raw)):
        both(raw[:at], chosen)
        both(raw[:at] + raw[at + 1 :], chosen)
        for byte in b'"\\{}[],:u0e\x00\xc3\xff\n ':
            both(raw[:at] + bytes((byte,)) + raw[at + 1 :], chosen)


TAKEN = [
    r'{"a":"x\ny","b":"https:\/\/shop.example\/","c":"\u00e9\ud83d\ude00"}', r'{"a\u0062":"x"}', r'["\"","\\","\u0000"]',
    r'["{\"a\":\"b\\n\",\"at\":\"2026-11-21T03:00:00Z\"}"]', '["100%20 of it &amp; &#39;more&#39;"]', "[1.5e-7,6.02e23,0]",
    r'["\nada@example.com","\u0034111 1111 1111 1111"]', "[4111111111111111]", '["GB82WEST12345698765432"]',
    '{"password":{"a":[1]},"b":"2026-02-28 23:59:59"}', r'"\t"', '["\u201eGr\u00f6\u00dfe\u201c \u2013 21.11.2026"]',
]  # fmt: skip


@pytest.mark.parametrize("text", TAKEN, ids=range(len(TAKEN)))
def test_everyday_json_is_taken(text: str) -> None:
    assert both(text.encode(), RULES[0])
    assert both(text.encode(), RULES[4])


def test_keys_of_answers_are_not_remembered() -> None:
    """Attack: ever new keys, each megabytes long, or what nobody should keep."""
    chosen = rules("redact", *PATHS)
    for at in range(50):
        both(b'{"k%d":{"password":1,"ada%d@example.com":2,"a":{"%s":{"b":1}}}}' % (at, at, b"x" * at), chosen)
    assert chosen.fields._step.cache_info().currsize < 50


def test_deep_and_wide_fields_are_hidden_alike() -> None:
    for depth in (1, 5, 58, 59, 60, 61, 100):
        for opened, closed in (('{"a":', "}"), ("[", "]"), ('{"password":', "}"), ('{"x":', "}")):
            for leaf in ('{"y":1}', '"ada@example.com"', '{"password":"\\u0041"}'):
                both((opened * depth + leaf + closed * depth).encode(), RULES[3])
    many = ",".join(f'"k{at}":{{"x":{{"y":{at}}}}}' for at in range(6000))
    assert both(f'{{{many},"password":1}}'.encode(), RULES[3])
    assert both(f'{{{many},"password":1}}'.encode(), RULES[3])


BITS = [
    "\\",
    "u",
    "00",
    "0",
    "2",
    "4",
    "7",
    "f",
    "x",
    "{",
    "}",
    "%",
    "&",
    "#",
    "X",
    ";",
    "n",
    "/",
    "@",
    "é",
    "a",
    "\\u0041",
    "&#",
]


@compiled
@settings(max_examples=examples(500), deadline=None)
@given(st.lists(st.sampled_from(BITS), max_size=12).map("".join))
@example("&#0000000064;&#010;&#0001;&#x0000041&#X041;&#99999")
@example("\\u{0041}\\u{41}\\u{000041}\\u{00041\\u0041\\u007f\\x7f%7f%7F")
def test_spellings_are_undone_alike(text: str) -> None:
    view = View(text.encode())
    assert native.undone(text.encode()) == (view.text if view.differs else None)


@compiled
@settings(max_examples=examples(350), deadline=None)
@given(
    st.lists(st.sampled_from([*BITS, '"', "\\ud83d", "\\ude00", "\\b", "\n", "\\f", "\\r"]), max_size=10).map("".join)
)
def test_strings_say_the_same(text: str) -> None:
    token = f'"{text}"'.encode()
    try:
        check_json(token)
    except Unreadable:
        assert native.decoded(token) is None
    else:
        assert native.decoded(token) == decoded(token)


@compiled
@settings(max_examples=examples(250), deadline=None)
@given(st.text())
def test_texts_are_written_alike(text: str) -> None:
    raw = text.encode("utf-8", "replace")
    assert b'"' + native.encoded(raw) + b'"' == encoded(raw)


@compiled
def test_utf8_is_what_python_takes_for_it() -> None:
    edges = [
        0x00,
        0x41,
        0x7F,
        0x80,
        0x8F,
        0x90,
        0x9F,
        0xA0,
        0xBF,
        0xC0,
        0xC1,
        0xC2,
        0xDF,
        0xE0,
        0xE1,
        0xEC,
        0xED,
        0xEE,
        0xEF,
        0xF0,
    ]
    edges += [0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
    shorter = [b""]
    for _ in range(4):
        shorter = [text + bytes((byte,)) for text in shorter for byte in edges]
        for text in shorter:
            assert native.is_utf8(text) == (text.decode("utf-8", "ignore").encode() == text), text


@compiled
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_credential_in_any_spelling_is_for_the_slow_way(spelling: str) -> None:
    """Attack: the target echoes the secret in a spelling that the lease did not foresee."""
    secret = "s3cr3t/credential-of:ours"
    needles = Needles([secret.encode()])
    glance = RULES[0].glance
    assert glance is not None
    for at in range(len(secret)):
        said = "".join(SPELLINGS[spelling](c) if place == at else as_it_is(c) for place, c in enumerate(secret))
        for raw in (f'{{"a":"my {said}."}}'.encode(), f'["{said}"]'.encode(), f'{{"{said}":1}}'.encode()):
            seen = glance(raw, {}, needles.words)
            assert seen is None or needles.scrub(raw, {}, undo=True) == raw
            # A backslash before a letter says nothing; a number without its end takes in what follows.
            assert seen is None or spelling in ("\\\\", "&#x")


@compiled
def test_what_only_begins_like_the_credential_is_taken() -> None:
    glance, words = RULES[0].glance, Needles([b"\\u0073\\u0033\\u0063ret", b"s3cr3t-credential"]).words
    assert glance is not None
    for text in (r'["\u00fc\u00fc\u00fc\u00fc"]', '["s3cr3t-"]', '["xs3cr3t-xs3cr3t-"]', '["s3cr"'):
        assert not words.may_be_in(text.encode())
    assert glance(rb'["\u00fc\u00fc\u00fc"]', {}, words) == rb'["\u00fc\u00fc\u00fc"]'


def test_keys_of_one_name_stay_apart() -> None:
    raw = rb'{"a\u0040x.com":1,"b\u0040x.com":2,"c":"\u00e9"}'
    assert sorted(json.loads(mask_json(raw, RULES[0], {})).values(), key=str) == [1, 2, "\u00e9"]


@pytest.mark.parametrize("name", DETECTORS)
def test_what_stands_beside_a_string_changes_nothing_in_it(name: str) -> None:
    # Attack: a password with a "?", in a string whose gate stays shut; with another value beside it the walk finds it.
    some = [*HITS.get(name, []), *MISSES.get(name, []), "http://u:p?w@h", "http://u:p#w@h/?x=%20", "http://u:p@h"]
    for one in some:
        for other in some:
            assert both(json.dumps([one, other + "\n"]).encode(), ALONE[name])
