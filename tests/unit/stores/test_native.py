"""Compiled and pure: the same lines, or none and the same mending."""

import os
import sys
from threading import Thread
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from funcgate.core.crc import crc_holds
from funcgate.core.entry import Decided, Entry, Kind, Sealed, Who
from funcgate.core.native import half
from funcgate.core.refusal import Code
from funcgate.core.reply import Outcome
from funcgate.stores import lines
from support.quick import examples

pytestmark = pytest.mark.skipif(half("funcgate.stores._native") is None, reason="not built, or FUNCGATE_PURE is set")
AT = "2026-11-21T09:30:00.123456Z"
CONTENT = st.sampled_from(
    [
        b"{}",
        b'{"a":1}',
        b'"x"',
        b"",
        b"not json",
        b'{"a":\n1}',
        b'1,"kind":"allowed"',
        b"\xff",
        b'"' + b"y" * 3000 + b'"',
    ]
)
TEXT = st.text(max_size=5) | st.sampled_from(["\ud800", "\n", "\x00", "ü"])
ENTRIES = st.lists(
    st.builds(
        lambda kind, call, args, detail, odd: Entry(
            kind=kind, call=call, args=None if args is None else Raw(args), detail=detail, change={"x": odd},
            policy=Decided((detail,), "v"),
        ),
        st.sampled_from(Kind), TEXT, CONTENT | st.none(), TEXT, st.sampled_from([1, 2.5, "x", object, 1 << 70, float("nan")]),
    ),
    max_size=4,
)  # fmt: skip


def written(entries: Any, before: bytes, pure: bool) -> tuple[int, bytes]:
    buffer = bytearray(before)
    return (lines._add_lines if pure else lines.add_lines)(buffer, entries, 41, AT), bytes(buffer)


@settings(max_examples=examples(400), deadline=None)
@given(ENTRIES, st.sampled_from([b"", b"{}\n", b"x" * 5000 + b"\n"]))
def test_the_same_lines(entries: list[Entry], before: bytes) -> None:
    pure = written(entries, before, True)
    assert written(entries, before, False) == pure
    assert written(tuple(entries), before, False) == pure
    assert pure[0] == 41 + len(entries)
    assert all(crc_holds(line) for line in pure[1][len(before) :].splitlines())


def test_what_is_no_entry_is_refused_alike() -> None:
    for pure in (True, False):
        with pytest.raises(AttributeError):
            written([5], b"", pure)


PLAIN = st.text("az09 ~\x7f", max_size=40) | st.sampled_from(
    ["", "\x1f", '"', "\\", "\x00", "12345678\n", "1234567\t8", "ü", "\u2028", "\ud800"]
)
NUMBER = st.integers(-(1 << 63), (1 << 64) - 1) | st.sampled_from([0, 1, -1, 1 << 70, True, False, 1.5])
COUNTS = st.dictionaries(PLAIN, NUMBER, max_size=4) | st.just({})
ANYTHING = st.recursive(
    PLAIN | NUMBER | st.none() | st.sampled_from([Raw(b"{}"), Kind.ENDED, Outcome.CUT, Code.POLICY_DENIED]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(PLAIN, inner, max_size=3)
    ),
    max_leaves=12,
)
WHO = st.builds(Who, PLAIN, PLAIN, st.lists(PLAIN, max_size=3).map(tuple), PLAIN | st.none(), PLAIN, PLAIN | st.none())
WHOLE = st.builds(
    Entry,
    kind=st.sampled_from(Kind), call=PLAIN, session=PLAIN, principal=WHO | st.none(), function=PLAIN, target=PLAIN,
    args=CONTENT.map(Raw) | st.none(), digest=PLAIN,
    policy=st.builds(Decided, st.lists(PLAIN, max_size=2).map(tuple), PLAIN) | st.none(),
    code=PLAIN | st.sampled_from(Code), detail=PLAIN, outcome=PLAIN | st.sampled_from(Outcome), status=NUMBER,
    body=CONTENT.map(Raw) | PLAIN | st.none(), body_bytes=NUMBER, body_cut=st.booleans(), media=PLAIN, piece=NUMBER,
    masked=COUNTS,
    timing_us=COUNTS, client=PLAIN, trace=PLAIN, reason=PLAIN, count=NUMBER, change=st.dictionaries(PLAIN, ANYTHING, max_size=3),
    object=PLAIN, args_object=PLAIN, sealed=st.builds(Sealed, content=PLAIN, meta_key=PLAIN) | st.none(), approval=PLAIN,
    fields=st.lists(st.tuples(PLAIN, PLAIN), max_size=3).map(tuple), where=PLAIN, object_bytes=NUMBER,
)  # fmt: skip


@settings(max_examples=examples(600), deadline=None)
@given(st.lists(WHOLE, min_size=1, max_size=3))
def test_the_same_lines_of_all_members(entries: list[Entry]) -> None:
    assert written(entries, b"", False) == written(entries, b"", True)


@pytest.mark.parametrize("size", [1000, 96 << 10, (96 << 10) + 1, 300_000])
def test_long_lines(size: int) -> None:
    for entry in (
        Entry(kind=Kind.CHUNK, call="c", body="x" * size),
        Entry(kind=Kind.CHUNK, call="c", body=Raw(b'"' + b"y" * size + b'"'), args=Raw(b"{}")),
        Entry(kind=Kind.CHUNK, call="c" * (size // 2), detail="d" * (size // 2)),
    ):
        assert written([entry, entry], b"before\n", False) == written([entry, entry], b"before\n", True)


def test_lines_that_end_where_the_page_does() -> None:
    for size in range((96 << 10) - 130, (96 << 10) + 8):
        entry = Entry(kind=Kind.CHUNK, call="c", body=Raw(b"1" * size))
        assert written([entry], b"", False) == written([entry], b"", True)


def test_the_checksum_is_the_one_of_zlib() -> None:
    native = half("funcgate.stores._native")
    for size in [*range(400), 4095, 4096, 4097, 70_001]:
        data = os.urandom(size)
        assert native.crc_32(data) == crc32(data), data.hex()


def test_a_field_that_is_missing_is_no_line() -> None:
    entry = Entry(kind=Kind.CHUNK, call="c")
    del entry.session
    other = Entry(kind=Kind.CHUNK, call="c")
    del other.session
    told = []
    for one, pure in ((entry, False), (other, True)):
        buffer = bytearray(b"x\n")
        try:
            told.append(((lines._add_lines if pure else lines.add_lines)(buffer, [one], 1, AT), bytes(buffer)))
        except AttributeError as error:
            told.append((str(error), bytes(buffer)))
    assert told[0] == told[1]


def test_lines_of_several_threads_are_each_their_own(request: pytest.FixtureRequest) -> None:
    """Fails where zlib, which lets other threads go on, reads the one page: on processors that do not fold (ARM)."""
    before = sys.getswitchinterval()
    request.addfinalizer(lambda: sys.setswitchinterval(before))
    sys.setswitchinterval(1e-6)
    told: list[bool] = []

    def write(letter: bytes) -> None:
        body = b'"' + letter * 60_000 + b'"'
        for _ in range(200):
            buffer = bytearray()
            lines.add_lines(buffer, [Entry(kind=Kind.CHUNK, call="c", body=Raw(body))], 1, AT)
            told.append(body in buffer and crc_holds(bytes(buffer[:-1])))

    threads = [Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [True] * 600
