"""Where the paths of hidden fields are while a text is read: states as small numbers, steps remembered (fields.py decides)."""

cdef enum:
    MOST_STEPS = 4096
    MOST_STATES = 512


cdef class Paths:
    """Filled as texts come; `full` says that another one should take its place. 0 is the state from which nothing is hidden."""

    cdef object _fields
    cdef dict _numbers, _steps
    cdef frozenset _names
    cdef list _states, _replaces
    cdef int start

    def __init__(self, fields):
        self._fields, self._numbers, self._steps = fields, {}, {}
        self._names = frozenset([name.encode() for name in fields.names])
        self._states, self._replaces = [], []
        self._number(frozenset())
        self.start = self._number(fields.start)

    cdef bint full(self):
        return len(self._states) >= MOST_STATES or len(self._steps) >= MOST_STEPS

    cdef int _number(self, state) except -1:
        found = self._numbers.get(state)
        if found is not None:
            return found
        # Attack: members in ever new combinations, until the memory is gone.
        if len(self._states) > 4 * MOST_STATES:
            return GIVE_UP
        replace = self._fields.hidden(state)
        cdef int number = len(self._states)
        self._states.append(state)
        self._replaces.append(replace)
        self._numbers[state] = number
        return number

    cdef int member(self, int at, bytes name) except -1:
        """The state in the member of this name."""
        if not at:
            return 0
        # Attack: ever new keys, each megabytes long: what is remembered are the names in the paths; all others are one.
        if name not in self._names:
            name = b""
        key = (at, name)
        found = self._steps.get(key)
        if found is not None:
            return found
        cdef int number = self._number(self._fields.step(self._states[at], name.decode()))
        if number != GIVE_UP and len(self._steps) < MOST_STEPS:
            self._steps[key] = number
        return number

    cdef int element(self, int at) except -1:
        """The state in any element."""
        if not at:
            return 0
        found = self._steps.get(at)
        if found is not None:
            return found
        cdef int number = self._number(self._fields.element(self._states[at]))
        if number != GIVE_UP and len(self._steps) < MOST_STEPS:
            self._steps[at] = number
        return number

    cdef inline object hides(self, int at):
        """What to write instead of the value at this state, None when it stays."""
        return self._replaces[at] if at else None
