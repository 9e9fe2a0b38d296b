"""Child processes of the harness: started, watched, measured by /proc, and gone when the harness ends. Linux only."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_CARRIES = b"funcgate.cli.carry"
_LIBC = ctypes.CDLL(None)


class BenchError(Exception):
    """The run cannot go on; the text says what, where and what to do."""


@contextlib.contextmanager
def child(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in `log`; SIGTERM, then SIGKILL, at the end of the block."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - the harness has one thread
        )  # fmt: skip
    try:
        yield process
    finally:
        end(process)


@contextlib.contextmanager
def talker(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m module`, talking to it line by line through its stdin and stdout."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - the harness has one thread
    )  # fmt: skip
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Ask the process to stop, and after five seconds make it."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s(pids: Sequence[int]) -> float:
    """CPU seconds (user and system) that the processes, their threads and their living children have used."""
    return sum(_own_cpu_s(pid) + cpu_s(_children(pid)) for pid in pids)


def children_cpu_s(pids: Sequence[int]) -> float:
    """The part of it that their living children have used, and the children of those. Without those that carry calls: they do
    the work."""
    return sum(cpu_s([child for child in _children(pid) if not _carries(child)]) for pid in pids)


def carriers(pid: int) -> list[int]:
    """The gateway's children that carry calls."""
    return [child for child in _children(pid) if _carries(child)]


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path, timeout_s: float = 20.0) -> None:
    """Until something accepts on the port. Raises `BenchError` with the end of the log if the process ends first."""
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"{process.args!r} does not listen; the end of its log:\n{tail(log)}")
        time.sleep(0.05)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _own_cpu_s(pid: int) -> float:
    """Of all threads, in the scheduler's nanoseconds; in ticks where the kernel keeps no such count. The two are the
    same sum, but a tick of 10 ms is too coarse for a slice of 300."""
    total_ns = 0
    for spent in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            total_ns += int(spent.read_text().split()[0])
    if total_ns:
        return total_ns / 1e9
    with contextlib.suppress(OSError):  # a process that has just ended
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return 0.0


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, children.read_text().split())
    return found


def _carries(pid: int) -> bool:
    try:
        return _CARRIES in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
