"""The language, operator by operator, against tables written from cel-spec (doc/langdef.md)."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import pytest

from funcgate.policy.language.parse import MAX_NESTING, parse
from funcgate.policy.language.tree import Mistake
from funcgate.policy.language.values import Duration, Failure, Timestamp, TypeValue, Uint

Run = Callable[..., Any]
MAX, MIN, UMAX = 2**63 - 1, -(2**63), 2**64 - 1

LITERALS = [
    ("1", 1),
    ("0x1F", 31),
    ("-5", -5),
    ("- 5", -5),
    ("--5", 5),
    ("9223372036854775807", MAX),
    ("-9223372036854775808", MIN),
    ("-0x8000000000000000", MIN),
    ("18446744073709551615u", Uint(UMAX)),
    ("0xFFu", Uint(255)),
    ("1.5", 1.5),
    (".5", 0.5),
    ("1e3", 1000.0),
    ("1.5E-1", 0.15),
    ("true", True),
    ("null", None),
    ('"it\'s"', "it's"),
    (r'"\a\b\f\n\r\t\v\\\?\"\'\`"', "\a\b\f\n\r\t\v\\?\"'`"),
    (r"'\x41\X41\u0041\U00000041\101'", "AAAAA"),
    (r"'\377'", "ÿ"),
    (r"b'\377'", b"\xff"),
    ("b'ÿ'", b"\xc3\xbf"),
    (r"b'\xff\n'", b"\xff\n"),
    (r"r'\n\d'", r"\n\d"),
    (r"R'\'", "\\"),
    (r"br'\n'", rb"\n"),
    (r"rb'\n'", rb"\n"),
    ("'''a\n'b''c'''", "a\n'b''c"),
    ('"""x"y"""', 'x"y'),
    ("[1, 'a', [2]]", [1, "a", [2]]),
    ("[1, 2,]", [1, 2]),
    ("{'a': 1, 2: 'b',}", {"a": 1, 2: "b"}),
    ("1 // a comment\n + 2", 3),
]

ARITHMETIC = [
    ("1 + 2 * 3 - 4", 3),
    ("(1 + 2) * 3", 9),
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("7 / -2", -3),
    ("7 % 3", 1),
    ("-7 % 3", -1),
    ("7 % -3", 1),
    ("7u / 2u", Uint(3)),
    ("7u % 4u", Uint(3)),
    ("1.5 + 2.0", 3.5),
    ("1.0 / 0.0", math.inf),
    ("-1.0 / 0.0", -math.inf),
    ("1.0 / -0.0", -math.inf),
    ("-(2 - 3)", 1),
    ("-(1.5)", -1.5),
    ("'a' + 'b'", "ab"),
    ("b'a' + b'b'", b"ab"),
    ("[1] + [2, 3]", [1, 2, 3]),
    ("10 - 2 - 3", 5),
    ("2 * 3 % 4", 2),
]

COMPARISONS = [
    ("1 == 1u", True),
    ("1 == 1.0", True),
    ("1u < 1.5", True),
    ("-1 < 0u", True),
    ("9007199254740993 == 9007199254740992.0", False),
    ("9007199254740993 > 9007199254740992.0", True),
    ("18446744073709551615u > 9223372036854775807", True),
    ("dyn(1) == 'a'", False),
    ("dyn(1) != 'a'", True),
    ("dyn(true) == 1", False),
    ("dyn(null) == 0", False),
    ("null == null", True),
    ("'a' < 'b'", True),
    ("'a' < 'B'", False),
    ("'\U0001f600' > '\uffff'", True),
    ("b'a' < b'b'", True),
    ("false < true", True),
    ("0.0 / 0.0 == 0.0 / 0.0", False),
    ("0.0 / 0.0 != 0.0 / 0.0", True),
    ("0.0 / 0.0 < 1.0", False),
    ("0.0 / 0.0 >= 1.0", False),
    ("0.0 == -0.0", True),
    ("[1, 2] == [1.0, 2u]", True),
    ("[1, 2] == [2, 1]", False),
    ("[[1]] == [[1, 2]]", False),
    ("{'a': 1} == {'a': 1.0}", True),
    ("{'a': 1} == {'b': 1}", False),
    ("{1: 'a'} == {1u: 'a'}", True),
    ("[dyn(1), 'a'] == [dyn(true), 'a']", False),
    ("type(1) == int", True),
    ("type(1u) == int", False),
    ("type('a') == string", True),
    ("type([1]) == list", True),
    ("type({}) == map", True),
    ("type(null) == null_type", True),
    ("type(type(1)) == type", True),
    ("type(timestamp(0)) == google.protobuf.Timestamp", True),
]

