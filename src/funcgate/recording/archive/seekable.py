"""zstd in frames that can be read each alone: zstd's own "seekable format", which every zstd tool unpacks as usual.

A frame holds whole lines; a table of the frames' sizes ends the file. It chooses no files: archivist.py does.
"""

import errno
import io
import os
import struct
import sys
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FRAME_BYTES = 256 << 10
MAX_FRAME_BYTES = 256 << 20  # far above the longest line; what a forged table may make a reader allocate
LEVEL = 1  # of text that repeats itself as lines do, 6 takes five times as long for a tenth less, or for nothing
_AT_HAND = 3  # frames kept: a block that is read from the end may touch three
_SKIPPABLE, _SEEKABLE = 0x184D2A5E, 0x8F92EAB1
_HEAD = struct.Struct("<II")  # of the skippable frame: its magic number, its size
_SIZES = struct.Struct("<II")  # of one frame: compressed, uncompressed
_FOOT = struct.Struct("<IBI")  # number of frames, descriptor, magic number
_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: LEVEL,
    zstd.CompressionParameter.checksum_flag: 1,
}


def pack(source: BinaryIO, target: BinaryIO) -> None:
    """Compress all of `source`, a frame for about 256 KiB of whole lines. Raises `OSError`."""
    compressor = zstd.ZstdCompressor(options=_OPTIONS)
    sizes: list[tuple[int, int]] = []
    for block in blocks(source):
        packed = compressor.compress(block, compressor.FLUSH_FRAME)
        sizes.append((len(packed), len(block)))
        target.write(packed)
    target.write(_HEAD.pack(_SKIPPABLE, _SIZES.size * len(sizes) + _FOOT.size))
    target.write(b"".join(_SIZES.pack(*each) for each in sizes))
    target.write(_FOOT.pack(len(sizes), 0, _SEEKABLE))


def blocks(source: BinaryIO) -> Iterator[bytes]:
    """All of a file in pieces of whole lines, as they become frames; only the last may end without a newline."""
    while block := source.read(FRAME_BYTES):
        yield block if block.endswith(b"\n") else block + source.readline()


class Packed(io.RawIOBase):
    """The uncompressed bytes of a packed file; only the frames that are asked for are decompressed.

    A frame that is broken reads as zeros and a newline, one bad line, and its neighbours as they are. Raises `OSError`
    for a file that does not end in a whole table (EBADMSG).
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        try:
            sizes = _table(self._file, os.fstat(self._file.fileno()).st_size)
        except OSError:
            self._file.close()
            raise
        self._places = [0, *accumulate(packed for packed, _ in sizes)]
        self._starts = [0, *accumulate(plain for _, plain in sizes)]
        self._frames: dict[int, bytes] = {}
        self._position = 0

    @property
    def size(self) -> int:
        """Uncompressed, in bytes."""
        return self._starts[-1]

    def frames(self) -> Iterator[bytes]:
        """All of it, each frame once."""
        return map(self._decompressed, range(len(self._starts) - 1))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, into: bytearray | memoryview) -> int:  # type: ignore[override]
        if self._position >= self.size:
            return 0
        at = bisect_right(self._starts, self._position) - 1
        offset = self._position - self._starts[at]
        piece = self._frame(at)[offset : offset + len(into)]
        into[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        if hasattr(self, "_file"):  # else it could not even be opened, and this is the garbage collector's call
            self._file.close()
        super().close()

    def _frame(self, at: int) -> bytes:
        found = self._frames.get(at)
        if found is None:
            found = self._decompressed(at)
            if len(self._frames) >= _AT_HAND:
                del self._frames[max(self._frames, key=lambda other: abs(other - at))]
            self._frames[at] = found
        return found

    def _decompressed(self, at: int) -> bytes:
        place, size = self._places[at], self._starts[at + 1] - self._starts[at]
        packed = os.pread(self._file.fileno(), self._places[at + 1] - place, place)
        decompressor = zstd.ZstdDecompressor()
        try:
            # Attack: a frame that unpacks to far more than its table says.
            plain = decompressor.decompress(packed, max_length=size + 1)
        except zstd.ZstdError:
            plain = b""
        if len(plain) != size or not decompressor.eof:
            return bytes(size - 1) + b"\n"
        return plain


def _table(file: io.FileIO, end: int) -> list[tuple[int, int]]:
    """Compressed and uncompressed size of each frame. Raises `OSError` unless they account for the whole file."""
    descriptor = file.fileno()
    foot = os.pread(descriptor, _FOOT.size, max(0, end - _FOOT.size))
    if len(foot) == _FOOT.size:
        count, described, magic = _FOOT.unpack(foot)
        length = _HEAD.size + _SIZES.size * count + _FOOT.size
        if magic == _SEEKABLE and described == 0 and length <= end:
            table = os.pread(descriptor, length, end - length)
            sizes = list(_SIZES.iter_unpack(table[_HEAD.size : -_FOOT.size]))
            whole = length + sum(packed for packed, _ in sizes) == end
            if whole and all(0 < plain <= MAX_FRAME_BYTES for _, plain in sizes):
                return sizes
    raise OSError(errno.EBADMSG, "the compressed file is not whole", str(file.name))
