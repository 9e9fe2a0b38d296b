"""The next durable lines of a growing journal: in order, none twice, none left out, a limited number at a time."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from funcgate.core.entry import Entry, Kind, encode_line
from funcgate.recording.archive.archivist import Archivist
from funcgate.recording.folder import lines
from funcgate.recording.follow import Follow
from funcgate.stores.journal_files import FileJournal


async def grow(journal: FileJournal, count: int) -> int:
    for number in range(count):
        await journal.append(Entry(kind=Kind.DENIED, call=f"c{number}", detail="x" * 1000))
    return journal.durable_seq


def test_beside_a_writer_that_rolls_and_an_archive_that_compresses(
    folder: Path, journal_in: Callable[..., FileJournal]
) -> None:
    async def scenario() -> None:
        journal = journal_in(folder, segment_bytes=64 << 10)
        await journal.start()
        follow = Follow(folder)
        seen: list[int] = []
        for _ in range(20):
            durable = await grow(journal, 25)
            while found := follow.read(durable, max_lines=7):
                assert len(found) <= 7
                seen += [line.seq for line in found]
            assert follow.position == durable
            Archivist(min_free_bytes=0).compress_due(folder, 3)
        await journal.close()
        assert seen == list(range(1, journal.durable_seq + 1))
        assert [line.seq for line in lines(folder)] == seen

    asyncio.run(scenario())
    assert any(path.suffix == ".zst" for path in folder.iterdir())


def write(folder: Path, *seqs: int) -> None:
    folder.mkdir(exist_ok=True)
    made = [encode_line(Entry(seq=seq, at="2026-11-21T00:00:00.000000Z", kind=Kind.DENIED, call="c")) for seq in seqs]
    with (folder / "00000001.jsonl").open("ab") as file:
        file.writelines(made)


def test_no_line_above_the_durable_one(folder: Path) -> None:
    write(folder, 1, 2, 3, 4)
    follow = Follow(folder)
    assert [line.seq for line in follow.read(2)] == [1, 2]
    assert follow.read(2) == []
    assert [line.seq for line in follow.read(3)] == [3]
    assert follow.position == 3


def test_from_where_it_was_left(folder: Path) -> None:
    write(folder, *range(1, 11))
    assert [line.seq for line in Follow(folder, 7).read(10)] == [8, 9, 10]


def test_in_bytes_at_least_one(folder: Path) -> None:
    write(folder, 1, 2, 3)
    follow = Follow(folder)
    size = len(next(lines(folder)).line)
    assert [line.seq for line in follow.read(3, max_bytes=1)] == [1]
    assert [line.seq for line in follow.read(3, max_bytes=2 * size)] == [2, 3]


def test_what_is_not_there_any_more_is_left_out(folder: Path) -> None:
    write(folder, 5, 6)  # the segments before have expired
    follow = Follow(folder)
    assert [line.seq for line in follow.read(6)] == [5, 6]


def test_nothing_new_costs_no_look(folder: Path) -> None:
    write(folder, 1)
    follow = Follow(folder)
    follow.read(1)
    (folder / "00000001.jsonl").unlink()
    folder.rmdir()
    assert follow.read(1) == []
    with pytest.raises(FileNotFoundError):
        follow.read(2)
    assert follow.position == 1
