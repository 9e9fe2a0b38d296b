"""The connections that a worker is passed: taken off the socket that they come by, served, and reported when they are closed.

How many are closed is told at most every 20 ms, as a sum, and only when there are more.
"""

import asyncio
import os
import socket
from collections.abc import Callable

from funcgate.app.listening import Listening

AT_ONCE = 64  # connections, before the loop does something else
REPORT_S = 0.02
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Taking:
    """From `start` to `stop`. `report` is told how many of all that came are closed."""

    def __init__(self, source: socket.socket, listening: Listening, report: Callable[[int], None]) -> None:
        self._source = source
        self._listening = listening
        self._report = report
        self._came = 0
        self._said = 0
        self._beginning: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        listening.on_closed(self._closed)

    def start(self) -> None:
        self._loop.add_reader(self._source, self._readable)

    def stop(self) -> None:
        """Take no more. What was passed and is not taken yet is closed."""
        self._loop.remove_reader(self._source)
        while (came := self._receive()) is not None:
            for descriptor in came[1]:
                os.close(descriptor)

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            came = self._receive()
            if came is None:
                return
            what, descriptors = came
            for descriptor in descriptors:
                connected = socket.socket(fileno=descriptor)
                task = asyncio.create_task(self._begin(what, connected))
                self._beginning.add(task)
                task.add_done_callback(self._begun)
            if not descriptors:  # there was no room for it among this process' files: the system has closed it
                self._closed()

    def _receive(self) -> tuple[bytes, list[int]] | None:
        """The next one; None when there is none now."""
        try:
            what, descriptors, _, _ = socket.recv_fds(self._source, 1, 1, _CLOEXEC)
        except OSError:
            return None
        if not what:  # the gateway has gone, and the link says so
            self._loop.remove_reader(self._source)
            return None
        self._came += 1
        return what, descriptors

    async def _begin(self, what: bytes, connected: socket.socket) -> None:
        connected.setblocking(False)
        try:
            await self._listening.take(what, connected)
        except OSError:  # it ended before anything was said, by a handshake that failed say
            connected.close()

    def _begun(self, task: asyncio.Task[None]) -> None:
        self._beginning.discard(task)
        self._closed()

    def _closed(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(REPORT_S, self._tell)

    def _tell(self) -> None:
        self._timer = None
        closed = self._came - len(self._beginning) - self._listening.open
        if closed > self._said:
            self._said = closed
            self._report(closed)
