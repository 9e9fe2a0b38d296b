"""Bytes and short texts by kind: what the quick way of _native.pyx asks of them. Plain C, no object is made.

The same answers as the detectors' own checks, whose names they bear.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp

ctypedef const unsigned char* Place
ctypedef unsigned long long Lanes

cdef extern from *:
    """
    #include <string.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #define LOOKED(at) _mm_loadu_si128((const __m128i *)(at))
    #define IS(x, one) _mm_cmpeq_epi8(x, _mm_set1_epi8(one))
    #endif

    /* Whether one of the places from `at` that `found` names has the part; its first two bytes are there. */
    static int is_there(const char *at, const char *part, Py_ssize_t part_size, unsigned found) {
        for (; found; found &= found - 1)
            if (memcmp(at + __builtin_ctz(found) + 2, part + 2, part_size - 2) == 0) return 1;
        return 0;
    }

    /* As memmem, which is slow to begin: whether a part is in a text. */
    static int has_part(const char *text, Py_ssize_t size, const char *part, Py_ssize_t part_size) {
        Py_ssize_t at = 0, places = size - part_size + 1; /* where it can begin */
        if (places <= 0) return 0;
    #ifdef __SSE2__
        if (part_size >= 2 && places >= 16) {
            __m128i first = _mm_set1_epi8(part[0]), second = _mm_set1_epi8(part[1]);
            for (;; at = at + 32 <= places ? at + 16 : places - 16) { /* the text has a byte more than there are places */
                if (is_there(text + at, part, part_size, _mm_movemask_epi8(_mm_and_si128(
                        _mm_cmpeq_epi8(LOOKED(text + at), first), _mm_cmpeq_epi8(LOOKED(text + at + 1), second))))) return 1;
                if (at + 16 >= places) return 0;
            }
        }
    #endif
        for (; at < places; at++)
            if (text[at] == part[0] && memcmp(text + at, part, part_size) == 0) return 1;
        return 0;
    }

    /* Past what is in a string, sixteen bytes at a time: where it ends, or where the last few bytes of the text begin. `lanes`, of
       what was passed over, is as the table `of` counts, which has its highest bit for what ends a string; more than 64 of a kind
       are 64. */
    static inline const unsigned char *pass_over(
            const unsigned char *at, const unsigned char *end, const unsigned long long *of, unsigned long long *lanes) {
        unsigned long long seen = 0, kind, full;
    #ifdef __SSE2__
        unsigned counted;
        __m128i x, plain;
        for (; end - at >= 16; at += 16) {
            x = LOOKED(at);
            plain = _mm_and_si128(_mm_cmpgt_epi8(x, _mm_set1_epi8(0x5f)), _mm_cmplt_epi8(x, _mm_set1_epi8(0x7f)));
            /* Small letters and spaces are not counted; the others are asked for one by one. */
            counted = ~_mm_movemask_epi8(_mm_or_si128(plain, IS(x, 0x20))) & 0xffff;
            for (; counted; counted &= counted - 1) {
                kind = of[at[__builtin_ctz(counted)]];
                if (kind >> 63) {
                    *lanes = seen;
                    return at + __builtin_ctz(counted);
                }
                seen += kind;
            }
            full = seen & 0x4040404040404040u;
            if (full) seen = (seen & ~((full >> 6) * 127)) | full;
        }
    #endif
        *lanes = seen;
        return at;
    }

    /* Whether any byte may begin a spelling. */
    static int has_spelling(const char *text, Py_ssize_t size) {
        Py_ssize_t at = 0;
    #ifdef __SSE2__
        __m128i x;
        if (size >= 16) for (;; at = at + 32 <= size ? at + 16 : size - 16) {
            x = LOOKED(text + at);
            if (_mm_movemask_epi8(_mm_or_si128(IS(x, 0x5c), _mm_or_si128(IS(x, 0x25), IS(x, 0x26))))) return 1;
            if (at + 16 >= size) return 0;
        }
    #endif
        for (; at < size; at++)
            if (text[at] == 0x5c || text[at] == 0x25 || text[at] == 0x26) return 1;
        return 0;
    }
    """
    Place pass_over(Place at, Place end, const Lanes* of, Lanes* lanes)
    bint has_part(const char* text, Py_ssize_t size, const char* part, Py_ssize_t part_size)
    bint has_spelling(const char* text, Py_ssize_t size)

cdef enum:
    LETTER = 1  # classes of bytes
    DIGIT = 2
    UPPER = 4
    SPACE = 8  # between the tokens of JSON
    IN_RUN = 16  # as in stretches.py
    HEX = 64
    SPELLS = 128  # may begin a spelling
    RUN = 7  # the shortest stretch
    LONGEST_SHAPE = 64
    KEPT_SHAPES = 4096
    GIVE_WAY = 2048  # strings, a third of a millisecond
    LARGE = 262144  # bytes
    MOST_DEPTH = 60
    MOST_NEEDS = 48
    FEW = 48  # bytes
    MOST_DETECTORS = 64
    FIELD = 64  # counted as one more
    GIVE_UP = -2
    BLOCK = 63  # bytes after which no lane has overflown
    OTHER = 0  # kinds of needs
    DIGITS = 1
    WANTS_VALUE = 0  # states of the grammar
    WANTS_VALUE_OR_END = 1
    WANTS_KEY = 2
    WANTS_KEY_OR_END = 3
    HAS_VALUE = 4

# Eight counters in one number, seven bits each: digits, upper case, "_", "-", ".", ":", "@", and all that may be an escape or
# lies beyond ASCII. The highest bit of all marks what ends a string, or may not be in one.
cdef Lanes lanes_of[256]
cdef unsigned char classes[256], shapes[256], plain_escapes[256], short_escapes[256]
cdef const char* hexadecimal = "0123456789abcdef"
cdef Lanes STOP = 0x8000_0000_0000_0000, HIGH = 0x8080_8080_8080_8080, FULL = 0x4040_4040_4040_4040
COUNTED = (b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"_", b"-", b".", b":", b"@", b"%&" + bytes(range(128, 256)))


cdef void _tell(bytes members, unsigned char kind) noexcept:
    cdef unsigned char byte
    for byte in members:
        classes[byte] |= kind


cdef void _make_tables() noexcept:
    cdef unsigned char byte
    cdef int at, lane
    for at in range(256):
        classes[at], shapes[at], lanes_of[at], plain_escapes[at], short_escapes[at] = 0, c"x", STOP if at < 32 else 0, 0, 0
    for lane in range(8):
        for byte in <bytes> COUNTED[lane]:
            lanes_of[byte] = <Lanes> 1 << 8 * lane
    lanes_of[c'"'] = lanes_of[c"\\"] = STOP
    _tell(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", LETTER | UPPER)
    _tell(b"abcdefghijklmnopqrstuvwxyz", LETTER)
    _tell(b"0123456789", DIGIT | IN_RUN)
    _tell(b" -.+()/", IN_RUN)
    _tell(b" \t\r\n", SPACE)
    _tell(b"0123456789abcdefABCDEF", HEX)
    _tell(b"\\%&", SPELLS)
    for at in range(8):
        byte = (<bytes> b'"\\/bfnrt')[at]
        plain_escapes[byte] = (<bytes> b'"\\/\b\f\n\r\t')[at]
        if byte != c"/":
            short_escapes[plain_escapes[byte]] = byte
    for byte in b' -.+()/",}]':
        shapes[byte] = byte
    for byte in b"0123456789":
        shapes[byte] = c"0"


_make_tables()


cdef bytes _shape(Place at, Place end):
    """A stretch with every digit a 0."""
    cdef bytes shape = PyBytes_FromStringAndSize(NULL, end - at)
    cdef char* into = PyBytes_AS_STRING(shape)
    while at < end:
        into[0] = shapes[at[0]]
        into += 1
        at += 1
    return shape


cdef Place _word(Place at, Place end) noexcept:
    """The end of ``true``, ``false`` or ``null``, if it is one."""
    if end - at >= 4 and (memcmp(at, b"true", 4) == 0 or memcmp(at, b"null", 4) == 0):
        return at + 4
    return at + 5 if end - at >= 5 and memcmp(at, b"false", 5) == 0 else NULL


cdef Py_ssize_t _longest_word(Place at, Place end) noexcept:
    """How many bytes without white space are in a row, at most. No value that is a word has any in it."""
    cdef Py_ssize_t longest = 0
    cdef Place start = at
    while at < end:
        if classes[at[0]] & SPACE:
            longest = max(longest, at - start)
            start = at + 1
        at += 1
    return max(longest, end - start)


cdef bint _has_run(Place at, Place end, const unsigned char* of, Py_ssize_t run) noexcept:
    """Whether so many bytes in a row are of these."""
    cdef Place last
    while end - at >= run:
        last = at + run - 1
        while last >= at and of[last[0]]:
            last -= 1
        if last < at:
            return True
        at = last + 1
    return False


cdef inline bint _is_of(unsigned char byte, unsigned char wanted) noexcept:
    """`wanted` is a byte, or one of detector.py's signs for a class of bytes."""
    if wanted > 3:
        return byte == wanted
    return classes[byte] & (LETTER if wanted == 1 else DIGIT if wanted == 2 else UPPER) != 0


