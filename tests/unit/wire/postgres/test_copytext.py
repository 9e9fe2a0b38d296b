"""COPY's text format: the escapes of the server's own documentation, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.wire.postgres.copytext import line_of, read_line


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (rb"a" + b"\t" + rb"b", [b"a", b"b"]),
        (rb"\N" + b"\t" + rb"\\N", [None, rb"\N"]),
        (rb"\t\n\\\x41\101\q", [b"\t\n\\AAq"]),
        (b"", [b""]),
        (b"\t", [b"", b""]),
    ],
)
def test_lines(line: bytes, fields: list[bytes | None]) -> None:
    assert read_line(line) == fields


@given(st.lists(st.none() | st.binary(max_size=30), min_size=1, max_size=6))
def test_fields_are_read_back(fields: list[bytes | None]) -> None:
    assert read_line(line_of(fields)) == fields
    assert b"\n" not in line_of(fields)
