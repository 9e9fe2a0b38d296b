# For who makes entries without a call of Python's: see entries.py.

cpdef arrival(call, args)
cpdef step(kind, call_id, call, approval, decision, version)
cpdef ended(call_id, call, approval, decision, version, outcome, code, times, status, counts, recorded)
cpdef bytes masked_args(masker, call)
cpdef tape_of(masked, Py_ssize_t limit, call, append)
