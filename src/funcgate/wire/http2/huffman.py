"""Strings in the Huffman code of RFC 7541, section 5.2: strict in their padding. The decoding is jh2's native code."""

from functools import lru_cache

from jh2._hazmat import Decoder, Encoder, HPACKError  # type: ignore[import-untyped,unused-ignore]

from .codes import Broken, ErrorCode

_SHORT = 32  # bytes; longer ones are kept in no cache


def opened(coded: bytes, *, secret: bool) -> bytes:
    """The text. What the peer wants never indexed (7.1.3) is kept in no cache either. Raises `Broken`."""
    return (_opened if secret or len(coded) > _SHORT else _remembered)(coded)


def _opened(coded: bytes) -> bytes:
    size = len(coded)
    head = b"\x10\x01x%c" % (0x80 | size) if size < 127 else b"\x10\x01x\xff" + _rest(size - 127)
    try:
        text = bytes(Decoder(1 << 24).decode(head + coded, True)[0][1])
    except HPACKError:
        raise Broken(ErrorCode.COMPRESSION_ERROR, "a Huffman string that is none") from None
    # Attack: bits that are no padding behind the last symbol. There is one right coding of a text: compare with it.
    if not Encoder().add((b"x", text), True, True).endswith(coded):
        raise Broken(ErrorCode.COMPRESSION_ERROR, "a Huffman string with a wrong padding")
    return text


_remembered = lru_cache(maxsize=1024)(_opened)


def _rest(value: int) -> bytes:
    """What of an integer does not go into its prefix (RFC 7541, 5.1)."""
    parts = bytearray()
    while value >= 0x80:
        parts.append(0x80 | (value & 0x7F))
        value >>= 7
    parts.append(value)
    return bytes(parts)
