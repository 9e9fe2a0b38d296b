# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The compiled half of values.py and of three detectors: the same pass over the same bytes, with the same answers.

It decides nothing that they do not decide, and refuses (None, False) exactly what they refuse; tests hold the two side by
side. Slow ways stay there. Every byte is read with its index checked.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from libc.string cimport memchr, memcpy

from funcgate.masking.stretches import all_plain

cdef enum:
    RUN = 7  # the shortest stretch
    LOOK = -2
    GIVE_WAY = 2048  # steps, a third of a millisecond
    # classes of bytes
    IN_RUN = 1
    DIGIT = 2
    ALNUM = 4
    LETTER = 8
    LOCAL = 16  # of the part of an address before the @
    VALUE_END = 32

cdef unsigned char classes[256]
cdef unsigned char shapes[256]


cdef void _tell(bytes members, unsigned char kind) noexcept:
    cdef unsigned char byte
    for byte in members:
        classes[byte] |= kind


cdef void _make_tables() noexcept:
    cdef unsigned char byte
    cdef int at
    for at in range(256):
        classes[at], shapes[at] = 0, c"x"
    _tell(b"0123456789 -.+()/", IN_RUN)
    _tell(b"0123456789", DIGIT | ALNUM | LOCAL)
    _tell(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", ALNUM | LETTER | LOCAL)
    _tell(b"_+.-", LOCAL)
    _tell(b",}]", VALUE_END)
    for byte in b' -.+()/",}]':
        shapes[byte] = byte
    for byte in b"0123456789":
        shapes[byte] = c"0"


_make_tables()


cdef inline bint _is(bytes text, Py_ssize_t at, unsigned char kind) except -1:
    cdef unsigned char byte = text[at]
    return classes[byte] & kind != 0


cdef void _give_way() noexcept:
    # Attack: megabytes dense with hits are masked in a thread of their own, and must not keep the interpreter from the others.
    with nogil:
        pass


cdef Py_ssize_t next_run(bytes raw, Py_ssize_t at) except -2:
    """Where the next `RUN` bytes of a stretch begin; -1 if there are none."""
    cdef Py_ssize_t last = at + RUN - 1, back
    while last < len(raw):
        back = last
        while back >= at and _is(raw, back, IN_RUN):
            back -= 1
        if back < at:
            return at
        at = back + 1
        last = at + RUN - 1
    return -1


cdef Py_ssize_t end_of_run(bytes raw, Py_ssize_t at) except -2:
    """The first byte from `at` on that is in no stretch; -1 if there is none."""
    while at < len(raw):
        if not _is(raw, at, IN_RUN):
            return at
        at += 1
    return -1


cdef Py_ssize_t find(bytes raw, char byte, Py_ssize_t at) except -2:
    """As `bytes.find`."""
    cdef const char* begin = PyBytes_AS_STRING(raw)
    cdef const char* found
    if not 0 <= at <= len(raw):
        raise IndexError
    found = <const char*> memchr(begin + at, byte, len(raw) - at)
    return -1 if found is NULL else found - begin


cdef Py_ssize_t find_before(bytes raw, char byte, Py_ssize_t low, Py_ssize_t high) except -2:
    """As `bytes.rfind`."""
    while high > low:
        high -= 1
        if raw[high] == byte:
            return high
    return -1


cdef bytes shape_of(bytes raw, Py_ssize_t low, Py_ssize_t high):
    """What stands from `low` to `high`, every digit a 0, every letter an x."""
    cdef bytes shape = PyBytes_FromStringAndSize(NULL, high - low)
    cdef char* into = PyBytes_AS_STRING(shape)
    cdef unsigned char byte
    cdef Py_ssize_t at
    for at in range(low, high):
        byte = raw[at]
        into[at - low] = shapes[byte]
    return shape


cdef class Text:
    """Bytes that grow at their end; `parts` counts the additions."""

    cdef char* _bytes
    cdef Py_ssize_t _size, _room, parts

    def __dealloc__(self):
        PyMem_Free(self._bytes)

    cdef int add(self, bytes text, Py_ssize_t start, Py_ssize_t end) except -1:
        """Add what is in `text` from `start` to `end`."""
        cdef Py_ssize_t more = end - start
        if not 0 <= start <= end <= len(text):
            raise IndexError
        if self._size + more > self._room:
            self._grow(self._size + more)
        memcpy(self._bytes + self._size, PyBytes_AS_STRING(text) + start, more)
        self._size += more
        self.parts += 1
        return 0

    cdef int add_all(self, bytes text) except -1:
        return self.add(text, 0, len(text))

    cdef int _grow(self, Py_ssize_t least) except -1:
        cdef Py_ssize_t room = 2 * least + 256
        cdef char* grown = <char*> PyMem_Realloc(self._bytes, room)
        if grown is NULL:
            raise MemoryError
        self._bytes, self._room = grown, room
        return 0

    cdef bytes all(self):
        return PyBytes_FromStringAndSize(self._bytes, self._size)


cdef class Pass:
    """One `Values`, compiled. `mask` is its `mask`."""

    cdef object _values, _readable, _digits
    cdef dict _verdicts, _wholes
    cdef tuple _labels, _names, _replaces
    cdef Py_ssize_t _mail

    def __init__(self, values):
        self._values = values
        self._readable, self._digits, self._mail = values._readable, values._digits, values._mail
        self._verdicts, self._labels, self._replaces = values._verdicts, values._labels, values._replaces
        self._wholes, self._names = values._wholes, values._names

    def mask(self, bytes raw not None, opened, dict counts not None):
        """See `Values.mask`."""
        if not self._readable.issuperset(opened) or not all_plain(raw):
            return None
        cdef Py_ssize_t size = len(raw), at = 0, last = 0, mails = 0, steps = 0, limit, end, first, before, verdict
        cdef Py_ssize_t start = -1 if self._digits.isdisjoint(opened) else next_run(raw, 0)
        cdef Py_ssize_t mail = find(raw, c"@", 0) if self._mail in opened else -1
        cdef list pieces = [], counted = []  # what the slow ways find
        cdef dict wholes = {}
        cdef Text out = Text.__new__(Text)
        while True:
            limit = size if mail < 0 else mail
            while -1 < start < limit:
                steps += 1
                if steps % GIVE_WAY == 0:
                    _give_way()
                end = end_of_run(raw, start)
                if not 0 < start < end:
                    return None
                verdict = self._verdict(raw, start, end)
                if verdict >= 0:
                    _kept(wholes, verdict).add(raw, start - 1, min(end + 2, size))
                    out.add(raw, at, start)
                    out.add_all(self._new(verdict, raw, start, end))
                    at = end
                elif verdict == LOOK:
                    at = self._values._loose(raw, start, end, at, pieces, counted)
                    if at < 0:
                        return None
                    _move(pieces, out)
                start = next_run(raw, end)
            if mail < 0:
                break
            steps += 1
            if steps % GIVE_WAY == 0:
                _give_way()
            first = find_before(raw, c'"', at, mail)
            if mail > last:
                last = find(raw, c'"', mail)
            if first >= 0 and is_address(raw, first, last + 2):
                first += 1
                out.add(raw, at, first)
                out.add_all(self._new(self._mail, raw, first, last))
                at = last
                mails += 1
                while -1 < start < at:  # digits in the address
                    end = end_of_run(raw, start)
                    start = -1 if end < 0 else next_run(raw, end)
                mail = find(raw, c"@", at)
            else:
                before = at
                if first < 0 and b" " not in raw[at:mail]:
                    return None  # the address may begin in what was replaced
                at = self._values._address(raw, max(first, at), last, start, at, pieces, counted)
                if at < 0:
                    return None
                _move(pieces, out)
                mail = raw.find(b"@", at if at > before else last)
        if not out.parts:
            return raw
        out.add(raw, at, size)
        return out.all() if self._count(wholes, mails, counted, counts) else None

    cdef bint _count(self, dict wholes, Py_ssize_t mails, list counted, dict counts) except -1:
        """As `Values.count`."""
        for index, kept in wholes.items():
            whole = self._wholes.get(index)
            if whole is not None and not whole.all_are((<Text> kept).all()):
                return False
        for index, kept in wholes.items():
            _add(counts, self._names[index], (<Text> kept).parts)
        if mails:
            _add(counts, self._names[self._mail], mails)
        for index in counted:
            _add(counts, self._names[index], 1)
        return True

    cdef Py_ssize_t _verdict(self, bytes raw, Py_ssize_t start, Py_ssize_t end) except -3:
        cdef bytes shape = shape_of(raw, start - 1, min(end + 2, len(raw)))
        cdef PyObject* known = PyDict_GetItem(self._verdicts, shape)
        if known is not NULL:
            return <object>known
        return self._values._judged(shape if end + 1 < len(raw) else shape + b"x")

    cdef bytes _new(self, Py_ssize_t index, bytes raw, Py_ssize_t start, Py_ssize_t end):
        label = self._labels[index]
        return label or self._replaces[index](raw[start:end])


cdef int _add(dict counts, name, Py_ssize_t many) except -1:
    counts[name] = counts.get(name, 0) + many
    return 0


cdef Text _kept(dict wholes, verdict):
    cdef Text text = wholes.get(verdict)
    if text is None:
        wholes[verdict] = text = Text.__new__(Text)
    return text


cdef int _move(list pieces, Text out) except -1:
    for piece in pieces:
        out.add_all(piece)
    pieces.clear()
    return 0


cpdef bint is_address(bytes text, Py_ssize_t at, Py_ssize_t end) except -1:
    """Whether `text`, from `at` to `end`, is an e-mail address as a JSON string of its own: `email.STRING`, by hand."""
    cdef Py_ssize_t last = end - 2, begin  # the closing quote; where a label begins
    if end > len(text) or last - at < 6 or text[at] != c'"' or text[last] != c'"' or not _is(text, last + 1, VALUE_END):
        return False
    at += 1
    if not _is(text, at, LOCAL) or text[at] == c"." or text[at] == c"-":
        return False
    while _is(text, at, LOCAL):  # the closing quote is none, nor is the @
        at += 1
    if text[at] != c"@":
        return False
    at += 1
    begin = at
    labels = 0
    while True:
        while at < last and (_is(text, at, ALNUM) or text[at] == c"-"):
            at += 1
        if at == begin or text[begin] == c"-" or text[at - 1] == c"-":
            return False
        if at == last:
            return labels > 0 and at - begin > 1 and _is(text, begin, LETTER)
        if text[at] != c".":
            return False
        labels += 1
        at += 1
        begin = at


def all_cards(bytes strings not None):
    """`credit_card.all_cards`: the check digits one after the other."""
    cdef int sum = 0, place = 0, value
    cdef unsigned char byte
    for byte in strings:
        if not classes[byte] & DIGIT:
            continue
        value = byte - 48
        if place == 0 and not 2 <= value <= 6:
            return False
        if place % 2 == 0:
            value = 2 * value - 9 * (value > 4)
        sum += value
        place += 1
        if place == 16:
            if sum % 10:
                return False
            sum = place = 0
    return place == 0


def all_issued(bytes strings not None):
    """`us_ssn.all_issued`: strings of 14 bytes, one after the other."""
    cdef Py_ssize_t at, place
    cdef unsigned char byte
    if len(strings) % 14:
        return False
    for at in range(0, len(strings), 14):
        for place in range(14):
            byte = strings[at + place]
            if place == 0 or place == 12:
                if byte != c'"':
                    return False
            elif place == 4 or place == 7:
                if byte != c" " and byte != c"-":
                    return False
            elif not classes[byte] & (VALUE_END if place == 13 else DIGIT):
                return False
        if strings[at + 1] == c"9" or _same(strings, at + 1, b"000") or _same(strings, at + 1, b"666"):
            return False
        if _same(strings, at + 5, b"00") or _same(strings, at + 8, b"0000"):
            return False
    return True


cdef bint _same(bytes text, Py_ssize_t at, bytes other) except -1:
    cdef Py_ssize_t place
    for place in range(len(other)):
        if text[at + place] != other[place]:
            return False
    return True
