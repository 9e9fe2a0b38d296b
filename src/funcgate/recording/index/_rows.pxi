# What the index stores of new calls: rows, words, sets. Part of _native.pyx.

DEF MOST_KEYS = 1 << 22  # of all calls of a batch in one chunk; beyond, sets are made in Python


def finished(dict fresh not None, long long n, parts):
    """Number the calls and give each its parts, as `Fresh.finish` does. By their first lines."""
    cdef Fresh one
    cdef Shared shared
    cdef list ordered = list(fresh.values())
    cdef dict known = {}
    cdef long long last = 0
    cdef object alike
    for one in ordered:
        if one.seq < last:
            ordered.sort(key=seq_of)
            break
        last = one.seq
    for one in ordered:
        one.n = n
        n += 1
        if one.kinds is not None or one.approvers or one.objects or one.away:
            one.shared = Shared(parts_of(one, parts))
            continue
        alike = (one.principal, one.function, one.target, one.session, one.client, one.code, one.policy, one.shape)
        one.shared = known.get(alike)
        if one.shared is None:
            one.shared = known[alike] = Shared(parts_of(one, parts))
    return ordered


cdef list parts_of(Fresh one, parts):
    """In the order of the facts' numbers, so that the keys rise."""
    cdef tuple kinds = tuple(one.told())
    cdef list found = []
    if one.principal:
        found.append(parts.who[one.principal])
    if one.function:
        found.append(parts.function[one.function])
    if one.target:
        found.append(parts.target[one.target])
    found.append(parts.decision[kinds])
    if one.code:
        found.append(parts.code[one.code])
    if one.policy:
        found.append(parts.policy[one.policy])
    if one.session:
        found.append(parts.session[one.session])
    if one.client:
        found.append(parts.client[one.client])
    if one.approvers:
        found.append(Part([key for raw in one.approvers for key in parts.approver(raw)]))
    found.append(parts.kinds[kinds])
    if one.objects or one.away:
        found.append(Part(parts.elsewhere(one.objects or [], one.away)))
    return found


def seq_of(Fresh one not None):
    return one.seq


def rows(list fresh not None):
    """Rows of the table of calls, each made when it is asked for: what is stored at once is still at hand."""
    cdef Fresh one
    for one in fresh:
        yield one.n, one.call, one.seq, one.at, one.shared.packed, places_of(one)


cdef object places_of(Fresh one):
    """As MessagePack, each number in as few bytes as it takes; as `Shared.packed`."""
    cdef unsigned char made[9 * PLACES + 1]
    cdef int place, size, at = 1, byte
    cdef unsigned long long value
    if one.more is not None or one.count > 15:
        return bytearray(pack(one.places))
    made[0] = 0x90 | one.count
    for place in range(one.count):
        if one.near[place] < 0:
            return bytearray(pack(one.places))
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
    return PyByteArray_FromStringAndSize(<char*> made, at)


def said(list fresh not None, words):
    """What the words' index is to hold: number and text, as `rows`. `words` hashes them, None if they are kept as they are."""
    cdef Fresh one
    for one in fresh:
        if not one.text:
            continue
        if words is None and is_ascii(PyBytes_AS_STRING(one.text), PyBytes_GET_SIZE(one.text)):
            yield one.n, said_of(one)
        else:
            text = one.text.decode("utf-8", "ignore")
            yield one.n, (text if words is None else words(text)) + one.shared.said


cdef str said_of(Fresh one):
    cdef Py_ssize_t size = PyBytes_GET_SIZE(one.text), more = len(one.shared.said)
    cdef str made = PyUnicode_New(size + more, 127)
    cdef char* to = PyUnicode_1BYTE_DATA(made)
    memcpy(to, PyBytes_AS_STRING(one.text), size)
    memcpy(to + size, PyUnicode_1BYTE_DATA(one.shared.said), more)
    return made


