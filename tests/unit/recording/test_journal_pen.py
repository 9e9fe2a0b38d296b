"""The writer's thread of C: what it tells, what it leaves to the thread of Python, and how it ends."""

import asyncio
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from funcgate.core.entry import Entry, Kind
from funcgate.core.native import half
from funcgate.core.refusal import Refused
from funcgate.stores.journal_files import FileJournal, State

native = half("funcgate.stores.journal_files._native")
pytestmark = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
Make = Callable[..., FileJournal]
Read = Callable[[Path], list[Entry]]
A, W, E = Kind.ARRIVED, Kind.ALLOWED, Kind.ENDED
THREAD = "funcgate-disk"


def entry(kind: Kind, call: str, size: int = 0) -> Entry:
    return Entry(kind=kind, call=call, detail="x" * size)


def wait_until(true: Callable[[], bool], deadline_s: float = 30) -> None:
    deadline = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


def threads() -> set[str]:
    """Which ones there are: one of a test before may end only now."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            if (task / "comm").read_text().strip() == THREAD:
                found.add(task.name)
        except OSError:  # it ended
            continue
    return found


def told(pen: Any) -> bool:
    answer: list[bool] = []

    def asked() -> bool:
        answer.extend(one for one in [pen.take()] if one is not None)
        return bool(answer)

    wait_until(asked)
    return answer[0]


@pytest.fixture
def pen() -> Iterator[Any]:
    before = threads()
    pen = native.Pen()
    yield pen
    pen.end()
    wait_until(lambda: threads() <= before)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def test_it_writes_at_the_place_and_measures_the_space(pen: Any, file: int) -> None:
    assert pen.take() is None
    os.pwrite(file, b"before....", 0)
    pen.write(bytearray(b"lines\n"), file, 6, True)
    assert told(pen) is True
    assert (os.pread(file, 100, 0), pen.wrote, pen.trouble) == (b"beforelines\n", 6, 0)
    assert pen.free_bytes > 0
    assert pen.take() is None


def test_every_errno_comes_back_and_nothing_is_tried_again(pen: Any, file: int) -> None:
    read_only = os.open(f"/proc/self/fd/{file}", os.O_RDONLY)
    pen.write(bytearray(b"x"), read_only, 0, False)
    assert told(pen) is False
    assert (pen.wrote, pen.trouble) == (-1, errno.EBADF)
    os.close(read_only)
    pen.write(bytearray(b"x"), read_only, 0, False)
    assert told(pen) is False
    assert pen.trouble == errno.EBADF
    pen.write(bytearray(b"y"), file, 0, False)
    assert told(pen) is True
    assert os.pread(file, 10, 0) == b"y"


def test_a_file_without_a_name_is_not_durable(pen: Any, file: int, tmp_path: Path) -> None:
    (tmp_path / "file").unlink()
    pen.write(bytearray(b"xyz"), file, 0, False)
    assert told(pen) is False
    assert (pen.wrote, pen.trouble) == (3, 0)


def test_the_lines_cannot_change_their_place_meanwhile(pen: Any, file: int) -> None:
    lines = bytearray(b"x" * 100)
    pen.write(lines, file, 0, False)
    with pytest.raises(BufferError):
        lines += b"y" * 1000
    with pytest.raises(ValueError, match="one batch"):
        pen.write(bytearray(b"z"), file, 0, False)
    told(pen)
    lines += b"y"
    assert os.pread(file, 1000, 0) == b"x" * 100


def test_one_that_is_dropped_under_way_ends_by_itself(file: int) -> None:
    before = threads()
    for _ in range(20):
        dropped = native.Pen()
        dropped.write(bytearray(b"x" * 4096), file, 0, False)
        del dropped
    wait_until(lambda: threads() <= before)
    assert os.pread(file, 1, 0) == b"x"


def test_after_its_end_nothing_is_taken(file: int) -> None:
    pen = native.Pen()
    pen.write(bytearray(b"last"), file, 0, False)
    pen.end()
    assert os.pread(file, 10, 0) == b"last"  # the end waits for what is under way
    pen.end()
    with pytest.raises(ValueError, match="one batch"):
        pen.write(bytearray(b"z"), file, 0, False)


async def until_lent(journal: FileJournal) -> None:
    deadline = time.monotonic() + 30
    while journal._writer._lent <= 0:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("sync", ["always", "interval"])
def test_plain_batches_go_that_way_and_no_thread_is_left(
    folder: Path, journal_in: Make, entries_of: Read, run: Callable[..., None], sync: str
) -> None:
    before = threads()
    by_python = 0

    async def play() -> None:
        nonlocal by_python
        journal = journal_in(folder, sync=sync, every_s=0.001)
        await journal.start()
        await journal.append(entry(A, "first"))
        await journal.flush()
        await until_lent(journal)
        assert len(threads() - before) == 2
        hand_over = journal._writer._hand_over

        def counting(batch: Any) -> None:
            nonlocal by_python
            by_python += 1
            hand_over(batch)

        journal._writer._hand_over = counting  # type: ignore[method-assign]
        for number in range(200):
            await journal.append(entry(A, f"c{number}"), entry(W, f"c{number}"))
            await journal.flush()
            assert journal.durable_seq == 2 + 2 * (number + 1)
        assert journal.depth == 0
        await journal.close()

    run(play())
    assert by_python == 0
    assert [one.call for one in entries_of(folder) if one.kind is W] == [f"c{number}" for number in range(200)]
    wait_until(lambda: threads() <= before)


def test_a_removed_segment_is_noticed_before_anybody_is_told(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        await journal.append(entry(A, "c1"))
        await until_lent(journal)
        (folder / "00000001.jsonl").unlink()
        with pytest.raises(Refused):
            await journal.append(entry(A, "c2"))
        assert "removed" in journal.status.reason
        assert journal.status.state is State.FAILED
        await journal.close()

    asyncio.run(play())
    assert b'"c2"' not in b"".join(path.read_bytes() for path in folder.glob("*.jsonl"))


def test_a_batch_that_ends_the_zeros_or_is_huge_is_the_other_threads(
    folder: Path, journal_in: Make, entries_of: Read
) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        for number in range(30):  # each 200 KiB, then one of 1.5 MiB
            await journal.append(entry(A, f"c{number}", 200 << 10))
        await journal.append(entry(A, "huge", 1536 << 10))
        await journal.append(entry(A, "last"))
        await journal.close()

    asyncio.run(play())
    assert [one.call for one in entries_of(folder) if one.call] == [*(f"c{n}" for n in range(30)), "huge", "last"]


def test_little_space_is_noticed_by_the_batch_that_finds_it(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        await journal.append(entry(A, "c1"))
        await until_lent(journal)
        journal._writer._min_free_bytes = 1 << 62  # as if the disk had been filled
        journal._writer._weigh_at = 0.0
        await journal.append(entry(W, "c1"))
        assert journal.status.state is State.LOW
        with pytest.raises(Refused):
            await journal.append(entry(A, "c2"))
        await journal.append(entry(E, "c1"))
        journal._writer._min_free_bytes = 0
        deadline = time.monotonic() + 30
        while not journal.status.healthy:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        await journal.append(entry(A, "c3"))
        await until_lent(journal)
        await journal.close()

    asyncio.run(play())
    assert [(one.call, one.kind) for one in entries_of(folder) if one.call] == [
        ("c1", A), ("c1", W), ("c1", E), ("c3", A)
    ]  # fmt: skip


TRACED = """
import asyncio, os, sys, time
from pathlib import Path
from funcgate.core.entry import Entry, Kind
from funcgate.core.refusal import Refused
from funcgate.stores.journal_files import FileJournal
async def play():
    journal = FileJournal(Path(sys.argv[1]), min_free_bytes=0)
    await journal.start()
    said = []
    await journal.append(Entry(kind=Kind.ARRIVED, call="first"))
    while journal._writer._lent <= 0:
        await asyncio.sleep(0.001)
    for number in range(4):
        at = journal.append(Entry(kind=Kind.ARRIVED, call=f"c{number}"))
        turns = 0
        while not at.done():
            await asyncio.sleep(0.001)
            turns += 1
            if turns > 9 and sys.argv[2] == "leave":
                print("left", flush=True)
                return
        said.append("refused" if at.exception() else "written")
        while at.exception() and (not journal.status.healthy or journal._writer._lent <= 0):
            await asyncio.sleep(0.01)
        if sys.argv[2] == "hang":  # the loop went on meanwhile, and nobody was told too early
            assert turns > 9
    print(*said, flush=True)
    if sys.argv[2] == "fork":
        child = os.fork()
        if child == 0:
            del journal, at
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    await journal.close()
asyncio.run(play())
"""


def traced(folder: Path, fault: str, then: str = "close", call: str = "pwritev2", log: str | Path = "/dev/null") -> str:
    """Run TRACED under strace, which makes system calls fail or last."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    command = [strace, "-f", "-qq", "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:{fault}"]
    ran = subprocess.run(
        [*command, sys.executable, "-c", TRACED, str(folder), then], capture_output=True, text=True, timeout=60
    )
    if "ptrace" in ran.stderr:
        pytest.skip("processes may not be traced here")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("error=EIO:when=3", "written written refused written"),
        ("error=EOPNOTSUPP:when=3", "written written written written"),  # then written and synced in two steps
        ("error=EINTR:when=3", "written written written written"),
        ("retval=5:when=3", "written written written written"),  # the rest of it is
    ],
)
def test_faults_in_that_thread(folder: Path, entries_of: Read, fault: str, said: str) -> None:
    """Each thread counts its own calls: the third one here is the batch of `c2`, in C."""
    assert traced(folder, fault) == said
    if "retval" not in fault:  # which says so, and writes nothing
        written = [one.call for one in entries_of(folder) if one.kind is A]
        assert written == ["first", "c0", "c1", *([] if "refused" in said else ["c2"]), "c3"]


