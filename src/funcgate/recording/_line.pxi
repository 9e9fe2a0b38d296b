# A line of the journal (folder.Line), looked into without a Python call for each of its fields.

from cpython.object cimport PyObject

from funcgate.recording.folder import Line

cdef extern from *:
    """
    #include <structmember.h>

    /* Where a field of a Struct lies, -1 if it is not kept as one pointer. */
    static Py_ssize_t field_at(PyObject *cls, PyObject *field) {
        PyMemberDescrObject *told = (PyMemberDescrObject *)field;
        if (!Py_IS_TYPE(field, &PyMemberDescr_Type) || (PyObject *)PyDescr_TYPE(told) != cls) return -1;
        return told->d_member->type == T_OBJECT_EX ? told->d_member->offset : -1;
    }
    #define FIELD(entry, offset) (*(PyObject **)((char *)(entry) + (offset)))
    """
    Py_ssize_t field_at(object cls, object field)
    PyObject* FIELD(object entry, Py_ssize_t offset)


cdef object line_type = Line
cdef Py_ssize_t raw_at = field_at(Line, Line.line), segment_at = field_at(Line, Line.segment)
cdef Py_ssize_t offset_at = field_at(Line, Line.offset), seq_at = field_at(Line, Line.seq)


cdef inline object got(object line, Py_ssize_t at, str name):
    if at >= 0 and type(line) is line_type:
        return <object> FIELD(line, at)
    return getattr(line, name)
