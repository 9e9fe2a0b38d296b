# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of outbox.py."""

from cpython.bytearray cimport PyByteArray_GET_SIZE
from cpython.tuple cimport PyTuple_GET_SIZE

from funcgate.core._drawn cimport Taker
from funcgate.stores._native cimport Packing

from funcgate.core.turn import TURN
from funcgate.stores.journal_files._intake import Durable
from funcgate.stores.lines import packing
from funcgate.stores.parcels import HEAD

from .outbox import FULL_BYTES, MOST_AT_ONCE

cdef Py_ssize_t _FULL_BYTES = FULL_BYTES
cdef Py_ssize_t _MOST_AT_ONCE = MOST_AT_ONCE
cdef Py_ssize_t _HEAD_SIZE = HEAD.size
MOST = 1 << 60
cdef object _TURN = TURN
cdef object _Durable = Durable
cdef Packing _packing = packing


cdef class Outbox(Taker):
    """See outbox.py."""

    cdef object _journal
    cdef object _loop
    cdef bint _relaxed
    cdef Py_ssize_t _max_queue
    cdef Py_ssize_t _max_queue_bytes
    cdef public bint healthy
    cdef public bint armed
    cdef public bint due
    cdef public Py_ssize_t depth
    cdef public Py_ssize_t bytes
    cdef public Py_ssize_t groups
    cdef public Py_ssize_t entries
    cdef public bytearray parcel
    cdef public dict waiters

    def __init__(self, journal, loop, bint relaxed, max_queue, max_queue_bytes):
        self._journal = journal
        self._relaxed = relaxed
        self._max_queue = min(max_queue, MOST)  # so that nothing that is doubled here grows too large
        self._max_queue_bytes = min(max_queue_bytes, MOST)
        self._loop = loop
        self.empty()

    def empty(self):
        self.parcel = bytearray(_HEAD_SIZE)
        self.groups = self.entries = 0
        self.waiters = {}

    def append(self, *entries):
        return self._append(entries)

    cdef object take(self, first, second):
        """`append`, of one entry or two."""
        return self._append((first,) if second is None else (first, second))

    cdef object _append(self, tuple entries):
        cdef Py_ssize_t many = PyTuple_GET_SIZE(entries)
        if not self.healthy:
            self._journal.judge(entries)
        if self.depth + many > self._max_queue or self.bytes > self._max_queue_bytes or many > _MOST_AT_ONCE:
            self._journal.overloaded()
        if self._relaxed:
            self._add(entries, None)
            return _TURN if self._has_room() else self._journal.hold()
        waiter = _Durable(self._loop)  # its own: cancelling one caller must not cancel another
        self._add(entries, waiter)
        return waiter

    def note(self, *entries):
        self._note(entries)

    cdef int put_down(self, entry) except -1:
        """`note`, of one entry."""
        return self._note((entry,))

    cdef int _note(self, tuple given) except -1:
        cdef Py_ssize_t at
        if self.depth > self._max_queue or self.bytes > self._max_queue_bytes:
            given = self._journal.thinned(given)
        if 0 < PyTuple_GET_SIZE(given) <= _MOST_AT_ONCE:
            return self._add(given, None)
        for at in range(0, PyTuple_GET_SIZE(given), _MOST_AT_ONCE):
            self._add(given[at : at + _MOST_AT_ONCE], None)
        return 0

    def add(self, tuple entries not None, waiter):
        self._add(entries, waiter)

    def has_room(self):
        return self._has_room()

    cdef int _add(self, tuple entries, waiter) except -1:
        cdef bytearray parcel = self.parcel
        cdef Py_ssize_t before = PyByteArray_GET_SIZE(parcel) if self.groups else 0, many = PyTuple_GET_SIZE(entries)
        _packing.pack_in(parcel, entries, waiter is not None)
        if waiter is not None:
            self.waiters[self.groups] = waiter
        self.groups += 1
        self.entries += many
        self.depth += many
        self.bytes += PyByteArray_GET_SIZE(parcel) - before
        if PyByteArray_GET_SIZE(parcel) >= _FULL_BYTES or not many:
            self._journal.push()
        elif waiter is not None and not self.due:
            self._journal.turn()
        elif not self.armed and not self.due:
            self._journal.arm()
        return 0

    cdef inline bint _has_room(self) noexcept:
        return 2 * self.depth <= self._max_queue and 2 * self.bytes <= self._max_queue_bytes
