# What the index stores of new calls: rows, words, sets. Part of _native.pyx.

DEF MOST_KEYS = 1 << 22  # of all calls of a batch in one chunk; beyond, sets are made in Python


def finished(dict fresh not None, long long n, parts):
    """Number the calls and give each its parts, as `Fresh.finish` does. By their first lines."""
    cdef Fresh one
    cdef list ordered = list(fresh.values()), found
    cdef object last = 0, kinds
    who, function, target, decision, code = parts.who, parts.function, parts.target, parts.decision, parts.code
    policy, session, client, of_kinds = parts.policy, parts.session, parts.client, parts.kinds
    for one in ordered:
        if one.seq < last:
            ordered.sort(key=seq_of)
            break
        last = one.seq
    for one in ordered:
        one.n = n
        n += 1
        kinds = PyList_AsTuple(one.kinds)
        found = []
        if one.principal:
            found.append(who[one.principal])
        if one.function:
            found.append(function[one.function])
        if one.target:
            found.append(target[one.target])
        found.append(decision[kinds])
        if one.code:
            found.append(code[one.code])
        if one.policy:
            found.append(policy[one.policy])
        if one.session:
            found.append(session[one.session])
        if one.client:
            found.append(client[one.client])
        if one.approvers:
            found.append(Part([key for raw in one.approvers for key in parts.approver(raw)]))
        found.append(of_kinds[kinds])
        if one.objects or one.away:
            found.append(Part(parts.elsewhere(one.objects or [], one.away)))
        one.parts = found
    return ordered


def seq_of(Fresh one not None):
    return one.seq


def rows(list fresh not None):
    """Rows of the table of calls."""
    cdef Fresh one
    return [(one.n, one.call, one.seq, one.at, keys_of(one), places_of(one)) for one in fresh]


cdef bytes keys_of(Fresh one):
    cdef Part part
    cdef Py_ssize_t size = 0
    for part in one.parts:
        size += PyBytes_GET_SIZE(part.packed)
    cdef bytes made = PyBytes_FromStringAndSize(NULL, size)
    cdef char* to = PyBytes_AS_STRING(made)
    for part in one.parts:
        memcpy(to, PyBytes_AS_STRING(part.packed), PyBytes_GET_SIZE(part.packed))
        to += PyBytes_GET_SIZE(part.packed)
    return made


cdef bytes places_of(Fresh one):
    """As MessagePack, each number in as few bytes as it takes."""
    cdef unsigned char made[9 * PLACES + 1]
    cdef int place, size, at = 1, byte
    cdef unsigned long long value
    if one.more is not None or one.count > 15:
        return pack(one.places)
    made[0] = 0x90 | one.count
    for place in range(one.count):
        if one.near[place] < 0:
            return pack(one.places)
        value = one.near[place]
        if value < 128:
            made[at] = value
            at += 1
            continue
        size = 1 if value <= 0xFF else 2 if value <= 0xFFFF else 4 if value <= 0xFFFFFFFF else 8
        made[at] = 0xCC if size == 1 else 0xCD if size == 2 else 0xCE if size == 4 else 0xCF
        for byte in range(size):
            made[at + 1 + byte] = value >> (8 * (size - 1 - byte)) & 0xFF
        at += 1 + size
    return PyBytes_FromStringAndSize(<char*> made, at)


def said(list fresh not None, words):
    """What the words' index is to hold: number and text. `words` hashes them, None if they are kept as they are."""
    cdef Fresh one
    cdef list found = []
    for one in fresh:
        if not one.text:
            continue
        if words is None and one.text.isascii():
            found.append((one.n, said_of(one)))
        else:
            text = one.text.decode("utf-8", "ignore")
            facts = "".join([(<Part?> part).said for part in one.parts])
            found.append((one.n, (text if words is None else words(text)) + facts))
    return found


cdef str said_of(Fresh one):
    cdef Part part
    cdef Py_ssize_t size = PyBytes_GET_SIZE(one.text)
    for part in one.parts:
        size += len(part.said)
    cdef str made = PyUnicode_New(size, 127)
    cdef char* to = PyUnicode_1BYTE_DATA(made)
    memcpy(to, PyBytes_AS_STRING(one.text), PyBytes_GET_SIZE(one.text))
    to += PyBytes_GET_SIZE(one.text)
    for part in one.parts:
        size = len(part.said)
        memcpy(to, PyUnicode_1BYTE_DATA(part.said), size)
        to += size
    return made


