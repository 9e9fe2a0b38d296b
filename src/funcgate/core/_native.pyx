# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled halves of meter.py (what a call was and took, counted), marks.py, ids.py (names), turn.py and call.py."""

from cpython.array cimport array
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from os import urandom

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 most)
    char* PyUnicode_1BYTE_DATA(object text)

cdef extern from *:
    """
    #include <time.h>
    static long long unix_ms(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }
    """
    long long unix_ms()

include "_calls.pxi"

cdef enum:
    TOTAL = 64

cdef const char* ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"


cdef int add(dict counts, key, number) except -1:
    cdef PyObject* found = PyDict_GetItem(counts, key)
    PyDict_SetItem(counts, key, number if found is NULL else <object> found + number)
    return 0


cdef dict observe(tuple names, tuple counts, long long since, marks):
    """`Meter.observe`, given the names of the steps and the numbers of each."""
    cdef dict times = {}
    cdef long long took, mark
    cdef Py_ssize_t place, bits, steps = PyTuple_GET_SIZE(names)
    cdef array numbers
    cdef Marks taken = <Marks> marks if type(marks) is Marks else None
    cdef list told = None if taken is not None else <list?> marks
    if (PyList_GET_SIZE(told) if taken is None else STEPS) != steps or steps != PyTuple_GET_SIZE(counts):
        raise ValueError("marks for other steps")
    for place in range(steps):
        mark = taken.at[place] if taken is not None else <object> PyList_GET_ITEM(told, place)
        if not mark:
            continue
        took = (mark - since) // 1000 if mark > since else 0
        since = mark
        PyDict_SetItem(times, <object> PyTuple_GET_ITEM(names, place), took)
        numbers = <array> PyTuple_GET_ITEM(counts, place)
        bits = 0
        if len(numbers) <= TOTAL:
            raise ValueError("no such histogram")
        numbers.data.as_ulonglongs[TOTAL] += took
        while took:
            took >>= 1
            bits += 1
        numbers.data.as_ulonglongs[bits] += 1
    return times


cdef class Tally:
    """What `Meter.over` adds to, which is the meter's."""

    cdef dict _calls
    cdef dict _masked
    cdef tuple _names
    cdef tuple _counts

    def __init__(self, dict calls not None, dict masked not None, tuple names not None, tuple counts not None):
        self._calls, self._masked, self._names, self._counts = calls, masked, names, counts

    def over(self, target, decision, code, long long since, marks not None, masked, /):
        """See `meter.Over`."""
        add(self._calls, (target, decision, code), 1)
        for name, number in masked.items():
            add(self._masked, name, number)
        return observe(self._names, self._counts, since, marks)


cdef class Names:
    """`ids._Names`, and what it counts on from."""

    cdef long long _second
    cdef unsigned long long _count
    cdef char _name[26]
    cdef bint _marked

    def __cinit__(self):
        self._second = -1

    def mark(self, str letters not None):
        """See `ids.mark`, which has looked at them."""
        cdef bytes given = letters.encode()
        cdef int place
        if len(given) != 8:
            raise ValueError("no mark")
        for place in range(8):
            self._name[10 + place] = given[place]
        self._marked, self._second = True, -1

    def new_id(self, at=None):
        """See `ids.new_id`."""
        return self.next(unix_ms() if at is None else <long long> (at * 1000))

    cpdef str next(self, long long millisecond):
        """See `ids._Names.next`."""
        cdef int place
        cdef unsigned long long left
        if millisecond >> 10 != self._second:
            self._begin(millisecond >> 10)
        self._name[8] = ALPHABET[millisecond >> 5 & 31]
        self._name[9] = ALPHABET[millisecond & 31]
        self._count += 1
        left = self._count
        for place in range(25, 17, -1):
            self._name[place] = ALPHABET[left & 31]
            left >>= 5
        name = PyUnicode_New(26, 127)
        cdef char* into = PyUnicode_1BYTE_DATA(name)
        for place in range(26):
            into[place] = self._name[place]
        return <str> name

    cdef int _begin(self, long long second) except -1:
        cdef bytes drawn = urandom(10)
        cdef unsigned long long start = 0
        cdef int place
        cdef unsigned long long left = 0
        for place in range(5):
            left = left << 8 | <unsigned char> drawn[place]
            start = start << 8 | <unsigned char> drawn[5 + place]
        self._second = second
        for place in range(7, -1, -1):
            self._name[place] = ALPHABET[second & 31]
            second >>= 5
        for place in range(17, 9, -1):
            if not self._marked:
                self._name[place] = ALPHABET[left & 31]
            left >>= 5
        self._count = start & ((<unsigned long long> 1 << 40) - 1) >> 1
        return 0


cdef tuple ONCE = (None,)


cdef class Turn:
    """`turn.Turn`: an iterator that gives way once."""

    def __await__(self):
        return iter(ONCE)
