# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of copytext.py: rows of COPY data as lines of JSON, as `fields_of` and an encoder would give them.

It decides nothing: a row that is not plain, or not right, gives None, and the pure module says what it is. No place in a buffer
is read that was not compared with its end before.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

cdef enum:
    # what NULL is, as in copytext.Layout.plain
    LETTER = 1
    NOTHING = 2
    MOST_OF_A_BYTE = 6  # \u001f

cdef const char* digits = "0123456789abcdef"
cdef unsigned char plain[256]
cdef char short_escape[256]


cdef void _make_tables() noexcept:
    cdef int at
    for at in range(256):
        plain[at] = 0x20 <= at < 0x80 and at != c'"' and at != c"\\"
        short_escape[at] = 0
    short_escape[8] = c"b"
    short_escape[9] = c"t"
    short_escape[10] = c"n"
    short_escape[12] = c"f"
    short_escape[13] = c"r"
    short_escape[c'"'] = c'"'
    short_escape[c"\\"] = c"\\"


_make_tables()


cdef class Lines:
    """Bytes that grow at their end, and how their rows are written."""

    cdef unsigned char* into
    cdef Py_ssize_t size, room, columns
    cdef bint csv
    cdef unsigned char delimiter, quote
    cdef int null

    def __cinit__(self, tuple layout not None, Py_ssize_t columns):
        self.csv, self.delimiter, self.quote, self.null = layout
        self.columns = columns

    def __dealloc__(self):
        PyMem_Free(self.into)

    cdef int make_room(self, Py_ssize_t more) except -1:
        cdef Py_ssize_t room
        cdef unsigned char* grown
        if self.size + more > self.room:
            room = 2 * (self.size + more) + 256
            grown = <unsigned char*> PyMem_Realloc(self.into, room)
            if grown is NULL:
                raise MemoryError
            self.into, self.room = grown, room
        return 0

    cdef bytes all(self):
        return PyBytes_FromStringAndSize(<char*> self.into, self.size)


cdef inline unsigned int _long(const unsigned char* at) noexcept:
    return (<unsigned int>at[0] << 24) | (<unsigned int>at[1] << 16) | (<unsigned int>at[2] << 8) | at[3]


cdef inline unsigned char* _escaped(unsigned char* into, unsigned char byte) noexcept:
    """A byte that JSON does not show as it is. There is room for it."""
    into[0] = c"\\"
    if short_escape[byte]:
        into[1] = short_escape[byte]
        return into + 2
    into[1], into[2], into[3] = c"u", c"0", c"0"
    into[4] = digits[byte >> 4]
    into[5] = digits[byte & 15]
    return into + 6


cdef inline unsigned char* _put(unsigned char* into, unsigned char byte) noexcept:
    if plain[byte] or byte >= 0x80:
        into[0] = byte
        return into + 1
    return _escaped(into, byte)


cdef const unsigned char* _quoted(
    Lines out, const unsigned char* at, const unsigned char* end, unsigned char** into, bint* wide
) noexcept:
    """A field of CSV, from behind its first quote; the place behind its last one. NULL if there is none."""
    cdef unsigned char byte
    cdef unsigned char* put = into[0]
    while at < end:
        byte = at[0]
        at += 1
        if byte == out.quote:
            if at == end or at[0] != out.quote:
                into[0] = put
                return at
            at += 1
        if byte >= 0x80:
            wide[0] = True
        put = _put(put, byte)
    return NULL


cdef const unsigned char* _bare(
    Lines out, const unsigned char* at, const unsigned char* end, unsigned char** into, bint* wide
) noexcept:
    """A field without quotes, up to the delimiter, or the end of the row. NULL for one that is not plain."""
    cdef unsigned char byte
    cdef unsigned char* put = into[0]
    while at < end:
        byte = at[0]
        if byte == out.delimiter or byte == c"\n" or byte == c"\r":
            break
        at += 1
        if plain[byte] and byte != out.quote:
            put[0] = byte
            put += 1
            continue
        if byte >= 0x80:
            wide[0] = True
            put[0] = byte
            put += 1
        elif out.csv:
            if byte == out.quote:
                return NULL
            put = _put(put, byte)
        elif byte == c"\\":
            if at == end:
                return NULL
            byte = at[0]
            at += 1
            if byte == c"b" or byte == c"f" or byte == c"n" or byte == c"r" or byte == c"t" or byte == c"\\":
                put[0], put[1] = c"\\", byte
                put += 2
            elif byte == c"v":
                put = _escaped(put, 11)
            elif byte == out.delimiter and byte != c"x" and byte < 0x80:
                put = _put(put, byte)
            else:
                return NULL
        else:
            put = _put(put, byte)
    into[0] = put
    return at


