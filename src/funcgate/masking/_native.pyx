"""The quick way for JSON: one pass over the bytes checks the grammar, tells which strings can hold a value, and replaces what it knows.

A string or number that it is not sure of it gives to the Python code, one at a time; the whole text (None) for values in keys, for
halves of characters, for nesting too deep. It takes less than the walk does, never more; tests hold the two side by side.
"""

cimport cython
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF

import msgspec

from funcgate.core.reply import Reply as _Reply

include "../core/_shape.pxi"
include "_kinds.pxi"
include "_mail.pxi"
include "_spelling.pxi"
include "_words.pxi"
include "_paths.pxi"
include "_numbers.pxi"
include "_sieve.pxi"

cdef class Glance(Sieve):
    """One set of rules. `mask` is `mask_json` for what it is sure of."""

    cdef object _rules, _fields, _spans
    cdef Paths _paths
    cdef frozenset _hidden
    cdef tuple _labels, _names, _replaces, _keys
    cdef bint _always

    def __init__(self, rules):
        values = rules.values
        Sieve.__init__(self, rules.scanner, rules.names, values)
        self._rules, self._fields = rules, rules.fields
        self._spans = rules.scanner.spans
        self._paths, self._hidden, self._keys, self._always = None, frozenset(), (), False
        if rules.walks:
            self._paths, self._hidden = Paths(rules.fields), rules.fields.last_names
            self._keys, self._always = rules.fields._keys, rules.fields._always
        self._labels, self._replaces, self._names = values._labels, values._replaces, rules.names

    def mask(self, bytes raw not None, dict counts not None, Words words=None, bint lines=False):
        """The masked bytes, the very object if nothing in it is hidden; None, and nothing counted, when unsure: also when one of
        the words may be in it. `lines`: each line is a text of its own, with nothing around it."""
        return self.masked(raw, counts, words, lines)

    cdef bytes masked(self, bytes raw, dict counts, Words words, bint lines):
        """`counts` None: nobody asks."""
        cdef Work work
        cdef Place begin = <Place> PyBytes_AS_STRING(raw)
        cdef int index
        cdef Paths paths = None
        _begin(&work, begin)
        try:
            if words is not None and words._may_be_spelled(begin, begin + len(raw), &work.undone[0], &work.undone[1]):
                return None
            if self._always or self._named(begin, begin + len(raw)):
                if self._paths.full():
                    self._paths = Paths(self._fields)
                paths = self._paths
            if not self._read(&work, begin, begin + len(raw), paths, lines):
                return None
            if not work.hits:
                return raw
            for index in range(FIELD + 1):
                if work.counts[index] and counts is not None:
                    name = self._names[index] if index < FIELD else "field"
                    counts[name] = counts.get(name, 0) + work.counts[index]
            return PyBytes_FromStringAndSize(work.out.bytes, work.out.size)
        finally:
            _free(&work)

    cdef bint _named(self, Place begin, Place end) except -1:
        """`Fields.named_in`."""
        for key in self._keys:
            if has_part(<const char*> begin, end - begin, PyBytes_AS_STRING(<bytes?> key), PyBytes_GET_SIZE(<bytes> key)):
                return True
        return False

    cdef bint _read(self, Work* work, Place at, Place end, Paths paths, bint lines) except -1:
        """Whether this is one JSON text (or one on each line), all of which could be judged. What is hidden is in `work` then."""
        cdef Place begin = at, start, limit, hidden = NULL
        cdef Lanes lanes, here
        cdef int state = WANTS_VALUE, depth = 0, steps = 0, skips = 0, value = 0
        cdef int inside[MOST_DEPTH + 1]  # where the paths are in what is open
        cdef Lanes objects = 0  # bit by bit, what is open: 1 = an object
        cdef bint key, escaped, judged
        cdef unsigned char byte
        cdef object replace = None
        inside[0] = value = paths.start if paths is not None else 0
        while at < end:
            byte = at[0]
            if classes[byte] & SPACE:
                if lines:
                    # Attack: a text over two lines, or two on one: the reader of the lines would see others than were looked at.
                    if byte != c"\n" or state != HAS_VALUE or depth:
                        return False
                    state, value = WANTS_VALUE, inside[0]
                at += 1
            elif byte == c'"':
                if state == HAS_VALUE:
                    return False
                key, escaped, judged = state >= WANTS_KEY, False, True
                at += 1
                start, lanes = at, 0
                at = pass_over(at, end, lanes_of, &lanes)
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
                if at[0] != c'"':
                    if at[0] != c"\\":  # what JSON does not have in a string
                        return False
                    at = _decoded(start, end, &work.said)
                    if at is NULL:
                        return False
                    escaped = True
                if paths is not None:
                    if (escaped or lanes >> 56) and _peculiar(start, at) < 0:
                        return False
                    judged = not skips
                    if key and judged:
                        value = paths.member(inside[depth], _said(work) if escaped else _bytes(start, at))
                        if value == GIVE_UP:
                            return False
                    elif judged and (replace := paths.hides(value)) is not None:
                        judged = False
                        self._hide(work, start - 1, at + 1, replace)
                # Attack: "pass\u0077ord" is the same key.
                elif escaped and key and self._hidden and _said(work) in self._hidden:
                    return False
                if judged and (escaped or self._may_hold(at - start, lanes)):
                    if not (
                        self._spelled(work, start, at, key, True) if escaped
                        else self._string(work, start, at, lanes, key)
                    ):
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
            elif byte == c",":
                if state != HAS_VALUE or depth == 0:
                    return False
                state = WANTS_KEY if objects & 1 else WANTS_VALUE
                value = inside[depth]
                at += 1
            elif byte == c"}" or byte == c"]":
                if depth == 0 or (objects & 1) != (byte == c"}"):
                    return False
                if state != HAS_VALUE and state != (WANTS_KEY_OR_END if byte == c"}" else WANTS_VALUE_OR_END):
                    return False
                at += 1
                if skips == depth:
                    skips = 0
                    self._hide(work, hidden, at, replace)
                objects >>= 1
                depth -= 1
                state = HAS_VALUE
            elif state >= WANTS_KEY:
                return False
            elif byte == c"{" or byte == c"[":
                # Attack: nesting without end. The slow way has its own limit.
                if depth == MOST_DEPTH:
                    return False
                depth += 1
                objects = objects << 1 | (byte == c"{")
                state = WANTS_KEY_OR_END if byte == c"{" else WANTS_VALUE_OR_END
                if value and not skips:
                    if (replace := paths.hides(value)) is not None:
                        skips, hidden = depth, at
                    elif byte == c"[" and (value := paths.element(value)) == GIVE_UP:
                        return False
                inside[depth] = value
                at += 1
            else:
                start, judged = at, not skips
                if value and judged and (replace := paths.hides(value)) is not None:
                    judged = False
                at = _word(at, end) if byte >= c"a" else self._number(work, at, end, judged)
                if at is NULL:
                    return False
                if not judged and not skips:
                    self._hide(work, start, at, replace)
                state = HAS_VALUE
        if depth or not (state == HAS_VALUE or (lines and at > begin and state == WANTS_VALUE)):
            return False
        return _add(&work.out, work.copied, end - work.copied) == 0 if work.hits else True

    cdef Place _number(self, Work* work, Place at, Place end, bint judge) except? NULL:
        """The end of the number at this place, NULL if it is none. What is a value for sure is replaced."""
        cdef Number number
        cdef Place after = _read_number(at, end, &number)
        if after is NULL or not judge:
            return after
        if number.exponent:
            # Attack: 4.111111111111111e15 is a card to whoever reads the number.
            if _is_short(&number):
                return after
        elif self._may_be_card(number.digits, number.digits + number.whole):
            digits = _bytes(number.digits, number.digits + number.whole)
            self._put(work, at, after, b'"' + <bytes?> (self._labels[self._card] or self._replaces[self._card](digits)) + b'"')
            _count(work, self._card)
            return after
        # A fraction that is no longer than a double is written is no card (credit_card.py).
        elif number.parts < 12 or number.whole + number.parts <= 18:
            return after
        found = self._rules.number(_bytes(at, after))
        if found is not None:
            self._put(work, at, after, <bytes?> found[0])
            _count(work, found[1])
        return after

    cdef bint _string(self, Work* work, Place start, Place end, Lanes lanes, bint key) except -1:
        """Judges one string without escapes that may hold something. False when unsure."""
        cdef Py_ssize_t whole = -1 if key else self._whole(start, end - start, lanes & 255)
        cdef int kinds = 0
        cdef Lanes wanted
        if whole >= 0:
            return self._replaced(work, whole, start, end)
        if lanes >> 56:
            kinds = _peculiar(start, end)
            if kinds < 0:
                return False
            if kinds & SPELLED:
                return self._spelled(work, start, end, key, False)
        wanted = self._wanted(start, end, lanes, kinds)
        if not wanted:
            return True
        if wanted == self._mail_alone:
            return self._mailed(work, start, end, key)
        hits = self._spans(_bytes(start, end), _members(wanted))
        return not (key and hits) and self._all_replaced(work, start, end, hits)

    cdef bint _mailed(self, Work* work, Place at, Place end, bint key) except -1:
        """The same where nothing but addresses may be in it."""
        cdef Place first, last
        while _find_address(at, end, &first, &last):
            if key:
                return False
            self._replaced(work, self._mail, first, last)
            at = last
        return True

    cdef bint _spelled(self, Work* work, Place start, Place end, bint key, bint escaped) except -1:
        """The same for a string in which characters stand in other spellings: it is judged as it is read, and as those read it who
        undo more (`Rules.find`)."""
        cdef Place text = <Place> work.said.bytes if escaped else start
        cdef Place last = text + work.said.size if escaped else end
        cdef Lanes lanes, wanted
        cdef int layer = 0, kinds
        cdef bint more
        while True:
            if last - text > LARGE:
                _give_way()
            lanes, kinds = _counted(text, last), 0
            if lanes >> 56:
                kinds = _peculiar(text, last)
                if kinds < 0:
                    return False
            # Attack: \u0040 for @, %34111… for 4111…, and these in one another.
            wanted = self._wanted(text, last, lanes, kinds) if self._may_hold(last - text, lanes) else 0
            more = kinds & SPELLED or memchr(text, c"\\", last - text) is not NULL
            if wanted:
                break
            if layer == LAYERS or not more:
                return True
            if not _undone(text, last, &work.undone[layer & 1]):
                return True
            text = <Place> work.undone[layer & 1].bytes
            last = text + work.undone[layer & 1].size
            layer += 1
        content = _said(work) if escaped else _bytes(start, end)
        if layer or more:
            hits = self._rules.find(content)
        elif wanted == self._mail_alone:
            hits = _addresses(text, last, self._mail)
        else:
            hits = self._spans(content, _members(wanted))
        if not hits:
            return True
        if key:
            return False
        if not escaped:
            return self._all_replaced(work, start, end, hits)
        return self._rewritten(work, start, end, content, hits)

    cdef bint _rewritten(self, Work* work, Place start, Place end, bytes content, list hits) except -1:
        """A string with escapes that has hits is written anew (`structured.leaf_edits`)."""
        cdef Place text = <Place> PyBytes_AS_STRING(content), at = text, last = text + len(content), first, after
        cdef bytes new
        self._put(work, start, end, b"")
        for hit in hits:
            first, after = text + <Py_ssize_t> hit[0], text + <Py_ssize_t> hit[1]
            if not at <= first <= after <= last:
                raise IndexError
            new = self._labels[hit[2]] or self._replaces[hit[2]](_bytes(first, after))
            _add_encoded(&work.out, at, first)
            _add_encoded(&work.out, <Place> PyBytes_AS_STRING(new), <Place> PyBytes_AS_STRING(new) + len(new))
            _count(work, hit[2])
            at = after
        return _add_encoded(&work.out, at, last) == 0

    cdef bint _all_replaced(self, Work* work, Place start, Place end, list hits) except -1:
        cdef Py_ssize_t first, last
        for hit in hits:
            first, last = hit[0], hit[1]
            if not 0 <= first <= last <= end - start or start + first < work.copied:
                raise IndexError
            self._replaced(work, hit[2], start + first, start + last)
        return True

    cdef bint _replaced(self, Work* work, Py_ssize_t index, Place start, Place end) except -1:
        self._put(work, start, end, <bytes?> (self._labels[index] or self._replaces[index](_bytes(start, end))))
        _count(work, index)
        return True

    cdef int _hide(self, Work* work, Place start, Place end, object replace) except -1:
        """The whole value of a field (`structured.hide`)."""
        _count(work, FIELD)
        return self._put(work, start, end, b'"' + <bytes?> replace(_bytes(start, end)) + b'"')

    cdef int _put(self, Work* work, Place start, Place end, bytes new) except -1:
        _add(&work.out, work.copied, start - work.copied)
        _add(&work.out, PyBytes_AS_STRING(new), len(new))
        work.copied = end
        return 0


