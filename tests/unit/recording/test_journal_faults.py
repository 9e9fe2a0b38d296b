"""Real faults: kill -9 under load, a full disk, an I/O error out of the kernel, a folder that vanishes."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from funcgate.core.decision import Allow
from funcgate.core.entry import Decided, Entry, Kind
from funcgate.core.refusal import Code, Refused
from funcgate.recording.entries import ended, step
from funcgate.recording.reader import read_entries
from funcgate.stores.journal_files import FileJournal, State
from funcgate.stores.journal_files.folder import free_bytes

Make = Callable[..., FileJournal]
Read = Callable[[Path], list[Entry]]
LOAD = Path(__file__).with_name("load.py")
A, W, D, E = Kind.ARRIVED, Kind.ALLOWED, Kind.DENIED, Kind.ENDED


def entry(kind: Kind, call: str, size: int = 0) -> Entry:
    return Entry(kind=kind, call=call, detail="x" * size)


async def until(true: Callable[[], bool], deadline_s: float = 30) -> None:
    deadline = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.01)


async def code_of(waiting: Callable[[], Awaitable[None]]) -> Code | None:
    try:
        await waiting()
    except Refused as refused:
        return refused.code
    return None


def acknowledged(output: str) -> list[str]:
    return [line.split()[1] for line in output.splitlines() if line.startswith("open ") and len(line) == 31]


def assert_every_call_has_one_end(entries: list[Entry]) -> None:
    arrived = Counter(one.call for one in entries if one.kind is A)
    ended = Counter(one.call for one in entries if one.kind is E)
    assert arrived == ended
    assert set(arrived.values()) <= {1}


class Nursery:
    """Lives and deaths of load.py."""

    def __init__(self) -> None:
        command = [sys.executable, str(LOAD)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def birth(self, folder: Path, callers: int, segment_bytes: int) -> int:
        """Start one; returns its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{folder} {callers} {segment_bytes} 0\n")
        self._process.stdin.flush()
        word, pid = self.line().split()
        assert word == "born"
        return int(pid)

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def kill(self, pid: int) -> str:
        """Kill it; returns what it had still said."""
        os.kill(pid, signal.SIGKILL)
        said = []
        while (line := self.line()) != "gone\n":
            assert line
            said.append(line)
        return "".join(said)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(10) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.end()


def repair(folder: Path, make: Make) -> None:
    async def play() -> None:
        journal = make(folder)
        await journal.start()
        await journal.close()

    asyncio.run(play())


def test_kill_9_under_load_loses_nothing(folder: Path, journal_in: Make, entries_of: Read, nursery: Nursery) -> None:
    dice = random.Random(20261121)
    said = ""
    for round_ in range(20):
        pid = nursery.birth(folder, 16, 128 << 10)
        # Killed after so many promises, not after a time: the machine may be slow. Some before they are ready.
        said += "".join(nursery.line() for _ in range(dice.randrange(1, 300) if round_ % 4 else 0))
        said += nursery.kill(pid)
    promised = acknowledged(said)
    assert len(promised) > 1000
    repair(folder, journal_in)
    entries = entries_of(folder)
    kinds = Counter((one.call, one.kind) for one in entries)
    assert [call for call in promised if kinds[call, A] != 1 or kinds[call, W] != 1 or kinds[call, E] != 1] == []
    assert_every_call_has_one_end(entries)
    assert len(list(folder.glob("*.jsonl"))) > 3


