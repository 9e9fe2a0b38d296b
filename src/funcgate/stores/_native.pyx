# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The compiled half of lines.py: entries that need no mending as lines of the journal. What needs it is left to lines.py."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memchr, memcpy
from zlib import crc32

cdef enum:
    CRC = 19  # bytes of `,"crc":"XXXXXXXX"}` and the newline


def add_plain_lines(bytearray buffer not None, entries not None, Py_ssize_t number, str at not None, encode):
    """The quick way of `lines.add_lines`: the last number used; -1 when an entry has to be mended, with lines left in the
    buffer that the caller takes out again."""
    cdef bytes line
    cdef Py_ssize_t size, end, place
    cdef unsigned int crc
    cdef char* into
    for entry in entries:
        number += 1
        entry.seq = number
        entry.at = at
        line = encode(entry)
        size = len(line)
        # Attack: a raw newline inside spliced-in JSON forges a line of the journal.
        if size < 2 or line[size - 1] != c"}" or memchr(PyBytes_AS_STRING(line), c"\n", size) is not NULL:
            return -1
        end = len(buffer)
        PyByteArray_Resize(buffer, end + size - 1 + CRC)
        into = PyByteArray_AS_STRING(buffer) + end
        memcpy(into, PyBytes_AS_STRING(line), size - 1)
        crc = crc32(line[: size - 1])
        into += size - 1
        memcpy(into, b',"crc":"', 8)
        for place in range(8):
            into[8 + place] = b"0123456789abcdef"[crc >> (28 - 4 * place) & 15]
        memcpy(into + 16, b'"}\n', 3)
    return number
