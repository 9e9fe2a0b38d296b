# Types for the text of gateway.py: it is compiled as it is, and takes the place of the same names there.

from funcgate.core._native cimport Marks as Clock
from funcgate.core._native cimport Tally as Counter


cdef class Gateway:
    cdef object __weakref__
    cdef object _journal, _desk, _current, _meter, _unknowns


cdef class Passage:
    cdef public object exchange, snapshot, append, principal, call, decision, unwritten, tape, outcome, code, approval
    cdef object _journal
    cdef Counter _tally
    cdef public Py_ssize_t room
    cdef public bint open
    cdef readonly Clock marks
    cpdef arrived(self, call, masker)
    cpdef entry(self, kind)
    cpdef end(self)
