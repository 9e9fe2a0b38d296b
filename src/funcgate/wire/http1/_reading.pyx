# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The compiled half of requests.py and responses.py: whole messages of the plain form, read in one pass.

It refuses nothing and mends nothing. What is not of the plain form goes back (None) before anything is changed, and llhttp takes
it: what is a message, and why it is refused, is decided there alone.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_SetItem, PyDict_Size
from cpython.object cimport PyTypeObject
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject* kind, Py_ssize_t items)

ctypedef const unsigned char* Place

cdef enum:
    READ = 1  # in `known`: the gateway reads it itself
    KEPT = 2  # not in `fields`: it does not cross
    LENGTH = 4
    CONNECTION = 8
    HOST = 16
    ODD = 32  # changes how a message is framed, or what happens to the connection: llhttp's
    NAME = 1
    VALUE = 2
    TARGET = 4
    SLOTS = 128
    LONGEST = 40  # of a name that is remembered
    DIGITS = 10

cdef unsigned char kinds[256]


cdef void mark(bytes letters, int kind):
    cdef int letter
    for letter in letters:
        kinds[letter] |= kind


cdef bytes ALNUM = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
mark(ALNUM + b"-", NAME)
mark(bytes(range(0x20, 0x7F)) + b"\t", VALUE)
mark(ALNUM + b"-._~!$&'()*+,;=:@/%?", TARGET)

# Attack: a field that one of two readers takes for the frame of the message. Whatever has one of them is not plain.
cdef frozenset _ODD = frozenset({b"transfer-encoding", b"upgrade", b"expect", b"proxy-connection", b"te", b"trailer", b"http2-settings"})
cdef dict _METHODS = {len(m): [] for m in (b"GET", b"POST", b"PATCH", b"DELETE", b"OPTIONS")}
for _m in (b"GET", b"PUT", b"HEAD", b"POST", b"PATCH", b"DELETE", b"OPTIONS"):
    _METHODS[len(_m)].append(_m)


cdef class Spelling:
    """A field's name as it was spelt, what it is passed on as, and what it means."""

    cdef bytes raw
    cdef bytes lower
    cdef bytes shown
    cdef int role


cdef class Fields:
    """The fields of a head. `read` are the names that the gateway reads itself, `kept` those that do not cross."""

    cdef list slots
    cdef object read
    cdef object kept
    cdef bint lowered
    cdef Py_ssize_t most

    def __init__(self, read not None, kept not None, bint lowered, Py_ssize_t most):
        self.slots = [None] * SLOTS
        self.read = read
        self.kept = kept
        self.lowered = lowered
        self.most = most

    cdef Spelling spelling(self, Place start, Py_ssize_t size, uint32_t hashed):
        cdef Py_ssize_t at = (hashed ^ (hashed >> 15)) % SLOTS
        found = self.slots[at]
        cdef Spelling spelt
        if found is not None:
            spelt = <Spelling> found
            if PyBytes_GET_SIZE(spelt.raw) == size and memcmp(PyBytes_AS_STRING(spelt.raw), start, size) == 0:
                return spelt
        spelt = Spelling()
        spelt.raw = PyBytes_FromStringAndSize(<const char*> start, size)
        spelt.lower = spelt.raw.lower()
        spelt.shown = spelt.lower if self.lowered else spelt.raw
        spelt.role = (
            (READ if spelt.lower in self.read else 0)
            | (KEPT if spelt.lower in self.kept else 0)
            | (LENGTH if spelt.lower == b"content-length" else 0)
            | (CONNECTION if spelt.lower == b"connection" else 0)
            | (HOST if spelt.lower == b"host" else 0)
            | (ODD if spelt.lower in _ODD else 0)
        )
        if size <= LONGEST:
            self.slots[at] = spelt  # in the place of another: there are never more of them
        return spelt

    cdef Place take(self, Place at, Place end, dict known, list fields, Py_ssize_t* length, int* roles) except? NULL:
        """Up to the empty line that ends the head: the place behind it, NULL for what is not plain. `length` is -1 without one."""
        cdef Place after, value, line_end, last
        cdef uint32_t hashed
        cdef Spelling spelt
        cdef Py_ssize_t count = 0, before
        cdef int role
        length[0] = -1
        roles[0] = 0
        while True:
            after, hashed = at, 0x811C9DC5U
            while after < end and kinds[after[0]] & NAME:
                hashed = (hashed ^ after[0]) * 0x01000193U
                after += 1
            if after == at:
                return at + 2 if end - at >= 2 and at[0] == 13 and at[1] == 10 else NULL
            if after == end or after[0] != c":":
                return NULL
            spelt = self.spelling(at, after - at, hashed)
            role = spelt.role
            count += 1
            if role & ODD or count > self.most:
                return NULL
            value = after + 1
            while value < end and (value[0] == 32 or value[0] == 9):
                value += 1
            line_end = <Place> memchr(value, 13, end - value)
            # Attack: a bare CR or LF, or a line that goes on in the next, is one line for one reader and two for another.
            if line_end == NULL or line_end == value or end - line_end < 2 or line_end[1] != 10 or not is_visible(value, line_end):
                return NULL
            last = line_end
            while last[-1] == 32 or last[-1] == 9:
                last -= 1
            if role & LENGTH:
                if last != line_end:
                    return NULL
                length[0] = read_length(value, last)
                if length[0] < 0:
                    return NULL
            elif role & CONNECTION and not is_keep_alive(value, last):
                return NULL
            roles[0] |= role
            text = PyBytes_FromStringAndSize(<const char*> value, last - value)
            if role & READ:
                before = PyDict_Size(known)
                PyDict_SetItem(known, spelt.lower, text)
                if PyDict_Size(known) == before:
                    return NULL  # it came twice
            if not role & KEPT:
                fields.append((spelt.shown, text))
            at = line_end + 2


