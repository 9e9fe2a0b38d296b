# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of digest.py: SHA-256 of the very library that hashlib uses, without an object for each digest.

Its functions are looked up where hashlib's module has them. Where they are not, or give another digest than hashlib does
(`FOUND`), hashlib is used.
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

cdef extern from *:
    """
    #ifdef __SSE2__
    #include <emmintrin.h>

    static __m128i digits_of(__m128i halves) {
        __m128i letters = _mm_and_si128(_mm_cmpgt_epi8(halves, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));
        return _mm_add_epi8(halves, _mm_add_epi8(letters, _mm_set1_epi8('0')));
    }

    /* Two digits for each of 32 bytes. */
    static void in_digits(char *into, const unsigned char *raw) {
        for (int at = 0; at < 32; at += 16) {
            __m128i both = _mm_loadu_si128((const __m128i *)(raw + at)), low = _mm_set1_epi8(15);
            __m128i first = _mm_and_si128(_mm_srli_epi16(both, 4), low), second = _mm_and_si128(both, low);
            _mm_storeu_si128((__m128i *)(into + 2 * at), digits_of(_mm_unpacklo_epi8(first, second)));
            _mm_storeu_si128((__m128i *)(into + 2 * at + 16), digits_of(_mm_unpackhi_epi8(first, second)));
        }
    }
    #else
    static void in_digits(char *into, const unsigned char *raw) {
        for (int at = 0; at < 32; at++) {
            into[2 * at] = "0123456789abcdef"[raw[at] >> 4];
            into[2 * at + 1] = "0123456789abcdef"[raw[at] & 15];
        }
    }
    #endif
    """
    void in_digits(char* into, const unsigned char* raw)


cdef str told(State* state):
    """``sha256:HEX``; the state is used up."""
    cdef unsigned char raw[32]
    cdef char* into
    if end(raw, state) != 1:
        raise ValueError("no digest")
    text = PyUnicode_New(71, 127)
    into = PyUnicode_1BYTE_DATA(text)
    memcpy(into, b"sha256:", 7)
    in_digits(into + 7, raw)
    return text


cdef int add(State* state, const char* text, Py_ssize_t size) except -1:
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
    if begin is NULL or begin(&state) != 1:
        raise ValueError("no digest")
    add(&state, PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))
    return told(&state)


cdef class Begun:
    """See digest.py."""

    def __init__(self, bytes head not None):
        cdef State state
        if begin is NULL or begin(&state) != 1:
            raise ValueError("no digest")
        add(&state, PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head))
        self._state = state

    cpdef over(self, bytes rest):
        """See digest.py."""
        if rest is None:
            raise TypeError("no bytes")
        return self.over_all(PyBytes_AS_STRING(rest), PyBytes_GET_SIZE(rest))

    cdef str over_all(self, const char* rest, Py_ssize_t size):
        """Of bytes that stay as they are meanwhile."""
        cdef State state
        if begin is NULL:
            raise ValueError("no digest")
        memcpy(&state, &self._state, STATE)
        add(&state, rest, size)
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


cdef bint look_up() except -1:
    """Whether hashlib's library has it."""
    global begin, more, end
    import _hashlib
    cdef bytes file = getattr(_hashlib, "__file__", "").encode()
    cdef void* library = dlopen(PyBytes_AS_STRING(file) if file else NULL, RTLD_LAZY)
    if library is NULL:
        return False
    begin, more, end = <Begin> dlsym(library, "SHA256_Init"), <More> dlsym(library, "SHA256_Update"), <End> dlsym(library, "SHA256_Final")
    if begin is NULL or more is NULL or end is NULL or not stays_inside() or not is_right():
        begin = NULL
    return begin is not NULL


FOUND = look_up()  # else nothing here may be used
