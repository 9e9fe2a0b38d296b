# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled halves of entries.py, and of what tape.py looks at in each answer. They decide nothing."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memchr, memcmp

import msgspec

from funcgate.core.call import Call
from funcgate.core.entry import Decided, Entry, Kind, who_is
from funcgate.core.reply import Reply

cdef extern from *:
    """
    #include <stdint.h>
    #include <structmember.h>

    /* Where a field of a Struct lies, -1 if it is not kept as one pointer. */
    static Py_ssize_t field_at(PyObject *cls, PyObject *field) {
        PyMemberDescrObject *told = (PyMemberDescrObject *)field;
        if (!Py_IS_TYPE(field, &PyMemberDescr_Type) || (PyObject *)PyDescr_TYPE(told) != cls) return -1;
        return told->d_member->type == T_OBJECT_EX ? told->d_member->offset : -1;
    }

    static int all_ascii(const char *data, Py_ssize_t size) {
        uint64_t seen = 0, x;
        Py_ssize_t at = 0;
        for (; at + 8 <= size; at += 8) {
            memcpy(&x, data + at, 8);
            seen |= x;
        }
        for (; at < size; at++) seen |= (uint64_t)(unsigned char)data[at];
        return !(seen & 0x8080808080808080u);
    }
    """
    Py_ssize_t field_at(object cls, object field)
    bint all_ascii(const char* data, Py_ssize_t size)

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject* cls, Py_ssize_t count)
    object PyUnicode_DecodeLatin1(const char* data, Py_ssize_t size, const char* errors)

cdef enum:
    MOST = 64

cdef class Shape:
    """Where the fields of a Struct are, and what a new one holds."""

    cdef object of
    cdef int count
    cdef Py_ssize_t offsets[MOST]
    cdef PyObject* plain[MOST]
    cdef list held
    cdef dict places

    def __init__(self, cls):
        """Raises `ImportError` where this msgspec keeps its fields in another way."""
        cdef int place
        fields = msgspec.structs.fields(cls)
        if len(fields) > MOST:
            raise ImportError("more fields than expected")
        self.of, self.count, self.held, self.places = cls, len(fields), [], {}
        for place in range(self.count):
            field = fields[place]
            default = field.default
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()  # nobody changes what an entry holds in place
            self.held.append(default)
            self.plain[place] = NULL if default is msgspec.NODEFAULT else <PyObject*> default
            self.offsets[place] = field_at(cls, getattr(cls, field.name))
            self.places[field.name] = self.offsets[place]
            if self.offsets[place] < 0:
                raise ImportError("fields of another kind")

    cdef object new(self):
        """One with its defaults; what has none is not set yet."""
        made = PyType_GenericAlloc(<PyTypeObject*> self.of, 0)
        cdef char* base = <char*> <PyObject*> made
        cdef PyObject* value
        cdef int place
        for place in range(self.count):
            value = self.plain[place]
            if value is not NULL:
                Py_INCREF(<object> value)
                (<PyObject**> (base + self.offsets[place]))[0] = value
        return made


cdef inline object get(object of, Py_ssize_t offset):
    cdef PyObject* value = (<PyObject**> (<char*> <PyObject*> of + offset))[0]
    if value is NULL:
        raise AttributeError("a field that was deleted")
    return <object> value


cdef inline int put(object into, Py_ssize_t offset, object value) except -1:
    cdef PyObject** place = <PyObject**> (<char*> <PyObject*> into + offset)
    cdef PyObject* before = place[0]
    Py_INCREF(value)
    place[0] = <PyObject*> value
    if before is not NULL:
        Py_DECREF(<object> before)
    return 0


cdef Shape ENTRY = Shape(Entry), DECIDED = Shape(Decided), CALL = Shape(Call), REPLY = Shape(Reply)
cdef object RAW = msgspec.Raw, ARRIVED = Kind.ARRIVED, CHUNK = Kind.CHUNK
cdef Py_ssize_t E_KIND, E_CALL, E_SESSION, E_PRINCIPAL, E_FUNCTION, E_TARGET, E_ARGS, E_DIGEST, E_CLIENT, E_TRACE, E_REASON
cdef Py_ssize_t E_POLICY, E_APPROVAL, E_OUTCOME, E_CODE, E_TIMING, E_STATUS, E_MASKED, E_BODY, E_BODY_BYTES, E_FIELDS
cdef Py_ssize_t C_ID, C_SESSION, C_PRINCIPAL, C_FUNCTION, C_TARGET, C_DIGEST, C_CLIENT, C_TRACE, C_REASON
cdef Py_ssize_t D_NAMES, D_VERSION, R_STATUS, R_BODY

(E_KIND, E_CALL, E_SESSION, E_PRINCIPAL, E_FUNCTION, E_TARGET, E_ARGS, E_DIGEST, E_CLIENT, E_TRACE, E_REASON) = [
    ENTRY.places[name] for name in
    ("kind", "call", "session", "principal", "function", "target", "args", "digest", "client", "trace", "reason")
]
(E_POLICY, E_APPROVAL, E_OUTCOME, E_CODE, E_TIMING, E_STATUS, E_MASKED, E_BODY, E_BODY_BYTES, E_FIELDS) = [
    ENTRY.places[name] for name in
    ("policy", "approval", "outcome", "code", "timing_us", "status", "masked", "body", "body_bytes", "fields")
]
(C_ID, C_SESSION, C_PRINCIPAL, C_FUNCTION, C_TARGET, C_DIGEST, C_CLIENT, C_TRACE, C_REASON) = [
    CALL.places[name] for name in
    ("id", "session", "principal", "function", "target", "digest", "client", "trace", "reason")
]
D_NAMES, D_VERSION = DECIDED.places["names"], DECIDED.places["version"]
R_STATUS, R_BODY = REPLY.places["status"], REPLY.places["body"]


