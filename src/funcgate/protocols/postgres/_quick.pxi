# The compiled half of quick.py. See there.


cdef class Quick(Drive):
    cdef object _session
    cdef object _waiter  # the session's task sleeps with it
    cdef object _free
    cdef object _plain
    cdef public bint busy
    cdef public object left

    def __init__(self, session, loop):
        self._loop = loop
        self._round = round_of(loop)
        self._session = session

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
        self._plain = self.left = self._session = None

    def __call__(self):
        return self.asked()

    cdef bint asked(self) except -1:
        cdef Stream caller, channel
        if self.busy:
            return True
        # Attack: a statement right behind one that was refused, to be carried and answered before that one is over.
        if self.left is not None:
            return False
        # Attack: have a word of the database wake the session's task, and a statement carried beside it when it goes on.
        if self._waiter is None or self._waiter.done():
            return False
        session = self._session
        upstream = session.upstream
        caller = session.caller
        if upstream is None or session.unsynced or session.held or session.sites.draining or caller._drained is not None:
            return False
        channel = upstream.channel
        if not channel.is_quiet():
            return False  # something was said unasked, and is passed on first
        kind = caller.kind()
        if kind == QUERY:
            plain = self._query(session, caller)
        elif kind == BIND:
            try:
                plain = session.extended.plain_ahead()
            except _Malformed:
                return False
        else:
            return False
        if plain is None:
            return False
        self._plain = plain
        self.busy = True
        (<Alarm> session.alarm).rest()
        channel.prompt = self
        self.start(session.gateway.carry(plain, session.sites.site.snapshot))
        return True

    cdef _query(self, session, Stream caller):
        """A plain simple query, taken."""
        found = caller.ahead()
        if found is None:
            return None
        now = session.target
        target = session.sites.site.targets.get(now.name)
        if target is None or (target is not now and target.url != now.url):
            return None
        known = target.catalog.recall(found[0])
        if known is None or len(known) != 1:
            return None
        statement = known[0]
        plan = (<dict?> session.plans).get(id(statement))
        if plan is None or plan.statement is not statement or not _holds(plan, session):
            return None
        session.target = target
        caller.took(len(found[1]))
        return _Plain(session, plan, found[0], found[1])

    cdef int over(self, error) except -1:
        plain, self._plain = self._plain, None
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

    cdef bint _goes_on(self, plain, error) except -1:
        """Whether the session's task may sleep on."""
        cdef Stream channel
        session, waiter = self._session, self._waiter
        upstream = session.upstream
        if upstream is None:
            return False
        channel = upstream.channel
        channel.prompt = None
        if error is not None or not plain.passed:
            self.left = plain, error
            return False
        if plain.portal is not None and plain.asks:
            session.extended.described(plain.portal, plain.shape.columns)
        if session.passed():
            # Attack: a caller that asks for much and reads nothing: the session waits until it has read, not for ever.
            self.left = plain, None
            return False
        if waiter is None or waiter.done() or not channel.is_quiet():
            return False
        channel.waiter = waiter
        if (<Stream> session.caller).is_quiet() and not session.sites.draining:
            (<Alarm> session.alarm).watch(waiter, session.limits.idle_timeout_s)
            return True
        return self.asked()
