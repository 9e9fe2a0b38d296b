# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of lines.py: entries that need no mending as lines of the journal. What needs it is left to lines.py.

An entry of plain values is written here, byte for byte as msgspec writes it; any other is given to msgspec, whole.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.dict cimport PyDict_Next
from cpython.mem cimport PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memchr, memcpy

import msgspec

from funcgate.core._drawn cimport Drawn
from funcgate.core.entry import Decided, Entry, Kind, Sealed, Who
from funcgate.core.refusal import Code
from funcgate.core.reply import Outcome

include "../core/_text.pxi"
include "_crc.pxi"
include "_ends.pxi"

cdef extern from *:
    """
    #include <structmember.h>

    /* Where a field of a Struct lies, -1 if it is not kept as one pointer. */
    static Py_ssize_t field_at(PyObject *cls, PyObject *field) {
        PyMemberDescrObject *told = (PyMemberDescrObject *)field;
        if (!Py_IS_TYPE(field, &PyMemberDescr_Type) || (PyObject *)PyDescr_TYPE(told) != cls) return -1;
        return told->d_member->type == T_OBJECT_EX ? told->d_member->offset : -1;
    }
    #define FIELD(entry, offset) (*(PyObject **)((char *)(entry) + (offset)))

    /* So many bytes more at the end of a bytearray, where it has room for them and nobody looks at it: the place of the first. */
    static char *room(PyObject *buffer, Py_ssize_t size) {
        PyByteArrayObject *b = (PyByteArrayObject *)buffer;
        Py_ssize_t end = Py_SIZE(b);
        if (b->ob_exports || b->ob_start - b->ob_bytes + end + size >= b->ob_alloc) return NULL;
        Py_SET_SIZE(b, end + size);
        b->ob_start[end + size] = 0;
        return b->ob_start + end;
    }
    """
    Py_ssize_t field_at(object cls, object field)
    PyObject* FIELD(PyObject* entry, Py_ssize_t offset)
    char* room(PyObject* buffer, Py_ssize_t size)

cdef extern from "Python.h":
    PyObject* Py_TYPE(PyObject* value)
    bint PyUnicode_CheckExact(PyObject* value)
    bint PyLong_CheckExact(PyObject* value)
    bint PyTuple_CheckExact(PyObject* value)
    bint PyDict_CheckExact(PyObject* value)
    long long PyLong_AsLongLongAndOverflow(PyObject* value, int* overflow)
    Py_ssize_t PyTuple_GET_SIZE(PyObject* value)
    PyObject* PyTuple_GET_ITEM(PyObject* value, Py_ssize_t place)
    Py_ssize_t PyDict_Size(PyObject* value)
    void Py_SET_SIZE(object value, Py_ssize_t size)

cdef enum:
    PAGE = 96 << 10  # a line that is longer is msgspec's
    LEAST = 32 << 10  # bytes of a buffer that grows
    MOST_HEAD = 128  # bytes before an entry's own: number and time
    DEEPEST = 5

ctypedef struct Field:
    Py_ssize_t offset
    PyObject* plain  # left out when it is this very object
    bint often_empty  # left out when it is an empty dict
    char* name  # `,"name":`
    Py_ssize_t size

ctypedef struct Shape:
    PyObject* of
    Field* fields
    int count

cdef char page[PAGE]
cdef Shape shapes[4]
cdef list held = []  # what the shapes point to
cdef PyObject* RAW = <PyObject*> msgspec.Raw
cdef PyObject* KIND = <PyObject*> Kind
cdef PyObject* OUTCOME = <PyObject*> Outcome
cdef PyObject* CODE = <PyObject*> Code
cdef PyObject* ENTRY = <PyObject*> Entry
cdef PyObject* NONE = <PyObject*> None
cdef PyObject* TRUE = <PyObject*> True
cdef PyObject* FALSE = <PyObject*> False
cdef Py_ssize_t seq_at, at_at


cdef Shape shape_of(cls) except *:
    """Raises `ImportError` where this msgspec keeps its fields in another way."""
    cdef Shape shape
    cdef bytes name
    cdef int place
    fields = msgspec.structs.fields(cls)
    shape.of, shape.count = <PyObject*> cls, len(fields)
    shape.fields = <Field*> PyMem_Malloc(shape.count * sizeof(Field))
    if shape.fields is NULL:
        raise MemoryError
    for place in range(shape.count):
        field = fields[place]
        name = b',"%b":' % field.encode_name.encode()
        default = field.default
        held.append((name, default))
        shape.fields[place].offset = field_at(cls, getattr(cls, field.name))
        if shape.fields[place].offset < 0:
            raise ImportError("fields of another kind")
        shape.fields[place].plain = NULL if default is msgspec.NODEFAULT else <PyObject*> default
        shape.fields[place].often_empty = field.default_factory is dict
        if not shape.fields[place].often_empty and field.default_factory is not msgspec.NODEFAULT:
            raise ImportError("defaults of another kind")
        shape.fields[place].name, shape.fields[place].size = name, len(name)
    return shape


