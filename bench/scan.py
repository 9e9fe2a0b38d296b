"""A caller that asks for many rows and counts what comes: bytes, rows, and whether a text is in it. It keeps nothing."""

import socket
import struct
from time import perf_counter
from typing import NamedTuple

from .processes import BenchError

_SILENT_S = 120.0
_PIECE = 1 << 20


class Scan(NamedTuple):
    """What came: `data` bytes of DataRow or CopyData messages, `first_s` until the first row and `took_s` until the last."""

    rows: int
    data: int
    first_s: float
    took_s: float
    found: int


def scan(port: int, user: str, database: str, password: str, sql: str, needle: bytes) -> Scan:
    """One simple query on a connection of its own; `found` counts the needle. Raises `BenchError` for an error."""
    with socket.create_connection(("127.0.0.1", port), _SILENT_S) as connection:
        body = f"user\0{user}\0database\0{database}\0\0".encode()
        connection.sendall(struct.pack("!II", len(body) + 8, 3 << 16) + body)
        buffer = bytearray()
        while (message := _one(connection, buffer))[0] != b"Z":
            if message[0] == b"R" and message[1][:4] == b"\0\0\0\3":
                connection.sendall(_frame(b"p", password.encode() + b"\0"))
            elif message[0] == b"E":
                raise BenchError(f"the connection was refused: {message[1]!r}")
        connection.sendall(_frame(b"Q", sql.encode() + b"\0"))
        return _count(connection, needle)


def _count(connection: socket.socket, needle: bytes) -> Scan:
    since = perf_counter()
    first = 0.0
    rows = data = found = 0
    rest = b""
    while True:
        piece = connection.recv(_PIECE)
        if not piece:
            raise BenchError("the connection ended inside the rows")
        buffer, at = rest + piece, 0
        found += buffer.count(needle) - rest.count(needle)
        while len(buffer) - at >= 5:
            size = int.from_bytes(buffer[at + 1 : at + 5], "big") + 1
            if len(buffer) - at < size:
                break
            kind = buffer[at]
            if kind in (0x44, 0x64):  # DataRow, CopyData
                first = first or perf_counter() - since
                rows += 1
                data += size
            elif kind == 0x45:
                raise BenchError(f"the query failed: {buffer[at + 5 : at + size]!r}")
            elif kind == 0x5A:
                return Scan(rows, data, first, perf_counter() - since, found)
            at += size
        rest = buffer[at:]


def _one(connection: socket.socket, buffer: bytearray) -> tuple[bytes, bytes]:
    while len(buffer) < 5 or len(buffer) < int.from_bytes(buffer[1:5], "big") + 1:
        piece = connection.recv(_PIECE)
        if not piece:
            raise BenchError("the connection ended before it began")
        buffer += piece
    size = int.from_bytes(buffer[1:5], "big") + 1
    message = bytes(buffer[:1]), bytes(buffer[5:size])
    del buffer[:size]
    return message


def _frame(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body
