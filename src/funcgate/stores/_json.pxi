# Whether bytes are one JSON value (RFC 8259) on one line. Part of _parcels.pyx. Reads nothing at `limit` or beyond; calls nothing
# that calls it: nesting takes a byte a level, and what is deeper than DEEPEST is left to parcels.py.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    typedef const unsigned char *Text;
    enum { DEEPEST = 4096 };

    static inline Text json_blank(Text p, Text end) {
        while (p < end && (*p == ' ' || *p == '\\t')) p++;
        return p;
    }

    /* Behind one character of UTF-8 that is no ASCII (RFC 3629), NULL if it is none. */
    static Text json_wide(Text p, Text end) {
        unsigned char first = *p;
        int more = first < 0xC2 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : 0;
        if (!more || end - p <= more) return NULL;
        if ((first == 0xE0 && p[1] < 0xA0) || (first == 0xED && p[1] > 0x9F)) return NULL;
        if ((first == 0xF0 && p[1] < 0x90) || (first == 0xF4 && p[1] > 0x8F)) return NULL;
        for (p++; more; more--, p++)
            if ((*p & 0xC0) != 0x80) return NULL;
        return p;
    }

    /* Behind an escape whose backslash is at `p`, NULL if it is none. */
    static inline Text json_escape(Text p, Text end) {
        int more;
        if (end - p < 2) return NULL;
        switch (p[1]) {
        case '"': case '\\\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
            return p + 2;
        case 'u':
            break;
        default:
            return NULL;
        }
        if (end - p < 6) return NULL;
        for (p += 2, more = 4; more; more--, p++)
            if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f') || (*p >= 'A' && *p <= 'F'))) return NULL;
        return p;
    }

    #if defined(__SSE2__) && defined(__GNUC__)
    #include <emmintrin.h>
    enum { AT_ONCE = 16 };
    /* How many of the next AT_ONCE bytes come before a control character, a quote, a backslash, or what is no ASCII. */
    static inline int json_plain(Text p) {
        __m128i x = _mm_loadu_si128((const __m128i *)p);
        __m128i odd = _mm_or_si128(_mm_cmplt_epi8(x, _mm_set1_epi8(0x20)), /* signed: no ASCII is below, too */
            _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\\\\'))));
        return __builtin_ctz(_mm_movemask_epi8(odd) | 0x10000);
    }
    #else
    enum { AT_ONCE = 8 };
    static inline int json_plain(Text p) {
        int at = 0;
        while (at < 8 && p[at] >= 0x20 && p[at] < 0x80 && p[at] != '"' && p[at] != '\\\\') at++;
        return at;
    }
    #endif

    /* Whether `size` bytes, AT_ONCE or more, have nothing to escape and are ASCII. */
    static inline int json_all_plain(Text p, int size) {
        Text last = p + size - AT_ONCE;
        for (; p < last; p += AT_ONCE)
            if (json_plain(p) < AT_ONCE) return 0;
        return json_plain(last) == AT_ONCE;
    }

    /* Behind the closing quote of a string whose opening quote is before `p`, NULL if it is none. What is between `end` and
       `limit` may be read, so that most strings need no step for each byte of theirs, but is nothing to go by. */
    static inline __attribute__((always_inline)) Text json_string(Text p, Text end, Text limit) {
        int plain;
        for (;;) {
            while (limit - p >= AT_ONCE) {
                p += plain = json_plain(p);
                if (plain < AT_ONCE) break;
            }
            if (p >= end) return NULL;
            if (*p == '"') return p + 1;
            if (*p < 0x20) return NULL;
            if (*p == '\\\\') p = json_escape(p, end);
            else if (*p >= 0x80) p = json_wide(p, end);
            else p++;
            if (!p) return NULL;
        }
    }

    static inline Text json_digits(Text p, Text end) {
        Text begun = p;
        while (p < end && *p >= '0' && *p <= '9') p++;
        return p == begun ? NULL : p;
    }

    static inline Text json_number(Text p, Text end) {
        if (p < end && *p == '-') p++;
        if (p < end && *p == '0') p++;
        else if (!(p = json_digits(p, end))) return NULL;
        if (p < end && *p == '.' && !(p = json_digits(p + 1, end))) return NULL;
        if (p < end && (*p == 'e' || *p == 'E')) {
            p++;
            if (p < end && (*p == '+' || *p == '-')) p++;
            p = json_digits(p, end);
        }
        return p;
    }

    /* A value in brackets that was looked at: its bytes, and where each of its members begins, behind a comma. */
    enum { LONGEST_SEEN = 2048, MARKS = 64 };
    typedef struct { int size, many; uint16_t marks[MARKS]; unsigned char bytes[LONGEST_SEEN]; } Seen;

    /* Behind the value that begins at `begun`, NULL if there is none, or one that is nested deeper than `deepest`. `p` is `begun`, or
       where a member of it begins if all before was looked at; what begins behind is told to `seen`, if that is not NULL.
       `braces`: for each open bracket, whether it is a brace. */
    static inline __attribute__((always_inline)) Text json_walk_in(
        Text p, Text end, Text limit, Text begun, Seen *seen, unsigned char *braces, Py_ssize_t deepest) {
        Py_ssize_t depth = 0;
        int brace = 0;
        if (p != begun) {
            depth = 1;
            braces[0] = brace = *begun == '{';
            p = json_blank(p, end);
            if (brace) goto name;
        }
    value:
        if (p >= end) return NULL;
        switch (*p) {
        case '"':
            if (!(p = json_string(p + 1, end, limit))) return NULL;
            break;
        case '{':
        case '[':
            if (depth == deepest) return NULL;
            braces[depth++] = brace = *p == '{';
            p = json_blank(p + 1, end);
            if (p >= end) return NULL;
            if (*p == (brace ? '}' : ']')) break; /* where it is closed, below */
            if (brace) goto name;
            goto value;
        case 't':
            if (end - p < 4 || memcmp(p, "true", 4)) return NULL;
            p += 4;
            break;
        case 'n':
            if (end - p < 4 || memcmp(p, "null", 4)) return NULL;
            p += 4;
            break;
        case 'f':
            if (end - p < 5 || memcmp(p, "false", 5)) return NULL;
            p += 5;
            break;
        default:
            if (!(p = json_number(p, end))) return NULL;
        }
        while (depth) { /* after a value, or at the end of an empty one */
            p = json_blank(p, end);
            if (p >= end) return NULL;
            if (*p == ',') {
                p++;
                if (depth == 1 && seen && seen->many < MARKS && p - begun < LONGEST_SEEN) seen->marks[seen->many++] = p - begun;
                p = json_blank(p, end);
                if (brace) goto name;
                goto value;
            }
            if (*p != (brace ? '}' : ']')) return NULL;
            p++;
            brace = --depth ? braces[depth - 1] : 0;
        }
        return p;
    name:
        if (p >= end || *p != '"' || !(p = json_string(p + 1, end, limit))) return NULL;
        p = json_blank(p, end);
        if (p >= end || *p != ':') return NULL;
        p = json_blank(p + 1, end);
        goto value;
    }

    static Text json_walk(Text p, Text end, Text limit, Text begun, Seen *seen) {
        unsigned char braces[DEEPEST];
        return json_walk_in(p, end, limit, begun, seen, braces, DEEPEST);
    }

    /* The same, with room for every bracket of it. */
    static Text json_deep(Text p, Text end, unsigned char *braces) {
        return json_walk_in(p, end, end, p, NULL, braces, end - p);
    }

    static inline Text json_value(Text p, Text end, Text limit) { return json_walk(p, end, limit, p, NULL); }

    /* How many of the first bytes are the same. */
    static int json_same(Text p, Text q, Py_ssize_t most) {
        int at = 0;
    #if defined(__SSE2__) && defined(__GNUC__)
        for (; at + 16 <= most; at += 16) {
            int odd = 0xFFFF ^ _mm_movemask_epi8(_mm_cmpeq_epi8(
                _mm_loadu_si128((const __m128i *)(p + at)), _mm_loadu_si128((const __m128i *)(q + at))));
            if (odd) return at + __builtin_ctz(odd);
        }
    #endif
        while (at < most && p[at] == q[at]) at++;
        return at;
    }

    /* As json_value, for an object that has much of the one before it, which is `seen`. What comes after some bytes of a value
       depends on nothing but these bytes: so what is as it was there holds, and the rest is looked at. */
    static Text json_again(Text p, Text end, Text limit, Seen *seen) {
        int same = json_same(p, seen->bytes, end - p < seen->size ? end - p : seen->size), from = 0;
        if (same && same == seen->size) return p + same;
        while (seen->many && seen->marks[seen->many - 1] > same) seen->many--;
        if (seen->many) from = seen->marks[seen->many - 1];
        Text behind = json_walk(p + from, end, limit, p, seen);
        if (!behind || behind - p > LONGEST_SEEN) {
            seen->size = seen->many = 0;
            return behind;
        }
        seen->size = behind - p;
        memcpy(seen->bytes + from, p + from, seen->size - from);
        return behind;
    }
    """
    ctypedef struct Seen:
        int size
    ctypedef const unsigned char* Text
    bint json_all_plain(Text p, int size) nogil
    Text json_value(Text p, Text end, Text limit) nogil
    Text json_again(Text p, Text end, Text limit, Seen* seen) nogil
    Text json_deep(Text p, Text end, unsigned char* braces) nogil
    Text json_string(Text p, Text end, Text limit) nogil
    Text json_blank(Text p, Text end) nogil
