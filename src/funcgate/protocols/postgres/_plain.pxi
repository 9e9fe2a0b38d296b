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


cdef bint _holds(plan, session) except -1:
    """`Plan.holds`."""
    cdef double until
    origins = session.origins
    if plan.site is not session.sites.site or plan.version != origins.version:
        return False
    until = origins.until
    return monotonic_s() < until


cdef list _texts(values, formats, types):
    """`StatementExchange.values` of values that are sent as text and read as they are; None for others."""
    cdef list shown = []
    cdef Py_ssize_t place = 0
    for value in <tuple> values:
        if value is None:
            shown.append(None)
        elif (<tuple> formats)[place] != 0 or (place < len(<tuple> types) and (<tuple> types)[place] in _SPELLED):
            return None
        else:
            try:
                shown.append(PyUnicode_DecodeUTF8(PyBytes_AS_STRING(<bytes?> value), PyBytes_GET_SIZE(value), NULL))
            except UnicodeDecodeError:
                return None
        place += 1
    return shown


cdef class Way:
    cdef public object session
    cdef public object call_id
    cdef public object client
    cdef public object target
    cdef public object portal
    cdef public object shape
    cdef public object call
    cdef public object prepared
    cdef public object _function
    cdef public object _site
    cdef public object _plan
    cdef public object _sql
    cdef public bytes _data
    cdef public str _asked
    cdef public bytes _came
    cdef public object _lines
    cdef public Py_ssize_t _hidden
    cdef public double _until
    cdef public bint passed

    def __init__(self, session, plan, sql, bytes data not None, str asked not None="", portal=None):
        self.session = session
        self.call_id = _new_id()
        self.client = session.client
        self.target = plan.target.name
        self.portal = portal
        self.shape = _EMPTY
        self._function = plan.statement.function
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
        session, plan, portal = self.session, self._plan, self.portal
        if not _holds(plan, session) or plan.target.roles is not None or session.role:
            return False
        statement = plan.statement
        if portal is None:
            values = []
            content = f"{plan.head}{self._sql!r}, (), ())"
        else:
            bind = portal.bind
            if len(bind.values) < statement.parameters:
                return False
            values = _texts(bind.values, bind.formats, portal.prepared.types)
            if values is None:
                return False
            content = f"{plan.head}{(bind.formats, bind.values, bind.results)!r})"
        shared = plan.shared
        own = {"sql": _own_text(self._sql) if statement.template else statement.args["sql"], "parameters": values}
        args = dict(shared.args)
        args.update(own)
        self.call = _Call(
            id=self.call_id, target=self.target, function=plan.function, args=args, principal=principal,
            session=session.session_of(principal), digest="sha256:" + _sha256((<str> content).encode()).hexdigest(),
            received_at=_time(), shared=shared, own=own, client=self.client,
        )
        return True

    async def send(self, permit, lease):
        cdef Stream channel
        cdef double left_s, idle_s
        session, plan, call, upstream = self.session, self._plan, self.call, self.session.upstream
        if call is None or upstream is None or session.held or plan.target.budgets or not _holds(plan, session):
            return await _slow.send(self, permit, lease)
        permit.spend(call.digest)
        limits = plan.target.limits
        channel = upstream.channel
        left_s = limits.timeout_s
        self._until = monotonic_s() + left_s
        session.dirty = session.awaiting_ready = True
        session.unsynced = False
        try:
            channel.write(self._data)
        except _Ended:
            raise _lost() from None
        if channel.empty:
            idle_s = limits.first_byte_timeout_s
            try:
                await channel.arrival(max(min(left_s, idle_s), LEAST_S))
            except (TimeoutError, _Ended) as error:
                raise self.unanswered(error) from None
        if not self._read_plain(channel, upstream, limits):
            self._unplain()
            return await self._read(plan.hiding, strict=plan.strict)
        return _Reply(status=200, headers=[], media=_MEDIA, body=self._lines)

    cdef bint _read_plain(self, Stream channel, upstream, limits) except -1:
        cdef bytes data = channel.whole(_WHOLE)
        session = self.session
        found = None
        if data:
            try:
                shape = self._shape() if self._asked == "2" else _EMPTY
                found = _answer(data, self._asked, shape, self._plan.hiding.known, _TAGS, _encode)
            except ValueError:  # a text that is none: taken message by message it says what is wrong with it
                pass
        if found is None:
            return False
        channel.took(len(data))
        upstream.state = data[len(data) - 1:]
        session.awaiting_ready = session.dirty = False
        self._lines, rows, self.shape, self._hidden = found
        self._came = data
        if len(<bytes> self._lines) > limits.max_response or rows > limits.max_rows:
            self._spend(rows, len(self._lines))
        return True

    def deliver(self, reply):
        cdef bytes data = self._came
        cdef Stream caller
        session = self.session
        if not data or self._lines is None or reply.body is not self._lines or session.held:
            return _slow.deliver(self, reply)
        caller = session.caller
        if caller.ended or caller.transport is None:
            raise _CallerGone
        caller.write(data[:5] + data[self._hidden:] if self._hidden else data)
        self.passed = True
        return DONE