LOGIC = [
    ("true && false", False),
    ("true || false", True),
    ("!true", False),
    ("!!true", True),
    ("false && 1 / 0 == 1", False),
    ("1 / 0 == 1 && false", False),
    ("true || 1 / 0 == 1", True),
    ("1 / 0 == 1 || true", True),
    ("1 / 0 == 1 || 2 / 0 == 1 || true", True),
    ("true && 1 / 0 == 1 && false", False),
    ("true ? 1 : 1 / 0", 1),
    ("false ? 1 / 0 : 2", 2),
    ("true ? (false ? 1 : 2) : 3", 2),
    ("false ? 1 : true ? 2 : 3", 2),
    ("true || false && false", True),
    ("1 < 2 == true", True),
]

COLLECTIONS = [
    ("[10, 20][1]", 20),
    ("[10, 20][1u]", 20),
    ("[10, 20][dyn(1.0)]", 20),
    ("{'a': 1}['a']", 1),
    ("{'a': 1}.a", 1),
    ("{'a-b': 1}.`a-b`", 1),
    ("{1: 'x'}[1u]", "x"),
    ("{true: 'x', 1: 'y'}[true]", "x"),
    ("has({'a': 1}.a)", True),
    ("has({'a': 1}.b)", False),
    ("has({'a': null}.a)", True),
    ("1 in [1.0, 2.0]", True),
    ("'a' in ['b']", False),
    ("dyn(true) in [1]", False),
    ("'a' in {'a': 1}", True),
    ("1u in {1: 2}", True),
    ("null in [null]", True),
    ("0.0 / 0.0 in [0.0 / 0.0]", False),
    ("size([1, 2])", 2),
    ("[1, 2].size()", 2),
    ("size('aé😀')", 3),
    ("size(b'\\xc3\\xa9')", 2),
    ("size({'a': 1})", 1),
]

MACROS = [
    ("[1, 2].all(x, x > 0)", True),
    ("[1, -2].all(x, x > 0)", False),
    ("[].all(x, 1 / 0 == 1)", True),
    ("[0, 1].all(x, 1 / x == 2)", False),
    ("[0, 1].exists(x, 1 / x == 1)", True),
    ("[].exists(x, true)", False),
    ("[1, 2, 3].exists_one(x, x > 2)", True),
    ("[1, 2, 3].exists_one(x, x > 1)", False),
    ("[1, 2, 3].existsOne(x, x == 1)", True),
    ("[1, 2, 3].map(x, x * 2)", [2, 4, 6]),
    ("[1, 2, 3].map(x, x > 1, x * 2)", [4, 6]),
    ("[1, 2, 3].filter(x, x % 2 == 1)", [1, 3]),
    ("{'a': 1, 'b': 2}.all(k, k < 'c')", True),
    ("{1: 'a', true: 'b'}.exists(k, k == true)", True),
    ("[1, 2].all(x, [3, 4].all(y, x < y))", True),
    ("[1, 2].map(x, [x].map(x, x + 1))", [[2], [3]]),
    ("[[1, 2], [3]].all(x, x.exists(y, y < 4))", True),
]