cdef bint _has_iban_head(Place start, Place end) noexcept:
    """Whether two letters and two digits stand where a word begins."""
    cdef Place at = start + 3
    cdef unsigned char kind
    while at < end:
        kind = classes[at[0]]
        if not kind & (LETTER | DIGIT):
            at += 4
        elif not kind & DIGIT:
            at += 2  # at best it is the second letter
        elif (
            classes[at[-1]] & DIGIT and classes[at[-2]] & LETTER and classes[at[-3]] & LETTER
            and (at - 3 == start or not classes[at[-4]] & (LETTER | DIGIT))
        ):
            return True
        else:
            at += 1
    return False


cdef bint _has_trace(Place start, Place end, tuple traces) except -1:
    """Whether one of the traces is in the text; those that begin with a letter only where a word begins."""
    cdef Place trace, at
    cdef Py_ssize_t size, place
    if not traces:
        return True
    for one in traces:
        trace, size = <Place> PyBytes_AS_STRING(<bytes?> one), len(<bytes> one)
        at = start
        if size == 4 and memcmp(trace, b"\1\1\2\2", 4) == 0:
            if _has_iban_head(start, end):
                return True
            continue
        while end - at >= size:
            if trace[0] > 3:
                at = <Place> memchr(at, trace[0], end - at - size + 1)
                if at is NULL:
                    break
            if (trace[0] > 3 and not classes[trace[0]] & LETTER) or at == start or not classes[at[-1]] & (LETTER | DIGIT):
                place = 0
                while place < size and _is_of(at[place], trace[place]):
                    place += 1
                if place == size:
                    return True
            at += 1
    return False


