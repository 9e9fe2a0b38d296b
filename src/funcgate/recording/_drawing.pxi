# The entries of a call's plain way, drawn: the bytes of their lines, as msgspec would write them (`entry.Drawn`). Where something
# needs escapes, is too long, or of another type than it should be, none is drawn: then there is an `Entry`, as ever.

from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE

from funcgate.core._drawn cimport Drawn, Taker, make_drawn, taker_of
from funcgate.core._native cimport Marks, Shared
from funcgate.core.decision import Allow
from funcgate.core.meter import STEPS
from funcgate.core.refusal import Code
from funcgate.core.reply import Outcome

include "../core/_text.pxi"

cdef extern from *:
    """
    /* Copies JSON; 0 if there is a byte that is not ASCII, or a control character, in it. */
    static int copy_json(char *to, const char *from, Py_ssize_t size) {
        const uint64_t ones = 0x0101010101010101u;
        uint64_t odd = 0, x;
        Py_ssize_t at = 0;
    #ifdef __SSE2__
        __m128i found = _mm_setzero_si128(), y;
        for (; at + 16 <= size; at += 16) {
            y = LOADED(from + at);
            STORED(to + at, y);
            found = _mm_or_si128(found, BELOW(y));
        }
        if (_mm_movemask_epi8(found)) return 0;
    #endif
        for (; at + 8 <= size; at += 8) {
            memcpy(&x, from + at, 8);
            memcpy(to + at, &x, 8);
            odd |= (x - 0x20 * ones) | x;
        }
        for (; at < size; at++) {
            unsigned char one = (unsigned char)from[at];
            to[at] = (char)one;
            if (one < 0x20) return 0;
            odd |= one;
        }
        return !(odd & 0x80 * ones);
    }

    /* Copies ASCII text into a JSON string, before `end`: the place after it, NULL where there is no room. */
    static char *copy_escaped(char *to, const char *end, const char *from, Py_ssize_t size) {
        static const char digits[] = "0123456789abcdef", shorter[] = "btn-fr"; /* of 8 to 13 */
        const uint64_t ones = 0x0101010101010101u;
        uint64_t x;
        Py_ssize_t at = 0, plain;
        unsigned char one;
        while (at < size) {
            if (end - to < 16) return NULL;
    #if defined(__GNUC__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
            if (size - at >= 8) { /* up to the first that has to be escaped: what is found behind that may be none */
                memcpy(&x, from + at, 8);
                memcpy(to, &x, 8);
                x = (LOOK(x)) & 0x80 * ones;
                plain = x ? __builtin_ctzll(x) >> 3 : 8;
                to += plain;
                at += plain;
                if (!x) continue;
            }
    #endif
            one = (unsigned char)from[at++];
            if (one >= 0x20) {
                if (one == 0x22 || one == 0x5c) *to++ = 0x5c;
                *to++ = (char)one;
                continue;
            }
            *to++ = 0x5c;
            if (one >= 8 && one <= 13 && one != 11) *to++ = shorter[one - 8];
            else {
                memcpy(to, "u00", 3);
                to[3] = digits[one >> 4];
                to[4] = digits[one & 15];
                to += 5;
            }
        }
        return to;
    }
    """
    bint copy_json(char* to, const char* data, Py_ssize_t size) nogil
    char* copy_escaped(char* to, const char* end, const char* text, Py_ssize_t size) nogil

cdef extern from "Python.h":
    bint is_text "PyUnicode_CheckExact"(object value)
    bint is_number "PyLong_CheckExact"(object value)
    bint is_tuple "PyTuple_CheckExact"(object value)
    bint is_dict "PyDict_CheckExact"(object value)
    Py_ssize_t size_of "PyDict_Size"(object value)
    long long value_of "PyLong_AsLongLongAndOverflow"(object value, int* overflow)

cdef enum:
    PAGE = 32 << 10  # a line that is longer is no drawn one
    MANY_STEPS = 16

cdef char page[PAGE]
cdef Shape ALLOW = Shape(Allow)
cdef Py_ssize_t A_POLICIES = ALLOW.places["policies"]
cdef object ALLOWED = Kind.ALLOWED, ENDED = Kind.ENDED, OUTCOME = Outcome, CODE = Code
cdef list step_names = [b'"%b":' % name.encode() for name in STEPS]
cdef const char* steps[MANY_STEPS]
cdef Py_ssize_t step_sizes[MANY_STEPS]
cdef int many_steps = len(step_names)


cdef int begin_drawing() except -1:
    """Raises `ImportError` where entries have other fields, or in another order, than what follows writes."""
    cdef int place
    known = ("seq", "at", "kind", "call", "session", "principal", "function", "target", "args", "digest", "policy", "code",
             "detail", "outcome", "status", "body", "body_bytes", "body_cut", "media", "piece", "masked", "timing_us", "client",
             "trace", "reason", "count", "change", "object", "args_object", "sealed", "approval", "fields", "where",
             "object_bytes", "crc")  # fmt: skip
    if Entry.__struct_fields__ != known or Decided.__struct_fields__ != ("names", "version") or many_steps > MANY_STEPS:
        raise ImportError("entries of another kind")
    for place in range(many_steps):
        steps[place], step_sizes[place] = step_names[place], len(step_names[place])
    return 0