FUNCTIONS = [
    ("'abc'.contains('b')", True),
    ("'abc'.startsWith('ab')", True),
    ("'abc'.endsWith('c')", True),
    ("'abc'.matches('b')", True),
    ("'abc'.matches('^b')", False),
    ("matches('abc', '^a.c$')", True),
    ("'abc\\n'.matches('^abc$')", False),
    ("'aé'.matches('^.{2}$')", True),
    ("int('-42')", -42),
    ("int(1.9)", 1),
    ("int(-1.9)", -1),
    ("int(7u)", 7),
    ("int(timestamp('1970-01-01T00:01:00Z'))", 60),
    ("uint(5)", Uint(5)),
    ("uint('5')", Uint(5)),
    ("double(3)", 3.0),
    ("double('1e3')", 1000.0),
    ("string(1)", "1"),
    ("string(-0.25)", "-0.25"),
    ("string(100.0)", "100"),
    ("string(0.0000015)", "1.5e-06"),
    ("string(true)", "true"),
    ("string(b'abc')", "abc"),
    ("bytes('é')", b"\xc3\xa9"),
    ("bool('true')", True),
    ("dyn(1)", 1),
    ("'AbÉ'.lowerAscii()", "abÉ"),
    ("'aBé'.upperAscii()", "ABé"),
    ("'  a\\n'.trim()", "a"),
    ("'a,b,c'.split(',')", ["a", "b", "c"]),
    ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
    ("'a,b'.split(',', 0)", []),
    ("'abc'.split('')", ["a", "b", "c"]),
    ("['a', 'b'].join('-')", "a-b"),
    ("['a', 'b'].join()", "ab"),
    ("'hello'.substring(1)", "ello"),
    ("'hello'.substring(1, 3)", "el"),
    ("'hello'.replace('l', 'L')", "heLLo"),
    ("'hello'.replace('l', 'L', 1)", "heLlo"),
]

TIMES = [
    ("timestamp('1970-01-01T00:00:01.5Z')", Timestamp(1_500_000_000)),
    ("timestamp('1970-01-01T02:00:00+02:00')", Timestamp(0)),
    ("timestamp(60)", Timestamp(60_000_000_000)),
    ("duration('1h30m')", Duration(5_400_000_000_000)),
    ("duration('-1.5s')", Duration(-1_500_000_000)),
    ("duration('250ms')", Duration(250_000_000)),
    ("timestamp('1970-01-01T00:00:00Z') + duration('1s')", Timestamp(1_000_000_000)),
    ("duration('1s') + timestamp('1970-01-01T00:00:00Z')", Timestamp(1_000_000_000)),
    ("timestamp(2) - timestamp(1)", Duration(1_000_000_000)),
    ("timestamp(2) - duration('1s')", Timestamp(1_000_000_000)),
    ("duration('3s') - duration('1s')", Duration(2_000_000_000)),
    ("timestamp(1) < timestamp(2)", True),
    ("duration('1m') == duration('60s')", True),
    ("string(timestamp('2020-02-29T12:00:00.120Z'))", "2020-02-29T12:00:00.12Z"),
    ("string(timestamp('0001-01-01T00:00:00Z'))", "0001-01-01T00:00:00Z"),
    ("string(duration('-90.5s'))", "-90.5s"),
    ("timestamp('2023-12-25T00:00:01.234Z').getFullYear()", 2023),
    ("timestamp('2023-12-25T00:00:01.234Z').getMonth()", 11),
    ("timestamp('2023-12-25T00:00:01.234Z').getDate()", 25),
    ("timestamp('2023-12-25T00:00:01.234Z').getDayOfMonth()", 24),
    ("timestamp('2023-12-24T00:00:01.234Z').getDayOfWeek()", 0),
    ("timestamp('2023-12-31T00:00:01.234Z').getDayOfYear()", 364),
    ("timestamp('2023-12-25T00:05:01.234Z').getHours('+02:00')", 2),
    ("timestamp('2023-12-25T00:05:01.234Z').getHours('-02:30')", 21),
    ("timestamp('2023-07-25T10:05:01.234Z').getHours('Europe/Paris')", 12),
    ("timestamp('2023-12-25T00:05:01.234Z').getMinutes()", 5),
    ("timestamp('2023-12-25T00:05:01.234Z').getSeconds()", 1),
    ("timestamp('2023-12-25T00:05:01.234Z').getMilliseconds()", 234),
    ("duration('90m').getHours()", 1),
    ("duration('90m').getMinutes()", 90),
    ("duration('90m').getSeconds()", 5400),
    ("duration('1.234s').getMilliseconds()", 234),
    ("duration('-90m').getHours()", -1),
]


