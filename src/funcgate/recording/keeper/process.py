"""The keeper's own process: reads what the gateway says, runs the chores, tells how far they are.

It ends when it is told to or when the gateway is gone, and never takes a data folder that another keeper holds.
"""

import contextlib
import fcntl
import gc
import itertools
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from funcgate.recording.chore import ChoreFailed
from funcgate.recording.follow import Recent

from .messages import (
    Begin,
    Begun,
    Durable,
    Record,
    Recorded,
    Refused,
    Reload,
    Status,
    Stop,
    ToGateway,
    encode,
    for_keeper,
)
from .settings import KeeperSettings
from .worker import Planned, Worker

TELL_EVERY_S = 0.25
RECORD_LIMIT_S = 20.0
ORPHAN_LIMIT_S = 5.0
NICENESS = 10
GC_THRESHOLDS = (50_000, 20, 100)  # thousands of lines in hand are no reason to look for garbage among them

Ask = Callable[[Mapping[str, Any]], None]
"""A chore's way to an `admin` entry: returns when the entry is durable, raises `ChoreFailed` when it cannot be."""

Plan = Callable[[KeeperSettings, Callable[[str], Ask]], Sequence[Planned]]
"""Which chores there are for these settings; the function gives each, by its name, its `Ask`."""


def run(plan: Plan, source: BinaryIO, sink: BinaryIO) -> int:
    """Until told to stop, or `source` ends. The exit status: 0, or 1 when it could not begin."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # these are for the gateway, which says what to do
    _give_way()
    link = Link(sink)
    line = source.readline()
    try:
        begin = for_keeper(line)
    except msgspec.MsgspecError:
        begin = None
    if not isinstance(begin, Begin):
        return 0 if not line else _refused(link, "the first message says nothing of the settings")
    try:
        lock = _hold(Path(begin.settings.data_dir), begin.lock_wait_s)
    except OSError as error:
        return _refused(link, f"{begin.settings.data_dir}: {error.strerror}")
    if lock is None:
        # Attack: two keepers of one folder, each undoing the other's work.
        return _refused(link, f"another keeper holds {begin.settings.data_dir}")
    link.tell(Begun())
    keeper = Keeper(plan, link, begin)
    keeper.end(keeper.work(source))
    os.close(lock)
    return 0


def _give_way() -> None:
    """A call goes first: the keeper gets less of a processor, and takes none from whoever is at work when it wakes up."""
    os.nice(NICENESS)
    with contextlib.suppress(AttributeError, OSError):  # no such thing here, or not allowed
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _refused(link: "Link", text: str) -> int:
    link.tell(Refused(text))
    return 1


def _hold(data_dir: Path, wait_s: float) -> int | None:
    """The lock, as a descriptor to keep; None if another process has it for longer than that. Raises `OSError`."""
    descriptor = os.open(data_dir / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(descriptor)
                return None
            time.sleep(0.02)
        else:
            return descriptor


class Link:
    """The way to the gateway, for all threads. Once the gateway is gone, nothing is said any more."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Callable[[str], None]] = {}
        self._gone = False

    def tell(self, message: ToGateway) -> None:
        with self._lock:
            if self._gone:
                return
            try:
                self._sink.write(encode(message))
                self._sink.flush()
            except OSError:
                self._gone = True

    def asker(self, chore: str) -> Ask:
        return lambda change: self._ask(chore, change)

    def answered(self, answer: Recorded) -> None:
        waiting = self._waiting.pop(answer.id, None)
        if waiting is not None:
            waiting(answer.problem)

    def hang_up(self) -> None:
        """Nobody answers any more."""
        self._gone = True
        for number in list(self._waiting):
            self.answered(Recorded(id=number, problem="the gateway ends"))

    def _ask(self, chore: str, change: Mapping[str, Any]) -> None:
        number = next(self._numbers)
        done = threading.Event()
        problems: list[str] = []

        def answer(problem: str) -> None:
            problems.append(problem)
            done.set()

        self._waiting[number] = answer
        self.tell(Record(id=number, chore=chore, change=change))
        if self._gone or not done.wait(RECORD_LIMIT_S):
            self._waiting.pop(number, None)
            raise ChoreFailed("the gateway does not record what is about to be done, so it is not done")
        if problems[0]:
            raise ChoreFailed(f"the journal does not record what is about to be done, so it is not done: {problems[0]}")


