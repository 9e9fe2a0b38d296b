"""The compiled half beside the pure one: what it reads, the pure one reads the same; what that refuses, it does not read."""

import contextlib
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.native import half
from funcgate.masking.columns import ColumnRules
from funcgate.protocols.postgres.answer import TAGS, Answer, encode_value
from funcgate.protocols.postgres.shape import EMPTY, Hiding, Shape
from funcgate.wire.postgres import backend, frontend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.frames import Malformed, frame
from funcgate.wire.postgres.frontend import read_query, read_run
from funcgate.wire.postgres.owntypes import OwnTypes
from support.quick import examples

native: Any = half("funcgate.wire.postgres._native")
pytestmark = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")

# text, varchar, int2, int4, int8, timestamp, uuid, json, jsonb, bool, numeric, bytea, an enum and its array
TYPES = [25, 1043, 21, 23, 20, 1114, 2950, 114, 3802, 16, 1700, 17, 90_000, 90_001]
OWN = OwnTypes([(90_000, 25, 90_001)])
TEXTS = [
    "",
    "a",
    "O'Neil",
    'say "no"',
    "back\\slash",
    "new\nline",
    "tab\t",
    "\x7f",
    "\x01",
    "Ünï",
    "𝄞",
    "1.5",
    "2026-11-21 03:00:01.5",
]
VALUES = st.one_of(
    st.none(),
    st.sampled_from([text.encode() for text in TEXTS]),
    st.binary(max_size=12),
    st.integers(-(1 << 63), (1 << 63) - 1).map(lambda number: struct.pack("!q", number)),
    st.integers(-(1 << 31), (1 << 31) - 1).map(lambda number: struct.pack("!i", number)),
    st.integers(-(1 << 15), (1 << 15) - 1).map(lambda number: struct.pack("!h", number)),
    st.uuids().map(lambda value: str(value).encode()),
    st.just(struct.pack("!iiIiii", 1, 0, 90_000, 1, 1, 4) + b"calm"),
)
COLUMNS = st.lists(
    st.builds(
        Column,
        st.sampled_from(["id", "ä"]),
        st.just(0),
        st.just(0),
        st.sampled_from(TYPES),
        st.sampled_from([0, 0, 0, 1]),
    ),
    max_size=4,
)
TAG_NAMES = ["SELECT 1", "INSERT 0 12", "no such tag!", ""]
FLIPS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2)
Flips = Sequence[tuple[int, int]]


def flipped(data: bytes, flips: Flips) -> bytes:
    out = bytearray(data)
    for at, byte in flips:
        if out:
            out[at % len(out)] = byte
    return bytes(out)


def described(columns: Sequence[Column]) -> bytes:
    parts = [
        c.name.encode() + b"\0" + struct.pack("!IHIhiH", c.table, c.number, c.type, -1, -1, c.format) for c in columns
    ]
    return frame(backend.ROW_DESCRIPTION, struct.pack("!H", len(columns)) + b"".join(parts))


def rows_of(columns: Sequence[Column], values: Sequence[bytes | None], count: int) -> bytes:
    given = [values[(at + row) % len(values)] for row in range(count) for at in range(len(columns))] if values else []
    width = len(columns)
    return b"".join(
        backend.row(given[row * width : (row + 1) * width]) for row in range(count if values or not width else 0)
    )


@settings(max_examples=examples(400), deadline=None)
@given(COLUMNS, st.lists(VALUES, max_size=6), st.integers(0, 4), FLIPS)
def test_rows_become_the_same_lines(
    columns: list[Column], values: list[bytes | None], count: int, flips: Flips
) -> None:
    shape = Shape(columns, [None] * len(columns), OWN)
    if shape.plain is None:
        return
    data = flipped(rows_of(columns, values, count) + b"C\0\0\0\5\0", flips)
    try:
        rows, ends = shape.read_all(data)
    except (IndexError, struct.error, ValueError):
        with contextlib.suppress(ValueError):
            assert native.rows(data, shape.plain, encode_value) is None
        return
    found = native.rows(data, shape.plain, encode_value)
    wanted = msgspec.json.Encoder(enc_hook=str).encode_lines(rows), ends[-1] if ends else 0, len(rows)
    unreadable = any(shape.conceal(row, strict=True) for row in rows)
    assert found == wanted or (unreadable and found is None)


