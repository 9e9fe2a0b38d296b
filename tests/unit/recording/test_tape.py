"""What is kept of an answer, and how arguments become a line of JSON."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from funcgate.core.call import Call, Shared
from funcgate.core.entry import Drawn, Entry, Kind, decode_line, encode_line, whole
from funcgate.core.nesting import MAX_LEVELS
from funcgate.core.principal import make_principal
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.masking import RuleSpec, compile_rules
from funcgate.recording.calls import CallRecord, record_of
from funcgate.recording.entries import ended
from funcgate.recording.tape import Tape, encode_args, masked_args
from funcgate.stores.memory import MemoryJournal


class Masked:
    def __init__(self, reply: Reply, json: bool = False) -> None:
        self.reply = reply
        self.counts: dict[str, int] = {}
        self.json = json


CALL = Call(
    id="c1", target="shop", function="", args={}, principal=make_principal("corp", "ada", frozenset(), {}, "t", 0.0),
    session="", digest="", received_at=0.0,
)  # fmt: skip


def lines_of(*entries: Entry | Drawn) -> list[Entry]:
    """The entries as they are read back from their lines, so that a broken line cannot pass."""
    lines = [encode_line(whole(entry)) for entry in entries]
    for line in lines:
        assert line.count(b"\n") == 1
        json.loads(line)  # every line is JSON, whatever the target said
    return [decode_line(line) for line in lines]


def recorded(body: bytes, media: str, limit: int = 200_000, *, known: bool = False) -> Entry:
    """The entry of a whole body."""
    journal = MemoryJournal()
    tape = Tape(Masked(Reply(status=200, headers=[], media=media, body=body), known), limit, CALL, journal.append)
    assert tape.size == len(body)
    (entry,) = lines_of(tape.chunk())
    assert (entry.status, entry.body_bytes, entry.piece) == (200, len(body), 0)
    return entry


class Streamed:
    """One streamed reply played through a tape: what passed, what was in the journal by then, how it ended."""

    def __init__(self, *pieces: bytes | Exception, media: str = "text/plain", limit: int = 1000) -> None:
        self.pieces = pieces
        self.journal = MemoryJournal()
        self.passed: list[bytes] = []
        self.closed = 0
        self.refused: Refused | None = None
        self.reply = Reply(status=206, headers=[], media=media, stream=self._stream())
        self.masked = Masked(self.reply)
        self.tape = Tape(self.masked, limit, CALL, self.journal.append)

    async def _stream(self) -> AsyncIterator[bytes]:
        try:
            for number, piece in enumerate(self.pieces):
                if isinstance(piece, Exception):
                    raise piece
                self.masked.counts["credential"] = number // 2
                yield piece
        finally:
            self.closed += 1

    async def play(self, up_to: int = 1000) -> "Streamed":
        stream: Any = self.reply.stream
        try:
            for _ in range(up_to):
                self.passed.append(await anext(stream))
                assert len(self.journal.lines) == len([one for one in self.passed if one])
        except StopAsyncIteration:
            pass
        except Refused as refused:
            self.refused = refused
        await stream.aclose()
        return self

    def ended(self) -> Entry:
        tape = self.tape
        counts = tape.masked.counts
        return whole(
            ended("c1", None, "", None, "", Outcome.COMPLETE, "", {}, tape.reply.status, counts, tape.recorded)
        )

    def record(self) -> CallRecord:
        return record_of([*self.journal.entries, self.ended()])


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
        (b"[" * MAX_LEVELS + b"]" * MAX_LEVELS, b"[" * MAX_LEVELS + b"]" * MAX_LEVELS),
    ],
)
def test_json_is_kept_as_json(body: bytes, kept: bytes, known: bool) -> None:
    entry = recorded(body, "application/json", known=known)
    assert (shown(entry), entry.media) == (kept, "")


@pytest.mark.parametrize(
    "body",
    [
        b'1,"kind":"allowed"', b'{"a":1}}', b'{"a":', b'"a"\n,"kind":"allowed","x":"', b'{"a":"\n"}', b"nul", b"{} {}",
        b'{"a":\x00}', b'{"a":1}\x00', b"[" * 50_000 + b"]" * 50_000,
        b"[" * (MAX_LEVELS + 1) + b"]" * (MAX_LEVELS + 1),
    ],
)  # fmt: skip
def test_what_only_says_that_it_is_json_is_kept_as_text(body: bytes) -> None:
    entry = recorded(body, "application/json")
    assert (shown(entry), entry.media) == (body.decode(), "application/json")
    assert entry.kind is Kind.CHUNK
    assert entry.call == "c1"


@pytest.mark.parametrize("known", [False, True])
def test_json_that_is_not_utf_8_is_kept_with_escapes(known: bool) -> None:
    assert shown(recorded(b'{"a":"\xff"}', "application/problem+json", known=known)) == '{"a":"\\xff"}'


@pytest.mark.parametrize(
    ("body", "media", "kept"),
    [
        (b"hello\nworld", "text/plain", "hello\nworld"),
        (b"caf\xe9", "text/plain", "caf\\xe9"),
        (b"<a>\xe9</a>", "application/xml", "<a>\\xe9</a>"),
        (b"\x89PNG\xff", "image/png", "data:image/png;base64," + base64.b64encode(b"\x89PNG\xff").decode()),
        (b"plain all the same", "application/octet-stream", "plain all the same"),
        (b'data: {"a":1}\n\n', "text/event-stream", 'data: {"a":1}\n\n'),
        (
            b"data:;base64,QUJD",
            "text/plain",
            "data:text/plain;base64," + base64.b64encode(b"data:;base64,QUJD").decode(),
        ),
    ],
)
def test_other_bodies(body: bytes, media: str, kept: str) -> None:
    entry = recorded(body, media)
    assert (shown(entry), entry.media) == (kept, media)


@pytest.mark.parametrize("body", [None, b""])
def test_no_body_needs_no_entry(body: bytes | None) -> None:
    tape = Tape(Masked(Reply(status=204, headers=[], body=body)), 10, CALL, MemoryJournal().append)
    assert tape.size == 0


@pytest.mark.parametrize("limit", range(12))
def test_a_body_that_is_too_large_is_refused_whole(limit: int) -> None:
    body = b"0123456789"
    tape = Tape(
        Masked(Reply(status=200, headers=[], media="text/plain", body=body)), limit, CALL, MemoryJournal().append
    )
    if limit >= len(body):
        assert whole(tape.chunk()).body == body.decode()
        return
    with pytest.raises(Refused) as refused:
        tape.chunk()
    assert (refused.value.code, refused.value.status) == (Code.JOURNAL_TOO_LARGE, 502)
    assert tape.recorded == 0


def test_each_piece_of_a_stream_is_in_the_journal_before_it_passes() -> None:
    streamed = asyncio.run(Streamed(b"abc", b"", b"def", b"ghi", b"j").play())
    assert streamed.passed == [b"abc", b"", b"def", b"ghi", b"j"]
    entries = streamed.journal.entries
    assert [(entry.piece, entry.body, entry.body_bytes) for entry in entries] == [
        (1, "abc", 3), (2, "def", 3), (3, "ghi", 3), (4, "j", 1),
    ]  # fmt: skip
    assert [(entry.status, entry.media) for entry in entries] == [(206, "text/plain"), (0, ""), (0, ""), (0, "")]
    assert [dict(entry.masked) for entry in entries] == [{}, {"credential": 1}, {}, {"credential": 1}]
    assert (streamed.ended().body_bytes, dict(streamed.ended().masked)) == (10, {"credential": 2})
    assert (streamed.record().body, streamed.record().body_bytes) == ("abcdefghij", 10)


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 5, 6, 9, 10])
def test_a_stream_that_grows_too_large_is_cut_and_all_that_passed_is_recorded(limit: int) -> None:
    streamed = asyncio.run(Streamed(b"abc", b"def", b"ghi", b"j", limit=limit).play())
    assert sum(map(len, streamed.passed)) <= limit
    assert "".join(str(entry.body) for entry in streamed.journal.entries) == b"".join(streamed.passed).decode()
    assert (streamed.refused is None) == (limit >= 10)
    assert streamed.refused is None or streamed.refused.code is Code.JOURNAL_TOO_LARGE
    assert streamed.tape.begun == (limit >= 3)
    assert streamed.closed == (1 if streamed.passed or streamed.refused else 0)


def test_a_stream_of_too_many_pieces_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcgate.recording.tape.MAX_PIECES", 3)
    streamed = asyncio.run(Streamed(*[b"x"] * 5).play())
    assert streamed.passed == [b"x"] * 3
    assert streamed.refused is not None
    assert streamed.refused.code is Code.JOURNAL_TOO_LARGE


def test_a_piece_that_cannot_be_recorded_does_not_pass() -> None:
    streamed = Streamed(b"one", b"two")
    streamed.journal.fail()
    asyncio.run(streamed.play())
    assert (streamed.passed, streamed.closed, streamed.tape.begun) == ([], 1, False)
    assert streamed.refused is not None
    assert streamed.refused.code is Code.JOURNAL_UNAVAILABLE


def test_a_stream_that_fails_or_is_left_keeps_what_passed_and_is_closed() -> None:
    left = asyncio.run(Streamed(b"one", b"two").play(up_to=1))
    failed = asyncio.run(Streamed(b"one", b"two", Refused(Code.TARGET_UNREACHABLE)).play())
    assert (left.record().body, left.closed) == ("one", 1)
    assert (failed.record().body, failed.closed) == ("onetwo", 1)


@pytest.mark.parametrize(
    ("body", "media", "joined"),
    [
        ('{"a":[1,2], "name":"Zoë €𝄞"}'.encode(), "application/json", '{"a":[1,2], "name":"Zoë €𝄞"}'.encode()),
        ("aé€𝄞z".encode(), "text/plain", "aé€𝄞z"),
        (b"caf\xe9 data: x", "text/plain", "caf\\xe9 data: x"),
        (b"\x89PNG\xff\x00", "image/png", "data:image/png;base64," + base64.b64encode(b"\x89PNG\xff\x00").decode()),
        (b"data:;base64,QUJD", "application/json", "data:application/json;base64,ZGF0YTo7YmFzZTY0LFFVSkQ="),
    ],
)  # fmt: skip
def test_pieces_are_put_together_however_they_were_cut(body: bytes, media: str, joined: str | bytes) -> None:
    for first in range(len(body) + 1):
        for second in range(first, len(body) + 1):
            cuts = (body[:first], body[first:second], body[second:])
            record = asyncio.run(Streamed(*cuts, media=media).play()).record()
            assert shown(record) == joined  # type: ignore[arg-type]
            assert not record.body_cut


def test_a_piece_that_is_not_here_is_not_passed_over_in_silence() -> None:
    streamed = asyncio.run(Streamed(b'{"a":', b"1", b"}", media="application/json").play())
    entries = streamed.journal.entries
    entries[1].body = None
    record = record_of(entries)
    assert (record.body, record.body_cut, record.body_bytes) == ('{"a":}', True, 7)


def test_the_reply_is_the_masked_one_so_that_its_outcome_is_seen() -> None:
    masked = Masked(Reply(status=200, headers=[], body=b"x"))
    assert Tape(masked, 10, CALL, MemoryJournal().append).reply is masked.reply


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
        assert isinstance(msgspec.json.decode(encoded, type=dict[str, msgspec.Raw]), dict)
        assert len(MASKED_ARGS.mask_args(encoded)) < 10_000  # what is too deep is not written
    while deep:
        deep = deep[0]


MASKED_ARGS = compile_rules(
    [RuleSpec(functions=["t.f"], detect="all", fields=["**.password", "own.note"])], ["t.f"], hash_key=b"k" * 32
).masker("t.f")


@pytest.mark.parametrize(
    "shared", [{}, {"mail": "ada@example.com"}, {"a": {"password": "x"}, "b": [1, "4111111111111111"]}]
)
@pytest.mark.parametrize("own", [{}, {"own": {"note": "x"}}, {"sql": "SELECT 'bob@example.com'", "password": 1}])
def test_arguments_that_calls_share_are_masked_as_the_whole_would_be(
    shared: dict[str, Any], own: dict[str, Any]
) -> None:
    who = make_principal("corp", "ada", frozenset(), {}, "t" * 16, 0.0)
    common = Shared(shared)
    for _ in range(2):
        call = Call(
            id="c", target="t", function="t.f", args={**shared, **own}, principal=who, session="s", digest="", received_at=0.0,
            shared=common, own=own,
        )  # fmt: skip
        assert masked_args(MASKED_ARGS, call) == MASKED_ARGS.mask_args(encode_args({**shared, **own}))


def test_a_large_piece_of_lines_is_several_entries_that_become_durable_together() -> None:
    batches: list[tuple[Entry, ...]] = []

    async def append(*entries: Entry) -> None:
        batches.append(entries)

    lines = b"".join(b'["%d", "%s"]\n' % (at, b"x" * (at * 37 % 300)) for at in range(2000)) + b"y" * 60_000 + b"\n"
    other = b"z" * 100_000

    async def stream() -> AsyncIterator[bytes]:
        yield lines
        yield other

    masked = Masked(Reply(status=200, headers=[], media="application/x-ndjson", stream=stream()))
    tape = Tape(masked, 1 << 20, CALL, append)

    async def read() -> list[bytes]:
        assert tape.reply.stream is not None
        return [piece async for piece in tape.reply.stream]

    assert asyncio.run(read()) == [lines, other]
    first, second = batches
    assert [entry.piece for entry in (*first, *second)] == list(range(1, len(first) + 2))
    assert len(first) > 4
    assert "".join(str(entry.body) for entry in first).encode() == lines
    assert all(str(entry.body).endswith("\n") for entry in first)
    assert sorted(entry.body_bytes for entry in first)[-2] <= 48 << 10 < max(entry.body_bytes for entry in first)
