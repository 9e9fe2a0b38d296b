"""Tables and the machine line. It prints what was measured and rounds nothing in anybody's favour."""

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from funcgate.core.native import build

from .rounds import Cell

_PACKAGES = (
    "funcgate",
    "uvloop",
    "httptools",
    "msgspec",
    "google-re2",
    "jsonschema-rs",
    "aiohttp",
)
_SYNCS = 200


def machine(folder: Path) -> dict[str, Any]:
    """What this ran on: processor, cores, kernel, Python, and how long this disk takes to make 1 kB durable."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "funcgate build": build(),
        "disk": _filesystem(folder),
        "sync_us": round(_sync_us(folder)),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """The packages that do the work."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def absolute(cells: Mapping[tuple[str, int], Cell], peers: Sequence[tuple[str, str]], counts: Sequence[int]) -> str:
    """The table of absolute values, a line for each peer and number of connections."""
    width = max(len(name) for name, _ in peers)
    head = f"{'':{width}} conns  CPU µs/call  least  calls/s   p50 µs   p99 µs  added p50  added p99"
    lines = [head, "-" * len(head)]
    for name, does in peers:
        lines.append(f"{name}: {does}")
        for count in counts:
            cell = cells[name, count]
            lines.append(
                f"{'':{width}} {count:5} {cell.cpu_us:12.1f} {cell.least_cpu_us:6.1f} {cell.calls_per_s:8.0f} {cell.p50_us:8.0f} "
                f"{cell.p99_us:8.0f} {_number(cell.added_p50_us, '10.0f')} {_number(cell.added_p99_us, '10.0f')}"
            )
    return "\n".join(lines)


def ratios(
    cells: Mapping[tuple[str, int], Cell], names: Sequence[str], counts: Sequence[int], targets: Mapping[str, float]
) -> str:
    """CPU a call as a multiple of the reference peer's: median (quartiles), and the target where there is one."""
    width = max(map(len, names))
    head = f"{'':{width}}" + "".join(f"{f'{count} conns':>20}" for count in counts) + ("  target" if targets else "")
    lines = [head, "-" * len(head)]
    for name in names:
        values = "".join(f"{_ratio(cells[name, count]):>20}" for count in counts)
        lines.append(f"{name:{width}}{values}{f'{targets[name]:8.1f}' if name in targets else ''}")
    return "\n".join(lines)


def facts(values: Mapping[str, Any]) -> str:
    """One line of `name value` pairs."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _ratio(cell: Cell) -> str:
    if cell.cpu_ratio is None:
        return ""
    low, middle, high = cell.cpu_ratio
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def _number(value: float | None, form: str) -> str:
    return " " * int(form.partition(".")[0]) if value is None else format(value, form)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _filesystem(folder: Path) -> str:
    """The kind of file system that the folder is on: the longest mount point that holds it."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    holding = [(len(point), kind) for point, kind in mounts if folder.is_relative_to(point)]
    return max(holding)[1]


def _sync_us(folder: Path) -> float:
    took: list[float] = []
    probe = folder / "sync-probe"
    with probe.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            since = time.perf_counter()
            file.write(b"x" * 1024)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - since)
    probe.unlink()
    return statistics.median(took) * 1e6
