# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The quick way for flat bodies of plain types: read, typed and held against their schema in one pass.

It refuses (None, False) whatever it is not sure of, and never says what is wrong: escapes, odd numbers, names that the schema
does not declare, whatever fails. strict_json.py, binding.py and the validator judge those. flat.py makes the tables.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcmp

cdef extern from "Python.h":
    double PyOS_string_to_double(const char* text, char** end, object overflow) except? -1.0
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1

ctypedef const unsigned char* Place

cdef enum:
    OTHERS = 0  # kinds of members: as in flat.py
    STRING = 1
    INTEGER = 2
    BOOLEAN = 3
    NUMBER = 4
    LIST = 5
    MOST = 64
    MOST_DIGITS = 15  # exact in a double

cdef struct Member:
    Place name
    Py_ssize_t size
    int kind, item
    long long least, most  # of a length, or of an integer
    double low, high
    bint above, below  # the bounds themselves are outside

cdef struct Cursor:
    Place at, end


cdef class Flat:
    """One flat object schema. `read` takes a body, `fits` the arguments that were read elsewhere."""

    cdef Member _members[2 * MOST]
    cdef int _many, _all
    cdef unsigned long long _required
    cdef tuple _names, _spelled
    cdef list _enums

    def __init__(self, members, required):
        self._many, self._all, self._required, self._enums = len(members), len(members), 0, [None] * (2 * MOST)
        if self._many > MOST:
            raise ValueError("too many members")
        self._names = tuple(member.name for member in members)
        self._spelled = tuple(name.encode() for name in self._names)
        for at, member in enumerate(members):
            self._take(at, member)
            self._members[at].name = <Place> PyBytes_AS_STRING(<bytes?> self._spelled[at])
            self._members[at].size = len(self._spelled[at])
            if member.name in required:
                self._required |= <unsigned long long> 1 << at

    cdef int _take(self, int at, member) except -1:
        cdef Member* mine = &self._members[at]
        mine.kind, mine.least, mine.most = member.kind, member.least, member.most
        mine.low, mine.high, mine.above, mine.below = member.low, member.high, member.above, member.below
        self._enums[at] = member.enum
        mine.item = -1
        if member.item is not None:
            mine.item = self._all
            self._all += 1
            self._take(mine.item, member.item)
        return 0

    def read(self, bytes body not None):
        """The members of the body, in its order; None when unsure."""
        cdef Cursor cursor
        cdef Member* member
        cdef dict found = {}
        cdef unsigned long long seen = 0
        cdef int which = -1
        cursor.at = <Place> PyBytes_AS_STRING(body)
        cursor.end = cursor.at + len(body)
        if not _skip(&cursor, c"{") or cursor.at[0] == c"}":
            return None
        while True:
            which = self._member(&cursor, which)
            # Attack: {"amount": 1, "amount": 9999}: one reader takes the first, another the last (RFC 8259, section 4).
            if which < 0 or seen >> which & 1 or not _skip(&cursor, c":"):
                return None
            seen |= <unsigned long long> 1 << which
            value = self._value(&cursor, which)
            if value is None:
                return None
            found[self._names[which]] = value
            _blank(&cursor)
            if cursor.at >= cursor.end:
                return None
            if cursor.at[0] == c"}":
                break
            if not _skip(&cursor, c","):
                return None
        cursor.at += 1
        _blank(&cursor)
        return found if cursor.at == cursor.end and seen & self._required == self._required else None

    def fits(self, dict args not None):
        """Whether the arguments pass the schema for sure. Others beside its members do not matter."""
        cdef PyObject* value
        cdef int at
        for at in range(self._many):
            value = PyDict_GetItem(args, self._names[at])
            if value is NULL:
                if self._required >> at & 1:
                    return False
            elif not self._holds(at, <object> value):
                return False
        return True

    cdef int _member(self, Cursor* cursor, int before) except -2:
        """Which member's name is next, most often the one after the last; -1 if none is."""
        cdef Place start
        cdef Member* member
        cdef int turn, which = before
        if not _skip(cursor, c'"'):
            return -1
        start = cursor.at
        for turn in range(self._many):
            which = which + 1 if which + 1 < self._many else 0
            member = &self._members[which]
            if cursor.end - start > member.size and start[member.size] == c'"' and memcmp(start, member.name, member.size) == 0:
                cursor.at = start + member.size + 1
                return which
        return -1

    cdef object _value(self, Cursor* cursor, int which):
        """The next value, if it is one of this member's; else None."""
        cdef Member* member = &self._members[which]
        cdef list items
        _blank(cursor)
        if cursor.at >= cursor.end:
            return None
        if member.kind == STRING:
            value = _text(cursor)
        elif member.kind == INTEGER or member.kind == NUMBER:
            value = _number(cursor, member.kind == NUMBER)
        elif member.kind == BOOLEAN:
            value = _truth(cursor)
        elif member.kind == LIST:
            if not _skip(cursor, c"["):
                return None
            items = []
            if cursor.at < cursor.end and cursor.at[0] == c"]":
                cursor.at += 1
                return items if member.least <= 0 else None
            while True:
                item = self._value(cursor, member.item)
                if item is None:
                    return None
                items.append(item)
                _blank(cursor)
                if cursor.at < cursor.end and cursor.at[0] == c"]":
                    break
                if not _skip(cursor, c","):
                    return None
            cursor.at += 1
            return items if member.least <= len(items) <= member.most else None
        else:
            return None
        return value if value is not None and self._holds(which, value) else None

    cdef bint _holds(self, int which, value) except -1:
        """Whether a value is what the schema says of this member."""
        cdef Member* member = &self._members[which]
        cdef int overflow = 0
        cdef long long number
        cdef double exact
        if member.kind == STRING:
            if type(value) is not str or not member.least <= len(<str> value) <= member.most:
                return False
        elif member.kind == INTEGER:
            if type(value) is not int:
                return False
            number = PyLong_AsLongLongAndOverflow(value, &overflow)
            if overflow or not member.least <= number <= member.most:
                return False
        elif member.kind == BOOLEAN:
            return type(value) is bool
        elif member.kind == NUMBER:
            if type(value) is int:
                number = PyLong_AsLongLongAndOverflow(value, &overflow)
                if overflow or not -1_000_000_000_000_000 < number < 1_000_000_000_000_000:
                    return False
                exact = <double> number
            elif type(value) is float:
                exact = value
            else:
                return False
            if not member.low <= exact <= member.high:
                return False
            if (member.above and exact == member.low) or (member.below and exact == member.high):
                return False
        else:
            return False
        enum = self._enums[which]
        return enum is None or value in enum


