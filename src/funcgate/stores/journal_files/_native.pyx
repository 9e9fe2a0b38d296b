# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""The quick way of the journal's writer: a thread in C that writes a batch, has it durable, and says so, without Python's lock.

It judges nothing and tries nothing twice: what is not whole and durable is told as it was, for the Python thread (writer.py).
"""

from cpython.bytearray cimport PyByteArray_GET_SIZE
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from posix.types cimport off_t, pid_t
from posix.unistd cimport close, getpid, read, write

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    enum:
        SIG_SETMASK
    int sigfillset(sigset_t*)

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_attr_t:
        pass
    int pthread_create(pthread_t*, pthread_attr_t*, void* (*)(void*) noexcept nogil, void*)
    int pthread_join(pthread_t, void**)
    int pthread_detach(pthread_t)
    int pthread_sigmask(int, sigset_t*, sigset_t*)
    int pthread_setname_np(pthread_t, const char*)

cdef extern from "<semaphore.h>" nogil:
    ctypedef struct sem_t:
        pass
    int sem_init(sem_t*, int, unsigned int)
    int sem_wait(sem_t*)
    int sem_post(sem_t*)
    int sem_destroy(sem_t*)

cdef extern from "<sys/eventfd.h>" nogil:
    enum:
        EFD_CLOEXEC
        EFD_NONBLOCK
    int eventfd(unsigned int, int)

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len
    enum:
        RWF_DSYNC
    ssize_t pwritev2(int, const iovec*, int, off_t, int)

cdef extern from *:
    """
    #include <fcntl.h>
    #include <sys/stat.h>

    /* Whether the file has no name any more. It asks for the number of names alone: where somebody asked when a file was
       last written (fstat always asks), the next write has to note the time anew, and its sync to write that down too. */
    static int funcgate_is_removed(int descriptor)
    {
        struct stat found;
    #if defined(STATX_NLINK) && defined(AT_EMPTY_PATH)
        struct statx names;
        if (statx(descriptor, "", AT_EMPTY_PATH, STATX_NLINK, &names) == 0 && (names.stx_mask & STATX_NLINK))
            return names.stx_nlink == 0;
    #endif
        return fstat(descriptor, &found) == 0 && found.st_nlink == 0;
    }
    """
    int is_removed "funcgate_is_removed"(int) nogil

cdef extern from "<sys/statvfs.h>" nogil:
    struct statvfs_t "statvfs":
        unsigned long f_frsize
        unsigned long long f_bavail
    int fstatvfs(int, statvfs_t*)

cdef extern from *:
    int __sync_sub_and_fetch(int*, int) nogil

cdef struct Desk:
    # Shared by the loop and the thread; the last of the two to let go frees it.
    int holders
    sem_t given
    int report
    # One batch: the loop's until `given` is posted, then the thread's until it wrote to `report`.
    int work
    int descriptor
    iovec lines
    off_t offset
    int weighs
    ssize_t wrote
    int trouble
    int removed
    long long free_bytes


cdef void _let_go(Desk* desk) noexcept nogil:
    if __sync_sub_and_fetch(&desk.holders, 1) == 0:
        close(desk.report)
        sem_destroy(&desk.given)
        free(desk)


cdef void* _run(void* given) noexcept nogil:
    cdef Desk* desk = <Desk*> given
    cdef statvfs_t space
    cdef uint64_t one = 1
    while True:
        while sem_wait(&desk.given) != 0:
            pass
        if not desk.work:
            break
        while True:
            desk.wrote = pwritev2(desk.descriptor, &desk.lines, 1, desk.offset, RWF_DSYNC)
            if desk.wrote >= 0 or errno != EINTR:
                break
        desk.trouble = 0 if desk.wrote >= 0 else errno
        # Attack: remove the file under the gateway; it would go on writing where nobody can read.
        desk.removed = is_removed(desk.descriptor)
        if desk.weighs:
            desk.free_bytes = space.f_bavail * space.f_frsize if fstatvfs(desk.descriptor, &space) == 0 else -1
        desk.work = 0
        while write(desk.report, &one, sizeof(one)) < 0 and errno == EINTR:
            pass
    _let_go(desk)
    return NULL


cdef class Pen:
    """One thread, one batch at a time. `report` becomes readable once `take` has something to tell. Raises `OSError`.

    `write` and `take` are the loop's; `end` may wait for the disk and is another thread's.
    """

    cdef Desk* _desk
    cdef pid_t _process
    cdef pthread_t _thread
    cdef bint _runs
    cdef bint _busy
    cdef Py_buffer _held
    cdef readonly Py_ssize_t wrote
    cdef readonly int trouble
    cdef readonly long long free_bytes

    def __cinit__(self):
        cdef sigset_t all_signals, before
        cdef int failed
        self._desk = <Desk*> calloc(1, sizeof(Desk))
        if self._desk is NULL:
            raise MemoryError
        self._desk.holders = 1
        sem_init(&self._desk.given, 0, 0)
        self._desk.report = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self._desk.report < 0:
            PyErr_SetFromErrno(OSError)
        self._process = getpid()
        sigfillset(&all_signals)
        pthread_sigmask(SIG_SETMASK, &all_signals, &before)  # signals are for the thread that runs Python
        self._desk.holders = 2
        failed = pthread_create(&self._thread, NULL, _run, self._desk)
        pthread_sigmask(SIG_SETMASK, &before, NULL)
        if failed:
            self._desk.holders = 1
            errno = failed
            PyErr_SetFromErrno(OSError)
        self._runs = True
        pthread_setname_np(self._thread, b"funcgate-disk")

    @property
    def report(self):
        """A descriptor for the loop to watch."""
        return self._desk.report

    def write(self, bytearray lines not None, int descriptor, long long offset, bint weighs):
        """Append the lines at `offset`, then measure the free space if `weighs`. The lines cannot change their size until
        `take` told what became of them."""
        self.give(lines, descriptor, offset, weighs)

    cdef int give(self, bytearray lines, int descriptor, long long offset, bint weighs) except -1:
        if self._busy or not self._runs:
            raise ValueError("one batch at a time")
        PyObject_GetBuffer(lines, &self._held, PyBUF_SIMPLE)
        self._busy = True
        self._desk.descriptor = descriptor
        self._desk.lines.iov_base = self._held.buf
        self._desk.lines.iov_len = self._held.len
        self._desk.offset = offset
        self._desk.weighs = weighs
        self._desk.work = 1
        sem_post(&self._desk.given)
        return 0

    def take(self):
        """True: all of it is durable, in a file that has a name. False: see `wrote` and `trouble`, an errno. None: not yet.
        `free_bytes` is for ordinary users, -1 if it was not to be found out."""
        cdef int told = self.taken()
        return None if told < 0 else told == 1

    cdef int taken(self) noexcept:
        cdef uint64_t times
        if not self._busy or read(self._desk.report, &times, sizeof(times)) < 0:
            return -1
        self.wrote, self.trouble, self.free_bytes = self._desk.wrote, self._desk.trouble, self._desk.free_bytes
        cdef bint durable = self.wrote == self._held.len and not self._desk.removed
        PyBuffer_Release(&self._held)
        self._busy = False
        return durable

    def end(self):
        """End the thread, after the batch it has."""
        if not self._runs:
            return
        self._runs = False
        sem_post(&self._desk.given)
        with nogil:
            pthread_join(self._thread, NULL)

    def __dealloc__(self):
        if self._desk is NULL:
            return
        if self._runs:
            if self._process != getpid():
                return  # a fork has no such thread
            sem_post(&self._desk.given)
            pthread_detach(self._thread)  # it may hang in a disk that does
        # Lines that it still reads stay where they are, for good.
        if self._busy and not self._runs:
            PyBuffer_Release(&self._held)
        _let_go(self._desk)


include "_quick.pxi"
