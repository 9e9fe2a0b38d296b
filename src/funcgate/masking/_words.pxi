"""Texts to look for in what a target answers: the spellings of the credential."""


cdef class Words:
    """Texts to look for, each of seven bytes or more, so that a look at every fourth byte is enough."""

    cdef unsigned char _marks[4096]
    cdef dict _places  # of four bytes: in which texts they are, and where

    def __init__(self, texts):
        places = {}
        for text in texts:
            if len(text) < 7:
                raise ValueError("too short to be looked for at every fourth byte")
            for at in range(4):
                places.setdefault(int.from_bytes(text[at : at + 4], "little"), []).append((bytes(text), at))
        self._places = {word: tuple(found) for word, found in places.items()}
        for at in range(4096):
            self._marks[at] = 0
        for word in places:
            self._marks[_mark(word)] = 1

    def may_be_in(self, bytes text not None):
        cdef Place at = <Place> PyBytes_AS_STRING(text)
        return self._may_be(at, at + len(text))

    cdef bint _may_be(self, Place at, Place end) except -1:
        cdef Place begin = at
        cdef unsigned int word
        while end - at >= 4:
            word = at[0] | at[1] << 8 | at[2] << 16 | <unsigned int> at[3] << 24
            if self._marks[_mark(word)] and self._is_at(word, begin, at, end):
                return True
            at += 4
        return False

    cdef bint _is_at(self, unsigned int word, Place begin, Place at, Place end) except -1:
        cdef Py_ssize_t before, size
        found = self._places.get(word)
        if found is None:
            return False
        for text, before in <tuple> found:
            size = len(<bytes> text)
            if at - begin >= before and end - at >= size - before:
                if memcmp(at - before, PyBytes_AS_STRING(<bytes> text), size) == 0:
                    return True
        return False

    cdef bint _may_be_spelled(self, Place at, Place end, Out* one, Out* other) except -1:
        """Whether any of them may be in the text, or in one of its undone forms (`Needles.scrub`)."""
        cdef int layer
        cdef Out* into
        if self._may_be(at, end):
            return True
        if not has_spelling(<const char*> at, end - at):
            return False
        for layer in range(LAYERS):
            # Attack: the target echoes the secret in a spelling that the lease did not foresee: \u0073ecret.
            into = other if layer & 1 else one
            if not _undone(at, end, into):
                return False
            if end - at > LARGE:
                _give_way()
            at = <Place> into.bytes
            end = at + into.size
            if self._may_be(at, end):
                return True
        return False


cdef inline unsigned int _mark(unsigned int word) noexcept:
    return (word * 2654435761u) >> 20
