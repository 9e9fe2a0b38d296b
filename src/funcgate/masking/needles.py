"""Scrubs the spellings of a credential from bytes, whole or piece by piece. It refuses to depend on where pieces are cut.

Overlapping occurrences are one span, and each span becomes one label, so that the result is a function of the whole text.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from re2 import _re2

from funcgate.core.lease import Lease

from .actions import CREDENTIAL
from .compiled import native
from .detector import UNANCHORED, options
from .spelling import views

COUNTED_AS = "credential"
_KEPT = 64
_SHORTEST_WORD = 7


class Needles:
    """The spellings of one lease's credential. `words` is a quick look for them that errs to the safe side."""

    __slots__ = ("_any", "_prefixes", "_spellings", "longest", "pattern", "words")

    def __init__(self, spellings: Iterable[bytes]) -> None:
        kept = sorted({spelling for spelling in spellings if spelling}, key=lambda text: (len(text), text))
        self._spellings = tuple(kept)
        self.longest = len(kept[-1]) if kept else 0
        self._prefixes = frozenset(text[:size] for text in kept for size in range(1, len(text)))
        # For "is any of them in it" those that hold another one say nothing more.
        least = [one for one in kept if not any(other in one for other in kept if len(other) < len(one))]
        self.pattern: bytes = b"|".join(_re2.RE2.QuoteMeta(one) for one in least)
        known = native is not None and kept and len(kept[0]) >= _SHORTEST_WORD
        self.words: Any = native.Words(least) if known else None
        self._any = _re2.RE2(self.pattern, options()).Match if kept else None

    def __bool__(self) -> bool:
        return bool(self._spellings)

    def __repr__(self) -> str:
        return f"Needles({len(self._spellings)})"

    def in_text(self, text: bytes) -> bool:
        """Whether any spelling is in the text: one pass, however many there are."""
        if self._any is None or (self.words is not None and not self.words.may_be_in(text)):
            return False
        found: bool = self._any(UNANCHORED, text, 0, len(text))[0][0] >= 0
        return found

    def spans(self, text: bytes) -> list[tuple[int, int]]:
        """All occurrences, overlapping ones too, in order."""
        found: list[tuple[int, int]] = []
        for spelling in self._spellings:
            at = text.find(spelling)
            while at >= 0:
                found.append((at, at + len(spelling)))
                at = text.find(spelling, at + 1)
        found.sort()
        return found

    def scrub(self, text: bytes, counts: dict[str, int], *, undo: bool = False) -> bytes:
        """The text without the credential. `undo` looks at it with its escapes undone as well."""
        found = self.spans(text) if self.in_text(text) else []
        if undo and (b"\\" in text or b"%" in text or b"&#" in text):
            # Attack: the target echoes the secret in a spelling that the lease did not foresee: \u0073ecret.
            for undone, chain in views(text):
                for start, end in self.spans(undone) if self.in_text(undone) else ():
                    for view in reversed(chain):
                        start, end = view.back(start, end)  # noqa: PLW2901
                    found.append((start, end))
            found.sort()
        return replaced(text, found, counts) if found else text

    def waiting(self, text: bytes) -> int:
        """How many bytes at the end of `text` may be the beginning of an occurrence."""
        prefixes, size = self._prefixes, len(text)
        for count in range(min(self.longest - 1, size), 0, -1):
            if text[size - count :] in prefixes:
                return count
        return 0


def replaced(text: bytes, found: Sequence[tuple[int, int]], counts: dict[str, int]) -> bytes:
    """The text with each run of overlapping spans replaced by one label."""
    pieces: list[bytes] = []
    end = 0
    for start, stop in found:
        if start >= end:
            pieces += (text[end:start], CREDENTIAL)
            counts[COUNTED_AS] = counts.get(COUNTED_AS, 0) + 1
        end = max(end, stop)
    pieces.append(text[end:])
    return b"".join(pieces)


class Scrubber:
    """The same for a text that comes in pieces. Holds back only what may be the beginning of an occurrence."""

    __slots__ = ("_counts", "_covered", "_held", "_needles")

    def __init__(self, needles: Needles, counts: dict[str, int]) -> None:
        self._needles = needles
        self._counts = counts
        self._held = b""
        self._covered = 0  # so many of the held bytes are already behind a label

    def feed(self, piece: bytes) -> bytes:
        """What may be passed on now."""
        text = self._held + piece if self._held else piece
        return self._pass(text, len(text) - self._needles.waiting(text))

    def finish(self) -> bytes:
        """What was held back."""
        return self._pass(self._held, len(self._held))

    def _pass(self, text: bytes, cut: int) -> bytes:
        # Whatever starts before the cut also ends in `text`, or the cut would be before it.
        pieces: list[bytes] = []
        end = self._covered
        if self._needles.in_text(text):
            for start, stop in self._needles.spans(text):
                if start >= cut:
                    break
                if start >= end:
                    pieces += (text[end:start], CREDENTIAL)
                    self._counts[COUNTED_AS] = self._counts.get(COUNTED_AS, 0) + 1
                end = max(end, stop)
        pieces.append(text[end:cut])
        self._covered = max(0, end - cut)
        self._held = text[cut:]
        return b"".join(pieces)


class Revealed:
    """The needles of the leases in use, so that a lease's secrets are revealed once and not for every reply."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, tuple[Lease, Needles]] = {}

    def of(self, lease: Lease) -> Needles:
        known = self._known.get(id(lease))
        # The entry holds the lease, so its id cannot have been given to another one.
        if known is not None and known[0] is lease:
            return known[1]
        needles = Needles(secret.reveal().encode("utf-8", "surrogateescape") for secret in lease.needles)
        if len(self._known) >= _KEPT:
            del self._known[next(iter(self._known))]
        self._known[id(lease)] = (lease, needles)
        return needles


NO_NEEDLES = Needles(())
