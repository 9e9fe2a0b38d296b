# The compiled half of plain.py's `Plain`: the plain way of each step. Any other is handed back to the Python code (`_slow`).


cdef class Done:
    """To be awaited: nothing is waited for."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration


cdef Done DONE = Done()
cdef double LEAST_S = 0.001


cdef list _texts(tuple values, tuple formats, tuple types):
    """`StatementExchange.values` of values that are sent as text and read as they are; None for others."""
    cdef list shown = []
    cdef Py_ssize_t place = 0
    for value in values:
        if value is None:
            shown.append(None)
        elif formats[place] != 0 or (place < len(types) and types[place] in _SPELLED):
            return None
        else:
            try:
                shown.append(PyUnicode_DecodeUTF8(PyBytes_AS_STRING(<bytes?> value), PyBytes_GET_SIZE(value), NULL))
            except UnicodeDecodeError:
                return None
        place += 1
    return shown


cdef tuple CALL_NAMES = (
    "id", "target", "function", "args", "principal", "session", "digest", "received_at", "shared", "own", "client",
)
cdef tuple REPLY_NAMES = ("status", "headers", "media", "body")
cdef object OK = 200


cdef class Way:
    cdef public Standing session
    cdef public object call_id
    cdef public object client
    cdef public object target
    cdef public object portal
    cdef public object shape
    cdef public object call
    cdef public object prepared
    cdef public object _function
    cdef public object _site
    cdef public Plan _plan
    cdef public str _sql
    cdef public bytes _data
    cdef public str _asked
    cdef public bytes _came
    cdef public object _lines
    cdef public Py_ssize_t _hidden
    cdef public double _until
    cdef public bint passed

    def __init__(
        self, Standing session not None, Plan plan not None, str sql not None, bytes data not None, str asked not None="",
        portal=None,
    ):
        self.session = session
        self.call_id = _new_id()
        self.client = session.client
        self.target = plan._name
        self.portal = portal
        self.shape = _EMPTY
        self._function = plan._kind
        self._site = plan.site
        if portal is not None:
            self.prepared = portal.prepared
        self._plan = plan
        self._sql = sql
        self._data = data
        self._asked = asked
        self._came = b""

    @property
    def token(self):
        return self.session.token

    async def resolve(self, principal):
        if not self._resolve(principal):
            return await _slow.resolve(self, principal)
        return self.call

    cdef bint _resolve(self, principal) except -1:
        cdef Standing session = self.session
        cdef Plan plan = self._plan
        cdef bytes rest
        cdef tuple named
        cdef dict args
        cdef tuple formats, given, results
        if not plan.holds_now(session) or plan._roles or session.role:
            return False
        if self.portal is None:
            values = []
            rest = _told_text(self._sql)
            if rest is None:
                rest = f"{self._sql!r}, (), ())".encode()
        else:
            _, _, formats, given, results = self.portal.bind
            if formats is None or given is None or results is None or PyTuple_GET_SIZE(given) < plan._parameters:
                return False
            values = _texts(given, formats, self.prepared.types)
            if values is None:
                return False
            rest = _told_values(formats, given, results)
            if rest is None:
                rest = f"{(formats, given, results)!r})".encode()
        text = _own_text(self._sql) if plan._sql is None else plan._sql
        args = plan._args.copy()
        args["sql"], args["parameters"] = text, values
        named = session._named
        session_name = named[1] if named is not None and named[0] is principal else session.session_of(principal)
        self.call = self._call(principal, session_name, plan.digest(rest), args, {"sql": text, "parameters": values})
        return True

    cdef object _call(self, principal, session_name, digest, dict args, dict own):
        cdef PyObject* given[11]
        cdef Plan plan = self._plan
        at = _time()
        given[0] = <PyObject*> self.call_id
        given[1] = <PyObject*> self.target
        given[2] = <PyObject*> plan.function
        given[3] = <PyObject*> args
        given[4] = <PyObject*> principal
        given[5] = <PyObject*> session_name
        given[6] = <PyObject*> digest
        given[7] = <PyObject*> at
        given[8] = <PyObject*> plan.shared
        given[9] = <PyObject*> own
        given[10] = <PyObject*> self.client
        return PyObject_Vectorcall(_Call, given, 0, CALL_NAMES)

    async def send(self, permit, lease):
        cdef Stream channel
        cdef Standing session = self.session
        cdef Plan plan = self._plan
        upstream = session.upstream
        if self.call is None or upstream is None or session.held or plan._budgets or not plan.holds_now(session):
            return await _slow.send(self, permit, lease)
        permit.spend(self.call.digest)
        channel = upstream.channel
        self._until = monotonic_s() + plan._timeout_s
        session.dirty = session.awaiting_ready = True
        session.unsynced = False
        try:
            channel.put(self._data)
        except _Ended:
            raise _lost() from None
        if channel.is_empty():
            try:
                await channel.coming(max(min(plan._timeout_s, plan._first_byte_s), LEAST_S))
            except (TimeoutError, _Ended) as error:
                raise self.unanswered(error) from None
        if not self._read_plain(channel, upstream):
            self._unplain()
            return await self._read(plan.hiding, strict=plan.strict)
        return self._reply()

    cdef object _reply(self):
        cdef PyObject* given[4]
        headers = []
        given[0] = <PyObject*> OK
        given[1] = <PyObject*> headers
        given[2] = <PyObject*> _MEDIA
        given[3] = <PyObject*> self._lines
        return PyObject_Vectorcall(_Reply, given, 0, REPLY_NAMES)

    cdef bint _read_plain(self, Stream channel, upstream) except -1:
        cdef bytes data = channel.all_of(_WHOLE)
        cdef Standing session = self.session
        cdef Plan plan = self._plan
        cdef Py_ssize_t rows
        found = None
        if data:
            try:
                shape = self._shape() if self._asked == "2" else _EMPTY
                found = _answer(data, self._asked, shape, plan._known, _TAGS, _encode)
            except ValueError:  # a text that is none: taken message by message it says what is wrong with it
                pass
        if found is None:
            return False
        channel.drop(PyBytes_GET_SIZE(data))
        upstream.state = data[PyBytes_GET_SIZE(data) - 1:]
        session.awaiting_ready = session.dirty = False
        self._lines, rows, self.shape, self._hidden = <tuple> found
        self._came = data
        if len(<bytes> self._lines) > plan._max_response or rows > plan._max_rows:
            self._spend(rows, len(self._lines))
        return True

    def deliver(self, reply):
        cdef bytes data = self._came
        cdef Standing session = self.session
        cdef Stream caller = session.caller
        if not data or self._lines is None or reply.body is not self._lines or session.held:
            return _slow.deliver(self, reply)
        if caller.ended or caller.transport is None:
            raise _CallerGone
        caller.put(data[:5] + data[self._hidden:] if self._hidden else data)
        self.passed = True
        return DONE
