"""What servers send, read strictly; and what the gateway itself says in a server's place.

Only messages in the table exist; their text is UTF-8, which is what the gateway asks every server for.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from funcgate.core.refusal import MEANINGS, Code, Refused

from .frames import Malformed, frame

AUTHENTICATION, PARAMETER_STATUS, KEY_DATA, READY, NEGOTIATE = b"R", b"S", b"K", b"Z", b"v"
ROW_DESCRIPTION, DATA_ROW, COMPLETE, EMPTY, SUSPENDED, NO_DATA = b"T", b"D", b"C", b"I", b"s", b"n"
ERROR, NOTICE, NOTIFICATION = b"E", b"N", b"A"
PARSE_COMPLETE, BIND_COMPLETE, CLOSE_COMPLETE, PARAMETERS = b"1", b"2", b"3", b"t"
COPY_IN, COPY_OUT, COPY_DATA, COPY_DONE = b"G", b"H", b"d", b"c"

_SHORT = struct.Struct("!H")
_COLUMN = struct.Struct("!IHIhiH")
_LONG = struct.Struct("!I")
_NULL = 0xFFFFFFFF
_STATES = frozenset({b"I", b"T", b"E"})
LEXICAL: Mapping[str, str] = {"standard_conforming_strings": "on", "client_encoding": "UTF8"}
_MOST_COLUMNS = 1664  # as the server's own limit
_TAG = re.compile(rb"[A-Za-z?][A-Za-z? ]{0,99}(?: [0-9]{1,20}){0,2}\0")
# 42501 is insufficient_privilege, 57014 query_canceled, 53300 too_many_connections, 53400 configuration_limit_exceeded,
# 28000 invalid_authorization.
_SQLSTATES: Mapping[str, str] = {
    "identity": "28000", "policy": "42501", "function": "42501", "approval": "42501", "request": "42601",
    "budget": "53400", "target": "08006", "masking": "42501", "journal": "58000", "gateway": "58000",
}  # fmt: skip


class Column(NamedTuple):
    """One column of a RowDescription. `table` and `number` are 0 when it is none of a table's; `format` 1 is binary."""

    name: str
    table: int
    number: int
    type: int
    format: int


class CopyResponse(NamedTuple):
    """`binary` is the overall format, `columns` how many there are."""

    binary: bool
    columns: int


def limits_of(max_frame: int) -> Mapping[int, int]:
    """The largest payload of each type; what is not here is unknown."""
    return dict.fromkeys(b"RSKvTDCENAtGHd", max_frame) | dict.fromkeys(b"123Isnc", 0) | {READY[0]: 1}


def read_columns(payload: bytes) -> list[Column]:
    """RowDescription. Raises `Malformed`."""
    try:
        (count,) = _SHORT.unpack_from(payload)
        if count > _MOST_COLUMNS:
            raise Malformed("a RowDescription with more columns than a row can have")
        at, found = 2, []
        for _ in range(count):
            end = payload.index(b"\0", at)
            table, number, kind, _, _, form = _COLUMN.unpack_from(payload, end + 1)
            if form > 1:
                raise Malformed("a RowDescription with an unknown format")
            found.append(Column(payload[at:end].decode(), table, number, kind, form))
            at = end + 1 + _COLUMN.size
    except (struct.error, ValueError):
        raise Malformed("a RowDescription that cannot be read") from None
    if at != len(payload):
        raise Malformed("a RowDescription with bytes behind its end")
    return found


def read_types(payload: bytes) -> tuple[int, ...]:
    """ParameterDescription: the types' OIDs. Raises `Malformed`."""
    if len(payload) < 2 or len(payload) != 2 + 4 * int.from_bytes(payload[:2], "big"):
        raise Malformed("a ParameterDescription that cannot be read")
    return struct.unpack(f"!{(len(payload) - 2) // 4}I", payload[2:])


def read_row(payload: bytes) -> list[bytes | None]:
    """DataRow. Raises `Malformed`."""
    try:
        (count,) = _SHORT.unpack_from(payload)
        at, found = 2, list[bytes | None]()
        for _ in range(count):
            (size,) = _LONG.unpack_from(payload, at)
            at += 4
            if size == _NULL:
                found.append(None)
                continue
            found.append(payload[at : at + size])
            at += size
    except struct.error:
        raise Malformed("a DataRow that cannot be read") from None
    if at != len(payload):
        raise Malformed("a DataRow that ends too early, or has bytes behind its end")
    return found


def row(values: Sequence[bytes | None]) -> bytes:
    parts = [_SHORT.pack(len(values))]
    for value in values:
        parts += (_LONG.pack(_NULL),) if value is None else (_LONG.pack(len(value)), value)
    return frame(DATA_ROW, b"".join(parts))


