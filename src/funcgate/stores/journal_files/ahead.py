"""Zeros written ahead while batches go on: by a thread of C of their own, so that no batch and no caller waits for them.

The event loop's side. Only an economy: it starts where space is plenty, and what fails is left for the writer's thread to meet.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from .segment import AHEAD_BYTES, Segment

PIECE_BYTES = 256 << 10  # the file is locked while a piece is copied: some 50 µs
_PIECE = bytearray(PIECE_BYTES)


class Ahead:
    """At most one piece at a time. While it is `busy` the segment's end is its own: nobody may cut, seal or close the segment.

    `pen` is a `_native.Pen`. `done` is called on the loop after each piece. A piece that failed is not tried again.
    """

    def __init__(self, pen: Any, loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
        self._pen = pen
        self._loop = loop
        self._done = done
        self._segment: Segment | None = None
        self._failed: tuple[Segment, int] | None = None
        loop.add_reader(pen.report, self._come_back)

    @property
    def busy(self) -> bool:
        return self._segment is not None

    def keep_up(self, segment: Segment, room: int) -> None:
        """Begin a piece if one is due and there is `room`."""
        if self._segment is not None or segment.ahead_bytes >= AHEAD_BYTES or room < 2 * AHEAD_BYTES:
            return
        if segment.second >= 0 and self._failed != (segment, segment.end):
            self._segment = segment
            self._pen.write(_PIECE, segment.second, segment.end, False)

    def _come_back(self) -> None:
        told, segment = self._pen.take(), self._segment
        if told is None or segment is None:
            return
        self._segment = None
        if told:
            segment.end += PIECE_BYTES
        else:
            self._failed = segment, segment.end
        self._done()

    def leave(self) -> None:
        """Hear of nothing any more."""
        self._loop.remove_reader(self._pen.report)

    def end(self) -> None:
        """End the thread, after its piece. Not on the loop."""
        self._pen.end()
