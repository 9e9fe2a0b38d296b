"""The meter's plain numbers as Prometheus metrics, rendered when somebody asks, never on the data path."""

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from funcgate.core.meter import BOUNDS_S, Counted, Durations


class ChoreGauge(NamedTuple):
    """How far a chore of the keeper is, and what goes wrong with it, "" if nothing does."""

    position: int
    trouble: str


class WorkerGauge(NamedTuple):
    """A worker as its gateway sees it; `pid` is 0 between two of its processes."""

    number: int
    up: bool
    restarts: int
    pid: int


class KeeperGauges:
    """The keeper as its gateway sees it. `durable` is the number of the last line that is on the disk."""

    def __init__(self, durable: Callable[[], int], checkpoint_age_s: Callable[[], float | None]) -> None:
        self.durable = durable
        self.checkpoint_age_s = checkpoint_age_s
        self.up = False
        self.restarts = 0
        self.chores: dict[str, ChoreGauge] = {}


class Gauges:
    """What the meter does not know, filled by the composition root."""

    def __init__(self, journal_depth: Callable[[], int], keeper: KeeperGauges) -> None:
        self.journal_depth = journal_depth
        self.keeper = keeper
        self.workers: Callable[[], Iterable[WorkerGauge]] = tuple
        self.version = ""
        self.reloads = 0
        self.reloads_failed = 0
        self.last_reload_failed = False


class MeterCollector(Collector):
    """Reads what a `Meter` counted and the `Gauges` at each scrape."""

    def __init__(self, meter: Counted, gauges: Gauges) -> None:
        self._meter = meter
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        yield self._calls()
        yield self._steps()
        yield self._masked()
        yield from self._now()
        yield from self._configuration()
        yield from self._keeper()
        yield from self._workers()

    def _calls(self) -> Metric:
        calls = CounterMetricFamily(
            "funcgate_calls", "Calls by what was decided and, if refused, why.", labels=["target", "decision", "code"]
        )
        for labels, count in list(self._meter.calls.items()):
            calls.add_metric(labels, count)
        return calls

    def _steps(self) -> Metric:
        steps = HistogramMetricFamily("funcgate_step_seconds", "Time that each step of a call took.", labels=["step"])
        for step, durations in self._meter.steps.items():
            steps.add_metric([step], _buckets(durations), durations.total_us / 1e6)
        return steps

    def _masked(self) -> Metric:
        masked = CounterMetricFamily("funcgate_masked", "Values that were masked in answers.", labels=["detector"])
        for detector, count in list(self._meter.masked.items()):
            masked.add_metric([detector], count)
        return masked

    def _now(self) -> Iterable[Metric]:
        gauges = self._gauges
        for name, text, value in (
            ("journal_queue", "Entries that wait for the disk.", gauges.journal_depth()),
            ("open_calls", "Calls under way.", self._meter.open_calls),
            ("open_connections", "Callers' connections that are open.", self._meter.open_connections),
        ):
            yield GaugeMetricFamily(f"funcgate_{name}", text, value=float(value))

    def _configuration(self) -> Iterable[Metric]:
        gauges = self._gauges
        config = GaugeMetricFamily("funcgate_config_info", "The version that serves.", labels=["version"])
        config.add_metric([gauges.version], 1)
        yield config
        yield CounterMetricFamily("funcgate_config_reloads", "Reloads that took effect.", value=gauges.reloads)
        yield CounterMetricFamily("funcgate_config_reloads_failed", "Reloads refused.", value=gauges.reloads_failed)
        yield GaugeMetricFamily(
            "funcgate_config_reload_failed",
            "Whether the file as it stands was refused, so that an older version serves.",
            value=float(gauges.last_reload_failed),
        )

    def _keeper(self) -> Iterable[Metric]:
        keeper = self._gauges.keeper
        yield GaugeMetricFamily("funcgate_keeper_up", "Whether the keeper runs.", value=float(keeper.up))
        yield CounterMetricFamily("funcgate_keeper_restarts", "Keepers that died.", value=keeper.restarts)
        position = GaugeMetricFamily("funcgate_keeper_position", "The last entry dealt with.", labels=["chore"])
        lag = GaugeMetricFamily("funcgate_keeper_lag_entries", "Durable entries not yet dealt with.", labels=["chore"])
        stuck = GaugeMetricFamily(
            "funcgate_keeper_trouble", "Whether something goes wrong with the chore.", labels=["chore"]
        )
        durable = keeper.durable()
        for name, chore in list(keeper.chores.items()):
            position.add_metric([name], chore.position)
            lag.add_metric([name], max(durable - chore.position, 0))
            stuck.add_metric([name], float(bool(chore.trouble)))
        yield from (position, lag, stuck)
        age_s = keeper.checkpoint_age_s()
        if age_s is not None:
            yield GaugeMetricFamily("funcgate_keeper_checkpoint_age_seconds", "Since the last checkpoint.", value=age_s)

    def _workers(self) -> Iterable[Metric]:
        found = list(self._gauges.workers())
        if not found:
            return
        up = GaugeMetricFamily("funcgate_worker_up", "Whether the worker takes calls.", labels=["worker"])
        restarts = CounterMetricFamily("funcgate_worker_restarts", "Processes of it that ended.", labels=["worker"])
        cpu = CounterMetricFamily("funcgate_worker_cpu_seconds", "CPU that its process has had.", labels=["worker"])
        memory = GaugeMetricFamily("funcgate_worker_resident_bytes", "Memory of its process.", labels=["worker"])
        for worker in found:
            name = [str(worker.number)]
            up.add_metric(name, float(worker.up))
            restarts.add_metric(name, worker.restarts)
            if (used := _used(worker.pid)) is not None:
                cpu.add_metric(name, used[0])
                memory.add_metric(name, used[1])
        yield from (up, restarts, cpu, memory)


def _used(pid: int) -> tuple[float, int] | None:
    """Seconds of CPU and bytes of memory of a process, by proc(5); None where that cannot be read."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return cpu_s, int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def make_registry(meter: Counted, gauges: Gauges) -> CollectorRegistry:
    """A registry of its own: the library's global one would collect whatever other libraries register."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(MeterCollector(meter, gauges))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _buckets(durations: Durations) -> list[tuple[str, float]]:
    return [
        (bound, float(count)) for bound, count in zip([*map(str, BOUNDS_S), "+Inf"], durations.within(), strict=True)
    ]
