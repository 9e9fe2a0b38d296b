"""The quick way for JSON whose values stand in plain strings: found, judged and replaced in one pass over the raw bytes.

It refuses (None) whatever it is not sure of: keys, numbers, overlaps, what other detectors find. Those are for others to judge.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from .actions import Replace
from .detector import Hit
from .scanner import Scanner, merged
from .stretches import END_OF_RUN, KEPT_SHAPES, LONGEST_KEPT, RUN, RUNS, all_plain

# The shape of a stretch and its neighbours: digits become 0; what tells strings, values and keys apart stays; the rest is x.
_KEPT = b' -.+()/",}]'
_SHAPE = bytes(0x30 if byte in b"0123456789" else byte if byte in _KEPT else 0x78 for byte in range(256))
_VALUE_ENDS = (b'",', b'"}', b'"]')
_CLEAN, _LOOK = -1, -2
_BEFORE_NUMBERS = b"[,:\t\r\n"
_FAR, _WIDE = 4096, 256


class Values:
    """The detectors of one scanner that find such values. `labels` are what replaces them, None where it depends on the value."""

    __slots__ = (
        "_digits", "_labels", "_mail", "_names", "_numeric", "_readable", "_replaces", "_scanner", "_string", "_verdicts",
        "_wholes",
    )  # fmt: skip

    def __init__(self, scanner: Scanner, replaces: Sequence[Replace], labels: Sequence[bytes | None]) -> None:
        detectors = scanner.detectors
        self._scanner = scanner
        self._replaces = tuple(replaces)
        self._labels = tuple(labels)
        self._names = tuple(detector.name for detector in detectors)
        self._numeric = tuple(detector.numeric for detector in detectors)
        self._mail, self._string = next(
            ((at, detector.string.fullmatch) for at, detector in enumerate(detectors) if detector.string is not None),
            (-1, re.compile(b"").fullmatch),
        )
        self._digits = frozenset(at for at, detector in enumerate(detectors) if detector.digits)
        self._readable = self._digits | {self._mail, scanner.end}
        self._wholes = {at: detector.whole for at, detector in enumerate(detectors) if detector.whole is not None}
        self._verdicts: dict[bytes, int] = {}

    def mask(self, raw: bytes, opened: Sequence[int], counts: dict[str, int]) -> bytes | None:
        """Valid JSON with its values replaced and counted; the very object when there are none.

        None, and nothing counted, when this is not sure to be all; so where `opened`, the gates, has others than its own.
        """
        # Attack: no JSON, with an @ that no quote comes after: from there it would begin again and again.
        if not self._readable.issuperset(opened) or not all_plain(raw) or raw.rfind(b'"') < raw.rfind(b"@"):
            return None
        folded = b"" if self._digits.isdisjoint(opened) else raw.translate(RUNS)
        find, verdicts, labels, string, size = folded.find, self._verdicts, self._labels, self._string, len(raw)
        start, mail = find(RUN), raw.find(b"@") if self._mail in opened else -1
        at = last = mails = 0
        pieces: list[bytes] = []
        counted: list[int] = []
        wholes: defaultdict[int, list[bytes]] = defaultdict(list)
        while True:
            limit = size if mail < 0 else mail
            while -1 < start < limit:
                end = find(END_OF_RUN, start)
                shown = raw[start - 1 : end + 2]
                shape = shown.translate(_SHAPE)
                try:
                    verdict = verdicts[shape]
                except KeyError:
                    if not 0 < start < end:
                        return None
                    verdict = self._judged(shape if end + 1 < size else shape + b"x")
                if verdict >= 0:
                    wholes[verdict].append(shown)
                    pieces += (raw[at:start], labels[verdict] or self._replaces[verdict](raw[start:end]))
                    at = end
                elif verdict == _LOOK and (at := self._loose(raw, start, end, at, pieces, counted)) < 0:
                    return None
                if -1 < (start := find(RUN, end)) < at:
                    return None  # the extension of a telephone number goes on into the next stretch
            if mail < 0:
                break
            first = raw.rfind(b'"', at, mail)
            if mail > last:
                last = raw.find(b'"', mail)
            if first >= 0 and string(raw, first, last + 2):
                first += 1
                pieces += (raw[at:first], labels[self._mail] or self._replaces[self._mail](raw[first:last]))
                at = last
                mails += 1
                while -1 < start < at:  # digits in the address
                    start = find(RUN, find(END_OF_RUN, start))
                mail = raw.find(b"@", at)
            else:
                before = at
                unsure = first < 0 and b" " not in raw[at:mail]  # the address may begin in what was replaced
                if unsure or (at := self._address(raw, max(first, at), last, start, at, pieces, counted)) < 0:
                    return None
                mail = raw.find(b"@", at if at > before else last)
        if not pieces:
            return raw
        if mails:
            wholes[self._mail] = [b""] * mails
        strings = {index: (b"".join(texts), len(texts)) for index, texts in wholes.items()}
        return b"".join((*pieces, raw[at:])) if self._count(strings, counted, counts) else None

    def closer(self, text: bytes) -> list[Hit] | None:
        """What is in one string, or number, that stands alone; None where others have to judge. Raises `ScanFailed`."""
        opened = [index for index in self._scanner.gate(text) if index != self._scanner.exponents]
        return self._scanner.spans(text, opened) if self._readable.issuperset(opened) else None

    def _judged(self, shape: bytes) -> int:
        """What a stretch of this shape is: clean, to be looked at, or the detector whose `whole` decides."""
        inner = shape[1:-2]
        plan = self._scanner.stretches.plan(inner)
        verdict = _LOOK if plan else _CLEAN
        if shape.startswith(b'"') and shape.endswith(_VALUE_ENDS):
            for index, whole in self._wholes.items():
                # Of equal spans the first detector's name wins, so no earlier one may have a candidate here.
                if inner in whole.shapes and all(step.kind.index >= index for step in plan):
                    verdict = index
        if len(shape) <= LONGEST_KEPT and len(self._verdicts) < KEPT_SHAPES:
            self._verdicts[shape] = verdict
        return verdict

    def _count(self, wholes: Mapping[int, tuple[bytes, int]], counted: Sequence[int], counts: dict[str, int]) -> bool:
        """Whether the whole strings (as `Whole.all_are` takes them, and how many) are values; then all is counted."""
        checks, names = self._wholes, self._names
        for index, (strings, _) in wholes.items():
            if index in checks and not checks[index].all_are(strings):
                return False
        for index, (_, many) in wholes.items():
            counts[names[index]] = counts.get(names[index], 0) + many
        for index in counted:
            counts[names[index]] = counts.get(names[index], 0) + 1
        return True

    def _loose(self, raw: bytes, start: int, end: int, at: int, pieces: list[bytes], counted: list[int]) -> int:
        """Splices what is in one stretch; where the text goes on from, -1 when unsure."""
        hits: list[Hit] = []
        self._scanner.stretches.judge(raw, start, end, hits)
        if not hits:
            return at
        if raw[start - 1] in _BEFORE_NUMBERS and any(self._numeric[index] for _, _, index in hits):
            return -1
        hits.sort()
        return self._spliced(raw, merged(hits), at, pieces, counted)

    def _address(
        self, raw: bytes, low: int, last: int, digits: int, at: int, pieces: list[bytes], counted: list[int]
    ) -> int:
        """The same for an address in what is left of a string, from `low` to its end; digits are next at `digits`."""
        hit = self._scanner.first(self._mail, raw, low, last)
        if hit is None:
            return at
        if -1 < digits < hit[1]:
            return -1
        return self._spliced(raw, [hit], at, pieces, counted)

    def _spliced(self, raw: bytes, hits: Sequence[Hit], at: int, pieces: list[bytes], counted: list[int]) -> int:
        for first, last, index in hits:
            # Attack: a string or a run of spaces without end, looked through again for each value in it.
            closed = raw.find(b'"', last, last + _FAR)
            follows = raw[closed + 1 : closed + _WIDE].lstrip()[:1]
            if first < at or closed < 0 or follows in (b":", b""):
                return -1
            pieces += (raw[at:first], self._labels[index] or self._replaces[index](raw[first:last]))
            counted.append(index)
            at = last
        return at
