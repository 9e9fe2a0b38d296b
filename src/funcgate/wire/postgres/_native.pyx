# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of frontend.py and of the answers: plain messages, split and turned into lines of JSON in one pass.

It decides nothing: whatever is not plain, or not right, gives None, and the pure modules say what it is. No place in a buffer
is read that was not compared with its end before.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memchr, memcmp, memcpy

cdef enum:
    # kinds of columns, as in protocols/postgres/shape.py
    TEXT = 0
    TIME = 1
    UUID = 2
    SHORT = 3
    INTEGER = 4
    LONG = 5
    NULL_VALUE = 0xFFFFFFFF

cdef unsigned char plain[256]


cdef void _make_table() noexcept:
    cdef int at
    for at in range(256):
        plain[at] = 0x20 <= at < 0x7F and at != c'"' and at != c"\\"


_make_table()


cdef inline unsigned int _long(const unsigned char* at) noexcept:
    return (<unsigned int>at[0] << 24) | (<unsigned int>at[1] << 16) | (<unsigned int>at[2] << 8) | at[3]


cdef inline unsigned int _short(const unsigned char* at) noexcept:
    return (<unsigned int>at[0] << 8) | at[1]


cdef class Lines:
    """Bytes that grow at their end."""

    cdef unsigned char* into
    cdef Py_ssize_t size, room

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

    cdef int add(self, bytes text) except -1:
        self.make_room(PyBytes_GET_SIZE(text))
        memcpy(self.into + self.size, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        self.size += PyBytes_GET_SIZE(text)
        return 0

    cdef int add_byte(self, unsigned char byte) except -1:
        self.make_room(1)
        self.into[self.size] = byte
        self.size += 1
        return 0

    cdef int add_number(self, long long number) except -1:
        cdef unsigned char digits[24]
        cdef int count = 0
        cdef unsigned long long left = <unsigned long long> number
        self.make_room(24)
        if number < 0:
            left = 0 - left
            self.into[self.size] = c"-"
            self.size += 1
        while True:
            digits[count] = 48 + left % 10
            count += 1
            left //= 10
            if left == 0:
                break
        while count:
            count -= 1
            self.into[self.size] = digits[count]
            self.size += 1
        return 0

    cdef bytes all(self):
        return PyBytes_FromStringAndSize(<char*> self.into, self.size)


cdef bint _text(Lines out, const unsigned char* value, Py_ssize_t size, unsigned char kind) except -1:
    """Whether a text was plain, and is written."""
    cdef Py_ssize_t at
    cdef unsigned char byte
    cdef unsigned char* into
    out.make_room(size + 2)
    into = out.into + out.size
    into[0] = c'"'
    into += 1
    if kind == TEXT:
        for at in range(size):
            byte = value[at]
            if not plain[byte]:
                return False
            into[at] = byte
        into += size
    else:
        for at in range(size):
            byte = value[at]
            if not plain[byte]:
                return False
            if kind == TIME and byte == c".":
                byte = c","
            elif kind == UUID and byte == c"-":
                continue
            into[0] = byte
            into += 1
    into[0] = c'"'
    out.size = into + 1 - out.into
    return True


cdef bint _number(Lines out, const unsigned char* value, Py_ssize_t size, unsigned char kind) except -1:
    """Whether a binary number had the size of its type, and is written."""
    cdef unsigned long long high
    if kind == SHORT and size == 2:
        out.add_number(<short> _short(value))
    elif kind == INTEGER and size == 4:
        out.add_number(<int> _long(value))
    elif kind == LONG and size == 8:
        high = _long(value)
        out.add_number(<long long> (high << 32 | _long(value + 4)))
    else:
        return False
    return True


cdef bint _row(Lines out, const unsigned char* at, const unsigned char* end, bytes kinds, tuple readers, encode) except -1:
    """One DataRow, from behind its length to its end, as a line. False for one that is not plain, or not right."""
    cdef Py_ssize_t number, count = PyBytes_GET_SIZE(kinds), left
    cdef const unsigned char* kind = <const unsigned char*> PyBytes_AS_STRING(kinds)
    cdef unsigned int size
    if end - at < 2 or _short(at) != count:
        return False
    at += 2
    out.add_byte(c"[")
    for number in range(count):
        if number:
            out.add_byte(c",")
        if end - at < 4:
            return False
        size = _long(at)
        at += 4
        if size == NULL_VALUE:
            out.add(b"null")
            continue
        if size > end - at:
            return False
        if kind[number] >= SHORT:
            if not _number(out, at, size, kind[number]):
                return False
        elif not _text(out, at, size, kind[number]):
            out.add(encode(readers[number](PyBytes_FromStringAndSize(<const char*> at, size))))
        at += size
    if at != end:
        return False
    out.make_room(2)
    out.into[out.size] = c"]"
    out.into[out.size + 1] = c"\n"
    out.size += 2
    return True


def rows(bytes data not None, tuple columns not None, encode):
    """The lines of all DataRows that the data begin with, where the last of them ends, and how many there are. `columns` are
    kinds and readers. None when one is not plain, or not right. Raises what readers raise (`ValueError`)."""
    cdef const unsigned char* begin = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef const unsigned char* at = begin
    cdef const unsigned char* end = begin + PyBytes_GET_SIZE(data)
    cdef bytes kinds = columns[0]
    cdef tuple readers = columns[1]
    cdef unsigned int size
    cdef Py_ssize_t count = 0
    cdef Lines out = Lines.__new__(Lines)
    out.make_room(PyBytes_GET_SIZE(data))
    while end - at >= 7 and at[0] == c"D":
        size = _long(at + 1)
        if size >= end - at:
            break
        if size < 6 or not _row(out, at + 5, at + 1 + size, kinds, readers, encode):
            return None
        at += 1 + size
        count += 1
    return out.all(), at - begin, count


def same(bytes text not None, Py_ssize_t at, bytes masked not None, Py_ssize_t masked_at, bytes raw not None, Py_ssize_t raw_at):
    """How far lines and masked lines are the same, from these places on: the places behind the last line that is, in the
    text, the masked text, and the messages in `raw` that the lines were made of. Raises `ValueError` when there are fewer
    messages than lines."""
    cdef const unsigned char* lines = <const unsigned char*> PyBytes_AS_STRING(text)
    cdef const unsigned char* others = <const unsigned char*> PyBytes_AS_STRING(masked)
    cdef const unsigned char* messages = <const unsigned char*> PyBytes_AS_STRING(raw)
    cdef const unsigned char* found
    cdef Py_ssize_t size, end = PyBytes_GET_SIZE(text), left
    cdef unsigned int length
    if at < 0 or masked_at < 0 or raw_at < 0:
        raise ValueError("no place in a text")
    while at < end:
        found = <const unsigned char*> memchr(lines + at, c"\n", end - at)
        if found is NULL:
            raise ValueError("a line without its end")
        size = found + 1 - (lines + at)
        left = PyBytes_GET_SIZE(masked) - masked_at
        if size > left or memcmp(lines + at, others + masked_at, size):
            break
        left = PyBytes_GET_SIZE(raw) - raw_at
        if left < 5:
            raise ValueError("a line without its message")
        length = _long(messages + raw_at + 1)
        if length < 4 or length >= left:
            raise ValueError("a line without its message")
        at += size
        masked_at += size
        raw_at += 1 + length
    return at, masked_at, raw_at


def answer(bytes data not None, str asked not None, shape, dict known not None, dict tags not None, encode):
    """A whole small answer that ends in a ReadyForQuery: its lines, how many rows, its columns' shape, and where what is for the
    caller begins behind the first message, if that is not all of it (else 0).

    `asked` are the messages that come before the rows: "2" a BindComplete, "T" a RowDescription for the caller, "-" one for the
    gateway; "" is a simple query. `shape` is that of rows that are not described, `known` are shapes by description, `tags` lines
    by tag. None for any other answer.
    """
    cdef const unsigned char* begin = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef const unsigned char* at = begin
    cdef const unsigned char* end = begin + PyBytes_GET_SIZE(data) - 6
    cdef unsigned int size
    cdef Py_ssize_t count = 0, hidden = 0
    cdef bint described = False
    cdef bytes kinds
    cdef tuple columns
    cdef Lines out = Lines.__new__(Lines)
    if end < begin or memcmp(end, b"Z\0\0\0\5", 5) or not (end[5] == c"I" or end[5] == c"T" or end[5] == c"E"):
        return None
    if asked and asked[0] == "2":
        if end - at < 5 or memcmp(at, b"2\0\0\0\4", 5):
            return None
        at += 5
    if end - at < 5:
        return None
    if at[0] == c"T":
        if asked == "2":
            return None  # its columns are known, and nobody asked
        size = _long(at + 1)
        if size < 4 or size >= end - at:
            return None
        shape = known.get(PyBytes_FromStringAndSize(<const char*> at + 5, size - 4))
        if shape is None:
            return None
        at += 1 + size
        described = True
    elif asked == "2T" or asked == "2-":
        if memcmp(at, b"n\0\0\0\4", 5):
            return None
        at += 5
    if asked == "2-":
        hidden = at - begin
    columns = shape.plain
    if columns is None:
        return None
    kinds = columns[0]
    if described:
        if not kinds:
            return None
        out.add(shape.line)
        out.add_byte(c"\n")
    while end - at >= 7 and at[0] == c"D":
        size = _long(at + 1)
        if size < 6 or size >= end - at:
            return None
        if not _row(out, at + 5, at + 1 + size, kinds, columns[1], encode):
            return None
        at += 1 + size
        count += 1
    if end - at < 5 or at[0] != c"C":
        return None
    size = _long(at + 1)
    if size < 4 or at + 1 + size != end:
        return None
    line = tags.get(PyBytes_FromStringAndSize(<const char*> at + 5, size - 4))
    if line is None:
        return None
    out.add(line)
    return out.all(), count, shape, hidden


def query(bytearray data not None, Py_ssize_t at, Py_ssize_t most):
    """The text of the Query at `at`, if all of it is there, and all of its bytes. None for anything else, or of more than `most`."""
    cdef Py_ssize_t there = PyByteArray_GET_SIZE(data) - at
    cdef const unsigned char* raw
    cdef unsigned int size
    if at < 0 or there < 6:
        return None
    raw = <const unsigned char*> PyByteArray_AS_STRING(data) + at
    if raw[0] != c"Q":
        return None
    size = _long(raw + 1)
    if size < 5 or size >= there or size - 4 > most:
        return None
    # Attack: bytes after the end of a message that one reader skips and another one takes for more of it.
    if raw[size] != 0 or memchr(raw + 5, 0, size - 4) != raw + size:
        return None
    try:
        return PyUnicode_DecodeUTF8(<char*> raw + 5, size - 5, NULL), PyBytes_FromStringAndSize(<char*> raw, size + 1)
    except UnicodeDecodeError:
        return None


def run(bytearray data not None, Py_ssize_t at, Py_ssize_t most):
    """A Bind of the unnamed portal, a Describe of it or not, an Execute of all its rows and a Sync, if all of that is there:
    the statement's name, the formats of the values, the values, those of the results, whether it is described, all bytes.

    None for anything else, and where a name is not ASCII.
    """
    cdef Py_ssize_t there = PyByteArray_GET_SIZE(data) - at
    cdef const unsigned char* begin
    cdef const unsigned char* raw
    cdef const unsigned char* end
    cdef const unsigned char* found
    cdef unsigned int size, count, formats, number
    cdef tuple given, values, results
    cdef bint described
    if at < 0 or there < 20:
        return None
    begin = <const unsigned char*> PyByteArray_AS_STRING(data) + at
    if begin[0] != c"B":
        return None
    size = _long(begin + 1)
    if size >= there or size < 12 or size - 4 > most or begin[5] != 0:
        return None
    raw = begin + 6
    end = begin + 1 + size
    found = <const unsigned char*> memchr(raw, 0, end - raw)
    if found is NULL:
        return None
    name = PyBytes_FromStringAndSize(<const char*> raw, found - raw)
    raw = found + 1
    if not name.isascii() or end - raw < 2:
        return None
    formats = _short(raw)
    raw += 2
    if end - raw < 2 * <Py_ssize_t> formats + 2:
        return None
    codes = []
    for number in range(formats):
        if _short(raw) > 1:
            return None
        codes.append(_short(raw))
        raw += 2
    count = _short(raw)
    raw += 2
    if formats > 1 and formats != count or formats == 1 and count == 0:
        return None
    found_values = []
    for number in range(count):
        if end - raw < 4:
            return None
        size = _long(raw)
        raw += 4
        if size == NULL_VALUE:
            found_values.append(None)
            continue
        if size > end - raw:
            return None
        found_values.append(PyBytes_FromStringAndSize(<const char*> raw, size))
        raw += size
    values = tuple(found_values)
    given = tuple(codes) if formats == count else tuple(codes) * count if formats == 1 else (0,) * count
    if end - raw < 2:
        return None
    formats = _short(raw)
    raw += 2
    # Attack: bytes after the end of a message that one reader skips and another one takes for more of it.
    if end - raw != 2 * <Py_ssize_t> formats:
        return None
    codes = []
    for number in range(formats):
        if _short(raw) > 1:
            return None
        codes.append(_short(raw))
        raw += 2
    results = tuple(codes)
    there -= end - begin
    described = there >= 7 and memcmp(end, b"D\0\0\0\6P\0", 7) == 0
    if described:
        end += 7
        there -= 7
    if there < 15 or memcmp(end, b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\4", 15):
        return None
    return name.decode("ascii"), given, values, results, described, PyBytes_FromStringAndSize(<const char*> begin, end + 15 - begin)
