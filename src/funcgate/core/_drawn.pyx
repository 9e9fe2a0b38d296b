# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""Entries drawn: the bytes of their lines. Only compiled code makes any, and only of what it knows to be plain."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memchr, memcpy

import msgspec

cdef object RAW = msgspec.Raw

cdef enum:
    LINE = 1024  # bytes, at least, of a line's room
    SPARE = 64  # rooms that are kept for the next lines

cdef char* spare[SPARE]
cdef int spares = 0


@cython.final
@cython.no_gc
@cython.auto_pickle(False)
@cython.freelist(64)
cdef class Drawn:
    """See `entry.Drawn`."""

    def __init__(self):
        # Attack: text of somebody's own is written as it is.
        raise TypeError("drawn where it is made")

    def __dealloc__(self):
        global spares
        if self.line is NULL:
            return
        if self.size <= LINE and spares < SPARE:
            spare[spares] = self.line
            spares += 1
        else:
            PyMem_Free(self.line)

    @property
    def text(self):
        """See `entry.Drawn`."""
        return None if self.line is NULL else PyBytes_FromStringAndSize(self.line, self.size)

    @property
    def args(self):
        """See `entry.Entry`."""
        return RAW(PyBytes_FromStringAndSize(self.line + self.args_at, self.args_size)) if self.args_size else None


cdef char* room_for(Py_ssize_t size) except NULL:
    global spares
    cdef char* room
    if size <= LINE and spares > 0:
        spares -= 1
        return spare[spares]
    room = <char*> PyMem_Malloc(max(size, <Py_ssize_t> LINE))
    if room is NULL:
        raise MemoryError
    return room


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
    made.line, made.size = room_for(size), size
    memcpy(made.line, text, size)
    made.kind, made.call = kind, call
    made.args_at, made.args_size, made.body_size = args_at, args_size, body_size
    return made


cdef class Taker:
    """See taker.py. What takes entries itself is one."""

    cdef object take(self, first, second):
        """See `taker.Taker`."""
        raise NotImplementedError

    cdef int put_down(self, entry) except -1:
        """See `taker.Taker`."""
        raise NotImplementedError


@cython.final
cdef class Through(Taker):
    """Of a journal that is no taker."""

    cdef object _append, _note

    cdef object take(self, first, second):
        return self._append(first) if second is None else self._append(first, second)

    cdef int put_down(self, entry) except -1:
        self._note(entry)
        return 0


cpdef Taker taker_of(journal):
    """See taker.py: the taker that both methods belong to, where there is one."""
    cdef Through made
    append, note = journal.append, journal.note
    taker = getattr(append, "__self__", None)
    # Attack: entries that go past whoever wraps the journal, to seal them say. What is not the taker's very own method is called.
    if isinstance(taker, Taker) and append == taker.append and note == taker.note:
        return taker
    made = Through.__new__(Through)
    made._append, made._note = append, note
    return made
