# Part of _lines.pyx: the masked texts of a line put back into the message, with lengths to fit.

cdef enum:
    A_MESSAGE = 0
    A_STRING = 1
    SOME_BYTES = 2

cdef struct Spot:  # a text or a message within the message, and where its text is in the line
    int kind
    Py_ssize_t length_at, at, size, in_line, line_size
    Py_ssize_t within  # which message holds it, -1 for the outermost
    Py_ssize_t more  # bytes that it grows by, negative where it shrinks
    const uint8_t* new  # NULL: as it was
    Py_ssize_t new_size

cdef uint64_t EACH = 0x0101010101010101
cdef uint64_t HIGH = 0x8080808080808080
cdef uint8_t KINDS[256]  # 0: as it is in JSON; 1: beyond ASCII; 2: escaped


cdef void _make_table() noexcept:
    cdef int byte
    for byte in range(256):
        KINDS[byte] = 2 if byte < 32 or byte == c'"' or byte == c"\\" else byte >= 128


_make_table()


cdef uint8_t kinds_of(const uint8_t* at, Py_ssize_t size) noexcept:
    """The kinds of all these bytes together."""
    cdef uint8_t kinds = 0
    cdef uint64_t eight, quotes, slashes
    cdef Py_ssize_t place = 0
    while place + 8 <= size:
        memcpy(&eight, at + place, 8)
        quotes, slashes = eight ^ (EACH * c'"'), eight ^ (EACH * c"\\")
        # The high bit of a byte that is beyond ASCII, below a blank, a quote, a backslash; or of one behind such a byte.
        if (eight | (eight - EACH * 32) | (quotes - EACH) | (slashes - EACH)) & HIGH:
            break
        place += 8
    while place < size:
        kinds |= KINDS[at[place]]
        place += 1
    return kinds


cdef bytes spliced(bytes data, bytes shown, bytes masked, Spot* spots, Py_ssize_t count):
    """The message with the texts of the masked line instead of those of the line `shown`; None where more than texts has changed.
    Once for the spots: it fills them in."""
    cdef const uint8_t* line = <const uint8_t*> PyBytes_AS_STRING(shown)
    cdef const uint8_t* now = <const uint8_t*> PyBytes_AS_STRING(masked)
    cdef const uint8_t* end = now + len(masked)
    cdef const uint8_t* closing
    cdef Py_ssize_t place, done = 0, between, size
    cdef Spot* spot
    for place in range(count):
        spot = &spots[place]
        if spot.kind == A_MESSAGE:
            continue
        between, size = spot.in_line - done, spot.line_size
        # As it was, up to the quote behind the text?
        if end - now > between + size and not memcmp(now, line + done, between + size + 1):
            now += between + size
            done = spot.in_line + size
            continue
        # Attack: whatever was masked outside of these texts (keys, numbers, whole messages) must not stay as it was.
        if end - now < between or memcmp(now, line + done, between):
            return None
        now += between
        done = spot.in_line + size
        closing = _closing(now, end, spot.kind == SOME_BYTES)
        if closing is NULL:
            return None
        spot.new, spot.new_size = now, closing - now
        now = closing
    if end - now != len(shown) - done or memcmp(now, line + done, end - now):
        return None
    return _rewritten(data, spots, count)


cdef bytes _rewritten(bytes data, Spot* spots, Py_ssize_t count):
    """The message with what is new, and lengths to fit."""
    cdef const char* was = PyBytes_AS_STRING(data)
    cdef Py_ssize_t place, at = 0, more = 0, grown
    cdef Spot* spot
    for place in range(count - 1, -1, -1):  # what is within a message stands behind it
        spot = &spots[place]
        if spot.new is not NULL:
            spot.more = spot.new_size - spot.size
        if spot.new is NULL and not spot.more:
            continue
        grown = spot.more + _width(spot.size + spot.more) - (spot.at - spot.length_at)
        if spot.within < 0:
            more += grown
        else:
            spots[spot.within].more += grown
    cdef bytes made = PyBytes_FromStringAndSize(NULL, len(data) + more)
    cdef char* into = PyBytes_AS_STRING(made)
    for place in range(count):
        spot = &spots[place]
        if spot.new is NULL and not spot.more:
            continue
        memcpy(into, was + at, spot.length_at - at)
        into = _write(into + (spot.length_at - at), spot.size + spot.more)
        at = spot.at
        if spot.new is not NULL:
            memcpy(into, spot.new, spot.new_size)
            into += spot.new_size
            at += spot.size
    memcpy(into, was + at, len(data) - at)
    return made


cdef const uint8_t* _closing(const uint8_t* at, const uint8_t* end, bint ascii) noexcept:
    """The quote after a text that says what it means; NULL for one with escapes, an empty one, one that is not UTF-8 (`ascii`)."""
    cdef const uint8_t* begin = at
    cdef uint8_t kinds = 0
    while at < end and at[0] != c'"':
        kinds |= KINDS[at[0]]
        at += 1
    if at == end or at == begin or kinds & 2 or (kinds and (ascii or decoded(begin, at - begin) is None)):
        return NULL
    return at


cdef Py_ssize_t _width(Py_ssize_t number) noexcept:
    """How many bytes a length has."""
    cdef Py_ssize_t count = 1
    while number > 127:
        number >>= 7
        count += 1
    return count


cdef char* _write(char* into, Py_ssize_t number) noexcept:
    while number > 127:
        into[0] = <char> (number & 127 | 128)
        into += 1
        number >>= 7
    into[0] = <char> number
    return into + 1
