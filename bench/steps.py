"""Where the time goes: the gateway's own step times, read from /metrics before and after a run, beside its CPU a call.

At one connection a step that waits for nobody costs what it takes. `record` and `send` wait: for the disk, for the target.
"""

import contextlib
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .bed import Bed, tell
from .gateway import ALWAYS, INTERVAL, Gateway, gateway
from .peers import preflight
from .rounds import Sample, measure
from .workload import CLEAN_PATH, PATH

WAITING = ("record", "send", "deliver")
_LINE = re.compile(r'funcgate_step_seconds_(sum|count)\{step="(\w+)"\} (\S+)')


def run(bed: Bed) -> None:
    """Time both journal modes and the clean answer; print each step's mean, and what CPU is left outside the steps."""
    bed.results["profile"] = {}
    modes = {
        "always": (ALWAYS, PATH),
        "interval": (INTERVAL, PATH),
        "clean": (INTERVAL, CLEAN_PATH),
    }
    for mode, (journal, path) in modes.items():
        with gateway(bed.work, bed.upstream_port, bed.folder / mode, journal) as serving:
            peer = serving.peer(f"funcgate {mode}", "", path)
            shot = preflight(peer, bed.work, bed.upstream_port)
            for connections in bed.options.effort.connections:
                effort = bed.options.effort._replace(rounds=1, connections=(connections,))
                before = _steps(serving)
                with _perf(bed, serving, f"{mode}-{connections}", effort.warm_s + effort.run_s):
                    [sample] = measure(bed.loader, [(peer, shot)], effort, tell)
                means = _means(before, _steps(serving))
                bed.results["profile"][f"{mode}-{connections}"] = {"cpu_us": sample.cpu_us, "steps_us": means}
                print(_table(mode, connections, sample, means), end="\n\n")


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


def _table(mode: str, connections: int, sample: Sample, means: dict[str, float]) -> str:
    lines = [
        f"journal {mode}, {connections} connections: {sample.cpu_us:.1f} µs CPU a call, {sample.p50_us:.0f} µs p50"
    ]
    for step, mean in means.items():
        lines.append(f"  {step:10} {mean:8.1f} µs{'  (waits)' if step in WAITING else ''}")
    inside = sum(mean for step, mean in means.items() if step not in WAITING)
    lines.append(f"  {'all that do not wait':24} {inside:8.1f} µs")
    lines.append(f"  {'the rest of the CPU':24} {sample.cpu_us - inside:8.1f} µs (HTTP, sockets, journal, loop)")
    return "\n".join(lines)


@contextlib.contextmanager
def _perf(bed: Bed, serving: Gateway, name: str, seconds: float) -> Iterator[None]:
    """Sample the gateway with `perf` meanwhile, if asked, and print where the samples fell."""
    command = shutil.which("perf") if bed.options.perf else None
    if command is None:
        if bed.options.perf:
            tell("perf is not on PATH: no samples")
        yield
        return
    data = bed.folder / f"{name}.perf"
    record = [command, "record", "-q", "-e", "cpu-clock", "-F", "1999", "-g", "-p", str(serving.pid), "-o", str(data)]
    with subprocess.Popen([*record, "--", "sleep", f"{seconds:.1f}"], stderr=subprocess.DEVNULL) as recording:
        yield
        recording.wait(30)
    print(_reported(command, data, "dso"), _reported(command, data, "dso,symbol"), sep="\n")


def _reported(command: str, data: Path, sort: str) -> str:
    report = [command, "report", "-i", str(data), "--stdio", "--no-children", "-g", "none", "--percent-limit", "0.7"]
    said: Any = subprocess.run([*report, "--sort", sort], capture_output=True, text=True, check=False)
    return "\n".join(line for line in said.stdout.splitlines() if line.strip() and not line.startswith("#"))
