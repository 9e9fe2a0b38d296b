"""A caller that writes any bytes at all."""

import socket
import ssl


def connect(port: int, timeout_s: float = 10.0, context: ssl.SSLContext | None = None) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    return context.wrap_socket(plain, server_hostname="localhost") if context else plain


def exchange(
    port: int, data: bytes, *, half_close: bool = False, timeout_s: float = 10.0, finals: int = 1, last: bytes = b""
) -> bytes:
    """Send the bytes and read until the gateway closes, or until it has been silent for a moment after what is waited for."""
    with connect(port, timeout_s) as sock:
        sock.sendall(data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        return read_all(sock, finals=finals, last=last)


def read_all(sock: socket.socket, quiet_s: float = 0.5, *, finals: int = 1, last: bytes = b"") -> bytes:
    """Read until the end. A moment of silence is one only after so many answers, interim ones not counted, and these bytes: a
    busy machine may be silent for longer in between."""
    received = b""
    try:
        while True:
            piece = sock.recv(65536)
            if not piece:
                return received
            received += piece
            if sum(status >= 200 for status in statuses(received)) >= finals and last in received:
                sock.settimeout(quiet_s)
    except (TimeoutError, ConnectionResetError):
        return received


def read_answer(sock: socket.socket) -> bytes:
    """One answer with a Content-Length, or up to the end of the connection; interim answers are passed over."""
    received = b""
    while True:
        head, blank, body = received.partition(b"\r\n\r\n")
        if blank and head.startswith(b"HTTP/1.1 1"):
            received = body
            continue
        if blank:
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None
            )
            if length is not None and len(body) >= length:
                return received
        piece = sock.recv(65536)
        if not piece:
            return received
        received += piece


def statuses(answers: bytes) -> list[int]:
    """The status of each answer in the bytes (interim ones too)."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
