# Entries packed into a worker's parcel: the compiled half of `lines.pack_lines`. Part of _native.pyx.


cdef class Packing:
    """`lines.pack_lines`: `mend` adds an entry that is not plain."""

    def __init__(self, mend):
        self._mend = mend

    def pack(self, bytearray buffer not None, tuple entries not None, bint waits, /):
        """See `lines.pack_lines`."""
        self.pack_in(buffer, entries, waits)

    cdef int pack_in(self, bytearray buffer, tuple entries, bint waits) except -1:
        cdef Py_ssize_t before = len(buffer)
        try:
            return self._pack(buffer, entries, waits)
        except BaseException:
            # Attack: entries for which there is no memory: a parcel with half of them in it ends this worker, and all its calls.
            PyByteArray_Resize(buffer, before)
            raise

    cdef int _pack(self, bytearray buffer, tuple entries, bint waits) except -1:
        cdef Py_ssize_t size
        cdef char* done
        cdef char* into = more(buffer, 5)
        into[0] = waits
        put_size(into + 1, PyTuple_GET_SIZE(<PyObject*> entries))
        for entry in entries:
            if type(entry) is Drawn and (<Drawn> entry).line is not NULL:
                size = (<Drawn> entry).size
                into = more(buffer, size + 5)
                put_size(into, size + 1)
                into[4] = c"{"
                memcpy(into + 5, (<Drawn> entry).line, size)
                continue
            done = NULL
            if Py_TYPE(<PyObject*> entry) == ENTRY:
                set_field(<PyObject*> entry, seq_at, 0)
                set_field(<PyObject*> entry, at_at, "")
                done = put_struct(page, page + PAGE, <PyObject*> entry, &shapes[0], 0)
            if done is NULL or memchr(page, c"\n", done - page) is not NULL:
                self._mend(buffer, entry)
                continue
            into = more(buffer, done - page + 4)
            put_size(into, done - page)
            memcpy(into + 4, page, done - page)
        return 0


cdef void put_size(char* at, Py_ssize_t size) noexcept:
    cdef int place
    for place in range(4):
        at[place] = size >> 8 * place & 255
