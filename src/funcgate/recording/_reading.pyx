# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of ahead.py: whole lines of a journal, one behind the other, with their checksums looked at.

It stops at the first line that is anything but plain: what that one is, is judged in Python.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp

from funcgate.recording.folder import Line

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


def whole_lines(bytes block not None, str segment not None, long long offset, long long last, long long up_to, Py_ssize_t most, Py_ssize_t room, list found not None):
    """Append the lines that the block begins with, the number of each above `last` and at most `up_to`, to `found`: at most
    so many, of so many bytes in all. How many bytes of the block they take with their newlines, and whether more may follow
    in the next block; -1 if a number does not rise. `offset` is that of the block in its segment.
    """
    cdef const char* begin = PyBytes_AS_STRING(block)
    cdef const char* end = begin + PyBytes_GET_SIZE(block)
    cdef const char* p = begin
    cdef const char* q
    cdef const char* at
    cdef const char* time
    cdef long long seq
    cdef Py_ssize_t size
    cdef bytes line, moment = b""  # the same for all lines that were written at once
    while most > 0 and p < end:
        q = <const char*> memchr(p, c'\n', end - p)
        if q is NULL:
            return p - begin, True
        size = q - p
        if size < TAIL + 16 or size > room or memcmp(p, b'{"seq":', 7) != 0 or memcmp(q - TAIL, b',"crc":"', 8) != 0:
            break
        at = p + 7
        seq = 0
        while at - p < 7 + DIGITS and c'0' <= at[0] <= c'9':
            seq = 10 * seq + (at[0] - c'0')
            at += 1
        if at == p + 7 or memcmp(at, b',"at":"', 7) != 0 or seq > up_to:
            break
        if seq <= last:
            return -1, False
        at += 7
        time = at
        while at < q and at - time < LONGEST_TIME and timely(at[0]):
            at += 1
        if at >= q or at[0] != c'"' or memcmp(q - 2, b'"}', 2) != 0:
            break
        line = PyBytes_FromStringAndSize(p, size)
        # Attack: a line that a crash or a disk spoilt, taken for one that was written.
        if not is_crc(q - 10, crc_of(None, PyBytes_AS_STRING(line), size - TAIL)):
            break
        if PyBytes_GET_SIZE(moment) != at - time or memcmp(PyBytes_AS_STRING(moment), time, at - time) != 0:
            moment = PyBytes_FromStringAndSize(time, at - time)
        found.append(Line(seq, moment, line, segment, offset + (p - begin)))
        last = seq
        most -= 1
        room -= size
        p = q + 1
    return p - begin, most > 0 and p == end
