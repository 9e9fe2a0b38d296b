"""What a destination is, and what can go wrong with one."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from funcgate.core.entry import Entry
from funcgate.recording.calls import CallRecord

MAX_EVENT_BYTES = 256 << 10


class Message(NamedTuple):
    """One event, in the destination's words. `id` is the same whenever the event is sent again."""

    id: str
    what: CallRecord | Entry
    data: bytes


class Unreachable(Exception):
    """It cannot be sent now: the same messages again, after a pause of at least so many seconds. Its text holds no secret."""

    def __init__(self, text: str, pause_s: float = 0.0) -> None:
        super().__init__(text)
        self.pause_s = pause_s


class Unwanted(Exception):
    """It was refused for what it holds: the same messages again would be refused again. Its text holds no secret."""


class Partly(Exception):
    """All of it was taken but `count` messages, and nobody says which; they must not be sent again."""

    def __init__(self, text: str, count: int) -> None:
        super().__init__(text)
        self.count = count


class Destination(Protocol):
    """One place to send to; used by one thread.

    `max_events` and `max_bytes` bound what `send` is given at a time. `unconfirmed` is how many of the last messages that
    were sent may still be lost on the way: they are not done yet.
    """

    max_events: int
    max_bytes: int
    unconfirmed: int

    def data(self, what: CallRecord | Entry) -> bytes: ...

    def send(self, messages: Sequence[Message]) -> None:
        """Raises `Unreachable`, `Unwanted`, `Partly`."""
        ...

    def tick(self) -> None:
        """Called about once a second. Raises `Unreachable` when what is not confirmed has to be sent again."""
        ...

    def confirm(self, timeout_s: float) -> None:
        """Nothing is unconfirmed afterwards. Raises `Unreachable` likewise."""
        ...

    def close(self) -> None: ...


def pause_of(value: Any, longest_s: float = 300.0) -> float:
    """Seconds of a ``Retry-After`` (RFC 9110, 10.2.3), 0 for a date or nonsense. An hour's worth is not waited for."""
    text = str(value or "").strip()
    return min(float(text), longest_s) if text.isascii() and text.isdecimal() and len(text) < 10 else 0.0
