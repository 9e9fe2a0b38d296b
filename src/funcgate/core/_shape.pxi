# Structs of msgspec read and made without a call: where their fields lie, asked of Python once. Included by others.

cdef extern from *:
    """
    #include <structmember.h>

    /* Where a field of a Struct lies, -1 if it is not kept as one pointer. */
    static Py_ssize_t field_at(PyObject *cls, PyObject *field) {
        PyMemberDescrObject *told = (PyMemberDescrObject *)field;
        if (!Py_IS_TYPE(field, &PyMemberDescr_Type) || (PyObject *)PyDescr_TYPE(told) != cls) return -1;
        return told->d_member->type == T_OBJECT_EX ? told->d_member->offset : -1;
    }
    """
    Py_ssize_t field_at(object cls, object field)

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject* cls, Py_ssize_t count)

cdef enum:
    MOST = 64

cdef class Shape:
    """Where the fields of a Struct are, and what a new one holds."""

    cdef object of
    cdef int count
    cdef Py_ssize_t offsets[MOST]
    cdef PyObject* plain[MOST]
    cdef list held
    cdef dict places

    def __init__(self, cls):
        """Raises `ImportError` where this msgspec keeps its fields in another way."""
        cdef int place
        fields = msgspec.structs.fields(cls)
        if len(fields) > MOST:
            raise ImportError("more fields than expected")
        self.of, self.count, self.held, self.places = cls, len(fields), [], {}
        for place in range(self.count):
            field = fields[place]
            default = field.default
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()  # nobody changes what an entry holds in place
            self.held.append(default)
            self.plain[place] = NULL if default is msgspec.NODEFAULT else <PyObject*> default
            self.offsets[place] = field_at(cls, getattr(cls, field.name))
            self.places[field.name] = self.offsets[place]
            if self.offsets[place] < 0:
                raise ImportError("fields of another kind")

    cdef object new(self):
        """One with its defaults; what has none is not set yet."""
        made = PyType_GenericAlloc(<PyTypeObject*> self.of, 0)
        cdef char* base = <char*> <PyObject*> made
        cdef PyObject* value
        cdef int place
        for place in range(self.count):
            value = self.plain[place]
            if value is not NULL:
                Py_INCREF(<object> value)
                (<PyObject**> (base + self.offsets[place]))[0] = value
        return made

    cdef int renew(self, object made) except -1:
        """Give back to one of these its defaults; what has none stays."""
        cdef char* base = <char*> <PyObject*> made
        cdef PyObject** at
        cdef PyObject* before
        cdef int place
        if type(made) is not self.of:
            raise TypeError("a value of another type")
        for place in range(self.count):
            at = <PyObject**> (base + self.offsets[place])
            before = at[0]
            if self.plain[place] is NULL or self.plain[place] is before:
                continue
            Py_INCREF(<object> self.plain[place])
            at[0] = self.plain[place]
            if before is not NULL:
                Py_DECREF(<object> before)
        return 0


cdef inline object get(object of, Py_ssize_t offset):
    cdef PyObject* value = (<PyObject**> (<char*> <PyObject*> of + offset))[0]
    if value is NULL:
        raise AttributeError("a field that was deleted")
    return <object> value


cdef inline int put(object into, Py_ssize_t offset, object value) except -1:
    cdef PyObject** place = <PyObject**> (<char*> <PyObject*> into + offset)
    cdef PyObject* before = place[0]
    Py_INCREF(value)
    place[0] = <PyObject*> value
    if before is not NULL:
        Py_DECREF(<object> before)
    return 0


cdef inline int check(object value, Shape shape) except -1:
    if type(value) is not shape.of:
        raise TypeError("a value of another type")
    return 0
