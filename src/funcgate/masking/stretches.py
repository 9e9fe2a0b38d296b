"""Finds values made of digits by the shape of the stretch they stand in: ``123-45-6789`` is ``000-00-0000``.

Few shapes occur, and what a shape can hold is worked out once, so most stretches cost one look into a dictionary. It finds
exactly what the detectors' own patterns find (a test compares them) and refuses text with separators beyond ASCII.
"""

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from re2 import _re2

from .detector import UNANCHORED, Detector, Hit, Hopeless, Refine, Span, options

# What a stretch is made of, and what ends it.
_ZERO, _SPACE = 0x30, 0x20
RUNS = bytes(_ZERO if byte in b"0123456789 -.+()/" else _SPACE for byte in range(256))
RUN = b"0" * 7  # the shortest: 0.0.0.0
END_OF_RUN = _SPACE
_SHAPE = bytes(_ZERO if byte in b"0123456789" else byte for byte in range(256))
KEPT_SHAPES, LONGEST_KEPT = 4096, 64
_A_DIGIT = re.compile(rb"\[[0-9]-9\]")


def all_plain(text: bytes) -> bool:
    """Whether no separator outside ASCII (no-break spaces, typographic hyphens) is in the text."""
    return text.isascii() or (b"\xc2\xa0" not in text and b"\xe2\x80" not in text)


class Kind(Struct, frozen=True):
    """One detector here. `search` is set when its pattern tells digits apart: then the shape only says where to look.

    `by_shape` finds candidates where every digit is 0, `by_digits` those of the pattern as it is. `hopeless` is the detector's.
    """

    index: int
    by_shape: Any
    by_digits: Any
    refine: Refine
    retry: bool
    search: Any
    hopeless: Hopeless | None


class Step(Struct, frozen=True):
    """What to try on a shape: these candidates; or a search, at once or if one of `zeros` holds the digit 0."""

    kind: Kind
    candidates: tuple[Span, ...]
    zeros: tuple[int, ...] = ()


class Stretches:
    """The digit detectors of one scanner."""

    __slots__ = ("_kinds", "_plans")

    def __init__(self, detectors: Sequence[tuple[int, Detector]]) -> None:
        self._kinds = [kind_of(index, detector) for index, detector in detectors]
        self._plans: dict[bytes, list[Step]] = {}

    def find(self, text: bytes, hits: list[Hit]) -> bool:
        """False when a value goes on into the next stretch: then others have to look."""
        folded = text.translate(RUNS)
        find = folded.find
        start = find(RUN)
        while start >= 0:
            end = find(END_OF_RUN, start)
            if end < 0:
                end = len(text)
            had = len(hits)
            self.judge(text, start, end, hits)
            start = find(RUN, end)
            # Attack: "… ext 0604 0044 20 …": the digits of an extension, taken for the first ones of the next number.
            if start >= 0 and any(last > start for _, last, _ in hits[had:]):
                return False
        return True

    def judge(self, text: bytes, start: int, end: int, hits: list[Hit]) -> None:
        """Adds what is in one stretch."""
        for step in self.plan(text[start:end].translate(_SHAPE)):
            kind = step.kind
            if kind.search is None:
                candidates_of(step, text, start, end, hits)
            elif not step.zeros:
                searched(kind, text, start, end, hits)
            else:
                for zero in step.zeros:
                    if text[start + zero] == _ZERO:
                        searched(kind, text, start, end, hits)
                        break

    def plan(self, shape: bytes) -> list[Step]:
        """What to try on stretches of this shape."""
        plan = self._plans.get(shape)
        if plan is None:
            plan = [step for kind in self._kinds if (step := step_of(kind, shape)) is not None]
            # Attack: a text of ever new shapes must not fill the memory.
            if len(shape) <= LONGEST_KEPT and len(self._plans) < KEPT_SHAPES:
                self._plans[shape] = plan
        return plan

    def zeros(self, shape: bytes) -> bytes | None:
        """Where a stretch of this shape may have a 0, one of which it has if anything is in it; None = anything may be in it."""
        plan = self.plan(shape)
        if not all(step.zeros for step in plan):
            return None
        return bytes({zero for step in plan for zero in step.zeros})


def kind_of(index: int, detector: Detector) -> Kind:
    pattern = detector.pattern or detector.gate
    refine = detector.refine
    if refine is None:
        raise ValueError(f"{detector.name}: a detector of digits needs a check")
    by_shape = _A_DIGIT.sub(b"0", pattern)
    search = None
    if re.search(rb"\[[1-9]-9\]", pattern):
        search = re.compile(rb"(?<![0-9A-Za-z])(?:" + pattern + rb")").search
    chosen = options()
    shapes, digits = _re2.RE2(by_shape, chosen).Match, _re2.RE2(pattern, chosen).Match
    return Kind(index, shapes, digits, refine, detector.retry, search, detector.hopeless)


def step_of(kind: Kind, shape: bytes) -> Step | None:
    """What to try on stretches of this shape; None = nothing of this kind can be in one."""
    candidates = candidates_in(kind, shape)
    if kind.hopeless is not None:
        candidates = [(start, end) for start, end in candidates if not kind.hopeless(shape, start, end)]
    if not candidates:
        return None
    if kind.search is None:
        return Step(kind, tuple(candidates))
    if kind.by_digits(UNANCHORED, shape.replace(b"0", b"2"), 0, len(shape))[0][0] >= 0:
        return Step(kind, ())
    # With ordinary digits the pattern finds nothing, so a value here begins with a 0 (dates do not).
    starts = {start for start, _ in candidates if not start or shape[start - 1] != _ZERO}
    return Step(kind, (), tuple(sorted(starts))) if starts else None


def candidates_in(kind: Kind, shape: bytes) -> list[Span]:
    """Every candidate in a shape. Overlapping ones too where a refused one is retried: `find` leaves out what is taken."""
    out: list[Span] = []
    at = 0
    while True:
        start, end = kind.by_shape(UNANCHORED, shape, at, len(shape))[0]
        if start < 0:
            return out
        out.append((start, end))
        at = start + 1 if kind.retry else end


def candidates_of(step: Step, text: bytes, start: int, end: int, hits: list[Hit]) -> None:
    kind, free = step.kind, 0
    for first, last in step.candidates:
        if first < free:
            continue
        for found in kind.refine(text, start + first, start + last):
            hits.append((*found, kind.index))
            free = found[1] - start
        if first < free < last:
            # Attack: a card in front, so that the next one, in the same run of digits, has no shape of its own.
            resumed(kind, text, start + free, end, hits)
            return


def resumed(kind: Kind, text: bytes, at: int, end: int, hits: list[Hit]) -> None:
    """What the pattern finds from a place within a stretch on, as the scanner does."""
    while True:
        start, stop = kind.by_digits(UNANCHORED, text, at, end)[0]
        if start < 0:
            return
        at = start + 1 if kind.retry else stop
        for found in kind.refine(text, start, stop):
            hits.append((*found, kind.index))
            at = max(found[1], start + 1)


def searched(kind: Kind, text: bytes, at: int, end: int, hits: list[Hit]) -> None:
    while (candidate := kind.search(text, at, end)) is not None:
        start, stop = candidate.span()
        at = start + 1
        for found in kind.refine(text, start, stop):
            hits.append((*found, kind.index))
            at = found[1]
