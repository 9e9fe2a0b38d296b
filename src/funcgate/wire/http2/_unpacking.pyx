# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled half of unpacking.py and fields.py: blocks of fields read (RFC 7541), and fields that are plainly a message.

What is wrong with a block is told as unpacking.py tells it. Fields that are not plainly a message are left to fields.py.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from libc.string cimport memchr, memcmp

from .codes import Broken, ErrorCode
from .huffman import opened
from .static_table import SECRETS as _SECRETS
from .static_table import STATIC as _STATIC

cdef list STATIC = _STATIC
cdef frozenset SECRETS = _SECRETS
cdef enum:
    SIZE = 61  # of the static table
    OVERHEAD = 32  # RFC 7541, 4.1
    TABLE_BYTES = 4096
    MOST_SEEN = 32
    LONGEST_SEEN = 64

    REQUEST = 0
    RESPONSE = 1
    TRAILERS = 2

cdef frozenset NONE = frozenset()
cdef unsigned char NAME_OK[256]
cdef unsigned char VALUE_OK[256]


def allow(bytes name not None, bytes value not None):
    """The tables of fields.py: the bytes of names and of values. Before they are there, nothing is plain."""
    cdef int index
    for index in range(256):
        NAME_OK[index] = index in name
        VALUE_OK[index] = index in value


cdef object wrong(str why):
    return Broken(ErrorCode.COMPRESSION_ERROR, why)


cdef Py_ssize_t integer(const unsigned char* block, Py_ssize_t end, Py_ssize_t* at, int prefix) except -1:
    cdef Py_ssize_t value = block[at[0]] & prefix
    cdef int shift = 0, byte
    at[0] += 1
    if value < prefix:
        return value
    while shift < 28 and at[0] < end:
        byte = block[at[0]]
        at[0] += 1
        value += (<Py_ssize_t> (byte & 0x7F)) << shift
        if byte < 0x80:
            return value
        shift += 7
    # Attack: an integer without end, or one that a reader with 32 bits takes for another.
    raise wrong("an integer that does not end")


cdef bytes string(const unsigned char* block, Py_ssize_t end, Py_ssize_t* at, bint secret):
    cdef Py_ssize_t size, start
    cdef int first
    if at[0] >= end:
        raise wrong("a string that does not begin")
    first = block[at[0]]
    size = integer(block, end, at, 0x7F)
    start = at[0]
    if start + size > end:
        raise wrong("a string longer than its block")
    at[0] = start + size
    text = PyBytes_FromStringAndSize(<const char*> block + start, size)
    return opened(text, secret=secret) if first >= 0x80 and size else text


cdef class Unpacker:
    """See unpacking.py. `message` also says whether the fields are plainly a message, and remembers blocks that are made of
    nothing but what is in the tables: as long as these stay, such a block says the same again."""

    cdef Py_ssize_t _max_bytes, _max_fields
    cdef readonly list _table
    cdef dict _seen
    cdef bint _indexed
    cdef readonly long long _size, _table_bytes
    cdef public object never
    cdef public bint oversized
    cdef public list fields

    def __init__(self, limits):
        self._max_bytes, self._max_fields = limits.max_bytes, limits.max_fields
        self._table = []
        self._seen = {}
        self._size = 0
        self._table_bytes = TABLE_BYTES
        self.never = NONE
        self.oversized = False

    def message(self, bytes block not None, int role):
        """The fields, the status and the declared length (-1: none) of a plain message; None for one that fields.py has to
        judge: `fields` are there then."""
        cdef PyObject* found = PyDict_GetItem(self._seen, block)
        cdef list fields
        cdef int status = 0
        cdef long long length = 0
        if found is not NULL:
            known = <tuple> found
            if known[3] == role:
                self.never, self.oversized = NONE, False
                return list(<list> known[0]), known[1], known[2]
        fields = self.unpack(block)
        if self.oversized or not plain(fields, role, &status, &length):
            self.fields = fields
            return None
        if self._indexed and PyBytes_GET_SIZE(block) <= LONGEST_SEEN:
            if len(self._seen) >= MOST_SEEN:
                self._seen.clear()
            self._seen[block] = (list(fields), status, length, role)
        return fields, status, length

    def unpack(self, bytes block not None):
        cdef list fields = [], never = None, table = self._table
        cdef Py_ssize_t room = self._max_bytes, at = 0, end = PyBytes_GET_SIZE(block), index
        cdef const unsigned char* bytes_ = <const unsigned char*> PyBytes_AS_STRING(block)
        cdef int first
        cdef tuple field
        if end and bytes_[0] & 0xE0 == 0x20:
            at = self._resize(bytes_, end)
        self._indexed = at == 0
        while at < end:
            first = bytes_[at]
            if first >= 0x80:  # 6.1
                index = integer(bytes_, end, &at, 0x7F)
                if index <= SIZE:
                    if not index:
                        raise wrong("index 0")
                    field = <tuple> STATIC[index]
                elif index - SIZE <= len(table):
                    field = <tuple> table[len(table) + SIZE - index]
                else:
                    raise wrong("an index beyond the table")
            elif first & 0xE0 == 0x20:
                raise wrong("a table size in the middle of a block")  # 4.2
            else:  # 6.2
                self._indexed = False
                field = self._literal(bytes_, end, &at, first)
                if first >= 0x40:
                    self._insert(field)
                elif first & 0x10:
                    if never is None:
                        never = []
                    never.append(field[0])
            room -= PyBytes_GET_SIZE(field[0]) + PyBytes_GET_SIZE(field[1])
            if room >= 0 and len(fields) < self._max_fields:
                fields.append(field)
            else:
                # Attack: one byte names a field of four thousand (an indexed bomb).
                room = -1
        self.oversized = room < 0
        self.never = NONE if never is None else frozenset(never)
        return fields

    cdef tuple _literal(self, const unsigned char* block, Py_ssize_t end, Py_ssize_t* at, int first):
        cdef Py_ssize_t index = integer(block, end, at, 0x3F if first >= 0x40 else 0x0F)
        cdef list table = self._table
        if not index:
            name = string(block, end, at, False)
        elif index <= SIZE:
            name = (<tuple> STATIC[index])[0]
        elif index - SIZE <= len(table):
            name = (<tuple> table[len(table) + SIZE - index])[0]
        else:
            raise wrong("an index beyond the table")
        return name, string(block, end, at, first & 0xF0 == 0x10 or name in SECRETS)

    cdef int _insert(self, tuple field) except -1:
        cdef long long size = PyBytes_GET_SIZE(field[0]) + PyBytes_GET_SIZE(field[1]) + OVERHEAD
        self._seen.clear()
        self._evict(self._table_bytes - size)
        if size <= self._table_bytes:
            self._table.append(field)
            self._size += size
        return 0

    cdef int _evict(self, long long down_to) except -1:
        cdef list table = self._table
        cdef Py_ssize_t gone = 0
        while self._size > down_to and gone < len(table):
            field = <tuple> table[gone]
            self._size -= PyBytes_GET_SIZE(field[0]) + PyBytes_GET_SIZE(field[1]) + OVERHEAD
            gone += 1
        if gone:
            del table[:gone]
        return 0

    cdef Py_ssize_t _resize(self, const unsigned char* block, Py_ssize_t end) except -1:
        cdef Py_ssize_t at = 0, size
        cdef int times
        self._seen.clear()
        for times in range(2):
            size = integer(block, end, &at, 0x1F)
            if size > TABLE_BYTES:
                raise wrong("a table larger than was offered")
            self._table_bytes = size
            self._evict(size)
            if at >= end or block[at] & 0xE0 != 0x20:
                break
        return at


