# Types for the text of guest.py: it is compiled as it is, and takes the place of the same name there.

cdef class Guest:
    cdef object __weakref__
    cdef object _house, _in, _written, _told, _later, _last
    cdef str _mark
    cdef bint _relaxed, _prompt
    cdef Py_ssize_t _max_queue, _max_queue_bytes, _most_bytes, _unsaid, _unsaid_bytes
    cdef readonly Py_ssize_t _depth, _bytes
    cdef list _news
    cdef public set open
    cdef public bint here
    cpdef settled(self, parcel)
    cpdef answer(self)
