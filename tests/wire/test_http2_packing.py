"""Header compression (RFC 7541): against another implementation both ways, and against what attackers write."""

import random

import hpack
import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http2 import huffman
from funcgate.wire.http2.link import Broken
from funcgate.wire.http2.packing import Packer
from funcgate.wire.http2.static_table import STATIC
from funcgate.wire.http2.unpacking import Unpacker
from support.h2frames import COMPRESSION, Fields

WIDE = HeadLimits(max_fields=10_000, max_bytes=1 << 24)
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests run beside
LITERAL = b"\x40\x03abc"  # a new name, to be kept

BAD: dict[str, bytes] = {
    "index 0": b"\x80",
    "an index beyond both tables": b"\xbe",
    "an index far beyond": b"\xff\x80\x01",
    "a name beyond both tables": b"\x7e\x01x",
    "a name far beyond": b"\x0f\x80\x01\x01x",
    "an integer that is cut": b"\xff",
    "an integer that is cut later": b"\xff\x80\x80",
    "an integer without end": b"\xff\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    "an integer of more than 28 bits": b"\xff\xff\xff\xff\xff\x01",
    "a name that is cut": b"\x40\x05abc",
    "a name that does not begin": b"\x40",
    "a value that is cut": LITERAL + b"\x02x",
    "a value that does not begin": LITERAL,
    "a length that is cut": LITERAL + b"\x7f",
    "a length without end": LITERAL + b"\x7f\xff\xff\xff\xff\xff\xff",
    "Huffman: the end of string in it": LITERAL + b"\x84\xff\xff\xff\xff",
    "Huffman: eight bits of padding": LITERAL + b"\x82\x1f\xff",
    "Huffman: zeros as padding": LITERAL + b"\x81\x18",
    "Huffman: a zero in the padding": LITERAL + b"\x81\x1d",
    "Huffman: a long one with zeros as padding": LITERAL + b"\xa1" + b"\x18\xc6\x31\x8c\x63" * 6 + b"\x18\xc6\x00",
    "a table size larger than offered": b"\x3f\xe2\x1f\x82",
    "a table size without end": b"\x3f\xff\xff\xff\xff\xff\x82",
    "a table size that is cut": b"\x3f",
    "a table size behind a field": b"\x82\x20",
    "a table size between fields": b"\x82\x20\x82",
    "three table sizes": b"\x20\x20\x20\x82",
}


@pytest.mark.parametrize("name", BAD)
def test_a_block_that_is_none_ends_the_connection(name: str) -> None:
    with pytest.raises(Broken) as broken:
        Unpacker(WIDE).unpack(BAD[name])
    assert broken.value.code == COMPRESSION