def hiding() -> Hiding:
    return Hiding(ColumnRules(), lambda columns: [()] * len(columns), {}, lambda: OWN)


ASKED = {"": (), "2": ("2",), "2T": ("2", "T"), "2-": ("2", "-T")}


@settings(max_examples=examples(400), deadline=None)
@given(
    st.sampled_from([*ASKED]), COLUMNS, st.lists(VALUES, min_size=1, max_size=6), st.integers(0, 3),
    st.sampled_from(TAG_NAMES), st.sampled_from([b"I", b"T", b"E", b"?"]), st.booleans(), FLIPS,
)  # fmt: skip
def test_whole_answers_are_read_alike(
    asked: str,
    columns: list[Column],
    values: list[bytes | None],
    count: int,
    tag: str,
    state: bytes,
    telling: bool,
    flips: Flips,
) -> None:
    rules = hiding()
    head = b"2\0\0\0\4" if asked else b""
    head += described(columns) if columns and telling else b"n\0\0\0\4" if telling and len(asked) == 2 else b""
    raw = head + rows_of(columns, values, count) + frame(b"C", tag.encode() + b"\0") + backend.ready(state)
    data = flipped(raw, flips)
    given_columns = tuple(columns) if asked == "2" else ()
    pure = Answer(ASKED[asked], rules, strict=True, columns=given_columns)
    wanted = pure.whole(data) if data[-6:-1] == b"Z\0\0\0\5" and data[-1:] in (b"I", b"T", b"E") else None
    shape = rules.of(given_columns)
    try:
        found = native.answer(data, asked, shape, rules.known, TAGS, encode_value)
    except ValueError:
        found = None
    if found is None:
        assert (
            flips
            or wanted is None
            or shape.plain is None
            or any(c.format for c in columns)
            or not telling
            or not columns
        )
        return
    lines, many, got, hidden = found
    assert wanted == lines
    assert (many, got.columns) == (pure.rows, pure._shape.columns)
    passed = (data[:5] + data[hidden:] if hidden else data)[:-6]
    assert passed == b"".join(pure.heads) + pure.passing(wanted)


def test_a_plain_answer_is_read() -> None:
    rules = hiding()
    column = Column("abalance", 16400, 3, 23, 0)
    body = rows_of([column], [b"-7"], 1) + frame(b"C", b"SELECT 1\0") + backend.ready(b"I")
    for asked, head in {"": described([column]), "2T": b"2\0\0\0\4" + described([column])}.items():
        Answer(ASKED[asked], rules, strict=True).whole(head + body)
        lines, rows, shape, hidden = native.answer(head + body, asked, EMPTY, rules.known, TAGS, encode_value)
        assert (lines, rows) == (b'{"columns":["abalance"]}\n["-7"]\n{"tag":"SELECT 1"}\n', 1)
        assert (shape.columns, hidden) == ((column,), 0)
        for cut in range(len(head + body)):
            assert native.answer((head + body)[:cut], asked, EMPTY, rules.known, TAGS, encode_value) is None


QUERIES = [b"Q" + struct.pack("!I", len(text) + 5) + text + b"\0" for text in (b"", b"SELECT 1", "SELECT 'ä'".encode())]


@settings(max_examples=examples(300), deadline=None)
@given(st.sampled_from(QUERIES), st.binary(max_size=3), st.integers(0, 3), FLIPS)
def test_queries_are_read_alike(raw: bytes, rest: bytes, at: int, flips: Flips) -> None:
    raw = flipped(raw, flips)
    found = native.query(bytearray(b"x" * at + raw + rest), at, 1000)
    if found is not None:
        sql, bytes_of = found
        assert (raw + rest).startswith(bytes_of)
        assert read_query(bytes_of[5:]) == sql
        assert bytes_of == frontend.query(sql)
    else:
        assert flips


