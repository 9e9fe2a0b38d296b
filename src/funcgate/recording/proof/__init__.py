"""The proof that the record is whole: a Merkle tree over the journal's lines, signed checkpoints of it, copies off the host.

It refuses to sign a tree that does not continue the last one it signed.
"""

from .checkpoints import latest_size
from .trouble import ProofTrouble

__all__ = ["ProofTrouble", "latest_size"]
