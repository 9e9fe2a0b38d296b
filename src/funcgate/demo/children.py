"""The demo's processes: started together, waited for until they answer, and always ended, whatever happens."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import httpx

READY_S = 30.0
GRACE_S = 8.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildFailed(Exception):
    """A process of the demo ended or never answered. Says which, and the last lines it wrote."""


class Children:
    """The processes. A context: leaving it ends them all, first gently, then not."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._files: list[IO[bytes]] = []
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}
        self._starting = self._asked_to_stop = False

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._interrupt)
        return self

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._asked_to_stop = True
        if not self._starting:  # else a child that was just forked would not be known yet, and never ended
            raise KeyboardInterrupt

    def start(
        self, name: str, command: list[str], environment: Mapping[str, str], listening: socket.socket | None = None
    ) -> None:
        """Start `python command…` in its own session: a Ctrl-C in the terminal reaches the demo, which then ends it.

        A socket that already listens is handed over, by `--fd`.
        """
        inherited = [] if listening is None else [listening.fileno()]
        log = (self._logs / f"{name}.log").open("ab")
        self._files.append(log)
        self._starting = True
        self._running[name] = subprocess.Popen(  # noqa: S603  # our own programs, no shell
            [sys.executable, *command, *(f"--fd={number}" for number in inherited)],
            pass_fds=inherited,
            env={**os.environ, **environment},
            cwd=self._logs.parent,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._starting = False
        if listening is not None:
            listening.close()
        if self._asked_to_stop:
            raise KeyboardInterrupt

    def wait_for(self, name: str, url: str, *, statuses: tuple[int, ...] = (200,)) -> None:
        """Return when the child answers at the URL. Raises `ChildFailed`."""
        deadline = time.monotonic() + READY_S
        seen = "no answer"
        while time.monotonic() < deadline:
            status = self._running[name].poll()
            if status is not None:
                raise ChildFailed(f"{name} ended at once (status {status})\n{self._tail(name)}")
            try:
                answer = httpx.get(url, timeout=2, trust_env=False)
            except httpx.HTTPError:
                time.sleep(0.03)
                continue
            if answer.status_code in statuses:
                return
            seen = f"status {answer.status_code}: {answer.text[:300]}"
            time.sleep(0.03)
        raise ChildFailed(f"{name} is not ready after {READY_S:.0f} s ({seen})\n{self._tail(name)}")

    def ended(self) -> str:
        """The name of a child that has ended by itself, or ""."""
        return next((name for name, child in self._running.items() if child.poll() is not None), "")

    def _tail(self, name: str) -> str:
        text = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-15:])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # an impatient second Ctrl-C must not leave children behind
        for child in self._running.values():
            child.terminate()
        deadline = time.monotonic() + GRACE_S
        for child in self._running.values():
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for log in self._files:
            log.close()
        for number, before in self._before.items():
            signal.signal(number, before)