@pytest.mark.parametrize(
    ("text", "value"),
    [*LITERALS, *ARITHMETIC, *COMPARISONS, *LOGIC, *COLLECTIONS, *MACROS, *FUNCTIONS, *TIMES],
)
def test_a_value(run: Run, text: str, value: Any) -> None:
    found = run(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775807 + 1",
        "-9223372036854775808 - 1",
        "-(-9223372036854775808)",
        "9223372036854775807 * 2",
        "-9223372036854775808 / -1",
        "-9223372036854775808 % -1",
        "18446744073709551615u + 1u",
        "1u - 2u",
        "1 / 0",
        "1 % 0",
        "1u / 0u",
        "[1][1]",
        "[1][-1]",
        "[1][dyn(0.5)]",
        "[1][dyn(0.0 / 0.0)]",
        "{'a': 1}['b']",
        "{'a': 1}.b",
        "{'a': 1, 'a': 2}",
        "{dyn(1): 1, 1u: 2}",
        "{dyn(1.5): 1}[dyn([])]",
        "dyn(1) + 'a'",
        "dyn(1) + 1.0",
        "dyn('a') < 1",
        "dyn(null) < dyn(null)",
        "dyn([1]) < dyn([1])",
        "-dyn(1u)",
        "!dyn(1)",
        "dyn(1) && true",
        "true && 1 / 0 == 1",
        "false || 1 / 0 == 1",
        "dyn(1) ? 1 : 2",
        "dyn(1).all(x, true)",
        "[1, 0].exists_one(x, 1 / x == 1)",
        "[0].map(x, 1 / x)",
        "[0, 1].filter(x, 1 / x == 1)",
        "[1].all(x, dyn(x))",
        "dyn(1) in dyn(2)",
        "has(dyn(1).a)",
        "int('x')",
        "int(' 1')",
        "int('1_0')",
        "int('٣')",
        "int('9223372036854775808')",
        "int(1e19)",
        "int(9223372036854775807.0)",
        "int(0.0 / 0.0)",
        "int(18446744073709551615u)",
        "uint(-1)",
        "uint(-0.5)",
        "uint('-1')",
        "double('1_0')",
        "double('1e999')",
        "string(b'\\xff')",
        "bool('yes')",
        "timestamp('2023-02-30T00:00:00Z')",
        "timestamp('2023-01-01')",
        "timestamp('2023-01-01T00:00:60Z')",
        "timestamp('0001-01-01T00:00:00+01:00')",
        "timestamp(9223372036854775807)",
        "timestamp('9999-12-31T23:59:59Z') + duration('1s')",
        "duration('1')",
        "duration('')",
        "duration('1x')",
        "duration('99999999999h')",
        "'abc'.substring(-1)",
        "'abc'.substring(2, 1)",
        "'abc'.substring(4)",
        "[1, 2].join(',')",
        "timestamp(0).getHours(string(dyn('Europe/Paris')))",
        "'a'.matches(string(dyn('(')))",
    ],
)
def test_no_value(run: Run, text: str) -> None:
    with pytest.raises(Failure):
        run(text)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 0, "a value is wanted here, not the end"),
        ("1 +", 3, "a value is wanted"),
        ("(1", 2, "')' is wanted"),
        ("[1, 2", 5, "is wanted"),
        ("[,]", 1, "a value is wanted"),
        ("f(1,)", 4, "a value is wanted"),
        ("1 2", 2, "an operator or the end"),
        ("a = 1", 2, "write '=='"),
        ("a & b", 2, "write '&&'"),
        ("true and false", 5, "write '&&'"),
        ("'abc", 0, "not closed"),
        ("'a\nb'", 0, "not closed"),
        ("1 + '''abc", 4, "not closed"),
        (r"'ab\q'", 3, "escape"),
        (r"'\ud800'", 1, "no character"),
        (r"b'\u0041'", 2, "bytes take"),
        (r"'\400'", 1, "escape"),
        ("9223372036854775808", 0, "beyond int64"),
        ("-9223372036854775809", 1, "beyond 64 bits"),
        ("18446744073709551616u", 0, "beyond 64 bits"),
        ("1e999", 0, "beyond a double"),
        ("12ab", 2, "runs into"),
        ("1.5f", 3, "runs into"),
        ("if", 0, "cannot be a name"),
        ("a.in", 2, "reserved"),
        ("in", 0, "cannot be a name"),
        ("`a`", 0, "cannot be a name"),
        ("#", 0, "has no meaning"),
        ("has(a)", 3, "has() takes one member"),
        ("has(a.b, c.d)", 3, "has() takes one member"),
        ("[1].all(1, true)", 8, "the name of a variable"),
        ("Message{a: 1}", 7, "messages are not supported"),
        ("{1}", 2, "':' is wanted"),
        ("a ? b", 5, "':' is wanted"),
        ("a ? b ? 1 : 2 : 3", 6, "':' is wanted"),
        ("-!x", 1, "a value is wanted"),
    ],
)
def test_a_mistake_in_the_text(text: str, column: int, words: str) -> None:
    with pytest.raises(Mistake) as caught:
        parse(text)
    assert caught.value.column == column
    assert words in caught.value.text


