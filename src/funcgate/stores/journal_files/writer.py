"""Batches to the disk, one at a time, in order, and nothing else: a thread of Python, and one of C for the plain ones.

It knows no entry. It never tries a failed segment again: it withdraws what was not durable, waits until the disk works
(or goes on in the reserve, if that is just full), and says so.
"""

import asyncio
import contextlib
import errno
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from funcgate.core.native import half

from .ahead import Ahead
from .batch import Batch
from .folder import free_bytes, prove_writable, segment_name
from .reserve import Reserve, is_full
from .segment import Segment
from .way import Way

PROBE_BYTES = 64 << 10
WEIGH_BYTES = 2 << 20  # and in _quick.pxi
WEIGH_S = 0.1
FIRST_LOOK_S = 0.5
LONGEST_LOOK_S = 2.0  # with the probe itself well under the five seconds in which the journal is back
_native = half("funcgate.stores.journal_files._native")
if TYPE_CHECKING or _native is None:
    from .quick import Quick
else:
    Quick = _native.Quick


class Recovered(Struct, frozen=True):
    """There is a place for lines again. `number` is the last segment's. `void` names a segment that still holds refused lines
    after its byte `void_from`, "" if there is none."""

    number: int
    low: bool
    void: str = ""
    void_from: int = 0


class Reports(Protocol):
    """What the writer tells, on the event loop."""

    def on_written(self, batch: Batch, low: bool) -> None: ...
    def on_failed(self, batch: Batch | None, reason: str, recovered: Recovered | None = None) -> None: ...
    def on_spent(self) -> None: ...
    def on_space(self, low: bool) -> None: ...
    def on_recovered(self, recovered: Recovered) -> None: ...
    def on_stopped(self) -> None: ...


