# The compiled half of gateway.py's `Passage`. It decides nothing: a refusal, and whatever is out of the ordinary, is made by the
# Python code (`passage_is`).

from funcgate.core.marks import Marks as _Marks
from funcgate.core.reply import Outcome as _Outcome
from funcgate.core.turn import TURN as _TURN_

cdef object _TURN = _TURN_, _FAILED = _Outcome.FAILED
cdef object _SLOW_ARRIVED = None, _SLOW_WRITTEN = None, _SLOW_REFUSED = None, _SLOW_MASKED = None
cdef dict _DECISIONS = {}, _NOTHING = {}


def passage_is(slow, decisions):
    """The Python class, and what the meter calls decisions."""
    global _SLOW_ARRIVED, _SLOW_WRITTEN, _SLOW_REFUSED, _SLOW_MASKED, _DECISIONS
    _SLOW_ARRIVED, _SLOW_WRITTEN, _SLOW_REFUSED, _SLOW_MASKED = slow.arrived, slow._written, slow.refused, slow._masked
    _DECISIONS = dict(decisions)


cdef class Passage:
    """See gateway.py."""

    cdef public object exchange
    cdef public object snapshot
    cdef public object principal
    cdef public object call
    cdef public object decision
    cdef public object unwritten
    cdef public object tape
    cdef public object outcome
    cdef public object code
    cdef public object approval
    cdef public Py_ssize_t room
    cdef public bint open
    cdef readonly object marks
    cdef readonly object _journal
    cdef object _append
    cdef object _meter

    def __init__(self, exchange, snapshot, journal, meter):
        self.exchange = exchange
        self.snapshot = snapshot
        self._journal = journal
        self._append = journal.append
        self._meter = meter
        self.marks = _Marks()
        self.room = snapshot.record_bytes
        self.outcome = _FAILED
        self.code = self.approval = ""

    def arrived(self, call, masker):
        cdef bytes args
        check(call, CALL)
        if get(call, C_REASON):
            return _SLOW_ARRIVED(self, call, masker)
        args = masked_args(masker, call)
        # Attack: arguments too large for the record, so that it says less than what was done.
        if args is None or PyBytes_GET_SIZE(args) > self.room:
            return _SLOW_ARRIVED(self, call, masker)  # which refuses
        self.room -= PyBytes_GET_SIZE(args)
        return arrival(call, args)

    def entry(self, kind):
        return step(kind, self.exchange.call_id, self.call, self.approval, self.decision, self.snapshot.version)

    def write(self, *what):
        cdef bint was_open = self.open
        waiting = self._append(*what)
        self.open = True  # even if this task is cancelled while it waits: the entries may be on the disk by then
        return waiting if waiting is _TURN else _SLOW_WRITTEN(self, waiting, was_open)

    def refused(self, refused):
        return _SLOW_REFUSED(self, refused)

    def _masked(self, detail):
        return _SLOW_MASKED(self, detail)

    def end(self):
        cdef object status = 0, counts = _NOTHING, recorded = 0, known_as = self.code
        cdef Whole whole
        decision = _DECISIONS[type(self.decision)]
        if type(self.tape) is Whole:
            whole = <Whole> self.tape
            status, counts, recorded = get(whole.reply, R_STATUS), whole.masked.counts, whole.recorded
        elif self.tape is not None:
            tape = self.tape
            status, counts, recorded = tape.reply.status, tape.masked.counts, tape.recorded
        elif not known_as:
            known_as = self.outcome
        marks = self.marks
        times = self._meter.over(self.exchange.target, decision, known_as, marks.since, marks, counts)
        if self.open:
            self._journal.note(ended(
                self.exchange.call_id, self.call, self.approval, self.decision, self.snapshot.version, self.outcome, self.code,
                times, NULL, status, counts, recorded,
            ))
