# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of template.py: a text with holes for its numbers. It decides nothing that `template_of` does not."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

cdef enum:
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


def template_of(str sql not None):
    """`template.template_of`."""
    if not sql.isascii():
        return None
    cdef bytes text = sql.encode("ascii")
    cdef const unsigned char* raw = <const unsigned char*> PyBytes_AS_STRING(text)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text), at = 0, start, holes = 0, to = 0
    cdef bytes found = PyBytes_FromStringAndSize(NULL, size)
    cdef char* into = PyBytes_AS_STRING(found)
    cdef unsigned char byte
    while at < size:
        byte = raw[at]
        if classes[byte] & UNSURE:
            return None
        # A comment, and what is in it, is no number.
        if at + 1 < size and (byte == c"-" and raw[at + 1] == c"-" or byte == c"/" and raw[at + 1] == c"*"):
            return None
        if not classes[byte] & DIGIT or at and classes[raw[at - 1]] & WORD:
            into[to] = byte
            to += 1
            at += 1
            continue
        start = at
        while at < size and classes[raw[at]] & DIGIT:
            at += 1
        if at - start <= MOST_DIGITS and (at == size or not classes[raw[at]] & WORD):
            into[to] = 0
            to += 1
            holes += 1
        else:
            while start < at:
                into[to] = raw[start]
                to += 1
                start += 1
    return found[:to].decode("ascii") if holes else None
