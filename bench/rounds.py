"""Rounds: each peer in turn at each number of connections, in short slices, again and again, so that the machine's
moods hit all alike: on a shared machine the same work takes twice as long from one second to the next.

Comparisons are made within a round, and the median of the rounds is reported, with the quartiles.
"""

import statistics
import subprocess
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec

from .load import Job, Load
from .peers import Peer, Shot
from .processes import BenchError


class Effort(NamedTuple):
    """How long a run takes: `rounds` times every peer and number of connections, `warm_s` and `run_s` seconds each."""

    rounds: int
    warm_s: float
    run_s: float
    connections: tuple[int, ...] = (1, 16, 64)


FULL = Effort(20, 0.1, 0.3)
QUICK = Effort(4, 0.1, 0.2)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement. CPU in microseconds a call (`children_us` is the part of the peer's child processes), latencies in
    microseconds, throughput in calls a second."""

    peer: str
    connections: int
    round: int
    calls: int
    cpu_us: float
    children_us: float = 0.0
    calls_per_s: float
    p50_us: float
    p99_us: float


class Cell(NamedTuple):
    """What the table says of one peer at one number of connections: medians over the rounds.

    `least_cpu_us` is the best round. `cpu_ratio` is to the reference peer of the same round (lower quartile, median,
    upper quartile), `added_…` to the direct one; None where there is none.
    """

    cpu_us: float
    least_cpu_us: float
    calls_per_s: float
    p50_us: float
    p99_us: float
    cpu_ratio: tuple[float, float, float] | None
    added_p50_us: float | None
    added_p99_us: float | None


def measure(
    loader: "subprocess.Popen[str]",
    entries: Sequence[tuple[Peer, Shot]],
    effort: Effort,
    tell: Callable[[str], None],
) -> list[Sample]:
    """Time every peer in every round. Raises `BenchError` when a peer answers anything but what it answered before."""
    samples: list[Sample] = []
    for number in range(effort.rounds):
        for connections in effort.connections:
            for peer, shot in _turned(entries, number):
                sample = _time(loader, peer, shot, connections, number, effort)
                samples.append(sample)
                tell(
                    f"round {number + 1} of {effort.rounds}  {connections:>3} connections  {peer.name:<20}"
                    f"{sample.cpu_us:8.1f} µs CPU a call {sample.calls_per_s:8.0f} calls/s"
                )
    return samples


def summarize(samples: Iterable[Sample], reference: str, baseline: str) -> dict[tuple[str, int], Cell]:
    """By (peer, connections): the medians over the rounds."""
    by_key: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        by_key.setdefault((sample.peer, sample.connections), []).append(sample)
    return {
        key: _cell(mine, by_key.get((reference, key[1])), by_key.get((baseline, key[1])))
        for key, mine in by_key.items()
    }


def alone(samples: Iterable[Sample], names: Collection[str], suffix: str) -> list[Sample]:
    """The samples of these peers once more, without their children, under a name of their own."""
    return [
        msgspec.structs.replace(sample, peer=sample.peer + suffix, cpu_us=sample.cpu_us - sample.children_us)
        for sample in samples
        if sample.peer in names
    ]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile; of a single value, that value three times."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _turned(entries: Sequence[tuple[Peer, Shot]], number: int) -> list[tuple[Peer, Shot]]:
    """Another one first in each round: whoever comes after a heavy one must not always be the same."""
    first = number % len(entries)
    return [*entries[first:], *entries[:first]]


def _cell(mine: list[Sample], reference: list[Sample] | None, direct: list[Sample] | None) -> Cell:
    def median(of: Callable[[Sample], float]) -> float:
        return statistics.median(map(of, mine))

    def compared(to: list[Sample] | None, how: Callable[[Sample, Sample], float]) -> list[float]:
        return list(map(how, mine, to or []))

    ratio = compared(reference, lambda one, other: one.cpu_us / other.cpu_us)
    added_p50 = compared(direct, lambda one, other: one.p50_us - other.p50_us)
    added_p99 = compared(direct, lambda one, other: one.p99_us - other.p99_us)
    return Cell(
        median(lambda sample: sample.cpu_us),
        min(sample.cpu_us for sample in mine),
        median(lambda sample: sample.calls_per_s),
        median(lambda sample: sample.p50_us),
        median(lambda sample: sample.p99_us),
        quartiles(ratio) if ratio else None,
        statistics.median(added_p50) if added_p50 else None,
        statistics.median(added_p99) if added_p99 else None,
    )


def _time(
    loader: "subprocess.Popen[str]", peer: Peer, shot: Shot, connections: int, number: int, effort: Effort
) -> Sample:
    job = Job(
        port=peer.port, request=shot.request, framing=shot.framing, answer_bytes=shot.answer_bytes,
        connections=connections, warm_s=effort.warm_s, run_s=effort.run_s, pids=peer.pids,
    )  # fmt: skip
    assert loader.stdin is not None
    assert loader.stdout is not None
    loader.stdin.write(msgspec.json.encode(job).decode() + "\n")
    loader.stdin.flush()
    line = loader.stdout.readline()
    if not line:
        raise BenchError("the load generator has ended; its last words are above")
    load = msgspec.json.decode(line, type=Load)
    if load.fault:
        raise BenchError(f"{peer.name} at {connections} connections: {load.fault}")
    return Sample(
        peer=peer.name, connections=connections, round=number, calls=load.calls,
        cpu_us=load.cpu_s / load.calls * 1e6, children_us=load.children_s / load.calls * 1e6,
        calls_per_s=load.calls / load.took_s,
        p50_us=load.p50_s * 1e6, p99_us=load.p99_s * 1e6,
    )  # fmt: skip
