# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled half of requests.py and responses.py: heads of the plain form and as much of their bodies as came with them,
read in one pass; and chunks of the plain form (RFC 9112, 7.1).

It refuses nothing and mends nothing. What is not of the plain form goes back before anything is changed, and llhttp takes it:
what is a message, and why it is refused, is decided there alone.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_SetItem, PyDict_Size
from cpython.object cimport PyTypeObject
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject* kind, Py_ssize_t items)

include "_fields.pxi"


cdef object blank(object kind):
    """An object of this class, with nothing set."""
    return PyType_GenericAlloc(<PyTypeObject*> kind, 0)


cdef Py_ssize_t walk(Place* place, Place end, Py_ssize_t* left, char* into) noexcept:
    """Go on with a chunked body, up to its end or what is not plain; how many bytes of the body there are, copied if there is a
    place for them. `left` is what the present chunk lacks, its CRLF included; 0 before a size; -1 once the body is complete."""
    cdef Place at = place[0], after
    cdef Py_ssize_t rest = left[0], size = 0, take, chunk
    cdef int digits, value
    while True:
        if rest > 2:
            take = rest - 2 if rest - 2 < end - at else end - at
            if into != NULL:
                memcpy(into + size, at, take)
            size += take
            at += take
            rest -= take
            if rest > 2:
                break
        if rest == 2:
            if at == end or at[0] != 13:
                break
            at += 1
            rest = 1
        if rest == 1:
            if at == end or at[0] != 10:
                break
            at += 1
            rest = 0
        after, chunk, digits = at, 0, 0
        while after < end and digits < 8:
            value = hexadecimal(after[0])
            if value < 0:
                break
            chunk = chunk * 16 + value
            after += 1
            digits += 1
        # Attack: an extension, a zero too many, a size that overflows, a bare LF: each reader ends such a chunk elsewhere.
        if digits == 0 or digits == 8 or end - after < 2 or after[0] != 13 or after[1] != 10:
            break
        if at[0] == c"0":
            # Attack: trailers are fields that nobody judged with the head. They are llhttp's, and its user's.
            if digits == 1 and end - after >= 4 and after[2] == 13 and after[3] == 10:
                at = after + 4
                rest = -1
            break
        at = after + 2
        rest = chunk + 2
    place[0] = at
    left[0] = rest
    return size


cdef int hexadecimal(unsigned char digit) noexcept:
    if c"0" <= digit <= c"9":
        return digit - c"0"
    digit |= 32
    return digit - c"a" + 10 if c"a" <= digit <= c"f" else -1


cdef bytes unchunked(Place* place, Place end, Py_ssize_t* left):
    """The same: the bytes of the body."""
    cdef Place counted = place[0]
    cdef Py_ssize_t rest = left[0]
    cdef Py_ssize_t size = walk(&counted, end, &rest, NULL)
    cdef bytes body = PyBytes_FromStringAndSize(NULL, size)
    walk(place, end, left, PyBytes_AS_STRING(body))
    return body


def chunks(bytes data not None, Py_ssize_t left):
    """Go on with a chunked body: its bytes in `data`, where it ended or is not plain any more, and what is left (see `walk`)."""
    cdef Place start = <Place> PyBytes_AS_STRING(data), at = start
    if left < 0:
        raise ValueError("the body is complete")
    body = unchunked(&at, start + PyBytes_GET_SIZE(data), &left)
    return body, at - start, left


cdef bytes content(Place* place, Place end, Py_ssize_t length, int roles, Py_ssize_t* left):
    """As much of the body as there is behind a head, None for what is not plain. `left` as above, or of a declared length."""
    cdef Place at = place[0]
    cdef bytes body
    if roles & CODING:
        left[0] = 0
        body = unchunked(place, end, left)
        return body if place[0] == end else None
    # Attack: bytes behind the message are another one to a reader who counts otherwise. Here they are llhttp's to judge.
    if length < 0:
        length = 0
    if end - at > length:
        return None
    left[0] = length - (end - at) if end - at < length else -1
    place[0] = end
    return PyBytes_FromStringAndSize(<const char*> at, end - at)


