# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of ahead.py: whole lines of a journal, one behind the other, with their checksums looked at.

It stops at the first line that is anything but plain: what that one is, is judged in Python.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp

include "../stores/_crc.pxi"

cdef enum:
    TAIL = 18  # bytes of `,"crc":"XXXXXXXX"}`
    LONGEST_TIME = 40
    DIGITS = 18  # of a number: it fits


cdef bint timely(char c) noexcept nogil:
    """Whether a time may have this character."""
    return c'0' <= c <= c'9' or c'A' <= c <= c'Z' or c'a' <= c <= c'z' or c == c':' or c == c'.' or c == c'+' or c == c'-'


cdef bint is_crc(const char* at, unsigned int crc) noexcept nogil:
    cdef int place
    for place in range(8):
        if at[place] != b"0123456789abcdef"[crc >> (28 - 4 * place) & 15]:
            return False
    return True


def whole_lines(bytes block not None, long long last, long long up_to, Py_ssize_t most, Py_ssize_t room):
    """The lines that the block begins with, the number of each above `last` and at most `up_to`: at most so many, of so many
    bytes in all. Their table as `Run` wants it, and how many bytes they are; None if a number does not rise.
    """
    cdef const char* begin = PyBytes_AS_STRING(block)
    cdef Py_ssize_t whole = PyBytes_GET_SIZE(block), used = 0
    cdef const char* end = begin + whole
    cdef const char* p = begin
    cdef const char* q
    cdef long long seq
    cdef Py_ssize_t size, left = room
    cdef long long* row
    cdef long long* rows
    most = min(most, whole // (TAIL + 17) + 1)  # no line is shorter
    if most <= 0:
        return b"", 0
    rows = <long long*> malloc(3 * sizeof(long long) * most)
    if rows is NULL:
        raise MemoryError
    try:
        while used < most and p < end:
            q = <const char*> memchr(p, c'\n', end - p)
            if q is NULL:
                break
            size = q - p
            seq = number_of(p, q) if size <= left else -1
            if seq < 0 or seq > up_to:
                break
            if seq <= last:
                return None
            # Attack: a line that a crash or a disk spoilt, taken for one that was written.
            if not is_crc(q - 10, crc_of(None, p, size - TAIL)):
                break
            row = rows + 3 * used
            row[0], row[1], row[2] = seq, p - begin, size
            used += 1
            last = seq
            left -= size
            p = q + 1
        return PyBytes_FromStringAndSize(<char*> rows, 3 * sizeof(long long) * used), room - left
    finally:
        free(rows)


cdef long long number_of(const char* p, const char* q) noexcept nogil:
    """The number of a line, which ends before `q`; -1 for one that is anything but plain."""
    cdef const char* at = p + 7
    cdef const char* time
    cdef long long seq = 0
    if q - p < TAIL + 16 or memcmp(p, b'{"seq":', 7) != 0 or memcmp(q - TAIL, b',"crc":"', 8) != 0:
        return -1
    while at - p < 7 + DIGITS and c'0' <= at[0] <= c'9':
        seq = 10 * seq + (at[0] - c'0')
        at += 1
    if at == p + 7 or memcmp(at, b',"at":"', 7) != 0:
        return -1
    at += 7
    time = at
    while at < q and at - time < LONGEST_TIME and timely(at[0]):
        at += 1
    if at >= q or at[0] != c'"' or memcmp(q - 2, b'"}', 2) != 0:
        return -1
    return seq
