"""Lines of JSON, many at once: the same as each by itself, wherever they are cut."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.lease import NO_LEASE
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.masking import RuleSpec, compile_rules
from funcgate.masking.lines import are_lines, mask_lines
from funcgate.masking.structured import mask_json
from support.quick import examples

PLAN = compile_rules(
    [RuleSpec(functions=["t.ruled"], detect="all", fields=["**.password"])],
    ["t.ruled"],
    hash_key=b"k" * 32,
    decoded_limit=2000,
)
MASKER = PLAN.masker("t.ruled")
RULES = PLAN._rules["t.ruled"]
LINES = [
    b'["nothing", 1, null]', b'["write to ada@example.com"]', b'{"a":{"password":"x"}}', b"[]", b'["\\u0061da@example.com"]',
    b'["4111 1111 1111 1111", "123-45-6789"]', b'"4111"', b"1111", b'["\xc3\xa4"]', b"", b'\x1e["bob@example.com"]', b"[4.1e5]",
]  # fmt: skip


def by_itself(line: bytes) -> bytes:
    mark = line[:1] if line.startswith(b"\x1e") else b""
    return mark + mask_json(line[len(mark) :], RULES, {}) if line.strip() else line


def reply(body: bytes | None, stream: AsyncIterator[bytes] | None = None) -> Reply:
    return Reply(status=200, headers=[], media="application/x-ndjson", body=body, stream=stream)


def whole(body: bytes) -> bytes | None:
    return MASKER.mask_reply(reply(body), NO_LEASE).reply.body


async def streamed(pieces: Sequence[bytes]) -> list[bytes]:
    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    masked = MASKER.mask_reply(reply(None, stream()), NO_LEASE)
    assert masked.reply.stream is not None
    return [piece async for piece in masked.reply.stream]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_many_are_masked_as_each_would_be(end: bytes) -> None:
    for first in range(len(LINES)):
        for count in range(1, 8):
            lines = [LINES[(first + at * 5) % len(LINES)] for at in range(count)]
            assert whole(b"\n".join(lines) + end) == b"\n".join(map(by_itself, lines)) + end


VALUES = [
    "ada@example.com", "write to ada@example.com", "4111 1111 1111 1111", "4111111111111111", 4111111111111111, 4111, 1111.5,
    "123-45-6789", "+1 (202) 555-0143", "10.0.0.1", "1234567", " ", "x", "-----BEGIN PRIVATE KEY-----", "http://u:pw@h/", None,
    True, "\u00a0", "a\\b",
]  # fmt: skip
LEAVES = st.sampled_from(VALUES)
ROWS = st.lists(LEAVES, max_size=4) | st.dictionaries(st.sampled_from(["a", "b@example.com", "c"]), LEAVES, max_size=3)


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=6), st.booleans())
def test_rows_are_masked_as_each_would_be(rows: list[object], ended: bool) -> None:
    lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() for row in rows]
    counts: dict[str, int] = {}
    wanted: dict[str, int] = {}
    end = b"\n" if ended else b""
    masked = mask_lines(b"\n".join(lines) + end, RULES, counts, lambda _: None)
    assert masked == b"\n".join([mask_json(line, RULES, wanted) for line in lines]) + end
    assert counts == wanted


def test_numbers_on_two_lines_are_two() -> None:
    for text in (b"4111 \n 1111 1111 1111\n", b"[1]\n4111\n1111\n", b"4111\n[1111]\n"):
        assert mask_lines(text, RULES, {}, lambda _: None) == text


def test_where_a_stream_is_cut_does_not_matter() -> None:
    body = b"\n".join(LINES) + b"\n"
    expected = whole(body)
    for at in range(1, len(body)):
        assert b"".join(asyncio.run(streamed([body[:at], body[at:]]))) == expected
    assert b"".join(asyncio.run(streamed([body[at : at + 1] for at in range(len(body))]))) == expected


def test_lines_leave_when_they_are_whole() -> None:
    async def first() -> bytes:
        never = asyncio.Event()

        async def stream() -> AsyncIterator[bytes]:
            yield b'["ada@example.com"]\n["bo'
            await never.wait()

        masked = MASKER.mask_reply(reply(None, stream()), NO_LEASE)
        assert masked.reply.stream is not None
        return await asyncio.wait_for(anext(aiter(masked.reply.stream)), 5)

    assert not MASKER.collecting(reply(None))
    assert asyncio.run(first()) == b'["[REDACTED:email]"]\n'


def test_what_needs_no_change_is_the_very_same_object() -> None:
    body = b'["nothing", 1]\n' * 50
    assert whole(body) is body


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        (b"[1]\n[2]", True), (b"[1]\n[2]\n", True), (b"[1] [2]\n", False), (b"[1\n]\n", False), (b"[1] [2]\n[3\n]\n", False),
        (b"[1]\n\n[2]\n", False), (b"[1]\r\n[2]\n", False), (b"[1]\n[2", False), (b'["\xff"]\n', False), (b"", False),
        (b"[1]\n" + b"[" * 512 + b"]" * 512, True), (b"[1]\n" + b"[" * 513 + b"]" * 513 + b"\n", False),
    ],
)  # fmt: skip
def test_what_counts_as_lines(text: bytes, sound: bool) -> None:
    assert are_lines(text) is sound


@pytest.mark.parametrize("body", [b'["fine"]\n["a"] ["b"]\n', b'["fine"]\n["a"\n]\n', b"[1]\n{\n", b'[1]\n["\xff"]\n'])
def test_what_is_not_json_line_by_line_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        whole(body)
    assert refused.value.code is Code.MASKING_REFUSED
    with pytest.raises(Refused):
        asyncio.run(streamed([body]))


def test_a_line_without_end_is_not_collected_without_end() -> None:
    with pytest.raises(Refused):
        asyncio.run(streamed([b'["' + b"x" * 900] * 3))
