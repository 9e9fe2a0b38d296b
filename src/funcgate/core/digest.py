"""``sha256:HEX`` of what is judged and sent: of a whole, and of many that begin alike.

`_digest.pyx` does the same in less time, by hashlib's own library. No digest of our own making.
"""

from hashlib import sha256

from funcgate.core.native import half

_native = half("funcgate.core._digest")
if _native is not None and not _native.FOUND:
    _native = None


def _digest_of(content: bytes) -> str:
    return "sha256:" + sha256(content).hexdigest()


class _Begun:
    """All that begin with the same head."""

    __slots__ = ("_begun",)

    def __init__(self, head: bytes) -> None:
        self._begun = sha256(head)

    def over(self, rest: bytes) -> str:
        """Of the head and the rest."""
        whole = self._begun.copy()
        whole.update(rest)
        return "sha256:" + whole.hexdigest()


digest_of = _digest_of if _native is None else _native.digest_of
Begun = _Begun if _native is None else _native.Begun
