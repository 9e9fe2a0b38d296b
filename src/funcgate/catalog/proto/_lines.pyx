# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of reading.py and restoring.py, for answers: a message as a line of JSON, and the masked texts put back.

It accepts what _native.pyx accepts. A line that masking has changed otherwise than within the values of texts is for the pure
half to put back.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

from ._native cimport (
    BOOL, BYTES, DOUBLE, ENUM, FLOAT, LEVELS, MESSAGE, OBJECT, STRING, TIME, WRAPPER, Field, Key, Limits, Span, Table,
    comes_after, cut, decoded, follows, is_ascii, is_unsigned, key_of, raw_of, real_of, signed_of, time_of, varint,
)

import msgspec

include "_splicing.pxi"

_encode = msgspec.json.Encoder().encode


cdef class Line:
    """A message as one line of JSON, without its end. `pure` puts back what is not done here: of the message, the line, and the
    masked line."""

    cdef readonly bytes line
    cdef bytes _data
    cdef object _pure
    cdef bint _used
    cdef Spot* _spots
    cdef Py_ssize_t _count, _room, _within
    cdef char* _out
    cdef Py_ssize_t _size, _out_room
    cdef const uint8_t* _begin

    def __cinit__(self):
        self._spots, self._out, self._within = NULL, NULL, -1

    def __dealloc__(self):
        PyMem_Free(self._spots)
        PyMem_Free(self._out)

    def restore(self, bytes masked not None):
        """As `Seen.restore`."""
        if masked == self.line:
            return self._data
        cdef bytes found = None
        if not self._used:
            self._used = True
            found = spliced(self._data, self.line, masked, self._spots, self._count)
        return self._pure(self._data, self.line, masked) if found is None else found

    # Writing the line.

    cdef bint _grow(self, Py_ssize_t size) except False:
        cdef char* grown
        self._out_room = 2 * (self._size + size) + 64
        grown = <char*> PyMem_Realloc(self._out, self._out_room)
        if grown is NULL:
            raise MemoryError
        self._out = grown
        return True

    cdef inline bint _put(self, const char* text, Py_ssize_t size) except False:
        if self._size + size > self._out_room:
            self._grow(size)
        memcpy(self._out + self._size, text, size)
        self._size += size
        return True

    cdef inline bint _put_one(self, char byte) except False:
        if self._size == self._out_room:
            self._grow(1)
        self._out[self._size] = byte
        self._size += 1
        return True

    cdef inline bint _put_all(self, bytes text) except False:
        return self._put(PyBytes_AS_STRING(text), len(text))

    cdef bint _put_number(self, uint64_t number, bint signed) except False:
        cdef char digits[24]
        cdef int at = 24
        cdef bint negative = signed and number >> 63
        if negative:
            number = 0 - number
        while True:
            at -= 1
            digits[at] = <char> (48 + number % 10)
            number //= 10
            if not number:
                break
        if negative:
            at -= 1
            digits[at] = c"-"
        return self._put(digits + at, 24 - at)

    cdef int _put_text(self, const uint8_t* at, Py_ssize_t size) except -1:
        """A string of JSON. 0 for what is not UTF-8."""
        cdef uint8_t kinds = kinds_of(at, size)
        if kinds:
            text = decoded(at, size)
            if text is None:
                return 0
            if kinds & 2:
                return self._put_all(_encode(text))
        if self._size + size + 2 > self._out_room:
            self._grow(size + 2)
        cdef char* into = self._out + self._size
        into[0] = into[size + 1] = c'"'
        memcpy(into + 1, at, size)
        self._size += size + 2
        return 1

    cdef Spot* _spot(self, int kind, const uint8_t* length_at, Span* of) except NULL:
        """A new one. Valid until the next one."""
        cdef Spot* grown
        if self._count == self._room:
            self._room = 2 * self._room + 32
            grown = <Spot*> PyMem_Realloc(self._spots, self._room * sizeof(Spot))
            if grown is NULL:
                raise MemoryError
            self._spots = grown
        cdef Spot* spot = &self._spots[self._count]
        self._count += 1
        spot.kind, spot.length_at, spot.at, spot.size = kind, length_at - self._begin, of.at - self._begin, of.end - of.at
        spot.within, spot.more, spot.new, spot.in_line, spot.line_size = self._within, 0, NULL, 0, 0
        return spot

    cdef bint _value(self, Field field, Span* span, Limits* limits, bint implicit) except -1:
        """False for what is not accepted."""
        cdef const uint8_t* before = span.at
        cdef Span inner
        cdef Spot* spot
        cdef uint64_t raw
        cdef double real
        cdef Py_ssize_t within = self._within
        cdef bint done
        if field.wire == 2:
            if not cut(span, &inner):
                return False
            if field.type == MESSAGE:
                limits.levels -= 1
                if limits.levels < 0:
                    return False
                self._spot(A_MESSAGE, before, &inner)
                self._within = self._count - 1
                done = self._message(field.table, &inner, limits)
                self._within = within
                limits.levels += 1
                return done
            if implicit and inner.at == inner.end:
                return False
            # What is not ASCII in bytes is shown in ways that the pure half knows.
            if field.type == BYTES and not is_ascii(inner.at, inner.end - inner.at):
                return False
            spot = self._spot(SOME_BYTES if field.type == BYTES else A_STRING, before, &inner)
            spot.in_line = self._size + 1
            if not self._put_text(inner.at, inner.end - inner.at):
                return False
            spot.line_size = self._size - 1 - spot.in_line
            return True
        if not raw_of(field, span, &raw) or (implicit and raw == 0):
            return False
        if field.type == DOUBLE or field.type == FLOAT:
            real = real_of(field, raw)
            if not isfinite(real) or (implicit and real == 0):
                return False
            return self._put_all(_encode(real))
        return self._number(field, raw)

    cdef bint _number(self, Field field, uint64_t raw) except -1:
        cdef PyObject* known
        if field.type == BOOL:
            return self._put_all(b"true" if raw else b"false")
        if is_unsigned(field.type):
            return self._put_number(raw, False)
        cdef int64_t number = signed_of(field.type, raw)
        if field.type == ENUM:
            known = PyDict_GetItem(field.shown, number)
            if known is not NULL:
                return self._put_all(<bytes> known)
            if field.closed:
                return False
        return self._put_number(<uint64_t> number, True)

    cdef bint _message(self, Table table, Span* span, Limits* limits) except -1:
        cdef Field field
        if table.kind == OBJECT:
            return self._members(table, span, limits)
        if table.kind == TIME:
            text = time_of(table, span)
            return text is not None and self._put_all(_encode(text))
        if table.kind != WRAPPER:
            return False
        if span.at == span.end:
            return self._put_all(_encode(table.zero))
        field = <Field> table.fields[0]
        return follows(span, field.tag) and self._value(field, span, limits, True) and span.at == span.end

    cdef bint _members(self, Table table, Span* span, Limits* limits) except -1:
        """As `members_of`."""
        cdef Field field
        cdef uint64_t tag, choices = 0
        cdef Py_ssize_t place = 0
        cdef bint done
        limits.left -= table.cost
        limits.depth -= 1
        if limits.left < 0 or limits.depth < 0:
            return False
        self._put_one(c"{")
        while span.at < span.end:
            if not varint(span, &tag):
                return False
            field = table.find(tag, &place)
            if field is None:
                return False
            if field.choice:
                if choices & field.choice:
                    return False
                choices |= field.choice
            if self._out[self._size - 1] != c"{":
                self._put_one(c",")
            self._put_all(field.opening)
            if field.is_map:
                done = self._entries(field, span, limits)
            elif field.repeated:
                done = self._elements(field, span, limits)
            else:
                done = self._value(field, span, limits, field.implicit)
            if not done:
                return False
        limits.depth += 1
        return self._put_one(c"}")

    cdef bint _elements(self, Field field, Span* span, Limits* limits) except -1:
        cdef Span inner
        cdef bint packed = field.packed, first = True
        if packed and (not cut(span, &inner) or inner.at == inner.end):
            return False
        while True:
            self._put_one(c"[" if first else c",")
            first = False
            limits.left -= 1
            if limits.left < 0 or not self._value(field, &inner if packed else span, limits, False):
                return False
            if inner.at == inner.end if packed else not follows(span, field.tag):
                return self._put_one(c"]")

    cdef bint _entries(self, Field field, Span* span, Limits* limits) except -1:
        cdef Span inner
        cdef Key key, before
        cdef bint first = True
        cdef Py_ssize_t within = self._within
        cdef const uint8_t* length_at
        while True:
            length_at = span.at
            if not cut(span, &inner):
                return False
            self._spot(A_MESSAGE, length_at, &inner)
            if not follows(&inner, field.key.tag) or not key_of(field.key, &inner, &key):
                return False
            if not first and not comes_after(field.key, &key, &before):
                return False
            self._put_one(c"{" if first else c",")
            before, first = key, False
            if not self._key(field.key, &key) or not follows(&inner, field.value.tag):
                return False
            self._put_one(c":")
            self._within = self._count - 1
            limits.left -= 1
            limits.levels -= 1
            if limits.left < 0 or limits.levels < 0:
                return False
            if not self._value(field.value, &inner, limits, False) or inner.at != inner.end:
                return False
            limits.levels += 1
            self._within = within
            if not follows(span, field.tag):
                return self._put_one(c"}")

    cdef bint _key(self, Field field, Key* key) except -1:
        if field.type == STRING:
            return self._put_text(key.at, key.size)
        self._put_one(c'"')
        if field.type == BOOL:
            self._put_all(b"true" if key.raw else b"false")
        elif is_unsigned(field.type):
            self._put_number(key.raw, False)
        else:
            self._put_number(<uint64_t> signed_of(field.type, key.raw), True)
        return self._put_one(c'"')

def line_of(Table table not None, int64_t values, int depth, pure, bytes data not None):
    """The message as a `Line`; None when it is not accepted."""
    cdef Line made = Line.__new__(Line)
    cdef Span span
    cdef Limits limits
    if table.kind != OBJECT:
        return None
    span.at = made._begin = <const uint8_t*> PyBytes_AS_STRING(data)
    span.end = span.at + len(data)
    limits.left, limits.depth, limits.levels = values, depth, LEVELS
    made._data, made._pure = data, pure
    if not made._members(table, &span, &limits):
        return None
    made.line = PyBytes_FromStringAndSize(made._out, made._size)
    PyMem_Free(made._out)
    made._out = NULL
    return made
