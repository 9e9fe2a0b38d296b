# What a plain statement leaves for the next one of its session, which most often is the same one with other values.


if CALL.places.keys() != {
    "id", "target", "function", "args", "principal", "session", "digest", "received_at", "shared", "own", "client", "trace", "reason",
}:
    raise ImportError("a call with other fields")  # that would be left as they are

cdef enum:
    MOST_VALUES = 16  # that are kept room for


cdef class Left:
    """A Call and a Reply of one plan, as long as nobody else has them, and what the Call's arguments are made of."""

    cdef Plan plan
    cdef object call
    cdef object reply  # None: there was no answer
    cdef dict args
    cdef dict own
    cdef list values  # in both

    cdef object taken(self):
        """The call, for another use. What each call has of its own is not set."""
        put(self.call, C_TRACE, NO_TEXT)
        put(self.call, C_REASON, NO_TEXT)
        return self.call

    cdef bint rests(self) except -1:
        """Whether nobody has any of it who could see it change, and all is as it was made. Then nothing of the last use is in it."""
        cdef Py_ssize_t place, count = PyList_GET_SIZE(self.values)
        cdef int template = self.plan._template
        # Attack: be judged, recorded or shown by the arguments of another call, because somebody kept what is written over.
        if (
            Py_REFCNT(<PyObject*> self.call) != 1 or Py_REFCNT(<PyObject*> self.args) != 2 or Py_REFCNT(<PyObject*> self.own) != 2
            or Py_REFCNT(<PyObject*> self.values) != 3
        ):
            return False
        if get(self.call, C_ARGS) is not self.args or get(self.call, C_OWN) is not self.own or count > MOST_VALUES:
            return False
        if get(self.call, C_TARGET) is not self.plan._name or get(self.call, C_SHARED) is not self.plan.shared:
            return False
        if get(self.call, C_FUNCTION) is not self.plan.function:
            return False
        if PyDict_Size(self.args) != PyDict_Size(self.plan._args) or PyDict_Size(self.own) != 1 + template:
            return False
        # Attack: read from the memory of a session that is idle what it sent, or was sent, last.
        for place in range(count):
            self.values[place] = None
        if template:
            self.args["sql"] = self.own["sql"] = None
        if self.reply is not None and not self._reply_rests():
            self.reply = None
        return True

    cdef bint _reply_rests(self) except -1:
        if Py_REFCNT(<PyObject*> self.reply) != 1:
            return False
        headers = get(self.reply, R_HEADERS)
        if type(headers) is not list or Py_REFCNT(<PyObject*> headers) != 2 or PyList_GET_SIZE(headers):
            return False
        put(self.reply, R_BODY, None)
        return get(self.reply, R_STATUS) is OK


cdef Left new_left(Plan plan):
    cdef Left made = Left.__new__(Left)
    made.plan, made.call = plan, CALL.new()
    made.args, made.own, made.values = plan._args.copy(), {"sql": None} if plan._template else {}, []
    made.args["parameters"] = made.own["parameters"] = made.values
    put(made.call, C_TARGET, plan._name)
    put(made.call, C_FUNCTION, plan.function)
    put(made.call, C_ARGS, made.args)
    put(made.call, C_SHARED, plan.shared)
    put(made.call, C_OWN, made.own)
    return made
