# The compiled halves of call.py (`Shared`, `Permit`), principal.py (`Tokens`) and marks.py.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from cpython.dict cimport PyDict_Clear, PyDict_Size
from cpython.long cimport PyLong_FromVoidPtr
from cpython.unicode cimport PyUnicode_Compare

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #include <time.h>
    /* Whether these are the same bytes; how long it takes depends on nothing but their number. */
    static int same_bytes(const char *one, const char *other, Py_ssize_t size) {
        volatile uint64_t differ = 0;
        uint64_t seen = 0, x, y;
        Py_ssize_t at = 0;
        for (; at + 8 <= size; at += 8) {
            memcpy(&x, one + at, 8);
            memcpy(&y, other + at, 8);
            seen |= x ^ y;
        }
        for (; at < size; at++) seen |= (uint64_t)(unsigned char)(one[at] ^ other[at]);
        differ = seen;
        return differ == 0;
    }
    static long long monotonic_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    """
    long long monotonic_ns()
    bint same_bytes(const char* one, const char* other, Py_ssize_t size)

cdef enum:
    MOST_READERS = 64


@cython.freelist(16)
cdef class Marks:
    """See marks.py."""

    def __cinit__(self):
        cdef int step
        self.since = monotonic_ns()  # of the same clock as time.perf_counter_ns
        for step in range(STEPS):
            self.us[step] = -1

    cpdef over(self, int step):
        if not 0 <= step < STEPS:
            raise IndexError
        self.at[step] = monotonic_ns()

    def __iter__(self):
        return iter([self.at[step] for step in range(STEPS)])

    @staticmethod
    def of(long long since, marks):
        """For tests: as if it was then."""
        cdef Marks made = Marks()
        cdef int step
        made.since = since
        for step in range(STEPS):
            made.at[step] = marks[step]
        return made

    def times(self, names):
        """By the names of the steps, as `Meter.observe` gives them. Once the call is over."""
        return {name: self.us[step] for step, name in zip(range(STEPS), names) if self.us[step] >= 0}


cdef Marks new_marks():
    """`Marks`."""
    return Marks.__new__(Marks)


cdef class Shared:
    """See `call.Shared`."""

    def __init__(self, args):
        self.args = args
        self._known = {}

    cpdef recall(self, reader):
        cdef PyObject* found
        if reader is not None:
            if reader is self._one:
                return self._ones
            if reader is self._other:
                return self._others
        found = PyDict_GetItem(self._known, PyLong_FromVoidPtr(<void*> reader))
        if found is NULL or (<tuple> <object> found)[0] is not reader:
            return None
        return (<tuple> <object> found)[1]

    cpdef remember(self, reader, value):
        if PyDict_Size(self._known) >= MOST_READERS:
            PyDict_Clear(self._known)
            self._one = self._ones = None
        self._known[PyLong_FromVoidPtr(<void*> reader)] = reader, value
        if reader is not self._one:
            self._other, self._others = self._one, self._ones
        self._one, self._ones = reader, value


@cython.freelist(16)
cdef class Permit:
    """See `call.Permit`."""

    def __init__(self, str call_id not None, str digest not None):
        self.call_id = call_id
        self.digest = digest

    cpdef spend(self, str digest):
        if digest is None:
            raise TypeError("no digest")
        # Attack: approve one request, send another; or send the approved one twice.
        if self._spent or PyUnicode_Compare(digest, self.digest) != 0:
            from funcgate.core.call import PermitError
            raise PermitError("the permit was spent, or is for other bytes")
        self._spent = True


cdef Permit new_permit(call_id, digest):
    """`Permit`."""
    cdef Permit made = Permit.__new__(Permit)
    if type(call_id) is not str or type(digest) is not str:
        raise TypeError("no call, or no digest")
    made.call_id, made.digest = call_id, digest
    return made


cdef class Tokens:
    """See `principal.Tokens`. `make` makes a `RawToken`."""

    cdef object _make, _last
    cdef bytes _value

    def __init__(self):
        from funcgate.core.principal import RawToken
        self._make = RawToken

    def of(self, bytes value not None):
        # Attack: guess, piece by piece, the token that came before on a connection which a proxy shares among callers, by how
        # long a comparison takes. It takes as long for all values of one length.
        cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
        if (
            self._value is not None and PyBytes_GET_SIZE(self._value) == size
            and same_bytes(PyBytes_AS_STRING(self._value), PyBytes_AS_STRING(value), size)
        ):
            return self._last
        self._last = self._make(value)
        self._value = value
        return self._last
