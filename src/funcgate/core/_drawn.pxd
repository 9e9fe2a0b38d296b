# An entry as the bytes of its line: see entry.py. Whoever cimports this is built for the very layout that stands here.

cdef class Drawn:
    cdef readonly object kind
    cdef readonly str call
    cdef char* line  # after the opening brace, up to the closing one; no newline. NULL: nothing is drawn
    cdef Py_ssize_t size  # of `line`
    cdef Py_ssize_t args_at  # where the arguments are in it,
    cdef readonly Py_ssize_t args_size  # and how many bytes: 0 for none
    cdef readonly Py_ssize_t body_size


cdef Drawn make_drawn(
    object kind, str call, const char* text, Py_ssize_t size, Py_ssize_t args_at, Py_ssize_t args_size, Py_ssize_t body_size
)


cdef class Taker:
    cdef object take(self, first, second)
    cdef int put_down(self, entry) except -1


cpdef Taker taker_of(journal)
