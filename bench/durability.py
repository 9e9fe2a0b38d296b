"""What it costs that every call is on the disk before it is made: `always` against `interval` and against no journal.

The same gateway in several forms, in the same rounds: the ratios are of one round each, and their median is printed.
"""

import contextlib
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from .bed import Bed, tell
from .gateway import ALWAYS, COMMAND, INTERVAL, gateway
from .peers import Peer, Shot, preflight
from .report import facts, machine, versions
from .rounds import Sample, measure, quartiles

CONNECTIONS = (1, 64)
AT_LEAST = 0.9  # of the throughput of the same gateway when nobody waits for the disk, at 64 connections
UNRECORDED = (sys.executable, "-m", "bench.unrecorded")


class Row(NamedTuple):
    does: str
    journal: Mapping[str, str]
    command: Sequence[str]


ROWS = {
    "always": Row("durable before the call is made, and before its answer leaves", ALWAYS, [str(COMMAND)]),
    "interval": Row("durable at most 5 ms later; nobody waits", INTERVAL, [str(COMMAND)]),
    "always alone": Row("without the keeper beside it: the journal itself", ALWAYS, [*UNRECORDED, "alone"]),
    "interval alone": Row("the same", INTERVAL, [*UNRECORDED, "alone"]),
    "memory": Row("lines are made and forgotten: no file, no thread, no keeper", INTERVAL, [*UNRECORDED, "memory"]),
    "nothing": Row("no line is made", INTERVAL, [*UNRECORDED, "nothing"]),
}
PAIRS = (("always", "interval"), ("always alone", "interval alone"), ("always alone", "memory"), ("always", "nothing"))


def run(bed: Bed) -> None:
    """Start them, prove them, time them, print a table and the ratios for each number of connections."""
    about = machine(bed.folder) | versions()
    if about["disk"] in ("tmpfs", "ramfs"):
        tell("the journals are in memory: what `always` costs here says nothing of a disk; choose one with --data DIR")
    asked = bed.options.effort
    effort = asked._replace(connections=CONNECTIONS if asked.connections == (1, 16, 64) else asked.connections)
    with _peers(bed) as peers:
        entries: list[tuple[Peer, Shot]] = [(peer, preflight(peer, bed.work, bed.upstream_port)) for peer in peers]
        samples = measure(bed.loader, entries, effort, tell)
    bed.results["durability"] = {"machine": about, "samples": msgspec.to_builtins(samples)}
    print(facts(about))
    for connections in effort.connections:
        print(_table([sample for sample in samples if sample.connections == connections], connections), end="\n\n")


@contextlib.contextmanager
def _peers(bed: Bed) -> Iterator[list[Peer]]:
    with contextlib.ExitStack() as stack:
        peers = []
        for name, row in ROWS.items():
            folder = bed.folder / name.replace(" ", "-")
            made = gateway(bed.work, bed.upstream_port, folder, row.journal, command=row.command)
            peers.append(stack.enter_context(made).peer(name, row.does))
        yield peers


def _table(samples: Sequence[Sample], connections: int) -> str:
    of = {name: [sample for sample in samples if sample.peer == name] for name in ROWS}
    lines = [f"{f'{connections} connections':16}  CPU µs/call  calls/s   p50 µs   p99 µs"]
    for name, row in ROWS.items():
        cpu, rate, p50, p99 = (
            statistics.median(getattr(sample, what) for sample in of[name])
            for what in ("cpu_us", "calls_per_s", "p50_us", "p99_us")
        )
        lines.append(f"  {name:14}  {cpu:11.1f} {rate:8.0f} {p50:8.0f} {p99:8.0f}  {row.does}")
    for one, other in PAIRS:
        pairs = list(zip(of[one], of[other], strict=True))
        low, middle, high = quartiles([mine.calls_per_s / its.calls_per_s for mine, its in pairs])
        added = statistics.median(mine.p99_us - its.p99_us for mine, its in pairs)
        wanted = (
            f", wanted {AT_LEAST}" if (one, connections) == ("always", max(CONNECTIONS)) and other == "interval" else ""
        )
        lines.append(
            f"  {one} to {other}: {middle:.2f} of the throughput ({low:.2f} to {high:.2f}{wanted}), p99 {added:+.0f} µs"
        )
    return "\n".join(lines)
