"""Counts and durations of the data path, kept as plain numbers: an observation costs a fraction of a microsecond.

It knows no metrics library; the console renders it for Prometheus.
"""

from bisect import bisect_left

STEPS = ("identify", "resolve", "decide", "record", "lease", "send", "mask", "deliver")
BOUNDS_S = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)


class Durations:
    """A histogram: `counts[i]` observations at most `BOUNDS_S[i]` seconds long, the last one beyond all bounds."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds


class Meter:
    """What the gateway has done since it started.

    `calls` counts by (target, decision, code): decision is ``allow``, ``deny``, ``ask`` or ``none`` (refused before it was
    judged), code is "" for a call that was carried out. `steps` holds one `Durations` for each step of the way through.
    """

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str, str], int] = {}
        self.steps: dict[str, Durations] = {step: Durations() for step in STEPS}
        self.masked: dict[str, int] = {}
        self.open_calls = 0
        self.open_connections = 0

    def count(self, target: str, decision: str, code: str) -> None:
        key = (target, decision, code)
        self.calls[key] = self.calls.get(key, 0) + 1
