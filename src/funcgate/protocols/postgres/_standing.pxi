# The compiled halves of standing.py and of plain.py's `Plan`. See there.

cdef enum:
    MOST_TOLD = 1024


cdef class Knowledge:
    cdef public long long version
    cdef public double until


cdef class Sites:
    """See exchange.py."""

    cdef public object site
    cdef public object limits
    cdef public object accounts
    cdef public bint draining


cdef class Linked:
    cdef public Stream channel
    cdef public bytes state


cdef class Gathering:
    cdef public bint _failed
    cdef public list _waiting


cdef class Naming:
    cdef public dict _cursors


cdef class Standing:
    cdef public object client
    cdef public Stream caller
    cdef public Linked upstream
    cdef public object limits
    cdef public object token
    cdef public object target
    cdef public object role
    cdef public object gateway
    cdef object _sites
    cdef Sites _here  # the same, if it is one of these
    cdef public Knowledge origins
    cdef public Gathering extended
    cdef public Naming handles
    cdef public list held
    cdef public Alarm alarm
    cdef public dict plans
    cdef public tuple _named
    cdef public bint awaiting_ready
    cdef public bint unsynced
    cdef public bint dirty

    @property
    def sites(self):
        return self._sites

    @sites.setter
    def sites(self, sites):
        self._sites, self._here = sites, sites if isinstance(sites, Sites) else None

    cdef object site_now(self):
        return self._sites.site if self._here is None else self._here.site

    cdef bint is_draining(self) except -1:
        return self._sites.draining if self._here is None else self._here.draining


cdef class Plan:
    """With what follows from the target, the site and the statement, none of which changes."""

    cdef readonly object statement
    cdef readonly object shared
    cdef readonly object site
    cdef readonly object target
    cdef readonly object function
    cdef readonly str head
    cdef readonly object hiding
    cdef readonly object types
    cdef readonly bint strict
    cdef readonly long long version
    cdef object _name
    cdef object _kind
    cdef object _begun  # a digest's beginning
    cdef Begun _begun_here  # the same, if it is one of these
    cdef dict _args
    cdef dict _known
    cdef Memo _memo
    cdef bint _template  # the text is the call's own
    cdef bint _roles
    cdef bint _budgets
    cdef bint _rules
    cdef bint _tables
    cdef Py_ssize_t _parameters
    cdef Py_ssize_t _max_response
    cdef Py_ssize_t _max_rows
    cdef double _timeout_s
    cdef double _first_byte_s

    def __init__(self, statement, shared, site, target, function, str head not None, hiding, types, strict, version):
        self.statement, self.shared, self.site, self.target = statement, shared, site, target
        self.function, self.head, self.hiding, self.types = function, head, hiding, types
        self.strict, self.version = strict, version
        limits = target.limits
        self._name, self._kind, self._begun = target.name, statement.function, _Begun(head.encode())
        self._begun_here = self._begun if type(self._begun) is Begun else None
        self._template = statement.template
        self._args = {**shared.args, "sql": None, "parameters": None} if self._template else {**shared.args, "parameters": None}
        self._known, self._memo = hiding.known, Memo.__new__(Memo)
        self._roles, self._budgets, self._rules = target.roles is not None, bool(target.budgets), bool(hiding.rules)
        self._tables = bool(statement.read_names or statement.written_names)
        self._parameters = statement.parameters
        self._max_response, self._max_rows = min(limits.max_response, UNLIMITED), min(limits.max_rows, UNLIMITED)
        self._timeout_s, self._first_byte_s = limits.timeout_s, limits.first_byte_timeout_s

    def holds(self, Standing session not None):
        """See `plain.Plan`."""
        return self.holds_now(session)

    cdef bint holds_now(self, Standing session) except -1:
        return (
            self.version == session.origins.version and self.site is session.site_now()
            and monotonic_s() < session.origins.until
        )


cdef object UNLIMITED = 1 << 62


cdef Py_ssize_t _codes(char* into, Py_ssize_t at, tuple codes) except -1:
    """The `repr` of format codes, which are one digit; where it ends, 0 where it is not sure to have room."""
    cdef Py_ssize_t place, count = PyTuple_GET_SIZE(codes)
    cdef long code
    if at + 3 * count + 3 > MOST_TOLD:
        return 0
    into[at] = c"("
    at += 1
    for place in range(count):
        code = <object> PyTuple_GET_ITEM(codes, place)
        if code < 0 or code > 9:
            return 0
        if place:
            into[at] = c","
            into[at + 1] = c" "
            at += 2
        into[at] = 48 + <int> code
        at += 1
    if count == 1:
        into[at] = c","
        at += 1
    into[at] = c")"
    return at + 1


