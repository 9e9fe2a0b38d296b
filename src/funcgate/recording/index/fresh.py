"""A call that the index does not hold yet, from its entries: nearly every call, and the quick way for it.

What it gives is what `fold.Fold` makes of the same entries, which does it for calls that the index holds already.
"""

from .parts import Part, Parts
from .seen import Seen, add_words

_ANSWERED = "answered"


class Fresh:
    """One call. `n` and its `parts`, which are its facts, are there once it is finished."""

    __slots__ = (
        "_approvers", "_away", "_kinds", "_objects", "at", "call", "client", "code", "function", "n", "parts", "places",
        "policy", "principal", "seq", "session", "target", "text",
    )  # fmt: skip

    def __init__(self, seen: Seen, seq: int) -> None:
        self.n = 0
        self.call, self.seq, self.at = seen.call, seq, seen.at
        self.principal = self.policy = b""
        self.code = ""
        self.function, self.target, self.session, self.client = seen.function, seen.target, seen.session, seen.client
        self.text = b""
        self.places: list[int] = []
        self.parts: list[Part] = []
        self._kinds: list[str] = []
        self._approvers: list[bytes] = []
        self._objects: list[str] = []
        self._away = False

    def add(self, seen: Seen, segment: int, offset: int, text: bool) -> None:
        """One entry, the next one of its call, at that place. `text`: keep its words."""
        self.places += (segment, offset)
        self._kinds.append(seen.kind)
        if seen.policy:
            self.policy = bytes(seen.policy)
        if seen.principal:
            self._add_who(bytes(seen.principal), seen.kind)
        if seen.code:
            self.code = seen.code
        if text and (seen.body or seen.args):
            self.text = add_words(self.text, seen)
        if seen.object or seen.args_object or seen.where:
            self._objects += filter(None, (seen.object, seen.args_object))
            self._away = self._away or bool(seen.where)
        if not (self.function and self.target and self.session and self.client):  # an arrival says all four
            self.function = self.function or seen.function
            self.target = self.target or seen.target
            self.session = self.session or seen.session
            self.client = self.client or seen.client

    def _add_who(self, principal: bytes, kind: str) -> None:
        if kind == _ANSWERED:
            self._approvers.append(principal)
        self.principal = self.principal or principal

    def finish(self, n: int, parts: Parts) -> None:
        """After its last entry in this batch."""
        self.n = n
        kinds = tuple(self._kinds)
        # In the order of the facts' numbers, so that the keys rise.
        found = [parts.who[self.principal]] if self.principal else []
        if self.function:
            found.append(parts.function[self.function])
        if self.target:
            found.append(parts.target[self.target])
        found.append(parts.decision[kinds])
        if self.code:
            found.append(parts.code[self.code])
        if self.policy:
            found.append(parts.policy[self.policy])
        if self.session:
            found.append(parts.session[self.session])
        if self.client:
            found.append(parts.client[self.client])
        if self._approvers:
            found.append(Part([key for raw in self._approvers for key in parts.approver(raw)]))
        found.append(parts.kinds[kinds])
        if self._objects or self._away:
            found.append(Part(parts.elsewhere(self._objects, self._away)))
        self.parts = found
