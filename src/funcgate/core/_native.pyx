# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The compiled half of meter.py: the times of a call's steps, counted."""


def observe(dict steps not None, long long since, dict marks not None, Py_ssize_t total):
    """`Meter.observe`, given its steps and the place of the sum among the counts."""
    cdef dict times = {}
    cdef long long took, left
    cdef Py_ssize_t bits
    cdef list counts
    for name, mark in marks.items():
        took = (<long long> mark - since) // 1000
        since = mark
        times[name] = took
        counts = steps[name].counts
        bits, left = 0, took if took >= 0 else -took
        while left:
            left >>= 1
            bits += 1
        counts[bits] = counts[bits] + 1
        counts[total] = counts[total] + took
    return times
