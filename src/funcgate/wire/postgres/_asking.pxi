# What a caller asks: a Query, or a Bind with all that runs it. Included by others, behind _messages.pxi.


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    /* UTF-8, as it is decoded; in less time where it is ASCII. */
    static PyObject *text_of(const char *data, Py_ssize_t size) {
        const uint64_t high = 0x8080808080808080u;
        uint64_t seen = 0, x;
        Py_ssize_t at = 0;
        PyObject *text;
        for (; at + 8 <= size; at += 8) {
            memcpy(&x, data + at, 8);
            seen |= x;
        }
        for (; at < size; at++) seen |= (unsigned char)data[at];
        if (seen & high) return PyUnicode_DecodeUTF8(data, size, NULL);
        text = PyUnicode_New(size, 127);
        if (text != NULL) memcpy(PyUnicode_1BYTE_DATA(text), data, size);
        return text;
    }
    """
    str text_of(const char* data, Py_ssize_t size)


cdef tuple asked_query(bytearray data, Py_ssize_t at, Py_ssize_t most):
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
        return text_of(<const char*> raw + 5, size - 5), PyBytes_FromStringAndSize(<char*> raw, size + 1)
    except UnicodeDecodeError:
        return None


cdef class Bound:
    """What was bound: the statement's name, the formats of the values, the values, the formats of the results, whether the portal is
    described; and all bytes."""

    cdef str name
    cdef tuple formats, values, results
    cdef bint described
    cdef bytes raw


cdef tuple _NONE = (), _TEXTS = (0,), _CODES = (0, 1)


cdef tuple _codes_at(const unsigned char* at, Py_ssize_t count):
    """So many format codes; None for what is none."""
    cdef Py_ssize_t place
    cdef tuple codes
    if not count:
        return _NONE
    for place in range(count):
        if _short(at + 2 * place) > 1:
            return None
    codes = PyTuple_New(count)
    for place in range(count):
        code = _CODES[_short(at + 2 * place)]
        Py_INCREF(code)
        PyTuple_SET_ITEM(codes, place, code)
    return codes


cdef bint asked_run(bytearray data, Py_ssize_t at, Py_ssize_t most, Bound into) except -1:
    """See `_native.run`: whether there is one. `into` may have the last one's name."""
    cdef Py_ssize_t there = PyByteArray_GET_SIZE(data) - at
    cdef const unsigned char* begin
    cdef const unsigned char* raw
    cdef const unsigned char* end
    cdef const unsigned char* found
    cdef unsigned int size, count, formats, number
    cdef tuple codes, values
    if at < 0 or there < 20:
        return False
    begin = <const unsigned char*> PyByteArray_AS_STRING(data) + at
    if begin[0] != c"B":
        return False
    size = _long(begin + 1)
    if size >= there or size < 12 or size - 4 > most or begin[5] != 0:
        return False
    raw = begin + 6
    end = begin + 1 + size
    found = <const unsigned char*> memchr(raw, 0, end - raw)
    if found is NULL or end - found < 3:
        return False
    if into.name is None or not _is_text(into.name, raw, found - raw):
        for number in range(<unsigned int> (found - raw)):
            if raw[number] > 0x7F:
                return False
        into.name = PyUnicode_DecodeASCII(<const char*> raw, found - raw, NULL)
    raw = found + 1
    formats = _short(raw)
    raw += 2
    if end - raw < 2 * <Py_ssize_t> formats + 2:
        return False
    codes = _codes_at(raw, formats)
    if codes is None:
        return False
    raw += 2 * formats
    count = _short(raw)
    raw += 2
    if formats > 1 and formats != count or formats == 1 and count == 0:
        return False
    # Attack: room for 65,535 values, asked for by a few bytes.
    if 4 * <Py_ssize_t> count > end - raw:
        return False
    values = PyTuple_New(count) if count else _NONE
    for number in range(count):
        if end - raw < 4:
            return False
        size = _long(raw)
        raw += 4
        if size == NULL_VALUE:
            value = None
        elif size > end - raw:
            return False
        else:
            value = PyBytes_FromStringAndSize(<const char*> raw, size)
            raw += size
        Py_INCREF(value)
        PyTuple_SET_ITEM(values, number, value)
    if formats != count:
        codes = _TEXTS if count == 1 else (codes if formats else _TEXTS) * <Py_ssize_t> count
    if end - raw < 2:
        return False
    formats = _short(raw)
    raw += 2
    # Attack: bytes after the end of a message that one reader skips and another one takes for more of it.
    if end - raw != 2 * <Py_ssize_t> formats:
        return False
    into.results = _codes_at(raw, formats)
    if into.results is None:
        return False
    there -= end - begin
    into.described = there >= 7 and memcmp(end, b"D\0\0\0\6P\0", 7) == 0
    if into.described:
        end += 7
        there -= 7
    if there < 15 or memcmp(end, b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\4", 15):
        return False
    into.formats, into.values = codes, values
    into.raw = PyBytes_FromStringAndSize(<const char*> begin, end + 15 - begin)
    return True
