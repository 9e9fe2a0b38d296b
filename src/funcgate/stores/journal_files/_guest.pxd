# Types for the text of guest.py: it is compiled as it is, and takes the place of the same name there.

cimport cython

from funcgate.stores.journal_files._parcel cimport Parcel as Piece


cdef class Guest:
    cdef object __weakref__
    cdef object _house, _in, _written, _told, _later, _last
    cdef str _mark
    cdef bint _relaxed, _prompt
    cdef Py_ssize_t _max_queue, _max_queue_bytes, _most_bytes, _unsaid, _unsaid_bytes, _bare
    cdef readonly Py_ssize_t _depth, _bytes
    cdef list _news
    cdef public set open
    cdef public bint here
    @cython.locals(parcel=Piece)
    cpdef take(self, bytes payload)
    cdef _begin(self, Piece parcel)
    cdef _join(self, Piece parcel, batch, bint waits)
    cdef _take_apart(self, Piece parcel)
    cpdef settled(self, Piece parcel)
    cpdef answer(self)
