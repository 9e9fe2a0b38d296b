# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""Entries drawn: the bytes of their lines. Only compiled code makes any, and only of what it knows to be plain."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memchr

import msgspec

cdef object RAW = msgspec.Raw


@cython.final
@cython.no_gc
@cython.auto_pickle(False)
@cython.freelist(64)
cdef class Drawn:
    """See `entry.Drawn`."""

    def __init__(self):
        # Attack: text of somebody's own is written as it is.
        raise TypeError("drawn where it is made")

    @property
    def args(self):
        """See `entry.Entry`."""
        return RAW(self.text[self.args_at : self.args_at + self.args_size]) if self.args_size else None


cdef Drawn make_drawn(
    object kind, str call, const char* text, Py_ssize_t size, Py_ssize_t args_at, Py_ssize_t args_size, Py_ssize_t body_size
):
    """Raises `ValueError` for what is no line."""
    cdef Drawn made
    if size < 2 or call is None or args_at < 0 or args_size < 0 or args_size > size - args_at or body_size < 0:
        raise ValueError("no line")
    # Attack: a raw newline inside spliced-in JSON forges a line of the journal.
    if text[size - 1] != c"}" or memchr(text, c"\n", size) is not NULL:
        raise ValueError("no line")
    made = Drawn.__new__(Drawn)
    made.kind, made.call, made.text = kind, call, PyBytes_FromStringAndSize(text, size)
    made.args_at, made.args_size, made.body_size = args_at, args_size, body_size
    return made