def test_killed_while_repairing_each_call_is_closed_once(
    folder: Path, journal_in: Make, entries_of: Read, nursery: Nursery
) -> None:
    async def leave_open() -> None:
        journal = journal_in(folder)
        await journal.start()
        for number in range(0, 5000, 100):
            await journal.append(*[entry(A, f"c{number + at}") for at in range(100)])
        await journal.close()

    asyncio.run(leave_open())
    segment = folder / "00000001.jsonl"
    for _ in range(3):
        size = segment.stat().st_size
        pid = nursery.birth(folder, 1, 64 << 20)
        deadline = time.monotonic() + 20
        while segment.stat().st_size <= size:  # the first ends are being written, a thousand are to come
            assert time.monotonic() < deadline
        nursery.kill(pid)
    repair(folder, journal_in)
    assert_every_call_has_one_end(entries_of(folder))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two mebibytes."""
    where = tmp_path / "small"
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(where)], capture_output=True)
    if made.returncode:
        pytest.skip("no file system can be mounted here (not root)")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def test_a_full_disk_refuses_and_comes_back_by_itself(small_disk: Path, journal_in: Make, entries_of: Read) -> None:
    folder = small_disk / "journal"
    filler = small_disk / "filler"

    async def play() -> None:
        journal = journal_in(folder, min_free_bytes=512 << 10)
        await journal.start()
        await journal.append(entry(A, "held"), entry(W, "held"))
        await journal.append(entry(A, "early"), entry(W, "early"))

        await journal.append(entry(E, "early"))  # done after the writing ahead that followed the first
        filler.write_bytes(bytes(free_bytes(small_disk) - (300 << 10)))
        await journal.append(entry(A, "notices"), entry(W, "notices"))
        while journal.status.state is State.HEALTHY:  # space is measured ten times a second
            await journal.append(entry(D, "tick"))
        assert journal.status.state is State.LOW
        with pytest.raises(Refused) as refused:
            journal.append(entry(A, "new"), entry(W, "new"))
        assert refused.value.code is Code.JOURNAL_UNAVAILABLE
        await journal.append(entry(D, "new"))  # the reserve is for refusals …
        await journal.append(entry(A, "denied"), entry(D, "denied"))
        journal.note(entry(E, "notices"), entry(E, "denied"))  # … and for ends
        await journal.flush()

        with contextlib.suppress(OSError), filler.open("ab") as file:
            while file.write(bytes(4096)):
                file.flush()
        assert await code_of(lambda: journal.append(entry(D, "nobody", 1200 << 10))) is Code.JOURNAL_UNAVAILABLE
        assert journal.status.state is State.FAILED
        assert "ENOSPC" in journal.status.reason
        journal.note(entry(E, "held"))
        with pytest.raises(Refused):
            journal.append(entry(D, "nobody either"))

        filler.unlink()
        await until(lambda: journal.status.healthy)
        await journal.append(entry(A, "late"), entry(W, "late"), entry(E, "late"))
        await journal.close()

    asyncio.run(play())
    entries = entries_of(folder)
    calls = [(one.call, one.kind) for one in entries if one.call not in ("", "tick")]
    assert sorted(calls) == sorted(
        [(call, kind) for call in ("held", "early", "notices", "late") for kind in (A, W, E)]
        + [("new", D), ("denied", A), ("denied", D), ("denied", E)]
    )
    assert [one.change["outage"]["reason"] for one in entries if "outage" in one.change] == [
        "No space left on device (ENOSPC)"
    ]


def test_low_space_ends_by_itself(small_disk: Path, journal_in: Make) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1700 << 10))

    async def play() -> None:
        journal = journal_in(small_disk / "journal", min_free_bytes=512 << 10)
        await journal.start()
        assert journal.status.state is State.LOW
        await journal.append(entry(D, "no"))
        filler.unlink()
        await until(lambda: journal.status.healthy)
        await journal.append(entry(A, "yes"))
        await journal.close()

    asyncio.run(play())


def run_with_faults(folder: Path, segment_bytes: int, *faults: str) -> list[str]:
    """Write 100 calls under strace, which makes system calls fail; returns the calls that were promised."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    calls = ",".join({fault.partition(":")[0] for fault in faults})
    injected = [part for fault in faults for part in ("-e", f"inject={fault}")]
    trace = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", *injected]
    load = [sys.executable, str(LOAD), str(folder), "4", str(segment_bytes), "100"]
    ran = subprocess.run([*trace, *load], capture_output=True, text=True, timeout=60)
    if "ptrace" in ran.stderr:
        pytest.skip("processes may not be traced here")
    assert ran.returncode == 0, ran.stderr
    assert "refused journal.unavailable" in ran.stdout
    promised = acknowledged(ran.stdout)
    assert len(promised) >= 100
    return promised


@pytest.mark.parametrize(
    ("fault", "segment_bytes"),
    [
        ("pwritev2:error=EIO:when=10..12", 8 << 10),
        ("fsync:error=EIO:when=4..5", 8 << 10),  # while a segment is sealed, or the next one begun
        ("fdatasync:error=EIO:when=1", 8 << 20),  # while zeros are written ahead
    ],
)
def test_an_io_error_out_of_the_kernel(folder: Path, entries_of: Read, fault: str, segment_bytes: int) -> None:
    promised = run_with_faults(folder, segment_bytes, fault)
    entries = entries_of(folder)
    opened = [one.call for one in entries if one.kind is A]
    assert sorted(opened) == sorted(promised)  # all that was promised, and nothing that was refused
    assert_every_call_has_one_end(entries)
    assert any("outage" in one.change for one in entries)


def test_refused_lines_that_cannot_be_withdrawn_are_told_and_do_not_count(folder: Path) -> None:
    """The write is short, the rest of it is written but its sync fails, and the segment cannot be cut either."""
    faults = ("pwritev2:retval=10:when=10", "fdatasync:error=EIO:when=2", "ftruncate:error=EIO:when=1..2")
    promised = run_with_faults(folder, 8 << 20, *faults)
    left = (folder / "00000001.jsonl").read_bytes()
    entries = list(read_entries(folder))
    assert [one.seq for one in entries] == list(range(1, len(entries) + 1))
    assert sorted(one.call for one in entries if one.kind is A) == sorted(promised)
    assert_every_call_has_one_end(entries)
    [outage] = [one.change["outage"] for one in entries if "outage" in one.change]
    void = outage["void"]
    assert void["segment"] == "00000001.jsonl"
    assert left[void["from_byte"] :].strip(b"\0").count(b"\n") > 1  # refused lines are there, and were passed over
    assert entries[void["from_seq"] - 1].change["segment"] == 2