cdef bint is_value(bytes value) noexcept:
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(value)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value), i
    cdef unsigned char good = 1
    for i in range(size):
        good &= VALUE_OK[at[i]]
    return good and (not size or not (at[0] == 32 or at[0] == 9 or at[size - 1] == 32 or at[size - 1] == 9))


cdef bint is_name(bytes name) noexcept:
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(name)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(name), i
    cdef unsigned char good = 1
    for i in range(size):
        good &= NAME_OK[at[i]]
    return good and size > 0


cdef inline bint same(bytes value, const char* text, Py_ssize_t size) noexcept:
    return PyBytes_GET_SIZE(value) == size and not memcmp(PyBytes_AS_STRING(value), text, size)


cdef bint plain_pseudo(bytes name, bytes value, int* seen) noexcept:
    """A pseudo-field of a request as nearly all are; which of them came is a bit of `seen`."""
    cdef const unsigned char* at = <const unsigned char*> PyBytes_AS_STRING(value)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(value), i
    cdef int bit
    if same(name, b":method", 7):
        bit = 1
        for i in range(size):
            if not 65 <= at[i] <= 90:
                return False
        if not size or same(value, b"CONNECT", 7):
            return False
    elif same(name, b":scheme", 7):
        bit = 2
        if not (same(value, b"http", 4) or same(value, b"https", 5)):
            return False
    elif same(name, b":path", 5):
        bit = 4
        if not size or at[0] != 47:
            return False
        for i in range(size):
            if not 32 < at[i] < 127:
                return False
    elif same(name, b":authority", 10):
        bit = 8
        # Attack: a user in the host's place, that one reader takes for the host.
        if not size or memchr(at, 64, size) is not NULL or not is_value(value):
            return False
    else:
        return False
    if seen[0] & bit:
        return False
    seen[0] |= bit
    return True


cdef bint plain(list fields, int role, int* status, long long* length) except -1:
    """Whether the rules of fields.py hold, for sure. A subset: what is not plain may be right all the same."""
    cdef Py_ssize_t start = 0, i, count = len(fields)
    cdef int seen = 0
    cdef bytes name, value
    length[0] = -1
    if role == REQUEST:
        while start < count:
            name, value = <tuple> fields[start]
            if not PyBytes_GET_SIZE(name) or PyBytes_AS_STRING(name)[0] != 58:
                break
            if not plain_pseudo(name, value, &seen):
                return False
            start += 1
        if seen != 15:
            return False
    elif role == RESPONSE:
        if not count:
            return False
        name, value = <tuple> fields[0]
        if not same(name, b":status", 7) or PyBytes_GET_SIZE(value) != 3 or not value.isdigit():
            return False
        status[0] = int(value)
        if not 200 <= status[0] <= 599:
            return False
        start = 1
    for i in range(start, count):
        name, value = <tuple> fields[i]
        if not is_name(name) or not is_value(value):
            return False
        if not plain_rule(name, value, length):
            return False
    return True


cdef bint plain_rule(bytes name, bytes value, long long* length) except -1:
    """The fields with rules of their own: `te: trailers`, one Content-Length; all others are not plain."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(name)
    if size == 2:
        return not same(name, b"te", 2) or same(value, b"trailers", 8)
    if size == 4:
        return not same(name, b"host", 4)
    if size == 14 and same(name, b"content-length", 14):
        # Attack: two lengths, or one that another reader reads differently.
        if length[0] >= 0 or not value.isdigit() or PyBytes_GET_SIZE(value) > 18:
            return False
        length[0] = int(value)
        return True
    if size == 7:
        return not same(name, b"upgrade", 7)
    return not (
        same(name, b"connection", 10) or same(name, b"proxy-connection", 16) or same(name, b"keep-alive", 10)
        or same(name, b"transfer-encoding", 17) or same(name, b"http2-settings", 14)
    )
