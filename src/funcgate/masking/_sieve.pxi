"""Which detectors may find something in a text: what each needs at least is counted, kind of byte by kind of byte (detector.Need).

It errs to the safe side only; what it passes over, no detector finds anything in.
"""

from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject

cdef struct Need:
    Lanes lanes
    Py_ssize_t size, word, run
    int kind, detector
    unsigned char of[256]

cdef class Sieve:
    """The detectors of one scanner."""

    cdef object _zeros
    cdef dict _verdicts
    cdef tuple _traces
    cdef Need _needs[MOST_NEEDS]
    cdef int _many
    cdef Lanes _few[FEW]  # by size: with less than that in every lane, a text of so many bytes holds nothing
    cdef Lanes _mail_alone, _card_alone, _apart
    cdef Py_ssize_t _mail, _card, _ssn
    cdef bint _cards[3]
    cdef bint _ssns[2]

    def __init__(self, scanner, names, values):
        judged = values._judged
        self._verdicts, self._zeros = {}, scanner.stretches.zeros
        self._mail, self._card, self._ssn = values._mail, _index(names, "credit_card"), _index(names, "us_ssn")
        self._mail_alone = <Lanes> 1 << self._mail if self._mail >= 0 else 0
        self._card_alone = <Lanes> 1 << self._card if self._card >= 0 else 0
        for at, shape in enumerate((b'"0000 0000 0000 0000",', b'"0000-0000-0000-0000",', b'"0000000000000000",')):
            self._cards[at] = self._card >= 0 and judged(shape) == self._card
        for at, shape in enumerate((b'"000-00-0000",', b'"000 00 0000",')):
            self._ssns[at] = self._ssn >= 0 and judged(shape) == self._ssn
        self._take_needs(scanner.detectors)

    def _take_needs(self, detectors):
        traces, self._apart = [], 0
        least = [[128] * 7 + [1] for _ in range(FEW)]
        if len(detectors) > MOST_DETECTORS:
            raise ValueError("too many detectors")
        for at, detector in enumerate(detectors):
            for need in detector.needs:
                if len(traces) == MOST_NEEDS:
                    raise ValueError("too many needs")
                counts = (need.digits, need.upper, need.underscores, need.hyphens, need.points, need.colons, need.ats, 0)
                if not any(counts):
                    raise ValueError(f"{detector.name}: a need that every string meets")
                mine = &self._needs[len(traces)]
                mine.lanes, mine.size, mine.word, mine.detector = 0, max(need.size, need.word), need.word, at
                mine.run = need.run
                for byte in range(256):
                    mine.of[byte] = byte in need.of
                mine.kind = DIGITS if detector.digits else OTHER
                for lane, count in enumerate(counts):
                    mine.lanes |= <Lanes> count << 8 * lane
                # What has too few of one kind does not meet the need: of signs, if it asks for any; they are rarer than letters.
                lane = max((lane for lane in range(7) if counts[lane]), key=lambda lane: (lane > 1, counts[lane]))
                for size in range(min(max(mine.size, need.run, sum(counts)), FEW - 1), FEW):
                    least[size][lane] = min(least[size][lane], counts[lane])
                traces.append(need.traces)
            if detector.digits and b"\\x" in detector.pattern + detector.gate:
                self._apart |= <Lanes> 1 << <int> at  # it takes separators beyond ASCII
            if not detector.needs:
                raise ValueError(f"{detector.name}: no needs")
        self._many, self._traces = len(traces), tuple(traces)
        for size in range(FEW):
            self._few[size] = 0
            for lane, count in enumerate(least[size]):
                self._few[size] |= <Lanes> (128 - count) << 8 * lane

    cdef inline bint _may_hold(self, Py_ssize_t size, Lanes lanes) noexcept:
        """Whether a text of so many bytes, with these in it, can hold anything; also for all that may be in another spelling."""
        return (lanes + self._few[size if size < FEW else FEW - 1]) & HIGH != 0

    cdef Lanes _wanted(self, Place start, Place end, Lanes lanes, int kinds) except? 0:
        """The detectors, bit by bit, that may find something in a text."""
        cdef Py_ssize_t size = end - start, word = -1
        cdef Lanes wanted = 0, digits = 0
        cdef Need* need
        cdef int at
        for at in range(self._many):
            need = &self._needs[at]
            if size < need.size or ((lanes | HIGH) - need.lanes) & HIGH != HIGH:
                continue
            if need.kind == DIGITS:
                digits |= <Lanes> 1 << need.detector
                continue
            if need.word:
                if word < 0:
                    word = _longest_word(start, end)
                if word < need.word:
                    continue
            if need.run and not _has_run(start, end, need.of, need.run):
                continue
            if _has_trace(start, end, <tuple> self._traces[at]):
                wanted |= <Lanes> 1 << need.detector
        if not digits:
            return wanted
        if kinds & APART and digits & self._apart:
            return wanted | digits
        if lanes & 255 == size:
            return wanted | (digits & self._card_alone if self._may_be_card(start, end) else 0)
        return wanted | digits if self._in_runs(start, end) else wanted

    cdef bint _in_runs(self, Place at, Place end) except -1:
        """Whether a stretch of the text has a shape that can hold something (stretches.py)."""
        cdef Place start
        while at < end:
            start = at
            while at < end and classes[at[0]] & IN_RUN:
                at += 1
            if at - start >= RUN and self._in_run(start, at):
                return True
            at += 1
        return False

    cdef bint _in_run(self, Place start, Place end) except -1:
        cdef bytes shape
        cdef unsigned char zero
        cdef PyObject* known
        if end - start > LONGEST_SHAPE:
            return True
        shape = _shape(start, end)
        known = PyDict_GetItem(self._verdicts, shape)
        zeros = <object> known if known is not NULL else self._zeros(shape)
        # Attack: a text of ever new shapes must not fill the memory.
        if known is NULL and len(self._verdicts) < KEPT_SHAPES:
            self._verdicts[shape] = zeros
        if zeros is None:
            return True
        for zero in <bytes> zeros:
            if start[zero] == c"0":
                return True
        return False

    cdef inline bint _may_be_card(self, Place at, Place end) noexcept:
        """Whether digits that stand alone are one. No other detector takes digits without anything between them."""
        return 12 <= end - at <= 19 and self._card >= 0 and _is_card(at, end)

    cdef inline Py_ssize_t _whole(self, Place at, Py_ssize_t size, Py_ssize_t digits) noexcept:
        """The detector of which a whole string is a value, if it is one of the commonest shapes; else -1.

        Nothing else finds a value in digits and separators; that no earlier detector does was asked when the rules were made.
        """
        if digits == 16:
            if size == 16:
                return self._card if self._cards[2] and _is_plain_card(at, at + 16) else -1
            if size == 19 and at[4] == at[9] == at[14]:
                if (at[4] == c" " and self._cards[0]) or (at[4] == c"-" and self._cards[1]):
                    return self._card if _is_plain_card(at, at + 19) else -1
        elif digits == 9 and size == 11 and at[3] == at[6]:
            if (at[3] == c"-" and self._ssns[0]) or (at[3] == c" " and self._ssns[1]):
                return self._ssn if _is_issued(at) else -1
        return -1


cdef list _members(Lanes wanted):
    return [at for at in range(MOST_DETECTORS) if wanted >> at & 1]


cdef Py_ssize_t _index(names, name):
    return names.index(name) if name in names else -1
