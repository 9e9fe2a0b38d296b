"""Reading an OpenAPI file: plain values or an error, whatever the file holds."""

from pathlib import Path

import pytest

from funcgate.catalog.document import MAX_NODES, Unreadable, read_document


def write(tmp_path: Path, text: str | bytes, name: str = "x.yaml") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_yaml_becomes_json_values(tmp_path: Path) -> None:
    text = "a: 2020-01-01\nb: &x {c: 1}\nd: *x\n200: {}\non: yes\nf: 1.5\nn: null\nt: true\n"
    assert read_document(write(tmp_path, text)) == {
        "a": "2020-01-01", "b": {"c": 1}, "d": {"c": 1}, "200": {}, "on": "yes", "f": 1.5, "n": None, "t": True,
    }  # fmt: skip


def test_json(tmp_path: Path) -> None:
    assert read_document(write(tmp_path, '{"a": [1, 1.5, null]}', "x.json")) == {"a": [1, 1.5, None]}


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: !!python/object/apply:os.system [x]", "tag"),
        ("a: !local x", "tag"),
        ("a: !!binary aGVsbG8=", "tag"),
        ("a: !!set {x}", "tag"),
        ("a: 1\nb: 2\na: 3", "line 3.*duplicate"),
        ("1: a\n'1': b", "twice"),
        ("a: &x [*x]", "contains it"),
        ("a: &x {b: {c: *x}}", "contains it"),
        (BOMB, f"{MAX_NODES:,}"),
        ("a: [", "line 1"),
        ("a: .nan", "NaN"),
        ("a: .inf", "Infinity"),
        ("? [a, b]\n: 1", "key"),
        ("- a", "no mapping"),
        ("", "no mapping"),
        (b"a: \xff", "UTF-8"),
        ("[" * 500, "nested|line"),
    ],
)
def test_unreadable_yaml(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(Unreadable, match=f"(?s){says}"):
        read_document(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1', "line 1"),
        ("[" * 100_000, "nested"),
        ("[1]", "no mapping"),
    ],
)
def test_unreadable_json(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        read_document(write(tmp_path, text, "x.json"))


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="cannot be read"):
        read_document(tmp_path / "none.yaml")
