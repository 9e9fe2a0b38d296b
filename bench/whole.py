"""A whole call over HTTP/1.1 in one process, without sockets, keeper or load generator: CPU time, and instructions where
there is valgrind. Instructions do not depend on what else the machine does: they tell a step of half a percent.

`python -m bench.whole FOLDER CALLS [FORM]` is the process that is counted; `everyday` is the table of all forms.
"""

import asyncio
import gc
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop

from funcgate.app.building import build, read_parts
from funcgate.app.listening import listener_limits
from funcgate.core.meter import Meter
from funcgate.core.ports import Desk
from funcgate.gateway import Gateway
from funcgate.protocols.http.caller import CallerConnection
from funcgate.protocols.http.listener import HttpListener
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http.target import HttpPools
from funcgate.recording.unknowns import Unknowns
from funcgate.stores.journal_files import FileJournal

from .bed import Bed, tell
from .forms import FORMS, Form, Pieces
from .gateway import INTERVAL, PLAIN, write_config
from .processes import BenchError
from .workload import PATH, TARGET, TARGET_KEY, make_body, make_request, make_workload, sensitive_answer

AT_ONCE, WARM, BATCH, BATCHES = 16, 400, 500, 30
FEW, MANY = 400, 1400  # calls of the two runs whose difference is divided
LESS, MORE = 100, 500  # the same for each of many forms
_REFS = re.compile(r"I\s+refs:\s+([\d,]+)")


def run(bed: Bed) -> None:
    """Print what a call takes."""
    least = _child(bed.folder / "whole", 0, "whole")
    bed.results["whole_us"] = float(least)
    print(f"{'a whole call, no sockets: CPU, least':48} {float(least):7.2f} µs")
    if shutil.which("valgrind") is None:
        tell("valgrind is not on PATH: no instructions")
        return
    few, many = (_counted(bed.folder / f"whole-{calls}", calls) for calls in (FEW, MANY))
    bed.results["whole_instructions"] = round((many - few) / (MANY - FEW))
    print(f"{'instructions in user space':48} {bed.results['whole_instructions']:7,}")


def everyday(bed: Bed) -> None:
    """Print what a call takes in each of the forms in which clients and servers write it."""
    if shutil.which("valgrind") is None:
        raise BenchError("valgrind is not on PATH: times would not tell these forms apart")
    results = bed.results["everyday"] = {}
    first = 0
    for name, form in FORMS.items():
        few, many = (_counted(bed.folder / f"{name}-{calls}", calls, name) for calls in (LESS, MORE))
        results[name] = each = round((many - few) / (MORE - LESS))
        first = first or each
        print(f"{form.shown:75} {each:7,}  {each / first:.2f}", flush=True)


def _child(folder: Path, calls: int, form: str, *prefix: str) -> str:
    command = [*prefix, sys.executable, "-m", "bench.whole", str(folder), str(calls), form]
    environ = os.environ | {"PYTHONHASHSEED": "0", "BENCH_TARGET_KEY": TARGET_KEY}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        raise BenchError(f"a call in one process failed:\n{done.stderr[-2000:]}")
    return done.stderr if prefix else done.stdout


def _counted(folder: Path, calls: int, form: str = "whole") -> int:
    said = _child(
        folder, calls, form, "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"
    )
    found = _REFS.search(said)
    if found is None:
        raise BenchError(f"valgrind said nothing of instructions:\n{said[-2000:]}")
    return int(found[1].replace(",", ""))


