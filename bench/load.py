"""The load generator: its own process, closed-loop connections, request bytes built beforehand, every answer checked.

Run as `python -m bench.load`: one `Job` as a JSON line in, one `Load` as a JSON line out, until stdin ends.
It has no think time and no arrival schedule: latency at 16 and 64 connections is mostly the queue before the peer.
"""

import asyncio
import gc
import sys
from array import array
from time import perf_counter
from typing import cast

import msgspec
import uvloop

from .processes import children_cpu_s, cpu_s

GIVE_UP_S = 20.0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send, where, and for how long. `framing` is the header line that gives the right answer's length."""

    port: int
    request: bytes
    framing: bytes
    answer_bytes: int
    connections: int
    warm_s: float
    run_s: float
    pids: list[int]


class Load(msgspec.Struct, kw_only=True):
    """What came back in the measured time. `cpu_s` is that of the job's processes, `children_s` the part of their children."""

    calls: int = 0
    took_s: float = 0.0
    cpu_s: float = 0.0
    children_s: float = 0.0
    p50_s: float = 0.0
    p99_s: float = 0.0
    fault: str = ""


class Run:
    """What the connections of one job share."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.latencies = array("d")
        self.calls = 0
        self.since = 0.0
        self.cold = job.connections
        self.warm = asyncio.Event()
        self.open = 0
        self.transports: list[asyncio.Transport] = []
        self.stopping = False
        self.fault = ""
        self.done = asyncio.get_running_loop().create_future()

    def warmed(self) -> None:
        """One more connection has had its first answer."""
        self.cold -= 1
        if not self.cold:
            self.warm.set()

    def begin(self) -> None:
        """The measured time begins. A call that began before is counted, but its latency is not."""
        self.calls, self.latencies, self.since = 0, array("d"), perf_counter()

    def stop(self, fault: str = "") -> None:
        """Let each connection end after its answer; at once if something is wrong."""
        self.stopping = True
        self.fault = self.fault or fault
        if (fault or not self.open) and not self.done.done():
            self.done.set_result(None)


class Caller(asyncio.Protocol):
    """One closed-loop connection: send, wait for the whole answer, check it, send again."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._request, self._framing = run.job.request, run.job.framing
        self._answer_bytes = run.job.answer_bytes
        self._data = b""
        self._since = 0.0
        self._first = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._run.open += 1
        self._run.transports.append(self._transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        data = self._data = self._data + data if self._data else data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            return
        missing = head + 4 + self._answer_bytes - len(data)
        if not data.startswith(b"HTTP/1.1 200") or self._framing not in data[: head + 2] or missing < 0:
            self._run.stop(f"another answer than expected: {data[: head + 2]!r}")
        elif not missing:
            self._count()
            self._data = b""
            if self._run.stopping:
                self._transport.close()
            else:
                self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        self._run.open -= 1
        if not self._run.stopping:
            self._run.stop("the peer closed a connection")
        elif not self._run.open:
            self._run.stop()

    def _count(self) -> None:
        run, since = self._run, self._since
        run.calls += 1
        if since >= run.since:
            run.latencies.append(perf_counter() - since)
        if self._first:
            self._first = False
            run.warmed()

    def _send(self) -> None:
        self._since = perf_counter()
        self._transport.write(self._request)


async def carry_out(job: Job) -> Load:
    """Open the connections, warm up, measure, and let them end."""
    run = Run(job)
    loop = asyncio.get_running_loop()
    for _ in range(job.connections):
        await loop.create_connection(lambda: Caller(run), "127.0.0.1", job.port)
    await asyncio.wait([run.done], timeout=job.warm_s)
    await _all_warm(run)
    run.begin()
    cpu_before, children_before = cpu_s(job.pids), children_cpu_s(job.pids)
    await asyncio.wait([run.done], timeout=job.run_s)
    took, used, by_children, calls, measured = (
        perf_counter() - run.since,
        cpu_s(job.pids) - cpu_before,
        children_cpu_s(job.pids) - children_before,
        run.calls,
        sorted(run.latencies),
    )
    if not run.fault:
        run.stop()
        await asyncio.wait([run.done], timeout=GIVE_UP_S)
    if run.fault or not measured or run.open:
        for transport in run.transports:
            transport.abort()
        return Load(fault=run.fault or "no answers")
    p50, p99 = measured[len(measured) // 2], measured[int(len(measured) * 0.99)]
    return Load(calls=calls, took_s=took, cpu_s=used, children_s=by_children, p50_s=p50, p99_s=p99)


async def _all_warm(run: Run) -> None:
    """Until every connection has had an answer: what the peer does once for each connection is not a call's cost."""
    warm = asyncio.ensure_future(run.warm.wait())
    await asyncio.wait([run.done, warm], timeout=GIVE_UP_S, return_when=asyncio.FIRST_COMPLETED)
    if warm.cancel() and not run.done.done():
        run.stop("not every connection was answered")


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        try:
            load = await carry_out(msgspec.json.decode(line, type=Job))
        except OSError as error:
            load = Load(fault=f"cannot connect: {error.strerror}")
        print(msgspec.json.encode(load).decode(), flush=True)


if __name__ == "__main__":
    gc.disable()
    uvloop.run(_serve())
