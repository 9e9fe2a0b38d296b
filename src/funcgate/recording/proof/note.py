"""C2SP signed notes, and the checkpoints in them (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), with Ed25519.

Pure. It reads strictly: what is not exactly in the form is refused, and no text counts before its signature has been verified.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from .merkle import HASH_BYTES

MAX_NOTE_BYTES = 256 << 10
_ED25519 = b"\1"
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,200}")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")
_AT = re.compile(r"at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z)")


class NoteInvalid(ValueError):
    """The text is no signed note, or not signed by a known key. Says why."""


class VerifierKey(Struct, frozen=True):
    """A public key under a name. As text: ``NAME+HASH+KEY``, the form that C2SP tools read."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        """The first four bytes of SHA-256 over name, newline, 1 and the public key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Raises `NoteInvalid`."""
        name, _, rest = text.removesuffix("\n").partition("+")
        digest, _, encoded = rest.partition("+")
        raw = _decoded(encoded)
        if not _NAME.fullmatch(name) or raw is None or len(raw) != 33 or raw[:1] != _ED25519:
            raise NoteInvalid("this is no verifier key (NAME+HASH+KEY, Ed25519)")
        key = cls(name, raw[1:])
        if key.id.hex() != digest:
            raise NoteInvalid("the verifier key is damaged: its hash is not that of its name and key")
        return key

    def verifies(self, signature: bytes, text: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer:
    """A private key under a name."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        if not _NAME.fullmatch(name):
            raise NoteInvalid("the name of a key has no space and no plus sign, and is not empty")
        self._private = private
        self.key = VerifierKey(name, private.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """The note of a text, which ends with a newline."""
        signature = base64.b64encode(self.key.id + self._private.sign(text.encode())).decode()
        return f"{text}\n— {self.key.name} {signature}\n"


def open_note(note: bytes, keys: Iterable[VerifierKey]) -> str:
    """The text of a note that at least one of the keys has signed. Raises `NoteInvalid`.

    Signatures by other keys are ignored; one that names a known key and is not by it spoils the note.
    """
    text, signatures = _parts(note)
    known = {(key.name, key.id): key for key in keys}
    verified = False
    for name, signature in signatures:
        key = known.get((name, signature[:4]))
        if key is None:
            continue
        # Attack: a text of one's own above a signature that was made for another.
        if not key.verifies(signature[4:], text.encode()):
            raise NoteInvalid(f"the signature of {name} is not of this text")
        verified = True
    if not verified:
        named = ", ".join(sorted({f"{name}+{signature[:4].hex()}" for name, signature in signatures}))
        raise NoteInvalid(f"it is signed by {named}, not by a known key")
    return text


def _parts(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    if len(note) > MAX_NOTE_BYTES:
        raise NoteInvalid("it is too long for a note")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise NoteInvalid("it is not UTF-8") from None
    if _CONTROL.search(whole):
        raise NoteInvalid("it holds control characters")
    text, blank, signed = whole.rpartition("\n\n")
    if not blank or not text or not signed.endswith("\n"):
        raise NoteInvalid("it is no note: text, an empty line, signature lines")
    signatures = []
    for line in signed[:-1].split("\n"):
        found = _SIGNATURE.fullmatch(line)
        raw = found and _decoded(found[2])
        if not found or not raw or len(raw) < 5:
            raise NoteInvalid("a signature line is not of the form '— NAME BASE64'")
        signatures.append((found[1], raw))
    return text + "\n", signatures


class Checkpoint(Struct, frozen=True):
    """The head of a tree: how many leaves, and their root. `extensions` are further signed lines (``at …``, ``sync …``)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def at(self) -> str:
        """When it was made (RFC 3339, UTC), "" if it does not tell."""
        return next((found[1] for line in self.extensions if (found := _AT.fullmatch(line))), "")

    def text(self) -> str:
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """The checkpoint in the text of a note. Raises `NoteInvalid`."""
        if not text.endswith("\n"):
            raise NoteInvalid("a checkpoint ends with a newline")
        lines = text[:-1].split("\n")
        if len(lines) < 3 or not all(lines):
            raise NoteInvalid("a checkpoint has three lines or more, none of them empty")
        root = _decoded(lines[2])
        if not _SIZE.fullmatch(lines[1]) or root is None or len(root) != HASH_BYTES:
            raise NoteInvalid("a checkpoint has the tree's size on its second line and the root in base64 on its third")
        return cls(lines[0], int(lines[1]), root, tuple(lines[3:]))


def open_checkpoint(note: bytes, keys: Iterable[VerifierKey]) -> Checkpoint:
    """The checkpoint in a note that one of the keys has signed in its own name. Raises `NoteInvalid`."""
    keys = list(keys)
    checkpoint = Checkpoint.parse(open_note(note, keys))
    # Attack: a checkpoint of another log, signed by a key that is known for that one.
    if checkpoint.origin not in {key.name for key in keys}:
        raise NoteInvalid(f"it is of {checkpoint.origin}, another log")
    return checkpoint


def _decoded(text: str) -> bytes | None:
    """Standard base64 in its one spelling (RFC 4648, sections 3.5 and 4), else None."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
