"""The states of a stream (RFC 9113, 5.1), as tables; and what a frame means for a stream that is not there any more."""

from collections.abc import Mapping
from enum import Enum, auto

from .codes import DATA, HEADERS, RST_STREAM, WINDOW_UPDATE
from .compiled import native

OPEN, ENDED_HERE, ENDED_THERE, CLOSED = range(4)  # "half-closed (local)" is ENDED_HERE, "(remote)" ENDED_THERE

AFTER_OUR_END = (ENDED_HERE, ENDED_HERE, CLOSED, CLOSED)
AFTER_THEIR_END = (ENDED_THERE, CLOSED, ENDED_THERE, CLOSED)


class Was(Enum):
    """How a stream came not to be there."""

    IDLE = auto()
    ENDED = auto()  # both sides had ended it
    RESET_HERE = auto()
    RESET_THERE = auto()
    FORGOTTEN = auto()  # long ago, or skipped


class Then(Enum):
    """What a frame on it does."""

    NOTHING = auto()
    PASS_OVER = auto()  # as long as it may have been under way
    REFUSE = auto()  # RST_STREAM(STREAM_CLOSED)
    BREAK_PROTOCOL = auto()
    BREAK_CLOSED = auto()


# RFC 9113, 5.1: frames may still be under way when a stream is reset; not when it ended, nor before it began.
ABSENT: Mapping[tuple[Was, int], Then] = {
    (Was.IDLE, DATA): Then.BREAK_PROTOCOL,
    (Was.IDLE, HEADERS): Then.BREAK_PROTOCOL,
    (Was.IDLE, RST_STREAM): Then.BREAK_PROTOCOL,
    (Was.IDLE, WINDOW_UPDATE): Then.BREAK_PROTOCOL,
    (Was.ENDED, DATA): Then.BREAK_CLOSED,
    (Was.ENDED, HEADERS): Then.BREAK_CLOSED,
    (Was.RESET_HERE, DATA): Then.PASS_OVER,
    (Was.RESET_HERE, HEADERS): Then.PASS_OVER,
    (Was.RESET_THERE, DATA): Then.REFUSE,
    (Was.RESET_THERE, HEADERS): Then.REFUSE,
    (Was.FORGOTTEN, DATA): Then.BREAK_CLOSED,
    (Was.FORGOTTEN, HEADERS): Then.BREAK_PROTOCOL,
}

_GENERATION = 512


class Stream:
    """One stream's state and windows. `left` is what of the declared Content-Length has not come, -1 when none was."""

    __slots__ = ("bad", "head_only", "headed", "id", "left", "owed", "receive_window", "send_window", "state")

    def __init__(self, number: int, send_window: int, receive_window: int) -> None:
        self.id = number
        self.state = OPEN
        self.send_window = send_window
        self.receive_window = receive_window
        self.owed = 0
        self.left = -1
        self.headed = False
        self.head_only = False
        self.bad = 0  # the status of the refusal of a malformed request


class Gone:
    """How streams ended lately: at most two generations of them are remembered."""

    __slots__ = ("_newer", "_older")

    def __init__(self) -> None:
        self._newer: dict[int, Was] = {}
        self._older: dict[int, Was] = {}

    def remember(self, stream: int, how: Was) -> None:
        if len(self._newer) >= _GENERATION:
            self._older, self._newer = self._newer, {}
        self._newer[stream] = how

    def how(self, stream: int) -> Was:
        return self._newer.get(stream) or self._older.get(stream, Was.FORGOTTEN)


if native is not None:
    native.know(Was.ENDED, Was.FORGOTTEN)
    Stream = native.Stream  # type: ignore[misc]
    Gone = native.Gone  # type: ignore[misc]
