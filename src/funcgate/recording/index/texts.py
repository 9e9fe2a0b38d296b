"""The words of a call as they are kept beside the words' index: compressed, and encrypted where the journal is.

They are needed to take a call's words out of the index again, which this SQLite does only for whoever still knows them.
"""

import hmac
import os
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LEVEL = 1
_NONCE_BYTES = 12


class Texts:
    """Packs and unpacks. `secret` is empty where the journal is not encrypted."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(secret, b"texts", "sha256")) if secret else None
        self._compressor = zstd.ZstdCompressor(_LEVEL)  # one for all: to make it takes longer than to use it

    def packed(self, text: bytes) -> bytes:
        """Compressed, and encrypted if need be."""
        small = self._compressor.compress(text, zstd.ZstdCompressor.FLUSH_FRAME)
        if self._cipher is None:
            return small
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, small, None)

    def unpacked(self, data: bytes) -> bytes:
        """What was packed. Raises `ValueError` for what was not."""
        try:
            if self._cipher is not None:
                data = self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None)
            return zstd.decompress(data)
        except Exception as error:
            raise ValueError(f"a text of the index cannot be read ({type(error).__name__})") from None