begin_drawing()


# What follows writes at `at`: the place after it; NULL for what is not plain, and where `at` is. A `name` is `,"name":`. No Python code
# runs between the first byte of the page and the last: nobody else writes on it.

cdef inline char* put_bytes(char* at, const char* data, Py_ssize_t size) noexcept:
    if at is NULL or page + PAGE - at < size:
        return NULL
    memcpy(at, data, size)
    return at + size


cdef inline char* put_name(char* at, const char* name) noexcept:
    return put_bytes(at, name, strlen(name))


cdef inline char* put_quoted(char* at, object text) noexcept:
    if at is NULL or not (is_text(text) or type(text) is CODE or type(text) is OUTCOME):
        return NULL
    return put_text(at, page + PAGE, <PyObject*> text)


cdef inline char* put_word(char* at, const char* name, object text) noexcept:
    """A member that is left out where it is empty."""
    if is_text(text) and not PyUnicode_GET_LENGTH(<PyObject*> text):
        return at
    return put_quoted(put_name(at, name), text)


cdef inline char* put_integer(char* at, object number) noexcept:
    cdef int overflow = 0
    cdef long long value
    if at is NULL or not is_number(number):
        return NULL
    value = value_of(number, &overflow)
    return NULL if overflow else put_number(at, page + PAGE, value)


cdef inline char* put_count(char* at, const char* name, object number) noexcept:
    """A member that is left out where it is 0."""
    if is_number(number) and not number:
        return at
    return put_integer(put_name(at, name), number)


cdef char* put_counts(char* at, const char* name, object counts) noexcept:
    """A member that is left out where it holds nothing."""
    cdef PyObject* key
    cdef PyObject* number
    cdef Py_ssize_t place = 0
    if not is_dict(counts):
        return NULL
    if not size_of(counts):
        return at
    at = put_bytes(put_name(at, name), b"{", 1)
    while at is not NULL and PyDict_Next(<PyObject*> counts, &place, &key, &number):
        if not is_text(<object> key):
            return NULL
        at = put_bytes(put_quoted(at, <object> key), b":", 1)
        at = put_bytes(put_integer(at, <object> number), b",", 1)
    if at is not NULL:
        (at - 1)[0] = c"}"
    return at


cdef char* put_times(char* at, const long long* us) noexcept:
    """As `put_counts` would, by the names of the steps; less than 0 where one was not taken."""
    cdef char* begun = at
    cdef int place
    cdef bint none = True
    at = put_name(at, b',"timing_us":{')
    for place in range(many_steps):
        if us[place] >= 0:
            at = put_bytes(at, steps[place], step_sizes[place])
            at = put_bytes(NULL if at is NULL else put_number(at, page + PAGE, us[place]), b",", 1)
            none = False
    if at is NULL or none:
        return NULL if at is NULL else begun
    (at - 1)[0] = c"}"
    return at


cdef char* put_all_quoted(char* at, object texts) noexcept:
    """Of a tuple that holds something."""
    cdef Py_ssize_t place
    at = put_bytes(at, b"[", 1)
    for place in range(PyTuple_GET_SIZE(texts)):
        at = put_bytes(put_quoted(at, <object> PyTuple_GET_ITEM(texts, place)), b",", 1)
    if at is not NULL:
        (at - 1)[0] = c"]"
    return at


cdef char* put_policy(char* at, object names, object version) noexcept:
    cdef char* inner
    if not is_tuple(names):
        return at if names is None else NULL
    at = inner = put_name(at, b',"policy":{')
    if PyTuple_GET_SIZE(names):
        at = put_all_quoted(put_name(at, b'"names":'), names)
    at = put_word(at, b',"version":', version)
    if at is not NULL and at != inner and inner[0] == c",":  # no names: the version is the first member
        at -= 1
        memmove(inner, inner + 1, at - inner)
    return put_bytes(at, b"}", 1)


cdef char* put_fields(char* at, tuple fields) noexcept:
    cdef Py_ssize_t place
    if not PyTuple_GET_SIZE(fields):
        return at
    at = put_name(at, b',"fields":[')
    for place in range(PyTuple_GET_SIZE(fields)):
        pair = <object> PyTuple_GET_ITEM(fields, place)
        if not is_tuple(pair) or PyTuple_GET_SIZE(pair) != 2:
            return NULL
        at = put_bytes(put_all_quoted(at, pair), b",", 1)
    if at is not NULL:
        (at - 1)[0] = c"]"
    return at


cdef inline char* put_spliced(char* at, const char* name, bytes json) noexcept:
    """Spliced in as it is. Attack: a raw newline in it forges a line of the journal.

    Blanks around it are not drawn: who reads the line has them no more, and what is drawn has to be what is read.
    """
    cdef Py_ssize_t size = PyBytes_GET_SIZE(json)
    cdef const char* text = PyBytes_AS_STRING(json)
    at = put_name(at, name)
    if at is NULL or not size or text[0] == c" " or text[size - 1] == c" ":
        return NULL
    if page + PAGE - at < size or not copy_json(at, text, size):
        return NULL
    return at + size


