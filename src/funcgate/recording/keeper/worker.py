"""One chore in its thread: fed with the journal's lines at its own pace, tried again when it fails, ended in order.

A chore that breaks stops nothing but itself.
"""

import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from funcgate.recording.chore import Chore, ChoreFailed, Complains
from funcgate.recording.follow import Follow, Recent

TICK_S = 1.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
CLOSING_S = 0.5  # of the time to end in, for the last tick and the end itself

# Two threads that import parts of the same package get each other's half-made modules: one chore is made at a time.
_MAKING = threading.Lock()


class Planned(NamedTuple):
    """A chore that shall run. `part` is what of the settings it depends on: another part needs another chore.

    `make` may raise `ChoreFailed`, and is then called again after a pause. One that does not follow the journal is given no
    lines, only ticks.
    """

    name: str
    part: Any
    make: Callable[[], Chore]
    follows: bool = True


class Worker:
    """Runs one chore until `stop`. All but `_run` and what it calls may be used from any thread and does not block.

    `recent` is what the chores of one keeper share of the journal.
    """

    def __init__(self, planned: Planned, journal: Path, durable: int, recent: Recent | None = None) -> None:
        self.name = planned.name
        self.part = planned.part
        self.position = 0
        self.trouble = ""
        self._make = planned.make
        self._follows = planned.follows
        self._journal = journal
        self._recent = recent if recent is not None else Recent()
        self._durable = durable
        self._tried = -1
        self._stopping = False
        self._end = float("inf")
        self._changed = threading.Condition()
        self._chore: Chore | None = None
        self._follow: Follow | None = None
        self._pause_s = FIRST_PAUSE_S
        self._tick_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"keeper-{planned.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def durable(self, seq: int) -> None:
        with self._changed:
            self._durable = max(self._durable, seq)
            self._changed.notify()

    def stop(self, end: float) -> None:
        """Take what is left, tick, close, by `end` (monotonic); then `join`."""
        with self._changed:
            self._stopping, self._end = True, end
            self._changed.notify()

    def join(self) -> bool:
        """Whether it has ended, in the time that it was given."""
        self._thread.join(max(self._end - monotonic(), 0.0))
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping:
            if self._guarded(self._take_all):
                self._pause_s, self.trouble = FIRST_PAUSE_S, self._complaint()
                self._wait(self._tick_at - monotonic(), lambda: self._durable > self._tried)
            else:
                self._wait(self._pause_s, lambda: False)
                self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        if self._guarded(self._take_all):
            self.trouble = ""
            self._guarded(self._tick)
        self._close()

    def _wait(self, timeout_s: float, news: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or news(), max(timeout_s, 0.0))

    def _take_all(self) -> None:
        chore = self._chore
        if chore is None:
            with _MAKING:
                chore = self._chore = self._make()
        if self._follow is None:
            self._follow = Follow(self._journal, chore.position, recent=self._recent)
        while monotonic() < self._end - CLOSING_S:
            self._tried = self._durable
            lines = self._follow.read(self._tried) if self._follows else ()
            if lines:
                chore.take(lines)
            self.position = chore.position if self._follows else self._tried
            if monotonic() >= self._tick_at:
                self._tick()
            if not lines:
                break

    def _tick(self) -> None:
        self._tick_at = monotonic() + TICK_S
        if self._chore is not None:
            self._chore.tick()
            self.position = self._chore.position if self._follows else self._tried

    def _complaint(self) -> str:
        return self._chore.complaint[:1000] if isinstance(self._chore, Complains) else ""

    def _guarded(self, work: Callable[[], None]) -> bool:
        """Whether it went well. The lines that were not dealt with are read again."""
        try:
            work()
        except ChoreFailed as failed:
            self._failed(str(failed))
        except OSError as error:
            self._failed(f"{error.strerror or type(error).__name__}: {error.filename or 'the journal'}")
        except Exception as error:
            # What it knows may be wrong now: begin anew with what it had dealt with for good.
            self._failed(f"broke: {_place(error)}")
            self._close()
        else:
            return True
        return False

    def _failed(self, trouble: str) -> None:
        self.trouble = trouble[:1000] or "failed"
        self._follow = None
        self._recent.forget()
        self._tick_at = 0.0  # it is well again only once that works, too

    def _close(self) -> None:
        chore, self._chore, self._follow = self._chore, None, None
        if chore is None:
            return
        try:
            chore.close()
        except Exception as error:
            self.trouble = f"broke at its end: {_place(error)}"


def _place(error: BaseException) -> str:
    """What broke and where, without the exception's text: it may hold what nobody should read."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(error).__name__}{where}"
