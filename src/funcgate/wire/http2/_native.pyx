# cython: language_level=3, boundscheck=False, wraparound=False
"""The compiled half of flow.py, streams.py and floods.py: frames that are nothing out of the ordinary, both ways, and what they count.

What is unusual, or wrong, goes on to the same methods of control.py and link.py that do all of it where nothing is compiled.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject

from .codes import Broken, ErrorCode, NoStream
from .events import Data, Head, Trailers
from .packing import Packer
from .unpacking import Unpacker

cdef enum:
    WORTH = 256
    DEFAULT_WINDOW = 65535
    LAST_ID = 0x7FFFFFFF

    REQUEST = 0  # as in _packing.pyx
    RESPONSE = 1
    TRAILERS = 2

cdef frozenset NO_SECRETS = frozenset()

include "_counted.pxi"


cdef bytes put_data_head(Py_ssize_t size, bint end, long long stream):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, 9)
    cdef unsigned char* into = <unsigned char*> PyBytes_AS_STRING(made)
    into[0], into[1], into[2] = <unsigned char> (size >> 16), <unsigned char> (size >> 8), <unsigned char> size
    into[3], into[4] = 0, end  # DATA, END_STREAM
    into[5], into[6] = <unsigned char> (stream >> 24), <unsigned char> (stream >> 16)
    into[7], into[8] = <unsigned char> (stream >> 8), <unsigned char> stream
    return made


cdef class Flow:
    """See flow.py."""

    cdef public bint client, closing, _settled
    cdef public object limits, _packer, _unpacker
    cdef public list _out, _events
    cdef public dict _streams
    cdef public Gone _gone
    cdef public Budgets _budgets
    cdef public long long peer_max_streams, _next_id, _last_peer_id, _last_taken, _block_stream, _frames
    cdef public long long _send_window, _unreturned, _receive_window, _owed, _peer_window, _peer_max_frame
    cdef long long _max_frame, _max_streams, _stream_window, _max_head

    def __init__(self, client, limits):
        self.client, self.limits = client, limits
        self.peer_max_streams = 1 << 31
        self._out, self._events, self._streams = [], [], {}
        self._gone, self._budgets = Gone(), Budgets(limits)
        self._packer, self._unpacker = Packer(), Unpacker(limits.head)
        self._next_id = 1
        self._send_window = self._peer_window = DEFAULT_WINDOW
        self._receive_window = limits.connection_window
        self._peer_max_frame = 1 << 14
        self._max_frame, self._max_streams, self._stream_window = limits.max_frame, limits.max_streams, limits.stream_window
        self._max_head = 2 * limits.head.max_bytes

    # What is sent.

    def take(self):
        cdef list out = self._out
        if not out:
            return b""
        self._out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def open(self, list fields not None, bint end, frozenset secret not None=NO_SECRETS):
        if self.closing or len(self._streams) >= self.peer_max_streams or self._next_id > LAST_ID:
            raise NoStream
        cdef long long number = self._next_id
        self._next_id += 2
        cdef Stream stream = Stream(number, self._peer_window, self._stream_window)
        stream.head_only = fields[0] == (b":method", b"HEAD")
        self._streams[number] = stream
        self._fields(stream, fields, end, secret)
        return number

    def head(self, long long stream, list fields not None, bint end, frozenset secret not None=NO_SECRETS):
        self._fields(self._known(stream), fields, end, secret)

    def trailers(self, long long stream, list fields not None, frozenset secret not None=NO_SECRETS):
        self._fields(self._known(stream), fields, True, secret)

    def room(self, stream):
        cdef PyObject* found = PyDict_GetItem(self._streams, stream)
        return 0 if found is NULL else self._room(<Stream> found)

    def data(self, long long stream, bytes data not None, bint end):
        cdef Stream known = self._known(stream)
        if PyBytes_GET_SIZE(data) > self._room(known):
            raise ValueError("more DATA than the windows allow")
        self._data(known, data, end)

    cdef int _data(self, Stream known, bytes data, bint end) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data), start = 0, most = self._peer_max_frame
        cdef long long stream = known.id
        cdef list out = self._out
        known.send_window -= size
        self._send_window -= size
        self._unreturned += 2 * size
        if size <= most:
            out.append(put_data_head(size, end, stream))
            if size:
                out.append(data)
        else:
            while start < size:
                piece = data[start:start + most]
                out.append(put_data_head(len(piece), end and start + most >= size, stream))
                out.append(piece)
                start += most
        if end:
            self._ended_here(known)
        if end or size >= WORTH:
            self._worked()
        return 0

    def whole(self, long long stream, list head not None, bytes data not None, list trailers not None):
        cdef Stream known = self._known(stream)
        if PyBytes_GET_SIZE(data) > self._room(known):
            return False
        self._fields(known, head, False, NO_SECRETS)
        self._data(known, data, False)
        self._fields(known, trailers, True, NO_SECRETS)
        return True

    def waiting(self):
        return len(self._out) > 0

    def consumed(self, stream, long long count):
        self._returned(count)
        cdef PyObject* found = PyDict_GetItem(self._streams, stream)
        cdef Stream known
        if found is not NULL:
            known = <Stream> found
            if known.state != ENDED_THERE:
                known.owed += count
                if known.owed >= known.receive_window:
                    known.receive_window += known.owed
                    self._update(known.id, known.owed)
                    known.owed = 0
        return len(self._out) > 0

    cdef Stream _known(self, stream):
        cdef PyObject* found = PyDict_GetItem(self._streams, stream)
        if found is NULL:
            raise NoStream
        return <Stream> found

    cdef long long _room(self, Stream stream) noexcept:
        return max(0, min(stream.send_window, self._send_window))

    cdef int _fields(self, Stream stream, list fields, bint end, frozenset secret) except -1:
        self._out.append(self._packer.framed(fields, secret, stream.id, end, self._peer_max_frame))
        if end:
            self._ended_here(stream)
        self._worked()
        return 0

    cdef void _worked(self) noexcept:
        self._budgets.earned(PINGS, 1)
        self._budgets.earned(UPDATES, 2)

    cdef int _returned(self, long long count) except -1:
        self._owed += count
        if self._owed >= self._receive_window:
            self._receive_window += self._owed
            self._update(0, self._owed)
            self._owed = 0
        return 0

    def _give_back(self, long long count):
        self._returned(count)

    # How streams end.

    cdef int _ended_here(self, Stream stream) except -1:
        stream.state = ENDED_HERE if stream.state <= ENDED_HERE else CLOSED
        if stream.bad:
            self._refused(stream)
        elif stream.state == CLOSED:
            self._ended(stream)
        return 0

    cdef int _over_there(self, Stream stream) except -1:
        stream.state = CLOSED if stream.state & 1 else ENDED_THERE
        if stream.state == CLOSED:
            self._ended(stream)
        return 0

    def _ended_there(self, Stream stream not None):
        self._over_there(stream)

    cdef int _ended(self, Stream stream) except -1:
        number = stream.id
        self._streams.pop(number, None)
        self._gone.remember(number, WAS_ENDED)
        self._budgets.earned(RESETS, 1)
        return 0

    # What comes.

    def _plain(self, bytes data not None, Py_ssize_t at):
        """Reads frames up to the first one that is unusual, or not whole: where that one begins."""
        cdef const unsigned char* frame
        cdef Py_ssize_t end = PyBytes_GET_SIZE(data), size
        cdef long long number
        if not self._settled or self._block_stream:
            return at
        while end - at >= 9:
            frame = <const unsigned char*> PyBytes_AS_STRING(data) + at
            size = frame[0] << 16 | frame[1] << 8 | frame[2]
            if size > self._max_frame or end - at - 9 < size:
                break
            number = (frame[5] & 0x7F) << 24 | frame[6] << 16 | frame[7] << 8 | frame[8]
            if not number:
                break
            if frame[3] == 0 and not frame[4] & 0xFE:  # DATA with END_STREAM at most
                if not self._plain_data(number, frame + 9, size, frame[4] & 1):
                    break
            elif frame[3] == 1 and frame[4] & 0xFE == 4 and size <= self._max_head:  # HEADERS: END_HEADERS, END_STREAM at most
                self._plain_block(number, PyBytes_FromStringAndSize(<const char*> frame + 9, size), frame[4] & 1)
            else:
                break
            self._frames += 1
            at += 9 + size
        return at

    cdef bint _plain_data(self, long long number, const unsigned char* payload, Py_ssize_t size, bint end) except -1:
        """False, with nothing done, when there is anything to be said against it."""
        boxed = number
        cdef PyObject* found = PyDict_GetItem(self._streams, boxed)
        cdef Stream stream
        if found is NULL or not (size or end) or size > self._receive_window:
            return False
        stream = <Stream> found
        if stream.bad or stream.state == ENDED_THERE or not stream.headed or size > stream.receive_window:
            return False
        if stream.left >= 0:
            # Attack: a length that says another thing than the frames is believed by the next reader (RFC 9113, 8.1.1).
            if size > stream.left or (end and size != stream.left):
                return False
            stream.left -= size
        self._receive_window -= size
        stream.receive_window -= size
        self._events.append(Data(boxed, PyBytes_FromStringAndSize(<const char*> payload, size), size, end))
        if end:
            self._over_there(stream)
        return True

    cdef int _plain_block(self, long long number, bytes block, bint end) except -1:
        boxed = number
        cdef PyObject* known = PyDict_GetItem(self._streams, boxed)
        cdef Stream stream
        if known is NULL:
            if (
                self.client or number <= self._last_peer_id or not number & 1 or self.closing
                or len(self._streams) >= self._max_streams
            ):
                self._on_block(boxed, block, end)
            else:
                self._plain_request(boxed, block, end)
            return 0
        stream = <Stream> known
        if stream.bad or stream.state == ENDED_THERE:
            self._on_block(boxed, block, end)
        elif stream.headed:
            found = self._unpacker.message(block, TRAILERS)
            if found is None or not end or stream.left > 0:
                self._trailers(stream, self._fields_of(found), end)
            else:
                self._events.append(Trailers(boxed, (<tuple> found)[0]))
                self._over_there(stream)
        else:
            self._plain_answer(boxed, stream, block, end)
        return 0

    cdef int _plain_request(self, number, bytes block, bint end) except -1:
        found = self._unpacker.message(block, REQUEST)
        if found is None or (end and (<tuple> found)[2] > 0):
            self._request(number, self._fields_of(found), end)
            return 0
        cdef Stream stream = Stream(number, self._peer_window, self._stream_window)
        self._last_peer_id = self._last_taken = number
        stream.headed = True
        stream.left = (<tuple> found)[2]
        self._streams[number] = stream
        self._events.append(Head(number, (<tuple> found)[0], end, self._unpacker.never))
        if end:
            self._over_there(stream)
        return 0

    cdef int _plain_answer(self, number, Stream stream, bytes block, bint end) except -1:
        found = self._unpacker.message(block, RESPONSE)
        cdef long long left = -1
        if found is not None:
            left = 0 if stream.head_only or (<tuple> found)[1] in (204, 304) else (<tuple> found)[2]
        if found is None or (end and left > 0):
            self._answer(stream, self._fields_of(found), end)
            return 0
        stream.headed = True
        stream.left = left
        self._events.append(Head(number, (<tuple> found)[0], end, self._unpacker.never))
        if end:
            self._over_there(stream)
        return 0

    cdef list _fields_of(self, found):
        """Those of a message; of one that is not plain, what the block held."""
        if found is not None:
            return (<tuple> found)[0]
        fields, self._unpacker.fields = self._unpacker.fields, None
        return fields
