cdef enum:
    STEPS = 9  # as meter.STEPS

cdef class Marks:
    cdef long long at[STEPS]
    cdef readonly long long since
    cpdef over(self, int step)
