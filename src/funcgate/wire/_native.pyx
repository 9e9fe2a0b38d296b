# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The compiled half of http1/requests.py, http1/responses.py, http1/writing.py and strict_json.py: their loops over fields and members.

Which field means what, and what is refused, is theirs: the tables come with each call, and what is wrong goes back.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy

cdef enum:
    ONCE = 1  # as in http1/fields.py
    WITHHELD = 2


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
