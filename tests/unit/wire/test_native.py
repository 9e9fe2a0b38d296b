"""The compiled loops over fields, members and characters beside the pure ones."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.native import half
from funcgate.wire import request_target, strict_json
from funcgate.wire.compiled import writing as native_writing
from funcgate.wire.http1 import requests, responses, writing
from funcgate.wire.http1.fields import NOT_RETURNED, ROLES
from support.quick import examples

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


@settings(max_examples=examples(500), deadline=None)
@given(PAIRS)
def test_fields_of_requests_are_sorted_alike(raw: list[tuple[bytes, bytes]]) -> None:
    results = []
    for sort in (native.sort_request_fields, requests.pure_sort_fields):
        known: dict[bytes, bytes] = {}
        fields: list[tuple[bytes, bytes]] = []
        results.append((sort(raw, known, fields, ROLES), list(known.items()), fields))
    assert results[0] == results[1]


@settings(max_examples=examples(500), deadline=None)
@given(PAIRS)
def test_fields_of_answers_are_sorted_alike(raw: list[tuple[bytes, bytes]]) -> None:
    results = []
    for sort in (native.sort_response_fields, responses.pure_sort_fields):
        known: dict[bytes, bytes] = {}
        fields: list[tuple[bytes, bytes]] = []
        read = frozenset({b"content-type", b"content-length", b"location", b"connection"})
        results.append((sort(raw, known, fields, read, NOT_RETURNED), list(known.items()), fields))
    assert results[0] == results[1]


@settings(max_examples=examples(300), deadline=None)
@given(PAIRS)
def test_lines_are_written_alike(fields: list[tuple[bytes, bytes]]) -> None:
    assert native.fields_block(fields) == writing.pure_fields_block(fields)
    assert native.fields_block(iter(fields)) == writing.pure_fields_block(fields)


INTEGERS = st.sampled_from([sign * (1 << 63) + off for sign in (1, -1) for off in (-1, 0, 1)]) | st.integers()
ITEMS = st.text(max_size=3) | INTEGERS | st.booleans() | st.none() | st.floats() | st.just({})


@settings(max_examples=examples(500), deadline=None)
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


CALL_IDS = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", max_size=30)
TIMES = st.floats(0, 4e9) | st.sampled_from([0.0, 1e-7, 0.001, 0.0099999, 1.0])


@settings(max_examples=examples(500), deadline=None)
@given(st.integers(200, 599), PAIRS, CALL_IDS, TIMES, st.binary(max_size=40))
def test_answers_are_written_alike(
    status: int, fields: list[tuple[bytes, bytes]], call_id: str, spent_s: float, body: bytes
) -> None:
    args = (status, fields, call_id, spent_s, body)
    assert writing.whole_answer is not writing.pure_whole_answer
    assert writing.whole_answer(*args) == writing.pure_whole_answer(*args)


PATHS = st.text("/abc%20.?=&é\u20ac\U0001f600", max_size=8)
SECRETS = [frozenset(), frozenset({b"x-api-key"}), frozenset({b"x_api_key", b"x-api-key", b"x-a"})]
SENT = st.lists(
    st.tuples(st.sampled_from([b"x_api_key", b"x-api_key", b"x-api-key", b"x-a", b"x_a", b"_"]) | NAMES, TEXTS)
)


@settings(max_examples=examples(500), deadline=None)
@given(
    st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE"]), PATHS, PATHS, SENT, st.sampled_from(SECRETS),
    CALL_IDS, st.sampled_from([b"", b"00-x-y-01"]), st.binary(max_size=20),
)  # fmt: skip
def test_requests_are_written_alike(
    method: bytes, path: str, query: str, fields: list[tuple[bytes, bytes]], names: frozenset[bytes], call_id: str,
    traceparent: bytes, body: bytes,
) -> None:  # fmt: skip
    args = (method, path, query, b"host: a\r\n", fields, names, b"x-api-key: s\r\n", call_id, traceparent, body)
    written: list[Any] = []
    for write in (native_writing.write_request, writing.pure_whole_request):
        try:
            written.append(write(*args))
        except ValueError:
            written.append("not ASCII")
    assert written[0] == written[1]
    assert (written[0] == "not ASCII") is not (path + query).isascii()


PIECES = st.lists(
    st.sampled_from(
        [
            "/",
            "a",
            "b.c",
            "..",
            "//",
            "%2e",
            "?",
            "=",
            "&",
            "==",
            "x=1",
            "y=",
            ";",
            "#",
            "~",
            "+",
            "@",
            "é",
            "[",
            "<",
            "\x00",
        ]
    ),
    max_size=9,
)


@settings(max_examples=examples(1000), deadline=None)
@given(PIECES)
def test_targets_are_read_alike(pieces: list[str]) -> None:
    for raw in ("".join(pieces).encode(), ("/" + "".join(pieces)).encode(), ("/a?" + "".join(pieces)).encode()):
        found = native.read_target(raw, "h", 2)
        assert found == request_target.pure_read_canonical(raw, "h", 2)


@pytest.mark.parametrize("octet", range(256))
def test_every_octet_of_a_target_is_taken_alike(octet: int) -> None:
    one = bytes([octet])
    for raw in (
        one,
        b"/" + one,
        b"/a" + one + b"b",
        b"/?" + one,
        b"/?a=" + one + b"&c=d",
        b"/?" + one + b"=",
        b"/a/" + one + b"/",
    ):
        assert native.read_target(raw, "h", 9) == request_target.pure_read_canonical(raw, "h", 9)


def test_plain_targets_are_read_by_the_compiled_half() -> None:
    found = native.read_target(b"/a/b-c/?x=1&y=", "h:1", 2)
    assert found == ("/a/b-c/", ("a", "b-c", ""), (("x", "1"), ("y", "")), "x=1&y=", "h:1")
    assert native.read_target(b"/a?x=1&y=&z=", "h", 2) is None


@pytest.mark.parametrize(
    "fields", [[("name", b"x")], [(b"name", "x")], [b"ab"], [(b"name", None)], [(b"name",)], [()], None]
)
def test_what_is_no_field_is_not_written(fields: Any) -> None:
    for call in (
        lambda: writing.whole_answer(200, fields, "A", 0.0, b""),
        lambda: native_writing.write_request(b"GET", "/", "", b"", fields, frozenset(), b"", "A", b"", b""),
        lambda: native_writing.write_request(b"GET", "/", "", b"", fields, frozenset({b"x"}), b"", "A", b"", b""),
    ):
        with pytest.raises((TypeError, ValueError, IndexError)):
            call()
