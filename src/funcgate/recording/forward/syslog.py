"""Syslog over TCP or TLS (RFC 6587, RFC 5425). The protocol has no answers, so each connection is ended to learn its fate.

A receiver that has read everything closes too; one that died with messages unread resets. Until then they are not done.
"""

import contextlib
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Sequence
from time import monotonic

from funcgate.core.entry import Entry
from funcgate.recording.calls import CallRecord

from .destination import Message, Unreachable
from .rfc5424 import TEXTS, framed, hostname

CONNECT_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 30.0
END_TIMEOUT_S = 30.0
ROTATE_S = 5.0  # how long a message may wait until it is known whether it is there
ROTATE_BYTES = 4 << 20


class Syslog:
    """A `Destination`. `tls` None sends in clear."""

    max_events = 500
    max_bytes = 256 << 10

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, form: str) -> None:
        self._address = (host, port)
        self._tls = tls
        self._text = TEXTS[form]
        self._own_name = hostname()
        self._socket: socket.socket | None = None
        self._since = 0.0
        self._bytes = 0
        self.unconfirmed = 0

    def data(self, what: CallRecord | Entry) -> bytes:
        return framed(what, self._text(what), self._own_name)

    def send(self, messages: Sequence[Message]) -> None:
        data = b"".join(message.data for message in messages)
        try:
            self._connected().sendall(data)
        except OSError as error:
            raise self._lost(error) from None
        self._since = self._since if self.unconfirmed else monotonic()
        self.unconfirmed += len(messages)
        self._bytes += len(data)
        if self._bytes >= ROTATE_BYTES:
            self.confirm()

    def tick(self) -> None:
        if self.unconfirmed and monotonic() - self._since >= ROTATE_S:
            self.confirm()

    def confirm(self, timeout_s: float = END_TIMEOUT_S) -> None:
        """End the connection, and see how the other side does. Raises `Unreachable`."""
        connection = self._socket
        if connection is not None and self.unconfirmed:
            try:
                connection.settimeout(timeout_s)
                _end(connection)
            except TimeoutError:
                # It does not close; then it has to be enough that its system has acknowledged every byte.
                if _unacknowledged(connection):
                    raise self._lost(TimeoutError("it does not read what it is sent")) from None
            except OSError as error:
                raise self._lost(error) from None
        self.unconfirmed = 0
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        """Raises `OSError`, also when the other side has closed what it may not have read."""
        if self._socket is not None and _is_closed(self._socket):
            if self.unconfirmed:
                raise ConnectionResetError(0, "the receiver closed the connection")
            self.close()
        if self._socket is None:
            self._socket = self._connect()
        self._socket.settimeout(SEND_TIMEOUT_S)
        return self._socket

    def _connect(self) -> socket.socket:
        plain = socket.create_connection(self._address, CONNECT_TIMEOUT_S)
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_TIMEOUT_S * 1000))
            secured = plain if self._tls is None else self._tls.wrap_socket(plain, server_hostname=self._address[0])
        except BaseException:
            plain.close()
            raise
        self._bytes = 0
        return secured

    def _lost(self, error: OSError) -> Unreachable:
        self.close()
        self.unconfirmed = 0
        why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.strerror or str(error)
        return Unreachable(f"{self._address[0]}:{self._address[1]}: {why}")


def _is_closed(connection: socket.socket) -> bool:
    """Whether the other side has said that it ends. Whatever else it says is not looked at. Raises `OSError`."""
    connection.settimeout(0)
    try:
        _hear_out(connection)
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    return True


def _hear_out(connection: socket.socket) -> None:
    """Read to the end. Raises `OSError`."""
    # Attack: a receiver that talks for ever, and so keeps the one who listens.
    for _ in range(256):
        if not connection.recv(4096):
            return
    raise ConnectionAbortedError(0, "the receiver does not stop talking")


def _end(connection: socket.socket) -> None:
    """Say that nothing more comes, and wait for the other side to say the same. Raises `OSError`: it did not."""
    if isinstance(connection, ssl.SSLSocket):
        with contextlib.suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):  # it closed without the farewell of TLS
            connection.unwrap()
        return
    connection.shutdown(socket.SHUT_WR)
    _hear_out(connection)


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that the other side's system has not acknowledged."""
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("i", answer)[0])
