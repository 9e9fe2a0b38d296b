# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of merkle.py: hashes of leaves, and of the nodes above them, by the processor's own instructions for SHA-256.

Where it has none (`HASHES` is false) merkle.py does it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from hashlib import sha256

include "../_line.pxi"

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__x86_64__) && defined(__GNUC__)
    #include <cpuid.h>
    #include <immintrin.h>

    static int can_hash(void) {
        unsigned int a, b, c, d;
        if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 9) || !(c & 1u << 19)) return 0;  /* SSSE3, SSE4.1 */
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29);  /* SHA */
    }

    static const uint32_t sha_k[64] __attribute__((aligned(16))) = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

    typedef struct { uint32_t word[8]; } Sha;

    /* So many blocks of 64 bytes. The instructions want the state as two halves, the words A B E F and C D G H. */
    __attribute__((target("sha,sse4.1,ssse3"))) static void sha_blocks(Sha *sha, const unsigned char *data, size_t blocks) {
        const __m128i turn = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
        __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)sha->word), 0xb1);
        __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(sha->word + 4)), 0x1b);
        __m128i abef = _mm_alignr_epi8(abcd, efgh, 8), cdgh = _mm_blend_epi16(efgh, abcd, 0xf0);
        while (blocks--) {
            __m128i w[4], add, first = abef, second = cdgh;
            int i;
            for (i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), turn);
    #define ROUNDS(i, x) \\
            add = _mm_add_epi32(x, _mm_load_si128((const __m128i *)(sha_k + 4 * (i)))); \\
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, add); \\
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(add, 0x0e))
    #define NEXT(a, b, c, d) \\
            a = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4)), d)
            ROUNDS(0, w[0]); ROUNDS(1, w[1]); ROUNDS(2, w[2]); ROUNDS(3, w[3]);
            for (i = 4; i < 16; i += 4) {
                NEXT(w[0], w[1], w[2], w[3]); ROUNDS(i, w[0]);
                NEXT(w[1], w[2], w[3], w[0]); ROUNDS(i + 1, w[1]);
                NEXT(w[2], w[3], w[0], w[1]); ROUNDS(i + 2, w[2]);
                NEXT(w[3], w[0], w[1], w[2]); ROUNDS(i + 3, w[3]);
            }
            abef = _mm_add_epi32(abef, first);
            cdgh = _mm_add_epi32(cdgh, second);
            data += 64;
        }
        abcd = _mm_shuffle_epi32(abef, 0x1b);
        efgh = _mm_shuffle_epi32(cdgh, 0xb1);
        _mm_storeu_si128((__m128i *)sha->word, _mm_blend_epi16(abcd, efgh, 0xf0));
        _mm_storeu_si128((__m128i *)(sha->word + 4), _mm_alignr_epi8(efgh, abcd, 8));
    }
    #else
    typedef struct { uint32_t word[8]; } Sha;
    static int can_hash(void) { return 0; }
    static void sha_blocks(Sha *sha, const unsigned char *data, size_t blocks) { (void)sha; (void)data; (void)blocks; }
    #endif

    /* SHA-256 of one byte and what follows it: RFC 9162 begins a leaf with 0 and a node with 1. */
    static void hash_behind(unsigned char first, const unsigned char *data, size_t size, unsigned char *digest) {
        Sha sha = {{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
        unsigned char last[128];
        uint64_t bits = ((uint64_t)size + 1) * 8;
        size_t left, padded, i;
        last[0] = first;
        if (size >= 63) {
            memcpy(last + 1, data, 63);
            sha_blocks(&sha, last, 1);
            data += 63;
            size -= 63;
            sha_blocks(&sha, data, size / 64);
            data += size & ~(size_t)63;
            left = size & 63;
            memcpy(last, data, left);
        } else {
            memcpy(last + 1, data, size);
            left = size + 1;
        }
        last[left++] = 0x80;
        padded = left <= 56 ? 64 : 128;
        memset(last + left, 0, padded - left);
        for (i = 0; i < 8; i++) last[padded - 1 - i] = (unsigned char)(bits >> 8 * i);
        sha_blocks(&sha, last, padded / 64);
        for (i = 0; i < 32; i++) digest[i] = (unsigned char)(sha.word[i / 4] >> (24 - 8 * (i & 3)));
    }
    """
    bint can_hash()
    void hash_behind(unsigned char first, const unsigned char* data, size_t size, unsigned char* digest) nogil


def leaf_hashes(lines not None):
    """The hashes of these lines."""
    cdef bytes line, made
    cdef list found = []
    for line in lines:
        if line is None:
            raise TypeError("None is no line")
        made = PyBytes_FromStringAndSize(NULL, 32)
        hash_behind(0, <const unsigned char*> PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line), <unsigned char*> PyBytes_AS_STRING(made))
        found.append(made)
    return found


def hashes_of(lines not None, long long first):
    """The hashes of lines of the journal that are numbered from `first` on, without a gap; None if these are not."""
    cdef bytes raw, made
    cdef list found = []
    for line in lines:
        if got(line, seq_at, "seq") != first:
            return None
        first += 1
        raw = got(line, raw_at, "line")
        if raw is None:
            raise TypeError("None is no line")
        made = PyBytes_FromStringAndSize(NULL, 32)
        hash_behind(0, <const unsigned char*> PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), <unsigned char*> PyBytes_AS_STRING(made))
        found.append(made)
    return found


def root_of(hashes not None):
    """The root over leaf hashes, at least one."""
    cdef Py_ssize_t count = len(hashes), at = 0, left
    cdef bytes one
    cdef unsigned char digest[32]
    cdef unsigned char* level
    if count < 1:
        raise ValueError("no leaves")
    level = <unsigned char*> malloc(32 * count)
    if level is NULL:
        raise MemoryError
    try:
        for one in hashes:
            if one is None or PyBytes_GET_SIZE(one) != 32 or at >= count:
                raise ValueError("no hash of a leaf")
            memcpy(level + 32 * at, PyBytes_AS_STRING(one), 32)
            at += 1
        if at != count:
            raise ValueError("fewer leaves than were told")
        while count > 1:
            left = count // 2
            for at in range(left):
                hash_behind(1, level + 64 * at, 64, digest)
                memcpy(level + 32 * at, digest, 32)
            if count & 1:
                memcpy(level + 32 * left, level + 32 * (count - 1), 32)
            count = left + (count & 1)
        return PyBytes_FromStringAndSize(<char*> level, 32)
    finally:
        free(level)


def _proved():
    """Whether the processor has the instructions, and they do what they should."""
    if not can_hash():
        return False
    some = [bytes(range(256))[:size] * 3 for size in (0, 18, 19, 21, 42, 63, 255)]
    return leaf_hashes(some) == [sha256(b"\0" + one).digest() for one in some]


HASHES = _proved()
