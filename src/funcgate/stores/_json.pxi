# Whether bytes are one JSON value (RFC 8259) on one line. Part of _parcels.pyx. Reads nothing at `end` or beyond; calls nothing
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

    /* Behind the closing quote of a string whose opening quote is before `p`, NULL if it is none. */
    static inline __attribute__((always_inline)) Text json_string(Text p, Text end) {
        int plain;
        for (;;) {
            while (end - p >= AT_ONCE) {
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

    /* Behind the value that begins at `p`, NULL if there is none, or one that is nested deeper than DEEPEST. */
    static Text json_value(Text p, Text end) {
        unsigned char braces[DEEPEST]; /* for each open bracket: whether it is a brace */
        int depth = 0, brace = 0;
    value:
        if (p >= end) return NULL;
        switch (*p) {
        case '"':
            if (!(p = json_string(p + 1, end))) return NULL;
            break;
        case '{':
        case '[':
            if (depth == DEEPEST) return NULL;
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
                p = json_blank(p + 1, end);
                if (brace) goto name;
                goto value;
            }
            if (*p != (brace ? '}' : ']')) return NULL;
            p++;
            brace = --depth ? braces[depth - 1] : 0;
        }
        return p;
    name:
        if (p >= end || *p != '"' || !(p = json_string(p + 1, end))) return NULL;
        p = json_blank(p, end);
        if (p >= end || *p != ':') return NULL;
        p = json_blank(p + 1, end);
        goto value;
    }
    """
    bint json_all_plain(const unsigned char* p, int size) nogil
    const unsigned char* json_string(const unsigned char* p, const unsigned char* end) nogil
    const unsigned char* json_value(const unsigned char* p, const unsigned char* end) nogil
    const unsigned char* json_blank(const unsigned char* p, const unsigned char* end) nogil
