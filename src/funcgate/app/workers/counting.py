"""What workers have counted: told by each in absolute numbers, summed where somebody asks. Nothing here is on the data path."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from funcgate.core.meter import STEPS, Durations, Meter

from .messages import Forged

EVERY_S = 0.25

_MOST_KINDS = 10_000  # of calls; and of what was masked
_MOST_NAME = 4_096
_CELLS = len(Durations().counts)
_LARGEST = (1 << 64) - 1

Count = Annotated[int, Meta(ge=0)]
Name = Annotated[str, Meta(max_length=_MOST_NAME)]


class Counts(Struct, frozen=True, array_like=True):
    """A `Meter` at one moment. `steps` holds, for each of `STEPS`, all numbers of its `Durations`."""

    # Attack: names without end, each kept for every scrape to come. The limits hold before anything is made of what came.
    calls: Annotated[tuple[tuple[Name, Name, Name, Count], ...], Meta(max_length=_MOST_KINDS)]
    steps: Annotated[tuple[Annotated[tuple[Count, ...], Meta(max_length=_CELLS)], ...], Meta(max_length=len(STEPS))]
    masked: Annotated[tuple[tuple[Name, Count], ...], Meta(max_length=_MOST_KINDS)]
    open_calls: Count
    open_connections: Count


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Counts)


class Counting:
    """A worker's side: says what its meter has counted, when that has changed. `send` sends one frame's payload."""

    def __init__(self, meter: Meter, send: Callable[[bytes], None]) -> None:
        self._meter = meter
        self._send = send
        self._said = b""

    def now(self) -> None:
        counts = _encode(counts_of(self._meter))
        if counts != self._said:
            self._said = counts
            self._send(counts)

    async def run(self) -> None:
        """Until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                self.now()
        finally:
            self.now()


class Meters:
    """The sums, as the console reads a `Meter`: of the gateway's own, of every worker there is, and of what those counted that
    have ended. Calls and connections of these are no longer open."""

    def __init__(self, own: Meter) -> None:
        self._own = own
        self._living: dict[int, Counts] = {}
        self._ended: list[Counts] = []

    def take(self, worker: int, payload: bytes) -> None:
        """What this worker has counted by now. Raises `Forged`."""
        try:
            counts = _decoder.decode(payload)
        except (msgspec.MsgspecError, ValueError):
            raise Forged("no counts") from None
        if [len(step) for step in counts.steps] != _SHAPE:
            raise Forged("no counts")
        self._living[worker] = counts

    def ended(self, worker: int) -> None:
        """What it counted stays counted."""
        last = self._living.pop(worker, None)
        if last is not None:
            whole = _sum([*self._ended, msgspec.structs.replace(last, open_calls=0, open_connections=0)])
            # Attack: workers that are taken over one after the other, each with names of its own.
            most = slice(_MOST_KINDS)
            self._ended = [msgspec.structs.replace(whole, calls=whole.calls[most], masked=whole.masked[most])]

    @property
    def calls(self) -> Mapping[tuple[str, str, str], int]:
        return {(target, decision, code): count for target, decision, code, count in self._all().calls}

    @property
    def steps(self) -> Mapping[str, Durations]:
        return {step: _durations(counts) for step, counts in zip(STEPS, self._all().steps, strict=True)}

    @property
    def masked(self) -> Mapping[str, int]:
        return dict(self._all().masked)

    @property
    def open_calls(self) -> int:
        return self._all().open_calls

    @property
    def open_connections(self) -> int:
        return self._all().open_connections

    def _all(self) -> Counts:
        return _sum([counts_of(self._own), *self._ended, *self._living.values()])


_SHAPE = [_CELLS] * len(STEPS)


def counts_of(meter: Meter) -> Counts:
    """The meter as it is now."""
    return Counts(
        calls=tuple((*kind, count) for kind, count in meter.calls.items()),
        steps=tuple(tuple(meter.steps[step].counts) for step in STEPS),
        masked=tuple(meter.masked.items()),
        open_calls=meter.open_calls,
        open_connections=meter.open_connections,
    )


def _sum(all_of: Iterable[Counts]) -> Counts:
    calls: dict[tuple[str, str, str], int] = {}
    masked: dict[str, int] = {}
    steps = [[0] * _CELLS for _ in STEPS]
    open_calls = open_connections = 0
    for counts in all_of:
        for target, decision, code, count in counts.calls:
            kind = (target, decision, code)
            calls[kind] = calls.get(kind, 0) + count
        for name, count in counts.masked:
            masked[name] = masked.get(name, 0) + count
        for sums, step in zip(steps, counts.steps, strict=True):
            for cell, count in enumerate(step):
                sums[cell] += count
        open_calls += counts.open_calls
        open_connections += counts.open_connections
    return Counts(
        calls=tuple((*kind, count) for kind, count in calls.items()),
        steps=tuple(map(tuple, steps)),
        masked=tuple(masked.items()),
        open_calls=open_calls,
        open_connections=open_connections,
    )


def _durations(counts: Iterable[int]) -> Durations:
    made = Durations()
    for cell, count in enumerate(counts):
        made.counts[cell] = min(count, _LARGEST)
    return made
