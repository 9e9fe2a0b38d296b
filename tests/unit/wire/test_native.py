"""The compiled loops over fields and members beside the pure ones."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.native import half
from funcgate.wire import strict_json
from funcgate.wire.http1 import requests, responses, writing
from funcgate.wire.http1.fields import NOT_RETURNED, ROLES

native: Any = half("funcgate.wire._native")
pytestmark = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")

KNOWN = [
    *ROLES,
    b"connection",
    b"Content-Type",
    b"CONTENT-LENGTH",
    b"Location",
    b"x-a",
    b"X_A",
    b"x_forwarded_for",
    b"_",
]
NAMES = st.sampled_from(KNOWN) | st.binary(max_size=6)
TEXTS = st.sampled_from([b"", b" ", b"\t a \t", b"a b", b"close", b"chunked", b"\xff", b" \x00 "]) | st.binary(
    max_size=8
)
PAIRS = st.lists(st.tuples(NAMES, TEXTS), max_size=8)


@settings(max_examples=500, deadline=None)
@given(PAIRS)
def test_fields_of_requests_are_sorted_alike(raw: list[tuple[bytes, bytes]]) -> None:
    results = []
    for sort in (native.sort_request_fields, requests.pure_sort_fields):
        known: dict[bytes, bytes] = {}
        fields: list[tuple[bytes, bytes]] = []
        results.append((sort(raw, known, fields, ROLES), list(known.items()), fields))
    assert results[0] == results[1]


@settings(max_examples=500, deadline=None)
@given(PAIRS)
def test_fields_of_answers_are_sorted_alike(raw: list[tuple[bytes, bytes]]) -> None:
    results = []
    for sort in (native.sort_response_fields, responses.pure_sort_fields):
        known: dict[bytes, bytes] = {}
        fields: list[tuple[bytes, bytes]] = []
        read = frozenset({b"content-type", b"content-length", b"location", b"connection"})
        results.append((sort(raw, known, fields, read, NOT_RETURNED), list(known.items()), fields))
    assert results[0] == results[1]


@settings(max_examples=300, deadline=None)
@given(PAIRS)
def test_lines_are_written_alike(fields: list[tuple[bytes, bytes]]) -> None:
    assert native.fields_block(fields) == writing.pure_fields_block(fields)
    assert native.fields_block(iter(fields)) == writing.pure_fields_block(fields)


INTEGERS = st.sampled_from([sign * (1 << 63) + off for sign in (1, -1) for off in (-1, 0, 1)]) | st.integers()
ITEMS = st.text(max_size=3) | INTEGERS | st.booleans() | st.none() | st.floats() | st.just({})


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(st.text(max_size=2), ITEMS | st.lists(ITEMS | st.lists(ITEMS, max_size=1), max_size=3), max_size=4)
)
def test_members_are_plain_for_both(members: dict[str, Any]) -> None:
    assert native.all_plain(members) is strict_json.pure_all_plain(members)


@pytest.mark.parametrize(
    "body", [b'{"a":9223372036854775807}', b'{"a":-9223372036854775808}', b'{"a":18446744073709551615}']
)
def test_the_edges_of_64_bits(body: bytes) -> None:
    members = msgspec.json.decode(body)
    assert native.all_plain(members) is strict_json.pure_all_plain(members)
    assert strict_json.loads(body) == members


@pytest.mark.parametrize("raw", [[("name", b"x")], [(b"name", "x")], [b"ab"], [(b"name", None)], None])
def test_what_is_no_field_is_no_crash(raw: Any) -> None:
    for call in (
        lambda: native.sort_request_fields(raw, {}, [], ROLES),
        lambda: native.sort_response_fields(raw, {}, [], frozenset(), frozenset()),
        lambda: native.fields_block(raw),
    ):
        with pytest.raises((TypeError, ValueError, IndexError)):
            call()