def test_a_folder_that_vanishes_is_noticed(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        await journal.append(entry(A, "c1"))
        shutil.rmtree(folder)
        assert await code_of(lambda: journal.append(entry(A, "c2"))) is Code.JOURNAL_UNAVAILABLE
        assert journal.status.state is State.FAILED
        os.mkdir(folder)
        await until(lambda: journal.status.healthy)
        await journal.append(entry(A, "c3"), entry(E, "c3"))
        await journal.close()

    asyncio.run(play())
    assert "c3" in b"".join(path.read_bytes() for path in folder.glob("*.jsonl")).decode()


def test_a_caller_that_went_away_in_a_batch_that_failed(folder: Path, journal_in: Make, entries_of: Read) -> None:
    """Nobody is there to be refused, and the end of the call is noted: so is its beginning, once the disk works again."""

    async def call(journal: FileJournal) -> None:
        try:
            await journal.append(entry(A, "left"), entry(W, "left"))
        finally:
            journal.note(entry(E, "left"))

    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        shutil.rmtree(folder)
        left = asyncio.create_task(call(journal))
        stayed = asyncio.create_task(code_of(lambda: journal.append(entry(A, "stayed"))))
        await asyncio.sleep(0)
        left.cancel()
        await until(lambda: journal.status.state is State.FAILED)
        os.mkdir(folder)
        await until(lambda: journal.status.healthy)
        assert left.cancelled()
        assert await stayed is Code.JOURNAL_UNAVAILABLE
        await journal.append(entry(A, "later"), entry(E, "later"))
        await journal.close()

    asyncio.run(play())
    lines = [msgspec.json.decode(line) for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines()]
    told = [(one["call"], one["kind"]) for one in lines if one["call"]]
    assert told == [
        ("left", "arrived"),
        ("left", "allowed"),
        ("left", "ended"),
        ("later", "arrived"),
        ("later", "ended"),
    ]


def test_notes_kept_through_an_outage_are_bounded(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder, max_queue=5, max_queue_bytes=1000)
        await journal.start()
        await journal.append(*[entry(A, f"c{number}") for number in range(5)])
        shutil.rmtree(folder)
        await code_of(lambda: journal.append(entry(D, "x")))
        for number in range(8):
            journal.note(Entry(kind=E, call=f"c{number}", body=msgspec.Raw(b'"%s"' % (b"y" * 600))))
        assert (journal.depth, journal.lost) == (5, 3)
        os.mkdir(folder)
        await until(lambda: journal.status.healthy)
        await journal.close()

    asyncio.run(play())
    entries = [msgspec.json.decode(line) for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines()]
    ends = [(one["call"], "body" in one, one.get("body_cut", False)) for one in entries if one["kind"] == "ended"]
    assert ends == [("c0", True, False), *((f"c{number}", False, True) for number in range(1, 5))]
    assert [one["change"]["outage"]["notes_lost"] for one in entries if "outage" in one.get("change", {})] == [3]


def test_what_was_drawn_comes_back_whole_after_an_outage(folder: Path, journal_in: Make, entries_of: Read) -> None:
    """Only the lines of the batch that failed hold it by then."""
    decided = Allow(("small",), "v1")

    async def play() -> None:
        journal = journal_in(folder, sync="interval", every_s=0.001)
        await journal.start()
        shutil.rmtree(folder)
        for call in ("c1", "c2"):
            journal.append(entry(A, call), step(W, call, None, "", decided, "v1"))
            journal.append(step(W, call, None, "", decided, "v2"), step(W, call, None, "", decided, "v3"))
            journal.note(ended(call, None, "", decided, "v1", "complete", "", {"send": 3}, 200, {"card": 1}, 60))
            journal.note(entry(Kind.CHUNK, call))
        await until(lambda: journal.status.state is State.FAILED)
        os.mkdir(folder)
        await until(lambda: journal.status.healthy)
        await journal.close()

    asyncio.run(play())
    told = [one for one in entries_of(folder) if one.call]
    policy = [Decided(("small",), version) for version in ("v1", "v2", "v3", "v1")]
    kinds = [(A, None), (W, policy[0]), (W, policy[1]), (W, policy[2]), (E, policy[3]), (Kind.CHUNK, None)]
    assert [(one.call, one.kind, one.policy) for one in told] == [
        (call, kind, decided_by) for call in ("c1", "c2") for kind, decided_by in kinds
    ]
    assert [(one.timing_us, one.masked, one.status) for one in told if one.kind is E] == 2 * [
        ({"send": 3}, {"card": 1}, 200)
    ]
    assert [one.seq for one in told] == sorted({one.seq for one in told})
