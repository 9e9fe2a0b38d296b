# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The compiled halves of issuers.py (tokens that are remembered) and unrevoked.py. Who is to be refused is refused by these."""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_Check, PyTuple_GET_ITEM, PyTuple_GET_SIZE

import time

from funcgate.core.principal import RawToken

cdef extern from *:
    """
    #include <time.h>
    /* As time.time(), to the last bit; below 0 where the clock cannot be read. */
    static double unix_s(void) {
        struct timespec now;
        if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1.0;
        return (double)((long long)now.tv_sec * 1000000000 + now.tv_nsec) / 1e9;
    }
    """
    double unix_s()

cdef enum:
    OFTEN = 64

cdef object _TIME = time.time, _TOKEN = RawToken


cdef class Remembering:
    """See `issuers.Remembering`."""

    cdef object _by_digest, _clock, _refused, _moved
    cdef bint _systems_clock
    cdef PyObject* _last  # what was recalled last: not held, and only compared
    cdef int _again  # how often it came since it was moved

    def __init__(self, tokens, now, revoked):
        if not isinstance(tokens, dict):
            raise TypeError("no dict")
        self._by_digest, self._clock, self._refused = tokens, now, revoked
        self._moved = tokens.move_to_end
        self._systems_clock = now is _TIME

    def recall(self, token):
        """See `core.ports.Identity`."""
        cdef PyObject* found
        cdef object remembered, verdict
        cdef double now, until, good_until
        if type(token) is not _TOKEN:
            return self._recall(token)
        digest = token.digest
        found = PyDict_GetItemWithError(self._by_digest, digest)
        if found is NULL:
            return None
        remembered = <object> found
        if not PyTuple_Check(remembered) or PyTuple_GET_SIZE(remembered) != 3:
            return self._recall(token)
        verdict = <object> PyTuple_GET_ITEM(remembered, 0)
        if not PyTuple_Check(verdict) or PyTuple_GET_SIZE(verdict) != 3 or self._refused.marks:
            return self._recall(token)  # somebody is revoked: it looks whether this is who
        now = unix_s() if self._systems_clock else self._clock()
        until = <object> PyTuple_GET_ITEM(verdict, 1)
        good_until = (<object> PyTuple_GET_ITEM(verdict, 2)).good_until
        # Attack: go on with a token whose key was withdrawn, or whose provider has been silent for longer than `keep`.
        if 0 <= now < until and now < good_until:
            # Who came last is among the last already, and is moved there now and then, should others have come beside.
            if found != self._last or self._again >= OFTEN:
                self._moved(digest)
                self._last, self._again = found, 0
            self._again += 1
            return <object> PyTuple_GET_ITEM(verdict, 0)
        return self._recall(token)


cdef class Unrevoked:
    """`unrevoked.Unrevoked` while no session is revoked. `slow` is one for when some are."""

    cdef object _policies, _decide, _revoked, _slow

    def __init__(self, policies, revoked, slow):
        self._policies, self._decide, self._revoked, self._slow = policies, policies.decide, revoked, slow

    def decide(self, call):
        """See `core.ports.Policies`."""
        # Attack: go on in a session that was revoked.
        if self._revoked.sessions:
            return self._slow.decide(call)
        return self._decide(call)

    def blind(self, call):
        """See `core.ports.Policies`. Sessions are no arguments."""
        return self._policies.blind(call)
