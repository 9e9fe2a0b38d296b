"""What a text says: JSON's escapes undone, the spellings of spelling.py undone, UTF-8 checked. Plain C, into buffers that grow.

The same answers as `tokens.decoded`, `spelling.View` and Python's own decoder; it refuses what any of them would.
"""

from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memcpy, memset

cdef enum:
    APART = 1  # what a text has in it: a separator beyond ASCII (all_plain of stretches.py)
    SPELLED = 2  # a character in another spelling, but for those with a backslash (ESCAPES of scanner.py)
    LAYERS = 3  # as in spelling.py
    NEWLINE = 10

cdef struct Out:
    char* bytes
    Py_ssize_t size, room

cdef struct Work:  # what one text needs while it is read
    Place copied  # up to where `out` has what came in
    Out out
    Out said  # what a string with escapes says
    Out undone[2]
    Py_ssize_t hits
    Py_ssize_t counts[FIELD + 1]


cdef void _begin(Work* work, Place at) noexcept:
    memset(work, 0, sizeof(Work))
    work.copied = at


cdef void _free(Work* work) noexcept:
    PyMem_Free(work.out.bytes)
    PyMem_Free(work.said.bytes)
    PyMem_Free(work.undone[0].bytes)
    PyMem_Free(work.undone[1].bytes)


cdef void _give_way() noexcept:
    # Attack: megabytes dense with hits are masked in a thread of their own, and must not keep the interpreter from the others.
    with nogil:
        pass


cdef int _count(Work* work, Py_ssize_t index) except -1:
    if not 0 <= index <= FIELD:
        raise IndexError
    work.counts[index] += 1
    work.hits += 1
    return 0


cdef bytes _bytes(Place start, Place end):
    return PyBytes_FromStringAndSize(<char*> start, end - start)


cdef bytes _said(Work* work):
    return PyBytes_FromStringAndSize(work.said.bytes, work.said.size)


