"""A text with its escapes undone, and the way back to where each character came from.

Undone are spellings of single ASCII characters: ``\\u0040``, ``\\x40``, ``\\/``, ``\\n``, ``%40``, ``&#64;``, ``&#x40;``.
It refuses to know any language: a spelling that means nothing in some text only costs a second look.
"""

import re
from bisect import bisect_right

_SPELLING = re.compile(
    rb"\\([nrtbfv])|\\([\\/@.+\-])|\\u00([2-7][0-9A-Fa-f])|\\u\{0{0,4}([2-7][0-9A-Fa-f])\}|\\x([2-7][0-9A-Fa-f])"
    rb"|%([2-7][0-9A-Fa-f])|&#[xX]0{0,6}([2-7][0-9A-Fa-f]);?|&#0{0,6}([0-9]{2,3});?"
)
_CONTROL, _ITSELF, _DECIMAL = 1, 2, 8
_LAYERS = 3


class View:
    """One text and its unescaped form. `text` is what to scan; `back` maps a span of it to the original's."""

    __slots__ = ("_froms", "_tos", "text")

    def __init__(self, original: bytes) -> None:
        pieces: list[bytes] = []
        self._froms = froms = [0]  # where, in the view, a stretch without escapes begins …
        self._tos = tos = [0]  # … and where that stretch is in the original
        at = size = 0
        for found in _SPELLING.finditer(original):
            character = _character(found)
            if character is None:
                continue
            start, end = found.span()
            pieces.append(original[at:start])
            pieces.append(character)
            size += start - at
            froms += (size, size + 1)
            tos += (start, end)
            size += 1
            at = end
        pieces.append(original[at:])
        self.text = b"".join(pieces)

    @property
    def differs(self) -> bool:
        return len(self._froms) > 1

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The original's span that spells this span of the view."""
        return self._at(start), self._after(end)

    def _at(self, position: int) -> int:
        stretch = bisect_right(self._froms, position) - 1
        return self._tos[stretch] + position - self._froms[stretch]

    def _after(self, end: int) -> int:
        # The end of the last character, not the start of the one after it.
        stretch = bisect_right(self._froms, end - 1) - 1
        if stretch % 2:  # an escape: the original's next stretch starts where the escape ends
            return self._tos[stretch + 1]
        return self._tos[stretch] + end - self._froms[stretch]


def views(original: bytes) -> list[tuple[bytes, list[View]]]:
    """The unescaped forms, layer by layer (``%2540`` needs two): each with the views that lead back."""
    out: list[tuple[bytes, list[View]]] = []
    chain: list[View] = []
    text = original
    for _ in range(_LAYERS):
        view = View(text)
        if not view.differs:
            break
        chain = [*chain, view]
        out.append((view.text, chain))
        text = view.text
    return out


def _character(found: re.Match[bytes]) -> bytes | None:
    which = found.lastindex or 0
    if which == _CONTROL:
        return b"\n"
    if which == _ITSELF:
        return found[which]
    code = int(found[which]) if which == _DECIMAL else int(found[which], 16)
    return bytes((code,)) if 32 <= code < 127 else None
