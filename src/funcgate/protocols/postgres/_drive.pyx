# cython: language_level=3, embedsignature=True, nonecheck=True
"""What carries plain statements without the session's task: Drive, and the compiled halves of stream.py and quick.py.

Drive runs one coroutine after the other, from the loop's callbacks as a task does, with less around it. Without it the session's task carries every call."""

cimport cython

from asyncio import CancelledError, current_task, tasks as _tasks
from asyncio.tasks import _enter_task, _leave_task

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Contains, PyDict_DelItem, PyDict_SetItem, PyDict_Size
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(object coroutine, object given, PyObject **result) except? PYGEN_ERROR
    PySendResult sent_quietly "PyIter_Send"(PyObject* coroutine, PyObject* given, PyObject** result) noexcept
    str PyUnicode_Substring(object text, Py_ssize_t start, Py_ssize_t end)
    Py_ssize_t Py_REFCNT(PyObject* of)
    object PyObject_GenericGetDict(object of, void* unused)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memchr, memcmp, memcpy, memset

import msgspec

from funcgate.core._digest cimport Begun
from funcgate.core._native cimport Names, Permit
from funcgate.catalog.sql import own_text as _own_text
from funcgate.core.call import Call as _Call
from funcgate.core.digest import Begun as _Begun
from funcgate.core.ids import new_id as _new_id
from funcgate.core.ports import CallerGone as _CallerGone
from funcgate.core.reply import Reply as _Reply
from funcgate.wire.postgres.frames import Malformed as _Malformed
from funcgate.wire.postgres.values import SPELLED as _SPELLED

cdef extern from *:
    """
    #include <time.h>
    static double monotonic_s(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    }
    static double now_s(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    }
    static int failed(void) { return -1; } /* with what is raised already */
    """
    int failed() except -1
    double monotonic_s()
    double now_s()

cdef Names _names = None
if type(getattr(_new_id, "__self__", None)) is not Names:
    raise ImportError("names of another kind")
_names = _new_id.__self__

cdef enum:
    QUERY = 81  # Q
    BIND = 66  # B
    STEPS = 3  # that are taken in one turn of the loop: up to where it is decided, recorded and sent
    EXECUTE_SIZE = 15  # of an Execute of all rows of the unnamed portal, and a Sync


cdef class Quick
cdef class Drive

include "../../core/_shape.pxi"
include "../../wire/postgres/_messages.pxi"
include "../../wire/postgres/_asking.pxi"
include "_stream.pxi"


cdef dict _seen_in_asyncio():
    """The dict where asyncio keeps what task is current in each loop; None where it keeps that elsewhere."""
    loop, task = object(), object()
    kept = getattr(_tasks, "_current_tasks", None)
    if type(kept) is not dict:
        return None
    try:
        _enter_task(loop, task)
        try:
            entered = kept.get(loop) is task
        finally:
            _leave_task(loop, task)
        if not entered or loop in kept:
            return None
        kept[loop] = task
        try:
            entered = current_task(loop) is task
        finally:
            del kept[loop]
    except Exception:
        return None
    return kept if entered else None


cdef dict _current = _seen_in_asyncio()


cdef class Round:
    """Those that go on at the next turn of the loop, one after the other: the steps of calls that came together are taken together,
    while their code is in the processor's caches."""

    cdef object _loop
    cdef list _waiting
    cdef object _go
    cdef Drive _inside  # the current task
    cdef bint _called
    cdef bint _alone  # whoever goes on now is the only one
    cdef int _left  # steps

    def __init__(self, loop):
        self._loop = loop
        self._waiting = []
        self._go = self._all

    cdef int add(self, Drive drive) except -1:
        self._waiting.append(drive)
        if not self._called:
            self._called = True
            self._loop.call_soon(self._go)
        return 0

    def _all(self):
        cdef list waiting
        cdef Drive drive
        # What they share the loop with has its turn, too: not more than these steps.
        self._left = STEPS
        try:
            while self._left > 0 and self._waiting:
                self._left -= 1
                waiting, self._waiting = self._waiting, []
                self._alone = len(waiting) == 1
                for each in waiting:
                    drive = <Drive> each
                    try:
                        self._enter(drive)
                        drive.resume()
                    except Exception as error:
                        self._loop.call_exception_handler({"message": "a statement's end was not followed up", "exception": error})
        finally:
            self._alone = False
            self._called = bool(self._waiting)
            if self._called:
                self._loop.call_soon(self._go)
            self._leave()

    cdef bint goes_on(self):
        """Whether the next step may be taken at once: there are no others that would take theirs together with it."""
        if not self._alone or self._left == 0 or self._waiting:
            return False
        self._left -= 1
        return True

    cdef int _enter(self, Drive drive) except -1:
        """It is the current task now, until another one is."""
        if _current is None:
            self._leave()
            _enter_task(self._loop, drive)
        else:
            if self._inside is None and PyDict_Contains(_current, self._loop):
                raise RuntimeError("another task is running")
            PyDict_SetItem(_current, self._loop, drive)
        self._inside = drive
        return 0

    cdef int _leave(self) except -1:
        drive, self._inside = self._inside, None
        if drive is None:
            return 0
        if _current is None:
            _leave_task(self._loop, drive)
        else:
            PyDict_DelItem(_current, self._loop)
        return 0


cdef Round _round = None


cdef Round round_of(loop):
    global _round
    if _round is None or _round._loop is not loop:
        _round = Round(loop)
    return _round


