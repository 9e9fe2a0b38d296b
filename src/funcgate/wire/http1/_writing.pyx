# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled half of writing.py: a whole answer, or a whole request, in one buffer of the right size."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcpy

cdef extern from "Python.h":
    void* PyUnicode_DATA(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef bytes _CALL_ID = b"Funcgate-Call-Id: ", _SPENT = b"\r\nServer-Timing: funcgate;dur=", _LENGTH = b"\r\nContent-Length: "
cdef bytes _VERSION = b" HTTP/1.1\r\n", _IDENTITY = b"accept-encoding: identity\r\nfuncgate-call-id: "
cdef bytes _TRACE = b"\r\ntraceparent: ", _LOWER_LENGTH = b"\r\ncontent-length: "
cdef frozenset _WITH_LENGTH = frozenset({b"POST", b"PUT", b"PATCH"})


cdef char* put(char* into, bytes text) noexcept:
    memcpy(into, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return into + PyBytes_GET_SIZE(text)


cdef char* put_text(char* into, str text) noexcept:
    memcpy(into, PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
    return into + PyUnicode_GET_LENGTH(text)


cdef char* put_field(char* into, tuple field) noexcept:
    into = put(into, <bytes> field[0])
    into[0], into[1] = c":", c" "
    into = put(into + 2, <bytes> field[1])
    into[0], into[1] = 13, 10
    return into + 2


cdef bytes decimal(unsigned long long number, int least):
    """With zeros in front, where there are less than `least` digits."""
    cdef char digits[24]
    cdef int at = 24
    while number or least > 0:
        at -= 1
        least -= 1
        digits[at] = <char> (c"0" + number % 10)
        number = number // 10
    return PyBytes_FromStringAndSize(digits + at, 24 - at)


cdef Py_ssize_t size_of(list fields) except -1:
    cdef Py_ssize_t size = 0
    for field in fields:
        if type(field) is not tuple or len(<tuple> field) != 2:
            raise TypeError("a field is a pair")
        size += PyBytes_GET_SIZE(<bytes?> (<tuple> field)[0]) + PyBytes_GET_SIZE(<bytes?> (<tuple> field)[1]) + 4
    return size


cdef class Answers:
    """`lines` are the status lines by status; `pure` writes what has another one."""

    cdef dict lines
    cdef object pure

    def __init__(self, dict lines not None, pure not None):
        self.lines, self.pure = lines, pure

    def write(self, status, list fields not None, str call_id not None, double spent_s, bytes body not None):
        """`writing.whole_answer`."""
        line = self.lines.get(status)
        if line is None or not 0 <= spent_s < 1e9 or not PyUnicode_IS_COMPACT_ASCII(call_id):
            return self.pure(status, fields, call_id, spent_s, body)
        return write_answer(<bytes?> line, fields, call_id, <long long> (spent_s * 1e6), body)


cdef bytes write_answer(bytes line, list fields, str call_id, long long spent_us, bytes body):
    cdef bytes whole_ms = decimal(spent_us // 1000, 1), part_ms = decimal(spent_us % 1000, 3)
    cdef bytes length = decimal(PyBytes_GET_SIZE(body), 1)
    cdef Py_ssize_t size = (
        PyBytes_GET_SIZE(line) + size_of(fields) + len(_CALL_ID) + PyUnicode_GET_LENGTH(call_id) + len(_SPENT) + len(whole_ms)
        + 1 + len(part_ms) + len(_LENGTH) + len(length) + 4 + PyBytes_GET_SIZE(body)
    )
    cdef bytes answer = PyBytes_FromStringAndSize(NULL, size)
    cdef char* into = put(PyBytes_AS_STRING(answer), line)
    for field in fields:
        into = put_field(into, <tuple> field)
    into = put(put_text(put(into, _CALL_ID), call_id), _SPENT)
    into = put(into, whole_ms)
    into[0] = c"."
    into = put(put(into + 1, part_ms), _LENGTH)
    into = put(into, length)
    memcpy(into, b"\r\n\r\n", 4)
    put(into + 4, body)
    return answer


def write_request(
    bytes method not None, str path not None, str query not None, bytes host_line not None, list fields not None,
    frozenset names not None, bytes lines not None, str call_id not None, bytes traceparent not None, bytes body not None,
):  # fmt: skip
    """`writing.whole_request`."""
    cdef list crossing = fields
    if not (PyUnicode_IS_COMPACT_ASCII(path) and PyUnicode_IS_COMPACT_ASCII(query) and PyUnicode_IS_COMPACT_ASCII(call_id)):
        raise ValueError("a request's path, query and name are ASCII")  # as UnicodeEncodeError is one
    size_of(fields)  # each is a pair of bytes
    if names:
        # Attack: send the credential's own field, in this spelling or with underscores.
        crossing = [field for field in fields if not is_one_of(<bytes> (<tuple> field)[0], names)]
    cdef bint has_length = len(body) > 0 or method in _WITH_LENGTH
    cdef bytes length = decimal(PyBytes_GET_SIZE(body), 1)
    cdef Py_ssize_t size = (
        len(method) + 1 + PyUnicode_GET_LENGTH(path) + (PyUnicode_GET_LENGTH(query) + 1 if query else 0) + len(_VERSION)
        + len(host_line) + size_of(crossing) + len(lines) + len(_IDENTITY) + PyUnicode_GET_LENGTH(call_id)
        + (len(_TRACE) + len(traceparent) if traceparent else 0) + (len(_LENGTH) + len(length) if has_length else 0)
        + 4 + len(body)
    )
    cdef bytes request = PyBytes_FromStringAndSize(NULL, size)
    cdef char* into = put(PyBytes_AS_STRING(request), method)
    into[0] = c" "
    into = put_text(into + 1, path)
    if query:
        into[0] = c"?"
        into = put_text(into + 1, query)
    into = put(put(into, _VERSION), host_line)
    for field in crossing:
        into = put_field(into, <tuple> field)
    into = put_text(put(put(into, lines), _IDENTITY), call_id)
    if traceparent:
        into = put(put(into, _TRACE), traceparent)
    if has_length:
        into = put(put(into, _LOWER_LENGTH), length)
    memcpy(into, b"\r\n\r\n", 4)
    put(into + 4, body)
    return request


cdef bint is_one_of(bytes name, frozenset names) except -1:
    return name in names or (memchr(PyBytes_AS_STRING(name), c"_", len(name)) != NULL and name.replace(b"_", b"-") in names)
