# Types for the text of gateway.py: it is compiled as it is, and takes the place of the same names there. What is cimported here
# under a name that the text imports stands for that: a call of C.

from funcgate.core._native cimport Marks as Clock
from funcgate.core._native cimport Tally as Counter
from funcgate.core._native cimport new_marks as Marks, new_permit as Permit
from funcgate.recording._native cimport arrival, ended, masked_args, step, tape_of


cdef class Gateway:
    cdef object __weakref__
    cdef object _append, _note, _desk, _current, _meter, _unknowns
    cdef Counter _tally


cdef class Passage:
    cdef public object exchange, snapshot, append, principal, call, decision, unwritten, tape, outcome, code, approval
    cdef object _note
    cdef Counter _tally
    cdef public Py_ssize_t room
    cdef public bint open
    cdef readonly Clock marks
    cpdef arrived(self, call, masker)
    cpdef entry(self, kind)
    cpdef end(self)
