# What is given to this half by the modules that it stands for, and what it shows to tests.


cdef class Probe(Drive):
    """For tests: a drive alone, that keeps what it was told."""

    cdef public list told

    def __init__(self, loop):
        self._loop = loop
        self._round = round_of(loop)
        self.told = []

    def begin(self, coroutine):
        self.start(coroutine)

    cdef int over(self, error) except -1:
        self.told.append(error)
        return 0


# Classes and functions that are made where this half is not the first to be there.
cdef type _Plain
cdef object _Ended, _slow, _EMPTY, _MEDIA, _TAGS, _encode, _lost, _Portal, _Bind, _formatted
cdef object _new_tuple = tuple.__new__
cdef bytes _DESCRIBE
cdef Py_ssize_t _WHOLE = 0
cdef Shape PREPARED = None
cdef Py_ssize_t P_PLAN = 0, P_TYPES = 0, P_SQL = 0, P_COLUMNS = 0


def ended_is(ended):
    """The exception of stream.py."""
    global _Ended
    _Ended = ended


def plain_is(slow, plain, empty, media, tags, encode, whole, lost):
    """What plain.py has: `slow` is the Python class, `plain` what is made of it and `Way`."""
    global _slow, _Plain, _EMPTY, _MEDIA, _TAGS, _encode, _WHOLE, _lost
    _slow, _Plain, _EMPTY, _MEDIA, _TAGS, _encode, _WHOLE, _lost = slow, plain, empty, media, tags, encode, whole, lost


def runs_are(portal, prepared, bind, formatted, bytes describe not None):
    """What runs.py has: the classes of portals, prepared statements and Binds, `formats.formatted`, and what asks for the unnamed
    portal's columns."""
    global _Portal, _Bind, _formatted, _DESCRIBE, PREPARED, P_PLAN, P_TYPES, P_SQL, P_COLUMNS
    _Portal, _Bind, _formatted, _DESCRIBE, PREPARED = portal, bind, formatted, describe, Shape(prepared)
    P_PLAN, P_TYPES, P_SQL, P_COLUMNS = [PREPARED.places[name] for name in ("plan", "types", "sql", "columns")]
