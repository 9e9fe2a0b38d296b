"""The gateway's side of the keeper: starts the child, tells it what is durable, hears how far it is, ends it last.

No call waits for any of it. Should the child die it is started again; should the gateway die the child ends by itself.
"""

import asyncio
import contextlib
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from funcgate.console import ChoreGauge, KeeperGauges
from funcgate.core.entry import Entry, Kind
from funcgate.core.ports import Journal
from funcgate.core.refusal import Refused
from funcgate.logs import logger
from funcgate.recording.keeper import messages
from funcgate.recording.keeper.messages import Begin, Begun, Durable, Record, Recorded, Reload, Status, Stop
from funcgate.recording.keeper.settings import KeeperSettings
from funcgate.recording.proof import ProofTrouble, latest_size

from .building import StartFailed

POLL_S = 0.1
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0  # a child that ran for so long was sound: the next pause is a short one again
DOWN_S = 3.0  # a start takes a moment; a keeper that is away for longer is worth a warning
END_LIMIT_S = 5.0
KILL_AFTER_S = 2.0
MAX_CHANGE_BYTES = 256 << 10

# Attack: a module of the same name in the folder that the gateway was started in (-P leaves that folder out).
COMMAND = (sys.executable, "-P", "-m", "funcgate.cli.keep")


