# CRC-32 of a line, by carry-less multiplication where the processor has it, else by zlib. Part of _native.pyx.

from zlib import crc32

cdef extern from *:
    """
    #include <stdint.h>

    #if defined(__x86_64__) && defined(__GNUC__)
    #include <immintrin.h>
    /* x^(512+32), x^(512-32); x^(128+32), x^(128-32); x^64; reflected, modulo the polynomial. x^64 by the polynomial, and that. */
    static uint64_t crc_far[2], crc_near[2], crc_last, crc_by[2];
    #define FOLDS() (__builtin_cpu_supports("pclmul") != 0)
    #define CRC_FOR __attribute__((target("pclmul,sse2"))) static

    CRC_FOR inline __m128i fold(__m128i x, __m128i by, __m128i next) {
        return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x, by, 0), _mm_clmulepi64_si128(x, by, 0x11)), next);
    }

    CRC_FOR inline uint64_t times(uint64_t one, uint64_t other) { /* the lower half */
        return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(
            _mm_cvtsi64_si128((long long)(uint32_t)one), _mm_cvtsi64_si128((long long)other), 0));
    }

    /* The same as zlib's, sixteen bytes at a time: what was read so far is multiplied on to where the next bytes are, without
       carries. For 16 bytes and more. */
    CRC_FOR uint32_t crc_folded(uint32_t crc, const unsigned char *data, Py_ssize_t size) {
    #define AT(place) _mm_loadu_si128((const __m128i *)(data + (place)))
        const __m128i near = _mm_loadu_si128((const __m128i *)crc_near), far = _mm_loadu_si128((const __m128i *)crc_far);
        const Py_ssize_t odd = size & 15;
        unsigned char first[32] = {0}; /* what is over sixteens comes first, behind zeros, which change nothing */
        uint32_t begin;
        uint64_t left;
        __m128i x;
        _mm_storeu_si128((__m128i *)(first + 16 - odd), AT(0));
        _mm_storeu_si128((__m128i *)(first + 16), AT(odd));
        memcpy(&begin, first + 16 - odd, 4);
        begin ^= crc;
        memcpy(first + 16 - odd, &begin, 4);
        x = fold(_mm_loadu_si128((const __m128i *)first), near, _mm_loadu_si128((const __m128i *)(first + 16)));
        data += 16 + odd;
        size -= 16 + odd;
        if (size >= 64) {
            __m128i x1 = AT(16), x2 = AT(32), x3 = AT(48);
            x = fold(x, near, AT(0));
            for (data += 64, size -= 64; size >= 64; data += 64, size -= 64) {
                x = fold(x, far, AT(0));
                x1 = fold(x1, far, AT(16));
                x2 = fold(x2, far, AT(32));
                x3 = fold(x3, far, AT(48));
            }
            x = fold(fold(fold(x, near, x1), near, x2), near, x3);
        }
        for (; size; data += 16, size -= 16) x = fold(x, near, AT(0));
        /* From 128 bits to 96, to 64, to 64 with the crc's own 32 noughts counted in; and the rest by Barrett. */
        x = _mm_xor_si128(_mm_clmulepi64_si128(x, _mm_cvtsi64_si128((long long)crc_last), 0), _mm_slli_si128(_mm_srli_si128(x, 8), 4));
        left = (uint64_t)_mm_cvtsi128_si64(_mm_srli_si128(x, 4)) ^ times((uint64_t)_mm_cvtsi128_si64(x), crc_last);
        left = left >> 32 ^ times(left, crc_last);
        return (uint32_t)((left ^ times(times(left, crc_by[0]), crc_by[1])) >> 32);
    }
    #else
    static uint64_t crc_far[2], crc_near[2], crc_last, crc_by[2];
    #define FOLDS() 0
    static uint32_t crc_folded(uint32_t crc, const unsigned char *data, Py_ssize_t size) { return 0; }
    #endif
    """
    unsigned long long crc_far[2]
    unsigned long long crc_near[2]
    unsigned long long crc_last
    unsigned long long crc_by[2]
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
    global folds, crc_last
    cdef unsigned long long value = 1, whole = 0
    crc_far[0], crc_far[1] = power(512 + 32), power(512 - 32)
    crc_near[0], crc_near[1] = power(128 + 32), power(128 - 32)
    crc_last = power(64)
    for place in range(33):  # of x^64 by the polynomial, reflected
        whole |= (value & 1) << place
        value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    crc_by[0], crc_by[1] = whole, <unsigned long long> 0xEDB88320 << 1 | 1
    folds = FOLDS()
    return 0


begin_crc()


cdef unsigned int crc_of(bytes line_or_none, const char* data, Py_ssize_t size) except? 0:
    if folds and size >= 16:
        return ~crc_folded(0xFFFFFFFF, <const unsigned char*> data, size)
    return crc32(data[:size] if line_or_none is None else line_or_none)
