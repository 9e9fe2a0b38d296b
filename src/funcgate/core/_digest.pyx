# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of digest.py: SHA-256 of the very library that hashlib uses, without an object for each digest.

Its functions are looked up where hashlib's module has them. Where they are not, or give another digest than hashlib does,
importing this fails, and hashlib is used.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcpy, memset

import hashlib

cdef extern from "<dlfcn.h>":
    void* dlopen(const char* file, int how)
    void* dlsym(void* library, const char* name)
    int RTLD_LAZY

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 most)
    char* PyUnicode_1BYTE_DATA(object text)

cdef enum:
    STATE = 128  # bytes; SHA256_CTX has 112, and the functions are not used if they write behind these
    ROOM = 256
    LARGE = 4096  # bytes, for which others may run meanwhile

ctypedef int (*Begin)(void* state) noexcept nogil
ctypedef int (*More)(void* state, const void* data, size_t size) noexcept nogil
ctypedef int (*End)(unsigned char* into, void* state) noexcept nogil

cdef Begin begin = NULL
cdef More more = NULL
cdef End end = NULL
cdef unsigned char hexadecimal[512]  # two digits for each byte


cdef str told(State* state):
    """``sha256:HEX``; the state is used up."""
    cdef unsigned char raw[32]
    cdef char* into
    cdef int at
    if end(raw, state) != 1:
        raise ValueError("no digest")
    text = PyUnicode_New(71, 127)
    into = PyUnicode_1BYTE_DATA(text)
    memcpy(into, b"sha256:", 7)
    for at in range(32):
        memcpy(into + 7 + 2 * at, &hexadecimal[2 * raw[at]], 2)
    return text


cdef int add(State* state, bytes data) except -1:
    cdef const char* text = PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef int done
    if size > LARGE:
        with nogil:
            done = more(state, text, size)
    else:
        done = more(state, text, size)
    if done != 1:
        raise ValueError("no digest")
    return 0


def digest_of(bytes content not None):
    """See digest.py."""
    cdef State state
    if begin(&state) != 1:
        raise ValueError("no digest")
    add(&state, content)
    return told(&state)


cdef class Begun:
    """See digest.py."""

    def __init__(self, bytes head not None):
        cdef State state
        if begin(&state) != 1:
            raise ValueError("no digest")
        add(&state, head)
        self._state = state

    cpdef over(self, bytes rest):
        """See digest.py."""
        cdef State state = self._state
        if rest is None:
            raise TypeError("no bytes")
        add(&state, rest)
        return told(&state)


cdef bint stays_inside() noexcept:
    """Whether nothing is written behind a state."""
    cdef State state
    cdef unsigned char* raw = <unsigned char*> &state
    cdef unsigned char digest[64]
    cdef char data[200]
    cdef int at
    memset(data, 7, sizeof(data))
    memset(raw, 0xA5, sizeof(State))
    memset(digest, 0xA5, sizeof(digest))
    if begin(raw) != 1 or more(raw, data, sizeof(data)) != 1 or end(digest, raw) != 1:
        return False
    for at in range(STATE, ROOM):
        if raw[at] != 0xA5:
            return False
    for at in range(32, 64):
        if digest[at] != 0xA5:
            return False
    return True


cdef bint is_right():
    """Whether it gives what hashlib does: for every way in which a text can fill blocks."""
    cdef int size
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 100_000):
        text = bytes([at * 7 & 255 for at in range(size)])
        if digest_of(text) != "sha256:" + hashlib.sha256(text).hexdigest():
            return False
        for cut in (0, 1, 63, 64, 65, size):
            if cut <= size and Begun(text[:cut]).over(text[cut:]) != digest_of(text):
                return False
    return True


cdef int look_up() except -1:
    """Raises `ImportError`."""
    global begin, more, end
    cdef int at
    for at in range(512):
        hexadecimal[at] = b"0123456789abcdef"[at >> 1 & 15 if at & 1 else at >> 5]
    import _hashlib
    cdef bytes file = getattr(_hashlib, "__file__", "").encode()
    cdef void* library = dlopen(PyBytes_AS_STRING(file) if file else NULL, RTLD_LAZY)
    if library is NULL:
        raise ImportError("hashlib's library is not to be had")
    begin, more, end = <Begin> dlsym(library, "SHA256_Init"), <More> dlsym(library, "SHA256_Update"), <End> dlsym(library, "SHA256_Final")
    if begin is NULL or more is NULL or end is NULL or not stays_inside() or not is_right():
        raise ImportError("hashlib's library does not have it")
    return 0


look_up()
