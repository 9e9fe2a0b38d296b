# The quick way of the journal's writer, on the loop: plain batches to the thread of C and back. What is out of the ordinary is
# writer.py's. Included by _native.pyx.

from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from .segment import AHEAD_BYTES, CHUNK_BYTES

cdef long long _ahead_bytes = AHEAD_BYTES
cdef long long _chunk_bytes = CHUNK_BYTES

cdef enum:
    WEIGH_BYTES = 2 << 20


cdef class Quick:
    """See quick.py."""

    cdef public object _segment
    cdef public Pen _pen
    cdef public object _ahead
    cdef public object _quick
    cdef public object _reports
    cdef public bint _weighs
    cdef public long long _lent
    cdef public long long _room
    cdef public long long _unweighed
    cdef public double _weigh_at

    def put(self, batch):
        """Have it written; `on_written` or `on_failed` follows. None before that."""
        cdef bytearray lines = batch.lines
        cdef Py_ssize_t size = PyByteArray_GET_SIZE(lines)
        cdef timespec now
        segment = self._segment
        if not 0 < size <= self._lent or batch.roll or segment is None or self._pen is None:
            self._hand_over(batch)
            return
        self._lent -= size
        self._unweighed += size
        self._quick = batch
        self._weighs = (
            self._unweighed > WEIGH_BYTES
            or clock_gettime(CLOCK_MONOTONIC, &now) != 0
            or now.tv_sec + now.tv_nsec / 1e9 > self._weigh_at
        )
        self._pen.give(lines, segment.descriptor, segment.length, self._weighs)

    def _come_back(self):
        cdef int told = -1 if self._pen is None else self._pen.taken()
        cdef Py_ssize_t size
        cdef long long left
        batch, segment = self._quick, self._segment
        if told < 0 or batch is None or segment is None:
            return
        self._quick = None
        size = PyByteArray_GET_SIZE(<bytearray?> batch.lines)
        if told and not (self._weighs and self._is_short(self._pen.free_bytes)):
            length = segment.length + size
            segment.length = length
            if self._ahead is not None:
                left = segment.end - length
                self._lent = min(left - _ahead_bytes // 8, _chunk_bytes)  # as `quick_bytes`: it was lent for synced writes
                if left < _ahead_bytes:
                    self._ahead.keep_up(segment, self._room)
            self._reports.on_written(batch, False)
        elif not told and self._pen.wrote == size:
            self._condemn(batch)
        else:
            batch.begun = max(self._pen.wrote, 0), self._pen.trouble
            self._hand_over(batch)
