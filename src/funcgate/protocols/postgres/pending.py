"""Messages that wait for their masked lines, in the order in which both come.

A line that masking left as it was goes on as the very message that it came from; another one is written anew.
"""

from collections import deque

from funcgate.core.native import half
from funcgate.wire.postgres.copytext import Layout

from .batch import Batch, Said, Silent
from .shape import Shape
from .writing import message_of

_native = half("funcgate.wire.postgres._native")


class Pending:
    """`held` is how many bytes of messages wait; `layout` that of COPY data among them."""

    __slots__ = ("_messages", "held", "layout")

    def __init__(self) -> None:
        self.held = 0
        self.layout: Layout | None = None
        self._messages: deque[Said | Batch | Silent] = deque()

    def add(self, line: bytes | None, kind: bytes, raw: bytes) -> None:
        """A message; `line` None if what goes on is not what came."""
        self._messages.append((line, kind, raw))
        self.held += len(raw)

    def add_batch(self, batch: Batch) -> None:
        self._messages.append(batch)
        self.held += len(batch.raw)

    def add_all(self, said: list[Said], size: int) -> None:
        """Messages of so many bytes, and nothing before them."""
        self._messages.extend(said)
        self.held = size

    def add_silent(self, lines: int) -> None:
        """Lines that are recorded, and go nowhere."""
        self._messages.append(Silent(lines))

    def latest(self) -> bytes:
        """The message that was added last, to go on at once."""
        said = self._messages.pop()
        raw = b"" if isinstance(said, Silent) else said.raw if isinstance(said, Batch) else said[2]
        self.held -= len(raw)
        return raw

    def written(self, lines: bytes, shape: Shape) -> bytes:
        """The messages for the next masked lines. Raises `Refused(masking.refused)`."""
        parts: list[bytes] = []
        at = 0
        while at < len(lines):
            said = self._messages[0] if self._messages else None
            if isinstance(said, Silent):
                at = said.behind(lines, at)
                if not said.left:
                    self._messages.popleft()
            elif isinstance(said, Batch) and not said.changed and lines.startswith(said.text, at):
                parts.append(said.raw)
                self.held -= len(said.raw)
                at += len(said.text)
                self._messages.popleft()
            elif isinstance(said, Batch) and not said.changed and _native is not None:
                self._messages.popleft()
                at = self._rewritten(said, lines, at, parts, shape)
            else:
                end = lines.index(b"\n", at)
                parts.append(self.message(lines[at:end], shape))
                at = end + 1
        return b"".join(parts)

    def _rewritten(self, batch: Batch, lines: bytes, at: int, parts: list[bytes], shape: Shape) -> int:
        """The messages of a batch of which some lines were masked; where its masked lines end."""
        text, raw, begin, place = batch.text, batch.raw, 0, 0
        while begin < len(text) and at < len(lines):
            begin, at, end = _native.same(text, begin, lines, at, raw, place)
            if end > place:
                parts.append(raw[place:end])
                place = end
            if begin < len(text) and at < len(lines):
                stop, line_end = lines.index(b"\n", at), text.index(b"\n", begin)
                size = 1 + int.from_bytes(raw[place + 1 : place + 5], "big")
                found = raw[place : place + size]
                before = text[begin:line_end]
                parts.append(message_of(found[:1], found, lines[at:stop], shape, self.layout, before))
                begin, at, place = line_end + 1, stop + 1, place + size
        self.held -= place
        if begin < len(text):
            self._messages.appendleft(Batch(text[begin:], raw[place:], frozenset()))
        return at

    def message(self, line: bytes, shape: Shape) -> bytes:
        """The message for the next masked line. Raises `Refused(masking.refused)`."""
        if isinstance(said := self._messages.popleft(), Batch):
            self._messages.extendleft(reversed(said.apart()))
            said = self._messages.popleft()
        if not isinstance(said, tuple):
            raise TypeError("lines that are no message")
        before, kind, raw = said
        self.held -= len(raw)
        return raw if line == before else message_of(kind, raw, line, shape, self.layout, before)
