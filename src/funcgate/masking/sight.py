"""What is looked for in one reply: a function's rules and the credential of its lease, in one pass over the text.

It refuses to find anything; it says what may be there.
"""

from collections.abc import Callable, Sequence

from funcgate.core.lease import Lease

from .needles import NO_NEEDLES, Needles, Revealed
from .rules import Glance, Rules
from .scanner import ScanFailed

Pairs = Sequence[tuple[bytes, bytes]]
_OFTEN = 64
_MOST_PAIRS, _LONGEST_PAIR = 256, 512
_KEPT = 256


class Sight:
    """Rules (None when the function has none) and needles together. `known` are header fields that hide nothing; `glance` is
    that of the rules, None where it cannot tell whether a needle is in a text."""

    __slots__ = ("_gate", "_uses", "credential", "glance", "known", "needles", "rules")

    def __init__(self, rules: Rules | None, needles: Needles) -> None:
        self.rules = rules
        self.needles = needles
        self.credential = rules.scanner.end + 1 if rules is not None else 0
        self.glance: Glance | None = None
        if rules is not None and (needles.words is not None or not needles):
            self.glance = rules.glance
        self.known: set[tuple[bytes, bytes]] = set()
        self._uses = 0
        self._gate: Callable[[bytes], list[int]] | None = None

    def gate(self, text: bytes, rules: Rules) -> list[int]:
        """What `Scanner.gate` says of the text, and `credential` when a needle is in it. Raises `ScanFailed`."""
        if self._gate is None:
            opened = rules.scanner.gate(text)
            if self.needles:
                if self.needles.in_text(text):
                    opened.append(self.credential)
                self._uses += 1
                # One automaton for both takes milliseconds to make: too long for a lease of one use.
                if self._uses == _OFTEN:
                    self._gate = rules.scanner.gate_with(self.needles.pattern)
            return opened
        opened = self._gate(text)
        # Attack: as in the scanner: no answer is not a clean text.
        if rules.scanner.end not in opened:
            raise ScanFailed
        return opened

    def learn(self, pairs: Pairs) -> None:
        """These header fields need not be looked at again."""
        if len(self.known) > _MOST_PAIRS:
            self.known.clear()
        self.known.update([pair for pair in pairs if len(pair[0]) + len(pair[1]) <= _LONGEST_PAIR])


class Sights:
    """The sights in use, so that one is made once and not for every reply."""

    __slots__ = ("_known", "_revealed")

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], tuple[Lease | None, Sight]] = {}
        self._revealed = Revealed()

    def of(self, lease: Lease, rules: Rules | None) -> Sight:
        known = self._known.get((id(lease), id(rules)))
        # The entry holds the lease and the rules, so their ids cannot have been given to others.
        if known is not None and known[0] is lease and known[1].rules is rules:
            return known[1]
        sight = Sight(rules, self._revealed.of(lease) if lease.needles else NO_NEEDLES)
        if len(self._known) >= _KEPT:
            del self._known[next(iter(self._known))]
        self._known[id(lease), id(rules)] = (lease, sight)
        return sight
