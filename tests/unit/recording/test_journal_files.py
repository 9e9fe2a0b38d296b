"""The journal in files: segments, batches, limits, the clock, one process only."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from funcgate.core.entry import Entry, Kind, decode_line
from funcgate.core.problem import Unusable
from funcgate.core.refusal import Code, Refused
from funcgate.recording.folder import lines
from funcgate.stores.journal_files import FileJournal, State

Make = Callable[..., FileJournal]
Read = Callable[[Path], list[Entry]]
A, W, D, E = Kind.ARRIVED, Kind.ALLOWED, Kind.DENIED, Kind.ENDED


def entry(kind: Kind, call: str, size: int = 0) -> Entry:
    return Entry(kind=kind, call=call, function="shop.buy", detail="x" * size)


def changes(entries: list[Entry], name: str) -> list[object]:
    return [one.change[name] for one in entries if name in one.change]


def test_segments_roll_under_load_without_a_gap(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder, segment_bytes=64 << 10)
        await journal.start()

        async def caller(name: int) -> None:
            for number in range(40):
                await journal.append(entry(A, f"{name}-{number}", 400), entry(W, f"{name}-{number}"))
                journal.note(entry(E, f"{name}-{number}"))

        await asyncio.gather(*[caller(name) for name in range(16)])
        await journal.close()

    asyncio.run(play())
    segments = sorted(folder.glob("*.jsonl"))
    assert len(segments) > 4
    assert [path.name for path in segments] == [f"{number:08d}.jsonl" for number in range(1, len(segments) + 1)]
    assert [path.stat().st_mode & 0o777 for path in segments] == [0o400] * (len(segments) - 1) + [0o600]
    for path in segments:
        first = decode_line(path.read_bytes().split(b"\n")[0])
        assert first.change["segment"] == int(path.stem)
        assert path.read_bytes().endswith(b"}\n")
    entries = entries_of(folder)
    assert sum(one.kind is E for one in entries) == 640


def test_it_goes_on_where_it_stopped(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play(call: str) -> None:
        journal = journal_in(folder)
        await journal.start()
        await journal.append(entry(A, call))
        journal.note(entry(E, call))
        await journal.close()

    for call in ("c1", "c2", "c3"):
        asyncio.run(play(call))
    assert [one.call for one in entries_of(folder) if one.kind is A] == ["c1", "c2", "c3"]
    assert len(list(folder.glob("*.jsonl"))) == 1


def test_what_is_acknowledged_is_in_the_file_at_that_moment(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        for number in range(20):
            await journal.append(entry(A, f"c{number}"))
            assert f'"call":"c{number}"'.encode() in (folder / "00000001.jsonl").read_bytes()
        await journal.close()

    asyncio.run(play())


def test_the_durable_seq_is_the_last_that_is_on_the_disk(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder, segment_bytes=2 << 10)
        await journal.start()
        for number in range(1, 20):
            waiting = journal.append(entry(A, f"c{number}", 300))
            before = journal.durable_seq
            await waiting
            assert before < journal.durable_seq == [line.seq for line in lines(folder)][-1]
        journal.note(entry(E, "c1"))
        last = journal.durable_seq
        await journal.flush()
        assert journal.durable_seq == last + 1
        await journal.close()
        again = journal_in(folder, segment_bytes=1 << 20)
        await again.start()
        assert again.durable_seq >= last + 1
        await again.close()

    asyncio.run(play())


def test_a_refused_entry_is_never_durable(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        await journal.append(entry(A, "c1"))
        last = journal.durable_seq
        (folder / "00000001.jsonl").unlink()
        with pytest.raises(Refused):
            await journal.append(entry(A, "c2"))
        assert journal.durable_seq == last
        await journal.close()

    asyncio.run(play())


def test_notes_reach_the_disk_by_themselves(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        journal.note(entry(E, "noted"))
        assert journal.depth == 1
        deadline = time.monotonic() + 30
        while journal.depth:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)
        assert b"noted" in (folder / "00000001.jsonl").read_bytes()
        await journal.close()

    asyncio.run(play())


@pytest.mark.parametrize(("callers", "wanted"), [(2, 1), (15, 1), (16, 1), (17, 2), (50, 2)])
def test_one_turn_of_the_loop_is_one_batch_until_enough_wait(
    folder: Path, journal_in: Make, callers: int, wanted: int
) -> None:
    """The first batch goes as soon as 16 wait; those that come while it is under way are the second."""

    async def play() -> int:
        journal = journal_in(folder)
        await journal.start()
        batches = 0
        put = journal._writer.put

        def counting(batch: object) -> None:
            nonlocal batches
            batches += 1
            put(batch)  # type: ignore[arg-type]

        journal._writer.put = counting  # type: ignore[method-assign]
        waiting = [journal.append(entry(A, f"c{number}")) for number in range(callers)]
        await asyncio.gather(*waiting)
        await journal.close()
        return batches

    assert asyncio.run(play()) == wanted


def test_a_loop_that_is_never_idle_lets_the_writer_come_to_its_turn(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder, sync="interval", every_s=0.001)
        await journal.start()
        written = 0
        deadline = time.monotonic() + 20
        while written < 50:
            assert time.monotonic() < deadline
            depth = journal.depth
            for number in range(20):
                await journal.append(entry(A, f"c{number}"))
            await asyncio.sleep(0)
            written += journal.depth < depth + 20
        await journal.close()

    asyncio.run(play())


@pytest.mark.parametrize("callers", [4, 16])
def test_callers_that_come_in_turn_after_turn_share_batches(
    folder: Path, journal_in: Make, entries_of: Read, callers: int
) -> None:
    async def play() -> int:
        journal = journal_in(folder)
        await journal.start()
        handed = journal._writer.put
        batches = 0

        def counting(batch: object) -> None:
            nonlocal batches
            batches += 1
            handed(batch)  # type: ignore[arg-type]

        journal._writer.put = counting  # type: ignore[method-assign]

        async def caller(name: int) -> None:
            for _ in range(name % 3):
                await asyncio.sleep(0)
            await journal.append(entry(A, f"c{name}"))

        await asyncio.gather(*[caller(name) for name in range(callers)])
        await journal.close()
        return batches

    assert asyncio.run(play()) == 1
    assert len([one for one in entries_of(folder) if one.call]) == callers


def test_a_second_process_is_refused(folder: Path, journal_in: Make) -> None:
    script = (
        "import asyncio, sys, pathlib\n"
        "from funcgate.core.problem import Unusable\n"
        "from funcgate.stores.journal_files import FileJournal\n"
        "try: asyncio.run(FileJournal(pathlib.Path(sys.argv[1])).start())\n"
        "except Unusable as unusable: print(unusable.problems[0].text); sys.exit(7)\n"
    )

    async def play() -> subprocess.CompletedProcess[str]:
        journal = journal_in(folder)
        await journal.start()
        await journal.append(entry(A, "c1"))
        before = (folder / "00000001.jsonl").read_bytes().rstrip(b"\0")
        command = [sys.executable, "-c", script, str(folder)]
        second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
        assert (folder / "00000001.jsonl").read_bytes().rstrip(b"\0") == before
        await journal.append(entry(E, "c1"))
        await journal.close()
        return second

    second = asyncio.run(play())
    assert second.returncode == 7, second.stderr
    assert f"in use by process {os.getpid()}" in second.stdout


def test_foreign_files_are_left_alone_and_reported(folder: Path, journal_in: Make, entries_of: Read) -> None:
    folder.mkdir()
    foreign = {"notes.txt": b"mine", "00000007.jsonl.bak": b"x", "7.jsonl": b"y", "99999999.json": b"z"}
    for name, content in foreign.items():
        (folder / name).write_bytes(content)

    async def play() -> tuple[str, ...]:
        journal = journal_in(folder)
        repaired = await journal.start()
        await journal.append(entry(A, "c1"), entry(E, "c1"))
        await journal.close()
        return repaired.foreign

    assert asyncio.run(play()) == tuple(sorted(foreign))
    assert {name: (folder / name).read_bytes() for name in foreign} == foreign
    assert [one.call for one in entries_of(folder) if one.call] == ["c1", "c1"]


@pytest.mark.parametrize("crc", ["", "0badc0de", "another sum"])
def test_a_folder_of_another_version_is_not_touched(folder: Path, journal_in: Make, crc: str) -> None:
    folder.mkdir()
    header = {
        "seq": 1,
        "at": "2026-01-01T00:00:00.000000Z",
        "kind": "admin",
        "call": "",
        "change": {"segment": 1, "format": 3},
    } | ({"crc": crc} if crc else {})
    content = json.dumps(header, separators=(",", ":")).encode() + b"\n\x00torn by nobody we know"
    (folder / "00000001.jsonl").write_bytes(content)
    with pytest.raises(Unusable) as unusable:
        asyncio.run(journal_in(folder).start())
    assert "another version" in unusable.value.problems[0].text
    assert (folder / "00000001.jsonl").read_bytes() == content


def test_a_full_queue_refuses_at_once_and_takes_again(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder, max_queue=10)
        await journal.start()
        waiting = [journal.append(entry(A, f"c{number}")) for number in range(10)]
        with pytest.raises(Refused) as refused:
            journal.append(entry(A, "too many"))
        assert refused.value.code is Code.JOURNAL_OVERLOADED
        journal.note(entry(E, "c0"))  # what is owed to calls under way still finds room
        await asyncio.gather(*waiting)
        await journal.append(entry(A, "again"))
        await journal.close()

    asyncio.run(play())
    calls = [one.call for one in entries_of(folder) if one.call]
    assert calls == [*(f"c{number}" for number in range(10)), "c0", "again"]


def test_a_queue_full_of_bytes_refuses_and_thins_the_notes(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder, max_queue_bytes=10_000)
        await journal.start()
        waiting = journal.append(entry(A, "big", 20_000))
        with pytest.raises(Refused) as refused:
            journal.append(entry(A, "too much"))
        assert refused.value.code is Code.JOURNAL_OVERLOADED
        journal.note(Entry(kind=E, call="big", outcome="complete", body=msgspec.Raw(b'"%s"' % (b"y" * 9000))))
        await waiting
        await journal.close()

    asyncio.run(play())
    last = entries_of(folder)[-1]
    assert (last.call, last.outcome, last.body, last.body_cut) == ("big", "complete", None, True)


def test_the_clock_never_goes_back_in_the_journal(folder: Path, journal_in: Make, entries_of: Read) -> None:
    times = iter([1000.5, 1000.5, 1001.25, 400.0, 401.0, 1001.5, 1001.5])
    last = 1001.5

    def now() -> float:
        nonlocal last
        last = next(times, last)
        return last

    async def play() -> None:
        journal = journal_in(folder, now=now)
        await journal.start()
        for number in range(6):
            await journal.append(entry(A, f"c{number}"))
        await journal.close()

    asyncio.run(play())
    entries = entries_of(folder)
    assert [one.at for one in entries] == sorted(one.at for one in entries)
    assert entries[0].at == "1970-01-01T00:16:40.500000Z"
    assert len(changes(entries, "clock")) == 1

    async def again() -> None:
        journal = journal_in(folder, now=lambda: 10.0)
        await journal.start()
        await journal.append(entry(A, "later"))
        await journal.close()

    asyncio.run(again())
    entries = entries_of(folder)
    assert [one.at for one in entries] == sorted(one.at for one in entries)
    assert len(changes(entries, "clock")) == 2


def test_interval_does_not_wait_for_the_disk(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder, sync="interval", every_s=60.0)
        await journal.start()
        before = (folder / "00000001.jsonl").exists()
        await asyncio.wait_for(_append(journal, entry(A, "c1"), entry(W, "c1")), 5)
        assert not before
        assert journal.depth == 2
        await journal.close()  # not a minute later

    asyncio.run(asyncio.wait_for(play(), 20))
    assert [one.kind for one in entries_of(folder) if one.call] == [A, W]


async def _append(journal: FileJournal, *entries: Entry) -> None:
    await journal.append(*entries)


def test_nothing_is_taken_before_start_and_after_close(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        with pytest.raises(Refused):
            journal.append(entry(A, "early"))
        await journal.start()
        await journal.close()
        assert journal.status.state is State.CLOSED
        with pytest.raises(Refused) as refused:
            journal.append(entry(A, "late"))
        assert refused.value.code is Code.JOURNAL_UNAVAILABLE
        journal.note(entry(E, "late"))
        await journal.close()

    asyncio.run(play())
    assert b"late" not in b"".join(path.read_bytes() for path in folder.glob("*.jsonl"))


def test_the_folder_is_the_owners_alone(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        await journal.append(entry(A, "c1"))
        await journal.close()

    asyncio.run(play())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "00000001.jsonl").stat().st_mode & 0o777 == 0o600
