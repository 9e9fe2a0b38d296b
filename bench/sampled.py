"""Runs a funcgate command and, from SIGUSR1 on, looks now and then which Python function its main thread is in.

Run as `python -m bench.sampled OUT serve --config FILE`; at the end OUT holds the shares by function in JSON. Looks come
with CPU time, at the kernel's tick; C code and system calls count for their caller. Read shares, not times.
"""

import atexit
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

PERIOD_S = 0.001
MOST = 60


class Sampler:
    """Counts stacks: `own` by the function at the top, `within` by each function in it."""

    def __init__(self) -> None:
        self.stacks = 0
        self.own: Counter[CodeType] = Counter()
        self.within: Counter[CodeType] = Counter()

    def begin(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, PERIOD_S, PERIOD_S)

    def take(self, _signal: int, frame: FrameType | None) -> None:
        """Look once. The interpreter calls this between two bytecodes of the main thread."""
        if frame is None:
            return
        self.stacks += 1
        self.own[frame.f_code] += 1
        codes: set[CodeType] = set()
        while frame is not None:
            codes.add(frame.f_code)
            frame = frame.f_back
        self.within.update(codes)

    def write(self, out: Path) -> None:
        """The shares, the greatest first."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        shares = {
            what: [(_name(code), count / max(self.stacks, 1)) for code, count in counts.most_common(MOST)]
            for what, counts in (("own", self.own), ("within", self.within))
        }
        out.write_text(json.dumps({"looks": self.stacks, **shares}))


def _name(code: CodeType) -> str:
    where = code.co_filename.rpartition("/src/")[2].rpartition("site-packages/")[2].rpartition("/lib/")[2]
    return f"{where}:{code.co_firstlineno} {code.co_qualname}"


def main() -> None:
    from funcgate.cli import main as funcgate  # late: what it imports is not the gateway's work

    out, sys.argv = Path(sys.argv[1]), ["funcgate", *sys.argv[2:]]
    sampler = Sampler()
    signal.signal(signal.SIGPROF, sampler.take)
    signal.signal(signal.SIGUSR1, sampler.begin)
    atexit.register(sampler.write, out)
    funcgate()


if __name__ == "__main__":
    main()
