# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of parcels.py: lines of a worker, each byte of them looked at, with number, time and crc. What is out of the
ordinary is left to parcels.py, before anything was changed."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.set cimport PySet_Add, PySet_Discard
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memcmp, memcpy

from funcgate.core.ids import MARK_AT, MARK_LETTERS

from .parcels import GROUP, HEAD, KINDS, MOST_LINES, NAMES, SIZE

include "_crc.pxi"
include "_json.pxi"

cdef extern from "Python.h":
    ctypedef struct PyByteArrayObject:
        Py_ssize_t ob_alloc

cdef extern from *:
    """
    static inline uint32_t four_at(const unsigned char *p) { return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24; }
    static inline uint64_t eight_at(const void *p) { uint64_t x; memcpy(&x, p, 8); return x; }
    """
    unsigned int four_at(const unsigned char* p) nogil
    unsigned long long eight_at(const void* p) nogil

cdef enum:
    IN_HEAD = 9
    IN_GROUP = 5
    IN_SIZE = 4
    ADDED = 128  # at most, to a line: `{"seq":`, 20 digits, `,"at":"`, 40 of a time, `",`, and the crc
    LONGEST_AT = 40
    CRC = 19
    NAME_MARK = 8
    NAME = 26
    LONGEST_NAME = 200
    MANY = 64
    OTHER = 0
    OPENS = 1
    ENDS = 2

ctypedef struct Start:
    const unsigned char* call
    Py_ssize_t call_size
    const unsigned char* rest  # after the call

cdef list held = [name + b'":' for name in NAMES]  # what `names` point to
cdef const char* names[MANY]
cdef Py_ssize_t sizes[MANY]
cdef unsigned long long heads[MANY]  # their first eight bytes, as far as they go,
cdef unsigned long long masks[MANY]  # which is here
cdef int known = len(held)
cdef list words = [b'{"kind":"%b","call":"' % kind.encode() for kind in sorted(KINDS)]
cdef const char* kinds[MANY]
cdef Py_ssize_t kind_sizes[MANY]
cdef int meant[MANY]
cdef int known_kinds = len(words)
cdef Py_ssize_t most_lines = MOST_LINES


cdef int begin() except -1:
    cdef int place
    layout = (HEAD.size, GROUP.size, SIZE.size, MARK_AT, MARK_LETTERS, held[0], held[1])
    if layout != (IN_HEAD, IN_GROUP, IN_SIZE, 10, NAME_MARK, b'kind":', b'call":') or known > MANY or known_kinds > MANY:
        raise ImportError("parcels of another kind")
    for place in range(known):
        names[place], sizes[place] = held[place], len(held[place])
        head = held[place][:8].ljust(8, b"\0")
        mask = (b"\xff" * min(8, len(held[place]))).ljust(8, b"\0")
        heads[place], masks[place] = eight_at(<const char*> head), eight_at(<const char*> mask)
    for place in range(known_kinds):
        kinds[place], kind_sizes[place] = words[place], len(words[place])
        kind = sorted(KINDS)[place]
        meant[place] = OPENS if kind in ("arrived", "asked") else ENDS if kind == "ended" else OTHER
    return 0


begin()


cdef inline int place_of(const unsigned char* line) noexcept nogil:
    """The place of a line's kind, which the tenth and eleventh letters tell."""
    cdef int place
    for place in range(known_kinds):
        if line[9] == kinds[place][9] and line[10] == kinds[place][10]:
            return place
    return -1


cdef bint start_of(const unsigned char* line, const unsigned char* end, const char* mark, Start* start) noexcept nogil:
    """See `parcels.start_of`: False also for a call's name that is not plain ASCII."""
    cdef int place = place_of(line) if end - line > 11 else -1
    cdef const unsigned char* p
    if place < 0 or end - line <= kind_sizes[place] or memcmp(line, kinds[place], kind_sizes[place]) != 0:
        return False
    p = start.call = line + kind_sizes[place]
    if mark is not NULL:
        start.call_size, start.rest = NAME, p + NAME + 1
        # Attack: write lines of a call that another worker carries, or that is long over.
        return end - p > NAME and p[NAME] == c'"' and eight_at(p + 10) == eight_at(mark) and json_all_plain(p, NAME)
    while p < end and p[0] != c'"':
        if p[0] < 0x20 or p[0] == c"\\" or p[0] >= 0x80 or p - start.call == LONGEST_NAME:
            return False
        p += 1
    if p >= end:
        return False
    start.call_size, start.rest = p - start.call, p + 1
    return True


cdef inline bint is_member(const unsigned char* p, Py_ssize_t left, int place) noexcept nogil:
    """Whether the name of this place begins at `p`."""
    if left < 8:
        return left >= sizes[place] and not memcmp(p, names[place], sizes[place])
    if (eight_at(p) & masks[place]) != heads[place]:
        return False
    return sizes[place] <= 8 or (left >= sizes[place] and not memcmp(p + 8, names[place] + 8, sizes[place] - 8))


