# The table of a run of lines (run.Run), looked at before anything is read by it.


cdef const long long* rows_of(bytes block, bytes table, Py_ssize_t count) except NULL:
    """Three numbers for each of so many lines: its own, its place in the block, its length."""
    cdef const long long* rows = <const long long*> PyBytes_AS_STRING(table)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(block), at
    if PyBytes_GET_SIZE(table) != 24 * count:
        raise ValueError("a table of other lines")
    for at in range(count):
        # Attack: a table of another block, by which memory behind it is read.
        if rows[3 * at + 1] < 0 or rows[3 * at + 2] < 0 or rows[3 * at + 1] > size or rows[3 * at + 2] > size - rows[3 * at + 1]:
            raise ValueError("a line that is not in its block")
    return rows
