"""Messages of both sides: read whole or not at all. What was written is read back; what was mutated never breaks the reader."""

import contextlib
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcgate.core.refusal import Code, Refused
from funcgate.wire.postgres import backend, frontend
from funcgate.wire.postgres.frames import Malformed

_COLUMN = b"name\0" + struct.pack("!IHIhiH", 16384, 2, 25, -1, -1, 0)
BIND = b"p\0s\0" + struct.pack("!HHHHI", 2, 0, 1, 2, 1) + b"x" + struct.pack("!IHH", 0xFFFFFFFF, 1, 1)
SAMPLES: list[tuple[Callable[[bytes], Any], bytes]] = [
    (frontend.read_query, b"SELECT 1\0"),
    (frontend.read_parse, b"s\0SELECT $1\0" + struct.pack("!HI", 1, 23)),
    (frontend.read_bind, BIND),
    (frontend.read_named, b"Sname\0"),
    (frontend.read_execute, b"portal\0" + struct.pack("!I", 5)),
    (frontend.read_password, b"token\0"),
    (backend.read_columns, struct.pack("!H", 1) + _COLUMN),
    (backend.read_row, struct.pack("!HI", 2, 1) + b"a" + struct.pack("!I", 0xFFFFFFFF)),
    (backend.read_types, struct.pack("!HII", 2, 23, 25)),
    (backend.read_status, b"TimeZone\0UTC\0"),
    (backend.read_notification, struct.pack("!I", 7) + b"channel\0text\0"),
    (backend.read_copy, struct.pack("!BHHH", 0, 2, 0, 0)),
    (backend.read_fields, b"SERROR\0C42501\0Mno\0\0"),
]


def test_what_the_samples_say() -> None:
    found = [read(sample) for read, sample in SAMPLES]
    assert found == [
        "SELECT 1",
        frontend.Parse("s", "SELECT $1", (23,)),
        frontend.Bind("p", "s", (0, 1), (b"x", None), (1,)),
        frontend.Named("S", "name"),
        frontend.Execute("portal", 5),
        b"token",
        [backend.Column("name", 16384, 2, 25, 0)],
        [b"a", None],
        (23, 25),
        ("TimeZone", "UTC"),
        (7, "channel", "text"),
        backend.CopyResponse(False, 2),
        {"S": "ERROR", "C": "42501", "M": "no"},
    ]


@pytest.mark.parametrize(("read", "sample"), [pair for pair in SAMPLES if pair[0] is not backend.read_fields])
def test_a_message_is_read_whole_or_refused(read: Callable[[bytes], Any], sample: bytes) -> None:
    for cut in range(len(sample)):
        with pytest.raises(Malformed):
            read(sample[:cut])
    with pytest.raises(Malformed):
        read(sample + b"x")


@given(st.sampled_from(SAMPLES), st.data())
def test_mutated_messages_break_nothing(pair: tuple[Callable[[bytes], Any], bytes], data: st.DataObject) -> None:
    read, sample = pair
    changed = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)))
    for mutated in (bytes(changed), bytes(changed[:cut])):
        with contextlib.suppress(Malformed):
            read(mutated)


@given(st.lists(st.none() | st.binary(max_size=50), max_size=20))
def test_rows_are_read_back(values: list[bytes | None]) -> None:
    assert backend.read_row(backend.row(values)[5:]) == values


def test_a_refusal_as_an_error() -> None:
    found = backend.read_fields(backend.refusal(Refused(Code.POLICY_DENIED, private_detail="policy p"), "01ABC")[5:])
    assert found == {
        "S": "ERROR",
        "V": "ERROR",
        "C": "42501",
        "M": "This call is not allowed",
        "D": "policy.denied call 01ABC",
    }


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_an_sqlstate(code: Code) -> None:
    assert len(backend.read_fields(backend.refusal(Refused(code), "01ABC", fatal=True)[5:])["C"]) == 5
