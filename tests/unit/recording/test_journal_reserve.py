"""The reserve on a real file system that somebody else fills to the last byte: refusals and ends are still recorded."""

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from funcgate.core.entry import Entry, Kind
from funcgate.core.problem import Unusable
from funcgate.core.refusal import Refused
from funcgate.stores.journal_files import FileJournal, State

Make = Callable[..., FileJournal]
Read = Callable[[Path], list[Entry]]
A, W, D, C, E = Kind.ARRIVED, Kind.ALLOWED, Kind.DENIED, Kind.CHUNK, Kind.ENDED
RESERVE = 512 << 10
REFUSALS = 900  # at least, of some 550 bytes each: arrived, denied, ended


def entry(kind: Kind, call: str, size: int = 0) -> Entry:
    return Entry(kind=kind, call=call, detail="x" * size)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four mebibytes."""
    where = tmp_path / "small"
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(where)], capture_output=True)
    if made.returncode:
        pytest.skip("no file system can be mounted here (not root)")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not a byte is free, and whatever becomes free is taken at once."""
    path, over = disk / "filler", threading.Event()

    def fill() -> None:
        with path.open("ab", buffering=0) as file:
            while not over.is_set():
                with contextlib.suppress(OSError):
                    while file.write(bytes(4096)):
                        pass
                time.sleep(0.0005)

    filler = threading.Thread(target=fill)
    filler.start()
    while os.statvfs(disk).f_bavail:
        time.sleep(0.001)
    try:
        yield
    finally:
        over.set()
        filler.join()
        path.unlink()


async def call(journal: FileJournal, name: str) -> str:
    """What the gateway does for a call that policy allows: what became of it."""
    try:
        await journal.append(entry(A, name, 50), entry(W, name))
    except Refused:
        try:
            await journal.append(entry(A, name, 50), entry(D, name))
        except Refused:
            return "unrecorded"
        journal.note(entry(E, name))
        return "refused"
    await journal.append(entry(C, name))
    journal.note(entry(E, name))
    return "forwarded"


async def until_full(journal: FileJournal) -> None:
    while journal.status.state is State.HEALTHY:
        await call(journal, "until full")


def is_whole(folder: Path) -> bool:
    found = (folder / "reserve").stat()
    return found.st_size == RESERVE and found.st_blocks * 512 >= RESERVE


def check(folder: Path, entries: list[Entry], became: dict[str, str]) -> None:
    """The journal says of each call what its caller was told."""
    kinds: dict[str, list[Kind]] = {}
    for one in entries:
        kinds.setdefault(one.call, []).append(one.kind)
    expected = {"forwarded": [A, W, C, E], "refused": [A, D, E]}
    assert {name: kinds.get(name) for name in became} == {name: expected.get(was) for name, was in became.items()}
    [missing] = [one.change["reserve"] for one in entries if "reserve" in one.change]
    assert missing["bytes"] == RESERVE
    assert missing["missing_from"]
    assert is_whole(folder)


async def back(journal: FileJournal) -> None:
    since = time.monotonic()
    while not journal.status.healthy:
        assert time.monotonic() - since < 30
        await asyncio.sleep(0.01)


def test_refusals_and_ends_are_recorded_on_a_full_disk(disk: Path, journal_in: Make, entries_of: Read) -> None:
    folder = disk / "journal"
    became: dict[str, str] = {}

    async def play() -> None:
        journal = journal_in(folder, reserve_bytes=RESERVE, segment_bytes=64 << 10)
        await journal.start()
        assert is_whole(folder)
        for number in range(20):
            await journal.append(entry(A, f"open{number}"), entry(W, f"open{number}"))
        with filled(disk):
            number = 0
            while "refused" not in became.values():  # into what was written ahead, then the disk is full
                names = [f"c{number + each}" for each in range(16)]
                became.update(zip(names, await asyncio.gather(*[call(journal, name) for name in names]), strict=True))
                number += 16
            assert "unrecorded" not in became.values()  # not even those that were on their way when it came
            assert "reserve" in journal.status.reason
            assert not (folder / "reserve").exists()
            for each in range(20):
                await journal.append(entry(C, f"open{each}"))
                journal.note(entry(E, f"open{each}"))
            while list(became.values()).count("refused") < REFUSALS:
                number += 1
                became[f"c{number}"] = await call(journal, f"c{number}")
            await journal.flush()
            assert journal.status.state is State.LOW
        await back(journal)
        assert is_whole(folder)  # before the first new call
        became["late"] = await call(journal, "late")
        await journal.close()

    asyncio.run(play())
    entries = entries_of(folder)
    check(folder, entries, became | {f"open{number}": "forwarded" for number in range(20)})
    assert "unrecorded" not in became.values()
    assert became["late"] == "forwarded"
    assert [one.change["outage"]["reason"] for one in entries if "outage" in one.change] == [
        "No space left on device (ENOSPC)"
    ]


