"""The doors: `python -m bench [VERB]`, with the verbs below. Writes only into its own folder."""

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from . import compare, durability, growth, held, keeping, leaving, parts, postgres, rpc, search, steps, verify, whole
from .bed import Options, lay
from .processes import BenchError
from .rounds import FULL, QUICK

VERBS = {
    "compare": (compare.run,),
    "growth": (growth.run,),
    "grpc": (rpc.run,),
    "held": (held.run,),
    "durability": (durability.run,),
    "profile": (steps.run,),
    "parts": (parts.run,),
    "postgres": (postgres.run,),
    "search": (search.run,),
    "verify": (verify.run,),
    "leaving": (leaving.run,),
    "keeper": (keeping.run,),
    "whole": (whole.run,),
    "everyday": (whole.everyday,),
    "all": (compare.run, growth.run),
}


def main() -> int:
    """Carry out the verb. Exit status: 0 done, 1 a peer failed or is not what it claims, 2 not possible here."""
    asked = _arguments()
    if sys.platform != "linux":
        print("bench reads /proc, so it runs on Linux only", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every `finally` runs and no child stays behind
    effort = QUICK if asked.quick else FULL
    if asked.connections:
        effort = effort._replace(connections=tuple(asked.connections))
    options = Options(
        effort, tuple(asked.only), asked.samples, asked.perf, bool(asked.connections), tuple(asked.workers)
    )
    try:
        with _folder(asked.data) as folder, lay(folder, options) as bed:
            try:
                for part in VERBS[asked.verb]:
                    part(bed)
            finally:  # what was measured before something failed is measured
                if asked.json:
                    asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(bed.results), indent=1) + b"\n")
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What a call costs, side by side.")
    add = parser.add_argument
    add("verb", nargs="?", choices=sorted(VERBS), default="all")
    add("--quick", action="store_true", help="one round, one second each: a look, not a result")
    add("--json", type=Path, metavar="FILE", help="write every sample and the medians to FILE")
    add("--only", choices=["nginx", "envoy", "aiohttp", "funcgate"], action="append", default=[], help="(repeatable)")
    add("--connections", type=int, action="append", metavar="N", help="instead of 1, 16 and 64 (repeatable)")
    many = "compare, postgres: also a gateway with N processes that carry calls (repeatable)"
    add("--workers", type=int, action="append", default=[], metavar="N", help=many)
    add("--samples", action="store_true", help="profile: the share of each Python function too")
    add("--perf", action="store_true", help="profile: sample with `perf` too, if the machine has it")
    data = "where the journals go, in a folder that is removed at the end; choose a real disk, not a tmpfs"
    add("--data", type=Path, default=Path("build"), metavar="DIR", help=data)
    return parser.parse_args()


@contextlib.contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent.absolute()) as name:
        yield Path(name)


if __name__ == "__main__":
    sys.exit(main())