include "_reply.pxi"


def addresses(bytes text not None):
    """`_addresses`, for tests."""
    cdef Place at = <Place> PyBytes_AS_STRING(text)
    return _addresses(at, at + len(text), 0)


def is_card(bytes text not None):
    """`_is_card` of some digits, for tests."""
    cdef Place at = <Place> PyBytes_AS_STRING(text)
    return 12 <= len(text) <= 19 and _is_card(at, at + len(text))


def decoded(bytes token not None):
    """What a JSON string says (`tokens.decoded`), None for what is none; for tests."""
    cdef Work work
    cdef Place begin = <Place> PyBytes_AS_STRING(token), end = begin + len(token), last
    _begin(&work, begin)
    try:
        if begin == end or begin[0] != c'"':
            return None
        last = _decoded(begin + 1, end, &work.said)
        if last is NULL or end - last != 1 or _peculiar(begin, end) < 0:
            return None
        return _said(&work)
    finally:
        _free(&work)


def undone(bytes text not None):
    """The text with its spellings undone once (`spelling.View`), None where there are none; for tests."""
    cdef Work work
    cdef Place begin = <Place> PyBytes_AS_STRING(text)
    _begin(&work, begin)
    try:
        return _said(&work) if _undone(begin, begin + len(text), &work.said) else None
    finally:
        _free(&work)


def encoded(bytes text not None):
    """`tokens.encoded` without its quotes, for tests."""
    cdef Work work
    cdef Place begin = <Place> PyBytes_AS_STRING(text)
    _begin(&work, begin)
    try:
        _add_encoded(&work.said, begin, begin + len(text))
        return _said(&work)
    finally:
        _free(&work)


def is_in(bytes part not None, bytes text not None):
    """`has_part`, for tests."""
    return has_part(PyBytes_AS_STRING(text), len(text), PyBytes_AS_STRING(part), len(part))


def is_spelled(bytes text not None):
    """`has_spelling`, for tests."""
    return has_spelling(PyBytes_AS_STRING(text), len(text))


def is_utf8(bytes text not None):
    """For tests."""
    cdef Place begin = <Place> PyBytes_AS_STRING(text)
    return _peculiar(begin, begin + len(text)) >= 0
