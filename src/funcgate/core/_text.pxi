# Text and numbers as msgspec writes them in JSON, where there is room. Included by others, which cimport memcpy.

cdef extern from *:
    """
    #include <stdint.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #define LOADED(at) _mm_loadu_si128((const __m128i *)(at))
    #define STORED(at, x) _mm_storeu_si128((__m128i *)(at), x)
    #define BELOW(x) _mm_cmplt_epi8(x, _mm_set1_epi8(0x20)) /* control characters, and what is not ASCII */
    #define SAME(x, one) _mm_cmpeq_epi8(x, _mm_set1_epi8(one))
    #define FOUND(x) _mm_or_si128(_mm_or_si128(SAME(x, 0x22), SAME(x, 0x5c)), BELOW(x))
    #endif

    /* Copies ASCII text; 0 if a character of it has to be escaped in JSON: a control character, a quote, a backslash. */
    static int copy_plain(char *to, const char *from, Py_ssize_t size) {
        const uint64_t ones = 0x0101010101010101u;
        uint64_t odd = 0, x;
        Py_ssize_t at = 0;
    #define LOOK(x) ((x) - 0x20 * ones) | (((x) ^ 0x22 * ones) - ones) | (((x) ^ 0x5c * ones) - ones)
    #ifdef __SSE2__
        if (size >= 16) {
            __m128i found = _mm_setzero_si128(), y;
            for (; at < size - 16; at += 16) {
                y = LOADED(from + at);
                STORED(to + at, y);
                found = _mm_or_si128(found, FOUND(y));
            }
            y = LOADED(from + size - 16);
            STORED(to + size - 16, y);
            return !_mm_movemask_epi8(_mm_or_si128(found, FOUND(y)));
        }
    #endif
        if (size >= 8) {
            for (; at < size - 8; at += 8) {
                memcpy(&x, from + at, 8);
                memcpy(to + at, &x, 8);
                odd |= LOOK(x);
            }
            memcpy(&x, from + size - 8, 8);
            memcpy(to + size - 8, &x, 8);
            odd |= LOOK(x);
        } else {
            for (x = 0x2020202020202020u; at < size; at++) {
                to[at] = from[at];
                x = x << 8 | (unsigned char)from[at];
            }
            odd = LOOK(x);
        }
        return !(odd & 0x80 * ones);
    }
    """
    bint copy_plain(char* to, const char* text, Py_ssize_t size) nogil

cdef extern from "Python.h":
    bint PyUnicode_IS_READY(PyObject* text)
    bint PyUnicode_IS_ASCII(PyObject* text)
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject* text)
    void* PyUnicode_DATA(PyObject* text)


# What follows writes at `at`, before `end`: the place after it, or NULL for what is left to msgspec. `text` is borrowed.

cdef inline char* put_text(char* at, char* end, PyObject* text) noexcept:
    cdef Py_ssize_t size
    if not PyUnicode_IS_READY(text) or not PyUnicode_IS_ASCII(text):
        return NULL
    size = PyUnicode_GET_LENGTH(text)
    if end - at < size + 2:
        return NULL
    at[0] = c'"'
    if not copy_plain(at + 1, <const char*> PyUnicode_DATA(text), size):
        return NULL
    at[size + 1] = c'"'
    return at + size + 2


cdef char* put_number(char* at, char* end, long long number) noexcept:
    cdef char digits[20]
    cdef int count = 0
    cdef unsigned long long left = number
    if end - at < 21:
        return NULL
    if 0 <= number < 100:  # as most are
        at[0] = c"0" + number // 10
        at[number >= 10] = c"0" + number % 10
        return at + 1 + (number >= 10)
    if number < 0:
        at[0] = c"-"
        at += 1
        left = 0 - left
    while True:
        digits[count] = c"0" + left % 10
        count += 1
        left //= 10
        if not left:
            break
    while count:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at
