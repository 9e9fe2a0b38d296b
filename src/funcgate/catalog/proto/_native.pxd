# What _native.pyx shares with _lines.pyx.

from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    DOUBLE = 1
    FLOAT = 2
    INT64 = 3
    UINT64 = 4
    INT32 = 5
    FIXED64 = 6
    FIXED32 = 7
    BOOL = 8
    STRING = 9
    MESSAGE = 11
    BYTES = 12
    UINT32 = 13
    ENUM = 14
    SFIXED32 = 15
    SFIXED64 = 16
    SINT32 = 17
    SINT64 = 18

cdef enum:  # what a type is in JSON
    BARRED = 0  # not for this half
    OBJECT = 1
    TIME = 2
    WRAPPER = 3

cdef struct Span:
    const uint8_t* at
    const uint8_t* end

cdef enum:
    LEVELS = 100  # of messages, and of entries of maps, within one another: as deep as protobuf itself follows

cdef struct Limits:
    int64_t left
    int depth, levels

cdef struct Key:
    uint64_t raw
    const uint8_t* at
    Py_ssize_t size

cdef class Field:
    cdef readonly str name
    cdef uint64_t tag
    cdef int type, wire
    cdef bint repeated, packed, implicit, closed, is_map
    cdef uint64_t choice  # the bit of the oneof that it is a member of, 0 for none
    cdef bytes opening  # its name as JSON, with a colon
    cdef dict names  # of an enum, by number; as JSON too
    cdef dict shown
    cdef Table table  # of a message
    cdef Field key, value  # of a map's entry

cdef class Table:
    cdef int kind
    cdef int64_t cost
    cdef Py_ssize_t count
    cdef uint64_t* tags
    cdef tuple fields, lists, maps
    cdef dict template
    cdef object text  # of a time, by seconds and nanos
    cdef object zero  # what a wrapper without a value holds
    cdef Field find(self, uint64_t tag, Py_ssize_t* place)

cdef bint varint(Span* span, uint64_t* value) noexcept
cdef bint cut(Span* span, Span* inner) noexcept
cdef bint follows(Span* span, uint64_t tag) noexcept
cdef bint raw_of(Field field, Span* span, uint64_t* raw) noexcept
cdef bint key_of(Field field, Span* span, Key* key) noexcept
cdef bint comes_after(Field field, Key* key, Key* before) noexcept
cdef int64_t signed_of(int type, uint64_t raw) noexcept
cdef bint is_unsigned(int type) noexcept
cdef double real_of(Field field, uint64_t raw) noexcept
cdef object time_of(Table table, Span* span)
cdef str decoded(const uint8_t* at, Py_ssize_t size)
cdef bint is_ascii(const uint8_t* at, Py_ssize_t size) noexcept