cdef bint _is_plain_card(Place at, Place end) noexcept:
    """Sixteen digits, whatever is between them, that begin with 2 to 6: `credit_card.all_cards` for one."""
    return c"2" <= at[0] <= c"6" and _is_sum(at, end)


cdef bint _is_sum(Place at, Place end) noexcept:
    """Whether the check digit is right (ISO/IEC 7812)."""
    cdef int sum = 0, value, place = 0
    while end > at:
        end -= 1
        if classes[end[0]] & DIGIT:
            value = end[0] - 48
            sum += 2 * value - 9 * (value > 4) if place & 1 else value
            place += 1
    return sum % 10 == 0


cdef bint _is_card(Place at, Place end) noexcept:
    """`credit_card.is_card`."""
    cdef Py_ssize_t size = end - at
    if c"2" <= at[0] <= c"6":
        if size < 13 and (size != 12 or at[0] < c"5"):
            return False
    elif at[0] == c"1":
        if size != 15:
            return False
    elif not (
        (size == 12 and memcmp(at, b"0604", 4) == 0)
        or (size == 16 and (memcmp(at, b"81", 2) == 0 or memcmp(at, b"82", 2) == 0 or memcmp(at, b"9792", 4) == 0))
    ):
        return False
    return _is_sum(at, end)


cdef bint _is_issued(Place at) noexcept:
    """`us_ssn.all_issued` for one: eleven bytes, the separators known."""
    if at[0] == c"9" or memcmp(at, b"000", 3) == 0 or memcmp(at, b"666", 3) == 0:
        return False
    return memcmp(at + 4, b"00", 2) != 0 and memcmp(at + 7, b"0000", 4) != 0