cdef const unsigned char* _field(Lines out, const unsigned char* at, const unsigned char* end) except? NULL:
    """A field as JSON; the place behind it. NULL for one that is not plain."""
    cdef bint wide = False
    cdef unsigned char* begin
    cdef unsigned char* into
    cdef const unsigned char* behind
    cdef Py_ssize_t left = end - at
    cdef Py_ssize_t letters = 0
    if out.null == LETTER and left >= 2 and at[0] == c"\\" and at[1] == c"N":
        letters = 2
    if letters or out.null == NOTHING:
        behind = at + letters
        if behind == end or behind[0] == out.delimiter or behind[0] == c"\n" or behind[0] == c"\r":
            out.make_room(4)
            memcpy(out.into + out.size, b"null", 4)
            out.size += 4
            return behind
    out.make_room(_width(out, at, end) * MOST_OF_A_BYTE + 2)
    begin = out.into + out.size
    begin[0] = c'"'
    into = begin + 1
    if out.csv and left and at[0] == out.quote:
        behind = _quoted(out, at + 1, end, &into, &wide)
    else:
        behind = _bare(out, at, end, &into, &wide)
    if behind is NULL:
        return NULL
    if wide:
        try:
            PyUnicode_DecodeUTF8(<char*> begin + 1, into - begin - 1, NULL)
        except UnicodeDecodeError:
            return NULL
    into[0] = c'"'
    out.size = into + 1 - out.into
    return behind


cdef Py_ssize_t _width(Lines out, const unsigned char* at, const unsigned char* end) noexcept:
    """How many bytes there are at most up to the field's end."""
    cdef const unsigned char* begin = at
    if out.csv and at < end and at[0] == out.quote:
        at += 1
        while at < end:
            if at[0] == out.quote:
                if at + 1 == end or at[1] != out.quote:
                    break
                at += 1
            at += 1
    else:
        while at < end and at[0] != c"\n" and at[0] != out.delimiter:
            if at[0] == c"\\" and not out.csv:
                at += 1
                if at == end:
                    break
            at += 1
    return at - begin


cdef const unsigned char* _row(Lines out, const unsigned char* at, const unsigned char* end) except? NULL:
    """A row as a line; the place behind its newline. NULL for one that has none, or is not plain."""
    cdef Py_ssize_t count = 0
    cdef bint fields = True
    cdef const unsigned char* begin = at
    out.make_room(2)
    out.into[out.size] = c"["
    out.size += 1
    if out.columns == 0:  # a table without columns has rows nevertheless
        fields = False
    while fields:
        if count:
            out.make_room(1)
            out.into[out.size] = c","
            out.size += 1
        at = _field(out, at, end)
        if at is NULL:
            return NULL
        count += 1
        if at < end and at[0] == out.delimiter:
            at += 1
        else:
            fields = False
    if out.columns >= 0 and count != out.columns:
        return NULL
    if at - begin == 2 and begin[0] == c"\\" and begin[1] == c".":
        return NULL
    if end - at >= 2 and at[0] == c"\r" and at[1] == c"\n":
        at += 1
    if at == end or at[0] != c"\n":
        return NULL
    out.make_room(2)
    out.into[out.size], out.into[out.size + 1] = c"]", c"\n"
    out.size += 2
    return at + 1


def lines(bytes data not None, tuple layout not None, Py_ssize_t columns):
    """The lines of whole rows, and how many there are. `layout` is `Layout.plain`, `columns` -1 for any number of them. None when
    one of them is not plain, or not right."""
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef const unsigned char* end = at + PyBytes_GET_SIZE(data)
    cdef Py_ssize_t count = 0
    cdef Lines out = Lines.__new__(Lines, layout, columns)
    out.make_room(PyBytes_GET_SIZE(data) + 64)
    while at < end:
        at = _row(out, at, end)
        if at is NULL:
            return None
        count += 1
    return out.all(), count


def messages(bytes data not None, tuple layout not None, Py_ssize_t columns):
    """The lines of the CopyData messages that the data begin with, each of which holds one row; where the last of them ends, and
    how many there are. None when one is not plain, or not right, or holds something else."""
    cdef const unsigned char* begin = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef const unsigned char* at = begin
    cdef const unsigned char* end = begin + PyBytes_GET_SIZE(data)
    cdef unsigned int size
    cdef Py_ssize_t count = 0
    cdef Lines out = Lines.__new__(Lines, layout, columns)
    out.make_room(PyBytes_GET_SIZE(data) + 64)
    while end - at >= 5 and at[0] == c"d":
        size = _long(at + 1)
        if size >= end - at:
            break
        if size < 5 or _row(out, at + 5, at + 1 + size) != at + 1 + size:
            return None
        at += 1 + size
        count += 1
    return out.all(), at - begin, count


def payloads(bytearray data not None, Py_ssize_t at, Py_ssize_t most, Py_ssize_t enough):
    """What the CopyData messages at `at` hold that are all there, and how many bytes they are, until it is `enough`. It ends
    before a message of more than `most`."""
    cdef const unsigned char* begin
    cdef const unsigned char* place
    cdef const unsigned char* end
    cdef unsigned int size
    cdef Py_ssize_t held = 0
    cdef unsigned char* into
    if at < 0 or at > PyByteArray_GET_SIZE(data):
        return b"", 0
    begin = <const unsigned char*> PyByteArray_AS_STRING(data) + at
    end = <const unsigned char*> PyByteArray_AS_STRING(data) + PyByteArray_GET_SIZE(data)
    place = begin
    while held < enough and end - place >= 5 and place[0] == c"d":
        size = _long(place + 1)
        if size < 4 or size - 4 > most or size >= end - place:
            break
        held += size - 4
        place += 1 + size
    found = PyBytes_FromStringAndSize(NULL, held)
    into = <unsigned char*> PyBytes_AS_STRING(found)
    end, place = place, begin
    while place < end:
        size = _long(place + 1)
        memcpy(into, place + 5, size - 4)
        into += size - 4
        place += 1 + size
    return found, end - begin
