# The compiled half of masker.py: arguments, and whole answers in JSON with fields that hide nothing, by the quick pass alone. All
# else, and whatever that pass is not sure of, is left to the Python code.

cdef Shape REPLY = Shape(_Reply)
cdef Py_ssize_t R_STATUS, R_HEADERS, R_MEDIA, R_CHARSET, R_ENCODING, R_BODY, R_STREAM, R_TRAILERS, R_OUTCOME
(R_STATUS, R_HEADERS, R_MEDIA, R_CHARSET, R_ENCODING, R_BODY, R_STREAM, R_TRAILERS, R_OUTCOME) = [
    REPLY.places[name] for name in
    ("status", "headers", "media", "charset", "encoding", "body", "stream", "trailers", "outcome")
]


@cython.freelist(16)
cdef class Masked:
    """See `masker.Masked`."""

    cdef public object reply
    cdef public object counts
    cdef public object json

    def __init__(self, reply, counts, json=False):
        self.reply, self.counts, self.json = reply, counts, json


cdef inline Masked masked(reply, dict counts, bint json):
    cdef Masked made = Masked.__new__(Masked)
    made.reply, made.counts, made.json = reply, counts, json
    return made


cdef class Seen:
    """A sight, as far as the quick pass has to know it."""

    cdef object lease
    cdef set known
    cdef Glance glance
    cdef Words words


cdef str EMPTY = ""


cdef inline bint has(object of, Py_ssize_t offset) except -1:
    """Whether there is anything in a field."""
    cdef PyObject* value = (<PyObject**> (<char*> <PyObject*> of + offset))[0]
    return value != <PyObject*> EMPTY and (value is NULL or bool(<object> value))


cdef class Plain:
    """See `masker.Plain`. Its own methods for all else are told that the quick pass was not sure."""

    cdef Glance _shown
    cdef object _ruled, _sight_of
    cdef Seen _seen
    cdef str _lines, _json  # the names of these two media types, as they came last

    def __init__(self, rules, journal, sight_of):
        self._shown = None if journal.glance is None else journal.glance.__self__
        self._ruled, self._sight_of = rules, sight_of
        self._lines, self._json = "application/x-ndjson", "application/json"

    def mask_args(self, encoded_args):
        """See `masker.Masker`."""
        cdef bytes shown
        if self._shown is None or type(encoded_args) is not bytes:
            return self._mask_args(encoded_args)
        try:
            shown = self._shown.masked(<bytes> encoded_args, None, None, False)
        except Exception:
            return self._mask_args(encoded_args)
        if shown is None or memchr(PyBytes_AS_STRING(shown), c"\n", len(shown)) or memchr(PyBytes_AS_STRING(shown), c"\r", len(shown)):
            return self._mask_args(encoded_args, shown is None)
        return shown

    def mask_reply(self, reply, lease):
        """See `masker.Masker`."""
        cdef Seen seen = self._seen
        cdef dict counts
        cdef bytes body, new
        cdef bint lines
        cdef long status
        if self._ruled is None or type(reply) is not REPLY.of:
            return self._mask_reply(reply, lease)
        if seen is None or seen.lease is not lease:
            seen = self._looked(lease)
        if (
            seen.glance is None or get(reply, R_STREAM) is not None or has(reply, R_CHARSET) or has(reply, R_ENCODING)
            or has(reply, R_TRAILERS)
        ):
            return self._mask_reply(reply, lease)
        told, code, media, headers = get(reply, R_BODY), get(reply, R_STATUS), get(reply, R_MEDIA), get(reply, R_HEADERS)
        if type(told) is not bytes or type(code) is not int:
            return self._mask_reply(reply, lease)
        body, status = told, code
        lines = media is self._lines
        if not lines and media is not self._json:
            if type(media) is not str:
                return self._mask_reply(reply, lease)
            lines = <str> media == "application/x-ndjson"
            if lines:
                self._lines = media
            elif <str> media == "application/json":
                self._json = media
            else:
                return self._mask_reply(reply, lease)
        # Attack: ask for one byte at a time (Range, 206), and put together at home what no detector saw whole.
        if not body or status == 204 or status == 206 or status == 304:
            return self._mask_reply(reply, lease)
        if type(headers) is not list:
            return self._mask_reply(reply, lease)
        for pair in <list> headers:
            if pair not in seen.known:
                return self._mask_reply(reply, lease)
        counts = {}
        try:
            new = seen.glance.masked(body, counts, seen.words, lines)
        except Exception:
            return self._mask_reply(reply, lease)
        if new is None:
            return self._mask_reply(reply, lease, True)
        return masked(reply if new is body else with_body(reply, <list> headers, new), counts, not lines)

    cdef Seen _looked(self, lease):
        cdef Seen seen = Seen.__new__(Seen)
        sight = self._sight_of(lease, self._ruled)
        seen.lease, seen.known, seen.words = lease, sight.known, sight.needles.words
        seen.glance = None if sight.glance is None else sight.glance.__self__
        self._seen = seen  # whole, at once: large answers are masked in threads
        return seen


cdef object with_body(reply, list headers, bytes body):
    """`masker._with_body`, for a body that was masked."""
    cdef list kept = []
    for pair in headers:
        # Attack: a digest of the unmasked body lets the caller try all SSNs until it fits.
        if not of_the_bytes((<bytes?> (<tuple?> pair)[0])):
            kept.append(pair)
    made = REPLY.new()
    put(made, R_STATUS, get(reply, R_STATUS))
    put(made, R_HEADERS, kept)
    put(made, R_MEDIA, get(reply, R_MEDIA))
    put(made, R_CHARSET, get(reply, R_CHARSET))
    put(made, R_BODY, body)
    put(made, R_TRAILERS, get(reply, R_TRAILERS))
    put(made, R_OUTCOME, get(reply, R_OUTCOME))
    return made


cdef bint of_the_bytes(bytes name):
    """Whether it is one of `masker._OF_THE_BYTES`, in letters of any case."""
    cdef char lower[16]
    cdef Py_ssize_t size = len(name), place
    cdef char letter
    cdef const char* text = PyBytes_AS_STRING(name)
    if size > 16 or size < 6:
        return False
    for place in range(size):
        letter = text[place]
        lower[place] = letter + 32 if c"A" <= letter <= c"Z" else letter
    if size == 16:
        return memcmp(lower, b"content-encoding", 16) == 0
    if size == 14:
        return memcmp(lower, b"content-length", 14) == 0 or memcmp(lower, b"content-digest", 14) == 0
    if size == 11:
        return memcmp(lower, b"content-md5", 11) == 0 or memcmp(lower, b"repr-digest", 11) == 0
    return size == 6 and memcmp(lower, b"digest", 6) == 0
