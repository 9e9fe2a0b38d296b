# The compiled half of company.py and of course.py. Included by _intake.pyx, whose batches it hands over.

from time import monotonic

from .company import LEAST_S, LONGEST_S, MOST_LEFT_OUT
from .course import LINGER_TURNS, TICK_S
from .segment import CHUNK_BYTES

cdef double _least_s = LEAST_S
cdef double _longest_s = LONGEST_S
cdef double _tick_s = TICK_S
cdef int _most_left_out = MOST_LEFT_OUT
cdef int _linger_turns = LINGER_TURNS
cdef Py_ssize_t _enough = ENOUGH
cdef Py_ssize_t _chunk_bytes = CHUNK_BYTES


cdef class Company:
    """See company.py."""

    cdef object _clock  # None: the system's
    cdef double _begun_at
    cdef double _until
    cdef int _times
    cdef int _left_out
    cdef readonly Py_ssize_t expected

    def __init__(self, now=monotonic):
        self._clock = None if now is monotonic else now
        self.expected = _enough
        self._times = 1

    cdef double _now(self) except? -1:
        cdef timespec at
        if self._clock is None and clock_gettime(CLOCK_MONOTONIC, &at) == 0:
            return <double> (<long long> at.tv_sec * 1000000000 + at.tv_nsec) / 1e9
        return monotonic() if self._clock is None else self._clock()

    cpdef begun(self, Py_ssize_t came):
        if self._left_out:
            self._left_out -= 1
        elif came >= self.expected:
            self._times = max(self._times // 2, 1)
        self._begun_at = self._now()

    cpdef Py_ssize_t landed(self, Py_ssize_t released, Py_ssize_t queued) except -1:
        cdef double now = self._now()
        self.expected = max(min(released + queued, _enough), 1)
        self._until = now + min(max(now - self._begun_at, _least_s), _longest_s)
        return self.expected

    cpdef double patience_s(self) except? -1:
        return 0.0 if self._left_out or self.expected < 2 else self._until - self._now()

    cpdef missed(self):
        self._times = min(2 * self._times, _most_left_out)
        self._left_out = self._times


cdef class Course:
    """See course.py."""

    cdef object _journal
    cdef Intake _in
    cdef object _clock
    cdef double _lag_s
    cdef Py_ssize_t _segment_bytes
    cdef object _loop
    cdef object _writer
    cdef object _timer
    cdef object _watch
    cdef object _turning
    cdef int _turns
    cdef Py_ssize_t _seen
    cdef bint _overdue
    cdef public Company company
    cdef public bint failed
    cdef public bint low
    cdef public Py_ssize_t durable_seq
    cdef public Py_ssize_t segment
    cdef public Py_ssize_t size

    def __init__(self, journal, Intake intake not None, clock, double lag_s, Py_ssize_t segment_bytes):
        self._journal = journal
        self._in = intake
        self._clock = clock
        self._lag_s = lag_s
        self._segment_bytes = segment_bytes
        self.company = Company()

    def begin(self, loop, writer):
        self._loop = loop
        self._writer = writer
        self._turning = self._turn_over

    def gather(self):
        if PyList_GET_SIZE(self._in.next.waiters) >= self._in.enough:
            self.hand_over()
        else:
            self._linger(self._in.next.count)

    cdef int _linger(self, Py_ssize_t seen) except -1:
        cdef double patience_s, wait_s
        self._in.lingering = True
        patience_s = self.company.patience_s()
        if patience_s > 0:
            wait_s = max(patience_s, 2 * _tick_s)
            if self._watch is not None and <double> self._watch.when() > <double> self._loop.time() + wait_s + _tick_s:
                self._watch.cancel()
                self._watch = None
            if self._watch is None:
                self._watch = self._loop.call_later(wait_s, self._out_of_patience)
        else:
            self._turns = _linger_turns
            self._seen = seen
            self._loop.call_soon(self._turning)
        return 0

    def _out_of_patience(self):
        self._watch = None
        if not self._in.lingering or self._turns:
            return
        if self.company.patience_s() > _tick_s:
            self._watch = self._loop.call_later(2 * _tick_s, self._out_of_patience)
            return
        self.hand_over()
        self.company.missed()

    def _turn_over(self):
        cdef Py_ssize_t count = self._in.next.count
        if not self._turns:
            return
        self._turns -= 1
        if count > self._seen and self._turns:
            self._seen = count
            self._loop.call_soon(self._turning)
        else:
            self.hand_over()

    cpdef hand_over(self):
        cdef Intake intake = self._in
        cdef Batch batch = intake.next
        if intake.flying is not None:
            return
        self.leave()
        if self.failed or not (batch.count or PyList_GET_SIZE(batch.waiters)):
            return
        if self._clock.set_back_s:
            self._journal.set_back()
        self._overdue = False
        self.company.begun(PyList_GET_SIZE(batch.waiters))
        intake.flying = batch
        intake.flying_bytes = PyByteArray_GET_SIZE(batch.lines)
        self.size += intake.flying_bytes
        if self.size >= self._segment_bytes and not self.low:
            intake.next = self._journal.new_segment()
        else:
            intake.next = Batch(intake.seq + 1)
        self._writer.put(batch)

    cpdef arm(self):
        self._in.armed = True
        self._timer = self._loop.call_later(self._lag_s, self._tick)

    def _tick(self):
        self._in.armed = False
        self._overdue = self._in.flying is not None
        self.hand_over()

    def on_written(self, Batch batch not None, bint low):
        cdef Intake intake = self._in
        cdef Batch queued
        cdef Py_ssize_t waiting
        intake.flying = None
        intake.flying_bytes = 0
        self.durable_seq = intake.next.first_seq - 1
        intake.depth -= batch.count
        if low != self.low:
            self._journal.on_space(low)
        queued = intake.next
        waiting = PyList_GET_SIZE(queued.waiters)
        intake.enough = self.company.landed(PyList_GET_SIZE(batch.waiters), waiting)
        if self._overdue or PyByteArray_GET_SIZE(queued.lines) >= _chunk_bytes or waiting >= intake.enough:
            self.hand_over()
        elif queued.count and not waiting and not intake.armed:
            self.arm()
        batch.wake()
        for parcel in batch.parcels:
            parcel.settle()
        for parcel in batch.parcels:
            parcel.guest.answer()
        if PyList_GET_SIZE(intake.next.waiters) and intake.flying is None and not intake.lingering:
            self._linger(0)

    cpdef leave(self):
        self._in.lingering = False
        self._turns = 0

    def end(self):
        for timer in (self._timer, self._watch):
            if timer is not None:
                timer.cancel()
