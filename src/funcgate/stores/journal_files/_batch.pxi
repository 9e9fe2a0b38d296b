# The compiled half of batch.py, and the memory that batches are filled in. Included by _intake.pyx.

cdef extern from *:
    """
    /* Makes a bytearray empty that keeps its memory: 1, or 0 where somebody else has it or that is more than `most`. */
    static int emptied(PyObject *buffer, Py_ssize_t most) {
        PyByteArrayObject *b = (PyByteArrayObject *)buffer;
        if (Py_REFCNT(buffer) != 1 || b->ob_exports || !b->ob_bytes || b->ob_alloc > most) return 0;
        b->ob_start = b->ob_bytes;
        b->ob_start[0] = 0;
        Py_SET_SIZE(b, 0);
        return 1;
    }

    /* Another processor has what the disk's thread read here for the batch before: have the next lines' place back by the time
       they are written. It reads nothing. In assembler: compilers leave out a loop of their own prefetches. */
    static void ask_for(PyObject *buffer, Py_ssize_t size) {
    #if defined(__x86_64__) && defined(__GNUC__)
        PyByteArrayObject *b = (PyByteArrayObject *)buffer;
        const char *at = b->ob_start + Py_SIZE(buffer) + 64, *end = b->ob_bytes + b->ob_alloc;
        if (end - at > size) end = at + size;
        for (; at < end; at += 64) __asm__ volatile("prefetchw %0" : : "m"(*at));
    #endif
    }
    """
    bint emptied(object buffer, Py_ssize_t most)
    void ask_for(object buffer, Py_ssize_t size)

cdef list _spare = []  # buffers of batches that are written, for the next: one flies, one is filled, one lies here


cdef class Batch:
    """See batch.py."""

    cdef public Py_ssize_t first_seq
    cdef public Py_ssize_t roll
    cdef public bytearray lines
    cdef public object begun
    cdef public Py_ssize_t count
    cdef public list waiters
    cdef public list appended
    cdef public list parcels
    cdef list _noted  # entries, and between which bytes of `lines` others are, that need not be kept
    cdef Py_ssize_t _from, _to  # the last of these

    def __init__(self, Py_ssize_t first_seq, Py_ssize_t roll=0):
        self.first_seq = first_seq
        self.roll = roll
        self.lines = _spare.pop() if _spare else bytearray()
        self.begun = None
        self.count = 0
        self.waiters = []
        self.appended = []
        self.parcels = []
        self._noted = []

    @property
    def noted(self):
        """A list of its own."""
        cdef list found = []
        self._keep_span()
        for one in self._noted:
            if type(one) is tuple:
                found.extend([_read(line) for line in bytes(self.lines[one[0] : one[1] - 1]).split(b"\n")])
            else:
                found.append(one)
        return found

    cpdef note(self, entries):
        self._keep_span()
        self._noted.extend(entries)

    cdef int _note_span(self, Py_ssize_t begin, Py_ssize_t end) except -1:
        """The lines from `begin` to `end` are noted. What lies there is not kept as objects: four a statement, for the
        milliseconds that a batch waits, were all new memory for each."""
        if begin != self._to:
            self._keep_span()
            self._from = begin
        self._to = end
        return 0

    cdef int _keep_span(self) except -1:
        if self._to > self._from:
            self._noted.append((self._from, self._to))
        self._from = self._to
        return 0

    def wake(self):
        cdef Durable waiting
        cdef bytearray lines = self.lines
        self.lines = bytearray()
        if PyList_GET_SIZE(_spare) < SPARE and emptied(lines, MOST_SPARE):
            _spare.append(lines)
        for waiter in self.waiters:
            if type(waiter) is Durable:
                waiting = <Durable> waiter
                if not waiting._done:
                    waiting._settle(None)
            elif not waiter.done():
                waiter.set_result(None)


cdef object _read(line):
    """The entry of a line, as it came: `add` numbers and dates it anew."""
    entry = decode_line(line)
    entry.crc = ""
    return entry
