"""What goes to the journal by way of `Contents`: objects and keys first, in order, or not at all."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from funcgate.core.entry import Entry, Kind, Who
from funcgate.core.refusal import Code, Refused
from funcgate.recording.contents import Contents, ContentStore, KeyStore, Opener
from funcgate.stores.memory import MemoryJournal

Make = Callable[..., Entry]
LARGE = "x" * 2000


def ended(call: str = "c1") -> Entry:
    return Entry(kind=Kind.ENDED, call=call, session="s1", function="shop.buy", outcome="cancelled")


def play(folder: Path, work: Callable[[Contents, MemoryJournal], Awaitable[Any]], **options: Any) -> MemoryJournal:
    async def run() -> MemoryJournal:
        inner = MemoryJournal()
        contents = Contents(inner, folder, **{"inline_bytes": 1000, **options})
        await work(contents, inner)
        await contents.close()
        return inner

    return asyncio.run(run())


def test_small_entries_pass_at_once_and_leave_no_trace(tmp_path: Path, arrived: Make, chunk: Make) -> None:
    async def work(contents: Contents, inner: MemoryJournal) -> None:
        waiting = contents.append(arrived(), chunk("small"))
        assert len(inner.lines) == 2  # before it is awaited: nothing stands between
        await waiting
        contents.note(ended())
        assert len(inner.lines) == 3

    play(tmp_path, work)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("size", [999, 1000, 1001])
def test_what_is_larger_than_inline_becomes_an_object(tmp_path: Path, chunk: Make, arrived: Make, size: int) -> None:
    args = b'{"a":"%b"}' % (b"a" * (size - 8))

    async def work(contents: Contents, inner: MemoryJournal) -> None:
        await contents.append(arrived(args=args))
        await contents.append(chunk("t" * size))
        await contents.append(chunk(Raw(b"[%b]" % (b"1" * (size - 2)))))

    entries = play(tmp_path, work).entries
    assert [bool(entry.object or entry.args_object) for entry in entries] == [size > 1000] * 3
    assert all((entry.args is None and entry.body is None) == (size > 1000) for entry in entries)
    opened = [Opener(tmp_path).open(entry) for entry in entries]
    assert bytes(opened[0].args or b"") == args
    assert opened[1].body == "t" * size
    assert isinstance(opened[2].body, Raw)
    assert bytes(opened[2].body) == b"[%b]" % (b"1" * (size - 2))


def test_an_object_is_there_before_its_line(tmp_path: Path, chunk: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, real = threading.Event(), ContentStore.write

    def slow(store: ContentStore, data: bytes) -> str:
        gate.wait(60)
        return real(store, data)

    monkeypatch.setattr(ContentStore, "write", slow)

    async def work(contents: Contents, inner: MemoryJournal) -> None:
        waiting = asyncio.ensure_future(contents.append(chunk(LARGE)))
        await asyncio.sleep(0.05)
        await contents.append(chunk("of another call", call="c2"))  # is not held up
        assert [entry.call for entry in inner.entries] == ["c2"]
        gate.set()
        await waiting
        assert [entry.call for entry in inner.entries] == ["c2", "c1"]

    play(tmp_path, work)


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_order_of_a_call_is_kept_whatever_has_to_wait(
    tmp_path: Path, key: bytes, arrived: Make, chunk: Make, encrypted: bool
) -> None:
    async def work(contents: Contents, inner: MemoryJournal) -> None:
        first = contents.append(arrived(args=b'"%b"' % LARGE.encode()), Entry(kind=Kind.ALLOWED, call="c1"))
        second = contents.append(chunk("small"))
        contents.note(ended())
        assert inner.lines == []
        await first
        await second

    inner = play(tmp_path, work, key=key if encrypted else None)
    assert [entry.kind for entry in inner.entries] == ["arrived", "allowed", "chunk", "ended"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_caller_that_goes_away_meanwhile_leaves_both_ends_or_neither(
    tmp_path: Path, arrived: Make, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """P2: the arrival is still being written when its end is noted."""
    if fails:
        monkeypatch.setattr(ContentStore, "write", broken)

    async def work(contents: Contents, inner: MemoryJournal) -> None:
        waiting = asyncio.ensure_future(contents.append(arrived(args=b'"%b"' % LARGE.encode())))
        await asyncio.sleep(0)
        waiting.cancel()
        contents.note(ended())
        with pytest.raises(asyncio.CancelledError):
            await waiting

    inner = play(tmp_path, work)
    assert [entry.kind for entry in inner.entries] == ([] if fails else ["arrived", "ended"])


def test_an_answer_that_fails_after_its_caller_went_still_leaves_the_end(
    tmp_path: Path, arrived: Make, chunk: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ContentStore, "write", broken)

    async def work(contents: Contents, inner: MemoryJournal) -> None:
        await contents.append(arrived())
        waiting = asyncio.ensure_future(contents.append(chunk(LARGE)))
        await asyncio.sleep(0)
        waiting.cancel()
        contents.note(ended())

    assert [entry.kind for entry in play(tmp_path, work).entries] == ["arrived", "ended"]


def broken(*given: Any) -> str:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("encrypted", [False, True])
def test_content_that_cannot_be_stored_is_refused_and_has_no_line(
    tmp_path: Path, key: bytes, chunk: Make, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    async def work(contents: Contents, inner: MemoryJournal) -> None:
        monkeypatch.setattr(ContentStore, "write", broken)
        with pytest.raises(Refused) as refused:
            await contents.append(chunk(LARGE))
        assert (refused.value.code, refused.value.status) == (Code.JOURNAL_UNAVAILABLE, 503)
        assert "ENOSPC" in refused.value.private_detail
        monkeypatch.undo()
        assert inner.lines == []
        await contents.append(chunk(LARGE))

    (entry,) = play(tmp_path, work, key=key if encrypted else None).entries
    assert Opener(tmp_path, key if encrypted else None).open(entry).body == LARGE


def test_without_a_key_that_can_be_stored_nothing_is_written_in_the_clear(
    tmp_path: Path, key: bytes, arrived: Make, chunk: Make
) -> None:
    (tmp_path / "keys").write_text("a file where the folder should be")

    async def work(contents: Contents, inner: MemoryJournal) -> None:
        for entry in (arrived(), chunk("small")):
            with pytest.raises(Refused) as refused:
                await contents.append(entry)
            assert refused.value.code is Code.JOURNAL_UNAVAILABLE
        contents.note(Entry(kind=Kind.DENIED, call="c9", detail="of somebody", count=3, code="identity.invalid"))

    (entry,) = play(tmp_path, work, key=key).entries
    assert (entry.call, entry.count, entry.detail, entry.sealed) == ("c9", 3, "", None)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_refusal_is_recorded_even_if_its_content_cannot_be_stored(
    tmp_path: Path, key: bytes, arrived: Make, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    """Without it then, and where it would have to be encrypted without all that would be."""

    async def work(contents: Contents, inner: MemoryJournal) -> None:
        monkeypatch.setattr(ContentStore, "write", broken)
        denied = Entry(kind=Kind.DENIED, call="c1", code="policy.denied", detail="confidential")
        await contents.append(arrived(args=b'"%b"' % LARGE.encode()), denied)
        monkeypatch.undo()

    first, second = play(tmp_path, work, key=key if encrypted else None).entries
    assert (first.kind, first.args, first.args_object) == (Kind.ARRIVED, None, "")
    assert (first.principal is None, first.sealed) == (encrypted, None)
    assert (second.kind, second.code) == (Kind.DENIED, "policy.denied")
    assert "confidential" not in second.detail if encrypted else second.detail == "confidential"


def test_the_reserve_of_the_disk_is_not_for_objects(tmp_path: Path, chunk: Make) -> None:
    async def work(contents: Contents, inner: MemoryJournal) -> None:
        await contents.append(chunk("small"))
        with pytest.raises(Refused) as refused:
            await contents.append(chunk(LARGE))
        assert refused.value.code is Code.JOURNAL_UNAVAILABLE
        assert "reserved" in refused.value.private_detail

    assert len(play(tmp_path, work, keep_free_bytes=1 << 60).lines) == 1


def test_content_in_flight_is_bounded(tmp_path: Path, chunk: Make) -> None:
    async def work(contents: Contents, inner: MemoryJournal) -> None:
        waiting = [contents.append(chunk(LARGE, call=f"c{number}")) for number in range(6)]
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        refused = [one for one in ended if isinstance(one, Refused)]
        assert {one.code for one in refused} == {Code.JOURNAL_OVERLOADED}
        assert len(inner.lines) == 6 - len(refused) >= 2
        await contents.append(chunk("y" * 9000))  # alone, however large

    play(tmp_path, work, max_in_flight_bytes=4500)


def test_a_journal_that_refuses_is_passed_on(tmp_path: Path, key: bytes, chunk: Make, arrived: Make) -> None:
    async def work(contents: Contents, inner: MemoryJournal) -> None:
        await contents.append(arrived())
        inner.fail("full")
        for body in ("small", LARGE):
            with pytest.raises(Refused) as refused:
                await contents.append(chunk(body))
            assert refused.value.private_detail == "full"

    assert len(play(tmp_path, work, key=key).lines) == 1


def test_nothing_confidential_is_on_the_disk_in_the_clear(
    tmp_path: Path, key: bytes, arrived: Make, chunk: Make
) -> None:
    word = "confidential"

    async def work(contents: Contents, inner: MemoryJournal) -> None:
        args = b'{"a":"%b"}' % word.encode()
        who = Who(word, word, (word,), token=word)
        begun = arrived(args=args, reason=word, client=word, trace=word)
        await contents.append(replace(begun, principal=who))
        await contents.append(chunk(f'"{word}"'))
        await contents.append(chunk(Raw(b'{"%b":"%b"}' % (word.encode(), LARGE.encode()))))
        await contents.append(Entry(kind=Kind.DENIED, call="c1", detail=word))
        (tmp_path / "lines").write_bytes(b"".join(inner.lines))

    inner = play(tmp_path, work, key=key)
    assert [entry.function for entry in inner.entries[:3]] == ["shop.buy"] * 3
    assert all(entry.sealed for entry in inner.entries)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert word.encode() not in data, path


def test_each_session_and_target_has_its_keys(tmp_path: Path, key: bytes, arrived: Make, chunk: Make) -> None:
    async def work(contents: Contents, inner: MemoryJournal) -> None:
        await contents.append(arrived(), Entry(kind=Kind.ALLOWED, call="c1"))
        await contents.append(chunk("x"))  # its function names the target
        await contents.append(arrived("c2", session="s2"))
        await contents.append(arrived("c3", target="bank", function="bank.pay"))
        await contents.append(arrived("c4"))

    entries = play(tmp_path, work, key=key).entries
    used = [(entry.call, entry.sealed.content_key) for entry in entries if entry.sealed]
    names = {info.name: (info.session, info.target, info.cls) for info in KeyStore(tmp_path).list()}
    assert [(call, names[name]) for call, name in used] == [
        ("c1", ("s1", "shop", "content")), ("c1", ("s1", "shop", "content")), ("c2", ("s2", "shop", "content")),
        ("c3", ("s1", "bank", "content")), ("c4", ("s1", "shop", "content")),
    ]  # fmt: skip
    assert len(names) == 6


def test_what_administrators_do_stays_readable(tmp_path: Path, key: bytes) -> None:
    entry = Entry(kind=Kind.ADMIN, call="", detail="held", change={"what": "hold"})

    async def work(contents: Contents, inner: MemoryJournal) -> None:
        await contents.append(replace(entry))

    (written,) = play(tmp_path, work, key=key).entries
    assert (written.detail, written.change, written.sealed) == ("held", {"what": "hold"}, None)
