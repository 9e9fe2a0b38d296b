"""JSON text as a flat list of leaves (keys, strings, numbers) with their places, and the values that a field path hides.

It walks text that is known to be JSON, without recursion. It refuses what is nested too deep.
"""

import json
import re
from decimal import Decimal

from msgspec import Struct

from funcgate.core.nesting import MAX_LEVELS

from .actions import Replace
from .fields import Fields, State

MAX_DEPTH = MAX_LEVELS
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],]|[^\s{}\[\],:"]+', re.DOTALL)
_QUOTE, _COMMA, _COLON = b'",:'
_OPEN, _CLOSE = b"{[", b"}]"
_OBJECT = ord("{")
_MOST_DIGITS = 40
_LONGEST_POWER = 15


class Unreadable(Exception):
    """The text cannot be judged. The argument says why, without quoting it."""


class Leaf(Struct):
    """One key, string or number. `content` is its decoded UTF-8; `owner` is the object that a key is of, -1 for values."""

    start: int
    end: int
    content: bytes
    owner: int = -1
    number: bool = False


class Hidden(Struct):
    """A value that a field path hides."""

    start: int
    end: int
    replace: Replace


class Frame(Struct):
    """One open object or array. `state` is where the field paths are; `value_state` where they are in the next value."""

    owner: int
    is_object: bool
    state: State
    value_state: State
    wants_key: bool


class Walk:
    """One pass over one text: fills `leaves` and `hidden`, both in the order of the text."""

    def __init__(self, raw: bytes, fields: Fields) -> None:
        self.raw = raw
        self.fields = fields
        self.leaves: list[Leaf] = []
        self.hidden: list[Hidden] = []
        self._frames: list[Frame] = []
        self._objects = 0
        self._skip = 0  # the depth at which a hidden object or array began; 0 = not in one

    def run(self) -> None:
        """Raises `Unreadable`."""
        for found in _TOKEN.finditer(self.raw):
            start, end = found.span()
            first = self.raw[start]
            if first in _OPEN:
                self._open(start, first == _OBJECT)
            elif first in _CLOSE:
                self._close(end)
            elif first == _COMMA:
                frame = self._frames[-1]
                frame.wants_key = frame.is_object
            else:
                self._leaf(start, end, first)

    def _value_state(self) -> State:
        return self._frames[-1].value_state if self._frames else self.fields.start

    def _open(self, start: int, is_object: bool) -> None:
        # Attack: nesting that exhausts the stack or the memory of whoever walks it.
        if len(self._frames) >= MAX_DEPTH:
            raise Unreadable("nested too deep")
        state = self._value_state()
        if not self._skip and (replace := self._hides(state)):
            self._skip = len(self._frames) + 1
            self.hidden.append(Hidden(start, start, replace))
        self._objects += 1
        inside = state if is_object else self.fields.element(state)
        self._frames.append(Frame(self._objects, is_object, state, inside, is_object))

    def _close(self, end: int) -> None:
        if self._skip == len(self._frames):
            self._skip = 0
            self.hidden[-1].end = end
        self._frames.pop()

    def _leaf(self, start: int, end: int, first: int) -> None:
        frame = self._frames[-1] if self._frames else None
        is_key = frame is not None and frame.wants_key
        if self._skip and not is_key:
            return
        if is_key and frame is not None:
            frame.wants_key = False
            content = decoded(self.raw[start:end])
            if not self._skip:
                frame.value_state = self.fields.step(frame.state, content.decode("utf-8", "surrogatepass"))
                self.leaves.append(Leaf(start, end, content, frame.owner))
        elif replace := self._hides(self._value_state()):
            self.hidden.append(Hidden(start, end, replace))
        elif first == _QUOTE:
            self.leaves.append(Leaf(start, end, decoded(self.raw[start:end])))
        elif first not in b"tfn":
            self.leaves.append(Leaf(start, end, expanded(self.raw[start:end]), number=True))

    def _hides(self, state: State) -> Replace | None:
        return self.fields.hidden(state) if state else None


def decoded(token: bytes) -> bytes:
    """What a JSON string says, as UTF-8 (lone surrogates as they are: RFC 8259, 8.2)."""
    if b"\\" not in token:
        return token[1:-1]
    try:
        text: str = json.loads(token)
    except ValueError as error:
        raise Unreadable("a string that is not JSON") from error
    return text.encode("utf-8", "surrogatepass")


def encoded(content: bytes) -> bytes:
    """The JSON string that says `content`."""
    text = content.decode("utf-8", "surrogatepass")
    try:
        return json.dumps(text, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(text).encode()


def expanded(token: bytes) -> bytes:
    """A number's digits without an exponent: 4.1e3 is 4100. Numbers far too long for any detector stay as they are."""
    mantissa, _, exponent = token.lower().partition(b"e")
    if not exponent:
        return token
    sign, power = exponent[:1].strip(b"+0123456789"), exponent.lstrip(b"+-0") or b"0"
    if len(power) > _LONGEST_POWER:
        return token  # no mantissa is long enough to bring this back to the size of a card
    # Attack: 4.111111111111111e15 is a card to whoever reads the number, and so is …e0000015.
    value = Decimal((mantissa + b"e" + sign + power).decode())
    return format(value, "f").encode() if -_MOST_DIGITS < value.adjusted() < _MOST_DIGITS else token