cdef extern from *:
    """
    #include <stdlib.h>

    static int is_ascii(const char *p, Py_ssize_t size) {
        const char *end = p + size;
        uint64_t word, any = 0;
        for (; end - p >= 8; p += 8) {
            memcpy(&word, p, 8);
            any |= word;
        }
        for (; p < end; p++) any |= (uint64_t)(unsigned char)*p;
        return !(any & 0x8080808080808080u);
    }

    typedef struct { long long key; unsigned int count, start; } Slot;
    typedef struct { Slot *slots; size_t room, used; } Table;  /* a power of two of slots, half of them free at least */

    static int by_key(const void *a, const void *b) {
        long long x = ((const Slot *)a)->key, y = ((const Slot *)b)->key;
        return (x > y) - (x < y);
    }

    /* The slot of a key, a free one (count 0) if it has none yet. */
    static Slot *slot_of(const Table *table, long long key) {
        size_t at = (uint64_t)key * 0x9E3779B97F4A7C15u >> 20 & (table->room - 1);
        while (table->slots[at].count && table->slots[at].key != key) at = (at + 1) & (table->room - 1);
        return table->slots + at;
    }

    /* One more of this key. 0: there is no memory. */
    static int count_key(Table *table, long long key) {
        Slot *slot = slot_of(table, key);
        if (slot->count++) return 1;
        slot->key = key;
        if (2 * ++table->used >= table->room) {
            Table larger = {calloc(2 * table->room, sizeof(Slot)), 2 * table->room, table->used};
            if (!larger.slots) return 0;
            for (size_t at = 0; at < table->room; at++)
                if (table->slots[at].count) *slot_of(&larger, table->slots[at].key) = table->slots[at];
            free(table->slots);
            *table = larger;
        }
        return 1;
    }
    """
    bint is_ascii(const char* at, Py_ssize_t size) nogil
    ctypedef struct Slot:
        long long key
        unsigned int count, start
    int by_key(const void* a, const void* b) nogil
    ctypedef struct Table:
        Slot* slots
        size_t room, used
    Slot* slot_of(const Table* table, long long key) nogil
    int count_key(Table* table, long long key) nogil


def extended(list fresh not None, held not None):
    """The sets of calls of one chunk with these more, by their keys, which rise. `held` gives what there is of many keys.

    None if that is better done in Python: nothing has been changed.
    """
    cdef Fresh one
    cdef Part part
    cdef Py_ssize_t total = 0, at
    cdef const long long* keys
    cdef Table table
    cdef unsigned short* members = NULL
    cdef Slot* ordered = NULL
    for one in fresh:
        for part in one.shared.parts:
            total += PyBytes_GET_SIZE(part.packed) >> 3
        if total > MOST_KEYS:
            return None  # Attack: callers of thousands of groups, to fill the memory
    table.room, table.used = 4096, 0
    table.slots = <Slot*> calloc(table.room, sizeof(Slot))
    try:
        members = <unsigned short*> malloc((total + 1) * sizeof(unsigned short))
        if table.slots is NULL or members is NULL:
            raise MemoryError
        for one in fresh:
            for part in one.shared.parts:
                keys = <const long long*> PyBytes_AS_STRING(part.packed)
                for at in range(PyBytes_GET_SIZE(part.packed) >> 3):
                    if not count_key(&table, keys[at]):
                        raise MemoryError
        ordered = <Slot*> malloc((table.used + 1) * sizeof(Slot))
        if ordered is NULL:
            raise MemoryError
        return grown_slots(fresh, held, &table, ordered, members)
    finally:
        free(table.slots)
        free(members)
        free(ordered)


cdef list grown_slots(list fresh, object held, Table* table, Slot* ordered, unsigned short* members):
    """`ordered` has room for the slots that are used, `members` for all that they count."""
    cdef Fresh one
    cdef Part part
    cdef size_t at, used = 0
    cdef Py_ssize_t place
    cdef unsigned int start = 0
    cdef const long long* keys
    cdef Slot* slot
    cdef list found = []
    cdef dict there
    for at in range(table.room):
        if table.slots[at].count:
            table.slots[at].start = start
            start += table.slots[at].count
            ordered[used] = table.slots[at]
            used += 1
    qsort(ordered, used, sizeof(Slot), by_key)
    for one in fresh:
        for part in one.shared.parts:
            keys = <const long long*> PyBytes_AS_STRING(part.packed)
            for place in range(PyBytes_GET_SIZE(part.packed) >> 3):
                slot = slot_of(table, keys[place])
                members[slot.start] = one.n & in_chunk
                slot.start += 1
    there = held([ordered[at].key for at in range(used)])
    for at in range(used):
        key = ordered[at].key
        found.append((key, grown(there.get(key, b""), members + ordered[at].start, ordered[at].count)))
    return found


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