def test_a_refusal_that_waits_when_the_disk_fills_is_written_into_the_reserve(
    disk: Path, journal_in: Make, entries_of: Read
) -> None:
    """One batch holds refusals, a new call and an answer, and no room is left for it."""
    folder = disk / "journal"

    async def play() -> list[object]:
        journal = journal_in(folder, reserve_bytes=RESERVE)
        await journal.start()
        await journal.append(entry(A, "open"), entry(W, "open"))
        await asyncio.sleep(0.1)  # zeros are written ahead
        with filled(disk):
            given = (
                journal.append(entry(A, "no"), entry(D, "no")),
                journal.append(entry(A, "new", 1100 << 10), entry(W, "new")),  # more than those hold
                journal.append(entry(C, "open")),
                journal.append(entry(D, "nobody")),
            )
            journal.note(entry(E, "open"), entry(E, "no"))
            told = await asyncio.gather(*given, return_exceptions=True)
        await back(journal)
        await journal.close()
        return list(told)

    no, new, answer, nobody = asyncio.run(play())
    assert isinstance(new, Refused)
    assert (no, answer, nobody) == (None, None, None)
    kinds = sorted((one.call, one.kind) for one in entries_of(folder) if one.call)
    recorded = [("no", A), ("no", D), ("no", E), ("nobody", D), *(("open", kind) for kind in (A, W, C, E))]
    assert kinds == sorted(recorded)


def test_when_the_reserve_is_used_up_nothing_is_recorded_and_nothing_goes_on(
    disk: Path, journal_in: Make, entries_of: Read
) -> None:
    folder = disk / "journal"
    became: dict[str, str] = {}

    async def play() -> None:
        journal = journal_in(folder, reserve_bytes=RESERVE)
        await journal.start()
        with filled(disk):
            number = 0
            while "unrecorded" not in became.values():
                number += 1
                became[f"c{number}"] = await call(journal, f"c{number}")
            assert journal.status.state is State.FAILED
            assert await call(journal, "another") == "unrecorded"
        await back(journal)
        assert is_whole(folder)
        became["late"] = await call(journal, "late")
        await journal.close()

    asyncio.run(play())
    assert list(became.values()).count("refused") >= REFUSALS
    check(folder, entries_of(folder), became)
    assert became["late"] == "forwarded"


def crash(folder: Path, disk: Path) -> None:
    """A process that opens calls, has the disk filled, refuses some, and dies."""
    script = (
        "import asyncio, os, sys; from pathlib import Path; import test_journal_reserve as t\n"
        "from funcgate.stores.journal_files import FileJournal\n"
        "async def play():\n"
        "    journal = FileJournal(Path(sys.argv[1]), min_free_bytes=0, reserve_bytes=t.RESERVE)\n"
        "    await journal.start()\n"
        "    await journal.append(t.entry(t.A, 'open'), t.entry(t.W, 'open'))\n"
        "    with t.filled(Path(sys.argv[2])):\n"
        "        await t.until_full(journal)\n"
        "        assert [await t.call(journal, f'c{n}') for n in range(5)] == ['refused'] * 5\n"
        "        await journal.flush()\n"
        "        os._exit(9)\n"
        "asyncio.run(play())\n"
    )
    command = [sys.executable, "-c", script, str(folder), str(disk)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parent)
    assert ran.returncode == 9, ran.stderr


