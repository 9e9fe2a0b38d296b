"""The console through its own application and its own server: what it answers, and what it does to signals."""

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from funcgate.console import (
    ChoreGauge,
    ConsoleServer,
    Gauges,
    Health,
    KeeperGauges,
    WorkerGauge,
    bind,
    make_console,
    make_registry,
)
from funcgate.core.meter import STEPS, Meter


class Room:
    """A console over a meter that the test writes to."""

    def __init__(self) -> None:
        self.meter = Meter()
        self.depth = 0
        self.keeper = KeeperGauges(lambda: 10, lambda: None)
        self.gauges = Gauges(lambda: self.depth, self.keeper)
        self.health = Health(ready=True, version="v", checks={"journal": "ok"})
        self.application = make_console(make_registry(self.meter, self.gauges), lambda: self.health)


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def client(room: Room) -> Iterator[TestClient[Any]]:
    with TestClient(room.application) as client:
        yield client


def samples(client: TestClient[Any]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = client.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_health(client: TestClient[Any]) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_readiness_is_a_status_for_machines_and_checks_for_people(room: Room, client: TestClient[Any]) -> None:
    assert client.get("/readyz").status_code == 200
    room.health = Health(ready=False, version="v", checks={"journal": "the disk is full"}, warnings=["w"])
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False, "version": "v", "checks": {"journal": "the disk is full"}, "warnings": ["w"],
    }  # fmt: skip


def test_the_meter_as_metrics(room: Room, client: TestClient[Any]) -> None:
    room.meter.count("payments", "allow", "")
    room.meter.count("payments", "allow", "")
    room.meter.count("", "none", "identity.missing")
    for took_us in (40, 300_000, 99_000_000):
        marks = [1000 + took_us * 1000 if step == "decide" else 0 for step in STEPS]
        assert room.meter.observe(1000, marks) == {"decide": took_us}
    room.meter.masked["email"] = 3
    room.meter.open_calls, room.meter.open_connections, room.depth = 1, 2, 5
    room.gauges.version, room.gauges.last_reload_failed = "abc", True
    found = samples(client)
    assert found["funcgate_calls_total", (("code", ""), ("decision", "allow"), ("target", "payments"))] == 2
    assert found["funcgate_calls_total", (("code", "identity.missing"), ("decision", "none"), ("target", ""))] == 1
    assert found["funcgate_step_seconds_count", (("step", "decide"),)] == 3
    assert found["funcgate_step_seconds_sum", (("step", "decide"),)] == pytest.approx(99.30004)
    assert found["funcgate_step_seconds_bucket", (("le", "3.2e-05"), ("step", "decide"))] == 0
    assert found["funcgate_step_seconds_bucket", (("le", "6.4e-05"), ("step", "decide"))] == 1
    assert found["funcgate_step_seconds_bucket", (("le", "0.524288"), ("step", "decide"))] == 2
    assert found["funcgate_step_seconds_bucket", (("le", "+Inf"), ("step", "decide"))] == 3
    assert found["funcgate_masked_total", (("detector", "email"),)] == 3
    assert found["funcgate_open_calls", ()] == 1
    assert found["funcgate_open_connections", ()] == 2
    assert found["funcgate_journal_queue", ()] == 5
    assert found["funcgate_config_info", (("version", "abc"),)] == 1
    assert found["funcgate_config_reload_failed", ()] == 1
    assert ("process_resident_memory_bytes", ()) in found


def test_labels_cannot_break_the_format(room: Room, client: TestClient[Any]) -> None:
    room.meter.count('a"b\\c\nd', "allow", "")
    assert samples(client)["funcgate_calls_total", (("code", ""), ("decision", "allow"), ("target", 'a"b\\c\nd'))] == 1


@pytest.mark.parametrize("path", ["/", "/schema", "/docs", "/metrics/x", "/readyz/../secret", "/api/v1/calls"])
def test_there_is_nothing_else(client: TestClient[Any], path: str) -> None:
    assert client.get(path).status_code == 404


def test_it_serves_in_a_loop_that_keeps_its_signals(room: Room) -> None:
    async def serve() -> tuple[int, int, Any]:
        bound = bind("127.0.0.1", 0)
        server = ConsoleServer(room.application, bound)
        server.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{server.port}/healthz")
        handler = signal.getsignal(signal.SIGTERM)
        await server.close()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", server.port)
        return answer.status_code, len(answer.headers.get_list("server")), handler

    before = signal.getsignal(signal.SIGTERM)
    status, server_headers, during = asyncio.run(serve())
    assert (status, server_headers) == (200, 0)
    assert during is before


def test_an_address_that_is_taken() -> None:
    bound = bind("127.0.0.1", 0)
    try:
        with pytest.raises(OSError):
            bind("127.0.0.1", bound.getsockname()[1])
    finally:
        bound.close()


def test_the_keeper_s_metrics(client: TestClient[Any], room: Room) -> None:
    found = samples(client)
    assert found["funcgate_keeper_up", ()] == 0
    assert not any(name == "funcgate_keeper_checkpoint_age_seconds" for name, _ in found)
    room.keeper.up, room.keeper.restarts = True, 2
    room.keeper.checkpoint_age_s = lambda: 7.5
    room.keeper.chores = {"proof": ChoreGauge(10, ""), "forward hook": ChoreGauge(3, "it does not answer")}
    found = samples(client)
    assert found["funcgate_keeper_up", ()] == 1
    assert found["funcgate_keeper_restarts_total", ()] == 2
    assert found["funcgate_keeper_checkpoint_age_seconds", ()] == 7.5
    assert found["funcgate_keeper_lag_entries", (("chore", "proof"),)] == 0
    assert found["funcgate_keeper_lag_entries", (("chore", "forward hook"),)] == 7
    assert found["funcgate_keeper_position", (("chore", "forward hook"),)] == 3
    assert found["funcgate_keeper_trouble", (("chore", "forward hook"),)] == 1
    assert found["funcgate_keeper_trouble", (("chore", "proof"),)] == 0


def test_the_workers_metrics(client: TestClient[Any], room: Room) -> None:
    def said() -> list[str]:
        return [line for line in client.get("/metrics").text.splitlines() if line.startswith("funcgate_worker")]

    assert said() == []  # one process carries the calls
    room.gauges.workers = lambda: [WorkerGauge(0, True, 0, os.getpid()), WorkerGauge(1, False, 2, 0)]
    text = "\n".join(said())
    assert 'funcgate_worker_up{worker="0"} 1.0' in text
    assert 'funcgate_worker_up{worker="1"} 0.0' in text
    assert 'funcgate_worker_restarts_total{worker="1"} 2.0' in text
    used = {line.split()[0]: float(line.split()[1]) for line in said()}
    assert used['funcgate_worker_cpu_seconds_total{worker="0"}'] > 0
    assert used['funcgate_worker_resident_bytes{worker="0"}'] > 1 << 20
    assert 'funcgate_worker_resident_bytes{worker="1"}' not in used
