# Stretches of lines that many calls have in common, kept as they were written, by the very objects they were written of. What stands
# in a piece holds these: no other object gets their place. None of them ever changes (text, bytes, tuples of text), and none runs
# Python code when it goes.

cdef enum:
    PIECES = 8
    PIECE = 480  # bytes; what is longer is written each time

ctypedef struct Piece:
    PyObject* one
    PyObject* two
    PyObject* three
    Py_ssize_t size  # 0: nothing is here
    char text[PIECE]

cdef Piece whos[PIECES]
cdef Piece rules[PIECES]


cdef inline Piece* piece_of(Piece* pieces, object one, object two, object three) noexcept:
    """Where a piece of these is, or would be."""
    cdef size_t mixed = <size_t> <PyObject*> one ^ <size_t> <PyObject*> two >> 2 ^ <size_t> <PyObject*> three >> 1
    return &pieces[(mixed >> 4 ^ mixed >> 9) & PIECES - 1]


cdef inline bint is_of(Piece* piece, object one, object two, object three) noexcept:
    return piece.one == <PyObject*> one and piece.two == <PyObject*> two and piece.three == <PyObject*> three and piece.size > 0


cdef char* keep(Piece* piece, object one, object two, object three, const char* begun, char* at) noexcept:
    """What was written of these, from `begun` to `at`, which is returned."""
    if at is NULL or at == begun or at - begun > PIECE:
        return at
    was_one, was_two, was_three = piece.one, piece.two, piece.three
    Py_INCREF(one)
    Py_INCREF(two)
    Py_INCREF(three)
    piece.one, piece.two, piece.three = <PyObject*> one, <PyObject*> two, <PyObject*> three
    memcpy(piece.text, begun, at - begun)
    if piece.size:
        Py_DECREF(<object> was_one)
        Py_DECREF(<object> was_two)
        Py_DECREF(<object> was_three)
    piece.size = at - begun
    return at


cdef char* put_who(char* at, object shown, object function, object target) noexcept:
    """Who calls what, and where."""
    cdef Piece* piece = piece_of(whos, shown, function, target)
    cdef char* begun = at
    if is_of(piece, shown, function, target):
        return put_bytes(at, piece.text, piece.size)
    at = put_bytes(put_name(at, b',"principal":'), PyBytes_AS_STRING(shown), PyBytes_GET_SIZE(shown))
    at = put_word(put_word(at, b',"function":', function), b',"target":', target)
    return keep(piece, shown, function, target, begun, at)


cdef char* put_ruled(char* at, object function, object names, object version) noexcept:
    """What was decided on, and by which policies."""
    cdef Piece* piece = piece_of(rules, function, names, version)
    cdef char* begun = at
    if is_of(piece, function, names, version):
        return put_bytes(at, piece.text, piece.size)
    at = put_policy(put_word(at, b',"function":', function), names, version)
    return keep(piece, function, names, version, begun, at)
