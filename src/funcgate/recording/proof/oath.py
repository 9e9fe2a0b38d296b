"""Orders to delete, signed with the key of the proof: a line that somebody else has written excuses no hole in the record.

What is signed is the order alone. It is no checkpoint, and can never be taken for one.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from .key import PUBLIC, public_key, signer_of
from .note import NoteInvalid, Signer, VerifierKey, open_note
from .trouble import ProofTrouble

SIGNATURE = "signature"
_ADDED = (SIGNATURE, "by")  # by whoever passes the order on


def signer_in(proof: Path, key: Path | None = None) -> Signer:
    """The signer that this proof folder has by now. Raises `ProofTrouble`, also where nothing was ever signed."""
    return signer_of(proof, key, known_key(proof).name)


def known_key(proof: Path) -> VerifierKey:
    """The key of this proof folder. Raises `ProofTrouble`."""
    known = public_key(proof)
    if known is None:
        raise ProofTrouble(f"{proof / PUBLIC} is not there: nothing is deleted without it")
    return known


def signed(change: Mapping[str, Any], signer: Signer) -> dict[str, Any]:
    """The order with its signature (a C2SP note)."""
    return {**change, SIGNATURE: signer.sign(_text(change))}


def is_signed(change: Mapping[str, Any], key: VerifierKey) -> bool:
    """Whether the key's owner gave this order, as it stands."""
    # Attack: write an order behind the last entry while no gateway runs, and have the next one sign its line.
    try:
        return open_note(str(change.get(SIGNATURE)).encode(), [key]) == _text(change)
    except (NoteInvalid, UnicodeEncodeError):
        return False


def _text(change: Mapping[str, Any]) -> str:
    order = {name: value for name, value in change.items() if name not in _ADDED}
    return f"order\n{sha256(msgspec.json.encode(order, order='sorted')).hexdigest()}\n"
