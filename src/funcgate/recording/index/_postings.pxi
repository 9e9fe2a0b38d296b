# The words of calls in memory, each with the calls that hold it, as FTS5's lists are spelled. Part of _words.pyx.

cdef extern from *:
    """
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>

    enum { GUESSES = 256, LONGEST_WORD = 32768 };  /* a longer word is cut, as FTS5 does */

    /* The calls that hold a word: rising, each with the places of the word in it. As FTS5's doclist. */
    typedef struct {
        const unsigned char *word;
        uint32_t hash, size, place, deleted;
        long long call;
        size_t used, room, mark;  /* mark: where the length of the last call's places goes */
        unsigned char *data;
    } Word;
    typedef struct { unsigned char *at; size_t used, room; } Arena;
    typedef struct {
        Word *words;
        uint32_t *slots;  /* a place in words, from 1 on */
        size_t count, most, room, bytes;  /* room: a power of two, half of it free at least */
        Arena *arenas;
        size_t arena_count, steps;  /* steps: slots of other words that were passed over */
        uint32_t guess[GUESSES];  /* the words of the call before, as in slots: the next call begins alike, or has them at the same places */
    } Words;

    static int varint_size(uint64_t value) {
        int size = 1;
        while (value >>= 7) size++;
        return size;
    }

    /* Of a value below 2 ** 56. */
    static int put_varint(unsigned char *to, uint64_t value) {
        int size = varint_size(value), at;
        for (at = size - 1; at >= 0; at--, value >>= 7) to[at] = (unsigned char)((value & 0x7f) | (at < size - 1 ? 0x80 : 0));
        return size;
    }

    static int get_varint(const unsigned char *from, const unsigned char *end, unsigned long long *value) {
        int size = 0;
        *value = 0;
        while (from + size < end && size < 8) {
            *value = *value << 7 | (from[size] & 0x7f);
            if (!(from[size++] & 0x80)) return size;
        }
        return 0;
    }

    static unsigned char word_byte[256];  /* what the tokenizer "ascii" makes of a byte: itself, small; 0 is between words */
    static void learn_bytes(void) {
        int c;
        for (c = 0; c < 256; c++)
            word_byte[c] = c >= 'A' && c <= 'Z' ? (unsigned char)(c | 32) : c >= 128 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? (unsigned char)c : 0;
    }

    /* Attack: words chosen so that all of them begin at the same slot, each a walk past all others. The hash has a secret. */
    static uint64_t secret_seed, secret_factor;
    static void learn_secret(unsigned long long seed, unsigned long long factor) {
        secret_seed = seed, secret_factor = factor | 1;
    }

    static const unsigned char *kept(Words *all, const unsigned char *word, size_t size) {
        Arena *last = all->arena_count ? all->arenas + all->arena_count - 1 : NULL;
        unsigned char *to;
        if (!last || last->room - last->used < size) {
            size_t room = size > 65536 ? size : 65536;
            Arena *more = realloc(all->arenas, (all->arena_count + 1) * sizeof(Arena));
            if (!more) return NULL;
            all->arenas = more;
            last = more + all->arena_count;
            if (!(last->at = malloc(room))) return NULL;
            last->used = 0, last->room = room;
            all->arena_count++;
        }
        to = last->at + last->used;
        memcpy(to, word, size);
        last->used += size;
        return to;
    }

    static int grow_slots(Words *all) {
        size_t room = all->room ? 2 * all->room : 4096, at, slot;
        uint32_t *slots = calloc(room, sizeof(uint32_t));
        if (!slots) return 0;
        for (at = 0; at < all->count; at++) {
            for (slot = all->words[at].hash & (room - 1); slots[slot]; slot = (slot + 1) & (room - 1)) {}
            slots[slot] = (uint32_t)at + 1;
        }
        free(all->slots);
        all->slots = slots;
        all->room = room;
        return 1;
    }

    static Word *word_of(Words *all, const unsigned char *word, size_t size, uint32_t hash) {
        size_t slot;
        Word *found;
        if (2 * all->count >= all->room && !grow_slots(all)) return NULL;
        for (slot = hash & (all->room - 1); all->slots[slot]; slot = (slot + 1) & (all->room - 1), all->steps++) {
            found = all->words + all->slots[slot] - 1;
            if (found->hash == hash && found->size == size && !memcmp(found->word, word, size)) return found;
        }
        if (all->count == all->most) {
            size_t most = all->most ? 2 * all->most : 4096;
            Word *more = realloc(all->words, most * sizeof(Word));
            if (!more) return NULL;
            all->words = more;
            all->most = most;
        }
        found = all->words + all->count;
        memset(found, 0, sizeof *found);
        if (!(found->word = kept(all, word, size))) return NULL;
        found->hash = hash, found->size = (uint32_t)size;
        all->slots[slot] = (uint32_t)++all->count;
        all->bytes += 64 + size;
        return found;
    }

    static int has_room(Words *all, Word *word, size_t more) {
        unsigned char *data;
        size_t room = word->room ? word->room : 32;
        if (word->room - word->used >= more) return 1;
        while (room - word->used < more) room *= 2;
        if (!(data = realloc(word->data, room))) return 0;
        all->bytes += room - word->room;
        word->data = data, word->room = room;
        return 1;
    }

    /* Tell how long the last call's places are, in front of them. There is room. */
    static void close_call(Word *word) {
        size_t size, told;
        int more;
        if (!word->used) return;
        size = word->used - word->mark - 1;
        told = 2 * size + word->deleted;
        more = varint_size(told) - 1;
        if (more) memmove(word->data + word->mark + 1 + more, word->data + word->mark + 1, size);
        put_varint(word->data + word->mark, told);
        word->used += more;
    }

    /* The word at this place of the call; -1: the call held the word before, and does not any more. 0: there is no memory. */
    static int put_word(Words *all, long long call, Word *word, long long place) {
        if (!word || !has_room(all, word, 40)) return 0;
        if (word->call != call || !word->used) {
            close_call(word);
            word->used += put_varint(word->data + word->used, (uint64_t)(call - word->call));
            word->call = call;
            word->mark = word->used++;
            word->place = word->deleted = 0;
        }
        if (place < 0) {
            word->deleted = 1;
            return 1;
        }
        word->used += put_varint(word->data + word->used, (uint64_t)(place - word->place + 2));
        word->place = (uint32_t)place;
        return 1;
    }

    /* The words of a text, the first of them at `place`; -1: they go. How many there are, -1 if there is no memory. */
    static long long put_text(Words *all, long long call, const unsigned char *text, size_t size, long long place) {
        const unsigned char *end = text + size, *begin;
        unsigned char small[LONGEST_WORD];
        long long count = 0;
        for (;;) {
            Word *word = NULL;
            while (text < end && !word_byte[*text]) text++;
            if (text == end) break;
            if (count < GUESSES && all->guess[count]) {
                word = all->words + all->guess[count] - 1;
                if ((size_t)(end - text) < word->size || memcmp(text, word->word, word->size)
                    || (text + word->size < end && word_byte[text[word->size]])) word = NULL;
                else text += word->size;
            }
            if (!word) {
                uint64_t hash = secret_seed;
                size_t n = 0, at;
                int altered = 0;
                for (begin = text; text < end && word_byte[*text]; text++) {
                    if (n == LONGEST_WORD) continue;
                    altered |= word_byte[*text] ^ *text;
                    hash = (hash ^ word_byte[*text]) * secret_factor;
                    hash ^= hash >> 29;
                    n++;
                }
                if (altered) {
                    for (at = 0; at < n; at++) small[at] = word_byte[begin[at]];
                    begin = small;
                }
                word = word_of(all, begin, n, (uint32_t)(hash >> 32));
                if (word && count < GUESSES) all->guess[count] = (uint32_t)(word - all->words) + 1;
            }
            if (!put_word(all, call, word, place < 0 ? -1 : place + count)) return -1;
            count++;
        }
        return count;
    }

    static int by_word(const void *a, const void *b) {
        const Word *x = *(Word *const *)a, *y = *(Word *const *)b;
        int way = memcmp(x->word, y->word, x->size < y->size ? x->size : y->size);
        return way ? way : (x->size > y->size) - (x->size < y->size);
    }

    static void forget_words(Words *all) {
        size_t at;
        for (at = 0; at < all->count; at++) free(all->words[at].data);
        for (at = 0; at < all->arena_count; at++) free(all->arenas[at].at);
        free(all->words);
        free(all->slots);
        free(all->arenas);
        memset(all, 0, sizeof *all);
    }
    """
    ctypedef struct Word:
        const unsigned char* word
        unsigned int size
        size_t used
        unsigned char* data
    ctypedef struct Words:
        Word* words
        size_t count, bytes, steps
    void learn_bytes()
    void learn_secret(unsigned long long seed, unsigned long long factor)
    int put_varint(unsigned char* to, unsigned long long value) nogil
    int get_varint(const unsigned char* at, const unsigned char* end, unsigned long long* value) nogil
    void close_call(Word* word) nogil
    long long put_text(Words* all, long long call, const unsigned char* text, size_t size, long long place) nogil
    int by_word(const void* a, const void* b) nogil
    void forget_words(Words* all) nogil
