"""The checksum of a line: right, wrong, or not there."""

import zlib

import pytest

from funcgate.core.crc import crc_added, crc_holds
from funcgate.core.entry import Entry, Kind, decode_line
from funcgate.stores.lines import add_lines


def entry(**more: object) -> Entry:
    return Entry(kind=Kind.DENIED, call="c", **more)  # type: ignore[arg-type]


def test_it_is_the_crc_32_of_what_comes_before_it() -> None:
    line = crc_added(b'{"a":1}')
    assert line == b'{"a":1,"crc":"%08x"}\n' % zlib.crc32(b'{"a":1')


def test_every_way_to_write_a_line_adds_the_same() -> None:
    odd = entry(detail="half a \ud800 pair")
    for given in (entry(detail="plain"), odd):
        buffer = bytearray()
        add_lines(buffer, (given, entry()), 7, "2026-11-21T00:00:00.000000Z")
        first, second = bytes(buffer).splitlines(keepends=True)
        for line in (first, second):
            assert crc_holds(line[:-1])
            head, _, crc = line[:-1].rpartition(b',"crc":"')
            assert crc == b'%08x"}' % zlib.crc32(head)
            assert decode_line(line).crc == crc[:8].decode()


def test_every_changed_bit_is_found() -> None:
    line = crc_added(b'{"seq":1,"at":"x"}')[:-1]
    for at in range(8 * len(line)):
        changed = bytearray(line)
        changed[at // 8] ^= 1 << at % 8
        assert not crc_holds(bytes(changed))


@pytest.mark.parametrize("line", [b"", b"}", b'{"a":1}', b'{"detail":",\\"crc\\":\\"00000000"}'])
def test_a_line_without_one(line: bytes) -> None:
    assert crc_holds(line) is None
