# For who adds lines without a call of Python's.

from funcgate.core._drawn cimport Drawn

cdef class Lines:
    cdef object _encode
    cdef object _mend

    cdef Py_ssize_t add_in(self, bytearray buffer, tuple entries, Py_ssize_t seq, const char* at, Py_ssize_t at_size) except -1
    cdef bint draw_in(
        self, bytearray buffer, Drawn first, Drawn second, Py_ssize_t seq, const char* at, Py_ssize_t at_size
    ) except -1


cdef class Packing:
    cdef object _mend

    cdef int pack_in(self, bytearray buffer, tuple entries, bint waits) except -1
    cdef int _pack(self, bytearray buffer, tuple entries, bint waits) except -1
