"""P1 and P2 with a real gateway that is killed a hundred times, and whose disk is full, broken or read-only: the target's
own ledger against the journal. Each test prints its figures.
"""

import collections
import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from funcgate.core.entry import Kind
from funcgate.recording.folder import lines
from funcgate.recording.reader import read_entries
from support import forked
from support.disk import filled, mounted
from support.gate import Gate, until
from support.load import Load
from support.target import Target
from support.workers import children_of

pytestmark = pytest.mark.slow
KILLS = 100
BACK_WITHIN_S = 5.0
MARGIN_S = 15.0  # for a machine that is busy with other things
Make = Callable[..., Gate]
Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """A figure, shown although the test passes."""

    def tell(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", flush=True)

    return tell


def compare(journal: Path, target: Target, answered: set[str]) -> str:
    """Assert that whatever was forwarded or answered is recorded, in order, with one end each; says how much that was."""
    kinds: dict[str, list[Kind]] = collections.defaultdict(list)
    damaged: list[str] = []
    entries = list(read_entries(journal, damaged=damaged.append))
    assert damaged == []
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    for entry in entries:
        kinds[entry.call].append(entry.kind)
    sent = [received.header("funcgate-call-id") or "" for received in target.ledger]
    unrecorded = [call for call in sent if kinds[call][:2] != [Kind.ARRIVED, Kind.ALLOWED]]
    lost = [call for call in answered if Kind.CHUNK not in kinds[call]]
    open_or_twice = [call for call, of in kinds.items() if of.count(Kind.ENDED) != of.count(Kind.ARRIVED)]
    assert (unrecorded, lost, open_or_twice) == ([], [], [])
    assert len(sent) == len(set(sent)), "a call was forwarded twice"
    return f"{len(sent)} calls forwarded, 0 unrecorded; {len(answered)} answered, 0 lost; {len(entries)} entries"


def test_kill_9_a_hundred_times(make_gate: Make, target: Target, token: str, say: Say) -> None:
    gate = make_gate(journal={"segment": "256KiB"})  # so that segments are ended and compressed all the time
    journal = gate.data / "journal"
    chance = random.Random(20261121)
    answered: set[str] = set()
    ready_s: list[float] = []
    seen: dict[int, bytes] = {}  # every line that was ever in the file of a dead gateway
    for _ in range(KILLS):
        since = time.monotonic()
        gate.start()
        ready_s.append(time.monotonic() - since)
        load = Load(gate, token, 16)
        until(lambda load=load: len(load.answered) > 5)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.3))
        gate.kill()
        load.stop()
        answered.update(load.answered)
        seen.update((line.seq, line.line) for line in lines(journal, after=max(seen, default=0)))
    gate.start()
    assert gate.stop() == 0
    told = compare(journal, target, answered)
    assert len(answered) > 10 * KILLS
    changed = [line.seq for line in lines(journal) if seen.get(line.seq, line.line) != line.line]
    assert changed == []
    packed = len(list(journal.glob("*.zst")))
    middle, longest = statistics.median(ready_s), max(ready_s)
    say(f"{KILLS} times kill -9: {told}, {packed} segments compressed")
    say(f"  ready again after {middle:.2f} s (median), {longest:.2f} s (longest), the interpreter's start included")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 mebibytes."""
    with mounted(tmp_path / "small") as disk:
        yield disk


def broken_and_back(load: Load, fault: contextlib.AbstractContextManager[object], say: Say, name: str) -> None:
    """Let the fault come under load, stay until the gateway refuses, and end: calls go through again."""
    until(lambda: len(load.answered) > 200)
    with fault:
        until(
            lambda: load.refused["journal.unavailable"] > 200
        )  # so that nobody's answer of before is still on its way
        before = len(load.answered)
        until(lambda: load.refused["journal.unavailable"] > 600)  # their record alone fills a segment
        assert len(load.answered) == before, "a call went through while nothing could be recorded"
    ended = time.monotonic()
    until(lambda: len(load.answered) > before)
    took = time.monotonic() - ended
    say(f"{name}: calls go through {took:.2f} s after its end")
    assert took < BACK_WITHIN_S + MARGIN_S
    until(lambda: len(load.answered) > before + 200)


def assert_told(gate: Gate, error: str) -> None:
    changes = [entry.change for entry in read_entries(gate.data / "journal")]
    assert [change for change in changes if error in str(change.get("outage"))], (
        "the journal does not tell of the fault"
    )


def test_a_full_disk(make_gate: Make, target: Target, token: str, small_disk: Path, say: Say) -> None:
    gate = make_gate(data_dir=str(small_disk / "data"), journal={"keep_free": "4MiB", "segment": "64KiB"})
    gate.data = small_disk / "data"
    gate.start()
    load = Load(gate, token, pause_s=0.01)
    broken_and_back(load, filled(small_disk), say, "ENOSPC")
    load.stop()
    assert gate.stop() == 0
    say("  " + compare(gate.data / "journal", target, set(load.answered)))
    assert_told(gate, "ENOSPC")
    denied = sum(entry.code == "journal.unavailable" for entry in read_entries(gate.data / "journal"))
    refused = load.refused["journal.unavailable"]
    say(f"  {refused} calls refused, {denied} of the refusals recorded: they went to the reserve")
    assert denied == refused
    reserve = (gate.data / "journal" / "reserve").stat()
    assert (reserve.st_size, reserve.st_blocks * 512) == (8 << 20, 8 << 20)
    done = forked.run("audit", "verify", "--config", gate.file)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def failing(pid: int, error: str) -> Iterator[None]:
    """Every call that changes a file fails in that process, with an error out of the kernel, as long as this lasts."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    calls = "pwritev2,pwritev,pwrite64,fdatasync,fsync,ftruncate"
    command = [strace, "-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={calls}"]
    tracing = subprocess.Popen([*command, "-e", f"inject={calls}:error={error}"], stderr=subprocess.PIPE)
    try:
        time.sleep(0.3)
        if tracing.poll() is not None:
            pytest.skip(f"processes may not be traced here: {tracing.stderr.read().decode()}")  # type: ignore[union-attr]
        yield
    finally:
        if tracing.poll() is None:
            tracing.send_signal(signal.SIGINT)
        tracing.communicate(timeout=20)


