# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The quick way for JSON: one pass over the bytes checks the grammar, tells which strings can hold a value, and replaces what it knows.

It refuses (None) whatever it is not sure of: escapes, exponents, values in keys and numbers. Those are for the Python code
to judge. It takes less than the slow way does, never more; tests hold the two side by side.
"""

from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from libc.string cimport memcpy

include "_kinds.pxi"

cdef struct Need:
    Lanes lanes
    Py_ssize_t size, word
    int kind

cdef struct Out:
    char* bytes
    Py_ssize_t size, room


cdef int _add(Out* out, const void* text, Py_ssize_t more) except -1:
    cdef Py_ssize_t room = 2 * (out.size + more) + 256
    cdef char* grown
    if out.size + more > out.room:
        grown = <char*> PyMem_Realloc(out.bytes, room)
        if grown is NULL:
            raise MemoryError
        out.bytes, out.room = grown, room
    memcpy(out.bytes + out.size, text, more)
    out.size += more
    return 0


cdef class Words:
    """Texts to look for, each of seven bytes or more. `may_be_in` is False only where none of them is: for those that are
    left, a look at every fourth byte."""

    cdef unsigned char _marks[4096]
    cdef set _words

    def __init__(self, texts):
        self._words = set()
        for at in range(4096):
            self._marks[at] = 0
        for text in texts:
            if len(text) < 7:
                raise ValueError("too short to be looked for at every fourth byte")
            for at in range(4):
                self._words.add(int.from_bytes(text[at : at + 4], "little"))
        for word in self._words:
            self._marks[_mark(word)] = 1

    cpdef bint may_be_in(self, bytes text) except -1:
        cdef Place at = <Place> PyBytes_AS_STRING(text)
        cdef Place end = at + len(text)
        cdef unsigned int word
        while end - at >= 4:
            word = at[0] | at[1] << 8 | at[2] << 16 | <unsigned int> at[3] << 24
            if self._marks[_mark(word)] and word in self._words:
                return True
            at += 4
        return False


cdef inline unsigned int _mark(unsigned int word) noexcept:
    return (word * 2654435761u) >> 20


cdef class Glance:
    """One set of rules. `mask` is `mask_json` for what it is sure of."""

    cdef object _closer, _may_hide
    cdef object _judged
    cdef dict _verdicts
    cdef tuple _labels, _names, _replaces, _traces
    cdef Need _needs[MOST_NEEDS]
    cdef int _many
    cdef Lanes _few
    cdef Py_ssize_t _mail, _card, _ssn
    cdef bint _cards[3]
    cdef bint _ssns[2]

    def __init__(self, rules):
        values = rules.values
        self._closer = values.closer
        self._may_hide = rules.fields.may_be_in if rules.walks else None
        self._judged, self._verdicts = values._judged, values._verdicts
        self._labels, self._replaces, self._names = values._labels, values._replaces, rules.names
        self._mail = values._mail
        self._card, self._ssn = _index(rules.names, "credit_card"), _index(rules.names, "us_ssn")
        for at, shape in enumerate((b'"0000 0000 0000 0000",', b'"0000-0000-0000-0000",', b'"0000000000000000",')):
            self._cards[at] = self._card >= 0 and self._judged(shape) == self._card
        for at, shape in enumerate((b'"000-00-0000",', b'"000 00 0000",')):
            self._ssns[at] = self._ssn >= 0 and self._judged(shape) == self._ssn
        self._take_needs(rules.scanner.detectors)

    def _take_needs(self, detectors):
        least, traces = [128] * 7 + [1], []
        for at, detector in enumerate(detectors):
            for need in detector.needs:
                if len(traces) == MOST_NEEDS:
                    raise ValueError("too many needs")
                counts = (need.digits, need.upper, need.underscores, need.hyphens, need.points, need.colons, need.ats, 0)
                if not any(counts):
                    raise ValueError(f"{detector.name}: a need that every string meets")
                mine = &self._needs[len(traces)]
                mine.lanes, mine.size, mine.word = 0, max(need.size, need.word), need.word
                mine.kind = DIGITS if detector.digits else MAIL if at == self._mail else OTHER
                for lane, count in enumerate(counts):
                    mine.lanes |= <Lanes> count << 8 * lane
                    if count:
                        least[lane] = min(least[lane], count)
                traces.append(need.traces)
            if not detector.needs:
                raise ValueError(f"{detector.name}: no needs")
        self._many, self._traces, self._few = len(traces), tuple(traces), 0
        for lane, count in enumerate(least):
            self._few |= <Lanes> (128 - count) << 8 * lane

    def mask(self, bytes raw not None, dict counts not None, Words words=None, bint lines=False):
        """The masked bytes, the very object if nothing in it is hidden; None, and nothing counted, when unsure: also when one of
        the words may be in it. `lines`: each line is a text of its own, with nothing around it."""
        cdef Out out
        cdef list tally = []
        if words is not None and words.may_be_in(raw):
            return None
        if self._may_hide is not None and self._may_hide(raw):
            return None
        out.bytes, out.size, out.room = NULL, 0, 0
        try:
            if not self._read(raw, &out, tally, lines):
                return None
            if not tally:
                return raw
            for index in tally:
                name = self._names[index]
                counts[name] = counts.get(name, 0) + 1
            return PyBytes_FromStringAndSize(out.bytes, out.size)
        finally:
            PyMem_Free(out.bytes)

    cdef bint _read(self, bytes raw, Out* out, list tally, bint lines) except -1:
        """Whether this is one JSON text (or one on each line), all of which could be judged. What is hidden is in `out` and `tally`
        then."""
        cdef Place begin = <Place> PyBytes_AS_STRING(raw)
        cdef Place at = begin, end = begin + len(raw), start, limit, copied = begin
        cdef Lanes lanes, here
        cdef int state = WANTS_VALUE, depth = 0, steps = 0, done
        cdef Lanes objects = 0  # bit by bit, what is open: 1 = an object
        cdef bint foreign = False, key
        cdef unsigned char byte
        while at < end:
            byte = at[0]
            if classes[byte] & SPACE:
                if lines:
                    # Attack: a text over two lines, or two on one: the reader of the lines would see others than were looked at.
                    if byte != c"\n" or state != HAS_VALUE or depth:
                        return False
                    state = WANTS_VALUE
                at += 1
            elif byte == c'"':
                if state == HAS_VALUE:
                    return False
                key = state >= WANTS_KEY
                at += 1
                start, lanes = at, 0
                while True:
                    limit = at + BLOCK if end - at > BLOCK else end
                    here = 0
                    while at < limit:
                        here = lanes_of[at[0]]
                        if here & STOP:
                            break
                        lanes += here
                        at += 1
                    if here & STOP:
                        break
                    if at >= end:
                        return False
                    here = lanes & FULL
                    lanes = lanes & ~((here >> 6) * 127) | here
                if at[0] != c'"':  # an escape, or what JSON does not have
                    return False
                if (lanes + self._few) & HIGH:
                    if lanes >> 56:
                        done = _escapes(start, at)
                        if done < 0:
                            return False
                        foreign |= done
                    else:
                        done = False
                    done = self._string(raw, start, at, lanes, done, key, begin, &copied, out, tally)
                    if not done:
                        return False
                    steps += 1
                    if steps % GIVE_WAY == 0:
                        _give_way()
                at += 1
                if not key:
                    state = HAS_VALUE
                    continue
                while at < end and classes[at[0]] & SPACE and not lines:
                    at += 1
                if at >= end or at[0] != c":":
                    return False
                at += 1
                state = WANTS_VALUE
            elif state == HAS_VALUE:
                if depth == 0:
                    return False
                if byte == c",":
                    state = WANTS_KEY if objects & 1 else WANTS_VALUE
                elif byte == (c"}" if objects & 1 else c"]"):
                    objects >>= 1
                    depth -= 1
                else:
                    return False
                at += 1
            elif byte == c"}" if state == WANTS_KEY_OR_END else byte == c"]" and state == WANTS_VALUE_OR_END:
                objects >>= 1
                depth -= 1
                state = HAS_VALUE
                at += 1
            elif state >= WANTS_KEY:
                return False
            elif byte == c"{" or byte == c"[":
                # Attack: nesting without end. The slow way has its own limit.
                if depth == MOST_DEPTH:
                    return False
                depth += 1
                objects = objects << 1 | (byte == c"{")
                state = WANTS_KEY_OR_END if byte == c"{" else WANTS_VALUE_OR_END
                at += 1
            else:
                start = at
                at = _word(at, end) if byte >= c"a" else self._number(at, end)
                if at is NULL:
                    return False
                state = HAS_VALUE
        if depth or not (state == HAS_VALUE or (lines and at > begin and state == WANTS_VALUE)):
            return False
        if foreign:
            try:
                raw.decode()
            except UnicodeDecodeError:
                return False
        return _add(out, copied, end - copied) == 0 if tally else True

    cdef Place _number(self, Place at, Place end) except? NULL:
        """The end of the number at this place; NULL if it is none, or one to be looked at."""
        cdef Place begin = at, digits
        if at < end and at[0] == c"-":
            at += 1
        digits = at
        while at < end and classes[at[0]] & DIGIT:
            at += 1
        if at == digits or (digits[0] == c"0" and at - digits > 1) or self._may_be_card(digits, at):
            return NULL
        if at < end and at[0] == c".":
            at += 1
            digits = at
            while at < end and classes[at[0]] & DIGIT:
                at += 1
            if at == digits or (at - digits >= 12 and self._closer(PyBytes_FromStringAndSize(<char*> begin, at - begin)) != []):
                return NULL
        # Attack: 4.111111111111111e15 is a card to whoever reads the number.
        return NULL if at < end and (at[0] == c"e" or at[0] == c"E") else at

    cdef inline bint _may_be_card(self, Place at, Place end) noexcept:
        """Whether digits that stand alone are one. No other detector takes digits without anything between them."""
        return 12 <= end - at <= 19 and self._card >= 0 and _is_card(at, end)

    cdef bint _string(
        self, bytes raw, Place start, Place end, Lanes lanes, bint foreign, bint key, Place begin, Place* copied, Out* out,
        list tally,
    ) except -1:
        """Judges one string that may hold something. False when unsure."""
        cdef Py_ssize_t size = end - start, word = -1
        cdef bint digits = False, mail = False, look = False
        cdef Need* need
        cdef int at
        cdef Py_ssize_t whole = -1 if key else self._whole(start, size, lanes & 255)
        if whole >= 0:
            return self._replaced(whole, start, end, copied, out, tally)
        for at in range(self._many):
            need = &self._needs[at]
            if size < need.size or ((lanes | HIGH) - need.lanes) & HIGH != HIGH:
                continue
            if need.kind == DIGITS:
                digits = True
            elif need.kind == MAIL:
                mail = True
            else:
                if not _has_trace(start, end, <tuple> self._traces[at]):
                    continue
                if word < 0:
                    word = _longest_word(start, end)
                if word >= need.word:
                    look = True
                    break
        if digits and not look:
            if not foreign and lanes & 255 == size:
                look = self._may_be_card(start, end)
            else:
                look = foreign or self._in_runs(raw, start - begin, end - begin)
        if mail and not look:
            if not key and is_address(start, end):
                return self._replaced(self._mail, start, end, copied, out, tally)
            look = True
        return self._looked(start, end, key, copied, out, tally) if look else True

    cdef inline Py_ssize_t _whole(self, Place at, Py_ssize_t size, Py_ssize_t digits) noexcept:
        """The detector of which a whole string is a value, if it is one of the commonest shapes; else -1.

        Nothing else finds a value in digits and separators; that no earlier detector does was asked when the rules were made.
        """
        if digits == 16:
            if size == 16:
                return self._card if self._cards[2] and _is_plain_card(at, at + 16) else -1
            if size == 19 and at[4] == at[9] == at[14]:
                if (at[4] == c" " and self._cards[0]) or (at[4] == c"-" and self._cards[1]):
                    return self._card if _is_plain_card(at, at + 19) else -1
        elif digits == 9 and size == 11 and at[3] == at[6]:
            if (at[3] == c"-" and self._ssns[0]) or (at[3] == c" " and self._ssns[1]):
                return self._ssn if _is_issued(at) else -1
        return -1

    cdef bint _looked(self, Place start, Place end, bint key, Place* copied, Out* out, list tally) except -1:
        """The whole way, for one string."""
        cdef bytes text = PyBytes_FromStringAndSize(<char*> start, end - start)
        cdef Py_ssize_t first, last
        hits = self._closer(text)
        if hits is None or (key and hits):
            return False
        for hit in hits:
            first, last = hit[0], hit[1]
            if not 0 <= first <= last <= end - start:
                raise IndexError
            self._replaced(hit[2], start + first, start + last, copied, out, tally)
        return True

    cdef bint _replaced(
        self, Py_ssize_t index, Place start, Place end, Place* copied, Out* out, list tally
    ) except -1:
        cdef bytes new = self._labels[index] or self._replaces[index](PyBytes_FromStringAndSize(<char*> start, end - start))
        _add(out, copied[0], start - copied[0])
        _add(out, PyBytes_AS_STRING(new), len(new))
        copied[0] = end
        tally.append(index)
        return True

    cdef bint _in_runs(self, bytes raw, Py_ssize_t at, Py_ssize_t end) except -1:
        """Whether a stretch of the string from `at` to `end` has a shape that can hold something."""
        cdef Place text = <Place> PyBytes_AS_STRING(raw)
        cdef Py_ssize_t start
        cdef bytes shape
        cdef PyObject* known
        while at < end:
            start = at
            while at < end and classes[text[at]] & IN_RUN:
                at += 1
            if at - start >= RUN:
                if at - start > LONGEST_SHAPE:
                    return True
                shape = _shape(text, start - 1, min(at + 2, len(raw)))
                known = PyDict_GetItem(self._verdicts, shape)
                if known is NULL:
                    if self._judged(shape if at + 1 < len(raw) else shape + b"x") != CLEAN:
                        return True
                elif <object> known != CLEAN:
                    return True
            at += 1
        return False


cdef Py_ssize_t _index(names, name):
    return names.index(name) if name in names else -1


cdef void _give_way() noexcept:
    # Attack: megabytes dense with hits are masked in a thread of their own, and must not keep the interpreter from the others.
    with nogil:
        pass


def is_whole_address(bytes text not None):
    """`is_address`, for tests."""
    cdef Place at = <Place> PyBytes_AS_STRING(text)
    return is_address(at, at + len(text))


def is_card(bytes text not None):
    """`_is_card` of some digits, for tests."""
    cdef Place at = <Place> PyBytes_AS_STRING(text)
    return 12 <= len(text) <= 19 and _is_card(at, at + len(text))