class _Wire:
    """A transport that hands what is written to a function, one turn of the loop later."""

    def __init__(self, end: asyncio.Protocol, out: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.end, self._out, self._closed = end, out, closed
        self._gone = False

    def write(self, data: bytes) -> None:
        self._loop.call_soon(self._out, data)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("127.0.0.1", 5) if name == "peername" else default

    def is_closing(self) -> bool:
        return self._gone

    def close(self) -> None:
        if not self._gone:
            self._gone = True
            self._loop.call_soon(self._lost)

    abort = close

    def _lost(self) -> None:
        self.end.connection_lost(None)
        self._closed()
        self.__dict__.clear()  # it and those who use it no longer keep each other

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args, **_options: None  # pausing, limits: nothing here is ever full

    def arrive(self, pieces: Pieces) -> None:
        """The other side's pieces, each in a turn of its own."""
        self.end.data_received(pieces[0])
        if len(pieces) > 1:
            self._loop.call_soon(self.arrive, pieces[1:])


def _wired(end: asyncio.Protocol, out: Callable[[bytes], None], closed: Callable[[], None]) -> _Wire:
    wire = _Wire(end, out, closed)
    end.connection_made(cast(asyncio.Transport, wire))
    return wire


class _Calls:
    """`AT_ONCE` callers, each with its own connection; every answer asks for the next call."""

    def __init__(self, listener: HttpListener, request: Pieces, closes: bool) -> None:
        self._listener, self._request, self._closes = listener, request, closes
        self._left = self._busy = 0
        self._done: asyncio.Future[None] | None = None
        self._wires: list[_Wire] = []
        for place in range(AT_ONCE):
            self._wires.append(self._connect(place))

    def _connect(self, place: int) -> _Wire:
        caller = CallerConnection(self._listener, secure=False)
        return _wired(caller, partial(self._answered, place), partial(self._closed, place))

    def _answered(self, place: int, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200"):
            raise BenchError(f"answered {data[:200]!r}")
        if not self._closes:
            self._again(place)

    def _closed(self, place: int) -> None:
        self._wires[place] = self._connect(place)
        self._again(place)

    def _again(self, place: int) -> None:
        if self._left:
            self._left -= 1
            self._wires[place].arrive(self._request)
            return
        self._busy -= 1
        if not self._busy and self._done is not None:
            self._done.set_result(None)

    async def carry(self, calls: int) -> None:
        self._left, self._busy = calls - AT_ONCE, AT_ONCE
        self._done = asyncio.get_running_loop().create_future()
        for wire in self._wires:
            wire.arrive(self._request)
        await self._done


async def _carry(folder: Path, calls: int, form: Form) -> None:
    work = make_workload()
    parts = read_parts(write_config(folder, work, (0, 0, 9), INTERVAL, PLAIN), serving=True)
    await parts.issuers.start()
    journal, meter, sweeper = FileJournal(folder / "journal", sync="interval"), Meter(), Sweeper()
    await journal.start()
    built = build(parts, HttpPools(sweeper))
    gateway = Gateway(journal, cast(Desk, None), meter, Unknowns(journal), lambda: built.site.snapshot)
    listener = HttpListener(gateway, meter, listener_limits(parts), built.site, sweeper)
    request = make_request(f"/{TARGET}{PATH}", work.good, make_body(), "127.0.0.1:8080")
    head, blank, body = request.partition(b"\r\n\r\n")
    pieces = form.request(head + blank, body)
    callers = _Calls(listener, pieces, form.last)
    await asyncio.sleep(0)
    await callers.carry(WARM)
    gc.collect()
    gc.freeze()
    if calls:
        await callers.carry(calls)
        await journal.close()  # a call is done when its lines are written
        os._exit(0)  # what ending takes is the same in both runs, and not a call's
    took = []
    for _ in range(BATCHES):
        since = time.process_time()
        await callers.carry(BATCH)
        took.append(time.process_time() - since)
    print(min(took) / BATCH * 1e6, flush=True)
    os._exit(0)


class _Loop(uvloop.Loop):
    """Connects to nothing: whoever is asked answers each request as the bench's upstream would."""

    answer: Pieces

    async def create_connection(self, make: Callable[[], asyncio.Protocol], *_: Any, **__: Any) -> Any:  # type: ignore[override]
        wire = _wired(make(), lambda _: wire.arrive(self.answer), lambda: None)
        return wire, wire.end


def _answer(form: Form) -> Pieces:
    body = sensitive_answer().body
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return form.answer(head, body)


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir()
    asked = FORMS[(sys.argv[3:] or ["whole"])[0]]
    _Loop.answer = _answer(asked)
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(_carry(Path(sys.argv[1]), int(sys.argv[2]), asked))
