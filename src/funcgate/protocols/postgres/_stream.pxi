# The compiled half of stream.py. See there.

cdef enum:
    HIGH_WATER = 256 << 10
    COMPACT = 64 << 10
    KEPT = 4 << 10  # bytes of room that a stream without anything in it keeps


cdef class Alarm:
    cdef object _loop
    cdef object _time
    cdef object _timer
    cdef object _waiter
    cdef double _at
    cdef double _until
    cdef readonly double since

    def __init__(self, loop):
        self._loop = loop
        self._time = loop.time

    cpdef watch(self, waiter, double within_s):
        self._waiter = waiter
        self.since = monotonic_s()
        self._until = self.since + within_s
        if self._timer is None or self._at > self._until:
            self.off()
            self._set(self._until, within_s)

    cpdef rest(self):
        self._waiter = None

    cpdef off(self):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    cdef int _set(self, double at, double within_s) except -1:
        self._at = at
        self._timer = self._loop.call_at(<double> self._time() + within_s, self._ring)
        return 0

    def _ring(self):
        cdef double left_s = self._until - monotonic_s()
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._waiter = None
        elif left_s > 0:
            self._set(self._until, left_s)
        else:
            waiter.set_exception(TimeoutError())


cdef class Stream:
    cdef public object _loop
    cdef public dict _limits
    cdef public bytearray _buffer
    cdef public Py_ssize_t _at
    cdef public Py_ssize_t _wanted
    cdef public bint _paused
    cdef public object _drained
    cdef public Alarm _alarm
    cdef public object waiter
    cdef public object taker
    cdef public Drive prompt
    cdef public object transport
    cdef public bint ended

    def __init__(self, loop, dict limits not None):
        self._loop = loop
        self._limits = limits
        self._buffer = bytearray()
        self._alarm = Alarm(loop)

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data):
        cdef Py_ssize_t there
        if type(data) is bytes and self._at == PyByteArray_GET_SIZE(self._buffer):
            there = PyBytes_GET_SIZE(data)
            PyByteArray_Resize(self._buffer, there)
            memcpy(PyByteArray_AS_STRING(self._buffer), PyBytes_AS_STRING(data), there)
            self._at = 0
        else:
            self._buffer += data
        # Attack: messages sent faster than they are carried, until the memory is gone.
        there = PyByteArray_GET_SIZE(self._buffer) - self._at
        if there > HIGH_WATER and there > self._wanted and self.transport is not None and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        taker = self.taker
        if taker is not None:
            if (<Quick> taker).asked() if type(taker) is Quick else taker():
                return
        self.ring()

    def wake(self):
        self.ring()

    cdef int ring(self) except -1:
        waiter, self.waiter = self.waiter, None
        if waiter is None:
            return 0
        if isinstance(waiter, Drive):
            (<Drive> waiter).fire(None)
        elif not waiter.done():
            waiter.set_result(None)
        return 0

    cdef bint is_empty(self):
        return PyByteArray_GET_SIZE(self._buffer) == self._at

    @property
    def empty(self):
        return self.is_empty()

    cdef bint is_quiet(self):
        return (
            PyByteArray_GET_SIZE(self._buffer) == self._at
            and not self._paused and not self.ended and self._drained is None
        )

    @property
    def quiet(self):
        return self.is_quiet()

    @property
    def full(self):
        return self._drained is not None

    def kind(self):
        return self.comes()

    cdef int comes(self):
        if self._at < PyByteArray_GET_SIZE(self._buffer):
            return <unsigned char> PyByteArray_AS_STRING(self._buffer)[self._at]
        return -1

    def whole(self, Py_ssize_t most):
        return self.all_of(most)

    cdef bytes all_of(self, Py_ssize_t most):
        cdef Py_ssize_t size = PyByteArray_GET_SIZE(self._buffer)
        cdef const char* raw = PyByteArray_AS_STRING(self._buffer)
        if size < 6 or size - self._at > most or memcmp(raw + size - 6, b"Z\0\0\0\5", 5):
            return b""
        return PyBytes_FromStringAndSize(raw + self._at, size - self._at)

    def ahead(self):
        return self.text()

    cdef tuple text(self):
        return asked_query(self._buffer, self._at, self._limits.get(QUERY, 0))

    def took(self, Py_ssize_t size):
        self.drop(size)

    cdef int drop(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t at = self._at + size
        if size < 0 or at > PyByteArray_GET_SIZE(self._buffer):
            raise ValueError("more than there is")
        self._wanted = 0
        if at == PyByteArray_GET_SIZE(self._buffer):
            if at > KEPT:
                PyByteArray_Resize(self._buffer, 0)
                at = 0
            else:
                # Attack: read from the memory of a session that is idle what it was sent last: a token, a row.
                memset(PyByteArray_AS_STRING(self._buffer), 0, at)
        elif at > COMPACT:
            del self._buffer[:at]
            at = 0
        self._at = at
        return 0

    def arrival(self, double within_s=0.0):
        return self.coming(within_s)

    cdef coming(self, double within_s):
        if self.ended:
            raise _Ended
        if self.prompt is None:
            waiter = self._loop.create_future()
        else:
            waiter = self.prompt.armed()
        self.waiter = waiter
        if within_s:
            self._alarm.watch(waiter, within_s)
        else:
            # A drive is the prompt of all its waits: what the last one was given must not end this one.
            self._alarm.rest()
        return waiter

    def write(self, data):
        self.put(data)

    cdef int put(self, data) except -1:
        if self.transport is None or self.ended:
            raise _Ended
        self.transport.write(data)
        return 0
