"""What callers send: each message read whole and strictly, so that what is judged is what the server would read.

Function calls, and whatever else is in no table here, are refused.
"""

import struct
from typing import NamedTuple

from .frames import Malformed, frame

QUERY, PARSE, BIND, DESCRIBE, EXECUTE = b"Q", b"P", b"B", b"D", b"E"
CLOSE, SYNC, FLUSH, TERMINATE, PASSWORD = b"C", b"S", b"H", b"X", b"p"
COPY_DATA, COPY_DONE, COPY_FAIL, FUNCTION_CALL = b"d", b"c", b"f", b"F"

SYNC_FRAME, FLUSH_FRAME = frame(SYNC), frame(FLUSH)
DESCRIBE_UNNAMED = frame(DESCRIBE, b"P\0")
EXECUTE_AND_SYNC = frame(EXECUTE, b"\0\0\0\0\0") + SYNC_FRAME
TERMINATE_FRAME, COPY_DONE_FRAME = frame(TERMINATE), frame(COPY_DONE)
_SHORT = struct.Struct("!H")
_LONG = struct.Struct("!I")
_NULL = 0xFFFFFFFF
_SMALL = 1 << 10


def limits_of(max_request: int) -> dict[int, int]:
    """The largest payload of each type; what is not here is unknown."""
    large = {kind[0]: max_request for kind in (QUERY, PARSE, BIND, COPY_DATA)}
    small = (DESCRIBE, EXECUTE, CLOSE, COPY_FAIL)
    empty = (SYNC, FLUSH, TERMINATE, COPY_DONE)
    return large | {k[0]: _SMALL for k in small} | {k[0]: 0 for k in empty} | {FUNCTION_CALL[0]: max_request}


class Parse(NamedTuple):
    name: str
    sql: str
    types: tuple[int, ...]


class Bind(NamedTuple):
    """`values` are as they were sent (None for NULL), `formats` one for each of them: 0 text, 1 binary."""

    portal: str
    statement: str
    formats: tuple[int, ...]
    values: tuple[bytes | None, ...]
    results: tuple[int, ...]


class Named(NamedTuple):
    """Describe or Close: `what` is S for a statement, P for a portal."""

    what: str
    name: str


class Execute(NamedTuple):
    portal: str
    most_rows: int


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def text(self) -> str:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise Malformed("a text without its end")
        found = self._data[self._at : end]
        self._at = end + 1
        try:
            return found.decode()
        except UnicodeDecodeError:
            raise Malformed("a text that is not UTF-8") from None

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise Malformed("a message that ends too early")
        self._at += count
        return found

    def short(self) -> int:
        return int(_SHORT.unpack(self.take(2))[0])

    def long(self) -> int:
        return int(_LONG.unpack(self.take(4))[0])

    def end(self) -> None:
        # Attack: bytes after the end of a message that one reader skips and another one takes for more of it.
        if self._at != len(self._data):
            raise Malformed("a message with bytes behind its end")


def read_query(payload: bytes) -> str:
    reader = _Reader(payload)
    sql = reader.text()
    reader.end()
    return sql


def read_parse(payload: bytes) -> Parse:
    reader = _Reader(payload)
    name, sql = reader.text(), reader.text()
    types = tuple(reader.long() for _ in range(reader.short()))
    reader.end()
    return Parse(name, sql, types)


def read_bind(payload: bytes) -> Bind:
    try:
        portal, statement, given, values, results = _bind_fields(payload)
    except (struct.error, ValueError):
        raise Malformed("a Bind that cannot be read") from None
    count = len(values)
    formats = given if len(given) == count else given * count if len(given) == 1 else given or (0,) * count
    if len(formats) != count or (given and max(given) > 1) or (results and max(results) > 1):
        raise Malformed("a Bind whose format codes do not fit")
    return Bind(portal, statement, formats, values, results)


def _bind_fields(data: bytes) -> tuple[str, str, tuple[int, ...], tuple[bytes | None, ...], tuple[int, ...]]:
    """Raises `struct.error` and `ValueError` for what is too short, too long, or not UTF-8."""
    first = data.index(0)
    second = data.index(0, first + 1)
    (count,) = _SHORT.unpack_from(data, second + 1)
    at = second + 3
    given = struct.unpack_from(f"!{count}H", data, at) if count else ()
    at += 2 * count
    (count,) = _SHORT.unpack_from(data, at)
    at += 2
    values: list[bytes | None] = []
    for _ in range(count):
        (size,) = _LONG.unpack_from(data, at)
        at += 4
        if size == _NULL:
            values.append(None)
        else:
            values.append(data[at : at + size])
            at += size
    (count,) = _SHORT.unpack_from(data, at)
    at += 2
    results = struct.unpack_from(f"!{count}H", data, at) if count else ()
    # Attack: bytes after the end of a message that one reader skips and another one takes for more of it.
    if at + 2 * count != len(data):
        raise ValueError("not the length that it says")
    return data[:first].decode(), data[first + 1 : second].decode(), given, tuple(values), results


class Run(NamedTuple):
    """A Bind, a Describe of its portal (if `described`), an Execute of all its rows, and a Sync. `raw` are all of their bytes."""

    bind: Bind
    described: bool
    raw: bytes


def read_run(data: bytes | bytearray, at: int, size: int) -> Run | None:
    """The run that begins with a Bind of `size` bytes at `at`, if all of it is there and about the unnamed portal, which is what
    drivers send for a prepared statement. Raises `Malformed`."""
    end = at + size
    if described := data.startswith(DESCRIBE_UNNAMED, end):
        end += len(DESCRIBE_UNNAMED)
    if not data.startswith(EXECUTE_AND_SYNC, end):
        return None
    bind = read_bind(bytes(data[at + 5 : at + size]))
    return None if bind.portal else Run(bind, described, bytes(data[at : end + len(EXECUTE_AND_SYNC)]))


def read_named(payload: bytes) -> Named:
    reader = _Reader(payload)
    what, name = reader.take(1).decode("latin-1"), reader.text()
    reader.end()
    if what not in "SP":
        raise Malformed("neither a statement nor a portal")
    return Named(what, name)


def read_execute(payload: bytes) -> Execute:
    reader = _Reader(payload)
    found = Execute(reader.text(), reader.long())
    reader.end()
    return found


def read_password(payload: bytes) -> bytes:
    if not payload.endswith(b"\0") or b"\0" in payload[:-1]:
        raise Malformed("a password without its end")
    return payload[:-1]


def read_sasl_initial(payload: bytes) -> tuple[str, bytes]:
    """SASLInitialResponse: the mechanism, and the client's first message, which has to be there."""
    reader = _Reader(payload)
    mechanism = reader.text()
    data = reader.take(reader.long())
    reader.end()
    return mechanism, data


def query(sql: str) -> bytes:
    return frame(QUERY, sql.encode() + b"\0")


def parse(name: str, sql: str) -> bytes:
    return frame(PARSE, f"{name}\0{sql}\0\0\0".encode())


def password(data: bytes) -> bytes:
    return frame(PASSWORD, data)


def sasl_initial(mechanism: str, data: bytes) -> bytes:
    return frame(PASSWORD, mechanism.encode() + b"\0" + _LONG.pack(len(data)) + data)


def copy_fail(why: str) -> bytes:
    return frame(COPY_FAIL, why.encode() + b"\0")
