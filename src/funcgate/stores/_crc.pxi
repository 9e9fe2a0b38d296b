# CRC-32 of a line, by carry-less multiplication where the processor has it, else by zlib. Part of _native.pyx.

from zlib import crc32

cdef extern from *:
    """
    #include <stdint.h>

    static uint32_t crc_table[256];

    /* CRC-32 of what is left, byte by byte; `crc` is inverted. */
    static uint32_t crc_bytes(uint32_t crc, const unsigned char *data, Py_ssize_t size) {
        while (size--) crc = crc >> 8 ^ crc_table[(crc ^ *data++) & 255];
        return crc;
    }
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <immintrin.h>
    static uint64_t crc_far[2], crc_near[2]; /* x^(512+32), x^(512-32); x^(128+32), x^(128-32); reflected, modulo the polynomial */
    #define FOLDS() (__builtin_cpu_supports("pclmul") != 0)

    __attribute__((target("pclmul,sse2"))) static inline __m128i fold(__m128i x, __m128i by, __m128i next) {
        return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x, by, 0), _mm_clmulepi64_si128(x, by, 0x11)), next);
    }

    /* The same, sixteen bytes at a time: what was read so far is multiplied on to where the next bytes are, without carries. */
    __attribute__((target("pclmul,sse2"))) static uint32_t crc_folded(uint32_t crc, const unsigned char *data, Py_ssize_t size) {
    #define AT(place) _mm_loadu_si128((const __m128i *)(data + (place)))
        const __m128i near = _mm_loadu_si128((const __m128i *)crc_near), far = _mm_loadu_si128((const __m128i *)crc_far);
        unsigned char left[16];
        __m128i x = _mm_xor_si128(AT(0), _mm_cvtsi32_si128((int)crc));
        if (size >= 128) {
            __m128i x1 = AT(16), x2 = AT(32), x3 = AT(48);
            for (data += 64, size -= 64; size >= 64; data += 64, size -= 64) {
                x = fold(x, far, AT(0));
                x1 = fold(x1, far, AT(16));
                x2 = fold(x2, far, AT(32));
                x3 = fold(x3, far, AT(48));
            }
            x = fold(fold(fold(x, near, x1), near, x2), near, x3);
        } else {
            data += 16;
            size -= 16;
        }
        for (; size >= 16; data += 16, size -= 16) x = fold(x, near, AT(0));
        _mm_storeu_si128((__m128i *)left, x);
        return crc_bytes(crc_bytes(0, left, 16), data, size);
    }
    #else
    static uint64_t crc_far[2], crc_near[2];
    #define FOLDS() 0
    static uint32_t crc_folded(uint32_t crc, const unsigned char *data, Py_ssize_t size) { return crc_bytes(crc, data, size); }
    #endif
    """
    unsigned int crc_table[256]
    unsigned long long crc_far[2]
    unsigned long long crc_near[2]
    bint FOLDS()
    unsigned int crc_folded(unsigned int crc, const unsigned char* data, Py_ssize_t size) nogil

cdef bint folds


cdef unsigned long long power(int bits):
    """x^bits modulo the polynomial of CRC-32, reflected, one place to the left, as the fold wants it."""
    cdef unsigned int value = 0x80000000  # x^0
    for _ in range(bits):
        value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return <unsigned long long> value << 1


cdef int begin_crc() except -1:
    global folds
    cdef unsigned int value
    for number in range(256):
        value = number
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        crc_table[number] = value
    crc_far[0], crc_far[1] = power(512 + 32), power(512 - 32)
    crc_near[0], crc_near[1] = power(128 + 32), power(128 - 32)
    folds = FOLDS()
    return 0


begin_crc()


cdef unsigned int crc_of(bytes line_or_none, const char* data, Py_ssize_t size) except? 0:
    if folds and size >= 16:
        return ~crc_folded(0xFFFFFFFF, <const unsigned char*> data, size)
    return crc32(data[:size] if line_or_none is None else line_or_none)
