# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of parcels.py: lines of a worker, each byte of them looked at, with number, time and crc. What is out of the
ordinary is left to parcels.py, before anything was changed."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.object cimport PyObject
from cpython.set cimport PySet_Add, PySet_Discard
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from funcgate.core.ids import MARK_AT, MARK_LETTERS

from .parcels import GROUP, HEAD, KINDS, MOST_LINES, NAMES, SIZE, Forged

include "../core/_text.pxi"
include "_crc.pxi"
include "_ends.pxi"
include "_json.pxi"

cdef extern from "Python.h":
    ctypedef struct PyByteArrayObject:
        Py_ssize_t ob_alloc

cdef extern from *:
    """
    static inline uint32_t four_at(const unsigned char *p) { return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24; }
    static inline uint64_t eight_little(const unsigned char *p) { return four_at(p) | (uint64_t)four_at(p + 4) << 32; }
    static inline uint64_t eight_at(const void *p) { uint64_t x; memcpy(&x, p, 8); return x; }
    """
    unsigned int four_at(Text p) nogil
    unsigned long long eight_little(Text p) nogil
    unsigned long long eight_at(const void* p) nogil

cdef enum:
    IN_HEAD = 9
    IN_GROUP = 5
    IN_SIZE = 4
    ADDED = 128  # at most, to a line: `{"seq":`, 20 digits, `,"at":"`, 40 of a time, `",`, and the crc
    LONGEST_AT = 40
    NAME_MARK = 8
    NAME = 26
    LONGEST_NAME = 200
    SHORTEST = 11
    MANY = 64
    OTHER = 0
    OPENS = 1
    ENDS = 2

ctypedef struct Start:
    Text call
    Py_ssize_t call_size
    Text rest  # after the call

ctypedef struct Name:
    const char* text  # with `":`
    Py_ssize_t size
    unsigned long long head  # its first eight bytes, as far as they go,
    unsigned long long mask  # which is here
    int next  # which came after it the last time: entries of a kind have the same fields, nearly always
    Seen* seen  # the last one, of a member that is much the same in many lines

ctypedef struct Sort:
    const char* start  # `{"kind":"…","call":"`
    Py_ssize_t size
    int meant

cdef list held = [name + b'":' for name in NAMES]  # what `names` point to
cdef Name names[MANY]
cdef Seen seen[3]
cdef int known = len(held)
cdef list words = [b'{"kind":"%b","call":"' % kind.encode() for kind in sorted(KINDS)]
cdef Sort sorts[256]  # by the second letter of the kind
cdef Py_ssize_t most_lines = MOST_LINES


cdef int begin() except -1:
    cdef int place
    cdef Name* name
    cdef Sort* sort
    cdef list alike = [b"principal", b"args", b"policy"]
    layout = (HEAD.size, GROUP.size, SIZE.size, MARK_AT, MARK_LETTERS, held[0], held[1])
    if layout != (IN_HEAD, IN_GROUP, IN_SIZE, 10, NAME_MARK, b'kind":', b'call":') or known > MANY:
        raise ImportError("parcels of another kind")
    for place in range(known):
        name = &names[place]
        name.text, name.size, name.next, name.seen = held[place], len(held[place]), place + 1, NULL
        if NAMES[place] in alike:
            name.seen = &seen[alike.index(NAMES[place])]
        head = held[place][:8].ljust(8, b"\0")
        mask = (b"\xff" * min(8, len(held[place]))).ljust(8, b"\0")
        name.head, name.mask = eight_at(<const char*> head), eight_at(<const char*> mask)
    for kind, word in zip(sorted(KINDS), words):
        sort = &sorts[word[10]]
        if sort.start is not NULL:
            raise ImportError("kinds with the same second letter")
        sort.start, sort.size = word, len(word)
        sort.meant = OPENS if kind in ("arrived", "asked") else ENDS if kind == "ended" else OTHER
    return 0


begin()


cdef bint start_of(Text line, Text end, const char* mark, Start* start) noexcept nogil:
    """See `parcels.start_of`: False also for a call's name that is not plain ASCII."""
    cdef Sort* sort
    cdef Text p
    if end - line <= SHORTEST:
        return False
    sort = &sorts[line[10]]
    if sort.start is NULL or end - line <= sort.size or memcmp(line, sort.start, sort.size) != 0:
        return False
    p = start.call = line + sort.size
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