def test_it_does_not_ask_when_the_file_was_written(folder: Path, tmp_path: Path) -> None:
    """Whoever asks has the next sync write the time down too, a third more for the disk."""
    assert (
        traced(folder, "delay_enter=1:when=1", call="statx", log=tmp_path / "log") == "written written written written"
    )
    asked = [line for line in (tmp_path / "log").read_text().splitlines() if "AT_EMPTY_PATH" in line]
    assert len(asked) >= 4
    assert all("STATX_NLINK," in line for line in asked)


def test_a_system_that_cannot_be_asked_that_way_is_asked_the_other(folder: Path, tmp_path: Path) -> None:
    assert traced(folder, "error=ENOSYS", call="statx", log=tmp_path / "log") == "written written written written"


def test_a_disk_that_hangs_does_not_hang_the_loop(folder: Path, entries_of: Read) -> None:
    assert traced(folder, "delay_enter=1s:when=1+", "hang") == "written written written written"
    assert [one.call for one in entries_of(folder) if one.kind is A] == ["first", "c0", "c1", "c2", "c3"]


def test_a_process_may_end_while_a_disk_hangs(folder: Path) -> None:
    """And without a close: nothing waits for that thread, and it touches nothing of Python's."""
    assert traced(folder, "delay_enter=1s:when=1+", "leave") == "left"


def test_a_fork_has_no_such_thread_and_does_no_harm(folder: Path) -> None:
    assert traced(folder, "delay_enter=1:when=3", "fork") == "written written written written"
