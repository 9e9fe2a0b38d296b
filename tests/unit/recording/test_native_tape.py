"""Compiled and pure: arguments as JSON, and the entries of whole answers."""

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.call import Call
from funcgate.core.entry import whole
from funcgate.core.native import half
from funcgate.core.principal import make_principal
from funcgate.core.refusal import Refused
from funcgate.core.reply import Reply
from funcgate.masking.masker import Masked
from funcgate.recording import tape
from support.quick import examples

native: Any = half("funcgate.recording._native")
pytestmark = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
CALL = Call(
    id="c", target="shop", function="shop.buy", args={}, principal=make_principal("corp", "ada", frozenset(), {}, "t", 0.0),
    session="s", digest="sha256:0", received_at=0.0,
)  # fmt: skip


class Text(str):
    __slots__ = ()


TEXTS = st.text('az09 "\\\n\x00\x1f\x7f\x80é€😀\ud800/', max_size=20) | st.sampled_from(
    ["null", "a" * 20_000, Text("x")]
)
NUMBERS = st.integers() | st.sampled_from([0, -1, 1 << 63, -(1 << 63), (1 << 63) - 1, 1 << 64]) | st.floats()
VALUES: Any = st.recursive(
    TEXTS | NUMBERS | st.booleans() | st.none() | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=examples(500), deadline=None)
@given(st.dictionaries(TEXTS, VALUES, max_size=5))
def test_the_same_arguments(args: dict[str, Any]) -> None:
    assert native.encode_args(args) == tape.encode_args(args)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 15, 16, 17])
def test_an_escape_anywhere_in_a_text_is_seen(size: int) -> None:
    for odd in ("\x00", "\x1f", " ", '"', "\\", "\x7f", "é"):
        for at in range(size + 1):
            args = {"a": "x" * at + odd + "x" * (size - at)}
            assert native.encode_args(args) == tape.encode_args(args)


@pytest.mark.parametrize("size", [*range(16_350, 16_400), 1 << 20])
def test_arguments_of_about_a_sheet(size: int) -> None:
    for args in (
        {"a": "x" * size},
        {"x" * size: 1},
        {"a": ["x" * (size - 12), 1, -(1 << 63)]},
        {"a": "x" * (size - 9), "b": True},
    ):
        assert native.encode_args(args) == tape.encode_args(args)
    assert native.encode_args({"a": [None] * size}) == tape.encode_args({"a": [None] * size})


def test_nesting_and_other_maps() -> None:
    deep: Any = 1
    for depth in range(40):
        deep = [deep] if depth % 2 else {"a": deep}
        assert native.encode_args({"a": deep}) == tape.encode_args({"a": deep})
    assert native.encode_args({"a": math.nan, "b": None}) == tape.encode_args({"a": math.nan, "b": None})
    assert native.encode_args({"a": {1: 2}}) == tape.encode_args({"a": {1: 2}})
    loop: dict[str, Any] = {}
    loop["a"] = loop
    assert native.encode_args(loop) == tape.encode_args(loop)


def entries_of(make: Any, masked: Masked, limit: int) -> tuple[Any, ...]:
    made = make(masked, limit, CALL, None)
    try:
        entry = whole(made.chunk())
    except Refused as refused:
        return refused.code, refused.private_detail, made.recorded, made.worth
    return entry, made.worth, made.size, made.recorded, made.begun, made.fields, made.reply is masked.reply


BODIES = [
    None, b"", b"x", b"{}", b'{"a":1}', b'{"a":\n1}', b'{"a":"\xc3\xa9"}', b"\xff\xfe", b"data:;base64,eA==", b"data:x", b"data",
    b'1,"kind":"allowed"', b"\xc3\xa9", b'{"a":"\xff"}',
]  # fmt: skip
MEDIAS = [
    "application/json",
    "application/x-ndjson",
    "application/problem+json",
    "text/plain",
    "text/csv",
    "image/png",
    "",
]


@pytest.mark.parametrize("media", MEDIAS)
@pytest.mark.parametrize("known", [True, False])
def test_the_same_entry_of_a_whole_answer(media: str, known: bool) -> None:
    for body in BODIES:
        for headers in ([], [(b"ETag", b"x"), (b"Date", b"now")]):
            for trailers in ([], [(b"grpc-status", b"0")]):
                for limit in (0, 1, 100):
                    reply = Reply(status=200, headers=headers, media=media, body=body, trailers=trailers)
                    known_json = known and body == b'{"a":1}'
                    told = [
                        entries_of(make, Masked(reply, {"card": 1}, known_json), limit)
                        for make in (tape.tape_of, tape.Tape)
                    ]
                    assert told[0] == told[1], (body, headers, trailers, limit)


def test_a_stream_has_the_tape_of_streams() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"x"

    made = tape.tape_of(Masked(Reply(status=200, headers=[], stream=stream()), {}), 10, CALL, None)  # type: ignore[arg-type]
    assert type(made) is tape.Tape
