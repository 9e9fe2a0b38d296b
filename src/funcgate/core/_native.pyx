# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled halves of meter.py (what a call was and took, counted), marks.py, ids.py (names), turn.py and call.py."""

cimport cython
from cpython.array cimport array
from cpython.dict cimport PyDict_GetItem, PyDict_SetItem
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.string cimport memcpy
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
    static int bit_length(unsigned long long number) { return number ? 64 - __builtin_clzll(number) : 0; }
    """
    long long unix_ms()
    int bit_length(unsigned long long number)

include "_calls.pxi"

cdef enum:
    TOTAL = 64

cdef const char* ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"


cdef int add(dict counts, key, number) except -1:
    cdef PyObject* found = PyDict_GetItem(counts, key)
    PyDict_SetItem(counts, key, number if found is NULL else <object> found + number)
    return 0


cdef class Tally:
    """See `meter.Tally`. The times stay in the marks."""

    def __init__(self, dict calls not None, dict masked not None, counts):
        cdef int place
        cdef array numbers
        self._calls, self._masked, self._kinds = calls, masked, [None] * KINDS
        self._held = tuple([memoryview(one) for one in counts])  # so nobody can make one longer or shorter, and move it
        if len(self._held) != STEPS:
            raise ValueError("other steps")
        for place in range(STEPS):
            numbers = <array?> self._held[place].obj
            if len(numbers) <= TOTAL or numbers.typecode != "Q":
                raise ValueError("no such histogram")
            self._counts[place] = numbers.data.as_ulonglongs

    cdef int _settle(self, Py_ssize_t place) except -1:
        cdef unsigned long long more = self._more[place]
        if more:
            self._more[place] = 0
            add(self._calls, <object> PyList_GET_ITEM(self._kinds, place), more)
        return 0

    def settle(self):
        """See `meter.Tally`."""
        cdef Py_ssize_t place
        for place in range(KINDS):
            self._settle(place)

    cdef int _count(self, target, decision, code) except -1:
        cdef Py_ssize_t place = (<size_t> <PyObject*> target ^ <size_t> <PyObject*> code) >> 4 & KINDS - 1
        kind = <object> PyList_GET_ITEM(self._kinds, place)
        if (
            kind is None or <object> PyTuple_GET_ITEM(kind, 0) is not target
            or <object> PyTuple_GET_ITEM(kind, 1) is not decision or <object> PyTuple_GET_ITEM(kind, 2) is not code
        ):
            self._settle(place)
            self._kinds[place] = (target, decision, code)
        self._more[place] += 1
        return 0

    cpdef over(self, target, decision, code, Marks marks, masked):
        """See `meter.Tally`."""
        cdef int place
        cdef long long took, mark, since
        if marks is None:
            raise TypeError("no marks")
        self._count(target, decision, code)
        if type(masked) is not dict or <dict> masked:
            for name, number in masked.items():
                add(self._masked, name, number)
        since = marks.since
        for place in range(STEPS):
            mark = marks.at[place]
            if not mark:
                continue
            marks.us[place] = took = (mark - since) // 1000 if mark > since else 0
            since = mark
            self._counts[place][TOTAL] += took
            self._counts[place][bit_length(took)] += 1
        return marks


cdef class Names:
    """`ids._Names`, and what it counts on from."""

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

    cdef str new(self):
        """As `new_id` of now."""
        return self.next(unix_ms())

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
        memcpy(PyUnicode_1BYTE_DATA(name), self._name, 26)
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


cdef extern from *:
    """
    /* What a Turn awaits: gives way once. It is over without an exception where whoever awaits can take that. */
    typedef struct { PyObject_HEAD char gone; } Way;

    static PyObject *way_itself(PyObject *self) { return Py_NewRef(self); }

    static PyObject *way_next(PyObject *self) {
        if (((Way *)self)->gone) return NULL;
        ((Way *)self)->gone = 1;
        return Py_NewRef(Py_None);
    }

    static PySendResult way_send(PyObject *self, PyObject *value, PyObject **result) {
        PySendResult said = ((Way *)self)->gone ? PYGEN_RETURN : PYGEN_NEXT;
        ((Way *)self)->gone = 1;
        *result = Py_NewRef(Py_None);
        return said;
    }

    static PyAsyncMethods way_async = {.am_send = way_send};
    static PyTypeObject way_type = {
        PyVarObject_HEAD_INIT(NULL, 0).tp_name = "funcgate.core._native.Way", .tp_basicsize = sizeof(Way),
        .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, .tp_as_async = &way_async, .tp_iter = way_itself,
        .tp_iternext = way_next,
    };

    static int ready_way(void) { return PyType_Ready(&way_type); }

    static PyObject *new_way(void) {
        Way *made = PyObject_New(Way, &way_type);
        if (made != NULL) made->gone = 0;
        return (PyObject *)made;
    }
    """
    int ready_way() except -1
    object new_way()

ready_way()


cdef class Turn:
    """`turn.Turn`: an iterator that gives way once."""

    def __await__(self):
        return new_way()
