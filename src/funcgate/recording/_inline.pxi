# The compiled half of contents/contents.py: entries that stay in their lines go on at once.

cdef class Inline(Taker):
    """`Contents` without a key. `behind` is what is under way; whatever is not plain is `slow_append`'s and `slow_note`'s."""

    cdef dict _behind
    cdef object _elsewhere
    cdef Py_ssize_t _inline
    cdef Taker _inner
    cdef object _append
    cdef object _note
    cdef object _slow_append
    cdef object _slow_note

    def __init__(self, dict behind not None, elsewhere, Py_ssize_t inline, inner, slow_append, slow_note):
        self._behind, self._elsewhere, self._inline = behind, elsewhere, inline
        self._inner, self._append, self._note = taker_of(inner), inner.append, inner.note
        self._slow_append, self._slow_note = slow_append, slow_note

    cdef bint _is_free(self) except -1:
        return not self._behind and not self._elsewhere.by_target

    def append(self, *entries):
        """See `Contents.append`."""
        return (self._append if self._is_free() and are_small(entries, self._inline) else self._slow_append)(*entries)

    def note(self, *entries):
        """See `Contents.note`."""
        (self._note if self._is_free() and are_small(entries, self._inline) else self._slow_note)(*entries)

    cdef object take(self, first, second):
        """See `taker.Taker`."""
        if self._is_free() and is_small(first, self._inline) and (second is None or is_small(second, self._inline)):
            return self._inner.take(first, second)
        return self._slow_append(first) if second is None else self._slow_append(first, second)

    cdef int put_down(self, entry) except -1:
        """See `taker.Taker`."""
        if self._is_free() and is_small(entry, self._inline):
            return self._inner.put_down(entry)
        self._slow_note(entry)
        return 0


cdef bint is_small(entry, Py_ssize_t inline) except -1:
    if type(entry) is Drawn:
        return (<Drawn> entry).args_size <= inline and (<Drawn> entry).body_size <= inline
    check(entry, ENTRY)
    for offset in (E_ARGS, E_BODY):
        part = get(entry, offset)
        if part is not None and len(part) > inline:
            return False
    return True


cdef bint are_small(tuple entries, Py_ssize_t inline) except -1:
    for entry in entries:
        if not is_small(entry, inline):
            return False
    return True


def all_small(tuple entries not None, Py_ssize_t inline):
    """`contents._all_small`."""
    return are_small(entries, inline)
