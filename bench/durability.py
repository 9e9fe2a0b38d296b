"""What it costs that every call is on the disk before it is made: `always` against `interval` and against no journal.

The same gateway four times, in the same rounds: the ratios are of one round each, and their median is printed.
"""

import contextlib
import statistics
import sys
from collections.abc import Iterator, Sequence

import msgspec

from .bed import Bed, tell
from .gateway import ALWAYS, COMMAND, INTERVAL, gateway
from .peers import Peer, Shot, preflight
from .report import facts, machine, versions
from .rounds import Sample, measure, quartiles

CONNECTIONS = (1, 64)
AT_LEAST = 0.9  # of the throughput without waiting for the disk, at 64 connections
ROWS = {
    "always": "on the disk before the target is called, and before the answer leaves",
    "interval": "on the disk at most 5 ms later; nobody waits",
    "memory": "lines are made and forgotten: no file, no thread",
    "nothing": "no line is made",
}


def run(bed: Bed) -> None:
    """Start the four, prove them, time them, print the table and the ratios."""
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
    unrecorded = [sys.executable, "-m", "bench.unrecorded"]
    commands = {"memory": [*unrecorded, "memory"], "nothing": [*unrecorded, "nothing"]}
    with contextlib.ExitStack() as stack:
        peers = []
        for name, does in ROWS.items():
            mode, command = ALWAYS if name == "always" else INTERVAL, commands.get(name, [str(COMMAND)])
            made = gateway(bed.work, bed.upstream_port, bed.folder / name, mode, command=command)
            peers.append(stack.enter_context(made).peer(name, does))
        yield peers


def _table(samples: Sequence[Sample], connections: int) -> str:
    by_name = {name: [sample for sample in samples if sample.peer == name] for name in ROWS}
    always = by_name["always"]
    lines = [f"{connections} connections  CPU µs/call  calls/s   p50 µs   p99 µs  always: throughput, p99"]
    for name, does in ROWS.items():
        mine = by_name[name]
        cpu, rate, p50, p99 = (
            statistics.median(getattr(sample, what) for sample in mine)
            for what in ("cpu_us", "calls_per_s", "p50_us", "p99_us")
        )
        line = f"  {name:12} {cpu:12.1f} {rate:8.0f} {p50:8.0f} {p99:8.0f}"
        if name != "always":
            low, middle, high = quartiles(
                [one.calls_per_s / two.calls_per_s for one, two in zip(always, mine, strict=True)]
            )
            added = statistics.median(one.p99_us - two.p99_us for one, two in zip(always, mine, strict=True))
            line += f"  {middle:.2f} ({low:.2f} to {high:.2f}), {added:+.0f} µs"
        lines.append(f"{line}  {does}")
    if connections == max(CONNECTIONS):
        lines.append(f"  wanted: at least {AT_LEAST} of the throughput of `interval`")
    return "\n".join(lines)
