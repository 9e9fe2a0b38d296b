"""Budgets for frames that cost us more than their sender: what is too much in a stretch of time ends the connection.

It counts; it never waits, and never slows anybody down.
"""

from .codes import Broken, ErrorCode
from .compiled import native
from .limits import Http2Limits

RESETS, SETTINGS, PINGS, EMPTY, PRIORITIES, UPDATES, UNKNOWN = range(7)
_NAMES = ("resets", "SETTINGS", "PINGs", "empty frames", "PRIORITY frames", "WINDOW_UPDATEs", "unknown frames")


class Budgets:
    """The budgets of one connection. `spend` raises `Broken(ENHANCE_YOUR_CALM)` when one is used up."""

    __slots__ = ("_left", "_per_s", "_until", "_whole")

    def __init__(self, limits: Http2Limits) -> None:
        self._whole = (
            limits.resets, limits.settings, limits.pings, limits.empty, limits.priorities, limits.updates, limits.unknown,
        )  # fmt: skip
        self._left = list(self._whole)
        self._per_s = limits.per_s
        self._until = 0.0

    def spend(self, kind: int, now: float) -> None:
        if now >= self._until:
            self._until = now + self._per_s
            self._left = list(self._whole)
        left = self._left
        left[kind] -= 1
        if left[kind] < 0:
            raise Broken(ErrorCode.ENHANCE_YOUR_CALM, f"too many {_NAMES[kind]}")

    def earn(self, kind: int, count: int) -> None:
        """Work that was really done gives credit, within the present stretch: at most one more whole budget at a time."""
        left = self._left
        left[kind] = min(left[kind] + count, 2 * self._whole[kind])


if native is not None:
    native.name(_NAMES)
    Budgets = native.Budgets  # type: ignore[misc]
