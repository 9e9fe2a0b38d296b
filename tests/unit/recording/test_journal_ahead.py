"""Zeros written ahead in a thread of C: batches need not wait for them, and the segment changes hands only without them."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from funcgate.core.entry import Entry, Kind
from funcgate.core.native import half
from funcgate.stores.journal_files import FileJournal
from funcgate.stores.journal_files.ahead import PIECE_BYTES
from funcgate.stores.journal_files.segment import AHEAD_BYTES

pytestmark = pytest.mark.skipif(
    half("funcgate.stores.journal_files._native") is None, reason="not built, or FUNCGATE_PURE is set"
)
Make = Callable[..., FileJournal]
Read = Callable[[Path], list[Entry]]
SIZE = 100 << 10


def entry(call: str, size: int = SIZE) -> Entry:
    return Entry(kind=Kind.ARRIVED, call=call, detail="x" * size)


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.001)


async def lent(journal: FileJournal) -> Any:
    """The writer, once the segment is the loop's."""
    await journal.append(entry("first", 1))
    await until(lambda: journal._writer._lent > 0)
    return journal._writer


def by_python(writer: Any) -> list[int]:
    sizes: list[int] = []
    jobs = writer._jobs

    class Counting:
        get, empty = jobs.get, jobs.empty

        def put(self, batch: Any) -> None:
            if batch is not None:
                sizes.append(len(batch.lines))
            jobs.put(batch)

    writer._jobs = Counting()
    return sizes


def target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # it was closed
        return ""


def calls(entries: list[Entry]) -> list[str]:
    return [one.call for one in entries if one.call]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_no_batch_waits_for_zeros(folder: Path, journal_in: Make, entries_of: Read, run: Callable[..., None]) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        writer = await lent(journal)
        handed = by_python(writer)
        for number in range(40):  # four times what the first zeros have room for
            await journal.append(entry(f"c{number}"))
            await until(lambda: writer._segment.ahead_bytes >= AHEAD_BYTES)
        assert handed == []
        end = writer._segment.end
        assert end % PIECE_BYTES == 0
        assert (folder / "00000001.jsonl").stat().st_size == end
        await journal.close()

    run(play())
    assert calls(entries_of(folder)) == ["first", *(f"c{number}" for number in range(40))]
    assert (folder / "00000001.jsonl").read_bytes().endswith(b"}\n")  # the end cuts the zeros off


def test_zeros_that_fail_are_left_to_the_other_thread(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        writer = await lent(journal)
        handed = by_python(writer)
        os.close(writer._segment.second)
        writer._segment.second = os.open(folder / "00000001.jsonl", os.O_RDONLY)
        end = writer._segment.end
        for number in range(30):
            await journal.append(entry(f"c{number}"))
        assert 0 < len(handed) < 10
        assert writer._segment.end > end
        assert journal.status.healthy
        await journal.close()

    asyncio.run(play())
    assert calls(entries_of(folder)) == ["first", *(f"c{number}" for number in range(30))]


def test_the_segment_changes_hands_only_once_no_zeros_are_under_way(
    folder: Path, journal_in: Make, entries_of: Read
) -> None:
    """Attack: have the segment sealed, cut or closed under a write that is under way."""

    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        writer = await lent(journal)
        handed = by_python(writer)
        asyncio.get_running_loop().remove_reader(writer._ahead._pen.report)  # as if the disk took its time for them
        await journal.append(entry("c1"))
        assert writer._ahead.busy
        await journal.append(entry("c2"))  # plain ones go on
        huge = journal.append(entry("huge", 1536 << 10))
        await until(lambda: writer._deferred is not None)
        await asyncio.sleep(0)
        assert (handed, huge.done()) == ([], False)  # type: ignore[attr-defined]
        await until(lambda: bool(writer._ahead._come_back() or not writer._ahead.busy))
        await huge
        assert len(handed) == 1
        await journal.close()

    asyncio.run(play())
    assert calls(entries_of(folder)) == ["first", "c1", "c2", "huge"]


@pytest.mark.parametrize("sync", ["always", "interval"])
def test_segments_end_without_zeros(folder: Path, journal_in: Make, entries_of: Read, sync: str) -> None:
    async def play() -> None:
        journal = journal_in(folder, segment_bytes=3 << 20, sync=sync, every_s=0.001)
        await journal.start()
        await lent(journal)
        for number in range(150):
            await journal.append(entry(f"c{number}"))
            if number % 3 == 0:
                await journal.flush()
        await journal.close()

    asyncio.run(play())
    segments = sorted(folder.glob("*.jsonl"))
    assert len(segments) > 3
    assert all(path.read_bytes().endswith(b"}\n") for path in segments)
    assert not any(b"\0" in path.read_bytes() for path in segments)
    assert not [path for path in map(target, Path("/proc/self/fd").iterdir()) if path.startswith(str(folder))]
    assert calls(entries_of(folder)) == ["first", *(f"c{number}" for number in range(150))]


def test_where_space_is_short_none_are_written(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        writer = await lent(journal)
        writer._room = 2 * AHEAD_BYTES - 1
        end = writer._segment.end
        await journal.append(entry("c1", 1))
        assert not writer._ahead.busy
        assert writer._segment.end == end
        await journal.close()

    asyncio.run(play())
    assert calls(entries_of(folder)) == ["first", "c1"]
