# A line of the journal, read as far as the index cares: strict JSON without blanks, of the types that the journal writes.
# Whatever is different is left to msgspec. Part of _native.pyx.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    #define MAX_DEPTH 64
    enum { ESCAPED = 1, FOREIGN = 2 };  /* what is in a string: a backslash, a byte that is not ASCII */
    enum { KIND, CALL, AT, SESSION, PRINCIPAL, FUNCTION, TARGET, POLICY, CODE, CLIENT, ARGS, BODY, MEDIA, FIELDS };
    typedef struct { const char *at; Py_ssize_t size; } Span;
    typedef struct { Span of[FIELDS]; int piece, args_odd, body_odd; } Plain;

    static int hex_digit(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    }

    /* The first byte that is a quote, a backslash, a control character or not ASCII; `end` if there is none. */
    static const char *over_plain(const char *p, const char *end) {
    #ifdef __SSE2__
        const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\\\'), blank = _mm_set1_epi8(0x20);
        for (; end - p >= 16; p += 16) {
            __m128i x = _mm_loadu_si128((const __m128i *)p);
            __m128i odd = _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash));
            unsigned int hits = (unsigned int)_mm_movemask_epi8(_mm_or_si128(odd, _mm_cmplt_epi8(x, blank)));  /* signed: >= 0x80 too */
            if (hits) return p + __builtin_ctz(hits);
        }
    #endif
        while (p < end && *p != '"' && *p != '\\\\' && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80) p++;
        return p;
    }

    /* `p` is behind the opening quote; the answer behind the closing one, NULL for what is no plain string. */
    static const char *over_string(const char *p, const char *end, int *odd) {
        for (;;) {
            p = over_plain(p, end);
            if (p >= end) return NULL;
            if (*p == '"') return p + 1;
            if (*p & 0x80) {
                *odd |= FOREIGN;
                while (p < end && *p & 0x80) p++;
                continue;
            }
            if (*p != '\\\\' || end - p < 2) return NULL;
            *odd |= ESCAPED;
            if (p[1] == 'u') {
                /* Attack: half a surrogate pair, which msgspec refuses. It shall judge them all. */
                if (end - p < 6 || !hex_digit(p[2]) || !hex_digit(p[3]) || !hex_digit(p[4]) || !hex_digit(p[5])) return NULL;
                if ((p[2] | 32) == 'd' && p[3] >= '8') return NULL;
                p += 6;
            } else {
                if (!p[1] || !strchr("\\"\\\\/bfnrt", p[1])) return NULL;
                p += 2;
            }
        }
    }

    static const char *over_digits(const char *p, const char *end) {
        if (p >= end || *p < '0' || *p > '9') return NULL;
        while (p < end && *p >= '0' && *p <= '9') p++;
        return p;
    }

    static const char *over_number(const char *p, const char *end) {
        if (p < end && *p == '-') p++;
        if (p < end && *p == '0') p++;
        else if (!(p = over_digits(p, end))) return NULL;
        if (p < end && *p == '.' && !(p = over_digits(p + 1, end))) return NULL;
        if (p < end && (*p | 32) == 'e') {
            p++;
            if (p < end && (*p == '+' || *p == '-')) p++;
            p = over_digits(p, end);
        }
        return p;
    }

    static const char *over_word(const char *p, const char *end, const char *word, Py_ssize_t size) {
        return end - p >= size && !memcmp(p, word, size) ? p + size : NULL;
    }

    /* Attack: nesting that is deeper than the stack. It has a limit here, msgspec has its own. */
    static const char *over_value(const char *p, const char *end, int depth, int *odd) {
        char close;
        if (p >= end || depth > MAX_DEPTH) return NULL;
        switch (*p) {
        case '"': return over_string(p + 1, end, odd);
        case 't': return over_word(p, end, "true", 4);
        case 'f': return over_word(p, end, "false", 5);
        case 'n': return over_word(p, end, "null", 4);
        case '{': case '[': break;
        default: return over_number(p, end);
        }
        close = *p++ == '{' ? '}' : ']';
        if (p < end && *p == close) return p + 1;
        for (;;) {
            if (close == '}') {
                if (p >= end || *p != '"' || !(p = over_string(p + 1, end, odd)) || p >= end || *p++ != ':') return NULL;
            }
            if (!(p = over_value(p, end, depth + 1, odd)) || p >= end) return NULL;
            if (*p == close) return p + 1;
            if (*p++ != ',') return NULL;
        }
    }

    /* The fields by their names; -1 for one that the index does not look at, -2 for one that is left to msgspec. */
    static int field_of(const char *name, Py_ssize_t size) {
    #define IS(text) (size == sizeof(text) - 1 && !memcmp(name, text, sizeof(text) - 1))
        switch (size) {
        case 2: return IS("at") ? AT : -1;
        case 3: return IS("seq") ? FIELDS : -1;
        case 4: return IS("kind") ? KIND : IS("call") ? CALL : IS("code") ? CODE : IS("args") ? ARGS : IS("body") ? BODY : -1;
        case 5: return IS("media") ? MEDIA : IS("piece") ? FIELDS + 1 : IS("where") ? -2 : -1;
        case 6: return IS("target") ? TARGET : IS("policy") ? POLICY : IS("client") ? CLIENT
            : IS("object") || IS("sealed") ? -2 : -1;
        case 7: return IS("session") ? SESSION : -1;
        case 8: return IS("function") ? FUNCTION : -1;
        case 9: return IS("principal") ? PRINCIPAL : -1;
        case 11: return IS("args_object") ? -2 : -1;
        default: return -1;
        }
    }

    /* The place of a kind in KINDS; -1 for another. */
    static int kind_number(Span kind) {
        const char *name = kind.at;
        Py_ssize_t size = kind.size;
        switch (size) {
        case 5: return IS("chunk") ? 3 : IS("ended") ? 2 : IS("asked") ? 4 : IS("admin") ? 7 : -1;
        case 6: return IS("denied") ? 6 : -1;
        case 7: return IS("arrived") ? 0 : IS("allowed") ? 1 : -1;
        case 8: return IS("answered") ? 5 : -1;
        default: return -1;
        }
    }

    /* A slot for a text that may come again, by what it ends with. */
    static unsigned int slot_for(Span text) {
        uint64_t x = (uint64_t)text.size << 56;
        memcpy(&x, text.at + (text.size > 8 ? text.size - 8 : 0), text.size > 8 ? 8 : text.size);
        return (unsigned int)((x ^ x >> 29) * 0x9E3779B97F4A7C15u >> 54);
    }

    /* A number without sign, fraction or leading zero, of so many digits at most; -1 for another. */
    static long long whole(const char *p, const char *end, int most) {
        long long value = 0;
        if (end - p > most || end == p || (*p == '0' && end - p > 1)) return -1;
        for (; p < end; p++) {
            if (*p < '0' || *p > '9') return -1;
            value = 10 * value + (*p - '0');
        }
        return value;
    }

    /* 1: read; 0: left to msgspec. Nothing of `out` points out of the line. */
    static int read_plain(const char *line, Py_ssize_t size, Plain *out) {
        const char *p = line + 1, *end = line + size, *name, *value;
        unsigned int had = 0;
        int field, odd;
        memset(out, 0, sizeof *out);
        if (size < 2 || *line != '{') return 0;
        for (;;) {
            if (p >= end || *p++ != '"') return 0;
            for (name = p; p < end && *p != '"'; p++)
                if (*p == '\\\\' || (unsigned char)*p < 0x20 || (unsigned char)*p >= 0x80) return 0;
            if (end - p < 3 || p[1] != ':') return 0;
            field = field_of(name, p - name);
            value = p + 2;
            odd = 0;
            if (field == -2 || !(p = over_value(value, end, 0, &odd)) || p >= end) return 0;
            if (field >= 0) {
                /* Attack: a field twice, of which one reader takes the first and another the last. */
                if (had & 1u << field) return 0;
                had |= 1u << field;
            }
            switch (field) {
            case -1: break;
            case FIELDS: if (whole(value, p, 18) < 0) return 0; break;
            case FIELDS + 1: if ((out->piece = (int)whole(value, p, 9)) < 0) return 0; break;
            case PRINCIPAL: case POLICY: case ARGS: if (*value != '{') return 0; goto raw;
            case BODY: if (*value != '{' && *value != '[' && *value != '"') return 0; goto raw;
            raw:
                out->of[field].at = value;
                out->of[field].size = p - value;
                if (field == ARGS) out->args_odd = odd;
                if (field == BODY) out->body_odd = odd;
                break;
            default:
                if (*value != '"' || odd) return 0;
                out->of[field].at = value + 1;
                out->of[field].size = p - value - 2;
            }
            if (*p == '}') break;
            if (*p++ != ',') return 0;
        }
        return p + 1 == end && out->of[CALL].size && out->of[KIND].size;
    }

    /* The words of plain ASCII: letters small, digits as they are, blanks for all else. */
    static unsigned char plain_of[256];
    static void put_words(char *to, const char *from, Py_ssize_t size) {
        Py_ssize_t at = 0;
    #ifdef __SSE2__
        const __m128i small = _mm_set1_epi8(0x20), below_a = _mm_set1_epi8('a' - 1), above_z = _mm_set1_epi8('z' + 1);
        const __m128i below_0 = _mm_set1_epi8('0' - 1), above_9 = _mm_set1_epi8('9' + 1);
        for (; size - at >= 16; at += 16) {
            __m128i x = _mm_loadu_si128((const __m128i *)(from + at)), low = _mm_or_si128(x, small);
            __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(low, below_a), _mm_cmplt_epi8(low, above_z));
            __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(x, below_0), _mm_cmplt_epi8(x, above_9));
            __m128i word = _mm_or_si128(letter, digit);  /* of a digit 0x20 is set */
            _mm_storeu_si128((__m128i *)(to + at), _mm_or_si128(_mm_and_si128(word, low), _mm_andnot_si128(word, small)));
        }
    #endif
        for (; at < size; at++) to[at] = (char)plain_of[(unsigned char)from[at]];
    }

    /* A text with escapes and no byte that is not ASCII, as its characters; or (`blank`) with a blank for each escape. Line ends and the like are blanks. How many
       there are, at most `size`; -1 where Python shall read it. */
    static Py_ssize_t unescaped(char *to, const char *from, Py_ssize_t size, int blank) {
        const char *end = from + size;
        char *begun = to;
        for (; from < end; from++) {
            if (*from != '\\\\') {
                *to++ = *from;
                continue;
            }
            if (++from >= end || *from == 'u') return -1;
            /* b, f, n, r and t are control characters, which part words like a blank. */
            *to++ = blank || (*from != '"' && *from != '/' && *from != '\\\\') ? ' ' : *from;
        }
        return to - begun;
    }

    static int two(const char *p) {
        return p[0] >= '0' && p[0] <= '9' && p[1] >= '0' && p[1] <= '9' ? (p[0] - '0') * 10 + p[1] - '0' : -1000;
    }

    /* "2026-11-22T01:02:03.000004Z" as microseconds of Unix time; -1 for another spelling, and years that are far. */
    static long long micros_of(const char *p, Py_ssize_t size) {
        static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
        static const int days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        long long year, days;
        int month, day, hour, minute, second, leap, a, b, c;
        if (size != 27 || p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':' || p[19] != '.' || p[26] != 'Z')
            return -1;
        year = two(p) * 100 + two(p + 2);
        month = two(p + 5), day = two(p + 8), hour = two(p + 11), minute = two(p + 14), second = two(p + 17);
        a = two(p + 20), b = two(p + 22), c = two(p + 24);
        if (year < 1970 || year > 2099 || month < 1 || month > 12 || hour < 0 || hour > 23 || minute < 0 || minute > 59
            || second < 0 || second > 59 || a < 0 || b < 0 || c < 0) return -1;
        leap = year % 4 == 0;
        if (day < 1 || day > days_of[month - 1] + (leap && month == 2)) return -1;
        days = (year - 1970) * 365 + (year - 1969) / 4 + before[month - 1] + (leap && month > 2) + day - 1;
        return (days * 86400 + hour * 3600 + minute * 60 + second) * 1000000 + a * 10000 + b * 100 + c;
    }
    """
    enum: ESCAPED, FOREIGN
    enum: KIND, CALL, AT, SESSION, PRINCIPAL, FUNCTION, TARGET, POLICY, CODE, CLIENT, ARGS, BODY, MEDIA, FIELDS
    ctypedef struct Span:
        const char* at
        Py_ssize_t size
    ctypedef struct Plain:
        Span of[13]
        int piece, args_odd, body_odd
    unsigned char plain_of[256]
    bint read_plain(const char* line, Py_ssize_t size, Plain* out) nogil
    int kind_number(Span kind) nogil
    unsigned int slot_for(Span text) nogil
    Py_ssize_t unescaped(char* to, const char* from_, Py_ssize_t size, bint blank) nogil
    void put_words(char* to, const char* from_, Py_ssize_t size) nogil
    long long micros_of(const char* p, Py_ssize_t size) nogil
