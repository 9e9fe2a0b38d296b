"""The words of calls as they are kept beside the words' index: some calls together, compressed; encrypted if the journal is.

They are needed to take a call's words out of the index again, which this SQLite does only for whoever still knows them.
"""

import hmac
import os
import sqlite3
import sys
from collections.abc import Mapping, Sequence

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL = 1
_NONCE_BYTES = 12
_TOGETHER_BYTES = 16 << 10
_SPAN = 64  # numbers of calls that one block reaches over, those without words included
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[int, bytes]).decode
_NEAR = "SELECT n, text FROM texts WHERE n BETWEEN ? AND ?"


class Texts:
    """In one index. `secret` is empty where the journal is not encrypted. Calls by their numbers."""

    def __init__(self, db: sqlite3.Connection, secret: bytes) -> None:
        self._db = db
        self._cipher = AESGCM(hmac.digest(secret, b"texts", "sha256")) if secret else None
        self._compressor = zstd.ZstdCompressor(_LEVEL)  # one for all: to make it takes longer than to use it

    def read(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """What is kept of these calls. Raises `ValueError` for what cannot be read."""
        found: dict[int, bytes] = {}
        for block in self._blocks(numbers).values():
            found.update(block)
        return {n: found[n] for n in numbers if n in found}

    def add(self, texts: Sequence[tuple[int, bytes]]) -> None:
        """Of calls above all that are kept, rising. Inside a transaction, as `change`."""
        blocks: list[tuple[int, bytes]] = []
        block: dict[int, bytes] = {}
        size = first = 0
        for n, text in texts:
            if size >= _TOGETHER_BYTES or (block and n - first >= _SPAN):
                blocks.append(self._row(block))
                block, size = {}, 0
            if not block:
                first = n
            block[n] = text
            size += len(text)
        if block:
            blocks.append(self._row(block))
        self._db.executemany("INSERT INTO texts VALUES (?, ?)", blocks)

    def change(self, texts: Mapping[int, bytes]) -> None:
        """Other texts of calls; an empty one takes the call's out. What is taken out is overwritten."""
        blocks = self._blocks(sorted(texts))
        held = {n for block in blocks.values() for n in block}
        for start, block in blocks.items():
            if block.keys().isdisjoint(texts):
                continue
            kept = {n: text for n in block if (text := texts.get(n, block[n]))}
            self._db.execute("DELETE FROM texts WHERE n = ?", (start,))
            if kept:
                self._db.execute("INSERT INTO texts VALUES (?, ?)", self._row(kept))
        alone = [self._row({n: text}) for n, text in texts.items() if text and n not in held]
        self._db.executemany("INSERT INTO texts VALUES (?, ?)", alone)

    def _row(self, block: Mapping[int, bytes]) -> tuple[int, bytes]:
        small = self._compressor.compress(_pack(block), zstd.ZstdCompressor.FLUSH_FRAME)
        if self._cipher is not None:
            nonce = os.urandom(_NONCE_BYTES)
            small = nonce + self._cipher.encrypt(nonce, small, None)
        return next(iter(block)), small

    def _blocks(self, numbers: Sequence[int]) -> dict[int, dict[int, bytes]]:
        """The blocks that hold these calls (rising), by their first ones; and some that lie between."""
        found: dict[int, dict[int, bytes]] = {}
        at, end = 0, len(numbers)
        while at < end:
            first = last = numbers[at]
            while at < end and numbers[at] - last < _SPAN:
                last = numbers[at]
                at += 1
            for n, data in self._db.execute(_NEAR, (first - _SPAN, last)).fetchall():
                found[n] = self._unpacked(data)
        return found

    def _unpacked(self, data: bytes) -> dict[int, bytes]:
        try:
            if self._cipher is not None:
                data = self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)
            return _unpack(zstd.decompress(data))
        except Exception as error:
            raise ValueError(f"a text of the index cannot be read ({type(error).__name__})") from None
