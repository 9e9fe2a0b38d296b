# Arguments of plain values as JSON, byte for byte as msgspec writes them: text in ASCII without escapes, whole numbers of 64 bits,
# truth, nothing, and lists and dicts of these. Anything else is msgspec's. No Python code runs in between.

cdef extern from *:
    """
    /* Copies ASCII text; 0 if a character of it has to be escaped in JSON: a control character, a quote, a backslash. */
    static int copy_unescaped(char *to, const char *from, Py_ssize_t size) {
        const uint64_t ones = 0x0101010101010101u;
        uint64_t odd = 0, x;
        Py_ssize_t at = 0;
        for (; at + 8 <= size; at += 8) {
            memcpy(&x, from + at, 8);
            memcpy(to + at, &x, 8);
            odd |= (x - 0x20 * ones) | ((x ^ 0x22 * ones) - ones) | ((x ^ 0x5c * ones) - ones);
        }
        for (; at < size; at++) {
            unsigned char letter = (unsigned char)from[at];
            to[at] = from[at];
            if (letter < 0x20 || letter == 0x22 || letter == 0x5c) return 0;
        }
        return !(odd & 0x80 * ones);
    }
    """
    bint copy_unescaped(char* to, const char* text, Py_ssize_t size)

cdef extern from "Python.h":
    bint PyUnicode_IS_READY(PyObject* text)
    bint PyUnicode_IS_ASCII(PyObject* text)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject* text)
    void* PyUnicode_DATA(PyObject* text)
    bint PyUnicode_CheckExact(PyObject* value)
    bint PyLong_CheckExact(PyObject* value)
    bint PyList_CheckExact(PyObject* value)
    bint PyDict_CheckExact(PyObject* value)
    long long PyLong_AsLongLongAndOverflow(PyObject* value, int* overflow)
    Py_ssize_t PyList_GET_SIZE(PyObject* value)
    PyObject* PyList_GET_ITEM(PyObject* value, Py_ssize_t place)
    bint PyDict_Next(PyObject* mapping, Py_ssize_t* place, PyObject** key, PyObject** value)

cdef enum:
    SHEET = 16 << 10  # bytes; what is longer is msgspec's
    DEEPEST = 8

cdef char sheet[SHEET]
cdef PyObject* NOTHING = <PyObject*> None
cdef PyObject* YES = <PyObject*> True
cdef PyObject* NO = <PyObject*> False


cdef bytes plain_json(args):
    """None for what is not plain."""
    cdef char* end
    if not PyDict_CheckExact(<PyObject*> args):
        return None
    end = put_json(sheet, sheet + SHEET, <PyObject*> args, 0)
    return None if end is NULL else PyBytes_FromStringAndSize(sheet, end - sheet)


# Each writes at `at`, before `end`: the place after it, or NULL for what is not plain, or too long.

cdef char* put_string(char* at, char* end, PyObject* text) noexcept:
    cdef Py_ssize_t size
    if not PyUnicode_IS_READY(text) or not PyUnicode_IS_ASCII(text):
        return NULL
    size = PyUnicode_GET_LENGTH(text)
    if end - at < size + 2:
        return NULL
    at[0] = c'"'
    if not copy_unescaped(at + 1, <const char*> PyUnicode_DATA(text), size):
        return NULL
    at[size + 1] = c'"'
    return at + size + 2


cdef char* put_whole(char* at, char* end, long long number) noexcept:
    cdef char digits[20]
    cdef int count = 0
    cdef unsigned long long left = number
    if end - at < 21:
        return NULL
    if number < 0:
        at[0] = c"-"
        at += 1
        left = 0 - left
    while True:
        digits[count] = c"0" + left % 10
        count += 1
        left //= 10
        if not left:
            break
    while count:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at


cdef char* put_members(char* at, char* end, PyObject* value, int depth, bint is_dict) noexcept:
    cdef Py_ssize_t place = 0
    cdef PyObject* key
    cdef PyObject* member
    cdef bint first = True
    while True:
        if is_dict:
            if not PyDict_Next(value, &place, &key, &member):
                break
        elif place >= PyList_GET_SIZE(value):
            break
        else:
            member = PyList_GET_ITEM(value, place)
            place += 1
        if end - at < 2:
            return NULL
        if not first:
            at[0] = c","
            at += 1
        first = False
        if is_dict:
            if not PyUnicode_CheckExact(key):
                return NULL
            at = put_string(at, end, key)
            if at is NULL or at == end:
                return NULL
            at[0] = c":"
            at += 1
        at = put_json(at, end, member, depth)
        if at is NULL:
            return NULL
    return at


cdef char* put_json(char* at, char* end, PyObject* value, int depth) noexcept:
    cdef int overflow = 0
    cdef long long number
    cdef bint is_dict
    if PyUnicode_CheckExact(value):
        return put_string(at, end, value)
    if PyLong_CheckExact(value):
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        return NULL if overflow else put_whole(at, end, number)
    if end - at < 5:
        return NULL
    if value == NOTHING:
        memcpy(at, b"null", 4)
        return at + 4
    if value == YES:
        memcpy(at, b"true", 4)
        return at + 4
    if value == NO:
        memcpy(at, b"false", 5)
        return at + 5
    is_dict = PyDict_CheckExact(value)
    if depth == DEEPEST or not (is_dict or PyList_CheckExact(value)):
        return NULL
    at[0] = c"{" if is_dict else c"["
    at = put_members(at + 1, end, value, depth + 1, is_dict)
    if at is NULL or at == end:
        return NULL
    at[0] = c"}" if is_dict else c"]"
    return at + 1