class Keeper:
    """The workers, and what they are told."""

    def __init__(self, plan: Plan, link: Link, begin: Begin) -> None:
        self._plan = plan
        self._link = link
        self._journal = Path(begin.settings.data_dir) / "journal"
        self._recent = Recent()
        self._durable = begin.durable
        self._workers: dict[str, Worker] = {}
        self._told: dict[str, Status] = {}
        self._ended = threading.Event()
        self._told_to: queue.SimpleQueue[Durable | Reload | Stop] = queue.SimpleQueue()
        self._set_up(begin.settings)
        self._teller = threading.Thread(target=self._tell, name="keeper-status", daemon=True)
        self._teller.start()

    def work(self, source: BinaryIO) -> float:
        """Until `Stop` or the end of `source`: how many seconds there are to end in."""
        threading.Thread(target=self._hear, args=(source,), name="keeper-hearing", daemon=True).start()
        while True:
            message = self._told_to.get()
            if isinstance(message, Reload):
                self._set_up(message.settings)
                continue
            self._durable = max(self._durable, message.seq)
            for worker in self._workers.values():
                worker.durable(message.seq)
            if isinstance(message, Stop):
                return message.limit_s

    def _hear(self, source: BinaryIO) -> None:
        """A thread of its own: answers reach a chore whatever else is under way, to the very end."""
        for line in iter(source.readline, b""):
            try:
                message = for_keeper(line)
            except msgspec.MsgspecError:
                break
            if isinstance(message, Recorded):
                self._link.answered(message)
            elif not isinstance(message, Begin):
                self._told_to.put(message)
        # The gateway is gone, by a crash perhaps: nothing is left that could stop this process but itself.
        self._link.hang_up()
        self._told_to.put(Stop(seq=0, limit_s=ORPHAN_LIMIT_S))

    def end(self, limit_s: float) -> None:
        """Every chore takes what is left, all at the same time. One that does not end within the limit is left behind."""
        self._end(list(self._workers.values()), limit_s)
        self._ended.set()
        self._teller.join(1.0)

    def _end(self, workers: list[Worker], limit_s: float) -> None:
        end = time.monotonic() + limit_s
        for worker in workers:
            worker.stop(end)
        for worker in workers:
            if not worker.join():
                worker.trouble = worker.trouble or "did not end in time"

    def _set_up(self, settings: KeeperSettings) -> None:
        """The chores of these settings; those whose part of the settings did not change just go on."""
        planned = {one.name: one for one in self._plan(settings, self._link.asker)}
        leaving = [
            worker for name, worker in self._workers.items() if name not in planned or planned[name].part != worker.part
        ]
        self._end(leaving, ORPHAN_LIMIT_S)
        for worker in leaving:
            del self._workers[worker.name]
        for name, one in planned.items():
            if name not in self._workers:
                worker = self._workers[name] = Worker(one, self._journal, self._durable, self._recent)
                worker.start()

    def _tell(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(TELL_EVERY_S)
            now = {
                name: Status(chore=name, position=worker.position, trouble=worker.trouble)
                for name, worker in list(self._workers.items())
            }
            for name in self._told.keys() - now.keys():
                self._link.tell(Status(chore=name, gone=True))
            for name, status in now.items():
                if self._told.get(name) != status:
                    self._link.tell(status)
            self._told = now


def main(plan: Plan) -> None:
    """The process. Ends it, without waiting for what a library would do at its exit."""
    sys.excepthook = lambda kind, *_: print(f"funcgate keep: {kind.__name__}", file=sys.stderr)
    threading.excepthook = lambda broke: print(f"funcgate keep: {broke.exc_type.__name__}", file=sys.stderr)
    gc.set_threshold(*GC_THRESHOLDS)
    os.umask(0o077)
    with os.fdopen(os.dup(1), "wb") as sink:
        os.dup2(2, 1)  # whatever a library prints is no message to the gateway
        os._exit(run(plan, sys.stdin.buffer, sink))
