# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of merkle.py: hashes of leaves, and of the nodes above them, by the processor's own instructions for SHA-256.

Where it has none (`HASHES` is false) merkle.py does it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from hashlib import sha256

from funcgate.recording.run import Run

include "../_line.pxi"
include "../_rows_of.pxi"

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

    /* The same of two messages at once: each step of one waits for the one before it, and the other runs meanwhile. */
    __attribute__((target("sha,sse4.1,ssse3"))) static void sha_both(Sha *one, const unsigned char *p, Sha *two, const unsigned char *q, size_t blocks) {
        const __m128i turn = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
        __m128i a = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)one->word), 0xb1);
        __m128i b = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(one->word + 4)), 0x1b);
        __m128i c = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)two->word), 0xb1);
        __m128i d = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(two->word + 4)), 0x1b);
        __m128i abef = _mm_alignr_epi8(a, b, 8), cdgh = _mm_blend_epi16(b, a, 0xf0);
        __m128i other = _mm_alignr_epi8(c, d, 8), rest = _mm_blend_epi16(d, c, 0xf0);
        while (blocks--) {
            __m128i v[4], w[4], add, sum, first = abef, second = cdgh, third = other, fourth = rest;
            int i;
            for (i = 0; i < 4; i++) {
                v[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * i)), turn);
                w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(q + 16 * i)), turn);
            }
    #define BOTH(i, x, y) \\
            add = _mm_add_epi32(x, _mm_load_si128((const __m128i *)(sha_k + 4 * (i)))); \\
            sum = _mm_add_epi32(y, _mm_load_si128((const __m128i *)(sha_k + 4 * (i)))); \\
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, add); \\
            rest = _mm_sha256rnds2_epu32(rest, other, sum); \\
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(add, 0x0e)); \\
            other = _mm_sha256rnds2_epu32(other, rest, _mm_shuffle_epi32(sum, 0x0e))
            BOTH(0, v[0], w[0]); BOTH(1, v[1], w[1]); BOTH(2, v[2], w[2]); BOTH(3, v[3], w[3]);
            for (i = 4; i < 16; i += 4) {
                NEXT(v[0], v[1], v[2], v[3]); NEXT(w[0], w[1], w[2], w[3]); BOTH(i, v[0], w[0]);
                NEXT(v[1], v[2], v[3], v[0]); NEXT(w[1], w[2], w[3], w[0]); BOTH(i + 1, v[1], w[1]);
                NEXT(v[2], v[3], v[0], v[1]); NEXT(w[2], w[3], w[0], w[1]); BOTH(i + 2, v[2], w[2]);
                NEXT(v[3], v[0], v[1], v[2]); NEXT(w[3], w[0], w[1], w[2]); BOTH(i + 3, v[3], w[3]);
            }
            abef = _mm_add_epi32(abef, first);
            cdgh = _mm_add_epi32(cdgh, second);
            other = _mm_add_epi32(other, third);
            rest = _mm_add_epi32(rest, fourth);
            p += 64;
            q += 64;
        }
        a = _mm_shuffle_epi32(abef, 0x1b);
        b = _mm_shuffle_epi32(cdgh, 0xb1);
        c = _mm_shuffle_epi32(other, 0x1b);
        d = _mm_shuffle_epi32(rest, 0xb1);
        _mm_storeu_si128((__m128i *)one->word, _mm_blend_epi16(a, b, 0xf0));
        _mm_storeu_si128((__m128i *)(one->word + 4), _mm_alignr_epi8(b, a, 8));
        _mm_storeu_si128((__m128i *)two->word, _mm_blend_epi16(c, d, 0xf0));
        _mm_storeu_si128((__m128i *)(two->word + 4), _mm_alignr_epi8(d, c, 8));
    }
    #else
    typedef struct { uint32_t word[8]; } Sha;
    static int can_hash(void) { return 0; }
    static void sha_blocks(Sha *sha, const unsigned char *data, size_t blocks) { (void)sha; (void)data; (void)blocks; }
    static void sha_both(Sha *one, const unsigned char *p, Sha *two, const unsigned char *q, size_t blocks) { (void)one; (void)p; (void)two; (void)q; (void)blocks; }
    #endif

    /* One message: a byte, as RFC 9162 begins a leaf with 0 and a node with 1, and what follows it. The blocks lie in three
       pieces, of which the middle one is where the caller has it. */
    typedef struct {
        Sha sha;
        unsigned char head[64], tail[128], *digest;
        const unsigned char *piece[3];
        size_t blocks[3];
        int at;
    } Message;

    static void begin_message(Message *one, unsigned char first, const unsigned char *data, size_t size, unsigned char *digest) {
        static const Sha fresh = {{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
        uint64_t bits = ((uint64_t)size + 1) * 8;
        unsigned char *last = one->tail;
        size_t left, padded, i;
        one->sha = fresh;
        one->digest = digest;
        one->at = 0;
        one->blocks[0] = one->blocks[1] = 0;
        if (size >= 63) {
            one->head[0] = first;
            memcpy(one->head + 1, data, 63);
            data += 63;
            size -= 63;
            one->piece[0] = one->head, one->blocks[0] = 1;
            one->piece[1] = data, one->blocks[1] = size / 64;
            left = size & 63;
            memcpy(last, data + (size - left), left);
        } else {
            last[0] = first;
            memcpy(last + 1, data, size);
            left = size + 1;
        }
        last[left++] = 0x80;
        padded = left <= 56 ? 64 : 128;
        memset(last + left, 0, padded - left);
        for (i = 0; i < 8; i++) last[padded - 1 - i] = (unsigned char)(bits >> 8 * i);
        one->piece[2] = last, one->blocks[2] = padded / 64;
    }

    /* Whether there is a block left; the digest is there when there is none. */
    static int goes_on(Message *one) {
        int i;
        while (one->at < 3 && !one->blocks[one->at]) one->at++;
        if (one->at < 3) return 1;
        for (i = 0; i < 32; i++) one->digest[i] = (unsigned char)(one->sha.word[i / 4] >> (24 - 8 * (i & 3)));
        return 0;
    }

    static void did(Message *one, size_t blocks) {
        one->piece[one->at] += 64 * blocks;
        one->blocks[one->at] -= blocks;
    }

    /* Of so many messages: number, place and size of each in three numbers. Two are under way at a time. What is read of a node
       (64 bytes) is read before any digest is written: those may take the nodes' place. */
    static void hash_each(unsigned char first, const unsigned char *data, const long long *rows, size_t count, unsigned char *digests) {
        Message lanes[2], *one = lanes, *two = lanes + 1, *swap;
        size_t next = 0, blocks;
        int goes = 0, other = 0;
        for (;;) {
            for (; !goes && next < count; next++) {
                begin_message(one, first, data + rows[3 * next + 1], (size_t)rows[3 * next + 2], digests + 32 * next);
                goes = goes_on(one);
            }
            for (; !other && next < count; next++) {
                begin_message(two, first, data + rows[3 * next + 1], (size_t)rows[3 * next + 2], digests + 32 * next);
                other = goes_on(two);
            }
            if (!goes) {
                if (!other) return;
                swap = one, one = two, two = swap;
                goes = 1, other = 0;
            }
            blocks = one->blocks[one->at];
            if (other) {
                if (two->blocks[two->at] < blocks) blocks = two->blocks[two->at];
                sha_both(&one->sha, one->piece[one->at], &two->sha, two->piece[two->at], blocks);
                did(two, blocks);
            } else {
                sha_blocks(&one->sha, one->piece[one->at], blocks);
            }
            did(one, blocks);
            goes = goes_on(one);
            if (other) other = goes_on(two);
        }
    }
    """
    bint can_hash()
    void hash_each(unsigned char first, const unsigned char* data, const long long* rows, size_t count, unsigned char* digests) nogil


def leaf_hashes(lines not None):
    """The hashes of these lines."""
    cdef Py_ssize_t count = len(lines), at = 0, start = 0
    cdef bytes whole = b"".join(lines), table = PyBytes_FromStringAndSize(NULL, 24 * count), made
    cdef long long* row = <long long*> PyBytes_AS_STRING(table)
    for line in lines:
        if at >= count:
            raise ValueError("more lines than were told")
        row[3 * at], row[3 * at + 1], row[3 * at + 2] = 0, start, len(line)
        start += len(line)
        at += 1
    if at != count:
        raise ValueError("fewer lines than were told")
    made = hashed(whole, table, count)
    return [made[32 * at : 32 * at + 32] for at in range(count)]


cdef bytes hashed(bytes block, bytes table, Py_ssize_t count):
    """The hashes of the lines that the table tells of, one behind the other."""
    cdef const long long* rows = rows_of(block, table, count)
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 32 * count)
    hash_each(0, <const unsigned char*> PyBytes_AS_STRING(block), rows, count, <unsigned char*> PyBytes_AS_STRING(made))
    return made


def hashes_of(lines not None, long long first):
    """The hashes of lines of the journal that are numbered from `first` on, without a gap, one behind the other; None if
    these are not."""
    cdef Py_ssize_t count = len(lines), at
    cdef const long long* rows
    cdef bytes block, table
    if type(lines) is not Run:
        for at, line in enumerate(lines):
            if got(line, seq_at, "seq") != first + at:
                return None
        return b"".join(leaf_hashes([got(line, raw_at, "line") for line in lines]))
    block, table = lines.block, lines.table
    rows = rows_of(block, table, count)
    for at in range(count):
        if rows[3 * at] != first + at:
            return None
    return hashed(block, table, count)


def root_of(hashes not None):
    """The root over leaf hashes, at least one: a list of them, or bytes with one behind the other."""
    cdef bytes told = hashes if type(hashes) is bytes else b"".join(hashes)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(told), count = size // 32, at
    cdef unsigned char* level
    cdef long long* rows
    if size < 32 or size % 32 or (type(hashes) is not bytes and any([len(one) != 32 for one in hashes])):
        raise ValueError("no hashes of leaves")
    level = <unsigned char*> malloc(size)
    rows = <long long*> malloc(24 * (count // 2 + 1))
    try:
        if level is NULL or rows is NULL:
            raise MemoryError
        memcpy(level, PyBytes_AS_STRING(told), size)
        for at in range(count // 2):
            rows[3 * at], rows[3 * at + 1], rows[3 * at + 2] = 0, 64 * at, 64
        while count > 1:
            hash_each(1, level, rows, count // 2, level)
            if count & 1:
                memcpy(level + 32 * (count // 2), level + 32 * (count - 1), 32)
            count = (count + 1) // 2
        return PyBytes_FromStringAndSize(<char*> level, 32)
    finally:
        free(level)
        free(rows)


def _proved():
    """Whether the processor has the instructions, and they do what they should."""
    if not can_hash():
        return False
    some = [bytes(range(256))[:size] * 3 for size in (0, 18, 19, 21, 42, 63, 255)]
    return leaf_hashes(some) == [sha256(b"\0" + one).digest() for one in some]


HASHES = _proved()
