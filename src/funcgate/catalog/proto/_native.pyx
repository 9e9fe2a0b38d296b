# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of reading.py, for arguments: messages in the one spelling that protobuf's libraries write, read in one pass.

It accepts that spelling of plain types and nothing else, so what it read is, byte for byte, what is sent. Everything else (None)
is for the pure half to judge. _lines.pyx is the half for answers.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_Copy, PyDict_GetItem, PyDict_SetItem
from cpython.list cimport PyList_Append
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from .texts import shown as _shown

cdef uint64_t MOST_32 = 0xFFFFFFFF


cdef class Field:
    """One field of a type. `choice` numbers its oneof, 0 for none; `names` are those of an enum."""

    def __init__(
        self, str name, bytes opening, int number, int type, int wire, *, bint repeated=False, bint packed=False,
        bint implicit=False, bint closed=False, int choice=0, dict names=None, Table table=None, Field key=None,
        Field value=None,
    ):
        self.name, self.opening, self.type, self.wire = name, opening, type, wire
        self.tag = <uint64_t> number << 3 | <uint64_t> (2 if packed else wire)
        self.repeated, self.packed, self.implicit, self.closed = repeated, packed, implicit, closed
        self.choice = <uint64_t> 1 << choice if choice else 0
        self.names = {} if names is None else names
        self.shown = {number: b'"%b"' % name.encode() for number, name in self.names.items()}
        self.table, self.key, self.value, self.is_map = table, key, value, key is not None


cdef class Table:
    """One type. As long as it is not filled it accepts nothing."""

    def __cinit__(self):
        self.tags = NULL
        self.kind = BARRED

    def __dealloc__(self):
        PyMem_Free(self.tags)

    def fill(self, list fields, dict template, tuple lists, tuple maps, int64_t cost):
        """`fields` in the order of their numbers. What is always there, and what it counts: as in `Reader.fill`."""
        self.count, self.fields = len(fields), tuple(fields)
        self.template, self.lists, self.maps, self.cost = template, lists, maps, cost
        self.tags = <uint64_t*> PyMem_Malloc((self.count + 1) * sizeof(uint64_t))
        if self.tags is NULL:
            raise MemoryError
        for at in range(self.count):
            self.tags[at] = (<Field> fields[at]).tag
        self.kind = OBJECT

    def fill_wrapper(self, Field field, zero):
        self.fields, self.zero, self.kind = (field,), zero, WRAPPER

    def fill_time(self, text):
        """`text` makes one of seconds and nanos, None out of range."""
        self.text, self.kind = text, TIME

    def args(self, int64_t values, int depth, bytes data not None):
        """What `Reader.read` makes of a message that is written as `Reader.write` would write it; None for every other one."""
        cdef Span span
        cdef Limits limits
        if self.kind != OBJECT:
            return None
        span.at = <const uint8_t*> <const char*> data
        span.end = span.at + len(data)
        limits.left, limits.depth, limits.levels = values, depth, LEVELS
        return members_of(self, &span, &limits)

    cdef Field find(self, uint64_t tag, Py_ssize_t* place):
        """The field with the tag, from `place` on; None if there is none."""
        cdef Py_ssize_t at = place[0]
        while at < self.count and self.tags[at] < tag:
            at += 1
        place[0] = at + 1
        return <Field> self.fields[at] if at < self.count and self.tags[at] == tag else None


# Bytes.

cdef bint varint(Span* span, uint64_t* value) noexcept:
    """A number in its shortest form. False for every other one."""
    cdef uint64_t byte, found
    cdef int shift = 7
    if span.at >= span.end:
        return False
    found = span.at[0]
    span.at += 1
    if found < 128:
        value[0] = found
        return True
    found &= 127
    while span.at < span.end and shift <= 63:
        byte = span.at[0]
        span.at += 1
        if byte < 128:
            # Attack: zeros in front, or bits beyond the 64th, which one reader drops and another one keeps.
            if byte == 0 or (shift == 63 and byte > 1):
                return False
            value[0] = found | byte << shift
            return True
        found |= (byte & 127) << shift
        shift += 7
    return False


cdef bint cut(Span* span, Span* inner) noexcept:
    """A length, and as many bytes as it says."""
    cdef uint64_t size
    # Attack: a length beyond the end of what holds it.
    if not varint(span, &size) or size > <uint64_t> (span.end - span.at):
        return False
    inner.at = span.at
    span.at += size
    inner.end = span.at
    return True


