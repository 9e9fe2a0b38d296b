"""Gateways of tests with several workers: which processes carry calls, and which of them a connection went to.

``FUNCGATE_TEST_WORKERS=N`` in the environment gives each gateway that a test starts N workers, unless the test says how many
it wants. What one process is asked to hold, each worker holds then: limits that are divided are multiplied before.
"""

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

WORKERS = int(os.environ.get("FUNCGATE_TEST_WORKERS", "1"))
_CARRIES = b"funcgate.cli.carry"
_ESTABLISHED = "01"


def one_process(why: str) -> pytest.MarkDecorator:
    """A test of what is so with one process only; `why` says what that is."""
    return pytest.mark.skipif(WORKERS > 1, reason=f"one process carries calls: {why}")


def with_workers(configuration: dict[str, Any]) -> dict[str, Any]:
    """The configuration, for as many workers as the environment says."""
    listen = configuration.get("listen", {})
    elsewhere = any("where" in rule for rule in configuration.get("retention", ()))
    if WORKERS == 1 or "workers" in listen or elsewhere:
        return configuration
    found = copy.deepcopy(configuration)
    found["listen"] = {**listen, "workers": WORKERS}
    limits = found["listen"].get("limits", {})
    _multiply(limits, "connections")
    _multiply(limits.get("http2", {}), "all_streams")
    _multiply(found.get("journal", {}), "queue")
    for target in found.get("targets", ()):
        _multiply(target.get("limits", {}), "max_connections")
    return found


def _multiply(limits: dict[str, Any], name: str) -> None:
    if name in limits:
        limits[name] *= WORKERS


def workers_of(gateway: int) -> list[int]:
    """The processes that carry calls, of the gateway with this process id."""
    return children_of(gateway, _CARRIES)


def children_of(process: int, command: bytes) -> list[int]:
    """Its child processes whose command line holds this."""
    return [child for child in _children(process) if command in _command(child)]


def worker_of(gateway: int, own_port: int) -> int:
    """The worker that has the connection of ours which began at this port of 127.0.0.1; 0 if none has it."""
    sockets = _sockets(own_port)
    for worker in workers_of(gateway):
        for link in Path(f"/proc/{worker}/fd").iterdir():
            try:
                if link.readlink().name in sockets:
                    return worker
            except FileNotFoundError:
                continue
    return 0


def cpu_s(process: int) -> float:
    """The seconds of CPU that a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _sockets(port: int) -> set[str]:
    """The gateway's ends of the connections from this port, as the system names them: ``socket:[INODE]``."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    far = f":{port:04X}"
    return {f"socket:[{row[9]}]" for row in rows if row[2].endswith(far) and row[3] == _ESTABLISHED}


def _children(process: int) -> Iterator[int]:
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            yield from map(int, re.findall(r"\d+", (task / "children").read_text()))
        except FileNotFoundError:
            continue


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""
