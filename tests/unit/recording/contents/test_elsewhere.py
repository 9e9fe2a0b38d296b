"""Content that goes to another folder, on its way to the journal: announced first, in order, within limits."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import Raw

from funcgate.core.entry import Entry, Kind
from funcgate.core.refusal import Code, Refused
from funcgate.recording.contents import Contents, ContentStore, Opener
from funcgate.recording.contents.elsewhere import Depot, Elsewhere
from funcgate.recording.contents.places import MARK, Places
from funcgate.stores.memory import MemoryJournal
from support.leased import leased

Make = Callable[..., Entry]
Work = Callable[[Contents, MemoryJournal], Awaitable[None]]


@pytest.fixture
def east(tmp_path: Path) -> Path:
    (tmp_path / "east").mkdir()
    return tmp_path / "east"


@pytest.fixture
def play(tmp_path: Path, east: Path) -> Callable[..., MemoryJournal]:
    """`work` with a `Contents` that sends content of ``shop`` to the folder."""
    (tmp_path / "data").mkdir()

    def play(work: Work, key: bytes | None = None) -> MemoryJournal:
        async def run() -> MemoryJournal:
            inner = MemoryJournal()
            contents = Contents(inner, tmp_path / "data", key=key, elsewhere_limit_s=1.0)
            contents.elsewhere.use({"shop": east})
            await work(contents, inner)
            await contents.close()
            return inner

        return asyncio.run(run())

    return play


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_place_is_announced_before_its_first_line(
    play: Callable[..., MemoryJournal], tmp_path: Path, key: bytes, arrived: Make, chunk: Make, encrypted: bool
) -> None:
    async def work(contents: Contents, inner: MemoryJournal) -> None:
        await contents.append(arrived(), Entry(kind=Kind.ALLOWED, call="c1", function="shop.buy"))
        await contents.append(chunk(Raw(b'{"b":1}'), fields=(("a", "b"),)))
        contents.note(Entry(kind=Kind.ENDED, call="c1", function="shop.buy", outcome="complete"))

    used = key if encrypted else None
    first, *entries = play(work, used).entries
    assert (first.kind, first.change["what"], first.change["folder"]) == ("admin", "place", str(tmp_path / "east"))
    assert [entry.kind for entry in entries] == ["arrived", "allowed", "chunk", "ended"]
    assert [entry.where for entry in entries] == [first.change["place"], "", first.change["place"], ""]
    opened = [Opener(tmp_path / "data", used).look(entry) for entry in entries]
    assert [one.lost for one in opened] == [()] * 4
    assert bytes(opened[0].entry.args or b"") == b'{"a":1}'
    assert (bytes(opened[2].entry.body), opened[2].entry.fields) == (b'{"b":1}', (("a", "b"),))  # type: ignore[arg-type]
    assert list(ContentStore(tmp_path / "data").digests()) == []


def test_the_same_content_twice_has_two_digests(play: Callable[..., MemoryJournal], chunk: Make) -> None:
    """Attack: read the digest where the line lies, and try out which content has it."""

    async def work(contents: Contents, inner: MemoryJournal) -> None:
        for call in ("c1", "c2"):
            await contents.append(chunk("the same", call=call))

    assert len({entry.object for entry in play(work).entries if entry.object}) == 2


def test_others_pass_at_once_and_do_not_wait_for_it(
    play: Callable[..., MemoryJournal], east: Path, arrived: Make, chunk: Make
) -> None:
    async def work(contents: Contents, inner: MemoryJournal) -> None:
        await contents.append(arrived())
        with leased(east / MARK):
            waiting = asyncio.ensure_future(contents.append(chunk("x")))
            await asyncio.sleep(0)
            before = len(inner.lines)
            done = contents.append(arrived("c2", target="bank", function="bank.pay"))
            assert len(inner.lines) == before + 1  # before it is awaited
            await done
            with pytest.raises(Refused) as refused:
                await waiting
            assert refused.value.code is Code.JOURNAL_UNAVAILABLE
            assert "does not answer within 1 s" in refused.value.private_detail
            assert "does not answer" in contents.elsewhere.troubles()[0]

    assert [entry.call for entry in play(work).entries] == ["", "c1", "c2"]


def test_what_waits_for_it_is_bounded(tmp_path: Path, east: Path, chunk: Make) -> None:
    async def run() -> None:
        inner = MemoryJournal()
        (tmp_path / "data").mkdir()
        elsewhere = Elsewhere(tmp_path / "data", inner.append, max_waiting_bytes=5000)
        elsewhere.use({"shop": east})
        await elsewhere.ready()
        assert elsewhere.troubles() == []
        depot = elsewhere.by_target["shop"]
        laid = [depot.lay(chunk("x" * 1000, call=f"c{number}"), None) for number in range(6)]
        ended = await asyncio.gather(*laid, return_exceptions=True)
        refused = [one for one in ended if isinstance(one, Refused)]
        assert {one.code for one in refused} == {Code.JOURNAL_OVERLOADED}
        assert len(refused) == 4
        await depot.lay(chunk("y" * 9000), None)  # alone, however large
        elsewhere.close()

    asyncio.run(run())


def test_without_the_announcement_nothing_is_written_there(tmp_path: Path, east: Path, chunk: Make) -> None:
    async def run() -> None:
        inner = MemoryJournal()
        inner.fail("full")
        (tmp_path / "data").mkdir()
        depot = Depot(east, Places(tmp_path / "data"), inner.append, 10.0, 1 << 20)
        entry = chunk("x")
        for _ in range(2):
            with pytest.raises(Refused):
                await depot.lay(entry, None)
        assert (entry.body, entry.where) == ("x", "")
        assert list(ContentStore(east).digests()) == []
        depot.close()

    asyncio.run(run())
