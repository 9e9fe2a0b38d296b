"""What is kept of an answer, and how arguments become a line of JSON."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from funcgate.core.entry import Entry, Kind, decode_line, encode_line
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.recording.tape import Tape, encode_args


class Masked:
    def __init__(self, reply: Reply, json: bool = False) -> None:
        self.reply = reply
        self.counts: dict[str, int] = {}
        self.json = json


def recorded(body: bytes | None, media: str, limit: int = 1000, *, known: bool = False, **more: Any) -> Entry:
    """The entry as it is read back from its line, so that a broken line cannot pass."""
    tape = Tape(Masked(Reply(status=200, headers=[], media=media, body=body, **more), known), limit)
    entry = Entry(kind=Kind.ENDED, call="c1")
    tape.write_into(entry)
    line = encode_line(entry)
    assert line.count(b"\n") == 1
    json.loads(line)  # every line is JSON, whatever the target said
    return decode_line(line)


def shown(entry: Entry) -> Any:
    return entry.body if entry.body is None or isinstance(entry.body, str) else bytes(entry.body)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"a":[1,2]}', b'{"a":[1,2]}'),
        (b'{"a":1}\n', b'{"a":1}'),
        (b'{\n "a": 1,\r\n "b": 2}', b'{  "a": 1,   "b": 2}'),
        ('{"name":"Zoë"}'.encode(), '{"name":"Zoë"}'.encode()),
        (b"123456789012345678901234567890", b"123456789012345678901234567890"),
    ],
)
def test_json_is_kept_as_json(body: bytes, kept: bytes, known: bool) -> None:
    entry = recorded(body, "application/json", known=known)
    assert shown(entry) == kept
    assert (entry.status, entry.body_bytes, entry.body_cut) == (200, len(body), False)


@pytest.mark.parametrize(
    "body",
    [
        b'1,"kind":"allowed"', b'{"a":1}}', b'{"a":', b'"a"\n,"kind":"allowed","x":"', b'{"a":"\n"}', b"nul", b"{} {}",
        b'{"a":\x00}', b'{"a":1}\x00', b"[" * 50_000 + b"]" * 50_000,
    ],
)  # fmt: skip
def test_what_only_says_that_it_is_json_is_kept_as_text(body: bytes) -> None:
    entry = recorded(body, "application/json", limit=200_000)
    assert shown(entry) == body.decode()
    assert entry.kind is Kind.ENDED
    assert entry.call == "c1"


@pytest.mark.parametrize("known", [False, True])
def test_json_that_is_not_utf_8_is_kept_with_escapes(known: bool) -> None:
    assert shown(recorded(b'{"a":"\xff"}', "application/problem+json", known=known)) == '{"a":"\\xff"}'


def test_json_that_masking_knows_but_that_is_cut_is_kept_as_text() -> None:
    entry = recorded(b'{"a":[1,2]}', "application/json", limit=6, known=True)
    assert (shown(entry), entry.body_cut) == ('{"a":[', True)


@pytest.mark.parametrize(
    ("body", "media", "kept"),
    [
        (b"hello\nworld", "text/plain", "hello\nworld"),
        (b"caf\xe9", "text/plain", "caf\\xe9"),
        (b"<a>\xe9</a>", "application/xml", "<a>\\xe9</a>"),
        (b"\x89PNG\xff", "image/png", "data:image/png;base64," + base64.b64encode(b"\x89PNG\xff").decode()),
        (b"plain all the same", "application/octet-stream", "plain all the same"),
    ],
)
def test_other_bodies(body: bytes, media: str, kept: str) -> None:
    assert shown(recorded(body, media)) == kept


@pytest.mark.parametrize("body", [None, b""])
def test_no_body(body: bytes | None) -> None:
    entry = recorded(body, "application/json")
    assert (entry.body, entry.body_bytes, entry.body_cut) == (None, 0, False)


@pytest.mark.parametrize("limit", range(12))
def test_a_long_body_is_cut_and_says_so(limit: int) -> None:
    whole = "aé€𝄞z"  # 1, 2, 3, 4 and 1 bytes
    entry = recorded(whole.encode(), "text/plain", limit)
    assert entry.body_bytes == 11
    assert entry.body_cut is (limit < 11)
    kept = shown(entry) or ""
    assert whole.startswith(kept)
    assert limit - 3 <= len(kept.encode()) <= limit


def test_cut_json_is_text() -> None:
    entry = recorded(b'{"a":[1,2,3]}', "application/json", limit=6)
    assert (shown(entry), entry.body_bytes, entry.body_cut) == ('{"a":[', 13, True)


@pytest.mark.parametrize("limit", [0, 1, 5, 6, 10, 100])
def test_a_stream_passes_unchanged_and_is_kept_up_to_the_limit(limit: int) -> None:
    pieces = [b"abc", b"", b"def", b"ghi", b"j"]

    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def play() -> tuple[list[bytes], Entry]:
        tape = Tape(Masked(Reply(status=206, headers=[], media="text/plain", stream=stream())), limit)
        assert tape.reply.stream is not None
        passed = [piece async for piece in tape.reply.stream]
        entry = Entry(kind=Kind.ENDED, call="c1")
        tape.write_into(entry)
        return passed, entry

    passed, entry = asyncio.run(play())
    assert passed == pieces
    assert (shown(entry) or "") == "abcdefghij"[:limit]
    assert (entry.status, entry.body_bytes, entry.body_cut) == (206, 10, limit < 10)


def test_a_stream_that_fails_or_is_left_keeps_what_passed_and_is_closed() -> None:
    closed = []

    async def stream() -> AsyncIterator[bytes]:
        try:
            yield b"one"
            yield b"two"
            raise Refused(Code.TARGET_UNREACHABLE)
        finally:
            closed.append(True)

    async def play(stop_after: int) -> Entry:
        tape = Tape(Masked(Reply(status=200, headers=[], media="text/plain", stream=stream())), 100)
        source: Any = tape.reply.stream
        try:
            for _ in range(stop_after):
                await anext(source)
        except Refused:
            pass
        await source.aclose()
        entry = Entry(kind=Kind.ENDED, call="c1")
        tape.write_into(entry)
        return entry

    assert shown(asyncio.run(play(1))) == "one"
    assert shown(asyncio.run(play(3))) == "onetwo"
    assert closed == [True, True]


def test_the_reply_is_the_masked_one_so_that_its_outcome_is_seen() -> None:
    masked = Masked(Reply(status=200, headers=[], body=b"x"))
    assert Tape(masked, 10).reply is masked.reply


@pytest.mark.parametrize(
    ("args", "encoded"),
    [
        ({}, b"{}"),
        ({"n": 2**200, "m": -(2**64)}, b'{"n":%d,"m":%d}' % (2**200, -(2**64))),
        ({"a": None, "b": [True, 1.5, "x\ny"]}, b'{"a":null,"b":[true,1.5,"x\\ny"]}'),
        ({"a": float("nan"), "b": [None, float("-inf")]}, b'{"a":"nan","b":[null,"-inf"]}'),
        ({"a": "half \ud800"}, b'{"a":"half \\\\ud800"}'),
        ({"a": object(), "b": 1}, b'{"a":"(object)","b":1}'),
    ],
)
def test_arguments_as_json(args: dict[str, Any], encoded: bytes) -> None:
    assert encode_args(args) == encoded
    msgspec.json.decode(encoded)


def test_arguments_that_json_cannot_hold_never_raise() -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for args in (endless, {"deep": deep}, {"huge": 10**6000}):
        encoded = encode_args(args)
        assert b"\n" not in encoded
        assert isinstance(json.loads(encoded), dict)
    while deep:
        deep = deep[0]
