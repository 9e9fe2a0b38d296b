"""The key that signs checkpoints: made at its first use, for the owner's eyes only, its public half beside the proof.

It never overwrites a key, and refuses one that is not the key of the checkpoints that are there.
"""

import contextlib
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from .disk import create, make_folder
from .note import NoteInvalid, Signer, VerifierKey
from .trouble import ProofTrouble

KEY, PUBLIC = "key", "public.vkey"


def signer_of(proof: Path, key: Path | None = None, origin: str = "") -> Signer:
    """The signer of this proof folder; on the first use its key is made, and `public.vkey` written. Raises `ProofTrouble`.

    `key` is the private key's file if it is not in the folder; `origin` "" takes the name made of the public key.
    """
    try:
        make_folder(proof)
        private = _private_key(key or proof / KEY, fresh=not _used(proof))
        signer = Signer(origin or default_origin(private), private)
        if not (proof / PUBLIC).exists():
            if _used(proof):
                raise ProofTrouble(
                    f"{proof / PUBLIC} is gone, and the checkpoints beside it with it cannot be told apart: restore it"
                )
            with contextlib.suppress(FileExistsError):
                create(proof / PUBLIC, f"{signer.key}\n".encode(), 0o444)
    except OSError as error:
        raise ProofTrouble(f"{error.filename or proof}: {error.strerror or error}") from None
    except NoteInvalid as error:
        raise ProofTrouble(f"proof.origin: {error}") from None
    known = public_key(proof)
    if known != signer.key:
        what = "origin" if known is not None and known.public == signer.key.public else "key"
        raise ProofTrouble(
            f"the {what} of the proof is not the one that {proof / PUBLIC} names ({known and known.name}): "
            f"bring the old {what} back; a new one begins with a new data_dir"
        )
    return signer


def public_key(proof: Path) -> VerifierKey | None:
    """The key that `public.vkey` names, None if there is none. Raises `ProofTrouble`."""
    path = proof / PUBLIC
    try:
        return VerifierKey.parse(path.read_text())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProofTrouble(f"{path}: {error.strerror}") from None
    except ValueError as error:  # NoteInvalid, and what is not UTF-8
        raise ProofTrouble(f"{path}: {error if isinstance(error, NoteInvalid) else 'it is not text'}") from None


def default_origin(private: Ed25519PrivateKey) -> str:
    return f"funcgate/{sha256(private.public_key().public_bytes_raw()).hexdigest()[:16]}"


def _used(proof: Path) -> bool:
    """Whether anything was signed here already."""
    return (proof / "checkpoint").exists() or (proof / "checkpoints.jsonl").exists()


def _private_key(path: Path, *, fresh: bool) -> Ed25519PrivateKey:
    """The key in the file; made if there is no file and nothing was signed yet. Raises `OSError` and `ProofTrouble`."""
    try:
        pem = path.read_bytes()
    except FileNotFoundError:
        # Attack: remove the key, and have the gateway sign another past with a new one.
        if not fresh:
            raise ProofTrouble(
                f"the key {path} is gone, and checkpoints signed with it are there: restore it"
            ) from None
        private = Ed25519PrivateKey.generate()
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with contextlib.suppress(FileExistsError):  # another process was quicker: its key counts
            create(path, pem)
        pem = path.read_bytes()
    # Attack: whoever can read the key can sign another past.
    if path.stat().st_mode & 0o027:
        raise ProofTrouble(f"the key {path} can be read by everybody: chmod 600 it")
    try:
        found = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ProofTrouble(f"{path} is no private key in PEM (PKCS#8) without a password") from None
    if not isinstance(found, Ed25519PrivateKey):
        raise ProofTrouble(f"the key in {path} is not Ed25519 (openssl genpkey -algorithm ed25519)")
    return found
