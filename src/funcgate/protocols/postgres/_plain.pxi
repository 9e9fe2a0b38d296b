# The compiled half of plain.py's `Plain`: the plain way of each step. Any other is handed back to the Python code (`_slow`).


cdef double LEAST_S = 0.001

cdef extern from *:
    """
    /* To be awaited: gives what it holds, once. */
    typedef struct { PyObject_HEAD PyObject *value; } Given;

    static PyObject *given_before; /* the last one, for the next */

    static PyObject *given_itself(PyObject *self) { return Py_NewRef(self); }

    static PyObject *given_next(PyObject *self) {
        PyObject *value = ((Given *)self)->value;
        ((Given *)self)->value = NULL;
        if (value == NULL) PyErr_SetString(PyExc_RuntimeError, "it was given");
        else { PyErr_SetObject(PyExc_StopIteration, value); Py_DECREF(value); }
        return NULL;
    }

    static void given_gone(PyObject *self) {
        Py_CLEAR(((Given *)self)->value);
        if (given_before == NULL) given_before = self;
        else Py_TYPE(self)->tp_free(self);
    }

    static PySendResult given_send(PyObject *self, PyObject *unused, PyObject **result) {
        *result = ((Given *)self)->value;
        ((Given *)self)->value = NULL;
        if (*result != NULL) return PYGEN_RETURN;
        PyErr_SetString(PyExc_RuntimeError, "it was given");
        return PYGEN_ERROR;
    }

    static PyAsyncMethods given_async = {.am_await = given_itself, .am_send = given_send};
    static PyTypeObject given_type = {
        PyVarObject_HEAD_INIT(NULL, 0).tp_name = "funcgate.protocols.postgres._drive.Given", .tp_basicsize = sizeof(Given),
        .tp_flags = Py_TPFLAGS_DEFAULT, .tp_dealloc = given_gone, .tp_as_async = &given_async, .tp_iter = given_itself,
        .tp_iternext = given_next,
    };

    static int ready_given(void) { return PyType_Ready(&given_type); }

    static PyObject *given(PyObject *value) {
        Given *made = (Given *)given_before;
        if (made == NULL) made = PyObject_New(Given, &given_type);
        else {
            given_before = NULL;
            _Py_NewReference((PyObject *)made);
        }
        if (made != NULL) made->value = Py_NewRef(value);
        return (PyObject *)made;
    }
    """
    int ready_given() except -1
    object given(object value)

ready_given()


cdef bint _texts(list into, tuple values, tuple formats, tuple types) except -1:
    """`StatementExchange.values`, of values that are sent as text and read as they are, into a list; False for others."""
    cdef Py_ssize_t place = 0, known = PyList_GET_SIZE(into)
    if known > PyTuple_GET_SIZE(values):
        into.clear()
        known = 0
    for value in values:
        if value is None:
            shown = None
        elif <object> PyTuple_GET_ITEM(formats, place) != 0 or (place < len(types) and types[place] in _SPELLED):
            return False
        else:
            try:
                shown = text_of(PyBytes_AS_STRING(<bytes?> value), PyBytes_GET_SIZE(value))
            except UnicodeDecodeError:
                return False
        if place < known:
            into[place] = shown
        else:
            into.append(shown)
        place += 1
    return True


cdef Shape CALL = Shape(_Call), REPLY = Shape(_Reply)
cdef Py_ssize_t C_ID, C_TARGET, C_FUNCTION, C_ARGS, C_PRINCIPAL, C_SESSION, C_DIGEST, C_AT, C_SHARED, C_OWN, C_CLIENT, C_TRACE, C_REASON
(C_ID, C_TARGET, C_FUNCTION, C_ARGS, C_PRINCIPAL, C_SESSION, C_DIGEST, C_AT, C_SHARED, C_OWN, C_CLIENT, C_TRACE, C_REASON) = [
    CALL.places[name] for name in (
        "id", "target", "function", "args", "principal", "session", "digest", "received_at", "shared", "own", "client", "trace",
        "reason",
    )
]
cdef Py_ssize_t R_STATUS = REPLY.places["status"], R_HEADERS = REPLY.places["headers"]
cdef Py_ssize_t R_MEDIA = REPLY.places["media"], R_BODY = REPLY.places["body"]
cdef object OK = 200, NO_TEXT = ""

cdef class Way

include "_left.pxi"


