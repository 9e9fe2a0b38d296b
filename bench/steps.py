"""Where the time goes: the gateway's own step times from /metrics, and, if asked, samples of its functions or by `perf`.

At one connection a step that waits for nobody costs what it takes. `record` and `send` wait: for the disk, for the target.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .bed import Bed, tell
from .gateway import ALWAYS, COMMAND, INTERVAL, Gateway, gateway
from .peers import Peer, Shot, preflight
from .rounds import Effort, Sample, measure
from .workload import CLEAN_PATH, PATH

MODES = {"always": (ALWAYS, PATH), "interval": (INTERVAL, PATH), "clean": (INTERVAL, CLEAN_PATH)}
WAITING = ("record", "send", "deliver")
LINES = 30
_LINE = re.compile(r'funcgate_step_seconds_(sum|count)\{step="(\w+)"\} (\S+)')


def run(bed: Bed) -> None:
    """Each journal mode and the clean answer, at each number of connections: a table of steps, and samples if asked."""
    asked = bed.options.effort
    effort = Effort(1, 0.3, asked.run_s * 10, asked.connections)
    bed.results["profile"] = {}
    for mode, (journal, path) in MODES.items():
        for connections in effort.connections:
            name = f"{mode}-{connections}"
            out = bed.folder / f"{name}.json"
            command = [sys.executable, "-m", "bench.sampled", str(out)] if bed.options.samples else [str(COMMAND)]
            with gateway(bed.work, bed.upstream_port, bed.folder / name, journal, command=command) as serving:
                peer = serving.peer(f"funcgate {mode}", "", path)
                shot = preflight(peer, bed.work, bed.upstream_port)
                result = _look(bed, serving, (peer, shot), effort._replace(connections=(connections,)))
            bed.results["profile"][name] = result
            if bed.options.samples:
                samples = json.loads(out.read_text())
                result["samples"] = samples
                print(_shares(samples), end="\n\n")


def _look(bed: Bed, serving: Gateway, entry: tuple[Peer, Shot], effort: Effort) -> dict[str, Any]:
    before = _steps(serving)
    if bed.options.samples:
        os.kill(serving.pid, signal.SIGUSR1)
    with _perf(bed, serving, effort.warm_s + effort.run_s):
        [sample] = measure(bed.loader, [entry], effort, tell)
    means = _means(before, _steps(serving))
    print(_table(sample, means), end="\n\n")
    return {"cpu_us": sample.cpu_us - sample.children_us, "p50_us": sample.p50_us, "steps_us": means}


def _steps(serving: Gateway) -> dict[str, tuple[float, float]]:
    """Seconds and number of each step so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{serving.console}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for what, step, value in _LINE.findall(text):
        found.setdefault(step, {})[what] = float(value)
    return {step: (values["sum"], values["count"]) for step, values in found.items()}


def _means(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> dict[str, float]:
    """Microseconds a call of each step between two looks."""
    means = {}
    for step, (seconds, count) in after.items():
        seconds_before, count_before = before.get(step, (0.0, 0.0))
        if count > count_before:
            means[step] = (seconds - seconds_before) / (count - count_before) * 1e6
    return means


def _table(sample: Sample, means: dict[str, float]) -> str:
    cpu_us = sample.cpu_us - sample.children_us  # the keeper is not on a call's way through
    lines = [
        f"{sample.peer}, connections: {sample.connections}. {cpu_us:.1f} µs CPU a call, p50 {sample.p50_us:.0f} µs"
    ]
    for step, mean in means.items():
        lines.append(f"  {step:10} {mean:8.1f} µs{'  (waits)' if step in WAITING else ''}")
    inside = sum(mean for step, mean in means.items() if step not in WAITING)
    lines.append(f"  {'all steps that do not wait':28} {inside:8.1f} µs")
    lines.append(f"  {'the rest of the CPU':28} {cpu_us - inside:8.1f} µs (HTTP, sockets, journal, loop)")
    return "\n".join(lines)


def _shares(samples: dict[str, Any]) -> str:
    lines = [f"{samples['looks']} looks at the main thread"]
    for what, title in (("own", "in the function itself"), ("within", "in it and all that it calls")):
        lines.append(f"  {title}")
        lines += [f"  {share:6.1%} {name}" for name, share in samples[what][:LINES] if share < 0.995]
    return "\n".join(lines)


@contextlib.contextmanager
def _perf(bed: Bed, serving: Gateway, seconds: float) -> Iterator[None]:
    """Sample the gateway with `perf` meanwhile, if asked, and print where the samples fell."""
    command = shutil.which("perf") if bed.options.perf else None
    if command is None:
        if bed.options.perf:
            tell("perf is not on PATH: no samples by it")
        yield
        return
    data = bed.folder / "perf.data"
    record = [command, "record", "-q", "-e", "cpu-clock", "-F", "1999", "-p", str(serving.pid), "-o", str(data)]
    with subprocess.Popen([*record, "--", "sleep", f"{seconds:.1f}"], stderr=subprocess.DEVNULL) as recording:
        yield
        recording.wait(30)
    print(_reported(command, data, "dso"), _reported(command, data, "dso,symbol"), sep="\n")


def _reported(command: str, data: Path, sort: str) -> str:
    report = [command, "report", "-i", str(data), "--stdio", "--percent-limit", "0.7", "--sort", sort]
    said = subprocess.run(report, capture_output=True, text=True, check=False)
    lines = [line.rstrip(" -") for line in said.stdout.splitlines() if line.strip() and not line.startswith("#")]
    return "\n".join(lines[:LINES])
