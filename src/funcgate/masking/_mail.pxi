"""E-mail addresses in a text: what the pattern of detectors/email.py finds, by hand. Plain C."""

cdef enum:
    LOCAL = 1  # may stand before the @
    FIRST = 2  # may begin it
    NAME = 4  # may begin or end a label of the domain
    TOP = 8  # may begin the last one

cdef unsigned char in_mail[256]


cdef void _make_mail_table() noexcept:
    cdef int at
    cdef unsigned char byte
    for at in range(256):
        in_mail[at] = LOCAL | FIRST | NAME | TOP if at >= 128 or classes[at] & LETTER else 0
        if classes[at] & DIGIT:
            in_mail[at] = LOCAL | FIRST | NAME
    for byte in <bytes> b".!#$%'*^`|~-":
        in_mail[byte] = LOCAL
    in_mail[c"_"] = in_mail[c"+"] = LOCAL | FIRST


_make_mail_table()


cdef bint _find_address(Place at, Place end, Place* first, Place* last) noexcept:
    """Whether there is one between these places: the leftmost then."""
    cdef Place low = at
    while True:
        at = <Place> memchr(at, c"@", end - at)
        if at is NULL:
            return False
        first[0] = at
        while first[0] > low and in_mail[first[0][-1]] & LOCAL:
            first[0] -= 1
        while first[0] < at and not in_mail[first[0][0]] & FIRST:
            first[0] += 1
        if first[0] < at:
            last[0] = _end_of_domain(at + 1, end)
            if last[0] is not NULL:
                return True
        at += 1


cdef Place _end_of_domain(Place begin, Place end) noexcept:
    """The end of the longest domain with a dot that begins here, NULL if none does."""
    cdef Place dot = begin, stop
    if dot >= end or not in_mail[dot[0]] & NAME:
        return NULL
    while dot < end and (in_mail[dot[0]] & NAME or dot[0] == c"." or dot[0] == c"-"):
        dot += 1
    end = dot
    while dot - begin > 1:
        dot -= 1
        if dot[0] != c".":
            continue
        if in_mail[dot[-1]] & NAME and end - dot > 2 and in_mail[dot[1]] & TOP:
            stop = end
            while stop - dot > 2 and not in_mail[stop[-1]] & NAME:
                stop -= 1
            if stop - dot > 2:
                return stop
        end = dot
    return NULL


cdef list _addresses(Place start, Place end, Py_ssize_t index):
    """All of them, as hits."""
    cdef list hits = []
    cdef Place at = start, first, last
    while _find_address(at, end, &first, &last):
        hits.append((first - start, last - start, index))
        at = last
    return hits