@pytest.mark.parametrize("end", ["clean", "crash"])
def test_a_restart_on_a_full_disk(disk: Path, journal_in: Make, entries_of: Read, end: str) -> None:
    folder = disk / "journal"
    became: dict[str, str] = {}

    async def first() -> None:
        journal = journal_in(folder, reserve_bytes=RESERVE)
        await journal.start()
        await journal.append(entry(A, "open"), entry(W, "open"))
        with filled(disk):
            await until_full(journal)
            await journal.close()
            await again()

    async def again() -> None:
        journal = journal_in(folder, reserve_bytes=RESERVE)
        # What the repair sets free is taken, too: who filled the disk of the one that crashed, died with it.
        with filled(disk) if end == "crash" else contextlib.nullcontext():
            repaired = await journal.start()
            assert repaired.closed == ("open",)
            assert journal.status.state is State.LOW
            for number in range(REFUSALS // 2):
                became[f"again{number}"] = await call(journal, f"again{number}")
            assert set(became.values()) == {"refused"}
        (disk / "filler").write_bytes(b"")  # nobody fills any more, or the next moment takes it again
        if end == "crash":
            await back(journal)
        await journal.close()

    async def last() -> None:
        journal = journal_in(folder, reserve_bytes=RESERVE)
        await journal.start()
        await back(journal)
        became["late"] = await call(journal, "late")
        await journal.close()

    if end == "clean":
        asyncio.run(first())
    else:
        crash(folder, disk)
        asyncio.run(again())
    asyncio.run(last())
    entries = entries_of(folder)
    assert is_whole(folder)
    assert became["late"] == "forwarded"
    assert sum(one.kind is D and one.call in became for one in entries) == REFUSALS // 2
    assert [one.kind for one in entries if one.call == "open"] == [A, W, E]


def test_a_disk_that_is_full_when_the_journal_is_closed(disk: Path, journal_in: Make, entries_of: Read) -> None:
    folder = disk / "journal"

    async def play() -> None:
        journal = journal_in(folder, reserve_bytes=RESERVE)
        await journal.start()
        journal._writer._ahead = None  # which would write more zeros meanwhile
        await journal.append(entry(A, "open"))
        await asyncio.sleep(0.1)  # a mebibyte of zeros is written ahead …
        await journal.append(entry(W, "open", 700 << 10))  # … of which less than 400 KiB are left now
        with filled(disk):
            journal.note(entry(E, "open", 400 << 10))
            await asyncio.wait_for(journal.close(), 30)

    asyncio.run(play())
    assert [one.kind for one in entries_of(folder) if one.call] == [A, W, E]
    assert not (folder / "reserve").exists()


def test_a_start_that_cannot_close_what_is_open_refuses(disk: Path, journal_in: Make) -> None:
    folder = disk / "journal"

    async def leave_open() -> None:
        journal = journal_in(folder)
        await journal.start()
        await journal.append(*[entry(A, f"c{number}") for number in range(50)])
        await journal.close()

    asyncio.run(leave_open())
    with filled(disk), pytest.raises(Unusable) as refused:
        asyncio.run(journal_in(folder, reserve_bytes=RESERVE).start())
    assert "cannot be written: No space left on device (ENOSPC)" in refused.value.problems[0].text


def start_and_stop(journal: FileJournal) -> None:
    async def play() -> None:
        await journal.start()
        assert journal.status.healthy
        await journal.append(entry(A, "c"), entry(E, "c"))
        await journal.close()

    asyncio.run(play())


def test_a_crash_before_the_reserve_has_its_first_line(folder: Path, journal_in: Make, entries_of: Read) -> None:
    start_and_stop(journal_in(folder, reserve_bytes=RESERVE))
    (folder / "reserve").rename(folder / "00000002.jsonl")
    start_and_stop(journal_in(folder, reserve_bytes=RESERVE))
    assert is_whole(folder)
    assert len(entries_of(folder)) == 6


def test_what_lies_in_the_reserve_is_not_taken_over(folder: Path, journal_in: Make) -> None:
    start_and_stop(journal_in(folder, reserve_bytes=RESERVE))
    with (folder / "reserve").open("r+b") as file:
        file.seek(RESERVE // 2)
        file.write(b'{"seq":9,"at":"","kind":"allowed","call":"c"}\n')
    start_and_stop(journal_in(folder, reserve_bytes=RESERVE))
    assert is_whole(folder)
    assert not (folder / "reserve").read_bytes().strip(b"\0")


def test_another_size_and_none(folder: Path, journal_in: Make) -> None:
    for size in (RESERVE, RESERVE // 2, 2 * RESERVE):
        start_and_stop(journal_in(folder, reserve_bytes=size))
        assert (folder / "reserve").stat().st_size == size
    start_and_stop(journal_in(folder))
    assert not (folder / "reserve").exists()


def test_a_file_system_that_cannot_allocate(folder: Path, journal_in: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*of: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    start_and_stop(journal_in(folder, reserve_bytes=RESERVE))
    assert is_whole(folder)
