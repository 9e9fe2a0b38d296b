/* Attributes and methods by name, from compiled code: what a class has under a name is looked up once and kept.
 *
 * Put into each compiled half by native.py, which says where. What is kept holds for one version of a class, as in Python's own
 * specialised instructions: a class that changes, or whose bases do, has another version, or none (0). Only what cannot
 * depend on the object itself is kept (fields at an offset, getters, methods of objects that have no dict); the rest is
 * Python's, as are all errors. */
#include <structmember.h>

#ifdef __GNUC__
/* What only errors lead to is put apart from the rest by the compiler: it takes no room in the processor's cache. */
#define QUICK_RARE __attribute__((cold))
PyAPI_FUNC(void) PyErr_SetString(PyObject *, const char *) QUICK_RARE;
PyAPI_FUNC(PyObject *) PyErr_Format(PyObject *, const char *, ...) QUICK_RARE;
#else
#define QUICK_RARE
#endif

#if defined(Py_GIL_DISABLED) || defined(PYPY_VERSION) || defined(Py_LIMITED_API)
#define quick_attr(of, name) PyObject_GetAttr(of, name)
#define quick_method(name, args, nargsf) PyObject_VectorcallMethod(name, args, nargsf, NULL)
#else

typedef enum { QUICK_NOT, QUICK_FIELD, QUICK_GETTER, QUICK_CALLED, QUICK_ALONE, QUICK_WITH_ONE } quick_kind;

typedef struct {
    PyTypeObject *type; /* never looked into: it may be gone */
    PyObject *name;
    PyObject *found; /* the class's: it is there as long as the version holds */
    Py_ssize_t offset;
    unsigned int version;
    quick_kind kind;
} quick_entry;

enum { QUICK_ENTRIES = 256 };
static quick_entry quick_known[QUICK_ENTRIES];

static quick_kind quick_kind_of(PyTypeObject *type, PyObject *found, Py_ssize_t *offset) {
    if (found == NULL) return QUICK_NOT;
    /* Attack: a descriptor of one class, put into another, reads beyond the object. */
    if (Py_IS_TYPE(found, &PyMemberDescr_Type)) {
        PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
        if (member->type != T_OBJECT_EX || (member->flags & ~READONLY) || !PyType_IsSubtype(type, PyDescr_TYPE(found)))
            return QUICK_NOT;
        *offset = member->offset;
        return QUICK_FIELD;
    }
    if (Py_IS_TYPE(found, &PyGetSetDescr_Type)) {
        PyGetSetDef *getset = ((PyGetSetDescrObject *)found)->d_getset;
        return getset->get != NULL && PyType_IsSubtype(type, PyDescr_TYPE(found)) ? QUICK_GETTER : QUICK_NOT;
    }
    if (type->tp_dictoffset < 0 || !PyType_HasFeature(Py_TYPE(found), Py_TPFLAGS_METHOD_DESCRIPTOR)) return QUICK_NOT;
    if (Py_IS_TYPE(found, &PyMethodDescr_Type) && PyType_IsSubtype(type, PyDescr_TYPE(found))) {
        int flags = ((PyMethodDescrObject *)found)->d_method->ml_flags & ~METH_COEXIST;
        if (flags == METH_NOARGS) return QUICK_ALONE;
        if (flags == METH_O) return QUICK_WITH_ONE;
    }
    return QUICK_CALLED;
}

static quick_entry *quick_learn(quick_entry *entry, PyTypeObject *type, PyObject *name) {
    PyObject *found = type->tp_getattro == PyObject_GenericGetAttr ? _PyType_Lookup(type, name) : NULL;
    entry->type = type;
    entry->name = name;
    entry->found = found;
    entry->kind = quick_kind_of(type, found, &entry->offset);
    entry->version = type->tp_version_tag;
    /* From Python 3.13 on no flag says that a version holds: there is one as long as it does. */
    if (entry->version == 0 || (PY_VERSION_HEX < 0x030D0000 && !PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG))) {
        entry->type = NULL; /* asked again, each time */
        entry->kind = QUICK_NOT;
        entry->version = 0;
    }
    return entry;
}