@cython.freelist(64)
cdef class Sent:
    """To be awaited, once: the answer to a statement that was sent."""

    cdef Way _way
    cdef Stream _channel
    cdef Linked _upstream
    cdef object _within  # what is awaited, if that is no drive
    cdef Drive _drive
    cdef bint _slowly  # that reads the answer

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        cdef PyObject* found = NULL
        cdef PySendResult how = self.on(&found)
        value = <object> found
        Py_DECREF(value)
        if how == PYGEN_RETURN:
            raise StopIteration(value)
        return value

    def throw(self, *error):
        if self._slowly:
            return self._within.throw(*error)
        try:
            raise error[0] if len(error) < 2 or error[1] is None else error[1]
        except (TimeoutError, _Ended) as ended:  # a task throws what its future ended with; a drive is given it
            raise self._way.unanswered(ended) from None

    def close(self):
        if self._slowly:
            self._within.close()

    cdef PySendResult on(self, PyObject** found) except PYGEN_ERROR:
        cdef Way way = self._way
        cdef Plan plan
        cdef Stream channel = self._channel
        cdef PySendResult how
        if way is None:
            raise RuntimeError("it was given")
        plan = way._plan
        if self._slowly:
            return PyIter_Send(self._within, None, found)
        try:
            if self._within is None and self._drive is None and channel.is_empty():
                waiter = channel.coming(max(min(plan._timeout_s, plan._first_byte_s), LEAST_S))
                if isinstance(waiter, Drive):
                    self._drive = waiter
                else:
                    self._within = waiter.__await__()
            if self._drive is not None:
                if not self._drive.is_over():
                    Py_INCREF(self._drive)
                    found[0] = <PyObject*> self._drive
                    return PYGEN_NEXT
            elif self._within is not None:
                how = PyIter_Send(self._within, None, found)
                if how == PYGEN_NEXT:
                    return how
                Py_DECREF(<object> found[0])
                found[0] = NULL
        except (TimeoutError, _Ended) as error:
            raise way.unanswered(error) from None
        if way._read_plain(channel, self._upstream):
            self._way = None
            reply = way._reply()
            Py_INCREF(reply)
            found[0] = <PyObject*> reply
            return PYGEN_RETURN
        way._unplain()
        self._within, self._slowly = way._read(plan.hiding, strict=plan.strict), True
        return PyIter_Send(self._within, None, found)


cdef PySendResult sent_on(object sent, object given, PyObject** found) except PYGEN_ERROR:
    return (<Sent> sent).on(found)


cdef extern from *:
    """
    static void goes_on_by(PyTypeObject *type, sendfunc step) { if (type->tp_as_async != NULL) type->tp_as_async->am_send = step; }
    """
    void goes_on_by(object type, PySendResult (*step)(object, object, PyObject**) except PYGEN_ERROR)

goes_on_by(Sent, sent_on)  # where whoever awaits it can take that, it is over without an exception


cdef Sent sent(Way way, Stream channel, Linked upstream):
    cdef Sent made = Sent.__new__(Sent)
    made._way, made._channel, made._upstream = way, channel, upstream
    return made


