"""How the state is written: as it is, or, with `journal.encryption`, sealed (AES-256-GCM) and its keys hashed (HMAC-SHA-256).

The key of both is random, made once for a database and wrapped under the configured key. Nothing here reads a configuration.
"""

import binascii
import hashlib
import hmac
import secrets
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12
_FORM = b"\x01"  # of what is sealed; no JSON begins so
_WRAPPED = b"funcgate state\0key"

Row = tuple[str | float, ...]


class Altered(Exception):
    """A value that is not what was written at that place, or was sealed under another key."""


class Form(Protocol):
    """How values are written. `name` says which key seals them, "" for none.

    `place` is ``TABLE.COLUMN``, `row` what tells the row from all others: a value that was sealed opens there only.
    """

    @property
    def name(self) -> str: ...

    def seal(self, place: str, row: Row, data: bytes) -> bytes: ...

    def open(self, place: str, row: Row, data: bytes) -> bytes:
        """Raises `Altered`."""
        ...

    def seal_text(self, place: str, row: Row, text: str) -> str: ...

    def open_text(self, place: str, row: Row, text: str) -> str:
        """Raises `Altered`."""
        ...

    def hashed(self, place: str, value: str) -> str:
        """What the value is found by: the same for the same value, in one place."""
        ...


class Clear:
    """Without encryption: everything as it is."""

    name = ""

    def seal(self, place: str, row: Row, data: bytes) -> bytes:
        return data

    def open(self, place: str, row: Row, data: bytes) -> bytes:
        return data

    def seal_text(self, place: str, row: Row, text: str) -> str:
        return text

    def open_text(self, place: str, row: Row, text: str) -> str:
        return text

    def hashed(self, place: str, value: str) -> str:
        return value


class Sealed:
    """Under the state's key, of 32 random bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(derived(key, "sealing"))
        self._hashing = derived(key, "hashing")
        self.name = derived(key, "name").hex()

    def seal(self, place: str, row: Row, data: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return _FORM + nonce + self._cipher.encrypt(nonce, data, _bound_to(place, row))

    def open(self, place: str, row: Row, data: bytes) -> bytes:
        # Attack: a row of one's own, in clear, put among those that are sealed.
        if data[:1] != _FORM:
            raise Altered(place)
        nonce, rest = data[1 : NONCE_BYTES + 1], data[NONCE_BYTES + 1 :]
        try:
            return self._cipher.decrypt(nonce, rest, _bound_to(place, row))
        except (InvalidTag, ValueError):
            raise Altered(place) from None

    def seal_text(self, place: str, row: Row, text: str) -> str:
        return binascii.b2a_base64(self.seal(place, row, text.encode()), newline=False).decode()

    def open_text(self, place: str, row: Row, text: str) -> str:
        try:
            sealed = binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            raise Altered(place) from None
        return self.open(place, row, sealed).decode()

    def hashed(self, place: str, value: str) -> str:
        # Attack: a guess at who asked or what was asked, checked against a plain hash.
        return hmac.digest(self._hashing, f"{place}\0{value}".encode(), hashlib.sha256).hex()


def wrap(configured: bytes, key: bytes) -> bytes:
    """The state's key under the configured one."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(derived(configured, "wrapping")).encrypt(nonce, key, _WRAPPED)


def unwrap(configured: bytes, wrapped: bytes) -> bytes:
    """Raises `Altered`."""
    cipher = AESGCM(derived(configured, "wrapping"))
    try:
        return cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _WRAPPED)
    except (InvalidTag, ValueError):
        raise Altered("seal.wrapped") from None


def check_of(configured: bytes) -> str:
    """By which the configured key is known again; it tells nothing of it."""
    return derived(configured, "check").hex()


def derived(key: bytes, purpose: str) -> bytes:
    """One key for each purpose (RFC 5869; the input is random already, so there is no salt)."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"funcgate state: {purpose}".encode()).derive(key)


def _bound_to(place: str, row: Row) -> bytes:
    # Attack: the sealed approval of one call, put in the row of another; or one column's value in another column.
    return msgspec.json.encode((place, *row))
