"""What every part of the harness stands on: one upstream, one load generator, one set of tokens, one folder."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any, NamedTuple

from .processes import BenchError, talker
from .rounds import Effort
from .workload import Workload, make_workload


class Options(NamedTuple):
    """What the command line asked for. `only` empty means every peer; `asked` that it names the numbers of connections;
    `workers` how many processes more gateways have that carry calls."""

    effort: Effort
    only: tuple[str, ...] = ()
    samples: bool = False
    perf: bool = False
    asked: bool = False
    workers: tuple[int, ...] = ()


class Bed(NamedTuple):
    """The running upstream and load generator, and what they work with."""

    work: Workload
    upstream_port: int
    upstream_pid: int
    loader: Popen[str]
    folder: Path
    options: Options
    results: dict[str, Any]


@contextlib.contextmanager
def lay(folder: Path, options: Options) -> Iterator[Bed]:
    """Start the upstream and the load generator; both end with the block."""
    with talker("bench.upstream") as upstream, talker("bench.load") as loader:
        assert upstream.stdout is not None
        port = upstream.stdout.readline()
        if not port:
            raise BenchError("the upstream did not start; its last words are above")
        yield Bed(make_workload(), int(port), upstream.pid, loader, folder, options, {})


def tell(line: str) -> None:
    """Progress, on stderr: the tables alone are on stdout."""
    print(line, file=sys.stderr, flush=True)
