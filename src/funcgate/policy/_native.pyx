# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The quick way for plain conditions: arguments against constants (language/plain.py), for all rules of one plan.

It refuses (None) whatever has no plain answer: an argument that is absent, not of its type, or long. engine.py judges those.
"""

from sys import intern

from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject, PyObject_RichCompare, PyObject_RichCompareBool, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF

import msgspec

from funcgate.core._native cimport Shared
from funcgate.core.call import Call
from funcgate.core.principal import Principal
from funcgate.policy.language import plain as forms

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1
    Py_ssize_t PyUnicode_Tailmatch(str text, str part, Py_ssize_t start, Py_ssize_t end, int direction) except -1
    int PyUnicode_Contains(str text, str part) except -1

include "../core/_shape.pxi"

cdef Shape CALL = Shape(Call), PRINCIPAL = Shape(Principal)
cdef Py_ssize_t C_FUNCTION = CALL.places["function"], C_PRINCIPAL = CALL.places["principal"], C_ARGS = CALL.places["args"]
cdef Py_ssize_t C_SHARED = CALL.places["shared"]
cdef Py_ssize_t P_SELECTORS = PRINCIPAL.places["selectors"]

cdef enum:
    NO = 0
    YES = 1
    UNSURE = 2
    COMPARE = 0  # forms, as in language/plain.py
    AMONG = 1
    SIZE = 2
    STARTS = 3
    ENDS = 4
    CONTAINS = 5
    HOLDS = 6
    SAME = 7
    EXISTS = 8
    EVERY = 9
    NOT = 10
    ALL = 11
    ANY = 12
    EQUAL = 2  # object.h

cdef Py_ssize_t MOST_ITEMS = forms.MOST_ITEMS
cdef Py_ssize_t MOST_TEXT = forms.MOST_TEXT


cdef class Test:
    """One form."""

    cdef int _form, _operator
    cdef object _field, _value
    cdef type _first, _last
    cdef bint _is_int
    cdef tuple _parts

    def __init__(self, plain):
        self._form, self._operator, self._value = plain.form, plain.operator, plain.value
        self._parts = tuple(Test(part) for part in plain.parts)
        if not COMPARE <= self._form <= ANY or (EXISTS <= self._form <= NOT) != (len(self._parts) == 1) and self._form < ALL:
            raise ValueError("no such form")
        if self._form < NOT:
            field, types = plain.source.field, plain.source.types
            self._field = None if field is None else intern(field)  # as the names of most arguments are
            self._first, self._last = types[0], types[-1]
            self._is_int = self._first is int
            if STARTS <= self._form <= HOLDS and type(self._value) is not str:
                raise ValueError("no text")

    cdef int holds(self, dict args, object item) except -1:
        """`item` is what a loop has come to."""
        cdef PyObject* found
        cdef object value
        cdef int overflow = 0
        if self._form >= NOT:
            return self._together(args, item)
        if self._field is None:
            value = item
        else:
            found = PyDict_GetItemWithError(args, self._field)
            if found is NULL:
                return UNSURE
            value = <object> found
        if type(value) is not self._first and type(value) is not self._last:
            return UNSURE
        if self._is_int:
            PyLong_AsLongLongAndOverflow(value, &overflow)
            if overflow:
                return UNSURE
        if self._form == COMPARE:
            return YES if PyObject_RichCompare(value, self._value, self._operator) is True else NO
        if self._form == AMONG:
            return YES if value in self._value else NO
        if self._form == SIZE:
            return YES if PyObject_RichCompare(len(value), self._value, self._operator) is True else NO
        if type(value) is str:
            return self._text(<str> value)
        return self._list(<list> value, args) if type(value) is list else UNSURE

    cdef int _together(self, dict args, object item) except -1:
        cdef int found
        cdef Test part
        for part in self._parts:
            found = part.holds(args, item)
            if self._form == NOT:
                return found if found == UNSURE else YES - found
            # What fails may be absorbed by another part: that is for others to say.
            if found == UNSURE or found == (NO if self._form == ALL else YES):
                return found
        return YES if self._form == ALL else NO

    cdef int _text(self, str text) except -1:
        if len(text) > MOST_TEXT:
            return UNSURE
        if self._form == CONTAINS:
            return PyUnicode_Contains(text, <str> self._value)
        if self._form == STARTS or self._form == ENDS:
            return PyUnicode_Tailmatch(text, <str> self._value, 0, len(text), -1 if self._form == STARTS else 1)
        return UNSURE

    cdef int _list(self, list items, dict args) except -1:
        cdef int found
        cdef Py_ssize_t at = 0
        cdef Test part
        # Attack: a list of millions. The steps that a plan may take at most were counted for lists up to this length.
        if len(items) > MOST_ITEMS:
            return UNSURE
        if self._form == EXISTS or self._form == EVERY:
            part = <Test> self._parts[0]
            for item in items:
                found = part.holds(args, item)
                if found == UNSURE or found == (YES if self._form == EXISTS else NO):
                    return found
            return NO if self._form == EXISTS else YES
        if self._form == SAME and len(items) != len(<tuple> self._value):
            return NO if self._operator == EQUAL else YES
        if self._form != SAME and self._form != HOLDS:
            return UNSURE
        for item in items:
            if type(item) is not str or len(<str> item) > MOST_TEXT:
                return UNSURE
            if self._form == HOLDS:
                if PyObject_RichCompareBool(item, self._value, EQUAL):
                    return YES
            elif not PyObject_RichCompareBool(item, (<tuple> self._value)[at], EQUAL):
                return NO if self._operator == EQUAL else YES
            at += 1
        return YES if self._form == SAME and self._operator == EQUAL else NO


cdef class Judge:
    """One plan. `decide` takes the arguments and gives the decision."""

    cdef tuple _denies, _denied, _asks, _allows
    cdef dict _known
    cdef object _make, _reads

    def __init__(self, denies, denied, asks, allows, make, reads=None):
        """Plain forms; `denied` are the decisions of `denies`; `make` makes one of which asks and which allows hold, as bits.
        `reads` are the arguments that all the forms together read, None where nobody has looked."""
        self._denies = tuple(Test(plain) for plain in denies)
        self._asks = tuple(Test(plain) for plain in asks)
        self._allows = tuple(Test(plain) for plain in allows)
        self._denied, self._make, self._known, self._reads = tuple(denied), make, {}, reads
        if len(self._asks) + len(self._allows) > 40:
            raise ValueError("too many rules")

    def decide(self, args):
        """The decision; None when unsure."""
        return self._decided(<dict> args) if type(args) is dict else None

    cdef object _of(self, call):
        """As `decide`. What many calls share is judged once (`PolicySet._decide`)."""
        cdef Shared shared
        args, given = get(call, C_ARGS), get(call, C_SHARED)
        if type(args) is not dict:
            return None
        if type(given) is not Shared:
            return self._decided(<dict> args)
        shared = <Shared> given
        known = shared.recall(self)
        if known is not None:
            return known
        known = self._decided(<dict> args)
        # Attack: be let through for the arguments of an earlier call. All that is read here is shared: nobody changes it, and a
        # later call's arguments hold it as it is. What reads more, or is unsure, is judged each time; another version of the
        # policies has judges of its own.
        if known is not None and self._reads is not None and self._reads <= shared.args.keys():
            shared.remember(self, known)
        return known

    cdef object _decided(self, dict args):
        cdef Test test
        cdef int found, at = 0
        cdef unsigned long long held = 0
        for test in self._denies:
            found = test.holds(args, None)
            if found == UNSURE:
                return None
            if found == YES:
                return self._denied[at]
            at += 1
        at = 0
        for tests in (self._asks, self._allows):
            for test in <tuple> tests:
                found = test.holds(args, None)
                if found == UNSURE:
                    return None
                if found == YES:
                    held |= <unsigned long long> 1 << at
                at += 1
        known = self._known.get(held)
        if known is None:
            known = self._make(held)
            if len(self._known) < 64:
                self._known[held] = known
        return known


cdef class Decider:
    """`PolicySet.decide` where a plan is known and plain. `slow` is for all else, and for whatever goes wrong."""

    cdef dict _entries, _last
    cdef object _slow, _selectors  # the last ones; held, so that no others have their place
    cdef str _function
    cdef Judge _judge

    def __init__(self, entries, slow):
        """`entries` by function."""
        self._entries, self._slow, self._last = dict(entries), slow, {}

    def decide(self, call):
        """See `engine.PolicySet`."""
        try:
            known = self._known(call)
        except Exception:
            # Attack: arguments that make the judge stumble, in the hope that nobody says no.
            known = None
        return self._slow(call) if known is None else known

    cdef object _known(self, call):
        cdef PyObject* found
        cdef Judge judge
        if type(call) is not CALL.of or type(get(call, C_PRINCIPAL)) is not PRINCIPAL.of:
            return None
        function, selectors = get(call, C_FUNCTION), get(get(call, C_PRINCIPAL), P_SELECTORS)
        if selectors is self._selectors and type(function) is str and <str> function == self._function:
            return self._judge._of(call)
        found = PyDict_GetItemWithError(self._last, function)
        # The same set of selectors, and nobody changes one: the same plan. It is held, so that no other has its place.
        if found is NULL or (<tuple> <object> found)[0] is not selectors:
            entry = self._entries.get(function)
            if entry is None or type(selectors) is not frozenset:
                return None
            quick = entry.quick.get(entry.selectors & selectors)
            if quick is None:
                return None
            judge = <Judge?> quick.__self__
            self._last[function] = selectors, judge  # as many as there are functions
        else:
            judge = <Judge?> (<tuple> <object> found)[1]
        if type(function) is str:
            self._function, self._selectors, self._judge = function, selectors, judge
        return judge._of(call)
