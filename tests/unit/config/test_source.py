"""YAML text to values with places: what is read, what is refused, and where a problem is said to be."""

import pytest

from funcgate.config.problems import Faulty
from funcgate.config.source import MAX_BYTES, Mark, Source


def tree(text: str) -> object:
    return Source("f.yaml", text.encode()).tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("on", "on"),
        ("no", "no"),
        ("~", None),
        ("", None),
        ("null", None),
        ("2020-01-01", "2020-01-01"),
        ("'1'", "1"),
        ('"a\\u0040b"', "a@b"),
        ("group:a", "group:a"),
    ],
)
def test_scalars_are_yaml_1_2(text: str, value: object) -> None:
    assert tree(f"key: {text}") == {"key": value}


def test_the_old_directive_does_not_bring_back_yes_and_no() -> None:
    assert tree("%YAML 1.1\n---\nkey: yes") == {"key": "yes"}


def test_anchors_are_read() -> None:
    assert tree("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1", 1),
        ("a: 1\nb: 'x", 2),
        ("", 1),
        ("# only a comment\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ("a: *nothing", 1),
        ("a: &x [*x]", 1),
        ("[" * 2000, 1),
    ],
)
def test_what_is_no_yaml_is_one_problem_with_its_line(text: str, line: int) -> None:
    with pytest.raises(Faulty) as caught:
        tree(text)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert str(problem).startswith(f"f.yaml:{line}:")


def test_bytes_that_are_not_utf_8() -> None:
    with pytest.raises(Faulty, match=r"f.yaml:2:1: this is not UTF-8"):
        Source("f.yaml", b"a: 1\nb: \xff\n")


def test_a_huge_file_is_not_parsed() -> None:
    with pytest.raises(Faulty, match="larger than"):
        Source("f.yaml", b"#" * (MAX_BYTES + 1))


def test_anchors_that_unfold_without_end() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(Faulty, match="too many values"):
        tree("\n".join(lines))


def test_every_slip_of_the_text_is_told() -> None:
    source = Source("f.yaml", b"a: 1\nb: {c: 1, c: 2}\n1: x\na: 2\nd: !!python/name:os.system x\ne: {<<: {f: 1}}\n")
    said = [str(problem) for problem in source.problems]
    assert said == [
        "f.yaml:2:11: the key 'c' is given twice (first in line 2)",
        "f.yaml:3:1: a key must be text; put it in quotes",
        "f.yaml:4:1: the key 'a' is given twice (first in line 1)",
        "f.yaml:5:4: the tag python/name:os.system is not allowed",
        "f.yaml:6:5: merge keys (<<) are not YAML 1.2; write the members out",
    ]
    assert source.tree["a"] == 1


def test_placeholders_are_not_expanded_and_this_is_said() -> None:
    source = Source("f.yaml", b"url: http://${HOST}/\n")
    assert source.tree == {"url": "http://${HOST}/"}
    (warning,) = source.problems
    assert warning.warning
    assert (warning.line, warning.column) == (1, 6)


PLACES = b"""\
policies:
  - name: one
    when: args.amount <= 1
  - name: two
    when: "args.b == 2"
  - name: three
    when: |
      args.c == 3
      && args.d == 4
  - name: four
    when: >
      args.e == 5
      && args.f == 6
"""


@pytest.mark.parametrize(
    ("where", "column", "mark"),
    [
        (("policies",), -1, Mark(1, 1)),
        (("policies", 0), -1, Mark(2, 5)),
        (("policies", 0, "name"), -1, Mark(2, 11)),
        (("policies", 0, "nothing"), 7, Mark(2, 5)),
        (("nothing", 0, "at all"), -1, Mark(1, 1)),
        (("policies", 0, "when"), 5, Mark(3, 16)),
        (("policies", 1, "when"), 5, Mark(5, 17)),
        (("policies", 2, "when"), 5, Mark(8, 12)),
        (("policies", 2, "when"), 20, Mark(9, 15)),
        (("policies", 3, "when"), 20, Mark(11, 11)),
    ],
)
def test_places(where: tuple[str | int, ...], column: int, mark: Mark) -> None:
    assert Source("f.yaml", PLACES).locate(where, column) == mark