cdef bint follows(Span* span, uint64_t tag) noexcept:
    """Whether the same tag is next; it is taken then."""
    cdef const uint8_t* before = span.at
    cdef uint64_t found
    if varint(span, &found) and found == tag:
        return True
    span.at = before
    return False


cdef bint fixed(Span* span, int size, uint64_t* value) noexcept:
    cdef int at
    if span.end - span.at < size:
        return False
    value[0] = 0
    for at in range(size):
        value[0] |= <uint64_t> span.at[at] << 8 * at
    span.at += size
    return True


cdef bint raw_of(Field field, Span* span, uint64_t* raw) noexcept:
    """A number of the field's type; False when the type has none of this size."""
    cdef int type = field.type
    if field.wire == 1:
        return fixed(span, 8, raw)
    if field.wire == 5:
        return fixed(span, 4, raw)
    if not varint(span, raw):
        return False
    # Attack: bits that are cut off: 2^32 + 5 is judged, and 5 is what the target reads.
    if type == INT32 or type == ENUM:
        return <int64_t> raw[0] == <int64_t> <int32_t> <uint32_t> raw[0]
    if type == UINT32 or type == SINT32:
        return raw[0] <= MOST_32
    return type != BOOL or raw[0] <= 1


cdef int64_t signed_of(int type, uint64_t raw) noexcept:
    if type == SINT32 or type == SINT64:
        return <int64_t> (raw >> 1 ^ (0 - (raw & 1)))
    return <int32_t> <uint32_t> raw if type == SFIXED32 else <int64_t> raw


cdef bint is_unsigned(int type) noexcept:
    return type == UINT64 or type == UINT32 or type == FIXED64 or type == FIXED32


cdef object number_of(Field field, uint64_t raw):
    """The value; None for a number that a closed enum does not have."""
    cdef PyObject* known
    if field.type == BOOL:
        return raw != 0
    if is_unsigned(field.type):
        return raw
    number = signed_of(field.type, raw)
    if field.type == ENUM:
        known = PyDict_GetItem(field.names, number)
        if known is not NULL:
            return <object> known
        if field.closed:
            return None
    return number


cdef double real_of(Field field, uint64_t raw) noexcept:
    cdef double real
    cdef float single
    cdef uint32_t short
    if field.type == DOUBLE:
        memcpy(&real, &raw, 8)
        return real
    short = <uint32_t> raw
    memcpy(&single, &short, 4)
    return single


cdef str decoded(const uint8_t* at, Py_ssize_t size):
    """None for what is not UTF-8."""
    try:
        return PyUnicode_DecodeUTF8(<const char*> at, size, NULL)
    except UnicodeDecodeError:
        return None


cdef bint is_ascii(const uint8_t* at, Py_ssize_t size) noexcept:
    cdef Py_ssize_t place
    cdef uint8_t all = 0
    for place in range(size):
        all |= at[place]
    return all < 128


# Keys of maps.

cdef bint key_of(Field field, Span* span, Key* key) noexcept:
    cdef Span text
    if field.type == STRING:
        if not cut(span, &text):
            return False
        key.at, key.size = text.at, text.end - text.at
        return True
    return raw_of(field, span, &key.raw)


cdef bint comes_after(Field field, Key* key, Key* before) noexcept:
    """Whether the writer puts one entry behind the other: a text behind those that begin with it. Numbers have another order."""
    cdef int order
    if field.type != STRING:
        return False
    order = memcmp(key.at, before.at, min(key.size, before.size))
    return order > 0 or (order == 0 and key.size < before.size)


cdef str key_text(Field field, Key* key):
    if field.type == STRING:
        return decoded(key.at, key.size)
    if field.type == BOOL:
        return "true" if key.raw else "false"
    return str(key.raw) if is_unsigned(field.type) else str(signed_of(field.type, key.raw))


# Values.

cdef object time_of(Table table, Span* span):
    """A Timestamp or a Duration as text; None out of range."""
    cdef uint64_t seconds = 0, nanos = 0
    if follows(span, 1 << 3) and (not varint(span, &seconds) or not seconds):
        return None
    if follows(span, 2 << 3) and (not varint(span, &nanos) or not nanos):
        return None
    if span.at != span.end or <int64_t> nanos != <int64_t> <int32_t> <uint32_t> nanos:
        return None
    return table.text(<int64_t> seconds, <int64_t> nanos)


