"""The addresses of callers, open in the gateway's own process: each connection goes to the worker that has the fewest.

It reads not a byte of what a caller says. When nobody can take a connection, it waits in the system's own queue.
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterable
from typing import Protocol

from funcgate.logs import logger

BACKLOG = 1024
AT_ONCE = 64  # connections, before the loop does something else
PAUSE_S = 0.05
SHORT_OF_PAUSE_S = 0.5
_SHORT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Taker(Protocol):
    """Who may take a connection: `open` is how many it has."""

    @property
    def open(self) -> int: ...

    def take(self, what: bytes, descriptor: int) -> bool: ...


class Door:
    """All sockets that callers connect to. `takers` gives those who take connections now."""

    def __init__(self, takers: Callable[[], Iterable[Taker]]) -> None:
        self._takers = takers
        self._sockets: list[_Listening] = []

    def open(self, what: bytes, host: str, port: int) -> int:
        """Begin to listen, but to accept only with `look`. Returns the port. Raises `OSError`."""
        first = 0
        for bound in _bind(host, port):
            self._sockets.append(_Listening(bound, what, self._takers))
            first = first or int(bound.getsockname()[1])
        return first

    def look(self) -> None:
        """There may be somebody who takes connections."""
        for each in self._sockets:
            each.go_on()

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        self._sockets.clear()


class _Listening:
    """One socket that listens."""

    def __init__(self, bound: socket.socket, what: bytes, takers: Callable[[], Iterable[Taker]]) -> None:
        self._socket = bound
        self._what = what
        self._takers = takers
        self._held: socket.socket | None = None  # one that was accepted, and that nobody could take
        self._accepting = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def go_on(self) -> None:
        if self._accepting or self._timer is not None or not any(True for _ in self._takers()):
            return
        held, self._held = self._held, None
        if held is not None and not self._pass(held):
            return
        self._accepting = True
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        self._stop()
        if self._timer is not None:
            self._timer.cancel()
        if self._held is not None:
            self._held.close()
        self._socket.close()

    def _readable(self) -> None:
        for _ in range(AT_ONCE):
            if not any(True for _ in self._takers()):
                self._stop()  # until somebody is there again: see `go_on`
                return
            try:
                connected, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _SHORT_OF:
                    # Attack: connections until there is no descriptor left. A loop that tries again at once does nothing else.
                    logger().error("no connection can be accepted", why=os.strerror(error.errno or 0))
                    self._pause(SHORT_OF_PAUSE_S)
                    return
                continue  # it was gone before it was accepted
            if not self._pass(connected):
                return

    def _pass(self, connected: socket.socket) -> bool:
        """To the first of those with the fewest that takes it; else it is held, and nothing is accepted for a moment."""
        for taker in sorted(self._takers(), key=lambda each: each.open):
            if taker.take(self._what, connected.fileno()):
                connected.close()
                return True
        self._held = connected
        self._pause(PAUSE_S)
        return False

    def _pause(self, for_s: float) -> None:
        self._stop()
        self._timer = self._loop.call_later(for_s, self._again)

    def _again(self) -> None:
        self._timer = None
        self.go_on()

    def _stop(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._socket)


def _bind(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of the host. Raises `OSError`."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            with contextlib.ExitStack() as unless_bound:
                made = unless_bound.enter_context(socket.socket(family, kind, protocol))
                made.setblocking(False)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                made.bind(address)
                made.listen(BACKLOG)
                unless_bound.pop_all()
            bound.append(made)
    except OSError:
        for each in bound:
            each.close()
        raise
    return bound