cdef int begin() except -1:
    global seq_at, at_at
    for place, cls in enumerate((Entry, Who, Decided, Sealed)):
        shapes[place] = shape_of(cls)
    seq_at, at_at = field_at(Entry, Entry.seq), field_at(Entry, Entry.at)
    return 0


begin()


# What follows writes at `at`, before `end`: the place after it, or NULL for what is left to msgspec. `value` is borrowed.

cdef char* put_raw(char* at, char* end, PyObject* raw) noexcept:
    cdef Py_buffer view
    try:
        PyObject_GetBuffer(<object> raw, &view, PyBUF_SIMPLE)
    except Exception:
        return NULL
    if end - at < view.len:
        at = NULL
    else:
        memcpy(at, view.buf, view.len)
        at += view.len
    PyBuffer_Release(&view)
    return at


cdef char* put_dict(char* at, char* end, PyObject* mapping, int depth) noexcept:
    cdef PyObject* key
    cdef PyObject* value
    cdef Py_ssize_t place = 0
    if at == end:
        return NULL
    at[0] = c"{"
    at += 1
    while PyDict_Next(<object> mapping, &place, &key, &value):
        if not PyUnicode_CheckExact(key):
            return NULL
        at = put_text(at, end, key)
        if at is NULL or at == end:
            return NULL
        at[0] = c":"
        at = put(at + 1, end, value, depth + 1)
        if at is NULL or at == end:
            return NULL
        at[0] = c","
        at += 1
    if at == end:
        return NULL
    if at[-1] == c",":
        at -= 1
    at[0] = c"}"
    return at + 1


cdef char* put_tuple(char* at, char* end, PyObject* values, int depth) noexcept:
    cdef Py_ssize_t place
    if at == end:
        return NULL
    at[0] = c"["
    at += 1
    for place in range(PyTuple_GET_SIZE(values)):
        at = put(at, end, PyTuple_GET_ITEM(values, place), depth + 1)
        if at is NULL or at == end:
            return NULL
        at[0] = c","
        at += 1
    if at == end:
        return NULL
    if at[-1] == c",":
        at -= 1
    at[0] = c"]"
    return at + 1


cdef char* put_struct(char* at, char* end, PyObject* value, Shape* shape, int depth) noexcept:
    cdef int place
    cdef Field* field
    cdef PyObject* member
    cdef char* begun = at
    for place in range(shape.count):
        field = shape.fields + place
        member = FIELD(value, field.offset)
        if member == field.plain:
            if member is NULL:
                return NULL  # a field that was deleted
            continue
        if member is NULL or (field.often_empty and PyDict_CheckExact(member) and PyDict_Size(member) == 0):
            if member is NULL:
                return NULL
            continue
        if end - at < field.size:
            return NULL
        memcpy(at, field.name, field.size)
        at = put(at + field.size, end, member, depth + 1)
        if at is NULL:
            return NULL
    if end - at < 2:
        return NULL
    if at == begun:
        at += 1
    begun[0] = c"{"
    at[0] = c"}"
    return at + 1


cdef char* put(char* at, char* end, PyObject* value, int depth) noexcept:
    cdef PyObject* cls = Py_TYPE(value)
    cdef int overflow = 0
    cdef long long number
    cdef int place
    cdef Py_ssize_t size
    cdef const char* word
    if PyUnicode_CheckExact(value) or cls == KIND or cls == OUTCOME or cls == CODE:
        return put_text(at, end, value)
    if PyLong_CheckExact(value):
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        return NULL if overflow else put_number(at, end, number)
    if cls == RAW:
        return put_raw(at, end, value)
    if depth > DEEPEST:
        return NULL
    if PyDict_CheckExact(value):
        return put_dict(at, end, value, depth)
    if PyTuple_CheckExact(value):
        return put_tuple(at, end, value, depth)
    for place in range(1, 4):
        if cls == shapes[place].of:
            return put_struct(at, end, value, &shapes[place], depth)
    if value == NONE:
        word, size = b"null", 4
    elif value == TRUE:
        word, size = b"true", 4
    elif value == FALSE:
        word, size = b"false", 5
    else:
        return NULL
    if end - at < size:
        return NULL
    memcpy(at, word, size)
    return at + size


cdef inline void set_field(PyObject* entry, Py_ssize_t offset, object value):
    """Only for what the collector need not know of: text and numbers."""
    cdef PyObject** place = <PyObject**> (<char*> entry + offset)
    cdef PyObject* before = place[0]
    Py_INCREF(value)
    place[0] = <PyObject*> value
    if before is not NULL:
        Py_DECREF(<object> before)


cdef int add(bytearray buffer, const char* line, Py_ssize_t size, unsigned int crc) except -1:
    cdef char* into = more(buffer, size + CRC)
    memcpy(into, line, size)
    put_crc(into + size, crc)
    return 0


