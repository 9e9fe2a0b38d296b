# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled half of segments.py: words of many calls as one new segment of the words' index, as FTS5 would write it.

Only that one step is done here, by the format of its file; all that comes after, merging and searching, is FTS5's.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcpy, memset

from os import urandom

include "_postings.pxi"

learn_bytes()
learn_secret(int.from_bytes(urandom(8), "little"), int.from_bytes(urandom(8), "little"))

cdef extern from *:
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    HEAD = 4  # bytes a page begins with: where its first call is, where its pages' terms are told
    MAIN = 0x30  # before each word: the index of whole words
    FEWEST_EMPTY = 4  # pages without a word in a row, from which on the calls that they begin with are told apart
    LONGEST = 32768
    MOST_BYTES = 16 << 20


cdef class Postings:
    """The words of calls, whose numbers rise, until they are written."""

    cdef Words all
    cdef long long last
    cdef readonly long long calls, words  # more than before; a call less counts against it

    def __cinit__(self):
        memset(&self.all, 0, sizeof(Words))

    def __dealloc__(self):
        forget_words(&self.all)

    @property
    def full(self):
        """Whether it is time to write them."""
        return self.all.bytes >= MOST_BYTES

    @property
    def steps(self):
        """How many other words were passed over to find those that were added."""
        return self.all.steps

    def add(self, long long call, str was not None, str now not None):
        """A call that held the words of one text (none: a new one) and holds those of another."""
        if not self.last < call < 1 << 55:
            raise ValueError("calls do not rise")
        self.last = call
        self.put(call, was, -1)
        self.put(call, now, 1)

    cdef int put(self, long long call, str text, int sign) except -1:
        cdef Py_ssize_t size
        cdef const char* at
        cdef long long count
        if not text:
            return 0
        at = PyUnicode_AsUTF8AndSize(text, &size)
        count = put_text(&self.all, call, <const unsigned char*> at, size, -1 if sign < 0 else 0)
        if count < 0:
            raise MemoryError
        self.calls += sign
        self.words += sign * count
        return 0

    def written(self, long long number, Py_ssize_t page_bytes):
        """The segment of that number: rows of `words_data`, rows of `words_idx` and how many pages it has. Empties it."""
        cdef Writer writer = Writer(number, page_bytes)
        cdef size_t at
        cdef Word** ordered = <Word**> malloc((self.all.count + 1) * sizeof(Word*))
        if ordered is NULL:
            raise MemoryError
        try:
            for at in range(self.all.count):
                close_call(self.all.words + at)
                ordered[at] = self.all.words + at
            qsort(ordered, self.all.count, sizeof(Word*), by_word)
            for at in range(self.all.count):
                writer.word(ordered[at])
            writer.finish()
        finally:
            free(ordered)
            forget_words(&self.all)
            self.calls = self.words = 0
        return writer.data, writer.index, writer.page - 1