cdef extern from *:
    """
    typedef struct { long long key; unsigned int count, start; } Slot;

    static int by_key(const void *a, const void *b) {
        long long x = ((const Slot *)a)->key, y = ((const Slot *)b)->key;
        return (x > y) - (x < y);
    }

    /* The place of a key in a table of a power of two of slots, which has room; a free one (count 0) gets the key. */
    static Slot *slot_of(Slot *slots, size_t mask, long long key) {
        size_t at = (uint64_t)key * 0x9E3779B97F4A7C15u >> 20 & mask;
        while (slots[at].count && slots[at].key != key) at = (at + 1) & mask;
        slots[at].key = key;
        return slots + at;
    }
    """
    ctypedef struct Slot:
        long long key
        unsigned int count, start
    int by_key(const void* a, const void* b) nogil
    Slot* slot_of(Slot* slots, size_t mask, long long key) nogil


def extended(list fresh not None, held not None):
    """The sets of calls of one chunk with these more, by their keys, which rise. `held` gives what there is of many keys.

    None if that is better done in Python: nothing has been changed.
    """
    cdef Fresh one
    cdef Part part
    cdef size_t total = 0, room = 1024, used = 0, at
    cdef Slot* slots
    cdef Slot* slot
    cdef unsigned short* members
    for one in fresh:
        for part in one.parts:
            total += PyBytes_GET_SIZE(part.packed) >> 3
        if total > MOST_KEYS:
            return None  # Attack: callers of thousands of groups, to fill the memory
    while room < 2 * total:
        room *= 2
    slots = <Slot*> malloc(room * sizeof(Slot))
    members = <unsigned short*> malloc((total + 1) * sizeof(unsigned short))
    try:
        if slots is NULL or members is NULL:
            raise MemoryError
        memset(slots, 0, room * sizeof(Slot))
        for one in fresh:
            for part in one.parts:
                keys = <const long long*> PyBytes_AS_STRING(part.packed)
                for at in range(PyBytes_GET_SIZE(part.packed) >> 3):
                    slot_of(slots, room - 1, keys[at]).count += 1
        return extended_slots(fresh, held, slots, room, members)
    finally:
        free(slots)
        free(members)


cdef list extended_slots(list fresh, object held, Slot* slots, size_t room, unsigned short* members):
    cdef Fresh one
    cdef Part part
    cdef size_t at, used = 0
    cdef unsigned int start = 0
    cdef const long long* keys
    cdef Slot* slot
    cdef Slot* sorted_slots
    cdef list found = []
    cdef dict there
    for at in range(room):
        if slots[at].count:
            slots[at].start = start
            start += slots[at].count
            used += 1
    sorted_slots = <Slot*> malloc((used + 1) * sizeof(Slot))
    if sorted_slots is NULL:
        raise MemoryError
    try:
        used = 0
        for at in range(room):
            if slots[at].count:
                sorted_slots[used] = slots[at]
                used += 1
        qsort(sorted_slots, used, sizeof(Slot), by_key)
        for one in fresh:
            for part in one.parts:
                keys = <const long long*> PyBytes_AS_STRING(part.packed)
                for at in range(PyBytes_GET_SIZE(part.packed) >> 3):
                    slot = slot_of(slots, room - 1, keys[at])
                    members[slot.start] = one.n & in_chunk
                    slot.start += 1
        there = held([sorted_slots[at].key for at in range(used)])
        for at in range(used):
            key = sorted_slots[at].key
            found.append((key, grown(there.get(key, b""), members + sorted_slots[at].start, sorted_slots[at].count)))
        return found
    finally:
        free(sorted_slots)


cdef long long in_chunk = CHUNK - 1
DEF BITMAP = 2048
DEF FEW = 256


cdef bytes grown(bytes data, const unsigned short* members, Py_ssize_t count):
    """`bits.appended`. The members are below `CHUNK`; what the database holds may be anything."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data), at
    cdef const unsigned short* had = <const unsigned short*> PyBytes_AS_STRING(data)
    cdef unsigned char* bits
    cdef bytes made
    if size == BITMAP:
        made = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), BITMAP)
        bits = <unsigned char*> PyBytes_AS_STRING(made)
    elif size & 1 or size > BITMAP or (size and had[size // 2 - 1] >= members[0]):
        return changed(data, [members[at] for at in range(count)])
    elif size // 2 + count <= FEW:
        made = PyBytes_FromStringAndSize(NULL, size + 2 * count)
        memcpy(PyBytes_AS_STRING(made), had, size)
        memcpy(PyBytes_AS_STRING(made) + size, members, 2 * count)
        return made
    else:
        for at in range(size // 2):
            # Attack: an index file that was written by somebody else.
            if had[at] > in_chunk or (at and had[at] <= had[at - 1]):
                return changed(data, [members[at] for at in range(count)])
        made = PyBytes_FromStringAndSize(NULL, BITMAP)
        bits = <unsigned char*> PyBytes_AS_STRING(made)
        memset(bits, 0, BITMAP)
        for at in range(size // 2):
            bits[had[at] >> 3] |= 1 << (had[at] & 7)
    for at in range(count):
        bits[members[at] >> 3] |= 1 << (members[at] & 7)
    return made
