"""The checksum that ends each line of the journal. It tells a torn or rotten line from a whole one; against whoever
changes a line on purpose it is nothing, for that there is the proof.
"""

from zlib import crc32

_NAME = b',"crc":"'
_LENGTH = len(_NAME) + 8 + len(b'"}')  # of all that is added


def crc_added(encoded: bytes) -> bytes:
    """A JSON object with its crc as the last member, and a newline: CRC-32 of all that comes before ``,"crc"``."""
    line = encoded[:-1]
    return b'%b,"crc":"%08x"}\n' % (line, crc32(line))


def crc_holds(line: bytes) -> bool | None:
    """Whether the crc of a line (without its newline) is right; None if it ends in none."""
    if line[-_LENGTH : len(_NAME) - _LENGTH] != _NAME:
        return None
    return line[len(_NAME) - _LENGTH :] == b'%08x"}' % crc32(line[:-_LENGTH])