@pytest.mark.parametrize("raw", QUERIES)
def test_a_query_is_taken_only_whole(raw: bytes) -> None:
    for cut in range(len(raw)):
        assert native.query(bytearray(raw[:cut]), 0, 1000) is None
    assert native.query(bytearray(raw), 0, len(raw)) is not None
    assert native.query(bytearray(raw), 0, len(raw) - 6) is None
    assert native.query(bytearray(raw), len(raw), 1000) is None
    assert native.query(bytearray(raw), -1, 1000) is None


def bind(name: bytes, formats: Sequence[int], values: Sequence[bytes | None], results: Sequence[int]) -> bytes:
    parts = [
        b"\0",
        name,
        b"\0",
        struct.pack(f"!H{len(formats)}H", len(formats), *formats),
        struct.pack("!H", len(values)),
    ]
    parts += [struct.pack("!i", -1) if value is None else struct.pack("!I", len(value)) + value for value in values]
    return frame(b"B", b"".join([*parts, struct.pack(f"!H{len(results)}H", len(results), *results)]))


@settings(max_examples=examples(500), deadline=None)
@given(
    st.sampled_from([b"", b"P_0", "ä".encode(), b"x" * 70]), st.lists(st.integers(0, 2), max_size=3),
    st.lists(VALUES, max_size=3), st.lists(st.integers(0, 1), max_size=2), st.booleans(), st.integers(0, 3), FLIPS,
)  # fmt: skip
def test_runs_are_read_alike(
    name: bytes,
    formats: list[int],
    values: list[bytes | None],
    results: list[int],
    telling: bool,
    at: int,
    flips: Flips,
) -> None:
    first = bind(name, formats, values, results)
    raw = flipped(first + (frontend.DESCRIBE_UNNAMED if telling else b"") + frontend.EXECUTE_AND_SYNC, flips)
    data = bytearray(b"y" * at + raw)
    found = native.run(data, at, 5000)
    size = int.from_bytes(raw[1:5], "big") + 1
    try:
        wanted = read_run(data, at, size) if raw[:1] == b"B" and 5 < size < len(raw) else None
    except Malformed:
        wanted = None
    if found is not None:
        assert wanted is not None
        assert found == (*wanted.bind[1:], wanted.described, wanted.raw)
    else:
        assert wanted is None or not name.isascii() or (formats and not values) or flips


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([b"[1]", b'["a"]', b"[]"])), max_size=8))
def test_lines_that_are_the_same(lines: list[tuple[bool, bytes]]) -> None:
    text = b"".join(line + b"\n" for _, line in lines)
    masked = b"".join((b'["new"]' if changed else line) + b"\n" for changed, line in lines)
    raw = [frame(b"D", bytes(at)) for at in range(len(lines))]
    at = masked_at = raw_at = number = 0
    while at < len(text):
        at, masked_at, raw_at = native.same(text, at, masked, masked_at, b"".join(raw), raw_at)
        while number < len(lines) and not lines[number][0]:
            number += 1
        assert at == sum(len(line) + 1 for _, line in lines[:number])
        assert raw_at == sum(map(len, raw[:number]))
        if number < len(lines):
            at, masked_at = at + len(lines[number][1]) + 1, masked.index(b"\n", masked_at) + 1
            raw_at += len(raw[number])
            number += 1


def test_fewer_messages_than_lines_are_an_error() -> None:
    with pytest.raises(ValueError, match="without its message"):
        native.same(b"[1]\n", 0, b"[1]\n", 0, b"D\0\0", 0)
    with pytest.raises(ValueError, match="without its end"):
        native.same(b"[1]", 0, b"[1]\n", 0, b"D\0\0\0\4", 0)
