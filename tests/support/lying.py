"""A server that speaks just enough PostgreSQL to lie: lets everybody in, and answers each statement with a mutated answer."""

import contextlib
import random
import socket
import struct
import threading
from collections import Counter

from funcgate.catalog.sql import RELATIONS_SQL
from funcgate.wire.postgres import frames
from support.dbnoise import CASES, RELATIONS, Case, Message, conversation, described, mutated, row

_READY = (b"Z", b"I")
_HEADS = {b"P": ("1",), b"B": ("2",), b"C": ()}
_BY_SQL = {case.sql: case for case in CASES}


class Lying:
    """Listens on `port`. `counts` are of the messages that it sent, and what was done to them. `honest`: it says something plain
    to every simple query instead."""

    def __init__(self, seed: int) -> None:
        self.honest = False
        self.counts: Counter[str] = Counter()
        self._noise = random.Random(seed)
        self._connections: dict[bytes, socket.socket] = {}
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError, EOFError):
            head = _read(near, 8)
            rest = _read(near, int.from_bytes(head[:4], "big") - 8)
            if int.from_bytes(head[4:], "big") == frames.CANCEL_REQUEST:
                if (other := self._connections.get(rest[:4])) is not None:
                    other.shutdown(socket.SHUT_RDWR)  # it said what it had to say; who waits for more would wait long
                return
            with self._lock:
                key = struct.pack("!I", len(self._connections))
                self._connections[key] = near
            _say(near, [(b"R", bytes(4)), (b"S", b"client_encoding\0UTF8\0"), (b"K", key + b"abcd"), _READY])
            asked: list[str] = []
            sql = ""
            while True:
                kind, payload = _message(near)
                if kind == b"X":
                    return
                if kind == b"Q":
                    near.sendall(self._answer(payload[:-1].decode(), None))
                elif kind in (b"S", b"H"):
                    near.sendall(self._answer(sql, asked, ready=kind == b"S"))
                    asked = []
                elif kind == b"D":
                    asked += ["T"] if payload[:1] == b"P" else ["t", "T"]
                else:
                    sql = payload.split(b"\0")[1].decode() if kind == b"P" else sql
                    asked += _HEADS.get(kind, ())

    def _answer(self, sql: str, asked: list[str] | None, *, ready: bool = True) -> bytes:
        if sql == RELATIONS_SQL:
            return _bytes(
                [*((b"D", row([one.encode() for one in each])) for each in RELATIONS), (b"C", b"SELECT 3\0"), _READY]
            )
        case = _BY_SQL.get(sql)
        if asked is not None and not asked:
            return _bytes([_READY])  # a Sync alone
        if case is None:
            return _bytes([(b"E", b"SERROR\0C42601\0Mno\0\0"), _READY])
        if self.honest:
            plain: list[bytes | None] = [b"x"] * len(case.columns)
            return _bytes([(b"T", described(case.columns)), (b"D", row(plain)), (b"C", b"SELECT 1\0"), _READY])
        with self._lock:
            messages = conversation(self._noise, Case(sql, tuple(asked or ()), case.columns, copies=case.copies))
            messages = messages if ready else messages[:-1]
            other = conversation(self._noise, self._noise.choice(CASES))
            return mutated(self._noise, messages, other, self.counts)[0]


def _bytes(messages: list[Message]) -> bytes:
    return b"".join(frames.frame(*each) for each in messages)


def _say(to: socket.socket, messages: list[Message]) -> None:
    to.sendall(_bytes(messages))


def _message(source: socket.socket) -> Message:
    head = _read(source, 5)
    (size,) = struct.unpack("!I", head[1:])
    return head[:1], _read(source, size - 4)


def _read(source: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        if not (piece := source.recv(count - len(found))):
            raise EOFError
        found += piece
    return found
