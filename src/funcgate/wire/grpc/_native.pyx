# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The compiled half of sorting.py: the loop over a head's fields. Which name means what is its caller's."""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.dict cimport PyDict_Contains, PyDict_GetItem, PyDict_SetItem
from cpython.list cimport PyList_Append
from cpython.object cimport PyObject
from libc.string cimport memchr, memcmp

cdef enum:  # as in sorting.py
    ONCE = 1
    WITHHELD = 2
    TWICE = 1
    UNDERSCORED = 2


cdef inline bint has(bytes text, char byte):
    return memchr(PyBytes_AS_STRING(text), byte, len(text)) is not NULL


cdef inline bint begins(bytes text, const char* start, Py_ssize_t size):
    return len(text) >= size and not memcmp(PyBytes_AS_STRING(text), start, size)


def sort_head(list fields not None, dict known not None, list crossing not None, dict roles not None):
    """See sorting.py."""
    cdef bytes name, value
    cdef PyObject* found
    cdef int role, flags = 0
    for field in fields:
        name, value = <bytes?> (<tuple?> field)[0], <bytes?> (<tuple> field)[1]
        found = PyDict_GetItem(roles, name)
        if found is not NULL:
            role = <object> found
        else:
            role = WITHHELD if begins(name, b":", 1) or begins(name, b"grpc-", 5) or begins(name, b"funcgate-", 9) else 0
        if role & ONCE and PyDict_Contains(known, name):
            flags |= TWICE
        PyDict_SetItem(known, name, value)
        if role & WITHHELD:
            continue
        if has(name, c"_"):
            flags |= UNDERSCORED
        if has(value, c",") and name.endswith(b"-bin"):
            crossing.extend([(name, part.strip(b" \t")) for part in value.split(b",")])
        else:
            PyList_Append(crossing, field)
    return flags