cdef bint members_hold(const unsigned char* p, const unsigned char* end) noexcept nogil:
    """Whether what follows kind and call is members of ours, each once and in their order, up to the closing brace at the end."""
    cdef int next_name = 2
    cdef Py_ssize_t left
    while True:
        p = json_blank(p, end)
        if p >= end:
            return False
        if p[0] == c"}":
            return p + 1 == end
        if p[0] != c",":
            return False
        p = json_blank(p + 1, end)
        if p >= end or p[0] != c'"':
            return False
        p += 1
        left = end - p
        while next_name < known and not is_member(p, left, next_name):
            next_name += 1
        if next_name == known:
            return False
        p = json_value(json_blank(p + sizes[next_name], end), end)
        next_name += 1
        if p is NULL:
            return False


cdef Py_ssize_t count_if_sound(const unsigned char* p, const unsigned char* end, const char* mark) noexcept nogil:
    """How many lines the groups hold, if all is in order; -1 if not."""
    cdef Py_ssize_t many = 0
    cdef unsigned int lines, size
    cdef Start start
    while p < end:
        if end - p < IN_GROUP:
            return -1
        lines = four_at(p + 1)
        p += IN_GROUP
        if lines > most_lines - many or (not lines and p < end):
            return -1
        # Attack: a count or a size of gigabytes. Nothing is read or reserved but what has come.
        while lines:
            lines -= 1
            if end - p < IN_SIZE:
                return -1
            size = four_at(p)
            p += IN_SIZE
            if size > <size_t> (end - p):
                return -1
            if not start_of(p, p + size, mark, &start) or not members_hold(start.rest, p + size):
                return -1
            p += size
            many += 1
    return many


cdef char* put_number(char* at, unsigned long long number) noexcept nogil:
    cdef char digits[20]
    cdef int count = 0
    while True:
        digits[count] = c"0" + number % 10
        count += 1
        number //= 10
        if not number:
            break
    while count:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at


cdef char* put_line(char* into, const unsigned char* line, Py_ssize_t size, unsigned long long seq, const char* at,
                    Py_ssize_t at_size) except NULL:
    """At `into`, where there is room for `size` and ADDED bytes; the place after it."""
    cdef char* p = into
    cdef unsigned int crc
    cdef int place
    memcpy(p, b'{"seq":', 7)
    p = put_number(p + 7, seq)
    memcpy(p, b',"at":"', 7)
    memcpy(p + 7, at, at_size)
    p += 7 + at_size
    memcpy(p, b'",', 2)
    memcpy(p + 2, line + 1, size - 2)
    p += size
    crc = crc_of(None, into, p - into)
    memcpy(p, b',"crc":"', 8)
    for place in range(8):
        p[8 + place] = b"0123456789abcdef"[crc >> (28 - 4 * place) & 15]
    memcpy(p + 16, b'"}\n', 3)
    return p + CRC


def stamp(bytearray buffer not None, bytes payload not None, str mark not None, Py_ssize_t seq, str at not None,
          set open_ not None, set mine not None, list left not None):
    """See `parcels.stamp`."""
    cdef bytes time = at.encode(), marked = mark.encode()
    cdef const char* known_as = <const char*> marked if marked else NULL
    cdef const unsigned char* p = payload
    cdef const unsigned char* end = p + len(payload)
    cdef Py_ssize_t many, before = len(buffer), whole, place = -1
    cdef unsigned int lines, size
    cdef int what
    cdef Start start
    cdef object call
    cdef char* into
    if len(payload) < IN_HEAD or len(time) > LONGEST_AT or seq < 0 or (marked and len(marked) != NAME_MARK):
        return -1
    p += IN_HEAD
    many = count_if_sound(p, end, known_as)
    if many < 0:
        return -1
    whole = before + len(payload) + many * ADDED
    if (<PyByteArrayObject*> buffer).ob_alloc <= whole:  # by doubling, as in _native.pyx
        PyByteArray_Resize(buffer, 2 * whole)
    PyByteArray_Resize(buffer, whole)
    into = PyByteArray_AS_STRING(buffer) + before
    try:
        while p < end:  # as it was counted: `payload` does not change; and nothing here runs what could change `buffer`
            lines = four_at(p + 1)
            p += IN_GROUP
            while lines:
                lines -= 1
                place += 1
                size = four_at(p)
                p += IN_SIZE
                what = meant[place_of(p)]
                if what != OTHER:
                    start_of(p, p + size, known_as, &start)
                    call = PyUnicode_DecodeASCII(<const char*> start.call, start.call_size, NULL)
                    if what == OPENS:
                        PySet_Add(open_, call)
                        PySet_Add(mine, call)
                    elif PySet_Discard(mine, call):
                        PySet_Discard(open_, call)
                    else:
                        left.append(place)
                        p += size
                        continue
                seq += 1
                into = put_line(into, p, size, seq, time, len(time))
                p += size
    finally:
        PyByteArray_Resize(buffer, into - PyByteArray_AS_STRING(buffer))
    return seq
