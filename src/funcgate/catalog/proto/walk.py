"""What one reading of one message may cost, and why it may fail. Counted while it is read, so that the failure comes first."""

from msgspec import Struct


class Unreadable(Exception):
    """The message cannot be judged. The text names fields and types of the description, never a value."""


class TooMuch(Unreadable):
    """The message is deeper or has more values than it may."""


class MessageLimits(Struct, frozen=True, kw_only=True):
    """`depth` counts messages within messages, those in Struct too, an Any as eight; `values` what a message has to be read
    into: fields, elements, entries, and those that are not sent because they have their default."""

    depth: int = 64
    values: int = 200_000


def limits_of(depth: int | None, values: int | None) -> MessageLimits:
    """Those that are said, the others as they are by default."""
    usual = MessageLimits()
    return MessageLimits(
        depth=usual.depth if depth is None else depth, values=usual.values if values is None else values
    )


# Attack: Any in Any: each begins a depth of its own for the parser, and is parsed and written once more with all that is in it.
ANY_LEVELS = 8


class Walk:
    """One reading. `redacted` counts what the description hides."""

    __slots__ = ("depth", "left", "redacted")

    def __init__(self, limits: MessageLimits) -> None:
        self.left = limits.values
        self.depth = limits.depth
        self.redacted = 0

    def take(self, count: int) -> None:
        # Attack: two bytes for each empty message, a kilobyte of memory for each that is read.
        self.left -= count
        if self.left < 0:
            raise TooMuch("the message has too many values")

    def down(self, levels: int = 1) -> None:
        self.depth -= levels
        if self.depth < 0:
            raise TooMuch("the message is nested too deeply")
