# The head of a message: which fields it has, and what they mean. Included by _reading.pyx.

ctypedef const unsigned char* Place

cdef enum:
    READ = 1  # in `known`: the gateway reads it itself
    KEPT = 2  # not in `fields`: it does not cross
    LENGTH = 4
    CONNECTION = 8
    HOST = 16
    CODING = 32
    ODD = 64  # changes how a message is framed, or what happens to the connection: llhttp's
    LAST = 128  # in `roles`: the connection ends with this message
    NAME = 1
    VALUE = 2
    TARGET = 4
    SLOTS = 128
    LONGEST = 40  # of a name that is remembered
    DIGITS = 10

cdef unsigned char kinds[256]


cdef void mark(bytes letters, int kind):
    cdef int letter
    for letter in letters:
        kinds[letter] |= kind


cdef bytes ALNUM = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
mark(ALNUM + b"-", NAME)
mark(bytes(range(0x20, 0x7F)) + b"\t", VALUE)
mark(ALNUM + b"-._~!$&'()*+,;=:@/%?", TARGET)

# Attack: a field that one of two readers takes for the frame of the message. Whatever has one of them is not plain.
cdef frozenset _ODD = frozenset({b"upgrade", b"expect", b"proxy-connection", b"te", b"trailer", b"http2-settings"})
cdef dict _METHODS = {len(m): [] for m in (b"GET", b"POST", b"PATCH", b"DELETE", b"OPTIONS")}
for _m in (b"GET", b"PUT", b"HEAD", b"POST", b"PATCH", b"DELETE", b"OPTIONS"):
    _METHODS[len(_m)].append(_m)


cdef class Spelling:
    """A field's name as it was spelt, what it is passed on as, and what it means."""

    cdef bytes raw
    cdef bytes lower
    cdef bytes shown
    cdef int role


cdef class Fields:
    """The fields of a head. `read` are the names that the gateway reads itself, `kept` those that do not cross."""

    cdef list slots
    cdef object read
    cdef object kept
    cdef bint lowered
    cdef Py_ssize_t most

    def __init__(self, read not None, kept not None, bint lowered, Py_ssize_t most):
        self.slots = [None] * SLOTS
        self.read = read
        self.kept = kept
        self.lowered = lowered
        self.most = most

    cdef Spelling spelling(self, Place start, Py_ssize_t size, uint32_t hashed):
        cdef Py_ssize_t at = (hashed ^ (hashed >> 15)) % SLOTS
        found = self.slots[at]
        cdef Spelling spelt
        if found is not None:
            spelt = <Spelling> found
            if PyBytes_GET_SIZE(spelt.raw) == size and memcmp(PyBytes_AS_STRING(spelt.raw), start, size) == 0:
                return spelt
        spelt = Spelling()
        spelt.raw = PyBytes_FromStringAndSize(<const char*> start, size)
        spelt.lower = spelt.raw.lower()
        spelt.shown = spelt.lower if self.lowered else spelt.raw
        spelt.role = (
            (READ if spelt.lower in self.read else 0)
            | (KEPT if spelt.lower in self.kept else 0)
            | (LENGTH if spelt.lower == b"content-length" else 0)
            | (CONNECTION if spelt.lower == b"connection" else 0)
            | (HOST if spelt.lower == b"host" else 0)
            | (CODING if spelt.lower == b"transfer-encoding" else 0)
            | (ODD if spelt.lower in _ODD else 0)
        )
        if size <= LONGEST:
            self.slots[at] = spelt  # in the place of another: there are never more of them
        return spelt

    cdef Place take(self, Place at, Place end, dict known, list fields, Py_ssize_t* length, int* roles) except? NULL:
        """Up to the empty line that ends the head: the place behind it, NULL for what is not plain. `length` is -1 without one."""
        cdef Place after, value, line_end, last
        cdef uint32_t hashed
        cdef Spelling spelt
        cdef Py_ssize_t count = 0, before
        cdef int role
        length[0] = -1
        roles[0] = 0
        while True:
            after, hashed = at, 0x811C9DC5U
            while after < end and kinds[after[0]] & NAME:
                hashed = (hashed ^ after[0]) * 0x01000193U
                after += 1
            if after == at:
                # Attack: a length beside a coding: the end of the message is in two places (RFC 9112, 6.3).
                if end - at < 2 or at[0] != 13 or at[1] != 10 or (roles[0] & CODING and roles[0] & LENGTH):
                    return NULL
                return at + 2
            if after == end or after[0] != c":":
                return NULL
            spelt = self.spelling(at, after - at, hashed)
            role = spelt.role
            count += 1
            if role & ODD or count > self.most:
                return NULL
            value = after + 1
            while value < end and (value[0] == 32 or value[0] == 9):
                value += 1
            line_end = <Place> memchr(value, 13, end - value)
            # Attack: a bare CR or LF, or a line that goes on in the next, is one line for one reader and two for another.
            if line_end == NULL or line_end == value or end - line_end < 2 or line_end[1] != 10 or not is_visible(value, line_end):
                return NULL
            last = line_end
            while last[-1] == 32 or last[-1] == 9:
                last -= 1
            if role & LENGTH:
                if last != line_end:
                    return NULL
                length[0] = read_length(value, last)
                if length[0] < 0:
                    return NULL
            elif role & CONNECTION:
                if is_word(value, line_end, b"close"):
                    role |= LAST
                elif not is_word(value, last, b"keep-alive"):
                    return NULL
            elif role & CODING and (line_end - value != 7 or memcmp(value, b"chunked", 7) != 0):
                return NULL
            roles[0] |= role
            text = PyBytes_FromStringAndSize(<const char*> value, last - value)
            if role & READ:
                before = PyDict_Size(known)
                PyDict_SetItem(known, spelt.lower, text)
                if PyDict_Size(known) == before:
                    return NULL  # it came twice
            if not role & KEPT:
                fields.append((spelt.shown, text))
            at = line_end + 2


cdef bint is_visible(Place at, Place end) noexcept:
    """Printable ASCII, blanks and tabs."""
    cdef uint64_t eight
    while end - at >= 8:
        memcpy(&eight, at, 8)
        if ((eight - 0x2020202020202020ULL) | eight | (eight + 0x0101010101010101ULL)) & 0x8080808080808080ULL:
            break
        at += 8
    while at < end:
        if not kinds[at[0]] & VALUE:
            return False
        at += 1
    return True


cdef Py_ssize_t read_length(Place at, Place end) noexcept:
    """A Content-Length of at most ten digits without a needless zero, else -1."""
    cdef Py_ssize_t size = 0
    if end - at > DIGITS or (at[0] == c"0" and end - at > 1):
        return -1
    while at < end:
        if at[0] < c"0" or at[0] > c"9":
            return -1
        size = size * 10 + at[0] - c"0"
        at += 1
    return size


cdef bint is_word(Place at, Place end, const char* word) noexcept:
    """Whether it is this word of small letters and dashes, in any case."""
    while at < end and word[0] != 0:
        # Attack: a dash is the small letter of a carriage return, bit by bit; values that hold one are not visible.
        if (at[0] | 32) != <unsigned char> word[0]:
            return False
        at += 1
        word += 1
    return at == end and word[0] == 0