cdef inline bint is_member(Text p, Py_ssize_t left, const Name* name) noexcept nogil:
    """Whether this name begins at `p`."""
    if left < 8:
        return left >= name.size and not memcmp(p, name.text, name.size)
    if (eight_at(p) & name.mask) != name.head:
        return False
    return name.size <= 8 or (left >= name.size and not memcmp(p + 8, name.text + 8, name.size - 8))


cdef bint members_hold(Text p, Text end, Text limit) noexcept nogil:
    """Whether what follows kind and call is members of ours, each once and in their order, up to the closing brace at the end.
    Behind the line the parcel goes on up to `limit`."""
    cdef int before = 1, place
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
        place = names[before].next  # after `before`, like all that it is ever set to
        if place == known or not is_member(p, left, &names[place]):
            place = before + 1
            while place < known and not is_member(p, left, &names[place]):
                place += 1
            if place == known:
                return False
            names[before].next = place
        p = json_blank(p + names[place].size, end)
        if names[place].seen is not NULL and p < end and p[0] == c"{":
            p = json_again(p, end, limit, names[place].seen)
        else:
            p = json_value(p, end, limit)
        if p is NULL:
            return False
        before = place


cdef Py_ssize_t count_if_sound(Text p, Text end, const char* mark) noexcept nogil:
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
            if not start_of(p, p + size, mark, &start) or not members_hold(start.rest, p + size, end):
                return -1
            p += size
            many += 1
    return many


cdef char* put_line(char* into, Text line, Py_ssize_t size, Py_ssize_t seq, const char* at,
                    Py_ssize_t at_size) except NULL:
    """At `into`, where there is room for `size` and ADDED bytes; the place after it."""
    cdef char* p = put_head(into, seq, at, at_size)
    memcpy(p, line + 1, size - 2)
    p += size - 2
    put_crc(p, crc_of(None, into, p - into))
    return p + CRC


def holds(bytes line not None):
    """See `parcels._holds`: for what `stamp` left, however deep."""
    # Attack: megabytes that are no JSON, or of nothing but brackets, over and over: the loop stands still while Python reads them.
    cdef unsigned char* braces = <unsigned char*> malloc(len(line) + 1)
    cdef int found
    if braces is NULL:
        raise MemoryError
    found = held_members(line, <Text> line + len(line), braces)
    free(braces)
    if found < 0:
        raise Forged("a line with a name that it may not have")
    return found == 1


cdef int held_members(Text p, Text end, unsigned char* braces) noexcept nogil:
    """0: it is no object. -1: it is one with a name that may not be there."""
    cdef Text name
    cdef Py_ssize_t size
    cdef int place = 0
    if p >= end or p[0] != c"{":
        return 0
    p = json_blank(p + 1, end)
    if p < end and p[0] == c"}":
        return p + 1 == end
    while True:
        if p >= end or p[0] != c'"':
            return 0
        name = p + 1
        p = json_string(name, end, end)
        if p is NULL:
            return 0
        size = p - name - 1
        while place < known and (names[place].size != size + 2 or memcmp(names[place].text, name, size) != 0):
            place += 1
        if place < known:
            place += 1
        else:
            place = MANY  # and what follows may still show that it is no object
        p = json_blank(p, end)
        if p >= end or p[0] != c":":
            return 0
        p = json_deep(json_blank(p + 1, end), end, braces)
        if p is NULL:
            return 0
        p = json_blank(p, end)
        if p >= end:
            return 0
        if p[0] == c"}":
            return 0 if p + 1 != end else -1 if place == MANY else 1
        if p[0] != c",":
            return 0
        p = json_blank(p + 1, end)


def head_of(bytes payload not None):
    """See `parcels.head_of`."""
    cdef Text p = payload
    if len(payload) < IN_HEAD:
        raise Forged("a parcel without a head")
    return eight_little(p), p[8] != 0


def stamp(bytearray buffer not None, bytes payload not None, str mark not None, Py_ssize_t seq, str at not None,
          set open_ not None, set mine not None, list left not None):
    """See `parcels.stamp`."""
    cdef bytes time = at.encode(), marked = mark.encode()
    cdef const char* known_as = <const char*> marked if marked else NULL
    cdef Text p = payload
    cdef Text end = p + len(payload)
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
                what = sorts[p[10]].meant
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