cdef class Writer:
    """The pages of one segment, in order."""

    cdef readonly list data, index
    cdef readonly long long page
    cdef long long number, index_page, list_page, list_last
    cdef Py_ssize_t limit, used, told_used, told_last, room
    cdef unsigned char* buffer
    cdef unsigned char* told  # where the page's words begin
    cdef bytes term, index_term
    cdef bytearray calls_of_pages
    cdef bint no_word, no_call, begun
    cdef Py_ssize_t empty

    def __cinit__(self, long long number, Py_ssize_t page_bytes):
        self.number, self.limit = number, page_bytes
        self.room = page_bytes + 2 * LONGEST
        self.buffer, self.told = <unsigned char*> malloc(self.room), <unsigned char*> malloc(self.room)
        if self.buffer is NULL or self.told is NULL:
            raise MemoryError
        self.data, self.index, self.page, self.index_page = [], [], 1, 1
        self.term = self.index_term = b""
        self.calls_of_pages = bytearray()
        self.clear()

    def __dealloc__(self):
        free(self.buffer)
        free(self.told)

    cdef void clear(self) noexcept:
        memset(self.buffer, 0, HEAD)
        self.used, self.told_used, self.told_last = HEAD, 0, 0
        self.no_word = self.no_call = True

    cdef int flush(self) except -1:
        self.buffer[2], self.buffer[3] = self.used >> 8 & 255, self.used & 255
        if self.no_word:
            if self.no_call and self.begun:
                self.calls_of_pages.append(0)
            self.empty += 1
        else:
            memcpy(self.buffer + self.used, self.told, self.told_used)
            self.used += self.told_used
        self.data.append(((self.number << 37) + self.page, PyBytes_FromStringAndSize(<char*> self.buffer, self.used)))
        self.page += 1
        self.clear()
        return 0

    cdef int close_index(self) except -1:
        """The word by which the last pages that begin with one are found."""
        cdef bint listed = self.begun and self.empty >= FEWEST_EMPTY
        if not self.index_page:
            return 0
        if listed:
            self.data.append(((self.number << 37) + (1LL << 36) + self.list_page, bytes(self.calls_of_pages)))
        self.calls_of_pages.clear()
        self.begun = False
        self.empty = 0
        self.index.append((self.number, self.index_term, listed + 2 * self.index_page))
        self.index_page = 0
        return 0

    cdef int note_call(self, long long call) except -1:
        """The first call of a page, for whoever passes over pages."""
        cdef unsigned char made[16]
        cdef int size
        if not self.begun:
            self.calls_of_pages.append(0)
            size = put_varint(made, self.page)
            self.calls_of_pages += made[:size]
            self.list_last = 0
        size = put_varint(made, call - self.list_last)
        self.calls_of_pages += made[:size]
        self.list_last, self.begun = call, True
        if len(self.calls_of_pages) >= self.limit:
            raise ValueError("a word has more pages than one list of them holds")
        return 0

    cdef int word(self, Word* one) except -1:
        cdef bytes term = PyBytes_FromStringAndSize(NULL, one.size + 1)
        cdef unsigned char* new = <unsigned char*> PyBytes_AS_STRING(term)
        cdef const unsigned char* old
        cdef Py_ssize_t size = one.size + 1, same = 0, least
        new[0] = MAIN
        memcpy(new + 1, one.word, one.size)
        if self.used + self.told_used + size + 2 >= self.limit and self.used > HEAD:
            self.flush()
        self.told_used += put_varint(self.told + self.told_used, self.used - self.told_last)
        self.told_last = self.used
        old = <const unsigned char*> PyBytes_AS_STRING(self.term)
        least = min(PyBytes_GET_SIZE(self.term), size)
        while same < least and old[same] == new[same]:
            same += 1
        if not self.no_word:
            self.used += put_varint(self.buffer + self.used, same)
        else:
            if self.page != 1:
                self.close_index()
                self.index_term, self.index_page = (term[: same + 1] if self.term else term), self.page
            same = 0
        self.used += put_varint(self.buffer + self.used, size - same)
        memcpy(self.buffer + self.used, new + same, size - same)
        self.used += size - same
        self.term = term
        self.no_word = self.no_call = False
        self.list_page = self.page
        if self.limit >= self.used + self.told_used + <Py_ssize_t> one.used + 1:
            memcpy(self.buffer + self.used, one.data, one.used)
            self.used += one.used
        else:
            self.calls_of(one.data, one.data + one.used)
        return 0

    cdef int calls_of(self, const unsigned char* at, const unsigned char* end) except -1:
        """All that is told of a word, over as many pages as it takes."""
        cdef long long call = 0
        cdef unsigned long long value = 0
        cdef Py_ssize_t size, whole, n
        while at < end:
            size = get_varint(at, end, &value)
            call += value
            if self.no_call:
                self.buffer[0], self.buffer[1] = self.used >> 8 & 255, self.used & 255
                self.used += put_varint(self.buffer + self.used, call)
                self.no_call = False
                self.note_call(call)
            else:
                self.used += put_varint(self.buffer + self.used, value)
            at += size
            whole = get_varint(at, end, &value)
            if not size or not whole or value // 2 > <unsigned long long> (end - at - whole):
                raise ValueError("no list of calls")
            whole += value // 2
            if self.used + self.told_used + whole <= self.limit:
                memcpy(self.buffer + self.used, at, whole)
                self.used += whole
                at += whole
                continue
            while True:
                n = portion(at, whole, self.limit - self.used - self.told_used)
                if n <= 0 or n > max(self.limit - self.used - self.told_used, 8):
                    raise ValueError("no list of calls")
                memcpy(self.buffer + self.used, at, n)
                self.used += n
                at += n
                whole -= n
                if self.used + self.told_used >= self.limit:
                    self.flush()
                if whole <= 0:
                    break
        return 0

    cdef int finish(self) except -1:
        if self.used > HEAD:
            self.flush()
        if self.page > 1:
            self.close_index()
        return 0


cdef Py_ssize_t portion(const unsigned char* at, Py_ssize_t whole, Py_ssize_t room) noexcept:
    """So many bytes of whole numbers as there is room for, one number at least."""
    cdef Py_ssize_t size, n
    cdef unsigned long long value
    if whole <= room:
        return whole
    size = get_varint(at, at + whole, &value)
    while size < room:
        n = get_varint(at + size, at + whole, &value)
        if not n or size + n > room:
            break
        size += n
    return size