cdef bint is_visible(Place at, Place end) noexcept:
    """Printable ASCII, blanks and tabs."""
    cdef uint64_t eight
    while end - at >= 8:
        memcpy(&eight, at, 8)
        if ((eight - 0x2020202020202020ULL) | eight | (eight + 0x0101010101010101ULL)) & 0x8080808080808080ULL:
            break
        at += 8
    while at < end:
        if not kinds[at[0]] & VALUE:
            return False
        at += 1
    return True


cdef Py_ssize_t read_length(Place at, Place end) noexcept:
    """A Content-Length of at most ten digits without a needless zero, else -1."""
    cdef Py_ssize_t size = 0
    if end - at > DIGITS or (at[0] == c"0" and end - at > 1):
        return -1
    while at < end:
        if at[0] < c"0" or at[0] > c"9":
            return -1
        size = size * 10 + at[0] - c"0"
        at += 1
    return size


cdef bint is_keep_alive(Place at, Place end) noexcept:
    cdef int i
    if end - at != 10:
        return False
    for i in range(10):
        if (at[i] | 32) != (<Place> b"keep-alive")[i]:
            return False
    return True


cdef object blank(object kind):
    """An object of this class, with nothing set."""
    return PyType_GenericAlloc(<PyTypeObject*> kind, 0)


cdef class Requests:
    """Requests, each in one piece of data of its own. For all connections with the same limits."""

    cdef Fields fields
    cdef object kind
    cdef Py_ssize_t max_line, max_bytes

    def __init__(self, type kind not None, dict roles not None, int withheld, limits):
        self.fields = Fields(frozenset(roles), frozenset([n for n, role in roles.items() if role & withheld]), True, limits.max_fields)
        self.kind = kind
        self.max_line, self.max_bytes = limits.max_line, limits.max_bytes

    def read(self, bytes data not None):
        """The request that is all of `data`, complete; None for anything but one plain request."""
        cdef Place start = <Place> PyBytes_AS_STRING(data), at = start, end = start + PyBytes_GET_SIZE(data), target
        cdef Py_ssize_t length
        cdef int roles
        cdef bytes method = None
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
        # Attack: bytes behind the message are another one to a reader who counts otherwise. Here they are llhttp's to judge.
        if at == NULL or not roles & HOST or at - start > self.max_bytes or end - at != (length if length > 0 else 0):
            return None
        request = blank(self.kind)
        request.method = method
        request.target = url
        request.version_1_1 = request.keep_alive = request.complete = True
        request.fields = fields
        request.known = known
        request.size = end - at
        request.pieces = [PyBytes_FromStringAndSize(<const char*> at, end - at)] if end > at else []
        return request


cdef class Responses:
    """Answers, each in one piece of data of its own and with a Content-Length."""

    cdef Fields fields
    cdef object kind
    cdef Py_ssize_t max_bytes

    def __init__(self, type kind not None, known not None, kept not None, limits):
        self.fields = Fields(known, kept, False, limits.max_fields)
        self.kind = kind
        self.max_bytes = limits.max_bytes

    def read(self, bytes data not None):
        """The answer that is all of `data`, and its body; None for anything but one plain answer with a body that may be kept."""
        cdef Place start = <Place> PyBytes_AS_STRING(data), at = start, end = start + PyBytes_GET_SIZE(data)
        cdef Py_ssize_t length
        cdef int roles, status
        if end - at < 16 or memcmp(at, b"HTTP/1.1 ", 9) != 0 or at[12] != 32:
            return None
        if not (c"2" <= at[9] <= c"5" and c"0" <= at[10] <= c"9" and c"0" <= at[11] <= c"9"):
            return None
        status = (at[9] - c"0") * 100 + (at[10] - c"0") * 10 + at[11] - c"0"
        at = <Place> memchr(start + 13, 13, end - start - 13)
        if status == 204 or status == 304 or at == NULL or end - at < 2 or at[1] != 10 or not is_visible(start + 13, at):
            return None
        cdef dict known = {}
        cdef list fields = []
        at = self.fields.take(at + 2, end, known, fields, &length, &roles)
        # Attack: bytes behind the answer would be taken for the answer to the next caller's request (response desync).
        if at == NULL or length < 0 or at - start > self.max_bytes or end - at != length:
            return None
        response = blank(self.kind)
        response.status = status
        response.fields = fields
        response.known = known
        response.trailers = []
        response.length = length
        response.keep_alive = True
        response.head_only = False
        return response, PyBytes_FromStringAndSize(<const char*> at, length), at - start