@pytest.mark.parametrize("error", ["EIO", "EROFS", "EDQUOT"])
def test_a_disk_that_fails_or_is_read_only(make_gate: Make, target: Target, token: str, say: Say, error: str) -> None:
    gate = make_gate().start()
    assert gate.process is not None
    load = Load(gate, token, pause_s=0.01)
    broken_and_back(load, failing(gate.process.pid, error), say, error)
    load.stop()
    assert gate.stop() == 0
    say("  " + compare(gate.data / "journal", target, set(load.answered)))
    assert_told(gate, error)


def test_a_file_system_that_is_read_only_from_the_start(
    make_gate: Make, target: Target, token: str, small_disk: Path
) -> None:
    """A real remount; the kernel allows none while a segment is open, so the gateway comes after it."""
    gate = make_gate(data_dir=str(small_disk / "data"), journal={"keep_free": "1MiB"})
    gate.data = small_disk / "data"
    gate.start()
    assert gate.stop() == 0
    before = {path: path.read_bytes() for path in sorted(gate.data.rglob("*")) if path.is_file()}
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    until(lambda: subprocess.run(remount, capture_output=True).returncode == 0)  # the keeper may be on its way out
    with pytest.raises(AssertionError, match="did not start"):
        gate.start()
    assert "EROFS" in gate.log.read_text() or "Read-only" in gate.log.read_text()
    assert {path: path.read_bytes() for path in sorted(gate.data.rglob("*")) if path.is_file()} == before
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    gate.start()
    assert gate.stop() == 0


def rss_mib(pid: int) -> float:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def child_of(pid: int) -> int:
    """The keeper."""
    return until(lambda: next(iter(children_of(pid, b"funcgate.cli.keep")), 0))


def test_memory_is_flat_in_a_real_run(make_gate: Make, token: str, say: Say) -> None:
    gate = make_gate(journal={"segment": "4MiB"}).start()
    assert gate.process is not None
    pids = {"gateway": gate.process.pid, "keeper": child_of(gate.process.pid)}
    load = Load(gate, token, 8)
    sampled: dict[str, list[float]] = {name: [] for name in pids}
    for calls in range(5_000, 30_001, 5_000):
        until(lambda calls=calls: len(load.answered) >= calls, 300)  # type: ignore[misc]
        for name, pid in pids.items():
            sampled[name].append(rss_mib(pid))
    load.stop()
    assert gate.stop() == 0
    for name, mib in sampled.items():
        say(f"memory of the {name} each 5,000 calls: " + ", ".join(f"{one:.1f}" for one in mib) + " MiB")
    assert sampled["gateway"][-1] - sampled["gateway"][0] < 10
    assert sampled["keeper"][-1] - sampled["keeper"][2] < 20
