# What `Intake.append` gives: a future in all that asyncio's tasks ask of one, for one batch. Whoever is not a task may be its
# prompt, and is then told without a turn of the loop in between.

from asyncio import CancelledError, InvalidStateError


cdef class Durable:
    """Done when its batch is on the disk. Each caller has its own: cancelling one must not cancel another."""

    cdef object _loop
    cdef object _error
    cdef object _prompt
    cdef list _callbacks  # (what to call, context)
    cdef bint _done
    cdef public bint _asyncio_future_blocking

    def __init__(self, loop):
        self._loop = loop

    # What the journal says of it.

    cpdef done(self):
        return self._done

    cpdef set_result(self, _):
        self._settle(None)

    cpdef set_exception(self, error):
        self._settle(error)

    cdef int _settle(self, error) except -1:
        if self._done:
            raise InvalidStateError("it is done")
        self._done = True
        self._error = error
        prompt, self._prompt = self._prompt, None
        callbacks, self._callbacks = self._callbacks, None
        if prompt is not None:
            prompt.prompted(self)
        if callbacks is not None:
            for callback, context in callbacks:
                self._loop.call_soon(callback, self, context=context)
        return 0

    # What is awaited.

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if not self._done:
            self._asyncio_future_blocking = True
            return self
        if self._error is not None:
            raise self._error
        raise StopIteration

    def prompts(self, prompt):
        """`prompt.prompted` is called with this as soon as it is done, from within: it is to take note and come back. One only."""
        self._asyncio_future_blocking = False
        if self._done or self._prompt is not None:
            raise InvalidStateError("it is done, or waited for")
        self._prompt = prompt

    # What a task asks of a future.

    def get_loop(self):
        return self._loop

    def add_done_callback(self, callback, *, context=None):
        if self._done:
            self._loop.call_soon(callback, self, context=context)
        elif self._callbacks is None:
            self._callbacks = [(callback, context)]
        else:
            self._callbacks.append((callback, context))

    def remove_done_callback(self, callback):
        before = self._callbacks or []
        left = [pair for pair in before if pair[0] != callback]
        self._callbacks = left or None
        return len(before) - len(left)

    def cancel(self, msg=None):
        if self._done:
            return False
        self._settle(CancelledError() if msg is None else CancelledError(msg))
        return True

    def cancelled(self):
        return isinstance(self._error, CancelledError)

    def exception(self):
        if not self._done:
            raise InvalidStateError("it is not done")
        if isinstance(self._error, CancelledError):
            raise self._error
        return self._error

    def result(self):
        if not self._done:
            raise InvalidStateError("it is not done")
        if self._error is not None:
            raise self._error
