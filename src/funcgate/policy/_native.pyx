# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The quick way for plain conditions: arguments against constants, with && and || (language/plain.py), for all rules of one plan.

It refuses (None) whatever has no plain answer: an argument that is absent, or not of its type. engine.py judges those.
"""

from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject, PyObject_RichCompare

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1

cdef enum:
    NO = 0
    YES = 1
    UNSURE = 2
    COMPARE = 0  # forms, as in language/plain.py
    AMONG = 1
    ALL = 2
    ANY = 3


cdef class Test:
    """One form."""

    cdef int _form, _operator
    cdef object _field, _value
    cdef type _first, _last
    cdef bint _is_int
    cdef tuple _parts

    def __init__(self, plain):
        self._form = plain.form
        self._parts = tuple(Test(part) for part in plain.parts)
        if self._form == COMPARE or self._form == AMONG:
            self._field, self._value, self._operator = plain.field, plain.value, plain.operator
            self._first, self._last = plain.types[0], plain.types[-1]
            self._is_int = self._first is int

    cdef int holds(self, dict args) except -1:
        cdef PyObject* value
        cdef int overflow = 0, found
        cdef Test part
        if self._form >= ALL:
            for part in self._parts:
                found = part.holds(args)
                # What fails may be absorbed by another part: that is for others to say.
                if found == UNSURE or found == (NO if self._form == ALL else YES):
                    return found
            return YES if self._form == ALL else NO
        value = PyDict_GetItem(args, self._field)
        if value is NULL:
            return UNSURE
        if type(<object> value) is not self._first and type(<object> value) is not self._last:
            return UNSURE
        if self._is_int:
            PyLong_AsLongLongAndOverflow(<object> value, &overflow)
            if overflow:
                return UNSURE
        if self._form == AMONG:
            return YES if <object> value in self._value else NO
        return YES if PyObject_RichCompare(<object> value, self._value, self._operator) is True else NO


cdef class Judge:
    """One plan. `decide` takes the arguments and gives the decision."""

    cdef tuple _denies, _denied, _asks, _allows
    cdef dict _known
    cdef object _make

    def __init__(self, denies, denied, asks, allows, make):
        """Plain forms; `denied` are the decisions of `denies`; `make` makes one of which asks and which allows hold, as bits."""
        self._denies = tuple(Test(plain) for plain in denies)
        self._asks = tuple(Test(plain) for plain in asks)
        self._allows = tuple(Test(plain) for plain in allows)
        self._denied, self._make, self._known = tuple(denied), make, {}
        if len(self._asks) + len(self._allows) > 40:
            raise ValueError("too many rules")

    def decide(self, args):
        """The decision; None when unsure."""
        return self._decided(<dict> args) if type(args) is dict else None

    cdef object _decided(self, dict args):
        cdef Test test
        cdef int found, at = 0
        cdef unsigned long long held = 0
        for test in self._denies:
            found = test.holds(args)
            if found == UNSURE:
                return None
            if found == YES:
                return self._denied[at]
            at += 1
        at = 0
        for tests in (self._asks, self._allows):
            for test in <tuple> tests:
                found = test.holds(args)
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
