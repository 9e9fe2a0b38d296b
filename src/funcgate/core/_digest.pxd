# For whoever goes on with a digest without a call of Python's: see digest.py.

cdef struct State:
    unsigned long long words[32]  # 256 bytes; SHA256_CTX has 112


cdef class Begun:
    cdef State _state

    cpdef over(self, bytes rest)
    cdef str over_all(self, const char* rest, Py_ssize_t size)
