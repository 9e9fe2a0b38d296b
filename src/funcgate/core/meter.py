"""Counts and durations of the data path, kept as plain numbers: an observation costs a fraction of a microsecond.

It knows no metrics library; the console renders it for Prometheus.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from .native import half

STEPS = ("identify", "resolve", "decide", "hold", "record", "lease", "send", "mask", "deliver")
BOUNDS_S = tuple((1 << power) / 1e6 for power in range(26))  # 1 µs to 33 s, each twice the one before

_TOTAL = 64
_native = half("funcgate.core._native")


class Durations:
    """A histogram: `counts[i]` durations below ``2**i`` microseconds (`BOUNDS_S`) and not below the bound before; the last
    of them is the sum of all, in microseconds."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = array("Q", [0] * (_TOTAL + 1))

    @property
    def total_us(self) -> int:
        return self.counts[_TOTAL]

    def within(self) -> list[int]:
        """How many there were up to each of `BOUNDS_S`, and last how many in all."""
        sums, running = [], 0
        for count in self.counts[: len(BOUNDS_S)]:
            running += count
            sums.append(running)
        return [*sums, sum(self.counts[:_TOTAL])]


class Taken(Protocol):
    """`marks.Marks`: the clock (nanoseconds) at the end of each of `STEPS`, 0 for one that was not taken."""

    @property
    def since(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...


class Tally(Protocol):
    """What takes all of a call that is over. `open_calls` are under way."""

    open_calls: int

    def over(self, target: str, decision: str, code: str, marks: Taken, masked: Mapping[str, int]) -> Mapping[str, int]:
        """One more of its kind, what was masked in it, and the times of its steps (microseconds), which it returns; compiled,
        it returns the marks, which hold them."""
        ...

    def settle(self) -> None:
        """Put into `Meter.calls` what is not there yet."""
        ...


class Counted(Protocol):
    """A meter as it is read: `Meter`, or the sum of several."""

    @property
    def calls(self) -> Mapping[tuple[str, str, str], int]: ...
    @property
    def steps(self) -> Mapping[str, Durations]: ...
    @property
    def masked(self) -> Mapping[str, int]: ...
    @property
    def open_calls(self) -> int: ...
    @property
    def open_connections(self) -> int: ...


class Meter:
    """What the gateway has done since it started.

    `calls` counts by (target, decision, code): decision is ``allow``, ``deny``, ``ask`` or ``none`` (refused before it was
    judged), code is "" for a call that was carried out. `steps` holds one `Durations` for each step of the way through.
    """

    __slots__ = ("_calls", "_counts", "masked", "open_connections", "steps", "tally")

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str, str], int] = {}
        self.steps: dict[str, Durations] = {step: Durations() for step in STEPS}
        self._counts = tuple(self.steps[step].counts for step in STEPS)
        self.masked: dict[str, int] = {}
        self.tally: Tally = _Plain(self) if _native is None else _native.Tally(self._calls, self.masked, self._counts)
        self.open_connections = 0

    @property
    def calls(self) -> dict[tuple[str, str, str], int]:
        self.tally.settle()
        return self._calls

    @property
    def open_calls(self) -> int:
        return self.tally.open_calls

    @open_calls.setter
    def open_calls(self, many: int) -> None:
        self.tally.open_calls = many

    def over(self, target: str, decision: str, code: str, marks: Taken, masked: Mapping[str, int]) -> Mapping[str, int]:
        """See `Tally`."""
        self.count(target, decision, code)
        self.count_masked(masked)
        return self.observe(marks.since, marks)

    def observe(self, since: int, marks: Iterable[int]) -> dict[str, int]:
        """Take the times of a call's steps: `marks` hold the clock (nanoseconds) at the end of each of `STEPS`, 0 for one that
        the call did not take. Returns the microseconds by step."""
        times: dict[str, int] = {}
        for name, counts, mark in zip(STEPS, self._counts, marks, strict=True):
            if not mark:
                continue
            times[name] = took = max(mark - since, 0) // 1000
            since = mark
            counts[took.bit_length()] += 1
            counts[_TOTAL] += took
        return times

    def count(self, target: str, decision: str, code: str) -> None:
        key = (target, decision, code)
        self._calls[key] = self._calls.get(key, 0) + 1

    def count_masked(self, counts: Mapping[str, int]) -> None:
        """What one answer held, by detector."""
        masked = self.masked
        for name, count in counts.items():
            masked[name] = masked.get(name, 0) + count


class _Plain:
    __slots__ = ("_meter", "open_calls")

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.open_calls = 0

    def settle(self) -> None:
        """See `Tally`."""

    def over(self, target: str, decision: str, code: str, marks: Taken, masked: Mapping[str, int]) -> Mapping[str, int]:
        """See `Tally`."""
        return self._meter.over(target, decision, code, marks, masked)