cdef class Way:
    """`portal` is made when somebody asks for it, of the statement's `name` and what was bound."""

    cdef dict __dict__  # of what a statement needs that is not plain

    cdef public Standing session
    cdef public object call_id
    cdef public object client
    cdef public object target
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
    cdef bint _idle  # the database was, behind what came
    cdef bint _plainly  # what came was read here
    cdef object _portal
    cdef object _name
    cdef object _columns
    cdef tuple _formats
    cdef tuple _values  # None: nothing is bound
    cdef tuple _results
    cdef Left _left

    def __init__(
        self, Standing session not None, Plan plan not None, str sql not None, bytes data not None, str asked not None="",
        portal=None,
    ):
        self.begin(session, plan, sql, data, asked)
        if portal is not None:
            self._portal, self.prepared = portal, portal.prepared
            _, self._name, self._formats, self._values, self._results = portal.bind

    cdef int begin(self, Standing session, Plan plan, str sql, bytes data, str asked) except -1:
        self.session = session
        self.call_id = _names.new()
        self.client = session.client
        self.target = plan._name
        self.shape = _EMPTY
        self._function = plan._kind
        self._site = plan.site
        self._plan = plan
        self._sql = sql
        self._data = data
        self._asked = asked
        self._came = b""
        return 0

    @property
    def token(self):
        return self.session.token

    @property
    def portal(self):
        return self.bound()

    cdef object bound(self):
        if self._portal is None and self._values is not None:
            bind = _new_tuple(_Bind, ("", self._name, self._formats, self._values, self._results))
            self._portal = _Portal(self.prepared, bind, self._columns)
        return self._portal

    @cython.always_allow_keywords(False)
    def resolve(self, principal):
        if not self._resolve(principal):
            return _slow.resolve(self, principal)
        return given(self.call)

    cdef bint _resolve(self, principal) except -1:
        cdef Standing session = self.session
        cdef Plan plan = self._plan
        cdef char told[MOST_TOLD + 16]
        cdef Py_ssize_t size
        cdef tuple named
        cdef Left left
        if not plan.holds_now(session) or plan._roles or session.role:
            return False
        if self._values is None:
            if self._portal is not None:
                return False
        elif self._formats is None or self._results is None or PyTuple_GET_SIZE(self._values) < plan._parameters:
            return False
        left = self._left
        if left is None or left.plan is not plan:
            left = self._left = new_left(plan)
        call = left.taken()
        if self._values is None:
            left.values.clear()
            size = _told_text(told, self._sql)
        elif not _texts(left.values, self._values, self._formats, self.prepared.types):
            self._left = None
            return False
        else:
            size = _told_values(told, self._formats, self._values, self._results)
        if size:
            digest = (
                plan._begun.over(PyBytes_FromStringAndSize(told, size)) if plan._begun_here is None
                else plan._begun_here.over_all(told, size)
            )
        elif self._values is None:
            digest = plan._begun.over(f"{self._sql!r}, (), ())".encode())
        else:
            digest = plan._begun.over(f"{(self._formats, self._values, self._results)!r})".encode())
        if plan._template:
            left.args["sql"] = left.own["sql"] = _own(self._sql)
        named = session._named
        session_name = named[1] if named is not None and named[0] is principal else session.session_of(principal)
        put(call, C_ID, self.call_id)
        put(call, C_PRINCIPAL, principal)
        put(call, C_SESSION, session_name)
        put(call, C_DIGEST, digest)
        put(call, C_AT, now_s())
        put(call, C_CLIENT, self.client)
        self.call = call
        return True

    def send(self, permit, lease):
        cdef Stream channel
        cdef Standing session = self.session
        cdef Plan plan = self._plan
        cdef Linked upstream = session.upstream
        if self.call is None or upstream is None or session.held or plan._budgets or not plan.holds_now(session):
            return _slow.send(self, permit, lease)
        digest = get(self.call, C_DIGEST) if type(self.call) is CALL.of else self.call.digest
        if type(permit) is Permit:
            (<Permit> permit).spend(digest)
        else:
            permit.spend(digest)
        channel = upstream.channel
        self._until = monotonic_s() + plan._timeout_s
        session.dirty = session.awaiting_ready = True
        session.unsynced = False
        try:
            channel.put(self._data)
        except _Ended:
            raise _lost() from None
        return sent(self, channel, upstream)

    cdef object _reply(self):
        cdef Left left = self._left
        reply = None if left is None else left.reply
        if reply is None:
            headers = []
            reply = REPLY.new()
            put(reply, R_STATUS, OK)
            put(reply, R_HEADERS, headers)
            if left is not None:
                left.reply = reply
        else:
            REPLY.renew(reply)
        put(reply, R_MEDIA, _MEDIA)
        put(reply, R_BODY, self._lines)
        return reply

    cdef bint _read_plain(self, Stream channel, Linked upstream) except -1:
        cdef bytes data = channel.all_of(_WHOLE)
        cdef Standing session = self.session
        cdef Plan plan = self._plan
        cdef Found found
        cdef char kind
        cdef bytes lines = None
        cdef object shape = _EMPTY
        if data:
            try:
                if self._asked == "2":
                    shape = self._shape()
                lines = answered(data, self._asked, shape, plan._known, _TAGS, _encode, plan._memo, &found)
            except ValueError:  # a text that is none: taken message by message it says what is wrong with it
                pass
        if lines is None:
            return False
        channel.drop(PyBytes_GET_SIZE(data))
        kind = PyBytes_AS_STRING(data)[PyBytes_GET_SIZE(data) - 1]
        self._idle = kind == c"I"
        upstream.state = b"I" if kind == c"I" else b"T" if kind == c"T" else b"E"  # no other one is plain
        session.awaiting_ready = session.dirty = False
        self._lines, self._hidden = lines, found.hidden
        self.shape = plan._memo.shape if found.described else shape
        self._came = data
        self._plainly = True
        if PyBytes_GET_SIZE(lines) > plan._max_response or found.rows > plan._max_rows:
            self._spend(found.rows, PyBytes_GET_SIZE(lines))
        return True

    @cython.always_allow_keywords(False)
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
        return given(None)

    cdef bint rests(self) except -1:
        """Whether nobody has this but who asks, and all of it went the plain way: then the next statement may have it."""
        if Py_REFCNT(<PyObject*> self) != 1 or not self._plainly or not self.passed or PyDict_Size(PyObject_GenericGetDict(self, NULL)):
            return False
        self.call = self._portal = self._columns = self.prepared = self._name = self._lines = None
        # Attack: read from the memory of a session that is idle what it sent, or was sent, last.
        self._values = self._formats = self._results = self._data = self._came = self._sql = None
        self._plainly = self.passed = self._idle = False
        self._hidden, self._until = 0, 0.0
        if self._left is not None and not self._left.rests():
            self._left = None
        return True
