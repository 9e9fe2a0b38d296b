# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of gathering.py, fresh.py, parts.py and sets.py: lines of the journal into what the index stores of a call.

A line of the plain spelling is read here, any other by msgspec; what becomes of it is the same, byte for byte.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free, malloc, qsort
from libc.string cimport memchr, memcmp, memcpy, memset

from funcgate.core.entry import Kind
from funcgate.recording.run import Run
from funcgate.recording.words import MAX_BYTES, add_part, from_json

from .bits import CHUNK, changed
from .fold import microseconds, pack
from .keys import _BITS, Fact
from .seen import add_words, words_of_string

include "_seen.pxi"

include "../_line.pxi"
include "../_rows_of.pxi"

cdef extern from *:
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 most)
    char* PyUnicode_1BYTE_DATA(object text)
    object PyUnicode_DecodeASCII(const char* at, Py_ssize_t size, const char* errors)
    object PyList_AsTuple(object found)

DEF PLACES = 16  # numbers: of eight lines; more are kept in a list
DEF SLOTS = 1024

cdef Py_ssize_t most_bytes = MAX_BYTES
cdef long long of_kind = Fact.KIND
cdef int low_bits = _BITS
cdef str ARRIVED = Kind.ARRIVED.value, ANSWERED = Kind.ANSWERED.value
cdef enum:  # places in KINDS, as kind_number gives them
    OF_ARRIVED = 0
    OF_ANSWERED = 5
    OF_ADMIN = 7
cdef tuple KINDS = (Kind.ARRIVED.value, Kind.ALLOWED.value, Kind.ENDED.value, Kind.CHUNK.value, Kind.ASKED.value, Kind.ANSWERED.value, Kind.DENIED.value, Kind.ADMIN.value)

for number in range(128):
    plain_of[number] = ord(chr(number).lower()) if chr(number).isalnum() else 32


cdef str text_of(Span span):
    return PyUnicode_DecodeASCII(span.at, span.size, NULL)


cdef bytes bytes_of(Span span):
    return PyBytes_FromStringAndSize(span.at, span.size)


@cython.final
cdef class Alike:
    """Texts that came lately: one that comes again is the same object, whose hash is known. In one batch; of limited size."""

    cdef list texts, raws

    def __cinit__(self):
        self.texts, self.raws = [""] * SLOTS, [b""] * SLOTS

    cdef str text(self, Span span):
        if not span.size:
            return ""
        cdef unsigned int slot = slot_for(span)
        cdef str found = <str> self.texts[slot]
        if len(found) != span.size or memcmp(PyUnicode_1BYTE_DATA(found), span.at, span.size) != 0:
            found = self.texts[slot] = text_of(span)
        return found

    cdef bytes raw(self, Span span):
        cdef unsigned int slot = slot_for(span)
        cdef bytes found = <bytes> self.raws[slot]
        if PyBytes_GET_SIZE(found) != span.size or memcmp(PyBytes_AS_STRING(found), span.at, span.size) != 0:
            found = self.raws[slot] = bytes_of(span)
        return found


@cython.final
@cython.no_gc
cdef class Part:
    """As in parts.py."""

    cdef readonly object keys
    cdef readonly bytes packed
    cdef readonly str said

    def __init__(self, keys not None):
        cdef long long key
        cdef Py_ssize_t count, place, digit
        cdef long long* into
        cdef char* to
        self.keys = keys if len(keys) == 1 else sorted(set(keys))
        count = len(self.keys)
        self.packed = PyBytes_FromStringAndSize(NULL, 8 * count)
        into = <long long*> PyBytes_AS_STRING(self.packed)
        place = 0
        for key in self.keys:
            into[place] = key
            place += 1
        count = 0
        for digit in range(place):
            count += into[digit] >> low_bits != of_kind
        self.said = PyUnicode_New(17 * count, 127)
        to = PyUnicode_1BYTE_DATA(self.said)
        for count in range(place):
            if into[count] >> low_bits != of_kind:
                to[0] = 32
                for digit in range(16):
                    to[1 + digit] = b"0123456789abcdef"[into[count] >> (60 - 4 * digit) & 15]
                to += 17


@cython.final
@cython.no_gc
cdef class Shared:
    """What calls have together that are alike in all facts: their parts, and those as the index keeps and as it says them."""

    cdef readonly list parts
    cdef object packed  # a bytearray: sqlite3 looks for an adapter of bytes, 2,000 instructions for each
    cdef str said

    def __init__(self, list parts not None):
        cdef Part part
        self.parts = parts
        self.packed = bytearray().join([part.packed for part in parts])
        self.said = "".join([part.said for part in parts])


