"""Programs of `funcgate` without the second that Python takes to import it: one process has imported all, and forks.

What comes out is the same `main` with its own arguments, environment, files and process id; only nothing was executed
anew. So it is in `make test` (support/quick.py); in `make test-full` each program is started by its command.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from support.quick import QUICK

FUNCGATE = Path(sys.executable).with_name("funcgate")
_PARENT = Path(__file__).with_name("forked_child.py")
_MAX_BYTES = 1 << 16


class Forked:
    """What tests use of `subprocess.Popen`."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, out: IO[bytes], error: IO[bytes]
    ) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        self._said, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        order = json.dumps({"arguments": self.args, "environment": dict(environment), "folder": str(folder)}).encode()
        assert len(order) <= _MAX_BYTES, "the environment is larger than this carries"
        with theirs:
            socket.send_fds(_parent(), [order], [theirs.fileno(), out.fileno(), error.fileno()])
        said = self._said.recv(32)
        assert said, "the process that forks is gone"
        self.pid = int(said)

    def poll(self) -> int | None:
        if self.returncode is None:
            self._said.setblocking(False)
            try:
                self._end(self._said.recv(32))
            except BlockingIOError:
                return None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._said.settimeout(timeout)
            try:
                self._end(self._said.recv(32))
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _end(self, said: bytes) -> None:
        assert said, "the process that forks is gone"
        self.returncode = int(said)
        self._said.close()


Process = subprocess.Popen[bytes] | Forked
_lock = threading.Lock()
_control: dict[int, socket.socket] = {}


def start(arguments: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> Process:
    """`funcgate` with these arguments; what it prints goes to the log."""
    if QUICK:
        return Forked(arguments, environment, Path.cwd(), log, log)
    return subprocess.Popen([FUNCGATE, *arguments], env=dict(environment), stdout=log, stderr=log)


def run(
    *arguments: str | Path,
    environment: Mapping[str, str] = os.environ,
    folder: Path | None = None,
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """`funcgate` with these arguments, when it has ended."""
    words, where = list(map(str, arguments)), folder or Path.cwd()
    if not QUICK:
        command, given = [str(FUNCGATE), *words], dict(environment)
        return subprocess.run(
            command, env=given, cwd=where, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        running = Forked(words, environment, where, out, error)
        try:
            running.wait(timeout_s)
        finally:
            running.kill()
        said = [(file.seek(0), file.read().decode())[1] for file in (out, error)]
    return subprocess.CompletedProcess(["funcgate", *words], running.wait(), *said)


def _parent() -> socket.socket:
    """The connection to this process's own parent of forks."""
    with _lock:
        if os.getpid() not in _control:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                command = [sys.executable, "-P", _PARENT, str(theirs.fileno())]
                running = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            _control[os.getpid()] = ours
            atexit.register(running.wait)
            atexit.register(ours.close)
        return _control[os.getpid()]