@pytest.mark.parametrize(
    "text",
    [
        "(" * (MAX_NESTING + 1) + "1" + ")" * (MAX_NESTING + 1),
        "[" * 5_000,
        "(" * 16_000,
        "-" * 1_000 + "x",
        "!" * 1_000 + "x",
        "1" + " + 1" * 1_000,
        "x" + ".a" * 1_000,
        "x" + "[0]" * 1_000,
        "true ? 1 : " * 1_000 + "1",
        "1 + (" * 1_000,
        "1" * 17_000,
        "9" * 5_000,
        "{1:" * 1_000,
        "f(" * 1_000,
        "[1].map(x, " * 1_000,
    ],
)
def test_a_text_that_would_recurse_far_is_refused(text: str) -> None:
    with pytest.raises(Mistake):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 32 + "true" + ")" * 32,
        " || ".join(["true"] * 200),
        " && ".join(["true"] * 200),
        " + ".join(["1"] * 33),
        "[" + ", ".join(["1"] * 200) + "]",
        "true ? 1 : " * 32 + "1",
        "[[1]]" + "[0]" * 1,
    ],
)
def test_what_the_specification_wants_accepted_is(run: Run, text: str) -> None:
    run(text)


@pytest.mark.parametrize(
    "text",
    [
        "true || true && 1 < 1 + 1 * (" * (MAX_NESTING - 1) + "2" + " > 0 ? 1 : 0)" * (MAX_NESTING - 1),
        "[true].all(x, x || " * (MAX_NESTING - 2) + "x" + ")" * (MAX_NESTING - 2),
        "args" + ".a" * 90 + " == 1",
        "!has(args.a) || (" * (MAX_NESTING - 1) + "true" + ")" * (MAX_NESTING - 1),
        "[" * (MAX_NESTING - 1) + "]" * (MAX_NESTING - 1) + " == []",
    ],
)
def test_the_deepest_text_fits_the_stack(run: Run, text: str) -> None:
    def deep(frames: int) -> None:
        if frames:
            deep(frames - 1)
        else:
            with contextlib.suppress(Failure, Mistake):
                run(text, {"a": {}})

    deep(150)  # as deep as a gateway may be when it loads a configuration


def test_types_are_values(run: Run) -> None:
    assert run("type(1.5)") == TypeValue("double")
    assert run("[int, string, google.protobuf.Duration].size()") == 3
