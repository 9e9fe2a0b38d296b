"""Carries checkpoints to one destination, in a thread of its own: at least once, in order, again and again until it is there.

A destination that fails stops nobody else. Of what waits, the newest is kept: it covers all that came before.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from .checkpoints import Signed
from .copies import CopyFailed, Destination

MAX_WAITING = 64
LEAST_PAUSE_S, MOST_PAUSE_S = 1.0, 60.0


class CopyStatus(Struct, frozen=True):
    """How far a destination is: the tree's size in the last copy that arrived (-1: none yet), and why the next did not."""

    to: str
    size: int
    waiting: int
    dropped: int
    problem: str = ""


class Courier:
    """`to` names the destination for the operator; `make` opens it, in the thread."""

    def __init__(self, to: str, make: Callable[[], Destination]) -> None:
        self.to = to
        self._make = make
        self._waiting: deque[Signed] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._size = -1
        self._dropped = 0
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name=f"copies to {to}", daemon=True)
        self._thread.start()

    def offer(self, signed: Signed) -> None:
        """Queue a checkpoint. Never blocks: the oldest that waits gives way."""
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(signed)
            self._changed.notify_all()

    @property
    def status(self) -> CopyStatus:
        with self._changed:
            return CopyStatus(self.to, self._size, len(self._waiting), self._dropped, self._problem)

    def close(self, timeout_s: float) -> None:
        """One more try for the newest, then end. Waits at most `timeout_s`."""
        with self._changed:
            self._closing = True
            while len(self._waiting) > 1:
                self._waiting.popleft()
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = LEAST_PAUSE_S
        destination: Destination | None = None
        while (signed := self._next()) is not None:
            try:
                destination = destination or self._make()
                destination.put(signed)
            except Exception as error:  # a copy that fails in whatever way must not end the courier
                text = str(error) if isinstance(error, CopyFailed | ValueError) else type(error).__name__
                if not self._failed(text, pause_s):
                    return
                pause_s = min(2 * pause_s, MOST_PAUSE_S)
            else:
                pause_s = LEAST_PAUSE_S
                self._arrived(signed)

    def _next(self) -> Signed | None:
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return None
                self._changed.wait()
            return self._waiting[0]

    def _arrived(self, signed: Signed) -> None:
        with self._changed:
            self._size, self._problem = signed.size, ""
            if self._waiting and self._waiting[0] is signed:
                self._waiting.popleft()

    def _failed(self, text: str, pause_s: float) -> bool:
        """Wait before the next try; False when there is none any more."""
        with self._changed:
            self._problem = text
            if self._closing:
                return False
            until = time.monotonic() + pause_s
            while not self._closing and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return True