cdef class Requests:
    """Requests, each at the beginning of a piece of data of its own. For all connections with the same limits."""

    cdef Fields fields
    cdef object kind
    cdef Py_ssize_t max_line, max_bytes

    def __init__(self, type kind not None, dict roles not None, int withheld, limits):
        self.fields = Fields(frozenset(roles), frozenset([n for n, role in roles.items() if role & withheld]), True, limits.max_fields)
        self.kind = kind
        self.max_line, self.max_bytes = limits.max_line, limits.max_bytes

    def read(self, bytes data not None):
        """The request whose head, and all or the beginning of whose body, is `data`; None for what is not plain."""
        cdef Place start = <Place> PyBytes_AS_STRING(data), at = start, end = start + PyBytes_GET_SIZE(data), target
        cdef Py_ssize_t length, left
        cdef int roles
        cdef bytes method = None, body
        while at < end and at - start < 8 and c"A" <= at[0] <= c"Z":
            at += 1
        for known_method in <list> _METHODS.get(at - start, ()) if 3 <= at - start <= 7 else []:
            if memcmp(PyBytes_AS_STRING(known_method), start, at - start) == 0:
                method = known_method
        if method is None or end - at < 2 or at[0] != 32 or at[1] != c"/":
            return None
        target = at = at + 1
        while at < end and kinds[at[0]] & TARGET:
            at += 1
        if at - target > self.max_line or end - at < 11 or memcmp(at, b" HTTP/1.1\r\n", 11) != 0:
            return None
        cdef bytes url = PyBytes_FromStringAndSize(<const char*> target, at - target)
        cdef dict known = {}
        cdef list fields = []
        at = self.fields.take(at + 11, end, known, fields, &length, &roles)
        if at == NULL or not roles & HOST or at - start > self.max_bytes:
            return None
        body = content(&at, end, length, roles, &left)
        if body is None:
            return None
        request = blank(self.kind)
        request.method = method
        request.target = url
        request.version_1_1 = True
        request.keep_alive = not roles & LAST
        request.complete = left < 0
        request.left = left
        request.fields = fields
        request.known = known
        request.size = PyBytes_GET_SIZE(body)
        request.pieces = [body] if PyBytes_GET_SIZE(body) else []
        return request


cdef class Responses:
    """Answers, each at the beginning of a piece of data of its own, with a Content-Length or in chunks."""

    cdef Fields fields
    cdef object kind
    cdef Py_ssize_t max_bytes

    def __init__(self, type kind not None, known not None, kept not None, limits):
        self.fields = Fields(known, kept, False, limits.max_fields)
        self.kind = kind
        self.max_bytes = limits.max_bytes

    def read(self, bytes data not None):
        """The answer whose head, and all or the beginning of whose body, is `data`: with the body, with how many bytes are none
        of it, and with what is left (-1: it is complete). None for what is not plain."""
        cdef Place start = <Place> PyBytes_AS_STRING(data), at = start, end = start + PyBytes_GET_SIZE(data)
        cdef Py_ssize_t length, left
        cdef int roles, status
        cdef bytes body
        cdef bint bare
        if end - at < 16 or memcmp(at, b"HTTP/1.1 ", 9) != 0 or at[12] != 32:
            return None
        if not (c"2" <= at[9] <= c"5" and c"0" <= at[10] <= c"9" and c"0" <= at[11] <= c"9"):
            return None
        status = (at[9] - c"0") * 100 + (at[10] - c"0") * 10 + at[11] - c"0"
        at = <Place> memchr(start + 13, 13, end - start - 13)
        bare = status == 204 or status == 304
        if at == NULL or end - at < 2 or at[1] != 10 or not is_visible(start + 13, at):
            return None
        cdef dict known = {}
        cdef list fields = []
        at = self.fields.take(at + 2, end, known, fields, &length, &roles)
        # Attack: bytes behind the answer would be taken for the answer to the next caller's request (response desync); so would
        # a body where there is none, and one that ends with the connection is never known to be whole.
        if at == NULL or at - start > self.max_bytes or bare == (roles & (LENGTH | CODING) != 0):
            return None
        body = content(&at, end, length, roles, &left)
        if body is None:
            return None
        response = blank(self.kind)
        response.status = status
        response.fields = fields
        response.known = known
        response.trailers = []
        response.length = length
        response.keep_alive = not roles & LAST
        response.head_only = bare
        return response, body, PyBytes_GET_SIZE(data) - PyBytes_GET_SIZE(body), left
