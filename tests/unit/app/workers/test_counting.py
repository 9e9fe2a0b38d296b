"""Counts of workers: their sums are what one process would have counted, and a dead worker's stay."""

import asyncio
import tracemalloc
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest

from funcgate.app.workers import counting, messages
from funcgate.app.workers.counting import Counting, Meters, counts_of
from funcgate.app.workers.messages import Forged
from funcgate.console import Gauges, KeeperGauges, make_registry
from funcgate.core.meter import STEPS, Meter


class Taken(list[int]):
    since = 0


MARKS = Taken(1_000 * 2**step for step in range(len(STEPS)))


def over(meter: Meter, times: int = 1, target: str = "payments", code: str = "") -> None:
    for _ in range(times):
        meter.over(target, "allow", code, MARKS, {"email": 2, "iban": 1})


def told(meter: Meter) -> bytes:
    said: list[bytes] = []
    Counting(meter, said.append).now()
    return said[0]


def seen(meter: Any) -> Any:
    """All that the console reads."""
    steps = {step: (durations.within(), durations.total_us) for step, durations in meter.steps.items()}
    return dict(meter.calls), steps, dict(meter.masked), meter.open_calls, meter.open_connections


def metrics(meter: Any) -> list[str]:
    gauges = Gauges(lambda: 0, KeeperGauges(lambda: 0, lambda: None))
    lines = generate_latest(make_registry(meter, gauges)).decode().splitlines()
    return sorted(line for line in lines if line.startswith("funcgate_") and "_created" not in line)


def test_sums_are_what_one_would_have_counted() -> None:
    whole, own, one, other = Meter(), Meter(), Meter(), Meter()
    for meter, times, target in ((own, 1, ""), (one, 3, "payments"), (other, 5, "ledger"), (other, 2, "payments")):
        over(meter, times, target)
        over(whole, times, target)
    one.open_calls, other.open_calls, one.open_connections = 2, 3, 7
    whole.open_calls, whole.open_connections = 5, 7
    meters = Meters(own)
    for number, meter in enumerate((one, other)):
        meters.take(number, told(meter))
        meters.take(number, told(meter))  # absolute: the same again changes nothing
    assert seen(meters) == seen(whole)
    assert metrics(meters) == metrics(whole)


def test_what_a_dead_worker_counted_stays_and_what_it_had_open_does_not() -> None:
    meters, meter = Meters(Meter()), Meter()
    for life in range(1, 4):
        meter = Meter()
        over(meter, 10)
        meter.open_calls = meter.open_connections = 4
        meters.take(0, told(meter))
        assert (meters.calls["payments", "allow", ""], meters.open_calls) == (10 * life, 4)
        meters.ended(0)
        meters.ended(0)
        assert (meters.calls["payments", "allow", ""], meters.masked["email"]) == (10 * life, 20 * life)
        assert (meters.open_calls, meters.open_connections) == (0, 0)
        assert meters.steps["send"].within()[-1] == 10 * life
    assert len(meters._ended) == 1  # and takes no more room for it


def test_only_what_changed_is_told_and_the_last_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "EVERY_S", 0.001)
    said: list[bytes] = []
    meter = Meter()

    async def whole() -> None:
        running = asyncio.create_task(Counting(meter, said.append).run())
        for times in (1, 2):
            over(meter)
            async with asyncio.timeout(30):
                while len(said) < times:  # noqa: ASYNC110  # it looks once in a while
                    await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert len(said) == 2
        over(meter)
        running.cancel()
        await asyncio.wait([running])

    asyncio.run(whole())
    assert len(said) == 3
    meters = Meters(Meter())
    meters.take(0, said[-1])
    assert seen(meters) == seen(meter)


GOOD = msgspec.to_builtins(counts_of(Meter()))


def spoiled(place: int, value: Any) -> list[Any]:
    made = list(GOOD)
    made[place] = value
    return made


@pytest.mark.parametrize(
    "payload",
    [
        None, 7, [], GOOD[:-1], {"calls": []}, spoiled(0, [["a", "b", "c", -1]]), spoiled(0, [["a", "b", 1, 1]]),
        spoiled(0, [["x" * 4097, "b", "c", 1]]), spoiled(0, [["a", "b", str(n), 1] for n in range(10_001)]),
        spoiled(0, [["a", "b", "c", 1.5]]), spoiled(1, []), spoiled(1, [[0] * 66] * len(STEPS)),
        spoiled(1, [[-1] * 65] * len(STEPS)), spoiled(2, [[str(n), 1] for n in range(10_001)]), spoiled(3, -1),
        spoiled(4, "1"),
    ],
    ids=lambda payload: str(payload)[:24],
)  # fmt: skip
def test_what_no_worker_of_ours_counts_is_forged(payload: Any) -> None:
    meters = Meters(Meter())
    with pytest.raises(Forged):
        meters.take(0, msgspec.msgpack.encode(payload))
    with pytest.raises(Forged):
        meters.take(0, b"\xc1")
    assert seen(meters) == seen(Meter())


def test_the_largest_numbers_break_no_scrape() -> None:
    meters = Meters(Meter())
    for number in range(3):
        meters.take(number, msgspec.msgpack.encode(spoiled(1, [[(1 << 64) - 1] * 65] * len(STEPS))))
    assert metrics(meters)


def test_names_of_one_worker_after_the_other_take_no_more_room_than_one_has() -> None:
    meters = Meters(Meter())
    for life in range(3):
        kinds = [[f"{life}-{number}", "b", "c", 1] for number in range(9_999)]
        counts = spoiled(0, kinds)
        counts[2] = [[name, 1] for name, *_ in kinds]
        meters.take(0, msgspec.msgpack.encode(counts))
        meters.ended(0)
    assert (len(meters.calls), len(meters.masked)) == (10_000, 10_000)
    assert meters.calls["0-0", "b", "c"] == 1


def test_nothing_is_made_of_counts_that_are_too_many() -> None:
    many = 500_000
    payload = b"\x95\xdd" + many.to_bytes(4, "big") + b"\x94\xa0\xa0\xa0\x00" * many + b"\x90\x90\x00\x00"
    tracemalloc.start()
    try:
        with pytest.raises(Forged):
            Meters(Meter()).take(0, payload)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_cancel_request_with_more_of_a_secret_than_there_is_goes_nowhere() -> None:
    assert messages.for_gateway(messages.encode(messages.Cancelled(1, bytes(256))))
    with pytest.raises(msgspec.ValidationError):
        messages.for_gateway(messages.encode(messages.Cancelled(1, bytes(257))))