cdef inline int _blank(Cursor* cursor) noexcept:
    """Past white space."""
    while cursor.at < cursor.end and (
        cursor.at[0] == c" " or cursor.at[0] == c"\n" or cursor.at[0] == c"\t" or cursor.at[0] == c"\r"
    ):
        cursor.at += 1
    return 0


cdef inline bint _skip(Cursor* cursor, unsigned char byte) noexcept:
    """Past this byte and white space around it, if there is something after it. Behind a quote nothing is white space."""
    _blank(cursor)
    if cursor.end - cursor.at < 2 or cursor.at[0] != byte:
        return False
    cursor.at += 1
    if byte != c'"':
        _blank(cursor)
    return cursor.at < cursor.end


cdef object _text(Cursor* cursor):
    """A string without escapes, None if this is none."""
    cdef Place start
    if cursor.at[0] != c'"':
        return None
    cursor.at += 1
    start = cursor.at
    while cursor.at < cursor.end and cursor.at[0] != c'"':
        if cursor.at[0] == c"\\" or cursor.at[0] < 32:
            return None
        cursor.at += 1
    if cursor.at >= cursor.end:
        return None
    cursor.at += 1
    try:
        return PyUnicode_DecodeUTF8(<char*> start, cursor.at - 1 - start, NULL)
    except UnicodeDecodeError:
        return None


cdef object _truth(Cursor* cursor):
    if cursor.end - cursor.at >= 4 and memcmp(cursor.at, b"true", 4) == 0:
        cursor.at += 4
        return True
    if cursor.end - cursor.at >= 5 and memcmp(cursor.at, b"false", 5) == 0:
        cursor.at += 5
        return False
    return None


cdef object _number(Cursor* cursor, bint broken):
    """A number of few digits without an exponent, a fraction only where it may have one; else None."""
    cdef Place start = cursor.at, digits, point
    cdef char* stop = NULL
    cdef long long value = 0
    cdef double exact
    if cursor.at[0] == c"-":
        cursor.at += 1
    digits = cursor.at
    while cursor.at < cursor.end and c"0" <= cursor.at[0] <= c"9" and cursor.at - digits <= MOST_DIGITS:
        value = 10 * value + cursor.at[0] - 48
        cursor.at += 1
    if cursor.at == digits or cursor.at - digits > MOST_DIGITS or cursor.at >= cursor.end:
        return None
    if digits[0] == c"0" and cursor.at - digits > 1:
        return None
    if cursor.at[0] != c".":
        if start != digits and not value:  # -0 is a number of its own for some
            return None
        return _ended(cursor, -value if start != digits else value)
    point = cursor.at
    cursor.at += 1
    while cursor.at < cursor.end and c"0" <= cursor.at[0] <= c"9":
        cursor.at += 1
    if not broken or cursor.at == point + 1 or cursor.at - digits > MOST_DIGITS or cursor.at >= cursor.end:
        return None
    exact = PyOS_string_to_double(<const char*> start, &stop, None)
    return _ended(cursor, exact) if <Place> stop == cursor.at else None


cdef inline object _ended(Cursor* cursor, value):
    """The value, if what follows ends a number."""
    cdef unsigned char byte = cursor.at[0]
    return value if byte == c"," or byte == c"}" or byte == c"]" or byte == c" " or byte == c"\n" or byte == c"\r" else None
