# Part of _native.pyx: what is known of one stream, of those that are gone, and how many frames of a kind may still come.

cdef enum:
    OPEN = 0
    ENDED_HERE = 1
    ENDED_THERE = 2
    CLOSED = 3

    RESETS = 0  # as in floods.py
    PINGS = 2
    UPDATES = 5
    KINDS = 7

    GENERATION = 512

cdef object WAS_ENDED, FORGOTTEN  # streams.Was
cdef tuple NAMES  # of the budgets


def know(ended, forgotten):
    global WAS_ENDED, FORGOTTEN
    WAS_ENDED, FORGOTTEN = ended, forgotten


def name(tuple names not None):
    global NAMES
    NAMES = names


cdef class Stream:
    """See streams.py."""

    cdef public long long id, send_window, receive_window, owed, left
    cdef public int state, bad
    cdef public bint headed, head_only

    def __init__(self, long long number, long long send_window, long long receive_window):
        self.id = number
        self.state = OPEN
        self.send_window = send_window
        self.receive_window = receive_window
        self.left = -1


cdef class Gone:
    """See streams.py."""

    cdef dict _newer, _older

    def __init__(self):
        self._newer, self._older = {}, {}

    cpdef remember(self, stream, how):
        if len(self._newer) >= GENERATION:
            self._older, self._newer = self._newer, {}
        self._newer[stream] = how

    def how(self, stream):
        return self._newer.get(stream) or self._older.get(stream, FORGOTTEN)


cdef class Budgets:
    """See floods.py."""

    cdef long long _whole[KINDS]
    cdef long long _left[KINDS]
    cdef double _per_s, _until

    def __init__(self, limits):
        whole = (
            limits.resets, limits.settings, limits.pings, limits.empty, limits.priorities, limits.updates, limits.unknown,
        )
        cdef int kind
        for kind in range(KINDS):
            self._whole[kind] = self._left[kind] = whole[kind]
        self._per_s, self._until = limits.per_s, 0.0

    def spend(self, int kind, double now):
        cdef int each
        if not 0 <= kind < KINDS:
            raise IndexError(kind)
        if now >= self._until:
            self._until = now + self._per_s
            for each in range(KINDS):
                self._left[each] = self._whole[each]
        self._left[kind] -= 1
        if self._left[kind] < 0:
            raise Broken(ErrorCode.ENHANCE_YOUR_CALM, f"too many {NAMES[kind]}")

    cdef void earned(self, int kind, int count) noexcept:
        self._left[kind] = min(self._left[kind] + count, 2 * self._whole[kind])

    def earn(self, int kind, int count):
        if not 0 <= kind < KINDS:
            raise IndexError(kind)
        self.earned(kind, count)
