"""JSON's numbers: their grammar (RFC 8259, 6), and which of those with an exponent can be no card. Plain C."""

cdef struct Number:
    Place digits
    Py_ssize_t whole, parts, power  # how many digits before and after the point; the exponent, 1000 for all beyond
    Py_ssize_t exponent  # how many digits that has; 0 = there is none
    bint less  # it is negative


cdef Place _read_number(Place at, Place end, Number* into) noexcept:
    """The end of the number that begins here, NULL if none does."""
    cdef Place start
    into.parts = into.power = into.exponent = into.less = 0
    if at < end and at[0] == c"-":
        at += 1
    into.digits = start = at
    while at < end and classes[at[0]] & DIGIT:
        at += 1
    into.whole = at - start
    if at == start or (start[0] == c"0" and at - start > 1):
        return NULL
    if at < end and at[0] == c".":
        at += 1
        start = at
        while at < end and classes[at[0]] & DIGIT:
            at += 1
        into.parts = at - start
        if at == start:
            return NULL
    if at < end and at[0] | 32 == c"e":
        at += 1
        if at < end and (at[0] == c"+" or at[0] == c"-"):
            into.less = at[0] == c"-"
            at += 1
        start = at
        while at < end and classes[at[0]] & DIGIT:
            into.power = min(10 * into.power + at[0] - 48, 1000)
            at += 1
        into.exponent = at - start
        if at == start:
            return NULL
    return at


cdef bint _is_short(Number* number) noexcept:
    """Whether a number with an exponent, written without it (`tokens.expanded`), is no card for sure: too few digits in a row, or
    too many."""
    cdef Py_ssize_t whole = number.whole, parts = number.parts, power = number.power
    if number.less and whole < power < 20 and whole + parts < 20 and number.exponent < 4:
        # All after the point begins with a 0. No card does that is longer than 12 digits, and 12 digits after "0." are no longer than
        # a double is written (credit_card.py).
        return True
    if whole > 11 or parts > 11 or number.exponent > 11:
        return False
    if number.less:
        return power <= whole and (parts + power < 12 or whole + parts < 18)
    # So many digits stand before the point; after a 0, at most.
    return whole + power < 12 or (whole + power > 19 and number.digits[0] != c"0")