cdef class Drive:
    """To what runs, it is the current task (`asyncio.timeout`); a prompt (`armed`) is what it may wait with.

    `over` is told of the end of each coroutine, with the exception that ended it or None.
    """

    cdef object _loop
    cdef object _coroutine
    cdef object _waits  # a future, this drive as a prompt, or None
    cdef object _failure  # what the prompt ends with
    cdef object _to_throw
    cdef bint _running
    cdef bint _fired
    cdef bint _turning
    cdef int _cancels
    cdef Round _round

    cdef int over(self, error) except -1:
        return 0

    cdef int start(self, coroutine) except -1:
        """From the next turn on."""
        if self._coroutine is not None:
            raise RuntimeError("one is running")
        self._coroutine = coroutine
        self._cancels = 0
        self._fired = False
        self._failure = self._to_throw = None
        return self._later()

    # What it waits with.

    cpdef Drive armed(self):
        self._fired = False
        self._failure = None
        return self

    def done(self):
        return self._fired

    def set_result(self, _):
        self.fire(None)

    def set_exception(self, error):
        self.fire(error)

    cdef int fire(self, error) except -1:
        if self._fired:
            return 0
        self._fired = True
        self._failure = error
        if self._waits is self:
            self._go()
        return 0

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if not self.is_over():
            return self
        raise StopIteration

    cdef bint is_over(self) except -1:
        """Whether the wait is over; raises what it ended with."""
        if not self._fired:
            return False
        self._fired = False
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return True

    # What a task can.

    def cancel(self, msg=None):
        if self._coroutine is None:
            return False
        self._cancels += 1
        waits = self._waits
        if waits is None or waits is self or not waits.cancel():
            self._to_throw = CancelledError()
            if waits is self:
                self._waits = None
                self._later()
        return True

    def uncancel(self):
        if self._cancels > 0:
            self._cancels -= 1
        return self._cancels

    def cancelling(self):
        return self._cancels

    def stop(self):
        """End what runs, from within whatever task this is; as far as it lets itself be ended."""
        if self._coroutine is None or self._running:
            return
        task = current_task(self._loop)
        if task is not None:
            _leave_task(self._loop, task)
        try:
            self._to_throw = CancelledError()
            self._step()
        finally:
            if task is not None:
                _enter_task(self._loop, task)

    # How it goes on.

    cdef int _later(self) except -1:
        if not self._turning:
            self._turning = True
            self._round.add(self)
        return 0

    cdef int resume(self) except -1:
        """On to the next wait, as the current task; here as far as that is a turn of the loop, or a wait with this drive."""
        cdef PyObject* found = NULL
        cdef PySendResult how = PYGEN_NEXT
        coroutine = self._coroutine
        self._turning = False
        if coroutine is None or self._waits is not None:
            return 0
        while self._to_throw is None:
            self._running = True
            how = sent_quietly(<PyObject*> coroutine, <PyObject*> None, &found)
            self._running = False
            if how == PYGEN_RETURN:
                Py_DECREF(<object> found)
                self._coroutine = coroutine = None  # what it was made of is there for the next one
                return self.over(None)
            if how == PYGEN_ERROR or self._to_throw is not None:
                break
            if found is <PyObject*> None:
                Py_DECREF(None)
                found = NULL
                if self._round.goes_on():
                    continue
                return self._later()
            if found is not <PyObject*> self or self._fired:
                break
            Py_DECREF(self)
            self._waits = self
            return 0
        return self._run(how, found)

    def prompted(self, future):
        """What it waits for is done; this may be said from within anything."""
        if future is self._waits:
            self._go()

    def _ready(self, future):
        if future is self._waits:
            self._step()

    cdef int _go(self) except -1:
        """On with it, at the next turn."""
        if self._running:
            return 0
        self._waits = None
        return self._later()

    cdef int _step(self) except -1:
        _enter_task(self._loop, self)
        try:
            return self._run(PYGEN_NEXT, NULL)
        finally:
            _leave_task(self._loop, self)

    cdef int _run(self, PySendResult how, PyObject* given) except -1:
        """As `resume`, whatever comes; from a step on that was taken and gave this (a reference), or NULL: none was taken."""
        cdef bint over = False
        coroutine = self._coroutine
        outcome = None
        self._waits = None
        self._running = True
        try:
            while not self._advance(coroutine, how, given):
                how, given = PYGEN_NEXT, NULL
        except StopIteration:
            over = True
        except BaseException as error:
            over, outcome = True, error
        finally:
            self._running = False
        if over or self._coroutine is None:
            self._coroutine = None
            self.over(outcome)
        return 0

    cdef bint _advance(self, coroutine, PySendResult how, PyObject* result) except -1:
        """One step, or what is to be done after it; whether it waits now, or is over (then there is no coroutine any more)."""
        if how == PYGEN_ERROR:
            failed()
        to_throw = None
        if result is NULL:
            to_throw, self._to_throw = self._to_throw, None
        if to_throw is not None:
            found = coroutine.throw(to_throw)
        else:
            if result is NULL:
                how = PyIter_Send(coroutine, None, &result)
            found = <object> result
            Py_DECREF(found)
            if how == PYGEN_RETURN:
                self._coroutine = None
                return True
        if self._to_throw is not None:  # cancelled by itself
            return False
        if found is None:
            if self._round.goes_on():
                return False
            self._later()
            return True
        if found is self:
            if self._fired:
                return False
            self._waits = self
            return True
        prompts = getattr(found, "prompts", None)
        if prompts is not None:
            prompts(self)
            self._waits = found
            return True
        if getattr(found, "_asyncio_future_blocking", None):
            found._asyncio_future_blocking = False
            found.add_done_callback(self._ready)
            self._waits = found
            return True
        self._to_throw = RuntimeError("something was awaited that nobody can wait for")
        return False


include "_standing.pxi"
include "_plain.pxi"
include "_quick.pxi"
include "_parts.pxi"