@cython.final
@cython.no_gc
cdef class Fresh:
    """As in fresh.py. `at` is a number here: microseconds of Unix time."""

    cdef readonly long long n, at, seq
    cdef readonly str call, function, target, session, client, code
    cdef readonly bytes principal, policy, text
    cdef Shared shared
    cdef list kinds, approvers, objects, more
    cdef bint away
    cdef int count
    cdef unsigned long long shape  # its kinds, four bits each, as long as `kinds` is None
    cdef long long near[PLACES]

    def __cinit__(self):
        self.function = self.target = self.session = self.client = self.code = ""
        self.principal = self.policy = self.text = b""

    def __init__(self, seen, seq):
        self.call, self.seq, self.at = seen.call, seq, microseconds(seen.at)
        self.function, self.target, self.session, self.client = seen.function, seen.target, seen.session, seen.client

    @property
    def parts(self):
        return self.shared.parts

    cdef int put_kind(self, int number, str kind) except -1:
        """The number, or -1 and the kind."""
        if self.kinds is None:
            if number >= 0 and self.shape >> 60 == 0:
                self.shape = self.shape << 4 | number + 1
                return 0
            self.kinds = self.told()
        self.kinds.append(KINDS[number] if number >= 0 else kind)
        return 0

    cdef list told(self):
        """Its kinds, in order."""
        cdef unsigned long long left = self.shape
        cdef list found = []
        if self.kinds is not None:
            return self.kinds
        while left:
            found.append(KINDS[<int> (left & 15) - 1])
            left >>= 4
        found.reverse()
        return found

    @property
    def places(self):
        cdef int place
        return [self.near[place] for place in range(self.count)] + (self.more or [])

    cdef int put_place(self, long long segment, long long offset) except -1:
        if self.count < PLACES:
            self.near[self.count], self.near[self.count + 1] = segment, offset
            self.count += 2
        elif self.more is None:
            self.more = [segment, offset]
        else:
            self.more += (segment, offset)
        return 0

    def add(self, seen, segment, offset, bint text):
        """One entry that msgspec read."""
        cdef str kind = seen.kind
        self.put_place(segment, offset)
        self.put_kind(-1, kind)
        if seen.policy:
            self.policy = bytes(seen.policy)
        if seen.principal:
            self.add_who(bytes(seen.principal), kind == ANSWERED)
        if seen.code:
            self.code = seen.code
        if text and (seen.body or seen.args):
            self.text = add_words(self.text, seen)
        if seen.object or seen.args_object or seen.where:
            self.objects = (self.objects or []) + [one for one in (seen.object, seen.args_object) if one]
            self.away = self.away or bool(seen.where)
        self.function = self.function or seen.function
        self.target = self.target or seen.target
        self.session = self.session or seen.session
        self.client = self.client or seen.client

    cdef int add_who(self, bytes principal, bint approves) except -1:
        if approves:
            self.approvers = (self.approvers or []) + [principal]
        if not self.principal:
            self.principal = principal
        return 0

    cdef int take(self, Plain* line, int kind, long long segment, long long offset, Alike alike, bint text) except -1:
        """One entry that was read here."""
        self.put_place(segment, offset)
        self.put_kind(kind, None if kind >= 0 else text_of(line.of[KIND]))
        if line.of[POLICY].size:
            self.policy = alike.raw(line.of[POLICY])
        if line.of[PRINCIPAL].size:
            self.add_who(alike.raw(line.of[PRINCIPAL]), kind == OF_ANSWERED)
        if line.of[CODE].size:
            self.code = alike.text(line.of[CODE])
        if text:
            if line.of[ARGS].size:
                self.add_json(line.of[ARGS], line.args_odd, False)
            if line.of[BODY].size:
                if line.of[BODY].at[0] == c'"':
                    self.add_string(line)
                else:
                    self.add_json(line.of[BODY], line.body_odd, line.piece > 1)
        if not self.function:
            self.function = alike.text(line.of[FUNCTION])
        if not self.target:
            self.target = alike.text(line.of[TARGET])
        if not self.session:
            self.session = alike.text(line.of[SESSION])
        if not self.client:
            self.client = alike.text(line.of[CLIENT])
        return 0

    cdef int add_json(self, Span said, int odd, bint joined) except -1:
        if odd and not self.add_escaped(said, odd, joined, True):
            self.text = add_part(self.text, from_json(bytes_of(said)), joined=joined)
        elif not odd:
            self.add_plain(said, joined)
        return 0

    cdef int add_string(self, Plain* line) except -1:
        cdef Span said = line.of[BODY]
        cdef bint joined = line.piece > 1
        said.at += 1
        said.size -= 2
        if said.size >= 5 and memcmp(said.at, b"data:", 5) == 0 or (
            line.body_odd and not self.add_escaped(said, line.body_odd, joined, False)
        ):
            text = words_of_string(bytes_of(line.of[BODY]), text_of(line.of[MEDIA]))
            self.text = add_part(self.text, text, joined=joined)
        elif not line.body_odd:
            self.add_plain(said, joined)
        return 0

    cdef bint add_escaped(self, Span said, int odd, bint joined, bint blank) except -1:
        """A text with escapes; False, with nothing done, where Python shall read it."""
        cdef bytes made
        if odd & FOREIGN or said.size > most_bytes:
            return False
        made = PyBytes_FromStringAndSize(NULL, said.size)
        said.size = unescaped(PyBytes_AS_STRING(made), said.at, said.size, blank)
        said.at = PyBytes_AS_STRING(made)
        if said.size < 0 or memchr(said.at, c'\\', said.size) is not NULL:
            return False  # an escape again, if what the text holds is JSON
        self.add_plain(said, joined)
        return True

    cdef int add_plain(self, Span said, bint joined) except -1:
        """Words of ASCII without a backslash. At most `most_bytes` in all."""
        cdef Py_ssize_t had = PyBytes_GET_SIZE(self.text), gap, size
        cdef bytes made
        cdef char* to
        if said.size <= 0 or had >= most_bytes:
            return 0
        gap = 1 if had and not joined else 0
        size = min(said.size, most_bytes - had - gap)
        made = PyBytes_FromStringAndSize(NULL, had + gap + size)
        to = PyBytes_AS_STRING(made)
        memcpy(to, PyBytes_AS_STRING(self.text), had)
        if gap:
            to[had] = 32
        put_words(to + had + gap, said.at, size)
        self.text = made
        return 0