GOOD: dict[str, tuple[bytes, Fields]] = {
    "nothing": (b"", []),
    "indexed": (b"\x82", [(b":method", b"GET")]),
    "Huffman": (LITERAL + b"\x81\x1f", [(b"abc", b"a")]),
    "an empty Huffman string": (LITERAL + b"\x80", [(b"abc", b"")]),
    "never indexed": (b"\x10\x03abc\x01x", [(b"abc", b"x")]),
    "two table sizes": (b"\x20\x3f\xe1\x1f\x82", [(b":method", b"GET")]),
    "only a table size": (b"\x20", []),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_block_is_read(name: str) -> None:
    data, fields = GOOD[name]
    assert Unpacker(WIDE).unpack(data) == fields


def test_the_static_table_is_the_standard_s() -> None:
    assert tuple(STATIC[1:]) == hpack.table.HeaderTable.STATIC_TABLE


def test_never_indexed_fields_are_told() -> None:
    unpacker = Unpacker(WIDE)
    unpacker.unpack(b"\x10\x03abc\x01x\x00\x01d\x01e")
    assert unpacker.never == {b"abc"}
    unpacker.unpack(b"\x82")
    assert unpacker.never == frozenset()


def test_a_table_of_size_0_keeps_nothing() -> None:
    unpacker = Unpacker(WIDE)
    unpacker.unpack(LITERAL + b"\x01x")
    assert unpacker.unpack(b"\xbe") == [(b"abc", b"x")]
    unpacker.unpack(b"\x20" + LITERAL + b"\x01x")
    with pytest.raises(Broken):
        unpacker.unpack(b"\xbe")


def test_what_is_too_large_for_the_table_empties_it() -> None:
    unpacker = Unpacker(WIDE)
    unpacker.unpack(LITERAL + b"\x01x")
    unpacker.unpack(LITERAL + b"\x7f\x81\x1f" + bytes(4096))  # RFC 7541, 4.4
    with pytest.raises(Broken):
        unpacker.unpack(b"\xbe")


def test_an_indexed_bomb_is_not_built() -> None:
    """One byte names four thousand: 60 kB of them would be 240 MB."""
    unpacker = Unpacker(HeadLimits(max_fields=100, max_bytes=32 << 10))
    unpacker.unpack(LITERAL + b"\x7f\xa1\x1e" + bytes(4000))
    fields = unpacker.unpack(b"\xbe" * 60_000)
    assert unpacker.oversized
    assert sum(len(name) + len(value) for name, value in fields) <= 32 << 10
    assert unpacker.unpack(b"\x82") == [(b":method", b"GET")]  # it still reads on
    assert not unpacker.oversized


def test_a_field_beyond_the_limit_is_still_kept_in_the_table() -> None:
    unpacker = Unpacker(HeadLimits(max_fields=2, max_bytes=1000))
    unpacker.unpack(b"\x82\x82\x82" + LITERAL + b"\x01x")
    assert unpacker.oversized
    assert unpacker.unpack(b"\xbe") == [(b"abc", b"x")]


def test_the_table_stays_within_its_bytes() -> None:
    unpacker = Unpacker(WIDE)
    for number in range(1000):
        unpacker.unpack(b"\x40\x04" + b"%04d" % number + b"\x01x")
        assert unpacker._size <= 4096
    assert len(unpacker._table) == 4096 // (32 + 5)


names = st.sampled_from([b":path", b"content-type", b"user-agent", b"x-a", b"x-b", b"cookie", b"authorization", b"te"])
values = st.one_of(
    st.sampled_from([b"", b"a", b"application/json", b"trailers"]), st.binary(max_size=300), st.just(b"v" * 4096)
)
heads = st.lists(st.lists(st.tuples(names, values), max_size=12), max_size=12)


@unhurried
@given(heads, st.lists(st.sampled_from([0, 40, 100, 4096, 65536]), max_size=12))
def test_another_implementation_reads_what_is_packed(blocks: list[Fields], sizes: list[int]) -> None:
    packer, theirs = Packer(), hpack.Decoder(1 << 24)
    theirs.max_allowed_table_size = 4096
    for number, fields in enumerate(blocks):
        if number < len(sizes):
            packer.resize(sizes[number])
            packer.resize(sizes[-1 - number])
        assert [tuple(field) for field in theirs.decode(packer.pack(fields), raw=True)] == fields


@unhurried
@given(heads, st.booleans())
def test_what_another_implementation_packs_is_read(blocks: list[Fields], huffman: bool) -> None:
    theirs, unpacker = hpack.Encoder(), Unpacker(WIDE)
    for number, fields in enumerate(blocks):
        if number % 5 == 4:
            theirs.header_table_size = (0, 64, 4096)[number // 5 % 3]
        assert unpacker.unpack(bytes(theirs.encode(fields, huffman))) == fields


@unhurried
@given(st.binary(max_size=200))
def test_any_bytes_are_a_block_or_are_refused(data: bytes) -> None:
    unpacker = Unpacker(HeadLimits())
    try:
        fields = unpacker.unpack(data)
    except Broken as broken:
        code = broken.code
    else:
        code = COMPRESSION
        assert sum(len(name) + len(value) for name, value in fields) <= HeadLimits().max_bytes
    assert code == COMPRESSION


def test_what_both_read_of_noise_is_the_same() -> None:
    """Blocks that were right, with a byte changed: who reads them at all, reads the same."""
    chance = random.Random(7541)
    fields = [(b":method", b"GET"), (b":path", b"/a/b"), (b"x-test", b"value"), (b"cookie", b"a=b; c=d")]
    read = 0
    for _ in range(20_000):
        data = bytearray(hpack.Encoder().encode(fields))
        data[chance.randrange(len(data))] = chance.randrange(256)
        theirs = hpack.Decoder()
        try:
            mine = Unpacker(WIDE).unpack(bytes(data))
        except Broken:
            continue
        read += 1
        assert [tuple(field) for field in theirs.decode(bytes(data), raw=True)] == mine
    assert read > 2000


SECRET = b"Bearer very.secret.token"


def test_a_secret_is_never_indexed_and_never_kept() -> None:
    """RFC 7541, 7.1.3: the mark says so to every hop behind."""
    packer = Packer()
    fields = [(b"authorization", SECRET), (b"x-own-key", SECRET), (b"x-plain", b"p")]
    first = packer.pack(fields, frozenset({b"x-own-key"}))
    assert packer.pack(fields, frozenset({b"x-own-key"})) == first  # nothing was learnt from the first time
    decoded = hpack.Decoder().decode(first, raw=True)
    assert [field.indexable for field in decoded] == [False, False, True]


def test_what_is_the_same_on_many_calls_takes_one_byte() -> None:
    packer = Packer()
    fields = [(b":status", b"200"), (b"content-type", b"application/json")]
    packer.pack(fields)
    assert len(packer.pack(fields)) == 2


def test_a_path_with_a_query_is_not_kept() -> None:
    packer = Packer()
    fields = [(b":path", b"/a?key=secret")]
    assert packer.pack(fields) == packer.pack(fields)


def test_what_the_peer_never_wants_indexed_is_kept_nowhere() -> None:
    """RFC 7541, 7.1.3: no cache of ours may hold what no table may."""
    packed = hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(b"x-key", b"canary-huffman")])
    assert b"canary" not in packed
    huffman._remembered.cache_clear()
    unpacker = Unpacker(HeadLimits())
    assert unpacker.unpack(packed) == [(b"x-key", b"canary-huffman")]
    assert unpacker.never == {b"x-key"}
    assert huffman._remembered.cache_info().currsize == 1  # the name


@pytest.mark.parametrize(("name", "kept"), [(b"x-plain", 1), (b"authorization", 0), (b"funcgate-token", 0)])
def test_a_secret_that_is_not_marked_is_in_no_cache_that_all_share(name: bytes, kept: int) -> None:
    value = b"Basic for-" + name  # nothing else asks for it
    coded = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(value)
    before = huffman._remembered.cache_info().misses
    block = b"\x40%c%b%c%b" % (len(name), name, 0x80 | len(coded), coded)
    assert Unpacker(HeadLimits()).unpack(block) == [(name, value)]
    assert huffman._remembered.cache_info().misses - before == kept
