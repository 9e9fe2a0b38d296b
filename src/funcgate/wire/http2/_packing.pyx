# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled half of packing.py: blocks of fields written (RFC 7541), byte for byte as it writes them."""

from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from cpython.set cimport PySet_Contains, PySet_GET_SIZE
from libc.string cimport memcpy

from .frames import headers
from .static_table import STATIC as _STATIC

cdef list STATIC = _STATIC
cdef enum:
    SIZE = 61  # of the static table
    OVERHEAD = 32  # RFC 7541, 4.1
    TABLE_BYTES = 4096
    LONGEST_KEPT = 256
    KEPT = 0x100  # of a name: its fields may go into the table
    SECRET = 0x200

cdef dict NAMES = {}  # index in the static table, KEPT, SECRET
cdef dict FIELDS = {}  # static fields and their index
cdef frozenset NONE = frozenset()


def keep(frozenset kept not None, frozenset secrets not None):
    """The tables of packing.py: names whose fields may be kept, names that are secret."""
    cdef int index
    for index in range(SIZE, 0, -1):
        FIELDS[STATIC[index]] = index
        NAMES[STATIC[index][0]] = index
    for each in kept:
        NAMES[each] = NAMES.get(each, 0) | KEPT
    for each in secrets:
        NAMES[each] = NAMES.get(each, 0) | SECRET


cdef inline Py_ssize_t put_integer(unsigned char* into, Py_ssize_t value, int prefix, int flags) noexcept:
    """RFC 7541, 5.1: how many bytes it took."""
    cdef Py_ssize_t at = 1
    if value < prefix:
        into[0] = <unsigned char> (flags | value)
        return 1
    into[0] = <unsigned char> (flags | prefix)
    value -= prefix
    while value >= 0x80:
        into[at] = <unsigned char> (0x80 | (value & 0x7F))
        value >>= 7
        at += 1
    into[at] = <unsigned char> value
    return at + 1


cdef inline Py_ssize_t put_text(unsigned char* into, bytes text) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text), at = put_integer(into, size, 0x7F, 0)
    memcpy(into + at, PyBytes_AS_STRING(text), size)
    return at + size


cdef class Packer:
    """See packing.py."""

    cdef dict _known
    cdef object _order
    cdef long long _count, _size, _table_bytes
    cdef list _resized

    def __init__(self):
        self._known = {}
        self._order = deque()
        self._count = self._size = 0
        self._table_bytes = TABLE_BYTES
        self._resized = []

    def resize(self, long long offered):
        cdef long long size = min(offered, TABLE_BYTES)
        if size == self._table_bytes:
            return
        smallest = min([size] + self._resized)
        self._resized = [smallest, size] if smallest != size else [size]
        self._table_bytes = size
        self._evict(size)

    def pack(self, fields not None, frozenset secret not None=NONE):
        """One block."""
        return self._pack(fields, secret)[9:]

    def framed(self, fields not None, frozenset secret not None, long long stream, bint end, Py_ssize_t most):
        """One block in HEADERS, with CONTINUATION if it is longer than `most` bytes."""
        cdef bytes made = self._pack(fields, secret)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(made) - 9
        cdef unsigned char* into = <unsigned char*> PyBytes_AS_STRING(made)  # nobody else has it yet
        if size > most:
            return headers(stream, made[9:], most, end=end)
        into[0], into[1], into[2] = <unsigned char> (size >> 16), <unsigned char> (size >> 8), <unsigned char> size
        into[3], into[4] = 1, 5 if end else 4  # HEADERS, END_HEADERS, END_STREAM
        into[5], into[6] = <unsigned char> (stream >> 24), <unsigned char> (stream >> 16)
        into[7], into[8] = <unsigned char> (stream >> 8), <unsigned char> stream
        return made

    cdef bytes _pack(self, fields, frozenset secret):
        """The block behind nine bytes of room."""
        cdef list all_ = fields if type(fields) is list else list(fields)
        cdef Py_ssize_t room = 9 + 16, at = 9
        cdef tuple field
        cdef bytes name, value, scratch
        cdef unsigned char* into
        for field in all_:
            name, value = field
            room += PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) + 16
        scratch = PyBytes_FromStringAndSize(NULL, room)
        into = <unsigned char*> PyBytes_AS_STRING(scratch)
        if self._resized:
            for each in self._resized:
                at += put_integer(into + at, each, 0x1F, 0x20)
            self._resized = []
        for field in all_:
            at += self._put(into + at, field, secret)
        return PyBytes_FromStringAndSize(<char*> into, at)

    cdef Py_ssize_t _put(self, unsigned char* into, tuple field, frozenset secret) except -1:
        """One field, as short as `Packer.pack` of packing.py writes it."""
        cdef bytes name = <bytes> field[0], value = <bytes> field[1]
        cdef PyObject* found = PyDict_GetItem(NAMES, name)
        cdef int about = 0 if found is NULL else <int> <object> found
        cdef int index = about & 0xFF, flags = 0, prefix = 0x0F
        cdef Py_ssize_t at
        if about & SECRET or (PySet_GET_SIZE(secret) and PySet_Contains(secret, name)):
            flags = 0x10
        else:
            if index:
                found = PyDict_GetItem(FIELDS, field)
                if found is not NULL:
                    into[0] = <unsigned char> (0x80 | <int> <object> found)
                    return 1
            if about & KEPT:
                found = PyDict_GetItem(self._known, field)
                if found is not NULL:
                    return put_integer(into, SIZE + self._count - <long long> <object> found, 0x7F, 0x80)
                if PyBytes_GET_SIZE(value) <= LONGEST_KEPT and self._insert(field, name, value):
                    flags, prefix = 0x40, 0x3F
        if index:
            at = put_integer(into, index, prefix, flags)
        else:
            into[0] = flags
            at = 1 + put_text(into + 1, name)
        return at + put_text(into + at, value)

    cdef bint _insert(self, tuple field, bytes name, bytes value) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) + OVERHEAD
        if size > self._table_bytes or (name == b":path" and b"?" in value):
            return False
        self._evict(self._table_bytes - size)
        self._known[field] = self._count
        self._order.append(field)
        self._count += 1
        self._size += size
        return True

    cdef int _evict(self, long long down_to) except -1:
        while self._size > down_to:
            field = self._order.popleft()
            del self._known[field]
            self._size -= len(field[0]) + len(field[1]) + OVERHEAD
        return 0