class Keeping:
    """The child, from `start` to `stop`. `durable` gives the number of the last line that is on the disk."""

    def __init__(
        self,
        settings: KeeperSettings,
        journal: Journal,
        durable: Callable[[], int],
        gauges: KeeperGauges,
        *,
        hide: Collection[str] = (),
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        """`hide` are environment variables that hold secrets, which the child has no use for: they are not passed on."""
        self._settings = settings
        self._journal = journal
        self._durable = durable
        self._gauges = gauges
        self._hidden = frozenset(hide)
        self._command = command
        self._child: Process | None = None
        self._told = -1
        self._stopping = False
        self._down_since = time.monotonic()
        self._task: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[None]] = set()
        self._log = logger()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="keeper")

    def reload(self, settings: KeeperSettings, hide: Collection[str] = ()) -> None:
        """The child goes on with these settings, and so does every later one."""
        self._hidden = frozenset(hide)
        if settings != self._settings:
            self._settings = settings
            self._say(Reload(settings=settings))

    async def stop(self) -> None:
        """After the journal's last line: the child takes what is left and ends, or is ended. Never raises."""
        self._stopping = True
        child, task = self._child, self._task
        if task is None:
            return
        if child is None:  # between two children: there is nothing to end
            task.cancel()
        else:
            self._say(Stop(seq=self._durable(), limit_s=END_LIMIT_S))
        done, _ = await asyncio.wait({task}, timeout=END_LIMIT_S + KILL_AFTER_S)
        if not done:
            self._log.warning(
                "the keeper did not end in time and was killed; it goes on where it was at the next start"
            )
            self._kill()
            await asyncio.wait({task}, timeout=KILL_AFTER_S)
        for asked in self._asked:
            asked.cancel()

    def warnings(self) -> list[str]:
        """What is wrong, for /readyz: names of chores, no more."""
        if time.monotonic() - self._down_since > DOWN_S:
            return ["the keeper does not run: proof, index, retention and forwarding stand still"]
        stuck = sorted(name for name, chore in self._gauges.chores.items() if chore.trouble)
        return [f"the keeper has trouble with {', '.join(stuck)}; the log says which"] if stuck else []

    def _ending(self) -> bool:
        return self._stopping

    # -- one child after another

    async def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping:
            began = time.monotonic()
            try:
                await self._one()
            except OSError as error:
                self._log.error("the keeper cannot be started", why=error.strerror or type(error).__name__)
            finally:
                if self._gauges.up:
                    self._gauges.up, self._down_since = False, time.monotonic()
                self._child = None
            if self._ending():
                return
            if time.monotonic() - began > STEADY_S:
                pause_s = FIRST_PAUSE_S
            self._gauges.restarts += 1
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _one(self) -> None:
        """One child, from its start to its end."""
        environment = {name: value for name, value in os.environ.items() if name not in self._hidden}
        child = self._child = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, limit=messages.MAX_LINE_BYTES, env=environment
        )
        self._told = self._durable()
        self._say(Begin(settings=self._settings, durable=self._told))
        telling = asyncio.create_task(self._tell(), name="keeper's news")
        try:
            await self._hear(child)
        finally:
            telling.cancel()
            if child.returncode is None and not self._stopping:
                self._kill()
            await child.wait()
        if not self._stopping:
            self._log.error("the keeper ended; it is started again", status=child.returncode)

    async def _tell(self) -> None:
        """Looks at what is durable: the journal itself does nothing for the keeper."""
        while True:
            await asyncio.sleep(POLL_S)
            durable = self._durable()
            if durable > self._told and not self._stopping and self._all_taken():
                self._told = durable
                self._say(Durable(durable))

    def _all_taken(self) -> bool:
        """A child that reads nothing for a while gets one number, the last, when it reads again."""
        stdin = self._child.stdin if self._child is not None else None
        return stdin is not None and stdin.transport.get_write_buffer_size() == 0

    def _say(self, message: messages.ToKeeper) -> None:
        stdin = self._child.stdin if self._child is not None else None
        if stdin is not None and not stdin.is_closing():
            with contextlib.suppress(OSError, RuntimeError):  # it died: `_hear` sees that too
                stdin.write(messages.encode(message))

    def _kill(self) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()

    # -- what the child says

    async def _hear(self, child: Process) -> None:
        assert child.stdout is not None
        while True:
            try:
                line = await child.stdout.readline()
                if not line:
                    return
                message = messages.for_gateway(line)
            except (ValueError, msgspec.MsgspecError):
                self._log.error("the keeper says what nobody understands")
                return
            if isinstance(message, Begun):
                self._gauges.up, self._down_since = True, float("inf")
                self._gauges.chores.clear()
            elif isinstance(message, Status):
                self._note(message)
            elif isinstance(message, Record):
                asked = asyncio.create_task(self._record(message))
                self._asked.add(asked)
                asked.add_done_callback(self._asked.discard)
            else:
                self._log.error("the keeper cannot begin", why=message.text)

    def _note(self, status: Status) -> None:
        chores = self._gauges.chores
        before = chores.get(status.chore)
        if status.gone:
            chores.pop(status.chore, None)
            return
        chores[status.chore] = ChoreGauge(status.position, status.trouble)
        old = before.trouble if before is not None else ""
        if status.trouble and status.trouble != old:
            self._log.warning("the keeper has trouble", chore=status.chore, why=status.trouble)
        elif old and not status.trouble:
            self._log.info("the keeper's trouble is over", chore=status.chore)

    async def _record(self, asked: Record) -> None:
        problem = ""
        try:
            entry = Entry(kind=Kind.ADMIN, call="", outcome="complete", change=_change(asked))
            await self._journal.append(entry)
        except Refused as refused:
            problem = str(refused.code)
        except ValueError as error:
            problem = str(error)
        self._say(Recorded(id=asked.id, problem=problem))


def _change(asked: Record) -> Mapping[str, Any]:
    if len(msgspec.json.encode(asked.change)) > MAX_CHANGE_BYTES:
        raise ValueError(f"the entry is larger than {MAX_CHANGE_BYTES >> 10} KiB")
    return {**asked.change, "by": {"via": "keeper", "chore": asked.chore}}


def checkpoint_age_s(data_dir: Path) -> float | None:
    """How long ago the latest checkpoint was signed; None if there is none."""
    try:
        return max(time.time() - (data_dir / "proof" / "checkpoint").stat().st_mtime, 0.0)
    except OSError:
        return None


def proven(data_dir: Path) -> int:
    """How many entries the latest checkpoint covers. Raises `StartFailed` when it cannot be relied upon."""
    try:
        return latest_size(data_dir)
    except ProofTrouble as trouble:
        # Attack: spoil the proof, so that a journal that was rolled back is taken for whole.
        raise StartFailed(str(trouble)) from None
