# The compiled halves of tape.py: whole answers, and arguments as the record may show them. Streams, and whatever is out of the
# ordinary, are handed back to the Python code (`tape_is`).

cdef extern from "string.h":
    void* memmem(const void* text, size_t size, const void* part, size_t part_size)

cdef object _ENCODE = None, _SURE = None, _ENCODE_SLOWLY = None, _SLOW_ARGS = None  # of arguments
cdef object _STREAMED = None, _SLOW_FIELDS = None, _TOO_LARGE = None, _AS_JSON = None, _AS_TEXT = None  # of answers


def tape_is(streamed, slow_fields, too_large, as_json, as_text):
    """What tape.py has for answers."""
    global _STREAMED, _SLOW_FIELDS, _TOO_LARGE, _AS_JSON, _AS_TEXT
    _STREAMED, _SLOW_FIELDS, _TOO_LARGE, _AS_JSON, _AS_TEXT = streamed, slow_fields, too_large, as_json, as_text


def args_are(slow_args, encode, sure, slowly):
    """What tape.py has for arguments."""
    global _SLOW_ARGS, _ENCODE, _SURE, _ENCODE_SLOWLY
    _SLOW_ARGS, _ENCODE, _SURE, _ENCODE_SLOWLY = slow_args, encode, sure, slowly


@cython.final
@cython.freelist(16)
cdef class Whole:
    """`tape.Tape` of an answer that is no stream."""

    cdef readonly object masked
    cdef readonly object reply
    cdef readonly tuple fields
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t recorded
    cdef readonly bint worth
    cdef readonly bint begun
    cdef object _call
    cdef Py_ssize_t _limit

    def chunk(self):
        """See `tape.Tape`."""
        cdef object reply = self.reply, media
        cdef tuple fields = self.fields
        cdef Py_ssize_t size = self.size
        if size > self._limit:
            raise _TOO_LARGE(self._limit)
        self.recorded = size
        trailers = get(reply, R_TRAILERS)
        if trailers:
            fields = fields + fields_of(trailers)
        if not size:
            return answered(self._call, reply, fields, self.masked.counts, None, False, "")
        body, media = get(reply, R_BODY), get(reply, R_MEDIA)
        known = self.masked.json
        if media == "application/json" or (<str?> media).endswith("+json"):
            if known is True and media == "application/json" and one_line(body):
                return answered(self._call, reply, fields, self.masked.counts, body, True, "")  # as `as_json` would say
            shown = _AS_JSON(body, media, known)
            if shown is not None:
                return answered(self._call, reply, fields, self.masked.counts, bytes(shown), True, "")
        return answered(self._call, reply, fields, self.masked.counts, text_of(body, media), False, media)


cdef object text_of(body, media):
    """`tape.as_text`; bytes where these are all ASCII, and the text."""
    cdef const char* data
    if PyBytes_CheckExact(body):
        data = PyBytes_AS_STRING(body)
        # Attack: an answer that looks like a `data:` URL would be shown as what that URL decodes to.
        if PyBytes_GET_SIZE(body) < 5 or memcmp(data, b"data:", 5) != 0:
            try:
                if all_ascii(data, PyBytes_GET_SIZE(body)):
                    return body
                return PyUnicode_DecodeUTF8(data, PyBytes_GET_SIZE(body), NULL)
            except UnicodeDecodeError:
                pass
    return _AS_TEXT(body, media)


cdef tuple fields_of(pairs):
    found = quick_fields(pairs)
    return <tuple?> (_SLOW_FIELDS(pairs) if found is None else found)


cpdef tape_of(masked, Py_ssize_t limit, call, append):
    """See `tape.tape_of`."""
    cdef Whole made
    reply = masked.reply
    if type(reply) is not REPLY.of or type(call) is not CALL.of or get(reply, R_STREAM) is not None:
        return _STREAMED(masked, limit, call, append)
    made = Whole.__new__(Whole)
    made.masked, made.reply, made._call, made._limit = masked, reply, call, limit
    body = get(reply, R_BODY)
    made.size = 0 if body is None else len(body)
    made.fields = fields_of(get(reply, R_HEADERS))
    made.worth = made.size > 0 or len(made.fields) > 0 or bool(get(reply, R_TRAILERS))
    return made


cdef bytes encoded_args(args):
    """`tape.encode_args`."""
    cdef bytes encoded = plain_json(args)
    if encoded is not None:
        return encoded
    try:
        encoded = _ENCODE(args)
    except Exception:
        return _ENCODE_SLOWLY(args)
    if memmem(PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded), b"null", 4) is NULL:
        return encoded
    return _SURE(args, encoded)


def encode_args(args):
    """See `tape.encode_args`."""
    return encoded_args(args)


cpdef bytes masked_args(masker, call):
    """See `tape.masked_args`."""
    cdef bytes fixed, own, whole
    cdef Py_ssize_t first, second
    cdef char* into
    check(call, CALL)
    shared = get(call, C_SHARED)
    if shared is None:
        return masker.mask_args(encoded_args(get(call, C_ARGS)))
    fixed = (<Shared> shared).recall(masker) if type(shared) is Shared else shared.recall(masker)
    if fixed is None:
        return _SLOW_ARGS(masker, call)
    own = masker.mask_args(encoded_args(get(call, C_OWN)))
    if own is None:
        raise TypeError("no arguments")
    first, second = PyBytes_GET_SIZE(fixed), PyBytes_GET_SIZE(own)
    if first <= 2 or second <= 2 or PyBytes_AS_STRING(fixed)[0] != c"{" or PyBytes_AS_STRING(own)[0] != c"{":
        return masker.mask_args(encoded_args(get(call, C_ARGS)))
    whole = PyBytes_FromStringAndSize(NULL, first + second - 1)
    into = PyBytes_AS_STRING(whole)
    memcpy(into, PyBytes_AS_STRING(fixed), first - 1)
    into[first - 1] = c","
    memcpy(into + first, PyBytes_AS_STRING(own) + 1, second - 1)
    return whole
