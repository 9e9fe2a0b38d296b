# Types for the text of gateway.py: it is compiled as it is, and takes the place of the same names there. What is cimported here
# under a name that the text imports stands for that: a call of C.

cimport cython

from funcgate.core._drawn cimport Taker, taker_of
from funcgate.core._native cimport Marks as Clock
from funcgate.core._native cimport Tally as Counter
from funcgate.core._native cimport new_marks as Marks, new_permit as Permit
from funcgate.recording._native cimport arrival, ended, masked_args, step, tape_of


cdef class Gateway:
    cdef object __weakref__
    cdef object _append, _desk, _current, _unknowns
    cdef Taker _taker
    cdef Counter _tally


@cython.freelist(16)
cdef class Passage:
    cdef public object exchange, snapshot, principal, call, decision, unwritten, tape, outcome, code, approval
    cdef Taker _taker
    cdef Counter _tally
    cdef public Py_ssize_t room
    cdef public bint open
    cdef readonly Clock marks
    cpdef arrived(self, call, masker)
    cpdef entry(self, kind)
    cpdef write(self, first, second)
    cpdef end(self)
