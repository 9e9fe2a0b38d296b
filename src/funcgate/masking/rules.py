"""One function's rules in the form that runs: a scanner, what to write for each detector, and the fields.

It refuses to find anything half: `find` looks at the text as it is and with its escapes undone.
"""

from collections.abc import Callable, Sequence

from .actions import Label, Replace
from .compiled import native
from .detector import Detector, Hit
from .fields import Fields
from .scanner import Scanner, merged
from .spelling import views
from .tokens import encoded, expanded
from .values import Values

Glance = Callable[..., bytes | None]
"""(JSON, counts, `Needles.words` or None) -> masked JSON, or None and nothing counted: then the text was not judged."""


class Rules:
    """Shared by all functions with the same rules. `key` is equal for two that hide the same, in two configurations too.

    `glance` is the compiled quick way of `mask_json`, where it is to be had.
    """

    __slots__ = ("fields", "glance", "key", "names", "numeric", "replaces", "scanner", "values", "walks")

    def __init__(self, chosen: Sequence[tuple[Detector, Replace]], fields: Fields, key: object = None) -> None:
        self.key = key
        chosen = [*chosen, *((detector.twin, replace) for detector, replace in chosen if detector.twin)]
        self.scanner = Scanner([detector for detector, _ in chosen])
        self.replaces = tuple(replace for _, replace in chosen)
        self.names = tuple(detector.name for detector, _ in chosen)
        self.numeric = tuple(detector.numeric for detector, _ in chosen)
        self.fields = fields
        self.walks = bool(fields)  # whether fields are hidden at all
        self.values = Values(
            self.scanner,
            self.replaces,
            [replace.text if isinstance(replace, Label) else None for replace in self.replaces],
        )
        self.glance: Glance | None = None if native is None else native.Glance(self).mask

    def find(self, text: bytes, opened: Sequence[int] | None = None) -> list[Hit]:
        """The spans to hide, whichever way they are spelled. Raises `ScanFailed`."""
        scanner = self.scanner
        if opened is None:
            opened = scanner.gate(text)
        hits = scanner.spans(text, opened)
        if scanner.escapes not in opened:
            return hits
        # Attack: \u0040 for @, %34111… for 4111…: the reader undoes it, so it is looked at undone.
        hits = [(_before_backslashes(text, start), end, index) for start, end, index in hits]
        for undone, chain in views(text):
            for start, end, index in scanner.spans(undone, scanner.gate(undone)):
                for view in reversed(chain):
                    start, end = view.back(start, end)  # noqa: PLW2901
                hits.append((start, end, index))
        hits.sort()
        return merged(hits) if hits else hits

    def splice(self, text: bytes, hits: Sequence[Hit], counts: dict[str, int]) -> bytes:
        """The text with its hits replaced and counted."""
        pieces: list[bytes] = []
        at = 0
        for start, end, index in hits:
            pieces += (text[at:start], self.replaces[index](text[start:end]))
            at = end
            name = self.names[index]
            counts[name] = counts.get(name, 0) + 1
        pieces.append(text[at:])
        return b"".join(pieces)

    def number(self, token: bytes) -> tuple[bytes, int] | None:
        """What stands in place of a JSON number, and which detector found it; None when it stays. Raises `ScanFailed`."""
        content = expanded(token)
        for start, end, index in self.find(content):
            return encoded(self.replaces[index](content[start:end])), index
        return None

    def mask(self, text: bytes, counts: dict[str, int], opened: Sequence[int] | None = None) -> bytes:
        """Text in, masked text out. Raises `ScanFailed`. `opened` is what the gates say, if it is known."""
        if opened is None:
            opened = self.scanner.gate(text)
        if len(opened) == 1:
            return text
        hits = self.find(text, opened)
        return self.splice(text, hits, counts) if hits else text


def _before_backslashes(text: bytes, start: int) -> int:
    # The n of "\n" may have been taken for the first letter of a value: the escape goes with it.
    while start and text[start - 1] == 0x5C:
        start -= 1
    return start
