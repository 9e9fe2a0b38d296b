"""Metadata: names, values, binary ones; and gRPC-Web's kinds, trailers and text form."""

import base64
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.wire.grpc import (
    Malformed,
    TextReader,
    WebKind,
    check,
    is_binary,
    is_reserved,
    read_binary,
    text,
    trailer_frame,
    write_binary,
)


@given(st.binary(max_size=40))
def test_binary_values_come_back(data: bytes) -> None:
    raw = write_binary(data)
    assert b"=" not in raw
    assert read_binary(raw) == [data]
    assert read_binary(base64.b64encode(data)) == [data]


def test_several_binary_values_in_one_field() -> None:
    assert read_binary(b"YQ, Yg==,Yw") == [b"a", b"b", b"c"]


@pytest.mark.parametrize("raw", [b"Y", b"YQ=", b"Y Q", b"Y-_Q", b"YQ==YQ==", b"=", b"\xff", b"YQ\n", b"a;b"])
def test_what_is_not_base64_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_binary(raw)


def test_names_and_values() -> None:
    check([(b"x-id", b"a b~"), (b"trace-bin", b"YQ"), (b"a_b.c", b"")])
    for name, value in (
        (b"X-Id", b"a"), (b"", b"a"), (b"a b", b"a"), (b":path", b"a"), (b"a\n", b"a"), (b"a", b"a\nb"), (b"a", b"a\0"),
        (b"a", b"\xff"), (b"a", b"a\x7f"), (b"a-bin", b"\xff"), (b"a-bin", b"*"), (b"\xc3\xa9", b"a"),
    ):  # fmt: skip
        with pytest.raises(Malformed):
            check([(name, value)])


def test_names_that_the_protocol_owns() -> None:
    assert all(map(is_reserved, (b"grpc-timeout", b"grpc-x", b":path", b"te", b"content-type", b"user-agent", b"host")))
    assert not any(map(is_reserved, (b"x-grpc", b"authorization", b"tee", b"grpcx")))
    assert is_binary(b"x-bin")
    assert not is_binary(b"x-binary")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (b"application/grpc-web", WebKind(False, b"")), (b"application/grpc-web+proto", WebKind(False, b"+proto")),
        (b"application/grpc-web-text", WebKind(True, b"")), (b"Application/GRPC-Web-Text+Proto; q=1", WebKind(True, b"+proto")),
        (b"application/grpc", None), (b"application/grpc-webx", None), (b"application/grpc-web-textual", None),
        (b"application/json", None), (b"", None),
    ],
)  # fmt: skip
def test_kinds(given: bytes, kind: WebKind | None) -> None:
    assert WebKind.of(given) == kind
    assert kind is None or WebKind.of(kind.content_type) == kind


def test_trailers_are_a_message_of_their_own() -> None:
    raw = trailer_frame([(b"grpc-status", b"0"), (b"Grpc-Message", b"fine")])
    assert raw == b"\x80\x00\x00\x00\x24grpc-status: 0\r\ngrpc-message: fine\r\n"
    assert trailer_frame([]) == b"\x80\x00\x00\x00\x00"
    for name, value in (
        (b"a", b"x\r\nb: y"),
        (b"a", b"x\n"),
        (b"a\r", b"x"),
        (b"a:b", b"x"),
        (b"", b"x"),
        (b"a", b"\0"),
    ):
        with pytest.raises(Malformed):
            trailer_frame([(name, value)])


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(0, 150), max_size=6))
def test_the_text_form_comes_back_however_it_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(map(text, parts))
    reader, found = TextReader(), b""
    for start, end in pairwise([0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]):
        found += reader.feed(wire[start:end])
    reader.finish()
    assert found == b"".join(parts)


def test_line_ends_in_the_text_form_are_left_aside() -> None:
    reader = TextReader()
    assert reader.feed(b"YWJ\r\njZA==\n") == b"abcd"
    reader.finish()


@pytest.mark.parametrize("raw", [b"YR==", b"YWI*", b"====", b"Y===", b"YQ==YR==", b"YW=J", b"-_-_"])
def test_base64_that_is_not_canonical_is_refused(raw: bytes) -> None:
    reader = TextReader()
    with pytest.raises(Malformed):
        reader.feed(raw)


def test_a_cut_text_form_is_refused() -> None:
    reader = TextReader()
    assert reader.feed(b"YWJjZ") == b"abc"
    with pytest.raises(Malformed):
        reader.finish()
