# For whoever uses them without a call of Python's: see marks.py, meter.py, call.py and ids.py.

cdef enum:
    STEPS = 9  # as meter.STEPS
    KINDS = 16


cdef class Marks:
    cdef long long at[STEPS]
    cdef long long us[STEPS]  # microseconds; less than 0 for a step that was not taken
    cdef readonly long long since

    cpdef over(self, int step)


cdef class Tally:
    cdef public Py_ssize_t open_calls
    cdef dict _calls, _masked
    cdef tuple _held
    cdef list _kinds  # that came by: the same three objects are the same key
    cdef unsigned long long _more[KINDS]  # of each of these, that are not in `_calls` yet
    cdef unsigned long long* _counts[STEPS]

    cdef int _count(self, target, decision, code) except -1
    cdef int _settle(self, Py_ssize_t place) except -1
    cpdef over(self, target, decision, code, Marks marks, masked)


cdef class Shared:
    cdef readonly object args
    cdef readonly dict _known
    cdef object _one, _ones, _other, _others  # the two readers that remembered something last, and what: as in `_known`

    cpdef recall(self, reader)
    cpdef remember(self, reader, value)


cdef class Permit:
    cdef readonly str call_id, digest
    cdef bint _spent

    cpdef spend(self, str digest)


cdef class Names:
    cdef long long _second
    cdef unsigned long long _count
    cdef char _name[26]
    cdef bint _marked

    cpdef str next(self, long long millisecond)
    cdef str new(self)
    cdef int _begin(self, long long second) except -1


cdef Marks new_marks()
cdef Permit new_permit(call_id, digest)