def read_fields(payload: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse or a NoticeResponse, by their letters. Raises `Malformed`."""
    found: dict[str, str] = {}
    if payload != b"\0" and not payload.endswith(b"\0\0"):
        raise Malformed("an error without its end")
    for part in payload[:-2].split(b"\0") if len(payload) > 1 else ():
        letter = part[:1]
        if not letter.isalpha():
            raise Malformed("an error with a field that has no letter")
        found[letter.decode()] = part[1:].decode("utf-8", "replace")
    return found


def fields(kind: bytes, given: Mapping[str, str]) -> bytes:
    body = b"".join(f"{letter}{text}".replace("\0", " ").encode() + b"\0" for letter, text in given.items())
    return frame(kind, body + b"\0")


def error(severity: str, sqlstate: str, message: str, detail: str = "", hint: str = "") -> bytes:
    given = {"S": severity, "V": severity, "C": sqlstate, "M": message, "D": detail, "H": hint}
    return fields(ERROR, {letter: text for letter, text in given.items() if text})


def refusal(refused: Refused, call_id: str, *, fatal: bool = False) -> bytes:
    """A refusal as an error: its title, and in DETAIL its code and the call."""
    sqlstate = "42501" if refused.code is Code.POLICY_DENIED else _SQLSTATES[refused.code.split(".")[0]]
    sqlstate = refused.public.get("sqlstate", sqlstate)  # of those that the database itself has for it
    title = refused.public_detail or MEANINGS[refused.code].title
    return error("FATAL" if fatal else "ERROR", sqlstate, title, f"{refused.code} call {call_id}", _hint(refused))


def _hint(refused: Refused) -> str:
    approval = refused.public.get("approval")
    return f"The approval is {approval['id']}." if approval else ""


def read_tag(payload: bytes) -> str:
    """CommandComplete. Raises `Malformed`."""
    # Attack: a tag that is any text, which no rule about columns would look at.
    if _TAG.fullmatch(payload) is None:
        raise Malformed("a command tag that cannot be read")
    return payload[:-1].decode()


def read_ready(payload: bytes) -> bytes:
    """ReadyForQuery: the state of the transaction. Raises `Malformed`."""
    if payload not in _STATES:
        raise Malformed("a state of the transaction that is none")
    return payload


def read_status(payload: bytes) -> tuple[str, str]:
    parts = payload.split(b"\0")
    if len(parts) != 3 or parts[2]:
        raise Malformed("a ParameterStatus that cannot be read")
    return parts[0].decode("utf-8", "replace"), parts[1].decode("utf-8", "replace")


def check_status(name: str, value: str) -> None:
    """Raises `Malformed`."""
    # Attack: a function that changes how texts are read, so that what was judged as a string ends elsewhere.
    if LEXICAL.get(name, value) != value:
        raise Malformed("the database reads statements in another way than they are judged")


def read_notification(payload: bytes) -> tuple[int, str, str]:
    """Process id, channel and payload. Raises `Malformed`."""
    parts = payload[4:].split(b"\0")
    if len(payload) < 6 or len(parts) != 3 or parts[2]:
        raise Malformed("a notification that cannot be read")
    try:
        return int.from_bytes(payload[:4], "big"), parts[0].decode(), parts[1].decode()
    except UnicodeDecodeError:
        raise Malformed("a notification that is not UTF-8") from None


def notification(pid: int, channel: str, text: str) -> bytes:
    return frame(NOTIFICATION, _LONG.pack(pid) + f"{channel}\0{text}\0".encode())


def read_copy(payload: bytes) -> CopyResponse:
    """CopyInResponse or CopyOutResponse. Raises `Malformed`."""
    if len(payload) < 3 or payload[0] > 1 or len(payload) != 3 + 2 * int.from_bytes(payload[1:3], "big"):
        raise Malformed("a COPY response that cannot be read")
    formats = struct.unpack(f"!{(len(payload) - 3) // 2}H", payload[3:])
    if any(code > 1 or (code and not payload[0]) for code in formats):
        raise Malformed("a COPY response with an unknown format")
    return CopyResponse(payload[0] == 1, int.from_bytes(payload[1:3], "big"))


def status(name: str, value: str) -> bytes:
    return frame(PARAMETER_STATUS, f"{name}\0{value}\0".encode())


def key_data(pid: int, secret: bytes) -> bytes:
    return frame(KEY_DATA, _LONG.pack(pid) + secret)


def negotiate(options: Sequence[str]) -> bytes:
    """NegotiateProtocolVersion: minor version 0, and the options that are not known here."""
    names = b"".join(name.encode() + b"\0" for name in options)
    return frame(NEGOTIATE, _LONG.pack(0) + _LONG.pack(len(options)) + names)


def ready(state: bytes) -> bytes:
    return frame(READY, state)


def sasl(*mechanisms: str) -> bytes:
    """AuthenticationSASL: the ways that a client may take."""
    return frame(AUTHENTICATION, _LONG.pack(10) + b"".join(each.encode() + b"\0" for each in mechanisms) + b"\0")


def sasl_continue(data: bytes) -> bytes:
    return frame(AUTHENTICATION, _LONG.pack(11) + data)


AUTH_OK = frame(AUTHENTICATION, _LONG.pack(0))
AUTH_CLEARTEXT = frame(AUTHENTICATION, _LONG.pack(3))
EMPTY_QUERY = frame(EMPTY)
