# Messages of PostgreSQL, split and turned into lines of JSON in one pass. Included by others.

cdef enum:
    # kinds of columns, as in protocols/postgres/shape.py
    TEXT = 0
    TIME = 1
    UUID = 2
    SHORT = 3
    INTEGER = 4
    LONG = 5
    NULL_VALUE = 0xFFFFFFFF
    KEPT_ROOM = 4 << 10

cdef unsigned char unescaped[256]


cdef void _make_table() noexcept:
    cdef int at
    for at in range(256):
        unescaped[at] = 0x20 <= at < 0x7F and at != c'"' and at != c"\\"


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
            if not unescaped[byte]:
                return False
            into[at] = byte
        into += size
    else:
        for at in range(size):
            byte = value[at]
            if not unescaped[byte]:
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


cdef class Memo:
    """What the last answer began and ended with: statements that are asked again and again are answered alike."""

    cdef bytes payload  # of a RowDescription, and its shape
    cdef object shape
    cdef bytes tag  # of a CommandComplete, and its line
    cdef bytes line


cdef struct Found:
    bint described  # the shape is the memo's
    Py_ssize_t rows
    Py_ssize_t hidden


cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    const void* PyUnicode_1BYTE_DATA(object text)


cdef inline bint _is_text(str known, const unsigned char* at, Py_ssize_t size):
    return PyUnicode_IS_ASCII(known) and PyUnicode_GET_LENGTH(known) == size and memcmp(PyUnicode_1BYTE_DATA(known), at, size) == 0


cdef inline bint _is(bytes known, const unsigned char* at, Py_ssize_t size):
    return known is not None and PyBytes_GET_SIZE(known) == size and memcmp(PyBytes_AS_STRING(known), at, size) == 0


cdef Lines _kept = None  # the last answer's, for the next one


cdef bytes answered(bytes data, str asked, shape, dict known, dict tags, encode, Memo memo, Found* found):
    """See `_native.answer`: the lines."""
    global _kept
    cdef Lines out = _kept
    cdef bytes lines
    _kept = None  # whoever comes in between has others
    if out is None:
        out = Lines.__new__(Lines)
    lines = lines_of(out, data, asked, shape, known, tags, encode, memo, found)
    if out.room <= KEPT_ROOM:
        # Attack: read from memory that is not in use what somebody else was answered.
        if out.size:
            memset(out.into, 0, out.size)
        out.size = 0
        _kept = out
    return lines


cdef bytes lines_of(Lines out, bytes data, str asked, shape, dict known, dict tags, encode, Memo memo, Found* found):
    cdef const unsigned char* begin = <const unsigned char*> PyBytes_AS_STRING(data)
    cdef const unsigned char* at = begin
    cdef const unsigned char* end = begin + PyBytes_GET_SIZE(data) - 6
    cdef Py_UCS4 last = asked[len(asked) - 1] if asked else 0
    cdef unsigned int size
    cdef bytes kinds, payload
    cdef tuple columns
    found.described, found.rows, found.hidden = False, 0, 0
    if end < begin or memcmp(end, b"Z\0\0\0\5", 5) or not (end[5] == c"I" or end[5] == c"T" or end[5] == c"E"):
        return None
    if last:
        if end - at < 5 or memcmp(at, b"2\0\0\0\4", 5):
            return None
        at += 5
    if end - at < 5:
        return None
    if at[0] == c"T":
        if last == c"2":
            return None  # its columns are known, and nobody asked
        size = _long(at + 1)
        if size < 4 or size >= end - at:
            return None
        if not _is(memo.payload, at + 5, size - 4):
            payload = PyBytes_FromStringAndSize(<const char*> at + 5, size - 4)
            shape = known.get(payload)
            if shape is None:
                return None
            memo.payload, memo.shape = payload, shape
        shape = memo.shape
        at += 1 + size
        found.described = True
    elif last == c"T" or last == c"-":
        if memcmp(at, b"n\0\0\0\4", 5):
            return None
        at += 5
    if last == c"-":
        found.hidden = at - begin
    columns = shape.plain
    if columns is None:
        return None
    kinds = columns[0]
    if found.described:
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
        found.rows += 1
    if end - at < 5 or at[0] != c"C":
        return None
    size = _long(at + 1)
    if size < 4 or at + 1 + size != end:
        return None
    if not _is(memo.tag, at + 5, size - 4):
        payload = PyBytes_FromStringAndSize(<const char*> at + 5, size - 4)
        line = tags.get(payload)
        if line is None:
            return None
        memo.tag, memo.line = payload, line
    out.add(memo.line)
    return out.all()