class Writer(Quick):
    """Owns the open segment. What comes before `_run` is called on the loop; everything else runs in Python's thread.

    Each system call in the thread gives up the interpreter's lock, and a busy loop gives it back late, after a dozen
    futile wake-ups. So it lends the segment to the loop, for so many bytes, while nothing is due but to append: batches
    then go to the disk in a thread of C (`_native.pyx`), and zeros ahead of them in another. With a batch that fails, is
    short, begins a segment, finds no zeros left, or little space free, the segment is the thread's again, once no zeros
    are under way. Never both have it.
    """

    def __init__(
        self,
        folder: Path,
        number: int,
        segment: Segment | None,
        reserve: Reserve,
        min_free_bytes: int,
        segment_bytes: int,
        reports: Reports,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._number = number
        self._segment = segment
        self._reserve = reserve
        self._min_free_bytes = min_free_bytes
        self._segment_bytes = segment_bytes
        self._reports = reports
        self._loop = loop
        self._way = Way(loop)
        self._deferred: Batch | None = None  # until the zeros under way are written
        self._given = 0  # jobs, counted on the loop
        self._taken = 0  # and in the thread
        self._jobs: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._condemned: Batch | None = None
        self._failed = ""
        self._cause: Exception = OSError(errno.EBADF, "no segment is open")
        self._full = False  # the next segment is the reserve
        self._low = False
        self._look_s: float | None = FIRST_LOOK_S
        self._make_at = 0.0
        self._thread = threading.Thread(target=self._run, name="funcgate-journal", daemon=True)

    def start(self) -> None:
        if _native is not None:
            with contextlib.suppress(OSError, NotImplementedError):
                pen = _native.Pen()
                self._loop.add_reader(pen.report, self._come_back)
                self._pen = pen
                self._ahead = Ahead(_native.Pen(), self._loop, self._zeroed)
        self._thread.start()

    def stop(self) -> None:
        """End after what was put; `on_stopped` follows."""
        if self._pen is not None:
            self._loop.remove_reader(self._pen.report)
        if self._ahead is not None:
            self._ahead.leave()
        self._jobs.put(None)

    def _hand_over(self, batch: Batch) -> None:
        self._lent = 0
        if self._ahead is not None and self._ahead.busy:
            self._deferred = batch  # Python's thread may cut, seal or close the segment
            return
        self._given += 1
        self._jobs.put(batch)
        self._way.watch(batch)

    def _zeroed(self) -> None:
        """A piece of zeros is on the disk, or was not to be written: then there are none left at some time, and Python's
        thread meets what is wrong."""
        batch, segment = self._deferred, self._segment
        if batch is not None:
            self._deferred = None
            self._hand_over(batch)
        elif self._ahead is not None and segment is not None and self._lent > 0:
            if self._quick is None:
                self._lent = segment.quick_bytes
            self._ahead.keep_up(segment, self._room)

    def _is_short(self, free: int) -> bool:
        """Whether the thread has to look at the free space itself. It lends while none of the reserve is missing."""
        if free < self._min_free_bytes:
            return True
        self._weighed(free, self._min_free_bytes)
        return False

    def _carried(self, batch: Batch, low: bool, lent: int) -> None:
        self._way.done()
        # Once for each report, here and not in the thread: there it costs the loop many times as much.
        if self._segment is not None and self._segment.removed:
            self._condemn(batch)
            return
        self._lent = lent
        self._reports.on_written(batch, low)

    def _condemn(self, batch: Batch) -> None:
        """Fail a batch that was written where nobody can find it."""
        self._condemned = batch
        self._hand_over(batch)

    def _refused(self, batch: Batch | None, text: str, recovered: Recovered | None = None) -> None:
        if batch is not None:
            self._way.done()
        self._reports.on_failed(batch, text, recovered)

    def _lend(self, taken: int, lent: int) -> None:
        if taken == self._given:  # and not handed back since
            self._lent = lent

    def _run(self) -> None:
        while True:
            try:
                batch = self._jobs.get(timeout=self._look_s)
            except queue.Empty:
                self._look()
                continue
            if batch is None:
                break
            self._carry(batch)
        self._finish()

    def _carry(self, batch: Batch) -> None:
        self._taken += 1
        if self._failed:
            self._tell(self._refused, batch, self._failed)
            return
        try:
            if batch is self._condemned:
                self._condemned = None
                raise OSError(errno.ENOENT, "the segment was removed")
            if batch.roll:
                self._roll(batch.roll)
            if self._segment is None:
                raise self._cause  # the batch was put before the failure was heard of
            if batch.begun is None:
                self._segment.write(batch.lines)
            else:
                self._segment.go_on(batch.lines, *batch.begun)
            self._unweighed += 0 if batch.begun else len(batch.lines)
            if self._low or self._unweighed > WEIGH_BYTES or monotonic() > self._weigh_at:
                self._weigh()
        except Exception as error:
            self._fail(batch, error)
            return
        lent = self._to_lend()
        self._tell(self._carried, batch, self._low, lent)
        if lent > 0:
            return  # the segment is the loop's now
        try:
            self._segment.zero_ahead(self._room)
        except Exception as error:
            self._fail(None, error)
            return
        lent = self._to_lend()
        if lent > 0 and self._jobs.empty():
            self._tell(self._lend, self._taken, lent)

    def _to_lend(self) -> int:
        """The bytes that need nothing but to be appended; 0 or less if something is due, or out of the ordinary."""
        if self._pen is None or self._look_s is not None or self._segment is None:
            return 0
        self._segment.open_second()
        return self._segment.quick_bytes

    def _roll(self, number: int) -> None:
        if self._segment is not None:
            self._segment.seal()
            self._segment = None
        if self._full and self._reserve.held:
            self._segment = self._reserve.give(number)
            self._tell(self._reports.on_spent)
        else:
            self._segment = Segment.create(self._folder, number)
        self._full = False
        self._number = number

    def _weigh(self) -> None:
        """Measure the free space. Low below what has to be free, and as long as the reserve is missing; no longer low at five
        quarters of both."""
        free = free_bytes(self._folder)
        wanted = self._min_free_bytes + self._reserve.missing
        self._low = free < (wanted + wanted // 4 if self._low else wanted)
        if self._reserve.missing and not self._low:
            self._low = not self._make_reserve()
        self._weighed(free, wanted)
        self._look_s = FIRST_LOOK_S if self._low else None

    def _weighed(self, free: int, wanted: int) -> None:
        self._unweighed = 0
        self._weigh_at = monotonic() + WEIGH_S
        self._room = min(free - wanted - self._min_free_bytes, self._segment_bytes)

    def _make_reserve(self) -> bool:
        """Twice a second at most: there may be space that is not for us, by a quota say."""
        if monotonic() < self._make_at:
            return False
        self._make_at = monotonic() + FIRST_LOOK_S
        with contextlib.suppress(OSError):
            self._reserve.make()
        return self._reserve.held

    def _fail(self, batch: Batch | None, error: Exception) -> None:
        # Attack: fill or pull the disk and go on unrecorded. From here on new calls are refused.
        self._cause = error
        self._failed = text = reason(error)
        self._look_s = FIRST_LOOK_S
        self._withdraw()
        self._tell(self._refused, batch, text, self._recovered() if self._may_spend(error) else None)

    def _may_spend(self, error: Exception) -> bool:
        """Whether the next segment may be the reserve. What is low stays low until there is a reserve again."""
        self._full = is_full(error) and self._reserve.held
        self._low = self._low or self._full
        return self._full

    def _withdraw(self) -> None:
        """Take the segment back to what is durable; it stays in `_segment` if that fails too."""
        segment = self._segment
        if segment is None:
            return
        try:
            segment.withdraw()
        except OSError:
            return
        self._segment = None
        if segment.length == 0:
            self._number = segment.number - 1

    def _look(self) -> None:
        """Nothing was put for a while: see whether the disk works again, or has space again."""
        try:
            if self._failed:
                self._withdraw()
                self._try()
                self._tell(self._reports.on_recovered, self._recovered())
            else:
                self._weigh()
                self._tell(self._reports.on_space, self._low)
        except Exception as error:
            if not self._failed:
                self._fail(None, error)
            self._look_s = min((self._look_s or FIRST_LOOK_S) * 1.5, LONGEST_LOOK_S)

    def _try(self) -> None:
        """Whether there is a place for lines: on the disk, or in the reserve. Raises `OSError`."""
        try:
            prove_writable(self._folder, PROBE_BYTES)
            self._weigh()
        except OSError as error:
            if not self._may_spend(error):
                raise

    def _recovered(self) -> Recovered:
        void, void_from = "", 0
        if self._segment is not None:  # works again, but not this file: leave it, and have that recorded
            void, void_from = segment_name(self._segment.number), self._segment.length
            self._segment.close()
            self._segment = None
        self._failed = ""
        return Recovered(self._number, self._low, void, void_from)

    def _finish(self) -> None:
        if self._pen is not None:
            self._pen.end()
        if self._ahead is not None:
            self._ahead.end()
        if self._segment is not None:
            with contextlib.suppress(OSError):  # zeros after the last line hurt nobody
                if not self._reserve.missing:
                    self._segment.trim()
            self._segment.close()
        self._tell(self._reports.on_stopped)

    def _tell(self, report: Callable[..., None], *what: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(report, *what)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more


def reason(error: Exception) -> str:
    """What went wrong, for the operator: the system's words, never a value."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror} ({errno.errorcode.get(error.errno, error.errno)})"
    return type(error).__name__
