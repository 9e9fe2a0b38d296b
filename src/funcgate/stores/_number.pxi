# A whole number in decimal, as JSON writes it. Part of _parcels.pyx and _native.pyx.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    enum { LONGEST_NUMBER = 20 };

    /* At `at`, where there is room for LONGEST_NUMBER bytes; the place after it. */
    static inline char *put_unsigned(char *at, uint64_t number) {
        char digits[LONGEST_NUMBER], *first = digits + LONGEST_NUMBER;
        do *--first = '0' + number % 10; while (number /= 10);
        memcpy(at, first, digits + LONGEST_NUMBER - first);
        return at + (digits + LONGEST_NUMBER - first);
    }
    """
    char* put_unsigned(char* at, unsigned long long number) nogil
