# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The compiled half of http1/requests.py, http1/responses.py, http1/writing.py, request_target.py and strict_json.py: their loops over fields,
members and characters.

Which field means what, and what is refused, is theirs: the tables come with each call, and what is wrong goes back.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcpy

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 highest)
    void* PyUnicode_DATA(object text)

ctypedef const unsigned char* Place

cdef enum:
    ONCE = 1  # as in http1/fields.py
    WITHHELD = 2
    PATH = 1  # as in request_target._COMMON
    QUERY = 2

cdef unsigned char kinds[256]
cdef bytes ALNUM = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
for _letter in ALNUM + b"/._~!$&'()*+,=:@-":
    kinds[_letter] |= PATH
for _letter in ALNUM + b"._~!$'()*,:@/?&=-":
    kinds[_letter] |= QUERY


cdef bytes stripped(bytes value):
    """Without blanks and tabs at its ends; nearly always the very object."""
    cdef Py_ssize_t start = 0, end = len(value)
    while start < end and (value[start] == c" " or value[start] == c"\t"):
        start += 1
    while start < end and (value[end - 1] == c" " or value[end - 1] == c"\t"):
        end -= 1
    return value if end - start == len(value) else value[start:end]


def sort_request_fields(list raw not None, dict known not None, list fields not None, dict roles not None):
    """The loop of `RequestReader._sort_fields`: names with an underscore that mean nothing here; None when one that may come
    once came twice."""
    cdef list underscored = []
    cdef bytes name, value, before
    cdef int role
    for pair in raw:
        name, value = (<bytes?> (<tuple?> pair)[0]).lower(), stripped(<bytes?> (<tuple> pair)[1])
        found = roles.get(name)
        if found is None:
            if b"_" in name:
                underscored.append(name)
            fields.append((name, value))
            continue
        role = found
        before = known.get(name)
        if before is None:
            known[name] = value
        elif role & ONCE:
            return None
        else:
            known[name] = before + b", " + value
        if not role & WITHHELD:
            fields.append((name, value))
    return underscored


def sort_response_fields(list raw not None, dict known not None, list fields not None, read not None, kept not None):
    """The loop of `ResponseReader._sort_fields`: the bytes of all fields, -1 when one that may come once came twice. `read` are
    the names that the gateway reads, `kept` those that stay on the target's side."""
    cdef Py_ssize_t size = 0
    cdef bytes name, lower, value
    for pair in raw:
        name, value = <bytes?> (<tuple?> pair)[0], <bytes?> (<tuple> pair)[1]
        size += len(name) + len(value)
        lower, value = name.lower(), stripped(value)
        if lower in read:
            if lower in known and lower != b"connection":
                return -1
            known[lower] = value
        if lower not in kept:
            fields.append((name, value))
    return size


def fields_block(fields not None):
    """`writing.fields_block`."""
    cdef Py_ssize_t size = 0, at = 0
    cdef bytes name, value, block
    cdef char* into
    cdef list lines = list(fields)
    for pair in lines:
        name, value = pair
        size += len(name) + len(value) + 4
    block = PyBytes_FromStringAndSize(NULL, size)
    into = PyBytes_AS_STRING(block)
    for pair in lines:
        name, value = <tuple?> pair
        memcpy(into + at, PyBytes_AS_STRING(name), len(name))
        at += len(name)
        memcpy(into + at, b": ", 2)
        memcpy(into + at + 2, PyBytes_AS_STRING(value), len(value))
        at += len(value) + 2
        memcpy(into + at, b"\r\n", 2)
        at += 2
    return block


cdef bint is_plain(item) except -1:
    if type(item) is str or item is None or type(item) is bool:
        return True
    return type(item) is int and -0x8000_0000_0000_0000 < item < 0x8000_0000_0000_0000


def all_plain(dict members not None):
    """Whether all are strings, 64-bit integers, booleans, nulls, or lists of those: the loop of `strict_json._flat`."""
    for item in members.values():
        if type(item) is list:
            for each in <list> item:
                if not is_plain(each):
                    return False
        elif not is_plain(item):
            return False
    return True


def read_target(bytes raw not None, str authority, Py_ssize_t most):
    """`request_target.pure_read_canonical`."""
    cdef Place start = <Place> PyBytes_AS_STRING(raw), at = start, end = start + PyBytes_GET_SIZE(raw), path_end, begin
    cdef list pairs = []
    if at == end or at[0] != c"/":
        return None
    while at < end and kinds[at[0]] & PATH:
        # Attack: an empty segment or one of dots is another path once a server has cleaned it up.
        if at[0] == c"/" and at + 1 < end and (at[1] == c"/" or at[1] == c"."):
            return None
        at += 1
    path_end = at
    if at < end:
        if at[0] != c"?":
            return None
        while at < end:
            at = begin = at + 1
            while at < end and kinds[at[0]] & QUERY and at[0] != c"=" and at[0] != c"&":
                at += 1
            if at == begin or at == end or at[0] != c"=":
                return None
            name = text_of(begin, at)
            at = begin = at + 1
            while at < end and kinds[at[0]] & QUERY and at[0] != c"=" and at[0] != c"&":
                at += 1
            if at < end and at[0] != c"&":
                return None
            pairs.append((name, text_of(begin, at)))
        if len(pairs) > most:
            return None
    return (
        text_of(start, path_end), segments_of(start + 1, path_end), tuple(pairs),
        text_of(path_end + 1, end) if path_end < end else "", authority,
    )  # fmt: skip


cdef tuple segments_of(Place at, Place end):
    cdef list segments = []
    cdef Place slash
    while True:
        slash = <Place> memchr(at, c"/", end - at)
        segments.append(text_of(at, end if slash == NULL else slash))
        if slash == NULL:
            return tuple(segments)
        at = slash + 1


cdef str text_of(Place start, Place end):
    if end == start:
        return ""
    text = PyUnicode_New(end - start, 127)
    memcpy(PyUnicode_DATA(text), start, end - start)
    return <str> text
