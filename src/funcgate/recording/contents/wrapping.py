"""Content keys under the configured key: AES-256-GCM, bound to what the key is for. And how a wrong key is known."""

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import Altered, WrongKey
from .files import make_folder, write_whole
from .keystore import KeyInfo, KeyLine

KEY_BYTES = 32
NONCE_BYTES = 12
_CHECKED = b"funcgate: content keys are wrapped under this key"


class Wrapping:
    """The configured key, in use. It does not print."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key of journal.encryption has {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)
        self.check = hmac.digest(key, _CHECKED, hashlib.sha256).hex()

    def wrap(self, info: KeyInfo, key: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, _bound_to(info))

    def unwrap(self, line: KeyLine) -> bytes:
        """Raises `Altered`."""
        try:
            wrapped = base64.b64decode(line.wrapped, validate=True)
            return self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], _bound_to(line.info))
        except (InvalidTag, ValueError):
            raise Altered(f"content key {line.name} was altered, or is wrapped under another key") from None


def check_key(data_dir: Path, wrapping: Wrapping) -> None:
    """Raises `WrongKey` if content keys of this folder are wrapped under another key. Writes nothing."""
    known = _known(data_dir)
    # Attack: start with a key of one's own, so that what is recorded from now on can be read by oneself alone.
    if known and not hmac.compare_digest(known, wrapping.check.encode()):
        raise WrongKey(
            f"journal.encryption.key is not the key that {data_dir / 'keys'} was begun with: configure that one again, "
            "or go over to the new one with funcgate audit rekey. Nothing was changed."
        )


def begin_with(data_dir: Path, wrapping: Wrapping) -> None:
    """`check_key`; the first time, note which key it is, durably. Raises `WrongKey`, `OSError`."""
    check_key(data_dir, wrapping)
    if not _known(data_dir):
        write_check(data_dir, wrapping)


def is_known(data_dir: Path, wrapping: Wrapping) -> bool:
    """Whether it is the key that the folder was begun with."""
    return hmac.compare_digest(_known(data_dir), wrapping.check.encode())


def write_check(data_dir: Path, wrapping: Wrapping) -> None:
    make_folder(data_dir / "keys")
    write_whole(_check_file(data_dir), wrapping.check.encode() + b"\n", data_dir / "keys")


def _known(data_dir: Path) -> bytes:
    try:
        return _check_file(data_dir).read_bytes().strip()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise WrongKey(f"{_check_file(data_dir)} cannot be read: {error.strerror}") from None


def _check_file(data_dir: Path) -> Path:
    return data_dir / "keys" / "check"


def _bound_to(info: KeyInfo) -> bytes:
    # Attack: put the key of a session that was kept in the place of one that has expired.
    return "\n".join((info.name, info.cls, info.target, info.day, info.session)).encode()
