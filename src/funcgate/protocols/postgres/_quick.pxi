# The compiled half of quick.py. See there.


cdef class Quick(Drive):
    cdef Standing _session
    cdef dict _statements  # the session's, and its portals
    cdef dict _portals
    cdef object _waiter  # the session's task sleeps with it
    cdef object _free
    cdef Way _plain
    cdef Way _rested  # the one before, that nobody else has
    cdef Bound _bound
    cdef object _site  # what was looked up last for a simple query: of this site, and the target of before
    cdef object _now
    cdef object _target
    cdef object _recall
    cdef Linked _upstream  # the last one, and its channel
    cdef Stream _channel
    cdef dict _limits  # the caller's, and what a Bind and a Query may have by these
    cdef Py_ssize_t _most_bound
    cdef Py_ssize_t _most_asked
    cdef Plan _last  # of a simple query
    cdef public bint busy
    cdef public object left

    def __init__(self, Standing session not None, loop):
        self._loop = loop
        self._round = round_of(loop)
        self._session, self._bound = session, Bound.__new__(Bound)
        self._statements, self._portals = session.extended.names.statements, session.extended.names.portals

    def sleeps(self, waiter):
        self._waiter = waiter
        self._session.caller.taker = self

    def awake(self):
        self._session.caller.taker = self._waiter = self._free = None

    def free(self):
        self._free = free = self._loop.create_future()
        return free

    def end(self):
        self.stop()
        self._plain = self._rested = self._last = self.left = self._session = self._statements = self._portals = None
        self._site = self._now = self._target = self._recall = self._upstream = self._channel = None

    def __call__(self):
        return self.asked()

    cdef bint asked(self) except -1:
        cdef Standing session = self._session
        cdef Stream caller, channel
        cdef Linked upstream
        cdef Way plain
        cdef int kind
        if self.busy:
            return True
        # Attack: a statement right behind one that was refused, to be carried and answered before that one is over.
        if self.left is not None or session is None:
            return False
        # Attack: have a word of the database wake the session's task, and a statement carried beside it when it goes on.
        if self._waiter is None or self._waiter.done():
            return False
        upstream = session.upstream
        caller = session.caller
        if upstream is None or session.unsynced or session.held or caller._drained is not None or session.is_draining():
            return False
        channel = self._channel_of(upstream)
        if not channel.is_quiet():
            return False  # something was said unasked, and is passed on first
        kind = caller.comes()
        if kind == QUERY:
            plain = self._query(session, caller)
        elif kind == BIND:
            try:
                plain = self._run_of(session, caller)
            except _Malformed:
                return False
        else:
            return False
        if plain is None:
            return False
        self._plain = plain
        self.busy = True
        session.alarm.rest()
        channel.prompt = self
        self.start(session.gateway.carry(plain, session.site_now().snapshot))
        return True

    cdef Stream _channel_of(self, Linked upstream):
        if upstream is not self._upstream:
            self._upstream, self._channel = upstream, upstream.channel
        return self._channel

    cdef Way _query(self, Standing session, Stream caller):
        """A plain simple query, taken."""
        cdef Plan plan
        if caller._limits is not self._limits:
            self._limit(caller._limits)
        found = asked_query(caller._buffer, caller._at, self._most_asked)
        if found is None:
            return None
        now, site = session.target, session.site_now()
        if site is self._site and now is self._now:
            target = self._target
        else:
            target = site.targets.get(now.name)
            if target is None or (target is not now and target.url != now.url):
                return None
            self._site, self._now, self._target, self._recall = site, now, target, target.catalog.recall
        known = self._recall(found[0])
        if known is None or len(<tuple?> known) != 1:
            return None
        statement = (<tuple> known)[0]
        plan = self._last
        if plan is None or plan.statement is not statement:
            self._last = plan = session.plans.get(id(statement))
        if plan is None or plan.statement is not statement or not plan.holds_now(session):
            self._last = None
            return None
        session.target = target
        caller.drop(len(<bytes?> found[1]))
        return self._begun(session, plan, found[0], found[1], "")

    cdef int _limit(self, dict limits) except -1:
        self._limits = limits
        self._most_bound, self._most_asked = min(limits.get(BIND, 0), UNLIMITED), min(limits.get(QUERY, 0), UNLIMITED)
        return 0

    def ahead(self):
        """For tests: `Runs.plain_ahead`, as this has it."""
        found = self._run_of(self._session, self._session.caller)
        if found is not None:
            self._keep(found)
        return found

    cdef Way _run_of(self, Standing session, Stream caller):
        """`Runs.plain_ahead`."""
        cdef Plan plan
        cdef tuple formats, values, results
        cdef Bound bound = self._bound
        cdef bytes raw
        cdef bint described
        cdef Way plain
        cdef Gathering extended = session.extended
        if extended._failed or extended._waiting or session.unsynced:
            return None
        if caller._limits is not self._limits:
            self._limit(caller._limits)
        if not asked_run(caller._buffer, caller._at, self._most_bound, bound):
            return (<object> extended).plain_ahead()
        name, formats, values, results, described, raw = (
            bound.name, bound.formats, bound.values, bound.results, bound.described, bound.raw
        )
        bound.formats = bound.values = bound.results = bound.raw = None  # nothing is kept but the name
        prepared = self._statements.get(name)
        if prepared is None:
            return None
        if type(prepared) is not PREPARED.of:
            raise TypeError("another kind of statement")
        made = get(prepared, P_PLAN)
        if made is None:
            return None
        plan = made
        if plan.types is not get(prepared, P_TYPES) or not plan.holds_now(session):
            return None
        if len(self._statements) + len(self._portals) >= session.limits.max_statements:
            return None
        columns = _columns(session, plan, prepared, results)
        caller.drop(PyBytes_GET_SIZE(raw))
        if described:
            plain = self._begun(session, plan, get(prepared, P_SQL), raw, "2T")
        elif columns is not None:
            plain = self._begun(session, plan, get(prepared, P_SQL), raw, "2")
        else:  # the rows cannot be read without their columns
            plain = self._begun(session, plan, get(prepared, P_SQL), raw[:-EXECUTE_SIZE] + _DESCRIBE + raw[-EXECUTE_SIZE:], "2-")
        plain.prepared, plain._columns = prepared, columns
        plain._name, plain._formats, plain._values, plain._results = name, formats, values, results
        return plain

    cdef Way _begun(self, Standing session, Plan plan, str sql, bytes data, str asked):
        """A `Plain`."""
        cdef Way made = self._rested
        self._rested = None
        if made is None:
            made = <Way?> _Plain.__new__(_Plain)
        made.begin(session, plan, sql, data, asked)
        return made

    cdef int _keep(self, Way plain) except -1:
        """The unnamed portal, as whoever comes after this statement is to find it."""
        portal = plain.bound()
        if portal is not None:
            self._portals[""] = portal
        return 0

    cdef int over(self, error) except -1:
        cdef Way plain = self._plain
        self._plain = None
        self.busy = False
        if self._session is None or plain is None:
            return 0
        try:
            if self._goes_on(plain, error):
                return 0
        except Exception as failure:
            self.left = plain, failure  # the session ends with it
        for each in (self._waiter, self._free):
            if each is not None and not each.done():
                each.set_result(None)
        return 0

    cdef bint _goes_on(self, Way plain, error) except -1:
        """Whether the session's task may sleep on."""
        cdef Stream channel
        cdef Standing session = self._session
        cdef Linked upstream = session.upstream
        cdef bint idle
        waiter = self._waiter
        if upstream is None or error is not None or not plain.passed:
            self._keep(plain)
        if upstream is None:
            return False
        channel = self._channel_of(upstream)
        channel.prompt = None
        if error is not None or not plain.passed:
            self.left = plain, error
            return False
        idle = plain._idle if plain._came else upstream.state == b"I"
        if not idle:
            self._keep(plain)
        if plain._values is not None and plain._asked != "2":
            if plain.prepared.columns is not None:
                session.extended.described(plain.bound(), plain.shape.columns)
            elif not idle:
                plain.bound().columns = plain.shape.columns
        if idle:  # the transaction ended, and its portals with it: `Session.passed`
            if session.handles._cursors:
                (<object> session.handles).transaction_ended()
            elif self._portals:
                self._portals.clear()
        if session.caller._drained is not None or session.held:
            # Attack: a caller that asks for much and reads nothing: the session waits until it has read, not for ever.
            self.left = plain, None
            return False
        if waiter is None or waiter.done() or not channel.is_quiet():
            return False
        channel.waiter = waiter
        if plain.rests():
            self._rested = plain
        if session.caller.is_quiet() and not session.is_draining():
            session.alarm.watch(waiter, session.limits.idle_timeout_s)
            return True
        return self.asked()


cdef object _columns(Standing session, Plan plan, prepared, results):
    """`Extended._columns` of a statement whose plan holds: then what is known of tables is fresh, and the rules are the plan's."""
    columns = get(prepared, P_COLUMNS)
    if columns is None:
        return None
    if columns:
        # Attack: have a statement described, and another session take its table away: it runs on the next one of that name.
        if plan._rules:
            return None
        # Attack: have it described, and then SET search_path: see formats.py.
        if plan._tables and prepared.version != session.origins.version:
            return None
    known = (<dict?> prepared.formatted).get(results)
    return _formatted(prepared, results, session.origins) if known is None else known