cdef extern from *:
    """
    #include <stdint.h>

    /* Copies bytes; 0 if `repr` has one of them otherwise: not printable ASCII, a quote, a backslash. */
    static int copy_plainly(char *to, const char *from, Py_ssize_t size) {
        const uint64_t ones = 0x0101010101010101u;
        uint64_t odd = 0, x;
        Py_ssize_t at = 0;
        for (; at + 8 <= size; at += 8) {
            memcpy(&x, from + at, 8);
            memcpy(to + at, &x, 8);
            odd |= x | (x - 0x20 * ones) | ((x ^ 0x27 * ones) - ones) | ((x ^ 0x5c * ones) - ones) | ((x ^ 0x7f * ones) - ones);
        }
        for (; at < size; at++) {
            unsigned char byte = (unsigned char)from[at];
            to[at] = from[at];
            if (byte < 0x20 || byte > 0x7e || byte == 0x27 || byte == 0x5c) return 0;
        }
        return !(odd & 0x80 * ones);
    }
    """
    bint copy_plainly(char* to, const char* data, Py_ssize_t size)


cdef Py_ssize_t _quoted(char* into, Py_ssize_t at, const char* text, Py_ssize_t size) noexcept:
    """Between quotes, as `repr` has it; where that ends, 0 for a text that it has otherwise, or that there is no room for."""
    if at + size + 2 > MOST_TOLD or not copy_plainly(into + at + 1, text, size):
        return 0
    into[at] = into[at + 1 + size] = c"'"
    return at + size + 2


cdef str _own(str sql):
    """`template.own_text`, of a template's."""
    cdef Py_ssize_t size, at = 0
    cdef const char* raw
    if not sql.isascii():
        return _own_text(sql)
    raw = PyUnicode_AsUTF8AndSize(sql, &size)
    while at < size and memchr(AROUND, raw[at], 7):
        at += 1
    while size > at and memchr(AROUND, raw[size - 1], 7):
        size -= 1
    return PyUnicode_Substring(sql, at, size)


cdef const char* AROUND = b" \t\r\n\f\v;"


cdef Py_ssize_t _told_values(char* into, tuple formats, tuple values, tuple results) except -1:
    """``repr((formats, values, results))`` and a bracket, as bytes; how many, 0 for values that are long, or not plain. There is
    room for `MOST_TOLD` and 16."""
    cdef Py_ssize_t at, place, count = PyTuple_GET_SIZE(values)
    into[0] = c"("
    at = _codes(into, 1, formats)
    if not at:
        return 0
    memcpy(into + at, b", (", 3)
    at += 3
    for place in range(count):
        value = <object> PyTuple_GET_ITEM(values, place)
        if at + 8 > MOST_TOLD:
            return 0
        if place:
            into[at] = c","
            into[at + 1] = c" "
            at += 2
        if value is None:
            memcpy(into + at, b"None", 4)
            at += 4
            continue
        into[at] = c"b"
        at = _quoted(into, at + 1, PyBytes_AS_STRING(<bytes?> value), PyBytes_GET_SIZE(value))
        if not at:
            return 0
    if count == 1:
        into[at] = c","
        at += 1
    memcpy(into + at, b"), ", 3)
    at = _codes(into, at + 3, results)
    if not at:
        return 0
    memcpy(into + at, b"))", 2)
    return at + 2


cdef Py_ssize_t _told_text(char* into, str sql) except -1:
    """``f"{sql!r}, (), ())"`` as bytes; how many, 0 for a text that is long, or not plain. The room is as above."""
    cdef Py_ssize_t size, at
    cdef const char* raw
    if not sql.isascii():
        return 0
    raw = PyUnicode_AsUTF8AndSize(sql, &size)
    at = _quoted(into, 0, raw, size)
    if not at:
        return 0
    memcpy(into + at, b", (), ())", 9)
    return at + 9


def told(sql, formats, values, results):
    """For tests: what `_told_values` gives, that of `_told_text` with a text."""
    cdef char into[MOST_TOLD + 16]
    cdef Py_ssize_t size = _told_values(into, formats, values, results) if sql is None else _told_text(into, sql)
    return PyBytes_FromStringAndSize(into, size) if size else None


def owned(str sql not None):
    """For tests: `_own`."""
    return _own(sql)
