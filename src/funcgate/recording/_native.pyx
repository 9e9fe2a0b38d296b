# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled halves of entries.py, tape.py, and what gateway.py knows of a call on its way. They decide nothing."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memchr, memcmp, memcpy, memmove, strlen

import msgspec

from funcgate.core.call import Call
from funcgate.core.entry import Decided, Entry, Kind, who_is
from funcgate.core.principal import Principal
from funcgate.core.reply import Reply

cdef extern from *:
    """
    #include <stdint.h>

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
    bint all_ascii(const char* data, Py_ssize_t size)

cdef extern from "Python.h":
    object PyUnicode_DecodeLatin1(const char* data, Py_ssize_t size, const char* errors)

include "../core/_shape.pxi"

cdef Shape ENTRY = Shape(Entry), DECIDED = Shape(Decided), CALL = Shape(Call), REPLY = Shape(Reply), PRINCIPAL = Shape(Principal)
cdef object RAW = msgspec.Raw, ARRIVED = Kind.ARRIVED, CHUNK = Kind.CHUNK
cdef Py_ssize_t E_KIND, E_CALL, E_SESSION, E_PRINCIPAL, E_FUNCTION, E_TARGET, E_ARGS, E_DIGEST, E_CLIENT, E_TRACE, E_REASON
cdef Py_ssize_t E_POLICY, E_APPROVAL, E_OUTCOME, E_CODE, E_TIMING, E_STATUS, E_MASKED, E_BODY, E_BODY_BYTES, E_FIELDS
cdef Py_ssize_t C_ID, C_SESSION, C_PRINCIPAL, C_FUNCTION, C_TARGET, C_DIGEST, C_CLIENT, C_TRACE, C_REASON
cdef Py_ssize_t C_ARGS, C_SHARED, C_OWN, E_MEDIA, D_NAMES, D_VERSION, R_STATUS, R_BODY, R_HEADERS, R_MEDIA, R_STREAM, R_TRAILERS, P_WHO, P_SHOWN

(E_KIND, E_CALL, E_SESSION, E_PRINCIPAL, E_FUNCTION, E_TARGET, E_ARGS, E_DIGEST, E_CLIENT, E_TRACE, E_REASON) = [
    ENTRY.places[name] for name in
    ("kind", "call", "session", "principal", "function", "target", "args", "digest", "client", "trace", "reason")
]
(E_POLICY, E_APPROVAL, E_OUTCOME, E_CODE, E_TIMING, E_STATUS, E_MASKED, E_BODY, E_BODY_BYTES, E_FIELDS) = [
    ENTRY.places[name] for name in
    ("policy", "approval", "outcome", "code", "timing_us", "status", "masked", "body", "body_bytes", "fields")
]
(C_ID, C_SESSION, C_PRINCIPAL, C_FUNCTION, C_TARGET, C_DIGEST, C_CLIENT, C_TRACE, C_REASON, C_ARGS, C_SHARED, C_OWN) = [
    CALL.places[name] for name in
    ("id", "session", "principal", "function", "target", "digest", "client", "trace", "reason", "args", "shared", "own")
]
D_NAMES, D_VERSION = DECIDED.places["names"], DECIDED.places["version"]
P_WHO, P_SHOWN = PRINCIPAL.places["who"], PRINCIPAL.places["shown"]
E_MEDIA = ENTRY.places["media"]
(R_STATUS, R_BODY, R_HEADERS, R_MEDIA, R_STREAM, R_TRAILERS) = [
    REPLY.places[name] for name in ("status", "body", "headers", "media", "stream", "trailers")
]

include "_drawing.pxi"

cdef bint _drawing = True


def draws(bint does):
    """Whether lines are drawn, in all of this process: in vain where each entry is sealed on its way."""
    global _drawing
    _drawing = does


cpdef arrival(call, args):
    """`entries.arrival`; the arguments may be bytes, too."""
    cdef bytes plain = args if args is None or PyBytes_CheckExact(args) else bytes(args)
    cdef Drawn drawn = None
    check(call, CALL)
    drawn = drawn_arrival(call, plain) if _drawing else None
    if drawn is not None:
        return drawn
    entry = ENTRY.new()
    put(entry, E_KIND, ARRIVED)
    put(entry, E_CALL, get(call, C_ID))
    put(entry, E_SESSION, get(call, C_SESSION))
    principal = get(call, C_PRINCIPAL)
    who = get(principal, P_WHO) if type(principal) is PRINCIPAL.of else None
    put(entry, E_PRINCIPAL, who_is(principal) if who is None else who)
    put(entry, E_FUNCTION, get(call, C_FUNCTION))
    put(entry, E_TARGET, get(call, C_TARGET))
    put(entry, E_ARGS, None if plain is None else RAW(plain))
    put(entry, E_DIGEST, get(call, C_DIGEST))
    put(entry, E_CLIENT, get(call, C_CLIENT))
    put(entry, E_TRACE, get(call, C_TRACE))
    put(entry, E_REASON, get(call, C_REASON))
    return entry


cpdef step(kind, call_id, call, approval, decision, version):
    """`entries.step`."""
    cdef Drawn drawn = None
    if call is not None:
        check(call, CALL)
    if kind is ALLOWED:
        drawn = drawn_allowed(call_id, call, approval, decision, version) if _drawing else None
        if drawn is not None:
            return drawn
    entry = ENTRY.new()
    put(entry, E_KIND, kind)
    put(entry, E_CALL, call_id)
    if call is not None:
        put(entry, E_SESSION, get(call, C_SESSION))
        put(entry, E_FUNCTION, get(call, C_FUNCTION))
    put(entry, E_APPROVAL, approval)
    if decision is not None:
        policy = DECIDED.new()
        put(policy, D_NAMES, decision.policies)
        put(policy, D_VERSION, version)
        put(entry, E_POLICY, policy)
    return entry


cdef object answered(call, reply, tuple fields, counts, body, bint is_json, media):
    """`entries.answer`; bytes are JSON, or else text that is all ASCII."""
    cdef Drawn drawn = None
    cdef Py_ssize_t size
    if fields is None:
        raise TypeError("no fields")
    check(call, CALL)
    check(reply, REPLY)
    whole = get(reply, R_BODY)
    size = 0 if whole is None else len(whole)
    drawn = drawn_answer(call, reply, fields, counts, body, is_json, media, size) if _drawing else None
    if drawn is not None:
        return drawn
    entry = ENTRY.new()
    put(entry, E_KIND, CHUNK)
    put(entry, E_CALL, get(call, C_ID))
    put(entry, E_SESSION, get(call, C_SESSION))
    put(entry, E_FUNCTION, get(call, C_FUNCTION))
    put(entry, E_STATUS, get(reply, R_STATUS))
    put(entry, E_FIELDS, fields)
    put(entry, E_BODY, body if not PyBytes_CheckExact(body) else RAW(body) if is_json else (<bytes> body).decode())
    put(entry, E_BODY_BYTES, size)
    put(entry, E_MEDIA, media)
    put(entry, E_MASKED, counts)
    return entry


def answer(call, reply, tuple fields, counts, body, media):
    """`entries.answer`."""
    return answered(call, reply, fields, counts, bytes(body) if type(body) is RAW else body, True, media)


cdef object ended_in(call_id, call, approval, decision, version, outcome, code, times, const long long* us, status, counts, recorded):
    """`entries.ended`; the times by step may be in `us` (less than 0: a step that was not taken), else `us` is NULL."""
    cdef Drawn drawn = None
    if call is not None:
        check(call, CALL)
    if _drawing:
        drawn = drawn_end(call_id, call, approval, decision, version, outcome, code, times, us, status, counts, recorded)
    if drawn is not None:
        return drawn
    entry = step(ENDED, call_id, call, approval, decision, version)
    put(entry, E_OUTCOME, outcome)
    put(entry, E_CODE, code)
    put(entry, E_TIMING, times if us is NULL else {name: us[place] for place, name in enumerate(STEPS) if us[place] >= 0})
    put(entry, E_STATUS, status)
    put(entry, E_MASKED, counts)
    put(entry, E_BODY_BYTES, recorded)
    return entry


cpdef ended(call_id, call, approval, decision, version, outcome, code, times, status, counts, recorded):
    """`entries.ended`; the times may be a call's marks."""
    cdef const long long* us = (<Marks> times).us if type(times) is Marks else NULL
    return ended_in(call_id, call, approval, decision, version, outcome, code, times, us, status, counts, recorded)


include "_inline.pxi"


cpdef bint one_line(body):
    """Whether there are bytes, all ASCII and no line break, so that JSON known to be JSON can stand in a line as it is."""
    if not PyBytes_CheckExact(body) or PyBytes_GET_SIZE(body) == 0:
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


cdef tuple quick_fields(pairs):
    """None for what is no list of pairs of bytes."""
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


cdef class Fields:
    """`tape.fields_of`: `slow` is for what is no list of pairs of bytes."""

    cdef object _slow

    def __init__(self, slow):
        self._slow = slow

    def of(self, pairs):
        """See `tape.fields_of`."""
        found = quick_fields(pairs)
        return self._slow(pairs) if found is None else found


include "_args.pxi"
include "_tape.pxi"
