"""COPY's formats of text: the escapes of the server's own documentation, and back; the compiled half beside the pure one;
wherever the data are cut."""

import json
import re
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.native import half
from funcgate.wire.postgres.copytext import TEXT, Field, Layout, Rows, fields_of, layout_of, rows_of, with_fields
from funcgate.wire.postgres.frames import frame
from support.quick import examples

native: Any = half("funcgate.wire.postgres._copying")
compiled = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
CSV = Layout(True, b",", b"")
LAYOUTS = [
    TEXT, TEXT._replace(delimiter=b";"), TEXT._replace(null=b""), TEXT._replace(null=None, delimiter=b'"'),
    TEXT._replace(delimiter=b"\x01"), CSV, CSV._replace(quote=b"'", escape=b"'"), CSV._replace(escape=b"\\"),
    CSV._replace(null=None), CSV._replace(null=rb"\N", delimiter=b"\t"), CSV._replace(delimiter=b"-", escape=b"'", quote=b"'"),
]  # fmt: skip
NAMES = [f"{'csv' if layout.csv else 'text'}{at}" for at, layout in enumerate(LAYOUTS)]
of_each_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=NAMES)
PIECES = [
    b"a", b"1", b"\t", b",", b";", b'"', b"'", b"\\", b"\n", b"\r", b"\\N", b"\\.", b"\x01", b"\x0b", b"\x1f", b"\x7f", b"N",
    b"t", b"-", "ä".encode(), "ä".encode()[:1], "𝄞".encode(), b"\\x41", b"\\101", b"\r\n", b'""', b"\0",
]  # fmt: skip
NOISE = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
TEXTS = st.text(st.sampled_from("a1 \t,;\"'\\\n\r\x01\x0bäN.-𝄞"), max_size=6)
FIELDS = st.lists(st.none() | TEXTS, min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (b"a\tb\n", ["a", "b"]),
        (b"\\N\t\\\\N\n", [None, "\\N"]),
        (b"\\t\\n\\\\\\x41\\101\\q\n", ["\t\n\\AAq"]),
        (b"a\\\tb\n", ["a\tb"]),
        (b"", [""]),
        (b"\t\r\n", ["", ""]),
    ],
)
def test_text(row: bytes, fields: list[Field]) -> None:
    assert fields_of(row, TEXT) == fields


@pytest.mark.parametrize(
    ("row", "fields"),
    [
        (b'a,"b""c,\nd"\n', ["a", 'b"c,\nd']),
        (b',"",\n', [None, "", None]),
        (b'"x"\r\n', ["x"]),
        ('"ä"'.encode(), ["ä"]),
    ],
)
def test_csv(row: bytes, fields: list[Field]) -> None:
    assert fields_of(row, CSV) == fields


@pytest.mark.parametrize(
    ("row", "layout"),
    [
        (b"\\.\n", TEXT), (b"\\.\n", CSV), (b"a\\\n", TEXT), (b"a\rb\n", TEXT), (b"\xff\n", TEXT), (b'a"b"\n', CSV),
        (b'"a"b\n', CSV),        (b'"a\n', CSV), (b"a\rb\n", CSV), (b"\\377\n", TEXT),
    ],
)  # fmt: skip
def test_what_is_no_row(row: bytes, layout: Layout) -> None:
    with pytest.raises(ValueError, match=r".+"):
        fields_of(row, layout)


@pytest.mark.parametrize(
    ("options", "layout"),
    [
        ([], TEXT),
        ([("format", "csv")], CSV),
        ([("format", "csv"), ("header", ""), ("delimiter", ";")], CSV._replace(header=True, delimiter=b";")),
        ([("format", "csv"), ("quote", "'")], CSV._replace(quote=b"'", escape=b"'")),
        ([("null", "none")], TEXT._replace(null=None)),
        ([("null", "")], TEXT._replace(null=b"")),
        ([("header", "false"), ("force_quote", "")], TEXT),
        ([("delimiter", "ä")], None), ([("delimiter", ";;")], None), ([("delimiter", "7")], None),
        ([("format", "binary")], None), ([("format", "csv"), ("format", "text")], None), ([("header", "perhaps")], None),
        ([("format", "csv"), ("delimiter", '"')], None), ([("format", "csv"), ("quote", "\n")], None),
    ],
)  # fmt: skip
def test_layouts(options: list[tuple[str, str]], layout: Layout | None) -> None:
    assert layout_of(options) == layout


