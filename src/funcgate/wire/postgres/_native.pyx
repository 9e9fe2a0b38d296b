# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of frontend.py and of the answers: plain messages, split and turned into lines of JSON in one pass.

It decides nothing: whatever is not plain, or not right, gives None, and the pure modules say what it is. No place in a buffer
is read that was not compared with its end before.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memchr, memcmp, memcpy, memset

include "_messages.pxi"
include "_asking.pxi"


def rows(bytes data not None, tuple columns not None, encode):
    """The lines of all DataRows that the data begin with, where the last of them ends, and how many there are. `columns` are
    kinds and readers. None when one is not plain, or not right. Raises what readers raise (`ValueError`)."""
    cdef const unsigned char* begin = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef const unsigned char* at = begin
    cdef const unsigned char* end = begin + PyBytes_GET_SIZE(data)
    cdef bytes kinds = columns[0]
    cdef tuple readers = columns[1]
    cdef unsigned int size
    cdef Py_ssize_t count = 0
    cdef Lines out = Lines.__new__(Lines)
    out.make_room(PyBytes_GET_SIZE(data))
    while end - at >= 7 and at[0] == c"D":
        size = _long(at + 1)
        if size >= end - at:
            break
        if size < 6 or not _row(out, at + 5, at + 1 + size, kinds, readers, encode):
            return None
        at += 1 + size
        count += 1
    return out.all(), at - begin, count


def same(bytes text not None, Py_ssize_t at, bytes masked not None, Py_ssize_t masked_at, bytes raw not None, Py_ssize_t raw_at):
    """How far lines and masked lines are the same, from these places on: the places behind the last line that is, in the
    text, the masked text, and the messages in `raw` that the lines were made of. Raises `ValueError` when there are fewer
    messages than lines."""
    cdef const unsigned char* lines = <const unsigned char*> PyBytes_AS_STRING(text)
    cdef const unsigned char* others = <const unsigned char*> PyBytes_AS_STRING(masked)
    cdef const unsigned char* messages = <const unsigned char*> PyBytes_AS_STRING(raw)
    cdef const unsigned char* found
    cdef Py_ssize_t size, end = PyBytes_GET_SIZE(text), left
    cdef unsigned int length
    if at < 0 or masked_at < 0 or raw_at < 0:
        raise ValueError("no place in a text")
    while at < end:
        found = <const unsigned char*> memchr(lines + at, c"\n", end - at)
        if found is NULL:
            raise ValueError("a line without its end")
        size = found + 1 - (lines + at)
        left = PyBytes_GET_SIZE(masked) - masked_at
        if size > left or memcmp(lines + at, others + masked_at, size):
            break
        left = PyBytes_GET_SIZE(raw) - raw_at
        if left < 5:
            raise ValueError("a line without its message")
        length = _long(messages + raw_at + 1)
        if length < 4 or length >= left:
            raise ValueError("a line without its message")
        at += size
        masked_at += size
        raw_at += 1 + length
    return at, masked_at, raw_at


def answer(bytes data not None, str asked not None, shape, dict known not None, dict tags not None, encode):
    """A whole small answer that ends in a ReadyForQuery: its lines, how many rows, its columns' shape, and where what is for the
    caller begins behind the first message, if that is not all of it (else 0).

    `asked` are the messages that come before the rows: "2" a BindComplete, "T" a RowDescription for the caller, "-" one for the
    gateway; "" is a simple query. `shape` is that of rows that are not described, `known` are shapes by description, `tags` lines
    by tag. None for any other answer.
    """
    cdef Found found
    cdef Memo memo = Memo.__new__(Memo)
    lines = answered(data, asked, shape, known, tags, encode, memo, &found)
    return None if lines is None else (lines, found.rows, memo.shape if found.described else shape, found.hidden)


def query(bytearray data not None, Py_ssize_t at, Py_ssize_t most):
    """The text of the Query at `at`, if all of it is there, and all of its bytes. None for anything else, or of more than `most`."""
    return asked_query(data, at, most)


def run(bytearray data not None, Py_ssize_t at, Py_ssize_t most):
    """A Bind of the unnamed portal, a Describe of it or not, an Execute of all its rows and a Sync, if all of that is there:
    the statement's name, the formats of the values, the values, those of the results, whether it is described, all bytes.

    None for anything else, and where a name is not ASCII.
    """
    cdef Bound found = Bound.__new__(Bound)
    if not asked_run(data, at, most, found):
        return None
    return found.name, found.formats, found.values, found.results, found.described, found.raw