static inline quick_entry *quick_find(PyTypeObject *type, PyObject *name) {
    uintptr_t place = ((uintptr_t)type >> 4) * 5 ^ (uintptr_t)name >> 4 ^ (uintptr_t)name >> 10;
    quick_entry *entry = &quick_known[place & (QUICK_ENTRIES - 1)];
    if (entry->type == type && entry->name == name && entry->version == type->tp_version_tag) return entry;
    return quick_learn(entry, type, name);
}

/* Whether the object may have something of its own under the name of a method. */
static inline int quick_own(PyTypeObject *type, PyObject *of) {
    PyObject *own = type->tp_dictoffset == 0 ? NULL : *(PyObject **)((char *)of + type->tp_dictoffset);
    return own != NULL && (!PyDict_CheckExact(own) || PyDict_GET_SIZE(own) != 0);
}

static inline PyObject *quick_field(PyObject *of, quick_entry *entry) {
    return *(PyObject **)((char *)of + entry->offset);
}

/* As PyObject_GetAttr; the name is one that stays. */
static PyObject *quick_attr_of(quick_entry *entry, PyObject *of, PyObject *name) {
    if (entry->kind == QUICK_FIELD) {
        PyObject *value = quick_field(of, entry);
        if (value != NULL) return Py_NewRef(value);
    } else if (entry->kind == QUICK_GETTER) {
        PyGetSetDef *getset = ((PyGetSetDescrObject *)entry->found)->d_getset;
        return getset->get(of, getset->closure);
    }
    return PyObject_GetAttr(of, name);
}

/* As PyObject_VectorcallMethod without keywords; the name is one that stays. */
static PyObject *quick_method_of(quick_entry *entry, PyObject *name, PyObject *const *args, size_t nargsf) {
    PyObject *of = args[0], *called, *given;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    if (entry->kind >= QUICK_CALLED && quick_own(Py_TYPE(of), of)) return PyObject_VectorcallMethod(name, args, nargsf, NULL);
    if (entry->kind == QUICK_CALLED) {
        called = Py_NewRef(entry->found);
        given = PyObject_Vectorcall(called, args, count, NULL);
        Py_DECREF(called);
        return given;
    }
    if (entry->kind == QUICK_FIELD && (called = quick_field(of, entry)) != NULL) {
        Py_INCREF(called);
        given = PyObject_Vectorcall(called, args + 1, (count - 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
        Py_DECREF(called);
        return given;
    }
    if ((entry->kind == QUICK_ALONE && count == 1) || (entry->kind == QUICK_WITH_ONE && count == 2)) {
        PyCFunction function = ((PyMethodDescrObject *)entry->found)->d_method->ml_meth;
        if (Py_EnterRecursiveCall(" while calling a Python object")) return NULL;
        given = function(of, count == 2 ? args[1] : NULL);
        Py_LeaveRecursiveCall();
        return given;
    }
    return PyObject_VectorcallMethod(name, args, nargsf, NULL);
}

#ifdef __GNUC__
/* Each place in the code has what it saw last at hand: the version alone says whether it holds, as no two classes share one. */
static quick_entry *quick_again(quick_entry *site, PyObject *of, PyObject *name) {
    *site = *quick_find(Py_TYPE(of), name);
    return site;
}

static inline quick_entry *quick_at(quick_entry *site, PyObject *of, PyObject *name) {
    return site->version == Py_TYPE(of)->tp_version_tag && site->version != 0 ? site : quick_again(site, of, name);
}

static inline PyObject *quick_attr_at(quick_entry *site, PyObject *of, PyObject *name) {
    PyObject *value;
    if (site->kind == QUICK_FIELD && site->version == Py_TYPE(of)->tp_version_tag && (value = quick_field(of, site)) != NULL)
        return Py_NewRef(value);
    return quick_attr_of(quick_at(site, of, name), of, name);
}

#define quick_attr(of, name) ({ static quick_entry quick_site; quick_attr_at(&quick_site, of, name); })
#define quick_method(name, args, nargsf) ({ \
    static quick_entry quick_site; \
    PyObject *quick_name = name, *const *quick_args = args; \
    quick_method_of(quick_at(&quick_site, quick_args[0], quick_name), quick_name, quick_args, nargsf); \
})
#else
#define quick_attr(of, name) quick_attr_of(quick_find(Py_TYPE(of), name), of, name)
#define quick_method(name, args, nargsf) quick_method_of(quick_find(Py_TYPE((args)[0]), name), name, args, nargsf)
#endif
#endif