cdef object value_of(Field field, Span* span, Limits* limits, bint implicit):
    """One value, `implicit` where it would not be written if it were zero. None for what is not accepted."""
    cdef Span inner
    cdef uint64_t raw
    cdef double real
    if field.wire == 2:
        if not cut(span, &inner):
            return None
        if field.type == MESSAGE:
            # Attack: messages within one another until the stack is full.
            limits.levels -= 1
            if limits.levels < 0:
                return None
            value = message_of(field.table, &inner, limits)
            limits.levels += 1
            return value
        if implicit and inner.at == inner.end:
            return None
        if field.type == STRING or is_ascii(inner.at, inner.end - inner.at):
            return decoded(inner.at, inner.end - inner.at)
        return _shown(PyBytes_FromStringAndSize(<const char*> inner.at, inner.end - inner.at))
    if not raw_of(field, span, &raw) or (implicit and raw == 0):
        return None
    if field.type != DOUBLE and field.type != FLOAT:
        return number_of(field, raw)
    real = real_of(field, raw)
    # Attack: NaN, to which no comparison holds. Who refuses it is the pure half; so is who knows what -0 is.
    return None if not isfinite(real) or (implicit and real == 0) else real


cdef object message_of(Table table, Span* span, Limits* limits):
    cdef Field field
    if table.kind == OBJECT:
        return members_of(table, span, limits)
    if table.kind == TIME:
        return time_of(table, span)
    if table.kind == WRAPPER:
        field = <Field> table.fields[0]
        if span.at == span.end:
            return table.zero
        if not follows(span, field.tag):
            return None
        value = value_of(field, span, limits, True)
        return value if span.at == span.end else None
    return None


cdef dict members_of(Table table, Span* span, Limits* limits):
    """As `Reader.read`."""
    cdef Field field
    cdef uint64_t tag, choices = 0
    cdef Py_ssize_t place = 0
    limits.left -= table.cost
    limits.depth -= 1
    if limits.left < 0 or limits.depth < 0:
        return None
    cdef dict found = PyDict_Copy(table.template)
    for name in table.lists:
        PyDict_SetItem(found, name, [])
    for name in table.maps:
        PyDict_SetItem(found, name, {})
    while span.at < span.end:
        if not varint(span, &tag):
            return None
        # Attack: a field twice, or out of order: two readers take one each. Here each comes once, behind those before it.
        field = table.find(tag, &place)
        if field is None:
            return None
        if field.choice:
            if choices & field.choice:
                return None
            choices |= field.choice
        if field.is_map:
            value = entries_of(field, span, limits)
        elif field.repeated:
            value = elements_of(field, span, limits)
        else:
            value = value_of(field, span, limits, field.implicit)
        if value is None:
            return None
        PyDict_SetItem(found, field.name, value)
    limits.depth += 1
    return found


cdef list elements_of(Field field, Span* span, Limits* limits):
    cdef list found = []
    cdef Span inner
    cdef bint packed = field.packed
    if packed and (not cut(span, &inner) or inner.at == inner.end):
        return None
    while True:
        value = value_of(field, &inner if packed else span, limits, False)
        limits.left -= 1
        if value is None or limits.left < 0:
            return None
        PyList_Append(found, value)
        if inner.at == inner.end if packed else not follows(span, field.tag):
            return found


cdef dict entries_of(Field field, Span* span, Limits* limits):
    cdef dict found = {}
    cdef Span inner
    cdef Key key, before
    cdef bint first = True
    while True:
        if not cut(span, &inner) or not follows(&inner, field.key.tag) or not key_of(field.key, &inner, &key):
            return None
        # Attack: a key twice, of which one is judged.
        if not first and not comes_after(field.key, &key, &before):
            return None
        name = key_text(field.key, &key)
        if name is None or not follows(&inner, field.value.tag):
            return None
        limits.left -= 1
        limits.levels -= 1
        if limits.left < 0 or limits.levels < 0:
            return None
        value = value_of(field.value, &inner, limits, False)
        limits.levels += 1
        if value is None or inner.at != inner.end:
            return None
        PyDict_SetItem(found, name, value)
        before, first = key, False
        if not follows(span, field.tag):
            return found
