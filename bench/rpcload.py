"""The load generator for gRPC: closed loops as streams of HTTP/2, blocks of fields built beforehand, every answer's length
and end checked. Run as `python -m bench.rpcload`, it talks as bench.load does.

A job's `framing` says how many calls share a connection: one, as many clients would have it, or sixteen, as one busy client.
"""

import asyncio
import gc
import struct
import sys
from array import array
from time import perf_counter
from typing import cast

import msgspec
import uvloop

from .load import GIVE_UP_S, Job, Load
from .processes import children_cpu_s, cpu_s
from .rpcwork import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Blocks,
    frame,
    greeting,
    read_head,
)

_TOP_UP = 256 << 20  # bytes of answers after which the connection gets new room


class Run:
    """What the connections of one job share."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.blocks = msgspec.msgpack.decode(job.request, type=Blocks)
        self.latencies = array("d")
        self.calls = 0
        self.since = 0.0
        self.open = 0
        self.stopping = False
        self.fault = ""
        self.done = asyncio.get_running_loop().create_future()

    def begin(self) -> None:
        self.calls, self.latencies, self.since = 0, array("d"), perf_counter()

    def stop(self, fault: str = "") -> None:
        self.stopping = True
        self.fault = self.fault or fault
        if (fault or not self.open) and not self.done.done():
            self.done.set_result(None)


class Caller(asyncio.Protocol):
    """One connection with `loops` calls under way all the time."""

    def __init__(self, run: Run, loops: int) -> None:
        self._run = run
        self._loops = loops
        self._data = b""
        self._next = 1
        self._started: dict[int, float] = {}
        self._came: dict[int, int] = {}
        self._given = 0
        self._message = run.blocks.message

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._run.open += 1
        self._transport.write(PREFACE + greeting() + b"".join([self._call() for _ in range(self._loops)]))

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        at, size, out = 0, len(data), []
        while size - at >= 9:
            length, kind, flags, stream = read_head(data, at)
            end = at + 9 + length
            if end > size:
                break
            if kind == DATA:
                self._came[stream] += length
                self._given += length
            elif kind == HEADERS:
                if not flags & END_HEADERS:
                    self._run.stop("a block of fields in several frames")
            elif kind == SETTINGS and not flags & ACK:
                out.append(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                out.append(frame(PING, ACK, 0, data[at + 9 : end]))
            elif kind in (RST_STREAM, GOAWAY):
                self._run.stop(f"the peer ended a {'stream' if kind == RST_STREAM else 'connection'}: {data[at:end]!r}")
            if flags & END_STREAM and kind in (DATA, HEADERS):
                out.append(self._ended(stream))
            at = end
        self._data = data[at:]
        if self._given > _TOP_UP:
            out.append(frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", self._given)))
            self._given = 0
        if out and not self._transport.is_closing():
            self._transport.write(b"".join(out))

    def connection_lost(self, _error: Exception | None) -> None:
        self._run.open -= 1
        self._run.stop("" if self._run.stopping else "the peer closed a connection")

    def close(self) -> None:
        self._transport.abort()

    def _call(self) -> bytes:
        stream, self._next = self._next, self._next + 2
        blocks = self._run.blocks
        self._came[stream] = 0
        self._started[stream] = perf_counter()
        block = blocks.first if stream == 1 else blocks.again
        return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, self._message)

    def _ended(self, stream: int) -> bytes:
        run, began = self._run, self._started.pop(stream)
        came = self._came.pop(stream)
        if came != run.job.answer_bytes:
            run.stop(f"an answer of {came} bytes instead of {run.job.answer_bytes}")
            return b""
        run.calls += 1
        if began >= run.since:
            run.latencies.append(perf_counter() - began)
        if not run.stopping:
            return self._call()
        if not self._started:
            self._transport.close()
        return b""


async def carry_out(job: Job) -> Load:
    """Open the connections, warm up, measure, and let them end."""
    run, loop = Run(job), asyncio.get_running_loop()
    callers: list[Caller] = []
    left = job.connections
    while left > 0:
        loops = min(left, int(job.framing))
        _, caller = await loop.create_connection(lambda loops=loops: Caller(run, loops), "127.0.0.1", job.port)  # type: ignore[misc]
        callers.append(caller)
        left -= loops
    await asyncio.wait([run.done], timeout=job.warm_s)
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
        for caller in callers:
            caller.close()
        return Load(fault=run.fault or "no answers")
    p50, p99 = measured[len(measured) // 2], measured[int(len(measured) * 0.99)]
    return Load(calls=calls, took_s=took, cpu_s=used, children_s=by_children, p50_s=p50, p99_s=p99)


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
