# An entry as the bytes of its line: see entry.py. Whoever cimports this is built for the very layout that stands here.

cdef class Drawn:
    cdef readonly object kind
    cdef readonly str call
    cdef readonly bytes text  # after the opening brace, up to the closing one; no newline
    cdef Py_ssize_t args_at  # where the arguments are in `text`,
    cdef readonly Py_ssize_t args_size  # and how many bytes: 0 for none
    cdef readonly Py_ssize_t body_size


cdef Drawn make_drawn(
    object kind, str call, const char* text, Py_ssize_t size, Py_ssize_t args_at, Py_ssize_t args_size, Py_ssize_t body_size
)