cdef int _make_room(Out* out, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = 2 * (out.size + more) + 256
    cdef char* grown
    if out.bytes is NULL or out.size + more > out.room:
        grown = <char*> PyMem_Realloc(out.bytes, room)
        if grown is NULL:
            raise MemoryError
        out.bytes, out.room = grown, room
    return 0


cdef int _add(Out* out, const void* text, Py_ssize_t more) except -1:
    _make_room(out, more)
    memcpy(out.bytes + out.size, text, more)
    out.size += more
    return 0


cdef Lanes _counted(Place at, Place end) noexcept:
    """What is in a text, kind by kind, as if it stood in a string as it is."""
    cdef Lanes lanes = 0, full
    cdef Place limit
    while at < end:
        limit = at + BLOCK if end - at > BLOCK else end
        while at < limit:
            lanes += lanes_of[at[0]] & ~STOP
            at += 1
        full = lanes & FULL
        lanes = lanes & ~((full >> 6) * 127) | full
    return lanes


cdef int _peculiar(Place at, Place end) noexcept:
    """-1 for what is no UTF-8 (RFC 3629), else what is in the text of what is said above."""
    cdef int found = 0, more
    cdef unsigned char byte, low, high
    while at < end:
        byte = at[0]
        if byte < 128:
            if byte == c"%":
                if end - at > 2 and c"2" <= at[1] <= c"7" and classes[at[2]] & HEX:
                    found |= SPELLED
            elif byte == c"&" and end - at > 2 and at[1] == c"#" and (classes[at[2]] & DIGIT or at[2] | 32 == c"x"):
                found |= SPELLED
            at += 1
            continue
        if byte < 0xC2 or byte > 0xF4:
            return -1
        more = 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3
        if end - at <= more:
            return -1
        low = 0xA0 if byte == 0xE0 else 0x90 if byte == 0xF0 else 0x80
        high = 0x9F if byte == 0xED else 0x8F if byte == 0xF4 else 0xBF
        if not low <= at[1] <= high or (more > 1 and at[2] & 0xC0 != 0x80) or (more > 2 and at[3] & 0xC0 != 0x80):
            return -1
        if (byte == 0xC2 and at[1] == 0xA0) or (byte == 0xE2 and at[1] == 0x80 and (0x90 <= at[2] <= 0x95 or at[2] == 0xAF)):
            found |= APART
        at += more + 1
    return found


cdef inline int _hex(unsigned char byte) noexcept:
    return byte - 48 if byte <= c"9" else (byte | 32) - 87


cdef int _unit(Place at, Place end) noexcept:
    """The four hexadecimal digits at this place, -1 where there are none."""
    cdef int value = 0, digit
    if end - at < 4:
        return -1
    for digit in range(4):
        if not classes[at[digit]] & HEX:
            return -1
        value = value << 4 | _hex(at[digit])
    return value


cdef Place _decoded(Place at, Place end, Out* into) except? NULL:
    """The quote that ends the string that goes on from `at`; what it says is in `into`. NULL for what is no string of JSON, and
    for halves of surrogate pairs (RFC 8259, 8.2)."""
    cdef Place start
    cdef char* new
    cdef int code, low
    into.size = 0
    # No spelling is shorter than what it says. Reserved, not touched.
    _make_room(into, end - at)
    new = into.bytes
    while True:
        start = at
        while at < end and not lanes_of[at[0]] & STOP:
            at += 1
        memcpy(new, start, at - start)
        new += at - start
        if at >= end:
            return NULL
        if at[0] == c'"':
            into.size = new - into.bytes
            return at
        if at[0] != c"\\" or end - at < 2:
            return NULL
        code = plain_escapes[at[1]]
        at += 2
        if code:
            new[0] = <char> code
            new += 1
            continue
        if at[-1] != c"u" or (code := _unit(at, end)) < 0:
            return NULL
        at += 4
        if 0xD800 <= code < 0xE000:
            # Attack: half a character, which one reader drops and the next one keeps.
            if code >= 0xDC00 or end - at < 6 or at[0] != c"\\" or at[1] != c"u":
                return NULL
            low = _unit(at + 2, end)
            if not 0xDC00 <= low < 0xE000:
                return NULL
            code = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00
            at += 6
        new = _put_utf8(new, code)


cdef char* _put_utf8(char* new, int code) noexcept:
    if code < 0x80:
        new[0] = <char> code
        return new + 1
    if code < 0x800:
        new[0], new[1] = <char> (0xC0 | code >> 6), <char> (0x80 | code & 63)
        return new + 2
    if code < 0x10000:
        new[0], new[1], new[2] = <char> (0xE0 | code >> 12), <char> (0x80 | code >> 6 & 63), <char> (0x80 | code & 63)
        return new + 3
    new[0], new[1] = <char> (0xF0 | code >> 18), <char> (0x80 | code >> 12 & 63)
    new[2], new[3] = <char> (0x80 | code >> 6 & 63), <char> (0x80 | code & 63)
    return new + 4


cdef int _add_encoded(Out* out, Place at, Place end) except -1:
    """The text as it stands in a JSON string, without the quotes: as `tokens.encoded` spells it."""
    cdef Place start
    cdef char unit[6]
    while True:
        start = at
        while at < end and not lanes_of[at[0]] & STOP:
            at += 1
        _add(out, start, at - start)
        if at >= end:
            return 0
        unit[0], unit[1] = c"\\", short_escapes[at[0]]
        if unit[1]:
            _add(out, unit, 2)
        else:
            unit[1], unit[2], unit[3] = c"u", c"0", c"0"
            unit[4], unit[5] = hexadecimal[at[0] >> 4], hexadecimal[at[0] & 15]
            _add(out, unit, 6)
        at += 1


cdef bint _undone(Place at, Place end, Out* into) except -1:
    """Whether there is a spelling in the text (`spelling.View`); the text without is in `into`."""
    cdef Place start = at, after
    cdef char* new
    cdef int code = 0
    cdef bint differs = False
    into.size = 0
    _make_room(into, end - at)
    new = into.bytes
    while True:
        while at < end and not classes[at[0]] & SPELLS:
            at += 1
        if at >= end:
            break
        after = _spelling(at, end, &code)
        if after is NULL:
            at += 1
        elif not 32 <= code < 127 and code != NEWLINE:
            at = after
        else:
            memcpy(new, start, at - start)
            new += at - start
            new[0] = <char> code
            new += 1
            start = at = after
            differs = True
    memcpy(new, start, end - start)
    into.size = new + (end - start) - into.bytes
    return differs


cdef Place _spelling(Place at, Place end, int* code) noexcept:
    """The end of the spelling that begins here and what it says; NULL if none does."""
    cdef Place first = at
    cdef Py_ssize_t zeros = 0
    if end - at < 2:
        return NULL
    if at[0] == c"%":
        return _pair(at + 1, end, code)
    if at[0] == c"&":
        return _numbered(at + 1, end, code)
    at += 2
    if at[-1] in b"nrtbfv":
        code[0] = NEWLINE
        return at
    if at[-1] in b"\\/@.+-":
        code[0] = at[-1]
        return at
    if at[-1] == c"x":
        return _pair(at, end, code)
    if at[-1] != c"u" or at >= end:
        return NULL
    if at[0] == c"0":
        return _pair(at + 2, end, code) if end - first > 5 and at[1] == c"0" else NULL
    if at[0] != c"{":
        return NULL
    at += 1
    while at < end and at[0] == c"0" and zeros < 4:
        at += 1
        zeros += 1
    at = _pair(at, end, code)
    return at + 1 if at is not NULL and at < end and at[0] == c"}" else NULL


cdef Place _pair(Place at, Place end, int* code) noexcept:
    """The end of two hexadecimal digits for a character of ASCII."""
    if end - at < 2 or not c"2" <= at[0] <= c"7" or not classes[at[1]] & HEX:
        return NULL
    code[0] = _hex(at[0]) << 4 | _hex(at[1])
    return at + 2


cdef Place _numbered(Place at, Place end, int* code) noexcept:
    """The end of what follows the ``&`` of a character by its number."""
    cdef int zeros = 0, digits = 0, value = 0
    if end - at < 3 or at[0] != c"#":
        return NULL
    at += 1
    if at[0] | 32 == c"x":
        at += 1
        while at < end and at[0] == c"0" and zeros < 6:
            at += 1
            zeros += 1
        at = _pair(at, end, code)
        if at is NULL:
            return NULL
    else:
        while at < end and at[0] == c"0" and zeros < 6:
            at += 1
            zeros += 1
        # Two digits at least: what zeros were taken too many are given back.
        while zeros and not (end - at > 1 and classes[at[0]] & DIGIT and classes[at[1]] & DIGIT):
            at -= 1
            zeros -= 1
        while at < end and digits < 3 and classes[at[0]] & DIGIT:
            value = 10 * value + at[0] - 48
            at += 1
            digits += 1
        if digits < 2:
            return NULL
        code[0] = value if value != NEWLINE else 0
    return at + 1 if at < end and at[0] == c";" else at
