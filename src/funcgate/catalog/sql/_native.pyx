# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of template.py, and of what catalog.py recalls. It decides nothing that these do not."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    LONGEST = 8192
    MOST_DIGITS = 9
    UNSURE = 1
    DIGIT = 2
    WORD = 4  # letters, digits, _ and the full stop: beside a number they may be a part of it

cdef unsigned char classes[256]


cdef void _make_table() noexcept:
    cdef int at
    cdef unsigned char byte
    for at in range(256):
        classes[at] = UNSURE if at == 0 or at > 0x7F else 0
    for byte in b"'\"$\\":
        classes[byte] |= UNSURE
    for byte in b"0123456789":
        classes[byte] |= DIGIT | WORD
    for byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.":
        classes[byte] |= WORD


_make_table()


cdef Py_ssize_t hollowed(const unsigned char* raw, Py_ssize_t size, char* into) noexcept:
    """The text of ASCII with holes for its numbers, which is never longer: how long. 0 when there are none, or nobody can be sure."""
    cdef Py_ssize_t at = 0, start = 0, to = 0, holes = 0, first
    cdef unsigned char kind, before = 0
    while at < size:
        kind = classes[raw[at]]
        if kind & UNSURE:
            return 0
        # A comment, and what is in it, is no number.
        if raw[at] == c"-" and at + 1 < size and raw[at + 1] == c"-" or raw[at] == c"/" and at + 1 < size and raw[at + 1] == c"*":
            return 0
        if not kind & DIGIT or before & WORD:
            before = kind
            at += 1
            continue
        first = at
        while at < size and classes[raw[at]] & DIGIT:
            at += 1
        before = WORD
        if at - first <= MOST_DIGITS and (at == size or not classes[raw[at]] & WORD):
            memcpy(into + to, raw + start, first - start)
            to += first - start
            into[to] = 0
            to += 1
            holes += 1
            start = at
    memcpy(into + to, raw + start, size - start)
    return to + size - start if holes else 0


def template_of(str sql not None):
    """`template.template_of`."""
    cdef Py_ssize_t size, found
    cdef const char* raw
    cdef bytes into
    if not sql.isascii():
        return None
    raw = PyUnicode_AsUTF8AndSize(sql, &size)
    into = PyBytes_FromStringAndSize(NULL, size)
    found = hollowed(<const unsigned char*> raw, size, PyBytes_AS_STRING(into))
    return into[:found].decode("ascii") if found else None


cdef class Recall:
    """`SqlCatalog.recall`: `known` are the statements of texts, `templates` those of templates (None: no text is looked up there),
    both in the order of their last use. No text longer than `longest` is kept."""

    cdef object _known
    cdef object _templates
    cdef Py_ssize_t _longest
    cdef bytes _template  # the last one, and what it stands for
    cdef object _stands_for

    def __init__(self, known not None, templates, Py_ssize_t longest):
        self._known, self._templates, self._longest = known, templates, min(longest, LONGEST)

    def of(self, str sql not None):
        """See `SqlCatalog.recall`."""
        cdef char into[LONGEST]
        cdef Py_ssize_t size, found = 0
        cdef const char* raw
        if self._templates is not None and sql.isascii():
            raw = PyUnicode_AsUTF8AndSize(sql, &size)
            if size <= self._longest:
                found = hollowed(<const unsigned char*> raw, size, into)
            if found and self._template is not None and PyBytes_GET_SIZE(self._template) == found:
                if memcmp(into, PyBytes_AS_STRING(self._template), found) == 0:
                    return self._stands_for
        known = self._known.get(sql)
        if known is not None:
            self._known.move_to_end(sql)
            return known
        if not found:
            return None
        template = PyUnicode_DecodeASCII(into, found, NULL)
        known = self._templates.get(template)
        if known is not None:
            self._templates.move_to_end(template)
            self._template, self._stands_for = PyBytes_FromStringAndSize(into, found), known
        return known
