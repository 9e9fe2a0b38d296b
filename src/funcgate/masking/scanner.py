"""Finds the spans to hide in a piece of bytes: one Set says which detectors to run, then those run one by one.

It knows detectors and bytes; it refuses to know JSON, headers, or what is written in place of a span.
"""

from collections.abc import Callable, Sequence

from re2 import _re2

from .detector import UNANCHORED, Detector, Hit, Span, options
from .stretches import Stretches, all_plain

# What can hide a value from the raw text: an escape of JSON and of many languages, of XML and HTML, of URLs.
ESCAPES = rb"\\|%[2-7][0-9A-Fa-f]|&#[0-9xX]"
# A bare JSON number in exponent form: its digits are not the digits of its value.
EXPONENTS = rb"(?:^|[\s:,\[])-?[0-9]+(?:\.[0-9]+)?[eE][+\-]?[0-9]+(?:[\s,\]}]|$)"


class ScanFailed(Exception):
    """The Set ran out of memory: nothing is known about the text, so nobody may see it."""


class Scanner:
    """A fixed list of detectors over many texts."""

    __slots__ = ("_digits", "_finders", "_gate", "_options", "detectors", "end", "escapes", "exponents", "stretches")

    def __init__(self, detectors: Sequence[Detector], *, max_mem: int = 64 << 20) -> None:
        self.detectors = tuple(detectors)
        self._options = chosen = options(max_mem)
        self.escapes = len(self.detectors)
        self.exponents = self.escapes + 1
        self.end = self.exponents + 1
        gate = self.gate_with(b"")
        if gate is None:
            raise ValueError("the detectors do not fit into the memory given")
        self._gate = gate
        self._finders = tuple(
            (_re2.RE2(detector.pattern or detector.gate, chosen).Match, detector.refine, detector.retry)
            for detector in self.detectors
        )
        self._digits = frozenset(index for index, detector in enumerate(self.detectors) if detector.digits)
        self.stretches = Stretches([(index, self.detectors[index]) for index in sorted(self._digits)])

    def gate_with(self, more: bytes) -> Callable[[bytes], list[int]] | None:
        """The gates, and one more after `end` unless it is empty, as one automaton; None when it does not fit. Its answer
        without `end` in it is a failure."""
        gates = _re2.Set(UNANCHORED, self._options)
        for detector in self.detectors:
            gates.Add(detector.gate)
        gates.Add(ESCAPES)
        gates.Add(EXPONENTS)
        # The binding answers [] both for "no match" and for "out of memory". This one matches every text, so its absence
        # tells the two apart.
        gates.Add(rb"\z")
        if more:
            gates.Add(more)
        match: Callable[[bytes], list[int]] = gates.Match
        return match if gates.Compile() else None

    def gate(self, text: bytes) -> list[int]:
        """Which gates the text opens, the last one always. Raises `ScanFailed`."""
        opened: list[int] = self._gate(text)
        # Attack: a text that makes the automaton too large; without an answer the text is not clean, it is unread.
        if self.end not in opened:
            raise ScanFailed
        return opened

    def spans(self, text: bytes, opened: Sequence[int]) -> list[Hit]:
        """What the opened detectors find, in order, overlaps merged."""
        hits: list[Hit] = []
        stretched = self.stretches if self._digits.isdisjoint(opened) is False and all_plain(text) else None
        if stretched is not None and not stretched.find(text, hits):
            hits, stretched = [], None
        for index in opened:
            if index < self.escapes and (stretched is None or index not in self._digits):
                self._find(index, text, hits)
        if len(hits) > 1:
            hits.sort()
            return merged(hits)
        return hits

    def first(self, index: int, text: bytes, at: int, end: int) -> Hit | None:
        """The first candidate of a detector without a check, between two places."""
        start, stop = self._finders[index][0](UNANCHORED, text, at, end)[0]
        return (start, stop, index) if start >= 0 else None

    def _find(self, index: int, text: bytes, hits: list[Hit]) -> None:
        match, refine, retry = self._finders[index]
        at, size = 0, len(text)
        while True:
            start, end = match(UNANCHORED, text, at, size)[0]
            if start < 0:
                return
            at = end
            if refine is None:
                hits.append((start, end, index))
                continue
            found: Span | None = None
            for found in refine(text, start, end):
                hits.append((*found, index))
            if found is not None:
                at = max(found[1], start + 1)
            elif retry:
                at = start + 1


def merged(hits: list[Hit]) -> list[Hit]:
    """Sorted hits as disjoint ones. Where several overlap, the longest gives its name to all that they cover."""
    out: list[Hit] = []
    start, end, index = hits[0]
    longest = end - start
    for hit in hits:
        if hit[0] < end:
            if hit[1] - hit[0] > longest:
                longest, index = hit[1] - hit[0], hit[2]
            end = max(end, hit[1])
        else:
            out.append((start, end, index))
            start, end, index = hit
            longest = end - start
    out.append((start, end, index))
    return out