cdef inline int check(object value, Shape shape) except -1:
    if type(value) is not shape.of:
        raise TypeError("a value of another type")
    return 0


def arrival(call, args):
    """`entries.arrival`."""
    check(call, CALL)
    entry = ENTRY.new()
    put(entry, E_KIND, ARRIVED)
    put(entry, E_CALL, get(call, C_ID))
    put(entry, E_SESSION, get(call, C_SESSION))
    put(entry, E_PRINCIPAL, who_is(get(call, C_PRINCIPAL)))
    put(entry, E_FUNCTION, get(call, C_FUNCTION))
    put(entry, E_TARGET, get(call, C_TARGET))
    put(entry, E_ARGS, args)
    put(entry, E_DIGEST, get(call, C_DIGEST))
    put(entry, E_CLIENT, get(call, C_CLIENT))
    put(entry, E_TRACE, get(call, C_TRACE))
    put(entry, E_REASON, get(call, C_REASON))
    return entry


def step(kind, call_id, call, approval, decision, version):
    """`entries.step`."""
    entry = ENTRY.new()
    put(entry, E_KIND, kind)
    put(entry, E_CALL, call_id)
    if call is not None:
        check(call, CALL)
        put(entry, E_SESSION, get(call, C_SESSION))
        put(entry, E_FUNCTION, get(call, C_FUNCTION))
    put(entry, E_APPROVAL, approval)
    if decision is not None:
        policy = DECIDED.new()
        put(policy, D_NAMES, decision.policies)
        put(policy, D_VERSION, version)
        put(entry, E_POLICY, policy)
    return entry


def answer(call, reply, tuple fields not None, counts, body):
    """`entries.answer`."""
    check(call, CALL)
    check(reply, REPLY)
    entry = ENTRY.new()
    put(entry, E_KIND, CHUNK)
    put(entry, E_CALL, get(call, C_ID))
    put(entry, E_SESSION, get(call, C_SESSION))
    put(entry, E_FUNCTION, get(call, C_FUNCTION))
    put(entry, E_STATUS, get(reply, R_STATUS))
    put(entry, E_FIELDS, fields)
    put(entry, E_BODY, body)
    whole = get(reply, R_BODY)
    put(entry, E_BODY_BYTES, 0 if whole is None else len(whole))
    put(entry, E_MASKED, counts)
    return entry


def end(entry, outcome, code, times, status, counts, recorded):
    """`entries.end`."""
    check(entry, ENTRY)
    put(entry, E_OUTCOME, outcome)
    put(entry, E_CODE, code)
    put(entry, E_TIMING, times)
    put(entry, E_STATUS, status)
    put(entry, E_MASKED, counts)
    put(entry, E_BODY_BYTES, recorded)
    return entry


def all_small(tuple entries not None, Py_ssize_t inline):
    """`contents._all_small`."""
    for entry in entries:
        check(entry, ENTRY)
        for offset in (E_ARGS, E_BODY):
            part = get(entry, offset)
            if part is not None and len(part) > inline:
                return False
    return True


def one_line(body):
    """Whether the bytes are ASCII without a line break, so that JSON known to be JSON can stand in a line as it is."""
    if not PyBytes_CheckExact(body):
        return False
    cdef const char* data = PyBytes_AS_STRING(body)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
    return memchr(data, c"\n", size) is NULL and memchr(data, c"\r", size) is NULL and all_ascii(data, size)


cdef bint carries(const char* name, Py_ssize_t size):
    """Whether it is one of `tape._CARRYING`, in letters of any case."""
    cdef char lower[16]
    cdef Py_ssize_t place
    cdef char letter
    if size > 14 or size < 4:
        return False
    for place in range(size):
        letter = name[place]
        lower[place] = letter + 32 if c"A" <= letter <= c"Z" else letter
    if size == 14:
        return memcmp(lower, b"content-length", 14) == 0
    if size == 12:
        return memcmp(lower, b"content-type", 12) == 0
    if size == 10:
        return memcmp(lower, b"connection", 10) == 0 or memcmp(lower, b"keep-alive", 10) == 0
    if size == 6:
        return memcmp(lower, b"server", 6) == 0
    return size == 4 and memcmp(lower, b"date", 4) == 0


def fields_of(pairs):
    """`tape.fields_of`; None for what is no list of pairs of bytes."""
    cdef list found = None
    if type(pairs) is not list:
        return None
    for pair in <list> pairs:
        if type(pair) is not tuple or len(<tuple> pair) != 2:
            return None
        name, value = (<tuple> pair)[0], (<tuple> pair)[1]
        if not PyBytes_CheckExact(name) or not PyBytes_CheckExact(value):
            return None
        if carries(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)):
            continue
        if found is None:
            found = []
        found.append((
            PyUnicode_DecodeLatin1(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), NULL),
            PyUnicode_DecodeLatin1(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), NULL),
        ))
    return () if found is None else tuple(found)