cdef inline char* put_escaped(char* at, const char* name, bytes text) noexcept:
    """Text that is all ASCII."""
    at = put_bytes(put_name(at, name), b'"', 1)
    if at is NULL:
        return NULL
    return put_bytes(copy_escaped(at, page + PAGE, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)), b'"', 1)


include "_pieces.pxi"


cdef inline char* put_decided(char* at, call, names, version) except? NULL:
    if call is None:
        return put_policy(at, names, version)
    return put_ruled(put_word(at, b',"session":', get(call, C_SESSION)), get(call, C_FUNCTION), names, version)


cdef inline object policies_of(decision):
    if decision is None:
        return None
    names = get(decision, A_POLICIES) if type(decision) is ALLOW.of else decision.policies
    return False if names is None else names  # None says that nobody decided


cdef inline Drawn drawn(kind, call_id, char* at, Py_ssize_t args_end, Py_ssize_t args_size, Py_ssize_t body_size):
    at = put_bytes(at, b"}", 1)
    if at is NULL or not is_text(call_id):
        return None
    return make_drawn(kind, call_id, page, at - page, args_end - args_size, args_size, body_size)


# Each is None for what is not plain.

cdef Drawn drawn_arrival(call, bytes args):
    cdef char* at
    cdef Py_ssize_t args_end = 0
    principal = get(call, C_PRINCIPAL)
    shown = get(principal, P_SHOWN) if type(principal) is PRINCIPAL.of else None
    if not PyBytes_CheckExact(shown) or not PyBytes_GET_SIZE(shown):
        return None
    call_id = get(call, C_ID)
    at = put_quoted(put_name(page, b'"kind":"arrived","call":'), call_id)
    at = put_word(at, b',"session":', get(call, C_SESSION))
    at = put_who(at, shown, get(call, C_FUNCTION), get(call, C_TARGET))
    if args is not None:
        at = put_spliced(at, b',"args":', args)
        args_end = at - page
    at = put_word(at, b',"digest":', get(call, C_DIGEST))
    at = put_word(at, b',"client":', get(call, C_CLIENT))
    at = put_word(at, b',"trace":', get(call, C_TRACE))
    at = put_word(at, b',"reason":', get(call, C_REASON))
    return drawn(ARRIVED, call_id, at, args_end, 0 if args is None else PyBytes_GET_SIZE(args), 0)


cdef Drawn drawn_allowed(call_id, call, approval, decision, version):
    cdef char* at
    names = policies_of(decision)
    at = put_quoted(put_name(page, b'"kind":"allowed","call":'), call_id)
    at = put_decided(at, call, names, version)
    at = put_word(at, b',"approval":', approval)
    return drawn(ALLOWED, call_id, at, 0, 0, 0)


cdef Drawn drawn_answer(call, reply, tuple fields, counts, body, bint is_json, media, Py_ssize_t body_bytes):
    """`body` is bytes (JSON, or text that is all ASCII), text, or None."""
    cdef char* at
    cdef Py_ssize_t size = 0
    call_id = get(call, C_ID)
    at = put_quoted(put_name(page, b'"kind":"chunk","call":'), call_id)
    at = put_word(put_word(at, b',"session":', get(call, C_SESSION)), b',"function":', get(call, C_FUNCTION))
    at = put_count(at, b',"status":', get(reply, R_STATUS))
    if PyBytes_CheckExact(body):
        size = PyBytes_GET_SIZE(body)
        if is_json and size and (PyBytes_AS_STRING(body)[0] == c'"' or PyBytes_AS_STRING(body)[0] <= c" "):
            return None  # a string: `whole` would take it for text
        at = put_spliced(at, b',"body":', body) if is_json else put_escaped(at, b',"body":', body)
    elif body is not None:
        at = put_quoted(put_name(at, b',"body":'), body)
        size = 0 if at is NULL else PyUnicode_GET_LENGTH(<PyObject*> body)
    if body_bytes:
        at = put_name(at, b',"body_bytes":')
        at = NULL if at is NULL else put_number(at, page + PAGE, body_bytes)
    at = put_word(at, b',"media":', media)
    at = put_counts(at, b',"masked":', counts)
    return drawn(CHUNK, call_id, put_fields(at, fields), 0, 0, size)


cdef Drawn drawn_end(call_id, call, approval, decision, version, outcome, code, times, const long long* us, status, counts, recorded):
    cdef char* at
    names = policies_of(decision)
    at = put_quoted(put_name(page, b'"kind":"ended","call":'), call_id)
    at = put_decided(at, call, names, version)
    at = put_word(at, b',"code":', code)
    at = put_word(at, b',"outcome":', outcome)
    at = put_count(at, b',"status":', status)
    at = put_count(at, b',"body_bytes":', recorded)
    at = put_counts(at, b',"masked":', counts)
    at = put_times(at, us) if us is not NULL else put_counts(at, b',"timing_us":', times)
    at = put_word(at, b',"approval":', approval)
    return drawn(ENDED, call_id, at, 0, 0, 0)