cdef char* put_drawn(char* into, Drawn drawn, Py_ssize_t number, const char* at, Py_ssize_t at_size) except NULL:
    """Number and time before what is drawn, which has no newline in it, and the crc after it: the place behind."""
    cdef Py_ssize_t size = drawn.size - 1
    cdef char* p = put_head(into, number, at, at_size)
    memcpy(p, drawn.line, size)
    p += size
    put_crc(p, crc_of(None, into, p - into))
    return p + CRC


cdef int add_drawn(
    bytearray buffer, Drawn first, Drawn second, Py_ssize_t number, const char* at, Py_ssize_t at_size
) except -1:
    """One line or two, numbered from `number` on. What raises leaves the buffer longer than its lines."""
    cdef Py_ssize_t before = len(buffer), size
    cdef char* into
    cdef char* p
    if first.line is NULL or number <= 0 or not 0 < at_size <= MOST_HEAD - LINE_HEAD:
        raise ValueError("no line")
    size = first.size + LINE_HEAD + at_size + CRC
    if second is not None:
        if second.line is NULL:
            raise ValueError("no line")
        size += second.size + LINE_HEAD + at_size + CRC
    into = more(buffer, size)  # the most that it can be
    p = put_drawn(into, first, number, at, at_size)
    if second is not None:
        p = put_drawn(p, second, number + 1, at, at_size)
    p[0] = 0
    Py_SET_SIZE(buffer, before + (p - into))
    return 0


cdef Py_ssize_t add_plain(bytearray buffer, tuple entries, Py_ssize_t number, const char* at, Py_ssize_t at_size, encode) except -2:
    """The last number used; -1 when an entry has to be mended, with lines left in the buffer."""
    cdef bytes line
    cdef str told = None
    cdef Py_ssize_t size
    cdef char* done
    cdef const char* data
    for entry in entries:
        number += 1
        if type(entry) is Drawn:
            add_drawn(buffer, <Drawn> entry, None, number, at, at_size)
            continue
        if told is None:
            told = at[:at_size].decode("ascii")
        done = NULL
        if Py_TYPE(<PyObject*> entry) == ENTRY:
            set_field(<PyObject*> entry, seq_at, number)
            set_field(<PyObject*> entry, at_at, told)
            done = put_struct(page, page + PAGE, <PyObject*> entry, &shapes[0], 0)
        if done is not NULL:
            line, data, size = None, page, done - page
            if not folds:
                # Attack: zlib lets other threads go on while it reads, and they write on the same page: another's line.
                line = page[:size]
                data = line
        else:
            entry.seq = number
            entry.at = told
            line = encode(entry)
            data, size = line, len(line)
        # Attack: a raw newline inside spliced-in JSON forges a line of the journal.
        if size < 2 or data[size - 1] != c"}" or memchr(data, c"\n", size) is not NULL:
            return -1
        add(buffer, data, size - 1, crc_of(None if line is None else line[: size - 1], data, size - 1))
    return number


cdef class Lines:
    """`lines.add_lines`: `encode` is msgspec's, `mend` writes the entries that need it, and all that came with them."""

    def __init__(self, encode, mend):
        self._encode = encode
        self._mend = mend

    def add(self, bytearray buffer not None, entries not None, Py_ssize_t seq, str at not None):
        """See `lines.add_lines`."""
        cdef bytes told = at.encode()
        return self.add_in(buffer, tuple(entries), seq, told, len(told))

    cdef Py_ssize_t add_in(self, bytearray buffer, tuple entries, Py_ssize_t seq, const char* at, Py_ssize_t at_size) except -1:
        cdef Py_ssize_t start = len(buffer), last = -1
        try:
            last = add_plain(buffer, entries, seq, at, at_size, self._encode)
        except Exception:  # whatever it was, the slow way writes the entries
            last = -1
        if last >= 0:
            return last
        PyByteArray_Resize(buffer, start)
        return self._mend(buffer, entries, seq, at[:at_size].decode())

    cdef bint draw_in(
        self, bytearray buffer, Drawn first, Drawn second, Py_ssize_t seq, const char* at, Py_ssize_t at_size
    ) except -1:
        """One or two, with the numbers after `seq`. False: nothing was added, `add_in` will."""
        cdef Py_ssize_t start = len(buffer)
        try:
            add_drawn(buffer, first, second, seq + 1, at, at_size)
        except Exception:
            PyByteArray_Resize(buffer, start)
            return False
        return True


cdef char* more(bytearray buffer, Py_ssize_t size) except NULL:
    """Room for so many bytes at the end, by doubling: by an eighth, as bytearrays do, a line was copied eight times while a batch
    fills."""
    cdef Py_ssize_t end = len(buffer)
    cdef char* into = room(<PyObject*> buffer, size)
    if into is NULL:
        PyByteArray_Resize(buffer, max(2 * (end + size), LEAST))
        Py_SET_SIZE(buffer, end)  # what shrinks by more than half otherwise gives its memory back
        into = room(<PyObject*> buffer, size)
    if into is NULL:
        raise BufferError("no room")
    return into


def crc_32(bytes data not None):
    """As zlib's, for tests."""
    return crc_of(data, data, len(data))


include "_packing.pxi"