@of_each_layout
@settings(max_examples=50, deadline=None)
@given(FIELDS, FIELDS, st.sampled_from([b"\n", b""]))
def test_fields_are_read_back(layout: Layout, before: list[Field], now: list[Field], end: bytes) -> None:
    """Values put in place of others are what is read then, and nothing else changes."""
    blank = layout.delimiter * (len(before) - 1) + end
    now = (now + before)[: len(before)]
    if layout.null is None:
        before, now = [each or "" for each in before], [each or "" for each in now]
    row = with_fields(blank, before, layout)
    if layout.null == b"" and not layout.csv:  # an empty text is written as a NULL is
        before, now = [each or None for each in before], [each or None for each in now]
    assert fields_of(row, layout) == before
    changed = with_fields(row, now, layout)
    assert fields_of(changed, layout) == now
    if end:
        assert rows_of(changed + row, layout) == [changed, row]
    assert with_fields(row, before, layout) == row


@of_each_layout
@settings(max_examples=75, deadline=None)
@given(st.lists(NOISE | st.just(b"\n"), max_size=6))
def test_rows_end_wherever_the_data_are_cut(layout: Layout, pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    whole = Rows(layout)
    wanted = whole.take(data), whole.rest()
    assert b"".join(wanted) == data
    for cut in range(len(data) + 1):
        rows = Rows(layout)
        first, second = rows.take(data[:cut]), rows.take(data[cut:])
        assert (first + second, rows.size) == (wanted[0], len(wanted[1]))
        assert rows.rest() == wanted[1]
        assert rows_of(first, layout) + rows_of(second, layout) == rows_of(wanted[0], layout)
    each = Rows(layout)
    assert b"".join(each.take(data[at : at + 1]) for at in range(len(data))) == wanted[0]


def lines_of(data: bytes, layout: Layout, columns: int) -> tuple[bytes, int] | None:
    """What the pure module makes of whole rows."""
    rows = rows_of(data, layout)
    if data and not rows[-1].endswith(b"\n"):
        return None
    found: list[list[Field]] = []
    try:
        for row in rows:
            found.append([] if columns == 0 and row in (b"\n", b"\r\n") else fields_of(row, layout))
            if columns not in (-1, len(found[-1])):
                return None
    except ValueError:
        return None
    return msgspec.json.Encoder().encode_lines(found), len(rows)


@compiled
@of_each_layout
@settings(max_examples=examples(150), deadline=None)
@given(st.lists(st.tuples(FIELDS, NOISE), max_size=3), st.sampled_from([-1, -1, 0, 1, 2]))
def test_rows_become_the_same_lines(layout: Layout, given_rows: list[tuple[list[Field], bytes]], columns: int) -> None:
    data = b""
    for fields, noise in given_rows:
        blank = layout.delimiter * (len(fields) - 1) + b"\n"
        data += with_fields(blank, [each or "" for each in fields], layout) if not noise else noise + b"\n"
    wanted = lines_of(data, layout, columns)
    if layout.plain is None:
        return
    found = native.lines(data, layout.plain, columns)
    if found is None:
        assert wanted is None or (not layout.csv and re.search(rb"\\[^bfnrtv\\]", data))
        return
    assert found == wanted
    for line in found[0].splitlines():
        json.loads(line)
    rows = rows_of(data, layout)
    raw = b"".join(frame(b"d", row) for row in rows)
    assert native.messages(raw + b"c\0\0\0\4", layout.plain, columns) == (found[0], len(raw), len(rows))
    for cut in range(len(raw)):
        taken = native.messages(raw[:cut], layout.plain, columns)
        assert raw[: taken[1]] == b"".join(frame(b"d", row) for row in rows[: taken[2]])
        assert found[0].startswith(taken[0])


@compiled
def test_messages_that_are_no_row_each() -> None:
    plain = TEXT.plain
    for payload in (b"", b"a", b"a\nb\n", b"a\nb", b"\\", b"\\\n", b"\xff\n"):
        assert native.messages(frame(b"d", payload), plain, -1) is None
    for size in (0, 1, 3, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        hostile = b"d" + struct.pack("!I", size) + b"abc\n"
        assert native.messages(hostile, plain, -1) in (None, (b"", 0, 0))
        assert native.payloads(bytearray(hostile), 0, 1 << 40, 100) in ((b"", 0), (b"", 5))


@compiled
@given(st.lists(st.binary(max_size=5), max_size=5), st.integers(0, 12), st.integers(0, 6), st.binary(max_size=6))
def test_payloads_in_one(payloads: list[bytes], enough: int, most: int, rest: bytes) -> None:
    raw = b"".join(frame(b"d", each) for each in payloads)
    for cut in range(len(raw) + 1):
        found, size = native.payloads(bytearray(b"xyz" + raw[:cut]), 3, most, enough)
        there, wanted, end = 0, b"", 0
        for each in payloads:
            there += 5 + len(each)
            if there > cut or len(each) > most or len(wanted) >= enough:
                break
            wanted, end = wanted + each, there
        assert (found, size) == (wanted, end)
    assert native.payloads(bytearray(raw + rest), len(raw) + len(rest) + 1, 9, 9) == (b"", 0)
    assert native.payloads(bytearray(raw), -1, 9, 9) == (b"", 0)
