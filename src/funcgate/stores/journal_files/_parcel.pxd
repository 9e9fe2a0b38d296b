# Types for the text of parcel.py: it is compiled as it is, and takes the place of the same names there.

cdef class Parcel:
    cdef public object guest, number
    cdef public bytes payload
    cdef public bint prompt
    cdef public Py_ssize_t size, count, groups_left
    cdef public list left, refused
    cpdef settle(self)
    cpdef settle_one(self)


cdef class Waits:
    cdef Parcel _parcel
    cdef object _entries
    cdef Py_ssize_t _place
