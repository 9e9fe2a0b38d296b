# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of intake.py, with the batch that it fills, the time as clock.py writes it, and course.py."""

from cpython.bytearray cimport PyByteArray_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from cpython.set cimport PySet_Add, PySet_Discard
from cpython.tuple cimport PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec

import time

from funcgate.core._drawn cimport Drawn, Taker
from funcgate.core.entry import Kind, decode_line
from funcgate.core.turn import TURN
from funcgate.stores._native cimport Lines
from funcgate.stores.lines import adding

from .intake import ENOUGH

cdef object _TURN = TURN
cdef Lines _adding = adding
if _adding is None:
    raise ImportError("lines are pure Python's")
cdef object _ARRIVED = Kind.ARRIVED
cdef object _ASKED = Kind.ASKED
cdef object _ALLOWED = Kind.ALLOWED
cdef object _ENDED = Kind.ENDED
cdef object _CHUNK = Kind.CHUNK
cdef enum:
    PREFIX = 20  # of `2026-11-21T09:30:00.`
    SPARE = 2
    MOST_SPARE = 1 << 20  # bytes of each
    NEXT = 1280  # bytes of lines, as many as come together

include "_durable.pxi"
include "_batch.pxi"


cdef class Intake(Taker):
    """See intake.py."""

    cdef object _journal
    cdef object _clock
    cdef object _loop
    cdef bint _relaxed
    cdef Py_ssize_t _max_queue
    cdef Py_ssize_t _max_queue_bytes
    cdef bint _systems_clock
    cdef double _last
    cdef long long _second
    cdef char _text[PREFIX + 7]
    cdef public bint healthy
    cdef public bint takes_notes
    cdef public bint armed
    cdef public bint lingering
    cdef public Py_ssize_t enough
    cdef public Py_ssize_t seq
    cdef public Py_ssize_t depth
    cdef public Py_ssize_t flying_bytes
    cdef public set open
    cdef public Batch next
    cdef public Batch flying

    def __init__(self, journal, clock, bint relaxed, Py_ssize_t max_queue, Py_ssize_t max_queue_bytes):
        self._journal = journal
        self._clock = clock
        self._relaxed = relaxed
        self._max_queue = max_queue
        self._max_queue_bytes = max_queue_bytes
        self._systems_clock = clock.now is time.time
        self._last = -1.0
        self._second = -1
        self.enough = ENOUGH
        self.open = set()
        self.next = Batch(1)

    def loop(self, loop):
        self._loop = loop

    cpdef str stamp(self):
        return PyUnicode_DecodeASCII(self._text, PREFIX + 7, NULL) if self._stamps() else self._careful_stamp()

    cdef bint _stamps(self) except -1:
        """Whether the time is in `_text` now; else it is one for the clock."""
        cdef timespec at
        cdef double now
        cdef long long second
        cdef int us, place
        if not self._systems_clock or self._last < 0 or clock_gettime(CLOCK_REALTIME, &at) != 0:
            return False
        now = <double> (<long long> at.tv_sec * 1000000000 + at.tv_nsec) / 1e9  # as Python's, to the last bit
        if now < self._last:
            return False
        self._last = now
        second = <long long> now
        if second != self._second:
            prefix = (<str> self._clock.prefix(second)).encode()
            if len(prefix) != PREFIX:
                return False
            memcpy(self._text, <const char*> prefix, PREFIX)
            self._text[PREFIX + 6] = c"Z"
            self._second = second
        us = <int> ((now - <double> second) * 1e6)
        for place in range(PREFIX + 5, PREFIX - 1, -1):
            self._text[place] = c"0" + us % 10
            us //= 10
        return True

    cdef str _careful_stamp(self):
        """By the clock, which knows what to do when it was set back: until it has caught up."""
        if self._last > self._clock.last:
            self._clock.last = self._last
        at = self._clock.stamp()
        self._last = -1.0 if self._clock.behind else self._clock.last
        return at

    def append(self, *entries):
        cdef Py_ssize_t many = PyTuple_GET_SIZE(entries)
        if 0 < many < 3:
            return self.take(entries[0], entries[1] if many > 1 else None)
        return self._append(entries)

    cdef object take(self, first, second):
        """`append`, of one entry or two."""
        if self._relaxed and self.healthy and self._has_room(1 if second is None else 2) and self._draw(first, second):
            if not self.armed:
                self._journal.arm()
            return _TURN
        return self._append((first,) if second is None else (first, second))

    cdef object _append(self, tuple entries):
        cdef Batch batch = self.next
        if not self.healthy:
            self._journal.judge(entries)
        if not self._has_room(PyTuple_GET_SIZE(entries)):
            self._journal.overloaded()
        self.add(entries)
        if self._relaxed:
            batch.note(entries)
            if not self.armed:
                self._journal.arm()
            return _TURN
        batch.appended.append(entries)
        waiter = Durable(self._loop)
        batch.waiters.append(waiter)
        if self.flying is None and (not self.lingering or PyList_GET_SIZE(batch.waiters) >= self.enough):
            self._journal.gather()
        return waiter

    def note(self, *entries):
        if PyTuple_GET_SIZE(entries) == 1:
            self.put_down(entries[0])
        else:
            self._note(entries)

    cdef int put_down(self, entry) except -1:
        """`note`, of one entry."""
        if not (self.takes_notes and self._has_room(0) and self._draw(entry, None)):
            self._note((entry,))
        elif not self.armed and self.flying is None and not self.next.waiters:
            self._journal.arm()
        return 0

    cdef int _note(self, tuple entries) except -1:
        cdef Batch batch = self.next
        cdef tuple given = entries
        if not self.takes_notes:
            self._journal.keep(given)
            return 0
        if not self._has_room(0):
            given = self._journal.thinned(given)
        self.add(given)
        batch.note(given)
        if not self.armed and self.flying is None and not batch.waiters:
            self._journal.arm()
        return 0

    cdef inline bint _has_room(self, Py_ssize_t many) noexcept:
        return (
            self.depth + many <= self._max_queue
            and self.flying_bytes + PyByteArray_GET_SIZE(self.next.lines) <= self._max_queue_bytes
        )

    cdef bint _draw(self, first, second) except -1:
        """Add what is drawn, one or two, and note it. False: it is not, or cannot be, and nothing was done."""
        cdef Batch batch = self.next
        cdef Py_ssize_t before = PyByteArray_GET_SIZE(batch.lines), many = 1 if second is None else 2
        cdef bytes careful
        cdef bint added
        if type(first) is not Drawn or (second is not None and type(second) is not Drawn):
            return False
        if self._stamps():
            added = _adding.draw_in(batch.lines, <Drawn> first, <Drawn> second, self.seq, self._text, PREFIX + 7)
        else:
            careful = self._careful_stamp().encode()
            added = _adding.draw_in(batch.lines, <Drawn> first, <Drawn> second, self.seq, careful, len(careful))
        if not added:
            return False
        self.seq += many
        batch.count += many
        self.depth += many
        batch._note_span(before, PyByteArray_GET_SIZE(batch.lines))
        ask_for(batch.lines, NEXT)
        self._turned((<Drawn> first).kind, (<Drawn> first).call)
        if second is not None:
            self._turned((<Drawn> second).kind, (<Drawn> second).call)
        return True

    cdef inline int _turned(self, kind, call) except -1:
        """Which calls are open."""
        if kind is _CHUNK or kind is _ALLOWED:
            return 0
        if kind is _ARRIVED or kind is _ASKED:
            PySet_Add(self.open, call)
        elif kind is _ENDED:
            PySet_Discard(self.open, call)
        return 0

    cpdef add(self, tuple entries):
        cdef Batch batch = self.next
        cdef Py_ssize_t many = PyTuple_GET_SIZE(entries)
        cdef bytes careful
        if self._stamps():
            self.seq = _adding.add_in(batch.lines, entries, self.seq, self._text, PREFIX + 7)
        else:
            careful = self._careful_stamp().encode()
            self.seq = _adding.add_in(batch.lines, entries, self.seq, careful, len(careful))
        batch.count += many
        self.depth += many
        for entry in entries:
            if type(entry) is Drawn:
                self._turned((<Drawn> entry).kind, (<Drawn> entry).call)
            else:
                self._turned(entry.kind, entry.call)


include "_course.pxi"
