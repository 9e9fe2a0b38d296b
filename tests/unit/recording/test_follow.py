"""The next durable lines of a growing journal: in order, none twice, none left out, a limited number at a time."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from funcgate.core.entry import Entry, Kind, encode_line
from funcgate.recording.archive.archivist import Archivist
from funcgate.recording.folder import lines
from funcgate.recording.follow import Follow, Recent
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


def test_what_one_has_read_another_need_not(folder: Path) -> None:
    write(folder, *range(1, 21))
    recent = Recent()
    first, second, late = (Follow(folder, after, recent=recent) for after in (0, 0, 7))
    assert [line.seq for line in first.read(10)] == list(range(1, 11))
    assert [line.seq for line in first.read(15)] == list(range(11, 16))
    for file in folder.iterdir():
        file.unlink()  # whoever reads now finds nothing
    assert [line.seq for line in second.read(4)] == [1, 2, 3, 4]
    assert [line.seq for line in second.read(20, max_lines=3)] == [5, 6, 7]
    assert [line.seq for line in second.read(20)] == [8, 9, 10]
    assert [line.seq for line in second.read(20)] == [11, 12, 13, 14, 15]
    assert [line.seq for line in late.read(9)] == [8, 9]
    assert second.read(20) == []
    recent.forget()
    assert late.read(20) == []


def test_what_is_shared_is_limited(folder: Path) -> None:
    write(folder, *range(1, 101))
    recent = Recent()
    follow = Follow(folder, recent=recent)
    for up_to in range(1, 101):
        follow.read(up_to)
    assert recent.after(0, 100, 10) == []
    assert [line.seq for line in recent.after(90, 100, 10)] == [91]
    assert recent.after(200, 300, 10) == []


def test_shared_or_not_none_is_left_out(folder: Path) -> None:
    recent, dice = Recent(), random.Random(1)
    several = [Follow(folder, recent=recent) for _ in range(4)]
    seen: list[list[int]] = [[] for _ in several]
    written = 0
    for _ in range(300):
        more = dice.randint(0, 9)
        write(folder, *range(written + 1, written + more + 1))
        written += more
        which = dice.randrange(4)
        found = several[which].read(dice.randint(0, written), max_lines=dice.randint(1, 12))
        seen[which] += [line.seq for line in found]
    for follow, numbers in zip(several, seen, strict=True):
        while found := follow.read(written):
            numbers += [line.seq for line in found]
        assert numbers == list(range(1, written + 1))
