"""When each step of a call was over, by a clock that only goes forward. It knows nothing of the call."""

from time import perf_counter_ns
from typing import TYPE_CHECKING

from .meter import STEPS
from .native import half

_native = half("funcgate.core._native")


class Marks(list[int]):
    """For each of `STEPS` the clock (nanoseconds) at its end, 0 for one that was not taken; `since` is when the call began."""

    __slots__ = ("since",)

    def __init__(self) -> None:
        super().__init__([0] * len(STEPS))
        self.since = perf_counter_ns()

    def over(self, step: int) -> None:
        """The step, by its place in `STEPS`, ends now."""
        self[step] = perf_counter_ns()


if not TYPE_CHECKING and _native is not None:
    _Marks, Marks = Marks, _native.Marks