def gather(lines not None, slow not None, bint doubting, bint text, dict fresh not None, set doubted not None, list later not None):
    """The loop of `Gathering.gather`. `slow` gives what msgspec reads in a line, None for what is of no call."""
    cdef Alike alike = Alike()
    cdef Py_ssize_t count = len(lines), at
    cdef long long segment = 0, begun_at
    cdef bytes raw, table
    cdef const char* block
    cdef const long long* rows
    cdef str name = None
    if type(lines) is Run:
        raw, table = lines.block, lines.table
        block, rows = PyBytes_AS_STRING(raw), rows_of(raw, table, count)
        segment, begun_at = int(lines.segment[:8]), lines.offset
        for at in range(count):
            if not take_line(block + rows[3 * at + 1], rows[3 * at + 2], rows[3 * at], segment, begun_at + rows[3 * at + 1], alike, doubting, text, fresh, doubted):
                put_slow(lines[at], slow, segment, doubting, text, fresh, doubted, later)
        return
    for line in lines:
        raw = got(line, raw_at, "line")
        other = got(line, segment_at, "segment")
        if other is not name:
            name, segment = other, int(other[:8])
        if not take_line(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), got(line, seq_at, "seq"), segment, got(line, offset_at, "offset"), alike, doubting, text, fresh, doubted):
            put_slow(line, slow, segment, doubting, text, fresh, doubted, later)


cdef bint take_line(const char* at, Py_ssize_t size, long long seq, long long segment, long long offset, Alike alike, bint doubting, bint text, dict fresh, set doubted) except -1:
    """Whether the line was read and put into its call."""
    cdef Plain plain
    cdef Fresh found
    cdef str call
    cdef int kind
    if not read_plain(at, size, &plain):
        return False
    kind = kind_number(plain.of[KIND])
    if kind == OF_ADMIN:
        return False
    call = alike.text(plain.of[CALL])
    found = fresh.get(call)
    if found is None:
        if doubting or kind != OF_ARRIVED or call in doubted:
            return False
        found = fresh[call] = begun(call, &plain, seq)
    found.take(&plain, kind, segment, offset, alike, text)
    return True


cdef int put_slow(object line, object slow, long long segment, bint doubting, bint text, dict fresh, set doubted, list later) except -1:
    """A line that msgspec reads, or one of a call that is not begun here."""
    cdef Fresh found
    seen = slow(line)
    if seen is None:
        return 0
    found = fresh.get(seen.call)
    if found is None:
        if seen.kind != ARRIVED or doubting or seen.call in doubted:
            doubted.add(seen.call)
            later.append((seen, line))
            return 0
        found = fresh[seen.call] = Fresh(seen, line.seq)
    found.add(seen, segment, line.offset, text)
    return 0


cdef Fresh begun(str call, Plain* plain, long long seq):
    cdef Fresh one = Fresh.__new__(Fresh)
    cdef Span at = plain.of[AT]
    one.call, one.seq, one.at = call, seq, micros_of(at.at, at.size)
    if one.at < 0:
        one.at = microseconds(text_of(at))
    return one


include "_rows.pxi"
