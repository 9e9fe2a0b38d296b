"""A PostgreSQL caller that says whatever a test wants, in bytes; and what it hears."""

import socket
import struct
from typing import Any

from funcgate.wire.postgres import backend, frames


class Raw:
    """A connection to a gateway; logged in unless told otherwise."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def log_in(self, token: str, minor: int = 0, **parameters: str) -> list[frames.Frame]:
        """All messages up to ReadyForQuery, or up to the end."""
        given = {"user": "agent", "database": "shop"} | parameters
        body = b"".join(f"{name}\0{value}\0".encode() for name, value in given.items()) + b"\0"
        self.socket.sendall(struct.pack("!II", len(body) + 8, 3 << 16 | minor) + body)
        self.send(b"p", token.encode() + b"\0")
        return self.until(b"Z")

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        self.socket.sendall(frames.frame(kind, payload))

    def hear(self) -> frames.Frame | None:
        """The next message; None at the end of the connection."""
        head = self._read(5)
        if len(head) < 5:
            return None
        payload = self._read(int.from_bytes(head[1:], "big") - 4)
        return frames.Frame(head[:1], payload, head + payload)

    def until(self, kind: bytes) -> list[frames.Frame]:
        found: list[frames.Frame] = []
        while (message := self.hear()) is not None:
            found.append(message)
            if message.kind == kind:
                break
        return found

    def parse(self, name: str, sql: str) -> None:
        self.send(b"P", f"{name}\0{sql}\0".encode() + b"\0\0")

    def bind(self, portal: str, statement: str) -> None:
        self.send(b"B", f"{portal}\0{statement}\0".encode() + b"\0" * 6)

    def execute(self, portal: str = "") -> None:
        self.send(b"E", portal.encode() + b"\0" + b"\0" * 4)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _read(self, count: int) -> bytes:
        found = b""
        try:
            while len(found) < count and (piece := self.socket.recv(count - len(found))):
                found += piece
        except ConnectionResetError:
            pass
        return found


def kinds(messages: list[frames.Frame]) -> str:
    return "".join(message.kind.decode() for message in messages)


def errors(messages: list[frames.Frame]) -> list[dict[str, str]]:
    return [backend.read_fields(message.payload) for message in messages if message.kind == b"E"]
