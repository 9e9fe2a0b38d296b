# For who makes entries without a call of Python's: see entries.py.

cpdef arrival(call, args)
cpdef step(kind, call_id, call, approval, decision, version)
cdef object ended(call_id, call, approval, decision, version, outcome, code, times, const long long* us, status, counts, recorded)
