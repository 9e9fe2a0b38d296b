# How every line of the journal begins and ends: number and time before what an entry says, and the crc behind it. Included after
# `_text.pxi`, by others that cimport memcpy. Where these write there is room: `LINE_HEAD` bytes and the time's, and `CRC`.

cdef enum:
    LINE_HEAD = 37  # bytes of `{"seq":…,"at":"",`, with a number of any size
    CRC = 19  # bytes of `,"crc":"XXXXXXXX"}` and the newline


cdef inline char* put_head(char* into, Py_ssize_t seq, const char* at, Py_ssize_t at_size) noexcept:
    """The place after it."""
    memcpy(into, b'{"seq":', 7)
    into = put_number(into + 7, into + 28, seq)
    memcpy(into, b',"at":"', 7)
    memcpy(into + 7, at, at_size)
    memcpy(into + 7 + at_size, b'",', 2)
    return into + 9 + at_size


cdef inline void put_crc(char* into, unsigned int crc) noexcept:
    cdef int place
    memcpy(into, b',"crc":"', 8)
    for place in range(8):
        into[8 + place] = b"0123456789abcdef"[crc >> (28 - 4 * place) & 15]
    memcpy(into + 16, b'"}\n', 3)
